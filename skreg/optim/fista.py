"""FISTA: accelerated proximal gradient descent on the full batch, for small data.

Where mini-batches only add noise (a lasso, a few hundred rows) the whole gradient is cheap
and a line search finds the step by itself. There is no learning rate to choose, and the
answer is exact: the solver goes on until the optimality residual is below its tolerance.

Every member of a stack has its own step, momentum and restarts: a stack of fits takes the
steps each would have taken alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from skreg.optim.adam import along_members
from skreg.optim.optimality import optimality_residual, prox_step

Evaluate = Callable[[bool], tuple[Tensor, list[Tensor]]]

_SHRINK, _GROW = 0.5, 1.1
# 2⁻⁶⁰ ≈ 1e-18: a step so small and still no descent means the loss is not finite or not
# continuous at this point.
_MAX_BACKTRACKS = 60


class FISTA(Optimizer):
    r"""Accelerated proximal gradient descent with backtracking and adaptive restart.

    Each step extrapolates, :math:`y = x + β_t (x - x_{-1})`, and takes a proximal gradient
    step from there, :math:`x_{+} = \mathrm{prox}(y - s∇L(y))`, with the largest s at hand
    for which L lies below its quadratic model. The momentum restarts where it points uphill;
    a step that would raise the objective is taken back and repeated without momentum, so
    that the objective falls on non-convex networks too.

    Parameters
    ----------
    params : iterable of dict
        Parameter groups; parameters of shape (n_members, ...), each group with its `penalty`.
    step_size : float, default=1.0
        Where the line search begins.

    References
    ----------
    Beck & Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse
    problems", 2009. O'Donoghue & Candès, "Adaptive restart for accelerated gradient
    schemes", 2015 (the gradient restart).

    Examples
    --------
    >>> import torch
    >>> from skreg.optim.fista import FISTA
    >>> from skreg.penalties import L1
    >>> weight = torch.zeros(1, 2, requires_grad=True)
    >>> solver = FISTA([{"params": [weight], "penalty": L1(alpha=1.0)}])
    >>> target = torch.tensor([[3.0, 0.5]])
    >>> def half_squared_distance(with_gradients):
    ...     gradients = [weight - target] if with_gradients else []
    ...     return 0.5 * (weight - target).square().sum(1), gradients
    >>> for _ in range(50):
    ...     losses = solver.step(half_squared_distance)
    >>> weight
    tensor([[2., 0.]], requires_grad=True)
    """

    _STATE = ("_gap", "_step_size", "_inertia", "_previous", "_loss", "n_evaluations")

    def __init__(self, params: Iterable[Any], *, step_size: float = 1.0) -> None:
        super().__init__(params, {"penalty": None})
        self._parameters = [p for group in self.param_groups for p in group["params"]]
        n_members = self._parameters[0].shape[0]
        ones = self._parameters[0].new_ones(n_members)
        self._gap = ones
        self._step_size = step_size * ones
        self._inertia = ones
        self._previous = [p.detach().clone() for p in self._parameters]
        self._loss: Tensor | None = None
        #: Evaluations of each member's loss so far, what `max_fun` bounds.
        self.n_evaluations = np.zeros(n_members, dtype=int)

    @property
    def _penalties(self) -> list[Any]:
        """What is put on each parameter; a path changes it between steps."""
        return [g["penalty"] for g in self.param_groups for _ in g["params"]]

    def set_penalty(self, group: dict[str, Any], penalty: Any) -> None:
        """Exchange the penalty of a parameter group; the state goes on."""
        group["penalty"] = penalty

    @torch.no_grad()
    def copy_members(self, source: FISTA, members: Sequence[int]) -> None:
        """Go on where some members of another solver stand."""
        chosen = list(members)
        self.n_evaluations = source.n_evaluations[chosen]
        self._step_size = source._step_size[chosen]
        self._inertia = source._inertia[chosen]
        self._gap = source._gap[chosen]
        self._previous = [tensor[chosen] for tensor in source._previous]
        self._loss = None if source._loss is None else source._loss[chosen]

    def state_dict(self) -> dict[str, Any]:
        """Return what the next step depends on beside the parameters."""
        state = {name: getattr(self, name) for name in self._STATE}
        # A tensor, so that a file of it loads with weights_only=True.
        return {**state, "n_evaluations": torch.tensor(self.n_evaluations)}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another solver for the same parameters stood."""
        device = self._parameters[0].device
        for name, value in state_dict.items():
            if name == "_previous":
                value = [tensor.to(device) for tensor in value]
            elif name == "n_evaluations":
                value = torch.as_tensor(value).cpu().numpy().copy()
            elif value is not None:
                value = value.to(device)
            setattr(self, name, value)

    @torch.no_grad()
    def step(self, evaluate: Evaluate) -> Tensor:  # type: ignore[override]
        """Take one step of every member.

        Parameters
        ----------
        evaluate : callable
            Called as ``evaluate(with_gradients)``; returns the data loss of each member at
            the current parameters, a tensor of shape (n_members,), and its gradients in the
            order of the parameters (an empty list where they are not asked for).

        Returns
        -------
        Tensor of shape (n_members,)
            The data loss where the step began.
        """
        start = [p.clone() for p in self._parameters]
        if self._loss is None:
            self.n_evaluations += 1
            self._loss, _ = evaluate(False)
        loss_at_start, objective_at_start = self._loss, self._loss + self._penalty()

        next_inertia = (1 + (1 + 4 * self._inertia**2).sqrt()) / 2
        momentum = (self._inertia - 1) / next_inertia
        for parameter, previous in zip(self._parameters, self._previous, strict=True):
            parameter.add_(along_members(momentum, parameter) * (parameter - previous))
        base = [p.clone() for p in self._parameters]
        gradients = self._backtrack(base, evaluate)

        # An objective that rose (or is not finite) is taken back; one equal to rounding is not.
        objective = self._loss + self._penalty()
        rose = ~(objective <= objective_at_start + _rounding(objective_at_start))
        uphill = self._dot(
            [b - p for b, p in zip(base, self._parameters, strict=True)],
            [p - s for p, s in zip(self._parameters, start, strict=True)],
        )
        for parameter, point in zip(self._parameters, start, strict=True):
            parameter.copy_(torch.where(along_members(rose, parameter), point, parameter))
        self._loss = torch.where(rose, loss_at_start, self._loss)
        restart = rose | (uphill > 0)
        self._inertia = torch.where(restart, torch.ones_like(next_inertia), next_inertia)
        self._previous = start
        self._gap = optimality_residual(base, gradients, self._penalties)
        return loss_at_start

    def _backtrack(self, base: list[Tensor], evaluate: Evaluate) -> list[Tensor]:
        """Move to the prox step from `base` with a step that the quadratic model allows."""
        self.n_evaluations += 1
        loss_at_base, gradients = evaluate(True)
        too_far = torch.ones_like(loss_at_base, dtype=torch.bool)
        for _ in range(_MAX_BACKTRACKS):
            # Those whose step is found stand still and are evaluated along with the rest.
            self.n_evaluations += too_far.cpu().numpy()
            for p, point, gradient, penalty in zip(
                self._parameters, base, gradients, self._penalties, strict=True
            ):
                p.copy_(prox_step(point, gradient, penalty, along_members(self._step_size, p)))
            self._loss, _ = evaluate(False)
            moved = [p - b for p, b in zip(self._parameters, base, strict=True)]
            curvature = self._dot(moved, moved) / (2 * self._step_size)
            model = loss_at_base + self._dot(gradients, moved) + curvature
            noise = _rounding(loss_at_base)
            too_far = ~(self._loss <= model + noise)
            if not too_far.any():
                break
            self._step_size = torch.where(too_far, _SHRINK * self._step_size, self._step_size)
        # Near the optimum the test drowns in rounding and would let any step pass: a step
        # grows only where the test could have failed.
        grown = torch.where(curvature > noise, _GROW * self._step_size, self._step_size)
        self._step_size = grown
        return gradients

    @torch.no_grad()
    def residual(self, evaluate: Evaluate, tol: Tensor) -> Tensor:
        """Return each member's optimality residual at the current parameters.

        The last step measured it at the point it extrapolated to, for nothing. Only where
        that is below `tol` for some member is it worth a gradient to measure it here.
        """
        if (self._gap > tol).all():
            return self._gap
        _, gradients = evaluate(True)
        residual = optimality_residual(self._parameters, gradients, self._penalties)
        return torch.where(self._gap > tol, self._gap, residual)

    def _penalty(self) -> Tensor | float:
        total: Tensor | float = 0.0
        for parameter, penalty in zip(self._parameters, self._penalties, strict=True):
            if penalty is not None:
                total = total + penalty.value([parameter])
        return total

    @staticmethod
    def _dot(left: list[Tensor], right: list[Tensor]) -> Tensor:
        products = [(a * b).flatten(1).sum(1) for a, b in zip(left, right, strict=True)]
        return torch.stack(products).sum(0)


def _rounding(loss: Tensor) -> Tensor:
    """How far apart two losses of this size may be and still be the same number."""
    return 10 * torch.finfo(loss.dtype).eps * loss.abs()
