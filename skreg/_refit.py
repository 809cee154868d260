"""Training supports once more without the penalty, all of them side by side.

A penalty that selects also shrinks. Each distinct support of a path is trained again on its
own features alone: the weights of the others are put back to zero after every step, which is
the same as leaving their columns out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from skreg._data import TensorData
from skreg._progress import Progress
from skreg._walk import Step
from skreg.modules import MLP
from skreg.net import RegularizedNet
from skreg.penalties import Penalty

__all__ = ["KeepSupport", "refit_steps", "stack_of"]

# Supports that are trained as one stack: numbers in its weights.
_NUMBERS_AT_ONCE = 2**21


class KeepSupport(Penalty):
    """No penalty where the mask is 1, and zero where it is 0: the indicator of a support.

    Parameters
    ----------
    mask : Tensor of the shape of the weights
    """

    alpha = 1.0

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
        scratch: Tensor | None = None,
    ) -> None:
        weight.mul_(self.mask)


def refit_steps(net: RegularizedNet, steps: list[Step], rows: TensorData) -> list[Step]:
    """Return the steps with the weights of their supports' own networks.

    Parameters
    ----------
    net : RegularizedNet
        What the path was walked with: its loss, optimizer, batches and limits are used.
    steps : list of Step
    rows : TensorData
    """
    # Each support is trained from where it was first seen, with the least shrinkage.
    distinct: dict[bytes, Step] = {}
    for step in steps:
        distinct.setdefault(step.selected.tobytes(), step)
    keys = list(distinct)
    at_once = max(1, _NUMBERS_AT_ONCE // net.module_.weight.shape[1])
    trained: dict[bytes, tuple[Tensor, Tensor]] = {}
    for start in range(0, len(keys), at_once):
        part = keys[start : start + at_once]
        module = _train(net, [distinct[key] for key in part], rows)
        weights, biases = module.weight.detach(), module.bias.detach()
        trained.update(zip(part, zip(weights, biases, strict=True), strict=True))
    refitted = []
    for step in steps:
        weight, bias = trained[step.selected.tobytes()]
        refitted.append(replace(step, weight=weight.clone(), bias=bias.clone()))
    return refitted


def _train(net: RegularizedNet, steps: list[Step], rows: TensorData) -> MLP:
    module = stack_of(net.module_, steps)
    fan_out = module.weights[0].shape[2]
    mask = torch.ones_like(module.weight)
    for member, step in enumerate(steps):
        selected = torch.from_numpy(step.selected).to(mask)
        mask[member, : len(selected) * fan_out] = selected.repeat_interleave(fan_out)
    progress = copy.copy(net.progress)
    stack = RegularizedNet(
        module,
        net.criterion,
        net.optimizer,
        penalty=KeepSupport(mask),
        penalize_bias=False,
        progress=type(progress).join([_anew(progress)] * len(steps)),
        shufflers=net.shufflers,
        batch_size=net.batch_size,
        shuffle=net.shuffle,
        max_epochs=net.max_epochs,
        max_fun=net.max_fun,
        callbacks=None,
        verbose=0,
        device=net.device,
    ).initialize()
    stack.begin(rows, None, keep_best=False)
    while stack.n_epochs_ < stack.max_epochs and not stack.done_.all():
        blew_up, _ = stack.run_epoch()
        if blew_up.any():
            raise ValueError(
                "Training a support without the penalty diverged. Lower learning_rate_init, or "
                "scale the columns of X (StandardScaler) and y (TransformedTargetRegressor)."
            )
    stack.end()
    return module


def _anew(progress: Progress) -> Progress:
    fresh = copy.copy(progress)
    fresh.learning_rates = progress.learning_rate_init.copy()
    fresh.best = np.full(1, -np.inf)
    fresh.stalled = np.zeros(1, dtype=int)
    fresh.running = np.ones(1, dtype=bool)
    return fresh


@torch.no_grad()
def stack_of(module: MLP, steps: list[Step]) -> MLP:
    """Return a stack of networks, one for each of these steps."""
    stack = MLP(
        module.n_features,
        module.hidden_layer_sizes,
        module.n_outputs,
        activation=module.activation,
        dropout=module.dropout,
        n_members=len(steps),
        random_state=0,  # drawn and written over
        dtype=module.weight.dtype,
    ).to(module.weight.device)
    stack.weight.copy_(torch.stack([step.weight for step in steps]))
    stack.bias.copy_(torch.stack([step.bias for step in steps]))
    return stack.eval()
