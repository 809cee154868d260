"""A trained net in numbers, arrays, text and skreg's classes alone, and back.

That is what a pickle of a net holds. No tensor and no class of torch or skorch is in it, so
that a pickle made on CUDA loads anywhere, that it does not depend on how torch lays out its
objects, and that ``skops.io`` writes and reads it without trusting any type but skreg's. A
module of another kind is pickled as it is, its tensors on the CPU, and so is a net whose
callbacks may point into it.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import torch

from skreg.modules import MLP
from skreg.training.state import (
    CURVES,
    TrainingState,
    move,
    restore_generators,
    to_numpy,
)

_ARCHITECTURE = ("n_features", "hidden_layer_sizes", "n_outputs", "activation", "dropout")
# What is there in training alone: a callback may pickle the net then.
_OF_THE_FIT = ("_train", "_valid")
_OF_THE_CALLER = ("steps", "on_epoch", "decoder", "keeper")


def get_state(net: Any) -> dict[str, Any]:
    """Return what a pickle of a net holds."""
    if net.initialized_ and not net.callbacks_ and type(net.module_) is MLP:
        return _state_in_arrays(net)
    state = vars(net).copy()
    for name in _OF_THE_FIT:
        state.pop(name, None)
    state.update(dict.fromkeys(_OF_THE_CALLER))
    state["_generators"] = [generator.get_state() for generator in net._generators]
    # Each as one array: a long training has many entries.
    state.update({name: np.array(getattr(net, name), dtype=float) for name in CURVES})
    if not net.callbacks_:
        state["history_"] = type(net.history_)()
    if torch.device(net.device).type != "cpu":
        # Together, so that the optimizer goes on pointing at the module's parameters and
        # a scheduler among the callbacks at the optimizer.
        together = ("module_", "optimizer_", "callbacks_")
        state.update(copy.deepcopy({name: state[name] for name in together}))
        move(state["module_"], state["optimizer_"], "cpu")
        state["module"] = state["module_"]
    return state


def set_state(net: Any, state: dict[str, Any]) -> None:
    """Make a net, of which only the class is there yet, what the state says."""
    if torch.device(state["device"]).type == "cuda" and not torch.cuda.is_available():
        state = {**state, "device": "cpu"}
    if "architecture" in state:
        _set_state_in_arrays(net, state)
        return
    vars(net).update(state)
    for name in CURVES:
        setattr(net, name, list(state[name]))
    if torch.device(net.device).type != "cpu":
        move(net.module_, net.optimizer_, net.device)
    net._generators = restore_generators(state["_generators"], net.device)


def _state_in_arrays(net: Any) -> dict[str, Any]:
    settings = net.settings()
    del settings["progress"]
    make = settings.pop("optimizer")
    with_settings = isinstance(make, partial) and not make.args
    return {
        **settings,
        "criterion": net.criterion,
        "architecture": {name: getattr(net.module_, name) for name in _ARCHITECTURE},
        "optimizer": (make.func, dict(make.keywords)) if with_settings else (make, {}),
        # The shufflers are settings too: an estimator draws from the same generators.
        "state": {**to_numpy(TrainingState.of(net).to_arrays()), "shufflers": []},
    }


def _set_state_in_arrays(net: Any, state: dict[str, Any]) -> None:
    settings = dict(state)
    architecture, saved = settings.pop("architecture"), settings.pop("state")
    training = TrainingState.from_arrays(saved)
    module = MLP.of(training.weights["weight"], training.weights["bias"], **architecture)
    make, keywords = settings["optimizer"]
    settings["optimizer"] = partial(make, **keywords) if keywords else make
    # Making a net draws seeds: not from generators that have given theirs.
    unseeded = {**settings, "progress": training.progress, "shufflers": ()}
    type(net).__init__(net, module, callbacks=None, **unseeded)
    net.initialize()
    training.put(net)
    net.shufflers = settings["shufflers"]
