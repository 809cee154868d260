"""All that the training of a net goes on from: weights, optimizer, patience, chance, curves.

A net that :func:`restore` has put back takes, on a CPU, the very steps that the net of the
:func:`snapshot` would have taken, bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from skreg.training.device import restore_generators
from skreg.training.net import RegularizedNet

_COUNTS = ("n_epochs_", "_first_epoch")
_CURVES = ("data_losses_", "penalties_", "scores_")


def snapshot(net: RegularizedNet) -> dict[str, Any]:
    """Return the state between two epochs, in arrays, tensors, numbers and text."""
    return {
        "module": net.module_.state_dict(),
        "best": net._best_state,
        "optimizer": net.optimizer_.state_dict(),
        "progress": dict(vars(net.progress)),
        "converged": net.converged_,
        **{name: getattr(net, name) for name in _COUNTS},
        # Each as one array: a file of many small tensors takes long to write.
        **{name: np.array(getattr(net, name), dtype=float) for name in _CURVES},
        "orders": [
            (random_state_from(shuffler.random_state), shuffler._order)
            for shuffler in net.shufflers
        ],
        "generators": [generator.get_state() for generator in net._generators],
    }


def restore(net: RegularizedNet, state: dict[str, Any]) -> None:
    """Put a net that has begun to train where the net of the snapshot was."""
    net.module_.load_state_dict(state["module"])
    net._best_state = {name: best.to(net.device) for name, best in state["best"].items()}
    net.optimizer_.load_state_dict(state["optimizer"])
    for name, value in state["progress"].items():
        setattr(net.progress, name, value.numpy() if isinstance(value, Tensor) else value)
    net.converged_ = state["converged"].numpy()
    for name in _COUNTS:
        setattr(net, name, state[name])
    for name in _CURVES:
        setattr(net, name, list(state[name].numpy()))
    for shuffler, (drawn, order) in zip(net.shufflers, state["orders"], strict=True):
        random_state_to(shuffler.random_state, drawn)
        shuffler._order = None if order is None else order.numpy()
    net._generators = restore_generators(state["generators"], net.device)
    net._rates = np.empty(0)
    net.set_learning_rates()
    net.rewrite_history(net._first_epoch)


def random_state_from(random_state: np.random.RandomState) -> list[Any]:
    """Return where numpy's generator stands, to be written to a file."""
    return list(random_state.get_state())


def random_state_to(random_state: np.random.RandomState, saved: list[Any]) -> None:
    """Put numpy's generator where it stood when `saved` was read from it."""
    kind, keys, *rest = saved
    keys = keys.numpy() if isinstance(keys, Tensor) else keys
    random_state.set_state((kind, keys.astype(np.uint32), *rest))
