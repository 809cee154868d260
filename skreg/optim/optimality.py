"""How far from optimal a point is, by the step that proximal gradient descent would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from skreg.penalties import Penalty


def optimality_residual(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    penalties: Sequence[Penalty | None],
    step: float = 1.0,
) -> Tensor:
    r"""Return how far each member is from optimal, :math:`‖w - \mathrm{prox}(w - s∇L(w))‖_∞/s`.

    It is zero exactly at the stationary points of L + alpha·Ω, is the largest gradient
    where there is no penalty, and is measured in units of the gradient whatever the step.

    Parameters
    ----------
    weights : sequence of Tensor of shape (n_members, ...)
    gradients : sequence of Tensor
        Of the data loss, at `weights`.
    penalties : sequence of Penalty or None
        What is put on each weight tensor.
    step : float, default=1.0
        The step s.

    Returns
    -------
    Tensor of shape (n_members,)

    References
    ----------
    Parikh & Boyd, "Proximal Algorithms", 2014, section 4.2 (the fixed point).

    Examples
    --------
    >>> import torch
    >>> from skreg.optim import optimality_residual
    >>> from skreg.penalties import L1
    >>> weight, gradient = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.9, -0.5]])
    >>> optimality_residual([weight], [gradient], [L1(alpha=1.0)])
    tensor([0.5000])
    """
    worst = [
        (weight - prox_step(weight, gradient, penalty, step)).abs().flatten(1).amax(1) / step
        for weight, gradient, penalty in zip(weights, gradients, penalties, strict=True)
    ]
    return torch.stack(worst).amax(0)


def prox_step(weight: Tensor, gradient: Tensor, penalty: Penalty | None, step: Any) -> Tensor:
    """Return ``prox(weight − step·gradient)``, one step of proximal gradient descent."""
    moved = weight - step * gradient
    return moved if penalty is None else penalty.prox(moved, step)
