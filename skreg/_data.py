"""Rows as tensors: on the device before the first epoch, cut into batches without a copy.

A DataLoader collates samples one by one; on a table of numbers that costs more than the
network does. Here an epoch is one gather in a random order and then slices of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

__all__ = ["TensorData"]


class TensorData:
    """Rows on their way to the network.

    Dense rows move to the device once. Sparse rows stay on the host and are made dense a
    batch at a time, so that the whole never has to fit.

    Parameters
    ----------
    X : ndarray or csr matrix of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, n_outputs), or None
        Targets: of the dtype of X, or class indices as integers.
    sample_weight : ndarray of shape (n_samples,), or None
        Any non-negative weights; they are scaled to a mean of 1 here, so that the mean of
        weighted losses over a batch is an unbiased estimate of the weighted mean.
    device : torch.device
    """

    def __init__(
        self,
        X: Any,
        y: np.ndarray | None,
        sample_weight: np.ndarray | None = None,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.X: Any = X if scipy.sparse.issparse(X) else _as_tensor(X, self.device)
        self.y = None if y is None else _as_tensor(y, self.device)
        if sample_weight is None:
            self.sample_weight = None
        else:
            # The mean in float64: a sum over a million float32 weights has lost digits.
            scaled = sample_weight / sample_weight.mean(dtype=np.float64)
            self.sample_weight = _as_tensor(scaled.astype(X.dtype), self.device)

    def __len__(self) -> int:
        return self.X.shape[0]

    def batches(
        self, batch_size: int, order: np.ndarray | None = None
    ) -> Iterator[tuple[Tensor, Any, Tensor | None]]:
        """Yield (X, y, sample_weight) of at most `batch_size` rows, in the given order."""
        X, y, sample_weight = self.X, self.y, self.sample_weight
        if order is not None:
            # One gather an epoch; every batch is then a slice, which copies nothing.
            on_device = _as_tensor(order, self.device)
            y = None if y is None else y.index_select(0, on_device)
            if sample_weight is not None:
                sample_weight = sample_weight.index_select(0, on_device)
            if isinstance(X, Tensor):
                X = X.index_select(0, on_device)
        for start in range(0, len(self), batch_size):
            rows = slice(start, start + batch_size)
            if isinstance(X, Tensor):
                X_batch = X[rows]
            else:
                picked = X[rows] if order is None else X[order[rows]]
                X_batch = _as_tensor(picked.toarray(), self.device)
            yield (
                X_batch,
                None if y is None else y[rows],
                None if sample_weight is None else sample_weight[rows],
            )


def _as_tensor(array: np.ndarray, device: torch.device) -> Tensor:
    # torch can share a writable array in place, but only warns about a read-only one (a
    # memory map, say) that it might be written to.
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)
