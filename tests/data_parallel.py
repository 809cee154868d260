"""One skorch net with our optimizer, trained by two processes and by one.

`tests/training/test_skorch_net.py` runs it. The way is skorch's: ``AccelerateMixin`` and an
``Accelerator`` of Hugging Face accelerate. Each process takes the steps of the joint batch, so
that the penalty acts on all alike.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, debug_launcher
from skorch import NeuralNetRegressor
from skorch.hf import AccelerateMixin
from torch import nn

from skreg.optim import ProximalAdam
from skreg.penalties import L1

BATCH, EPOCHS = 40, 8


class AcceleratedNet(AccelerateMixin, NeuralNetRegressor):
    """A regressor that is trained by all processes there are."""


class MeanSquaredError:
    """No module: a module without parameters cannot be handed to several processes."""

    def __call__(self, y_pred, y_true):
        return (y_pred - y_true).square().mean()


def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4 * BATCH, 6)).astype(np.float32)
    return X, (X[:, :1] - 2 * X[:, 1:2]).astype(np.float32)


def train(kind, batch_size, **settings):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = kind(
        nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1)),
        criterion=MeanSquaredError,
        optimizer=ProximalAdam,
        optimizer__param_groups=[("*.weight", {"penalty": L1(alpha=0.05)})],
        lr=0.02,
        batch_size=batch_size,
        max_epochs=EPOCHS,
        train_split=None,
        verbose=0,
        **settings,
    )
    return net.fit(*rows())


def one_of_two(folder):
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    net = train(AcceleratedNet, BATCH // 2, accelerator=accelerator, device=None)
    report(net, Path(folder) / f"{accelerator.process_index}.json")


def report(net, path):
    weights = nn.utils.parameters_to_vector(net.module_.parameters()).tolist()
    path.write_text(json.dumps({"losses": net.history[:, "train_loss"], "weights": weights}))


if __name__ == "__main__":
    debug_launcher(one_of_two, args=(sys.argv[1],), num_processes=2)
    report(train(NeuralNetRegressor, BATCH), Path(sys.argv[1]) / "alone.json")
