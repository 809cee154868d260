"""What skorch's callbacks and files ask of a net, and which of them its training cannot serve.

A callback that would do nothing, or fail in the middle or at the end of a training, is an
error before the first epoch. Files of parameters say what they are parameters of: they are
not loaded into a net that computes, or an optimizer that minimizes, something else.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    GradientNormClipping,
    InputShapeSetter,
    LRScheduler,
    ParamMapper,
    PassthroughScoring,
    TrainEndCheckpoint,
    WandbLogger,
)
from skorch.dataset import Dataset
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from skreg.losses import Loss
from skreg.modules import MLP
from skreg.training.data import TensorData
from skreg.training.fingerprint import fingerprint, network_fingerprint

_BATCH_EVENTS = ("on_batch_begin", "on_batch_end", "on_grad_computed")
_READERS = (Checkpoint, PassthroughScoring, TrainEndCheckpoint)
# Under this name files hold what their state is the state of.
_MADE_OF = "skreg_made_of"
# What the outputs depend on besides the parameters; the rest is how these were trained.
_OF_THE_OUTPUTS = ("activation", "network")

# By what an optimizer says of itself: which callbacks it cannot serve, and why.
_REFUSED: dict[str, dict[type, str]] = {
    "line_search": {
        LRScheduler: "finds its steps by a line search, and has no learning rate",
        GradientNormClipping: "finds its steps by a line search, on gradients as they are",
    },
    "full_batch": {
        ParamMapper: "goes on from weights that are those of its last step",
        BatchScoring: "takes steps on all rows at once, and there are no batches",
    },
}


@dataclass(frozen=True)
class Decoder:
    """What an estimator makes of a net's outputs and targets: labels, say, and a score."""

    #: Predictions for raw outputs of one member.
    decode: Callable[[Tensor], np.ndarray]
    #: Targets as the net has them, as they were in `fit`.
    decode_target: Callable[[Tensor], np.ndarray]
    #: Takes targets, predictions and weights or None.
    score: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]


def _not_here(name: str) -> Callable[..., Any]:
    """Return a method that raises AttributeError: rows are the estimator's business."""

    def refuse(net: Any, *args: Any, **kwargs: Any) -> Any:
        raise AttributeError(
            f"The net of an estimator is a {type(net).__name__} without a {name} of its own: "
            f"rows, targets and weights are the estimator's business. Call fit, partial_fit or "
            f"score of the estimator."
        )

    return refuse


class SkorchNet(NeuralNet):
    """skorch's net with rows, targets and weights left to the estimator.

    A subclass has the loop, and knows its `penalty`.
    """

    module_: Any
    optimizer_: Any
    criterion_: Any
    optimizer: Any
    history: Any

    def __init__(self, module: Any, criterion: Loss, optimizer: Any, **settings: Any) -> None:
        super().__init__(
            module,
            criterion,
            optimizer,
            train_split=None,
            # Batches are shown to those who ask: what was predicted for them in training
            # is not kept for a score of the epoch.
            use_caching=False,
            predict_nonlinearity=criterion.predict,
            **settings,
        )
        self.decoder: Decoder | None = None

    fit, partial_fit, fit_loop = map(_not_here, ("fit", "partial_fit", "fit_loop"))

    def score(self, X: Any, y: Any) -> float:
        """Score as the estimator does, for callbacks during training."""
        if self.decoder is None:
            return _not_here("score")(self)
        return self.decoder.score(y, self.predict(X), None)

    def infer(self, x: Tensor, **fit_params: Any) -> Tensor:
        """Raw outputs of the first member, for skorch's `predict` and scoring."""
        return self.module_(x)[0]

    def predict(self, X: Any) -> np.ndarray:
        """Predict as the estimator does, where it said how; else as `predict_proba`."""
        return (
            super().predict(X) if self.decoder is None else self.decoder.decode(self.forward(X))
        )

    def target_as_given(self, target: Any) -> Any:
        """Targets as they were in `fit`: labels, say."""
        return target if self.decoder is None else self.decoder.decode_target(target)

    def shown_to_callbacks(self, train: TensorData, valid: TensorData | None) -> dict[str, Any]:
        """Return the rows as skorch's scoring callbacks want them."""
        return {
            "dataset_train": Dataset(train.X, self.target_as_given(train.y)),
            "dataset_valid": valid and Dataset(valid.X, self.target_as_given(valid.y)),
        }

    def get_default_callbacks(self) -> list:
        # skorch's print, time and average batch by batch: what is wanted of that is
        # recorded by the loop once an epoch.
        return []

    def initialize_criterion(self) -> Self:
        self.criterion_ = self.criterion
        return self

    def load_params(self, *args: Any, **kwargs: Any) -> None:
        """Load what `save_params` or a Checkpoint has written, as in any skorch net.

        Raises
        ------
        ValueError
            If parameters are those of a network of another kind, or the state is that of an
            optimizer that minimized something else. The net is as it was then.
        """
        before = copy.deepcopy((self.module_.state_dict(), self.optimizer_.state_dict()))
        history = self.history
        try:
            super().load_params(*args, **kwargs)
        except Exception:
            self.module_.load_state_dict(before[0])
            self.optimizer_.load_state_dict(before[1])
            self.history = history
            raise

    def _get_module(self, name: str, msg: str) -> Any:
        # What skorch saves and loads by its state.
        if name == "module_":
            return _Filed(self.module_, made_of(self, _OF_THE_OUTPUTS))
        if name == "optimizer_":
            return _FiledOptimizer(self.optimizer_, made_of(self))
        if name == "criterion_":
            return _FiledLoss(self.criterion_, made_of(self))
        return super()._get_module(name, msg)


