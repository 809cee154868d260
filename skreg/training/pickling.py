"""A trained net in numbers, arrays, text and skreg's own objects alone, and back.

That is what a pickle of a net holds. No tensor and no class of torch or skorch is in it, so
that a pickle made on CUDA loads anywhere, that it does not depend on how torch lays out its
objects, and that ``skops.io`` writes and reads it without trusting any type but skreg's.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skreg.modules import MLP
from skreg.training.device import restore_generators

_ARGUMENTS = (
    *("criterion", "penalty", "penalize_bias", "progress", "shufflers"),
    *("batch_size", "shuffle", "max_epochs", "max_fun", "verbose", "device"),
    *("columns", "initial"),
)
_CURVES = ("data_losses_", "penalties_", "scores_")
_BEFORE = ("epochs_before_", "scores_before_")
# There once the net has been trained.
_OF_TRAINING = ("n_epochs_", "converged_", "interrupted_", "validates_")


def to_plain(net: Any) -> dict[str, Any]:
    """Return the state of a net whose module is an ``MLP`` and that has no callbacks."""
    trained = [name for name in _OF_TRAINING if hasattr(net, name)]
    return {
        "plain": True,
        **{name: getattr(net, name) for name in (*_ARGUMENTS, *_BEFORE, *trained)},
        "module": _module_to_plain(net.module_),
        "optimizer": _optimizer_to_plain(net.optimizer),
        "optimizer_": _to_numpy(net.optimizer_.state_dict()),
        **curves_to_plain(net),
        "_generators": [generator.get_state().numpy() for generator in net._generators],
    }


def from_plain(net: Any, state: dict[str, Any]) -> None:
    """Make a net, of which only the class is there yet, what the state says."""
    arguments = {name: state[name] for name in _ARGUMENTS}
    if torch.device(arguments["device"]).type == "cuda" and not torch.cuda.is_available():
        arguments["device"] = "cpu"
    module = _module_from_plain(state["module"])
    make, settings = state["optimizer"]
    arguments["optimizer"] = partial(make, **settings) if settings else make
    type(net).__init__(net, module, callbacks=None, **arguments)
    # Making a net draws seeds. These come from generators that stand behind them already.
    drawn = [shuffler.random_state.get_state() for shuffler in net.shufflers]
    net.initialize()
    for shuffler, stand in zip(net.shufflers, drawn, strict=True):
        shuffler.random_state.set_state(stand)
    net.optimizer_.load_state_dict(_to_tensors(state["optimizer_"]))
    net.module_.train(state["module"]["training"])
    curves_from_plain(net, state)
    for name in (*_BEFORE, *_OF_TRAINING):
        if name in state:
            setattr(net, name, state[name])
    net._generators = restore_generators(_to_tensors(state["_generators"]), net.device)


def curves_to_plain(net: Any) -> dict[str, np.ndarray]:
    """Return each curve as one array: a long training has many entries."""
    return {name: np.array(getattr(net, name), dtype=float) for name in _CURVES}


def curves_from_plain(net: Any, state: dict[str, Any]) -> None:
    """Give a net the curves that are in the state."""
    for name in _CURVES:
        setattr(net, name, list(state[name]))


def _module_to_plain(module: MLP) -> dict[str, Any]:
    return {
        **module.architecture,
        "training": module.training,
        "weight": _to_numpy(module.weight),
        "bias": _to_numpy(module.bias),
    }


def _module_from_plain(state: dict[str, Any]) -> MLP:
    return MLP.of(
        _to_tensors(state["weight"]),
        _to_tensors(state["bias"]),
        n_features=state["n_features"],
        hidden_layer_sizes=state["hidden_layer_sizes"],
        n_outputs=state["n_outputs"],
        activation=state["activation"],
        dropout=state["dropout"],
    )


def _optimizer_to_plain(make: Any) -> tuple[Any, dict[str, Any]]:
    """The class of an optimizer and the settings it is made with."""
    if isinstance(make, partial) and not make.args:
        return make.func, dict(make.keywords)
    return make, {}


def _to_numpy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _to_numpy(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_to_numpy(entry) for entry in value]
    return value.detach().cpu().numpy().copy() if isinstance(value, Tensor) else value


def _to_tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _to_tensors(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_to_tensors(entry) for entry in value]
    # Copied, to memory aligned as torch has it: products may round by that.
    return torch.tensor(value) if isinstance(value, np.ndarray) else value
