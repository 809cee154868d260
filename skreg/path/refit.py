"""Training supports again without the penalty, as many as possible at the same time.

A penalty that selects also shrinks. Each distinct support of a path is trained again on its
features alone: the weights of the others are put back to zero after every step, which is the
same as leaving their columns out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from sklearn.utils import gen_batches
from torch import Tensor

from skreg.path.networks import PathNetwork, PathPoint
from skreg.penalties import Penalty
from skreg.training.data import TensorData
from skreg.training.net import RegularizedNet
from skreg.training.progress import Progress


def refit_supports(
    network: PathNetwork, points: Sequence[PathPoint], rows: TensorData
) -> list[PathPoint]:
    """Return the points with weights that were trained without the penalty.

    The loss, optimizer, batches and limits are those of the network that followed the path.
    """
    # Each support is trained from where it was first seen, with the least shrinkage.
    first: dict[bytes, PathPoint] = {}
    for point in points:
        first.setdefault(point.selected.tobytes(), point)
    distinct = list(first.values())
    trained: dict[bytes, dict[str, Tensor]] = {}
    for batch in gen_batches(len(distinct), network.supports_at_once):
        part = distinct[batch]
        copies = network.copy_at(part, _from_scratch(network.net.progress, len(part)))
        keep: Any = network.support_masks(part)
        if isinstance(keep, dict):
            keep = {name: KeepSupport(mask) for name, mask in keep.items()}
        else:
            keep = KeepSupport(keep)
        copies.net.set_penalty(keep)
        _train(copies.net, rows)
        for member, point in enumerate(part):
            trained[point.selected.tobytes()] = copies.state(member)
    return [replace(point, state=trained[point.selected.tobytes()]) for point in points]


def _from_scratch(progress: Progress, n_members: int) -> Progress:
    """What the progress of one network was before its first epoch, for a stack of such."""
    return Progress(
        n_members,
        learning_rate_init=progress.learning_rate_init,
        learning_rate=progress.learning_rate,
        power_t=progress.power_t,
        tol=progress.tol,
        n_iter_no_change=progress.n_iter_no_change,
    )


def _train(net: RegularizedNet, rows: TensorData) -> None:
    net.begin(rows, None, keep_best=False)
    while net.n_epochs_ < net.max_epochs and not net.done_.all():
        blew_up, _ = net.run_epoch()
        if blew_up.any():
            raise ValueError(
                "Training a support without the penalty diverged. Lower learning_rate_init, or "
                "scale the columns of X (StandardScaler) and y (TransformedTargetRegressor)."
            )
    net.end()


class KeepSupport(Penalty):
    """The indicator of a support: weights are free where the mask is 1, and 0 elsewhere."""

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
        self, weight: Tensor, metric: Tensor, scale: float | Tensor, scratch: Tensor
    ) -> None:
        weight.mul_(self.mask)
