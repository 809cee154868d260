"""What makes an estimator a regressor: its losses, its targets, `fit` and `predict`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils._tags import Tags
from sklearn.utils.metaestimators import available_if
from torch import Tensor

from skreg.estimators.base import BaseRegularizedNetwork
from skreg.estimators.checks import cast_target
from skreg.estimators.rollback import all_or_nothing
from skreg.estimators.solvers import takes_batches
from skreg.losses import REGRESSION_LOSSES, Loss, make_regression_loss


class RegressionMixin(RegressorMixin, BaseRegularizedNetwork):
    """Regression by a network, whatever the network."""

    _parameter_constraints: dict = {
        "loss": [StrOptions(set(REGRESSION_LOSSES)), callable],
    }

    loss: str | Loss | Callable[[Tensor, Tensor], Tensor]

    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            float32 and float64 are kept, and are the precision of the network; other types
            become float64. Sparse rows are made dense a batch at a time.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets. `predict` gives back this shape.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative. Only their ratios matter; weight 0 is the same as leaving out.

        Returns
        -------
        self : object
        """
        self._fit(X, y, sample_weight)
        return self

    @available_if(takes_batches)
    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on these samples, going on from where training stands.

        Between two calls `penalty`, `alpha`, `l1_ratio`, `batch_size`, `shuffle` and `device`
        may change; the other parameters count as they were in the first call.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            Relative to the other samples of the same call.

        Returns
        -------
        self : object
        """
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of the shape that `y` had in `fit`
        """
        return self._decode(self._raw_predict(X))

    def _make_loss(self) -> Loss:
        return make_regression_loss(self.loss)

    def _encode_target(self, y: np.ndarray, dtype: np.dtype, *, resume: bool) -> np.ndarray:
        if not resume:
            self._y_ndim = y.ndim
        return cast_target(y, dtype)

    def _count_outputs(self, target: np.ndarray) -> int:
        return target.shape[1]

    def _decode(self, raw: Tensor) -> np.ndarray:
        predictions = self.net_.criterion_.predict(raw).cpu().numpy()
        return predictions[:, 0] if self._y_ndim == 1 else predictions

    def _decode_target(self, target: Tensor) -> np.ndarray:
        y = target.cpu().numpy()
        return y[:, 0] if self._y_ndim == 1 else y

    def _score_predictions(
        self, y: np.ndarray, predictions: np.ndarray, sample_weight: np.ndarray | None
    ) -> float:
        return r2_score(y, predictions, sample_weight=sample_weight)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
