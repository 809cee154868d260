"""FISTA: accelerated proximal gradient descent on the full batch, for small data.

Where mini-batches only add noise (a lasso, a few hundred rows) the whole gradient is cheap
and a line search finds the step by itself. There is no learning rate to choose, and the
answer is exact: the solver goes on until the optimality residual is below its tolerance.

Every member of a stack has a step, momentum and restarts of its own: a stack of fits takes the
steps each would have taken alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from skreg.optim.base import along_members
from skreg.optim.full_batch import Evaluate, FullBatchOptimizer
from skreg.optim.optimality import optimality_residual, prox_step
from skreg.penalties.base import total

_SHRINK, _GROW = 0.5, 1.1
# 2⁻⁶⁰ ≈ 1e-18: a step so small and still no descent means the loss is not finite or not
# continuous at this point.
_MAX_BACKTRACKS = 60


class FISTA(FullBatchOptimizer):
    r"""Accelerated proximal gradient descent with backtracking and adaptive restart.

    Each step extrapolates, :math:`y = x + β_t (x - x_{-1})`, and takes a proximal gradient
    step from there, :math:`x_{+} = \mathrm{prox}(y - s∇L(y))`, with the largest s at hand
    for which L lies below its quadratic model. The momentum restarts where it points uphill;
    a step that would raise the objective is taken back and repeated without momentum, so
    that the objective falls on non-convex networks too.

    See Beck & Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse
    problems", 2009, and for the restart O'Donoghue & Candès, "Adaptive restart for accelerated
    gradient schemes", 2015.

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

    name = "fista"
    _STATE = ("_gap", "_step_size", "_inertia", "_previous", "_loss", "n_evaluations")

    def __init__(self, params: Iterable[Any]) -> None:
        super().__init__(params)
        # Where the line search begins.
        self._step_size = torch.ones_like(self._gap)
        self._inertia = torch.ones_like(self._gap)
        self._previous = [p.detach().clone() for p in self._parameters]
        self._loss: Tensor | None = None

    @torch.no_grad()
    def step(self, evaluate: Evaluate) -> Tensor:  # type: ignore[override]
        """Take one step of every member; return the data loss where it began."""
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
        uphill = _dot(
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
            curvature = _dot(moved, moved) / (2 * self._step_size)
            model = loss_at_base + _dot(gradients, moved) + curvature
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


def _dot(left: list[Tensor], right: list[Tensor]) -> Tensor:
    return total(a * b for a, b in zip(left, right, strict=True))


def _rounding(loss: Tensor) -> Tensor:
    """How far apart two losses of this size may be and still be the same number."""
    return 10 * torch.finfo(loss.dtype).eps * loss.abs()
