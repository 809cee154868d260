"""What MCP and SCAD are of one number, and what their elementwise and group forms share.

Both rise like L1 near zero, and their slope falls to 0 for large weights: what stays is not
shrunk. A network that is not shrunk fits the noise of its rows with whatever features it keeps.
So an L2 penalty may stand beside them, in proportion to alpha, which shrinks what stays
without choosing among it.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from skreg.penalties.base import Penalty, Strength
from skreg.penalties.curves import beside


def mcp_value(size: Tensor, alpha: Any, gamma: Any) -> Tensor:
    """MCP of a magnitude: alpha·size − size²/(2 gamma) up to gamma·alpha, constant beyond."""
    reached = torch.minimum(size, beside(gamma * alpha, size))
    return alpha * reached - 0.5 * reached.square() / gamma


def mcp_slope(size: Tensor, alpha: Any, gamma: Any) -> Tensor:
    """Derivative of :func:`mcp_value` by a positive magnitude."""
    return (alpha - size / gamma).clamp(min=0.0)


def scad_value(size: Tensor, alpha: Any, a: Any) -> Tensor:
    """SCAD of a magnitude: alpha·size, less what its slope has fallen by since alpha."""
    reached = torch.minimum(size, beside(a * alpha, size))
    past = (reached - alpha).clamp(min=0.0)
    return alpha * reached - 0.5 * past.square() / (a - 1.0)


def scad_slope(size: Tensor, alpha: Any, a: Any) -> Tensor:
    """Derivative of :func:`scad_value` by a positive magnitude."""
    falling = (a * alpha - size) / (a - 1.0)
    return torch.minimum(falling.clamp(min=0.0), beside(alpha, size))


class ConcaveMixin:
    """A penalty of MCP or SCAD, of weights or of norms, with L2 beside it.

    A subclass says which in two attributes.
    """

    l2_ratio: Strength

    _ranges = {
        **Penalty._ranges,
        "l2_ratio": (lambda v: v >= 0, "finite and at least 0"),
        "gamma": (lambda v: v > 1, "finite and above 1"),
        "a": (lambda v: v > 2, "finite and above 2"),
    }

    #: Value, slope and proximal operator of a magnitude.
    _curve: ClassVar[tuple[Callable[..., Tensor], Callable[..., Tensor], Callable[..., Tensor]]]
    #: The parameter of these that says where the slope is 0.
    _bend: ClassVar[str]

    _along_members: Callable[[str, Tensor], Any]

    def _l2(self, like: Tensor) -> Any:
        """Strength of L2, broadcastable to `like`."""
        if self.l2_ratio is None or (isinstance(self.l2_ratio, Real) and self.l2_ratio == 0):
            return 0.0
        # In the dtype of the weights, as the strengths of many members are.
        alpha = beside(self._along_members("alpha", like), like)
        return alpha * self._along_members("l2_ratio", like)

    def _value_of(self, size: Tensor, strength: Any) -> Tensor:
        value = self._curve[0](size, strength, self._along_members(self._bend, size))
        return value + 0.5 * self._l2(size) * size.square()

    def _slope_of(self, size: Tensor, strength: Any) -> Tensor:
        slope = self._curve[1](size, strength, self._along_members(self._bend, size))
        return slope + self._l2(size) * size

    def _plan_prox_of(self, like: Tensor, strength: Any) -> Callable[..., Tensor]:
        """Return what gives the proximal operator for a point shaped as `like`, and a step."""
        prox, l2 = self._curve[2], self._l2(like)
        bend = beside(self._along_members(self._bend, like), like)
        return lambda point, step: prox(point, step, strength, bend, l2)