def listens_to_batches(callbacks: list[tuple[str, Callback]]) -> bool:
    """Whether one wants to see every batch."""
    return any(
        getattr(type(callback), event) is not getattr(Callback, event)
        for _, callback in callbacks
        for event in _BATCH_EVENTS
    )


def reads_batches(callbacks: list[tuple[str, Callback]]) -> bool:
    """Whether one reads the batches of an epoch when that is over."""
    return any(isinstance(callback, _READERS) for _, callback in callbacks)


def check_callbacks(net: Any) -> None:
    """Raise ValueError where a callback cannot do in this training what it is for."""
    recorded = _names_in_history(net)
    for _, callback in net.callbacks_:
        name = type(callback).__name__
        reason = _reason_against(net, callback)
        if reason is not None:
            raise ValueError(f"{name} cannot work here: {reason}.")
        watched = _watched_by(callback)
        if recorded is not None and watched is not None and watched not in recorded:
            raise ValueError(
                f"{name} watches {watched!r}, which no epoch records: there are "
                f"{', '.join(sorted(recorded))}. With early_stopping=True there are "
                f"'valid_score', of which larger is better, and 'valid_score_best'."
            )
        if isinstance(callback, ParamMapper):
            _check_patterns(net, callback)


def _reason_against(net: Any, callback: Callback) -> str | None:
    if isinstance(callback, InputShapeSetter):
        return (
            "the network is made for its rows by the estimator, which tells a module "
            "their number of features as n_features. Leave the callback out"
        )
    optimizer = net.optimizer_
    for trait, refused in _REFUSED.items():
        for kind, reason in refused.items():
            if getattr(optimizer, trait) and isinstance(callback, kind):
                return (
                    f"solver={optimizer.name!r} {reason}. Use solver='adam' or 'sgd', or "
                    f"leave it out"
                )
    schedule = net.progress.learning_rate
    if isinstance(callback, LRScheduler) and schedule != "constant":
        return (
            f"learning_rate={schedule!r} sets the learning rate too. Use "
            f"learning_rate='constant', or leave the callback out"
        )
    return None


def _names_in_history(net: Any) -> set[str] | None:
    """What epochs record; None if somebody else's callback may record anything."""
    best = "valid_score_best" if net.validates_ else "train_loss_best"
    names = {"epoch", "data_loss", "penalty", "train_loss", best}
    if net.validates_:
        names.add("valid_score")
    for _, callback in net.callbacks_:
        if not type(callback).__module__.startswith("skorch."):
            return None
        scores = getattr(callback, "on_train", False) or net.validates_
        name = getattr(callback, "name_", getattr(callback, "name", None))
        if name is not None and scores:
            names |= {name, f"{name}_best"}
        event = getattr(callback, "event_name", None)
        if event is not None:
            names.add(event)
    return names


