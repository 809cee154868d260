"""What both optimizers share: how a penalty enters a step, and what a step may be made of.

A subclass takes the gradient step and the proximal step (:mod:`skreg.optim`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, overload

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from skreg.penalties import L2, Penalty

#: A parameter, and the group whose settings move it.
Move = tuple[Tensor, dict[str, Any]]

PENALTY_METHODS = ("proximal", "subgradient", "decoupled")

# Below what a setting must be, and its range in words.
_RANGES = {
    "lr": (np.inf, "finite and at least 0"),
    "momentum": (1.0, "at least 0 and below 1"),
    "betas": (1.0, "two numbers of at least 0 and below 1"),
    "eps": (np.inf, "finite and at least 0"),
}

# What a state dict leaves out of a group.
_CONFIGURATION = ("penalty", "stacked")


def along_members(values: float | Tensor, parameter: Tensor) -> Any:
    """Return a setting shaped to act along the members of `parameter`, if there is one each."""
    if isinstance(values, Tensor) and values.ndim:
        return values.reshape(-1, *[1] * (parameter.ndim - 1))
    return values


def _check_settings(group: dict[str, Any]) -> None:
    """Raise ValueError where a setting of a parameter group is out of its range."""
    method = group["penalty_method"]
    if method not in PENALTY_METHODS:
        raise ValueError(f"penalty_method must be one of {PENALTY_METHODS}, got {method!r}.")
    for name, (upper, range_) in _RANGES.items():
        if name not in group:
            continue
        value = group[name]
        numbers = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
        if not ((numbers >= 0) & (numbers < upper)).all():
            raise ValueError(f"{name} must be {range_}, got {name}={value}.")


class PenalizedOptimizer(Optimizer):
    """A gradient step of some kind, and a penalty that enters it by one of three ways.

    A subclass gives `_gradient_step`, which moves the parameter, and `_proximal_step`, whose
    step is what a constant gradient has been multiplied by on its way to the weight.
    """

    #: What the estimators' parameter `solver` calls it.
    name: ClassVar[str]
    full_batch = False
    line_search = False
    #: Settings that may be a tensor of one for each member of a stack.
    per_member: ClassVar[tuple[str, ...]] = ("lr",)

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)
        self._scratch: dict[Tensor, tuple[Tensor, Tensor]] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for settings in (self.defaults, *self.param_groups):
            settings.pop("capturable", None)  # a setting of older pickles
        self._scratch = {}

    def _scratch_of(self, parameter: Tensor) -> tuple[Tensor, Tensor]:
        """Memory to compute in, kept from step to step.

        The system hands out new memory page by page, and for large weights takes several
        times as long over it as the arithmetic takes.
        """
        scratch = self._scratch.get(parameter)
        if scratch is None:
            like = parameter.detach()
            scratch = self._scratch[parameter] = torch.empty_like(like), torch.empty_like(like)
        return scratch

    def free_scratch(self) -> None:
        """Let go of the memory that only steps need; they take it again."""
        self._scratch.clear()

    def moments(self) -> list[Tensor]:
        """What the optimizer knows of each weight: averages of gradients, and momentum."""
        values = [value for state in self.state.values() for value in state.values()]
        return [value for value in values if isinstance(value, Tensor) and value.ndim]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        _check_settings({**self.defaults, **param_group})
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        penalty = group["penalty"]
        if penalty is not None and not isinstance(penalty, Penalty):
            raise TypeError(
                f"penalty must be a skreg.penalties.Penalty or None, got {penalty!r}."
            )
        if penalty is not None:
            penalty.check()
        if group["penalty_method"] == "decoupled" and not isinstance(penalty, L2 | None):
            raise ValueError(
                f"penalty_method='decoupled' scales the weights by 1 − lr·alpha, which is an "
                f"L2 penalty only, got {penalty}. Use penalty_method='proximal'."
            )

    def set_penalty(self, group: dict[str, Any], penalty: Penalty | None) -> None:
        """Exchange the penalty of a parameter group; the state goes on."""
        group["penalty"] = penalty

    # A penalty is configuration, like the network's architecture, and not state: without it
    # a state dict holds tensors and numbers alone and loads with weights_only=True.
    def state_dict(self) -> dict[str, Any]:
        saved = super().state_dict()
        for group in saved["param_groups"]:
            for name in _CONFIGURATION:
                group.pop(name, None)
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        groups = [
            {**saved, **{name: group[name] for name in _CONFIGURATION if name in group}}
            for saved, group in zip(state_dict["param_groups"], self.param_groups, strict=True)
        ]
        super().load_state_dict({**state_dict, "param_groups": groups})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step: gradient and penalty.

        A `closure` reevaluates the model and returns the loss, as torch's optimizers take it;
        it is returned. It is the data loss alone: the penalty is the optimizer's business.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.plan_steps()()
        return loss

    def plan_steps(self) -> Callable[[], None]:
        """Return :meth:`step` without the hooks and profiling that torch puts around it.

        To be called under ``torch.no_grad``. It is good for as long as the settings stay the
        same and gradients are written to the memory in which they are now: for an epoch.
        """
        return self._plan_moves(self._moves())

    def _plan_moves(self, moves: list[Move]) -> Callable[[], None]:
        def take_step() -> None:
            for parameter, group in moves:
                self._gradient_step(parameter, self._gradient(parameter, group), group)
                if is_proximal(group):
                    self._proximal_step(parameter, group)

        return take_step

    def _moves(self) -> list[Move]:
        moves = [
            (parameter, group)
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        if any(parameter.grad.is_sparse for parameter, _ in moves):
            raise RuntimeError(
                f"{type(self).__name__} does not support sparse gradients: a penalty moves "
                f"every weight in every step. Make the layer without sparse=True, as in "
                f"torch.nn.Embedding(..., sparse=False)."
            )
        return moves

    def _gradient(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        """The gradient, with what a penalty adds to it where that is its way."""
        gradient: Any = parameter.grad
        penalty: Penalty | None = group["penalty"]
        if penalty is not None and group["penalty_method"] == "subgradient":
            return gradient + penalty.subgradient(parameter)
        if penalty is not None and group["penalty_method"] == "decoupled":
            # lr·α·w, with w before the gradient step, as AdamW takes it.
            lr = along_members(group["lr"], parameter)
            parameter.sub_(lr * penalty.subgradient(parameter))
        return gradient

    @abstractmethod
    def _gradient_step(
        self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]
    ) -> None:
        """Move the parameter."""

    @abstractmethod
    def _proximal_step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """Apply the prox in the metric of the last gradient step."""


def is_proximal(group: dict[str, Any]) -> bool:
    return group["penalty"] is not None and group["penalty_method"] == "proximal"
