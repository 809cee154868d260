"""The penalty that keeps a support: what is out stays out, and the rest goes free."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from skreg.penalties import Penalty


class KeepSupport(Penalty):
    """No penalty where the mask is 1, and zero where it is 0: the indicator of a support.

    Parameters
    ----------
    mask : Tensor of the shape of the weights
    """

    alpha = 0.0

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def value(self, weights: Iterable[Tensor]) -> Tensor:
        return torch.stack([weight.new_zeros(len(weight)) for weight in weights]).sum(0)

    def subgradient(self, weight: Tensor) -> Tensor:
        return torch.zeros_like(weight)

    def prox(self, weight: Tensor, step: float | Tensor) -> Tensor:
        return weight * self.mask

    def prox_in_metric_(
        self,
        weight: Tensor,
        metric: Tensor,
        scale: float | Tensor,
        scratch: Tensor,
    ) -> None:
        weight.mul_(self.mask)
