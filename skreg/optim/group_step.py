"""A step of Adam, and of the prox after it, with one size for each group of weights.

The prox of a group penalty has a closed form in a metric that is the same throughout a group.
So Adam's second moment is averaged over each group, and what is done by group is done on
tensors of a number per group: short ones, on which every call costs more than its arithmetic.
Hence what does not change from step to step is made once, in :class:`GroupStep`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skreg.optim.floor import Floor
from skreg.penalties.curves import as_scalar
from skreg.penalties.groups import GroupView
from skreg.penalties.groupwise import GroupPenalty


class GroupStep:
    """A gradient and a proximal step of one parameter, to be taken again and again.

    The gradient is written to the same memory before each step. The state is Adam's, with the
    average of the second moment over each group; `lr` may be one per member.
    """

    def __init__(
        self,
        parameter: Tensor,
        state: dict[str, Any],
        *,
        lr: float | Tensor,
        betas: tuple[float, float],
        eps: float,
        penalty: GroupPenalty,
        floor: Floor,
    ) -> None:
        grouping = penalty.grouping(parameter)
        assert parameter.grad is not None
        self._weights = GroupView(grouping, parameter.detach())
        self._gradients = GroupView(grouping, parameter.grad)
        self._count = state["step"]
        self._mean, self._square = state["exp_avg"], state["exp_avg_sq"]
        self._means = grouping.views(self._mean)
        self._betas, self._eps = betas, eps
        self._lr = lr.reshape(-1, 1) if isinstance(lr, Tensor) and lr.ndim else lr
        self._prox = penalty.plan_prox(self._weights)
        self._inverse_roots = grouping.root_sizes(parameter).reciprocal()
        self._floor = floor
        self._step, self._moves = torch.empty_like(self._square), torch.empty_like(self._square)
        self._one = torch.ones(())

    def __call__(self) -> None:
        """Take the step; the gradient is left as it is."""
        beta_1, beta_2 = self._betas
        squares = self._gradients.norms().mul_(self._inverse_roots).square_()
        self._floor.add_to(squares)
        self._square.lerp_(squares, 1 - beta_2)
        self._mean.lerp_(self._gradients.tensor, 1 - beta_1)
        self._count.add_(self._one)
        count = self._count.item()
        correction = (1 - beta_2**count) ** 0.5
        step = torch.sqrt(self._square, out=self._step)
        step.add_(as_scalar(self._eps * correction, step))
        torch.div(as_scalar(self._lr * correction, step), step, out=step)
        moves = torch.div(step, as_scalar(beta_1**count - 1, step), out=self._moves)
        by_layer = zip(
            self._weights.layers, self._means, self._weights.spread(moves), strict=True
        )
        for view, mean, move in by_layer:
            view.addcmul_(mean, move)
        self._prox(step)
