"""Training supports once more without the penalty, all of them side by side.

A penalty that selects also shrinks. Each distinct support of a path is trained again on its
own features alone: the weights of the others are put back to zero after every step, which is
the same as leaving their columns out.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from skreg.path.walk import Step
from skreg.training.data import TensorData
from skreg.training.net import RegularizedNet
from skreg.training.progress import Progress


def refit_steps(network: Any, steps: list[Step], rows: TensorData) -> list[Step]:
    """Return the steps with the weights of their supports' own networks.

    Parameters
    ----------
    network : PathMLP or PathModule
        What the path was walked with: its loss, optimizer, batches and limits are used.
    steps : list of Step
    rows : TensorData
    """
    # Each support is trained from where it was first seen, with the least shrinkage.
    distinct: dict[bytes, Step] = {}
    for step in steps:
        distinct.setdefault(step.selected.tobytes(), step)
    keys = list(distinct)
    trained: dict[bytes, dict[str, Tensor]] = {}
    for start in range(0, len(keys), network.supports_at_once):
        part = keys[start : start + network.supports_at_once]
        progress = copy.copy(network.net.progress)
        anew = type(progress).join([_anew(progress)] * len(part))
        twin = network.on_supports([distinct[key] for key in part], anew)
        _train(twin.net, rows)
        trained.update({key: twin.state(member) for member, key in enumerate(part)})
    return [replace(step, state=dict(trained[step.selected.tobytes()])) for step in steps]


def _train(net: RegularizedNet, rows: TensorData) -> None:
    net.begin(rows, None, keep_best=False)
    while net.n_epochs_ < net.max_epochs and not net.done_.all():
        blew_up, _ = net.run_epoch()
        if blew_up.any():
            raise ValueError(
                "Training a support without the penalty diverged. Lower learning_rate_init, or "
                "scale the columns of X (StandardScaler) and y (TransformedTargetRegressor)."
            )
    net.end()


def _anew(progress: Progress) -> Progress:
    fresh = copy.copy(progress)
    fresh.learning_rates = progress.learning_rate_init.copy()
    fresh.best = np.full(1, -np.inf)
    fresh.stalled = np.zeros(1, dtype=int)
    fresh.running = np.ones(1, dtype=bool)
    return fresh
