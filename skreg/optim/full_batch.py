"""What the solvers share that take every step on all rows at once.

They are given the loss as a function to evaluate, and go on until the optimality residual is
within their tolerance. A subclass gives `step`, and names in `_STATE` what its next step
depends on besides the parameters.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from skreg.optim.optimality import optimality_residual

#: Called as ``evaluate(with_gradients)``; returns the data loss of each member at the current
#: parameters, shape (n_members,), and its gradients in the order of the parameters (an empty
#: list where they are not asked for).
Evaluate = Callable[[bool], tuple[Tensor, list[Tensor]]]


class FullBatchOptimizer(Optimizer):
    """A solver for parameters of shape (n_members, ...), each group with its `penalty`."""

    name: ClassVar[str]
    full_batch = True
    #: Whether it finds the length of its steps by itself, and has no learning rate.
    line_search = True
    per_member: ClassVar[tuple[str, ...]] = ()
    #: Attributes that are None or have the member as their leading axis.
    _STATE: ClassVar[tuple[str, ...]] = ("_gap", "n_evaluations")

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        super().__init__(params, {"penalty": None, **defaults})
        self._parameters = [p for group in self.param_groups for p in group["params"]]
        n_members = self._parameters[0].shape[0]
        #: The residual where the gradient was last taken.
        self._gap = self._parameters[0].new_ones(n_members)
        #: Evaluations of each member's loss so far, which `max_fun` bounds.
        self.n_evaluations = np.zeros(n_members, dtype=int)

    @abstractmethod
    def step(self, evaluate: Evaluate) -> Tensor:  # type: ignore[override]
        """Take one step of every member; return the data loss where it began."""

    @torch.no_grad()
    def residual(self, evaluate: Evaluate, tol: Tensor) -> Tensor:
        """Return each member's optimality residual at the current parameters.

        The last step measured it where it took its gradient, for nothing. Only where that is
        below `tol` for some member is it worth a gradient to measure it here.
        """
        if (self._gap > tol).all():
            return self._gap
        _, gradients = evaluate(True)
        residual = optimality_residual(self._parameters, gradients, self._penalties)
        return torch.where(self._gap > tol, self._gap, residual)

    @property
    def _penalties(self) -> list[Any]:
        """What is put on each parameter; a path changes it between steps."""
        return [g["penalty"] for g in self.param_groups for _ in g["params"]]

    def _penalty(self) -> Tensor | float:
        """The penalty of each member at the current parameters."""
        total: Tensor | float = 0.0
        for parameter, penalty in zip(self._parameters, self._penalties, strict=True):
            if penalty is not None:
                total = total + penalty.value([parameter])
        return total

    def set_penalty(self, group: dict[str, Any], penalty: Any) -> None:
        """Exchange the penalty of a parameter group; the state goes on."""
        group["penalty"] = penalty

    def moments(self) -> list[Tensor]:
        """None: what is known of one step is of no use after another."""
        return []

    def free_scratch(self) -> None:
        """Nothing: there is no memory that only steps need."""

    def state_dict(self) -> dict[str, Any]:
        """Return what the next step depends on besides the parameters."""
        state = {name: getattr(self, name) for name in self._STATE}
        # A tensor, so that a file of it loads with weights_only=True.
        return {**state, "n_evaluations": torch.tensor(self.n_evaluations)}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another solver for the same parameters stood."""
        device = self._parameters[0].device
        for name, value in state_dict.items():
            if isinstance(value, list):
                setattr(self, name, [each.to(device) for each in value])
            else:
                setattr(self, name, None if value is None else value.to(device))
        n_evaluations = torch.as_tensor(state_dict["n_evaluations"])
        self.n_evaluations = n_evaluations.cpu().numpy().copy()
