"""Which layers of a module have a column for each feature."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch_modules import (
    Skip,
)

from skreg.modules.adapter import SingleNetwork
from skreg.path.features import layers_of_features
from skreg.training.data import TensorData


class Half(nn.Module):
    """The first layer sees half of the row."""

    def __init__(self):
        super().__init__()
        self.part, self.whole = nn.Linear(3, 1), nn.Linear(6, 1)

    def forward(self, x):
        return self.part(x[:, :3]) + self.whole(x)


class Renamed(nn.Module):
    """A later layer has as many inputs as a row has numbers."""

    def __init__(self):
        super().__init__()
        self.embed, self.six = nn.Embedding(9, 6), nn.Linear(6, 1)

    def forward(self, x):
        return self.six(self.embed(x[:, 0].long().clamp(0, 8)))


@pytest.mark.parametrize(
    ("module", "layers"),
    [
        (nn.Linear(6, 2), ["weight"]),
        (nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 1)), ["1.weight"]),
        (nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 1)), ["0.weight"]),
        (Skip(nn.Linear(6, 1)), ["one.weight", "two.weight"]),
        (Skip(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 1))), ["one.weight", "two.0.weight"]),
        (Half(), []),
        (Renamed(), []),
        (nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 1, 6), nn.Flatten()), []),
    ],
    ids=["linear", "norm", "deep", "skip", "deep skip", "half", "embedding", "convolution"],
)
def test_which_layers_have_the_features(module, layers):
    rows = TensorData(np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32), None)
    wrapped = SingleNetwork(module, 2 if layers == ["weight"] else 1)
    before = copy.deepcopy(wrapped.state_dict())
    assert layers_of_features(wrapped, rows, "cpu") == layers
    assert wrapped.training
    assert not any(layer._forward_pre_hooks for layer in wrapped.modules())
    assert all(torch.equal(v, before[k]) for k, v in wrapped.state_dict().items())
