"""The rows that early stopping holds out, and how a network is scored on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from skreg.training.data import TensorData


class HoldOutMixin:
    """An estimator that may hold out a share of its rows to validate on."""

    early_stopping: bool
    validation_fraction: float
    net_: Any
    _random_state: np.random.RandomState
    _decode: Callable[[Tensor], np.ndarray]
    _score_predictions: Callable[..., float]

    def _split(
        self,
        X: Any,
        y: np.ndarray,
        target: np.ndarray,
        sample_weight: np.ndarray | None,
    ) -> tuple[TensorData, TensorData | None]:
        """Rows to train on, and under early stopping those to validate on."""
        if not self.early_stopping:
            return TensorData(X, target, sample_weight), None
        n_samples = X.shape[0]
        too_few = (
            f"validation_fraction={self.validation_fraction} of {n_samples} samples leaves too "
            f"few to validate on. Increase it, give more data, or set early_stopping=False."
        )
        try:
            train, valid = train_test_split(
                np.arange(n_samples),
                test_size=self.validation_fraction,
                random_state=self._random_state,
                stratify=self._stratify(y),
            )
        except ValueError as error:
            raise ValueError(f"{too_few} ({error})") from error
        if len(valid) < 2:
            raise ValueError(too_few)
        weights = None if sample_weight is None else sample_weight[valid]
        self.net_.scorer = partial(self._score_raw, y[valid], weights)
        self.net_.batch_size = min(self.net_.batch_size, len(train))
        return (
            TensorData(X, target, sample_weight, rows=train),
            TensorData(X, target, sample_weight, rows=valid),
        )

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        return None

    def _score_raw(
        self, y: np.ndarray, sample_weight: np.ndarray | None, raw: Tensor
    ) -> np.ndarray:
        """Validation scores of all members; minus infinity where predictions are not finite."""
        return np.array(
            [
                self._score_predictions(y, self._decode(member), sample_weight)
                if torch.isfinite(member).all()
                else -np.inf
                for member in raw
            ]
        )
