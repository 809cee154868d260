"""Passes over all rows: predictions, and the loss of the whole data with its gradient.

Each goes batch by batch, so that the memory of the hidden layers is that of one batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skreg.losses import Loss
from skreg.modules import MLP
from skreg.modules.backprop import Backprop, Forward, outputs_at_once
from skreg.training.data import TensorData
from skreg.training.runtime import threads_worth

# Rows per forward pass where there is nothing to learn from them: past the size at which
# larger products get faster. And the numbers that the rows, or a layer of all members, may
# have: they take little memory compared with anything worth training.
_FORWARD_ROWS = 8192
_FORWARD_NUMBERS = 2**19
# A layer of fewer numbers than this is computed before a plan for it would be made.
_NUMBERS_WITHOUT_PLAN = 2**16


def raw_outputs(module: MLP, data: TensorData, device: torch.device | str) -> Tensor:
    """Return raw outputs in evaluation mode, shape (n_members, n_samples, n_outputs)."""
    n_rows = min(len(data), _rows_at_once(data, module))
    with torch.inference_mode(), threads_worth(n_rows * module.n_members * module.largest):
        widest = max(module.n_features, module.widest)
        is_small = len(data) * widest <= _NUMBERS_WITHOUT_PLAN
        if is_small and module.n_members == 1 and not data.is_sparse:
            return outputs_at_once(module, data.X.to(device))
        return forward_all(Forward(module, data.readers), data, device)


def forward_all(forward: Any, data: TensorData, device: torch.device | str) -> Tensor:
    """Return what `forward` (a :class:`Forward`, or its like) gives for all rows.

    Rows move to the device a batch at a time: it need not hold them all.
    """
    with torch.inference_mode():
        at_once = _rows_at_once(data, forward.module)
        outputs = [forward.outputs(X.to(device)) for X, _, _ in data.batches(at_once)]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, 1)


def mean_losses(backprop: Backprop | Any, data: TensorData, batch_size: int) -> Tensor:
    """Return the mean data loss of each member over all rows, shape (n_members,)."""
    module, total = backprop.module, torch.zeros(())
    with torch.no_grad():
        for X, *rest in data.batches(_full_batch_rows(data, module, batch_size)):
            total = total + sum_of_losses(backprop.loss, backprop.outputs(X), *rest)
    return total / len(data)


def sum_of_losses(loss: Loss, raw: Tensor, y: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Return the weighted sum of the losses of each member, shape (n_members,)."""
    losses = loss.value(raw, y)
    return (losses if sample_weight is None else losses * sample_weight).sum(1)


def mean_losses_and_gradients(
    backprop: Backprop | Any, data: TensorData, batch_size: int
) -> tuple[Tensor, list[Tensor]]:
    """Return the mean data loss of each member, and its gradients by weights and biases."""
    total = torch.zeros(())
    sums = [torch.zeros_like(gradient) for gradient in backprop.gradients]
    with torch.no_grad():
        for batch in data.batches(_full_batch_rows(data, backprop.module, batch_size)):
            raw = backprop(*batch)
            total = total + sum_of_losses(backprop.loss, raw, *batch[1:])
            for gradient, of_batch in zip(sums, backprop.gradients, strict=True):
                gradient.add_(of_batch, alpha=raw.shape[1] / len(data))
    return total / len(data), sums


def _full_batch_rows(data: TensorData, module: Any, batch_size: int) -> int:
    rows = _rows_at_once(data, module)
    # Sparse rows are made dense no more at a time than in training.
    return min(batch_size, rows) if data.is_sparse else rows


def _rows_at_once(data: TensorData, module: Any) -> int:
    copies_of_rows = len(data.streams)
    numbers = max(copies_of_rows * data.n_features, module.n_members * module.widest)
    return max(1, min(_FORWARD_ROWS, _FORWARD_NUMBERS // numbers))
