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

from typing import Any

import torch
from torch import Tensor


def soft_threshold(
    point: Tensor,
    threshold: float | Tensor,
    *,
    out: Tensor | None = None,
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
    >>> from skreg.penalties.curves import soft_threshold
    >>> soft_threshold(torch.tensor([-3.0, 0.5, 2.0]), 1.0)
    tensor([-2.,  0.,  1.])
    """
    # point − clip(point) in place of sign·relu(|·| − t): two passes over memory, one
    # rounding, and a positive zero wherever the threshold wins.
    limit: Any = threshold
    return torch.sub(point, point.clamp(-limit, limit), out=out)


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
    >>> from skreg.penalties.curves import shrink
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
    >>> from skreg.penalties.curves import elastic_net_prox
    >>> elastic_net_prox(torch.tensor([-3.0, 0.5, 2.0]), 1.0, 1.0)
    tensor([-1.0000,  0.0000,  0.5000])
    """
    return shrink(soft_threshold(point, l1), l2)


def elastic_net_prox_in_metric_(
    point: Tensor, metric: Tensor, l1: float | Tensor, l2: float | Tensor, scratch: Tensor
) -> None:
    """Write ``argmin_w ½ metric·(w − point)² + l1·|w| + l2·½w²`` over the point.

    What :func:`elastic_net_prox` gives for a step of 1/metric, in fewer passes: in units of the
    metric the threshold is one number for all weights, or one for each member.

    Parameters
    ----------
    point : Tensor
    metric : Tensor of the shape of `point`
        Positive; written over.
    l1, l2 : float or Tensor broadcastable to `point`
        Non-negative.
    scratch : Tensor of the shape of `point`
        Memory to compute in.

    Examples
    --------
    >>> import torch
    >>> from skreg.penalties.curves import elastic_net_prox_in_metric_
    >>> point, metric = torch.tensor([-3.0, 0.5, 2.0]), torch.tensor([2.0, 1.0, 0.5])
    >>> elastic_net_prox_in_metric_(point, metric, 1.0, 0.0, torch.empty(3))
    >>> point
    tensor([-2.5000,  0.0000,  0.0000])
    """
    point.mul_(metric)
    if isinstance(l1, Tensor) or l1 > 0:
        limit: Any = l1
        point.sub_(torch.clamp(point, -limit, limit, out=scratch))
    if isinstance(l2, Tensor) or l2 > 0:
        metric.add_(l2)
    point.div_(metric)


def mcp_prox(
    point: Tensor,
    step: float | Tensor,
    alpha: float | Tensor,
    gamma: float | Tensor,
    l2: float | Tensor = 0.0,
) -> Tensor:
    r"""Proximal operator of MCP and L2: ``argmin_w ½(w − point)² + step·(mcp(w) + l2·½w²)``.

    The minimax concave penalty begins as alpha·|w| and is flat beyond gamma·alpha:

    .. math::
        \mathrm{mcp}(w) = α|w| - w²/(2γ) \text{ for } |w| ≤ γα, \quad γα²/2 \text{ beyond.}

    Parameters
    ----------
    point : Tensor
        Where to evaluate the operator.
    step : float or Tensor broadcastable to `point`
        Non-negative. Here the step and the strength are no simple product.
    alpha : float or Tensor broadcastable to `point`
        Strength, non-negative.
    gamma : float or Tensor broadcastable to `point`
        Where the penalty is flat, in units of alpha; positive.
    l2 : float or Tensor broadcastable to `point`, default=0.0
        Strength of half the squared norm beside it, non-negative.

    Returns
    -------
    Tensor of the shape of `point`
        With c = 1 + step·l2 and a step below gamma·c the firm threshold: soft-thresholding by
        step·alpha, divided by c − step/gamma, where that is at most gamma·alpha, and point/c
        beyond. With a larger step the objective is concave in between, and what is left is
        the hard threshold: point/c from alpha·√(gamma·step·c) on, and zero below.

    References
    ----------
    Zhang, "Nearly unbiased variable selection under minimax concave penalty", 2010. Huang,
    Breheny, Lee, Ma & Zhang, "The Mnet method for variable selection", 2016.

    Examples
    --------
    >>> import torch
    >>> from skreg.penalties.curves import mcp_prox
    >>> mcp_prox(torch.tensor([0.5, 2.0, -4.0]), step=1.0, alpha=1.0, gamma=3.0)
    tensor([ 0.0000,  1.5000, -4.0000])
    >>> mcp_prox(torch.tensor([0.5, 3.0, -4.0]), step=4.0, alpha=1.0, gamma=3.0)
    tensor([ 0.,  0., -4.])
    """
    size = mcp_prox_of_size(point.abs(), step, alpha, gamma, l2)
    # Adding 0 makes a zero of a negative point a plain zero.
    return torch.copysign(size, point).add_(0.0)


def mcp_prox_of_size(
    size: Tensor,
    step: float | Tensor,
    alpha: float | Tensor,
    gamma: float | Tensor,
    l2: float | Tensor = 0.0,
) -> Tensor:
    """What :func:`mcp_prox` gives for points that are not negative, in few operations.

    Below gamma·alpha the firm threshold is less than L2 alone would leave, beyond it would be
    more: so the smaller of the two is the answer. With a step so large that the objective is
    concave the firm threshold is made infinitely steep, and its foot is where the hard
    threshold jumps.
    """
    step = beside(step, size)
    slope, jump, shrunk = 1.0 - step / gamma, gamma * step, size
    if isinstance(l2, Tensor) or l2 != 0:
        slope = slope + step * l2
        shrinkage = 1.0 + step * l2
        jump, shrunk = jump * shrinkage, size / shrinkage
    foot = torch.fmin(step, jump.sqrt_()) * alpha
    slope.clamp_(min=torch.finfo(size.dtype).tiny)
    return torch.minimum((size - foot).relu_().div_(slope), shrunk)


def scad_prox(
    point: Tensor,
    step: float | Tensor,
    alpha: float | Tensor,
    a: float | Tensor,
    l2: float | Tensor = 0.0,
) -> Tensor:
    r"""Proximal operator of SCAD and L2: ``argmin_w ½(w − point)² + step·(scad(w) + l2·½w²)``.

    The smoothly clipped absolute deviation is alpha·|w| up to alpha, flat beyond a·alpha,
    and its slope falls linearly in between.

    Parameters
    ----------
    point : Tensor
        Where to evaluate the operator.
    step : float or Tensor broadcastable to `point`
        Non-negative.
    alpha : float or Tensor broadcastable to `point`
        Strength, non-negative.
    a : float or Tensor broadcastable to `point`
        Where the penalty is flat, in units of alpha; above 1.
    l2 : float or Tensor broadcastable to `point`, default=0.0
        Strength of half the squared norm beside it, non-negative: with c = 1 + step·l2 the
        result is that without, of the point/c and the step/c.

    Returns
    -------
    Tensor of the shape of `point`
        For a step below a − 1: soft-thresholding by step·alpha up to alpha·(1 + step), a
        steeper line up to a·alpha, and the point itself beyond. From a − 1 on the steeper
        line is a jump from the soft threshold to the point itself, where the two objectives
        are equal: at alpha·(a + 1 + step)/2, or alpha·√(step·(a + 1)) if the soft
        threshold is still zero there.

    References
    ----------
    Fan & Li, "Variable selection via nonconcave penalized likelihood and its oracle
    properties", 2001.

    Examples
    --------
    >>> import torch
    >>> from skreg.penalties.curves import scad_prox
    >>> scad_prox(torch.tensor([0.5, 1.5, 3.0, -4.0]), step=1.0, alpha=1.0, a=3.7)
    tensor([ 0.0000,  0.5000,  2.5882, -4.0000])
    >>> scad_prox(torch.tensor([3.0, 4.0]), step=3.0, alpha=1.0, a=3.7)
    tensor([0., 4.])
    """
    step, a = beside(step, point), beside(a, point)
    if isinstance(l2, Tensor) or l2 != 0:
        # ½(w − x)²/s + ½l2·w² is ½(w − x/c)²·c/s, but for a constant.
        shrinkage = 1.0 + step * l2
        point, step = point / shrinkage, step / shrinkage
    size = point.abs()
    smooth = step < a - 1.0
    jump = torch.where(step < a + 1.0, 0.5 * (a + 1.0 + step), step.sqrt() * (a + 1.0).sqrt())
    soft = soft_threshold(point, step * alpha)
    ratio = step / (a - 1.0)
    steep = _steep_threshold(point, size, a * ratio * alpha, 1.0 - ratio)
    beyond = steep.where(smooth & (size <= a * alpha), point)
    return soft.where(size <= alpha * torch.where(smooth, 1.0 + step, jump), beyond)


def beside(value: float | Tensor, like: Tensor) -> Tensor:
    """Return a number as a tensor on the device of another; a tensor as it is."""
    # Filled in there: a copy from the host would wait for the device.
    return value if isinstance(value, Tensor) else like.new_full((), value)


def _steep_threshold(point: Tensor, size: Tensor, threshold: Tensor, slope: Tensor) -> Tensor:
    """Soft-thresholding divided by `slope` in (0, 1], and never beyond the point itself.

    Where the slope is not positive the value is not used, but must not warn or be NaN.
    """
    steep = soft_threshold(point, threshold) / slope.clamp(min=torch.finfo(point.dtype).eps)
    return steep.clamp(-size, size)


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
    >>> from skreg.penalties.curves import divide_
    >>> divide_(6.0, torch.tensor([1.0, 2.0]))
    tensor([6., 3.])
    """
    return torch.div(as_scalar(numerator, denominator), denominator, out=denominator)