def _check_patterns(net: Any, callback: ParamMapper) -> None:
    parameters = list(net.get_all_learnable_params())
    for pattern in callback.patterns:
        if not any(callback.filter_parameters([pattern], parameters)):
            names = ", ".join(repr(name) for name, _ in parameters)
            raise ValueError(
                f"{type(callback).__name__}: the pattern {pattern!r} fits no parameter. "
                f"Those to choose from are {names}."
            )


def made_of(net: Any, names: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """By name what this net is, in words and as a fingerprint; `names` or all of it."""
    module, optimizer = net.module_, net.optimizer_
    method = {g.get("penalty_method") for g in optimizer.param_groups}
    made_of = {
        "loss": (repr(net.criterion_), net.criterion_),
        "penalty": (repr(net.penalty), net.penalty),
        "penalty_method": (", ".join(map(str, method)), sorted(map(str, method))),
        "solver": (type(optimizer).__name__, type(optimizer)),
    }
    if isinstance(module, MLP):
        made_of["activation"] = (repr(module.activation), module.activation)
        made_of["dropout"] = (str(module.dropout), module.dropout)
    else:
        shown = type(module.network).__name__
        made_of["network"] = (shown, network_fingerprint(module.network))
    return {
        name: [shown, fingerprint(value)]
        for name, (shown, value) in made_of.items()
        if not names or name in names
    }


def _watched_by(callback: Callback) -> str | None:
    """The entry of an epoch that a callback needs."""
    if isinstance(callback, WandbLogger):
        return "valid_loss_best" if callback.save_model else None
    if isinstance(callback, LRScheduler):
        if callback.policy_ is not ReduceLROnPlateau or callback.step_every != "epoch":
            return None
        return None if callable(callback.monitor) else str(callback.monitor)
    if isinstance(callback, EarlyStopping | Checkpoint):
        return callback.monitor if isinstance(callback.monitor, str) else None
    return None


class _Filed:
    """A part of a net as skorch's files hold it: its state, and what that is the state of."""

    def __init__(self, part: Any, made_of: dict[str, list[str]]) -> None:
        self.part, self.made_of = part, made_of

    def state_dict(self) -> Any:
        state = self.part.state_dict()
        # Where torch keeps what is said of a state; no other reader minds it.
        state._metadata[_MADE_OF] = self.made_of
        return state

    def load_state_dict(self, state: Any) -> None:
        self.check(getattr(state, "_metadata", {}).pop(_MADE_OF, {}))
        self.part.load_state_dict(state)

    def check(self, saved: dict[str, list[str]]) -> None:
        """Raise ValueError where this is not what was saved."""
        changes = [
            f"{name} was {saved[name][0]} and is {shown}"
            if saved[name][0] != shown
            else f"{name} is another {shown}"
            for name, (shown, mark) in self.made_of.items()
            if name in saved and saved[name][1] != mark
        ]
        if changes:
            raise ValueError(
                f"The files are those of another fit: {'; '.join(changes)}. Set the "
                f"estimator's parameters as they were, or load other files."
            )


class _FiledOptimizer(_Filed):
    def state_dict(self) -> Any:
        return {**self.part.state_dict(), _MADE_OF: self.made_of}

    def load_state_dict(self, state: Any) -> None:
        self.check(state.get(_MADE_OF, {}))
        self.part.load_state_dict({k: v for k, v in state.items() if k != _MADE_OF})


class _FiledLoss(_Filed):
    """A loss has no state. In a tensor, so that safetensors takes it."""

    def state_dict(self) -> Any:
        content = json.dumps(self.made_of).encode()
        return {_MADE_OF: torch.frombuffer(bytearray(content), dtype=torch.uint8)}

    def load_state_dict(self, state: Any) -> None:
        self.check(json.loads(bytes(state[_MADE_OF].tolist())))
