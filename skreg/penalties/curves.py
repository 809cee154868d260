"""Penalties of one number: value, slope and proximal operator of each.

The proximal operator of a function g at a point v with step s is

    prox(v) = argmin over w of  ½‖w − v‖² + s·g(w),

the point that lowers g while staying near v. For g = |w| it is soft-thresholding, and that
is where exact zeros come from: every |v| ≤ s is sent to 0 itself, not to something small.

A :class:`Curve` is put on each weight (:mod:`skreg.penalties.elementwise`) or on the norm of
each group of weights (:mod:`skreg.penalties.groupwise`). Points, steps and the parameters of
a curve are numbers or tensors that broadcast against each other, so that each coordinate may
have another step, as Adam's metric needs.

>>> import torch
>>> from skreg.penalties.curves import ElasticNetCurve, MCPCurve
>>> point = torch.tensor([-3.0, 0.5, 2.0])
>>> ElasticNetCurve(l1=1.0).prox(point, step=1.0)
tensor([-2.,  0.,  1.])
>>> MCPCurve(alpha=1.0, gamma=3.0).prox(point, step=1.0)          # large weights stay
tensor([-3.0000,  0.0000,  1.5000])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class Curve(ABC):
    """An even function g of one number, 0 at 0 and rising from there.

    A subclass gives the three functions of a magnitude |w|. What they are of w follows.
    """

    @abstractmethod
    def value(self, size: Tensor) -> Tensor:
        """Return g of a magnitude."""

    @abstractmethod
    def slope(self, size: Tensor) -> Any:
        """Return the derivative of g by a positive magnitude."""

    @abstractmethod
    def prox_of_size(self, size: Tensor, step: float | Tensor) -> Tensor:
        """Return ``argmin_w ½(w − size)² + step·g(w)`` for a magnitude."""

    def subgradient(self, weight: Tensor) -> Tensor:
        """Return the element of the subdifferential of g that is 0 at 0."""
        return weight.sign() * self.slope(weight.abs())

    def prox(self, point: Tensor, step: float | Tensor) -> Tensor:
        """Return ``argmin_w ½(w − point)² + step·g(w)``."""
        size = self.prox_of_size(point.abs(), step)
        # Adding 0 makes a zero of a negative point a positive zero.
        return torch.copysign(size, point).add_(0.0)

    def prox_in_metric_(
        self, point: Tensor, metric: Tensor, scale: float | Tensor, scratch: Tensor
    ) -> None:
        """Write ``argmin_w ½ metric·(w − point)² + scale·g(w)`` over the point.

        The metric is positive and of the shape of the point. It may be written over, and so
        may `scratch`, memory of that shape.
        """
        point.copy_(self.prox(point, divide_(scale, metric)))


@dataclass(eq=False)
class ElasticNetCurve(Curve):
    """The elastic net, ``g(w) = l1·|w| + l2·½w²``; |w| and ½w² are its two ends.

    See Parikh & Boyd, "Proximal Algorithms", 2014, section 6.5.3.
    """

    #: Strengths of the two parts, non-negative.
    l1: Any = 0.0
    l2: Any = 0.0

    def value(self, size: Tensor) -> Tensor:
        if is_zero(self.l2):
            return self.l1 * size
        half_square = 0.5 * self.l2 * size.square()
        return half_square if is_zero(self.l1) else self.l1 * size + half_square

    def slope(self, size: Tensor) -> Any:
        return self.l1 + self.l2 * size

    def subgradient(self, weight: Tensor) -> Tensor:
        if is_zero(self.l1):
            return self.l2 * weight
        push = self.l1 * weight.sign()
        return push if is_zero(self.l2) else push + self.l2 * weight

    def prox(self, point: Tensor, step: float | Tensor) -> Tensor:
        # Soft-thresholding by step·l1, then shrinkage by 1 + step·l2.
        if is_zero(self.l1):
            return point / (1.0 + step * self.l2)
        moved = soft_threshold(point, step * self.l1)
        return moved if is_zero(self.l2) else moved.div_(1.0 + step * self.l2)

    def prox_of_size(self, size: Tensor, step: float | Tensor) -> Tensor:
        return self.prox(size, step)

    def prox_in_metric_(
        self, point: Tensor, metric: Tensor, scale: float | Tensor, scratch: Tensor
    ) -> None:
        # Fewer passes: in units of the metric the threshold is one number for all weights.
        point.mul_(metric)
        if not is_zero(self.l1):
            limit = scale * self.l1
            point.sub_(torch.clamp(point, -limit, limit, out=scratch))
        if not is_zero(self.l2):
            metric.add_(scale * self.l2)
        point.div_(metric)


@dataclass(eq=False)
class MCPCurve(Curve):
    """The minimax concave penalty and L2: ``g(w) = mcp(w) + l2·½w²``.

    mcp(w) is alpha·|w| − w²/(2 gamma) up to gamma·alpha, and flat beyond. With L2 it is the
    Mnet of Huang, Breheny, Lee, Ma & Zhang, "The Mnet method for variable selection", 2016.
    """

    #: Strength, where it is flat in units of that, and strength of L2.
    alpha: Any
    gamma: Any
    l2: Any = 0.0

    def value(self, size: Tensor) -> Tensor:
        reached = size.clamp(max=self.gamma * self.alpha)
        concave = self.alpha * reached - 0.5 * reached.square() / self.gamma
        return concave + 0.5 * self.l2 * size.square()

    def slope(self, size: Tensor) -> Tensor:
        return (self.alpha - size / self.gamma).clamp(min=0.0) + self.l2 * size

    def prox_of_size(self, size: Tensor, step: float | Tensor) -> Tensor:
        """Return ``argmin_w ½(w − size)² + step·(mcp(w) + l2·½w²)`` for a magnitude.

        With c = 1 + step·l2 and a step below gamma·c it is the firm threshold:
        soft-thresholding by step·alpha, divided by c − step/gamma, where that is at most
        gamma·alpha, and size/c beyond. With a larger step the objective is concave in between,
        and what is left is the hard threshold: size/c from alpha·√(gamma·step·c) on, and zero
        below.
        """
        # Below gamma·alpha the firm threshold is less than L2 alone would leave, beyond it
        # would be more: so the smaller of the two is the answer. Where the objective is
        # concave, the firm threshold is infinitely steep and begins where the hard one jumps.
        step = tensor_like(step, size)
        slope, jump, shrunk = 1.0 - step / self.gamma, self.gamma * step, size
        if not is_zero(self.l2):
            slope = slope + step * self.l2
            shrinkage = 1.0 + step * self.l2
            jump, shrunk = jump * shrinkage, size / shrinkage
        foot = torch.fmin(step, jump.sqrt_()) * self.alpha
        slope.clamp_(min=torch.finfo(size.dtype).tiny)
        return torch.minimum((size - foot).relu_().div_(slope), shrunk)


@dataclass(eq=False)
class SCADCurve(Curve):
    """The smoothly clipped absolute deviation and L2: ``g(w) = scad(w) + l2·½w²``.

    scad(w) is alpha·|w| up to alpha and flat beyond a·alpha; its slope falls linearly between.
    """

    #: Strength, where it is flat in units of that, and strength of L2.
    alpha: Any
    a: Any
    l2: Any = 0.0

    def value(self, size: Tensor) -> Tensor:
        reached = size.clamp(max=self.a * self.alpha)
        past = (reached - self.alpha).clamp(min=0.0)
        concave = self.alpha * reached - 0.5 * past.square() / (self.a - 1.0)
        return concave + 0.5 * self.l2 * size.square()

    def slope(self, size: Tensor) -> Tensor:
        falling = (self.a * self.alpha - size) / (self.a - 1.0)
        return falling.clamp(min=0.0).clamp(max=self.alpha) + self.l2 * size

    def prox_of_size(self, size: Tensor, step: float | Tensor) -> Tensor:
        """Return ``argmin_w ½(w − size)² + step·(scad(w) + l2·½w²)`` for a magnitude.

        For a step below a − 1: soft-thresholding by step·alpha up to alpha·(1 + step), a
        steeper line up to a·alpha, and the point itself beyond. From a − 1 on the steeper
        line is a jump from the soft threshold to the point itself, where the two objectives
        are equal: at alpha·(a + 1 + step)/2, or alpha·√(step·(a + 1)) if the soft
        threshold is still zero there. With c = 1 + step·l2 it is that of size/c and step/c.
        """
        alpha, a, s = self.alpha, tensor_like(self.a, size), tensor_like(step, size)
        if not is_zero(self.l2):
            # ½(w − x)²/s + ½l2·w² is ½(w − x/c)²·c/s, but for a constant.
            shrinkage = 1.0 + s * self.l2
            size, s = size / shrinkage, s / shrinkage
        smooth, ratio = s < a - 1.0, s / (a - 1.0)
        root = s.sqrt() * (a + 1.0).sqrt()
        jump = torch.where(s < a + 1.0, 0.5 * (a + 1.0 + s), root)
        soft = (size - s * alpha).relu_()
        # Where it is not smooth this is not used, but must not warn or be NaN.
        line_slope = (1.0 - ratio).clamp(min=torch.finfo(size.dtype).eps)
        line = torch.minimum((size - a * ratio * alpha).relu_() / line_slope, size)
        beyond = line.where(smooth & (size <= a * alpha), size)
        return soft.where(size <= alpha * torch.where(smooth, 1.0 + s, jump), beyond)


def soft_threshold(
    point: Tensor, threshold: float | Tensor, *, out: Tensor | None = None
) -> Tensor:
    """Return ``argmin_w ½(w − point)² + threshold·|w|``, or write it to `out`."""
    # point − clip(point) in place of sign·relu(|·| − t): two passes over memory, one
    # rounding, and a positive zero wherever the threshold wins.
    limit: Any = threshold
    return torch.sub(point, point.clamp(-limit, limit), out=out)


def is_zero(strength: float | Tensor) -> bool:
    """Whether a strength is the number 0. What a tensor holds is not looked at."""
    return not isinstance(strength, Tensor) and strength == 0


def tensor_like(value: float | Tensor, like: Tensor) -> Tensor:
    """Return a number as a tensor on the device of another; a tensor as it is."""
    # Filled in there: a copy from the host would wait for the device.
    return value if isinstance(value, Tensor) else like.new_full((), value)


def as_scalar(value: float | Tensor, like: Tensor) -> Tensor:
    """Return a number as a tensor of the dtype of another; a tensor as it is.

    torch turns a number into a tensor in each operation that it meets, more slowly.
    """
    return value if isinstance(value, Tensor) else torch.scalar_tensor(value, dtype=like.dtype)


def divide_(numerator: float | Tensor, denominator: Tensor) -> Tensor:
    """Return numerator / denominator, written over the denominator."""
    return torch.div(as_scalar(numerator, denominator), denominator, out=denominator)
