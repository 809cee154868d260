"""How small Adam's second moment may be where a penalty takes its step from it.

Adam divides by the root of a moving average of squared gradients. A weight without a gradient
is not moved by that, however small the average, but its penalty moves it all the more: a weight
whose neuron has not fired since the optimizer began, or whose category no batch has held yet,
would have the step lr/ε, a hundred thousand, and one proximal step would wipe it.

So what is averaged is not the squared gradient g² alone but

    g² + (0.05)²·(mean of g² over the penalized weights) + (0.01·alpha)².

The gradient step and the proximal step share this metric, so that they come to rest where they
did without it. No √v̂ is below a twentieth of the root mean square of the gradients, nor below
0.01·alpha, so that a penalty moves a weight at most as far as its proximal operator with the
step lr/(0.01·alpha) does: L1 by 100·lr, L2 to no less than 1/(1 + 100·lr) of what it was.
At rest the gradient of a weight that L1 keeps is alpha, and the floor is small against that.

Where the average has a long memory it is added in every eighth step alone, the first among
them, and eightfold: the mean of g² is that of the gradients of these steps.

``benchmarks/floor.py`` prints what other shares do: with less of the gradients, rows of an
embedding that no batch held lose more than ten times what ``torch.optim.Adam`` takes from
them; with more, or with more of alpha, penalties that are not convex keep what they should
drop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from skreg.optim.base import along_members
from skreg.penalties import Penalty

OF_GRADIENT, OF_ALPHA = 0.05, 0.01

# Steps from one addition to the next, and how much of it may be forgotten in between.
_PERIOD, _FORGOTTEN = 8, 0.01


class SumOfSquares:
    """The sum of the squares of some tensors, or of each member of stacks, time after time.

    `value` is the sum when :meth:`measure` was last called, of `count` numbers (each).

    >>> import torch
    >>> from skreg.optim.floor import SumOfSquares
    >>> gradients = [torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.tensor([[2.0], [0.0]])]
    >>> sums = SumOfSquares(gradients, stacked=True)
    >>> sums.measure()
    >>> sums.value, sums.count
    (tensor([9., 9.]), 3)
    """

    def __init__(self, tensors: Sequence[Tensor], *, stacked: bool) -> None:
        n_members = len(tensors[0]) if stacked else 1
        self.count = sum(tensor.numel() for tensor in tensors) // n_members
        self.value = tensors[0].new_zeros((n_members,) if n_members > 1 else ())
        self._add_up = [_plan_sum(tensor, by_member=n_members > 1) for tensor in tensors]

    def measure(self) -> None:
        """Add up what is in the tensors now."""
        first, *others = self._add_up
        first(self.value)
        for add_up in others:
            self.value.add_(add_up(None))


class Floor:
    """What is added, step by step, to squared gradients of one parameter, shaped `like`.

    `squares` are those of all penalized weights, `count` is that of the parameter's steps.
    """

    def __init__(
        self,
        penalty: Penalty,
        squares: SumOfSquares,
        count: Tensor,
        *,
        beta_2: float,
        like: Tensor,
    ) -> None:
        self._period = _PERIOD if beta_2**_PERIOD >= 1 - _FORGOTTEN else 1
        self._count = count
        # With what is forgotten of it until the next time.
        weight = self._period / beta_2 ** (self._period - 1)
        # Both are 0 where alpha is: there is nothing that a penalty could wipe.
        alpha = penalty._tensor("alpha", like)
        share = OF_GRADIENT**2 * (alpha > 0).to(like.dtype)
        self._share = weight * share / squares.count
        self._base = weight * (OF_ALPHA * alpha).square()
        self._total = along_members(squares.value, like)

    def is_due(self) -> bool:
        """Whether the step to come wants it."""
        return self._count.item() % self._period == 0

    def add_to(self, squares: Tensor, factor: float = 1.0) -> None:
        """Add it, times `factor`, before the count goes up."""
        if self.is_due():
            squares.add_(torch.addcmul(self._base, self._share, self._total), alpha=factor)


def _plan_sum(tensor: Tensor, *, by_member: bool) -> Callable[[Tensor | None], Tensor]:
    """Return what writes the sum of the squares of a tensor, or of each member, to `out`."""
    if tensor.is_contiguous() and not by_member:
        flat = tensor.view(-1)
        return lambda out: torch.dot(flat, flat, out=out)
    axes = tuple(range(int(by_member), tensor.ndim)) or None
    return lambda out: torch.linalg.vector_norm(tensor, dim=axes, out=out).square_()
