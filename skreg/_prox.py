"""Proximal operators as pure tensor functions.

The proximal operator of a function g at a point v with step s is

    prox(v) = argmin over w of  ½‖w − v‖² + s·g(w),

the point that lowers g while staying near v. For g = |w| it is soft-thresholding, and that
is where exact zeros come from: every |v| ≤ s is sent to 0 itself, not to something small.

The functions below take the point and the product of step and strength. Either may be a
number or a tensor that broadcasts against the point, so that each coordinate may have a
step of its own, as Adam's metric needs. They return a new tensor, or write to `out`.
This module stands at the bottom of the package and imports nothing of it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def soft_threshold(
    point: Tensor, threshold: float | Tensor, *, out: Tensor | None = None
) -> Tensor:
    """Proximal operator of the L1 norm: ``argmin_w ½(w − point)² + threshold·|w|``.

    Parameters
    ----------
    point : Tensor
        Where to evaluate the operator.
    threshold : float or Tensor broadcastable to `point`
        Non-negative: the step times the L1 strength.
    out : Tensor, default=None
        Where to write the result; may be `point` itself.

    Returns
    -------
    Tensor of the shape of `point`
        ``sign(point)·max(|point| − threshold, 0)``.

    Examples
    --------
    >>> import torch
    >>> from skreg._prox import soft_threshold
    >>> soft_threshold(torch.tensor([-3.0, 0.5, 2.0]), 1.0)
    tensor([-2.,  0.,  1.])
    """
    # point − clip(point) in place of sign·relu(|·| − t): two passes over memory, one
    # rounding, and a positive zero wherever the threshold wins.
    clipped = point.clamp(-threshold, threshold)  # type: ignore[arg-type]
    return torch.sub(point, clipped, out=out)


def shrink(point: Tensor, strength: float | Tensor) -> Tensor:
    """Proximal operator of half the squared norm: ``argmin_w ½(w − point)² + strength·½w²``.

    Parameters
    ----------
    point : Tensor
        Where to evaluate the operator.
    strength : float or Tensor broadcastable to `point`
        Non-negative: the step times the L2 strength.

    Returns
    -------
    Tensor of the shape of `point`
        ``point / (1 + strength)``: smaller in proportion, never zero.

    Examples
    --------
    >>> import torch
    >>> from skreg._prox import shrink
    >>> shrink(torch.tensor([-3.0, 0.5, 2.0]), 1.0)
    tensor([-1.5000,  0.2500,  1.0000])
    """
    return point / (1.0 + strength)


def elastic_net_prox(point: Tensor, l1: float | Tensor, l2: float | Tensor) -> Tensor:
    """Proximal operator of both: ``argmin_w ½(w − point)² + l1·|w| + l2·½w²``.

    Parameters
    ----------
    point : Tensor
        Where to evaluate the operator.
    l1, l2 : float or Tensor broadcastable to `point`
        Non-negative: the step times the strength of either part.

    Returns
    -------
    Tensor of the shape of `point`
        Soft-thresholding first, then shrinkage: ``soft_threshold(point, l1) / (1 + l2)``.

    References
    ----------
    Parikh & Boyd, "Proximal Algorithms", 2014, section 6.5.3.

    Examples
    --------
    >>> import torch
    >>> from skreg._prox import elastic_net_prox
    >>> elastic_net_prox(torch.tensor([-3.0, 0.5, 2.0]), 1.0, 1.0)
    tensor([-1.0000,  0.0000,  0.5000])
    """
    return shrink(soft_threshold(point, l1), l2)


def as_scalar(value: float | Tensor, like: Tensor) -> Tensor:
    """Return a number as a tensor of the dtype of another; a tensor as it is.

    torch turns a number into a tensor in each operation that it meets, more slowly.
    """
    return value if isinstance(value, Tensor) else torch.scalar_tensor(value, dtype=like.dtype)


def divide_(numerator: float | Tensor, denominator: Tensor) -> Tensor:
    """Return numerator / denominator, written over the denominator.

    Examples
    --------
    >>> import torch
    >>> from skreg._prox import divide_
    >>> divide_(6.0, torch.tensor([1.0, 2.0]))
    tensor([6., 3.])
    """
    return torch.div(as_scalar(numerator, denominator), denominator, out=denominator)
