"""What an estimator predicts: numbers or labels, with the loss, encoding and score of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils._param_validation import StrOptions
from sklearn.utils._tags import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
    type_of_target,
)
from torch import Tensor

from skreg.estimators.base import BaseRegularizedNetwork
from skreg.estimators.checks import cast_target, densify
from skreg.estimators.parameters import parameter, parametrized
from skreg.estimators.rollback import all_or_nothing
from skreg.estimators.solvers import takes_batches
from skreg.losses import (
    REGRESSION_LOSSES,
    Logistic,
    Loss,
    Multinomial,
    make_regression_loss,
)


@parametrized
class Regression(RegressorMixin, BaseRegularizedNetwork):
    """Regression by a network, whatever the network.

    Parameters
    ----------
    loss : {...} or callable, default="squared_error"
        Loss per sample. :class:`skreg.losses.Huber` and :class:`skreg.losses.Quantile` take
        their parameter as objects, as in ``loss=Quantile(0.9)``. "poisson" predicts exp(f).
        A callable ``loss(y_pred, y_true)`` takes tensors of shape (n_samples, n_outputs)
        and returns one value per sample.

    Attributes
    ----------
    out_activation_ : str
        Link of the output: "identity", or "exp" for Poisson.
    """

    loss: str | Loss | Callable[[Tensor, Tensor], Tensor] = parameter(
        StrOptions(set(REGRESSION_LOSSES)), callable, default="squared_error"
    )

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


@parametrized
class Classification(ClassifierMixin, BaseRegularizedNetwork):
    """Classification by a network, whatever the network.

    Parameters
    ----------
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes, multiplied with `sample_weight`: by label; inversely
        proportional to their frequency; or, for multilabel targets, one dict per label.
        A dict that names all classes in y may name more: y may be a fold that lacks some.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; for multilabel targets the indices of the labels.
    out_activation_ : str
        Link of the output: "logistic" or "softmax".
    """

    class_weight: dict | list | str | None = parameter(
        StrOptions({"balanced"}), dict, list, None, default=None
    )

    #: All classes there will ever be, where that is known beforehand.
    _declared_classes = None

    def _fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, incremental: bool = False
    ) -> Self:
        if not incremental:
            self._declared_classes = None
        return super()._fit(X, y, sample_weight, incremental=incremental)

    @available_if(takes_batches)
    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> Self:
        """Train for one epoch on these samples, going on from where training stands.

        Between two calls `penalty`, `alpha`, `l1_ratio`, `batch_size`, `shuffle` and `device`
        may change; the other parameters count as they were in the first call.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        sample_weight : array-like of shape (n_samples,), default=None
            Relative to the other samples of the same call.
        classes : array-like of shape (n_classes,), default=None
            All classes there will ever be; required in the first call and optional after.

        Returns
        -------
        self : object
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit sees a part of the data at a time, and class_weight='balanced' "
                "needs all of it. Give the weights as a dict: sklearn.utils.class_weight."
                "compute_class_weight finds them."
            )
        if _check_partial_fit_first_call(self, classes):
            self._declare_classes(self.classes_)
        return self._fit(X, y, sample_weight, incremental=True)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            One column per entry of `classes_`; for multilabel targets the probability of
            each label.
        """
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict log-probabilities, accurate where the probability itself rounds to 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        raw = self._raw_predict(X)
        loss: Any = self.net_.criterion_
        if self._multilabel or isinstance(loss, Multinomial):
            return loss.log_predict(raw).numpy()
        if len(self.classes_) == 1:
            return np.zeros((len(raw), 1), dtype=self._dtype)
        return np.hstack([loss.log_predict(-raw).numpy(), loss.log_predict(raw).numpy()])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy; of multilabel targets, how many rows have all labels right.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            As in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        if type_of_target(y, input_name="y") == "multilabel-indicator":
            y = _presence(np.asarray(densify(y))).astype(int)
        return super().score(X, y, sample_weight=sample_weight)

    def _declare_classes(self, classes: np.ndarray) -> None:
        """Know all classes before `_prepare` sees rows that may lack some of them."""
        self.classes_ = self._declared_classes = classes

    def _make_loss(self) -> Loss:
        return Multinomial() if len(self.classes_) > 2 and not self._multilabel else Logistic()

    def _encode_target(self, y: np.ndarray, dtype: np.dtype, *, resume: bool) -> np.ndarray:
        if y.dtype == object and y.ndim == 1:
            _sorted_labels(y)  # or an error that says more than scikit-learn's next
        # Numbers too large for integers are no labels, which is said without numpy's warning.
        with np.errstate(invalid="ignore"):
            check_classification_targets(y)
        multilabel = type_of_target(y, input_name="y") == "multilabel-indicator"
        if not multilabel:
            y = column_or_1d(y, warn=True)
        if not resume:
            self._multilabel = multilabel
            if self._declared_classes is None:
                self.classes_ = np.arange(y.shape[1]) if multilabel else _sorted_labels(y)
        elif multilabel != self._multilabel:
            raise ValueError(
                "y changed between multilabel and single labels since the first fit. Give it "
                "as there, or set warm_start=False and call fit to start from scratch."
            )
        if multilabel:
            return _presence(y).astype(dtype)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y has classes {unknown} that are not in classes_={self.classes_}. Leave "
                f"their rows out; or name all classes in the first call of partial_fit, or set "
                f"warm_start=False and call fit to start from scratch."
            )
        codes = np.searchsorted(self.classes_, y).reshape(-1, 1)
        return codes if len(self.classes_) > 2 else codes.astype(dtype)

    def _count_outputs(self, target: np.ndarray) -> int:
        if self._multilabel:
            return target.shape[1]
        return len(self.classes_) if len(self.classes_) > 2 else 1

    def _weigh_samples(
        self, y: np.ndarray, sample_weight: np.ndarray | None
    ) -> np.ndarray | None:
        if self.class_weight is None:
            return sample_weight
        if isinstance(self.class_weight, dict) and not self._multilabel:
            # Of all classes, not of those in y: a batch of partial_fit may lack some.
            classes = self.classes_.tolist()
            unknown = set(self.class_weight).difference(classes)
            # Rows may be a fold that lacks a class. So, as in scikit-learn, a class too many is
            # an error only where not all in y are named.
            may_lack = self._declared_classes is None and set(classes) <= set(self.class_weight)
            if unknown and not may_lack:
                raise ValueError(
                    f"class_weight has labels {sorted(unknown, key=str)} that are not in "
                    f"classes_={self.classes_}. Leave them out."
                )
            weights = np.array([self.class_weight.get(c, 1.0) for c in classes])
            by_class = weights[np.searchsorted(self.classes_, np.ravel(y))]
        elif self._multilabel and self.class_weight != "balanced":
            # With a row of no labels and one of all: y may lack a value of a label.
            both = np.repeat([[0], [1]], y.shape[1], axis=1)
            by_class = compute_sample_weight(self.class_weight, np.vstack([y, both]))[:-2]
        else:
            by_class = compute_sample_weight(self.class_weight, y)
        return by_class if sample_weight is None else by_class * sample_weight

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        return None if self._multilabel else y

    def _decode(self, raw: Tensor) -> np.ndarray:
        if self._multilabel:
            return (raw > 0).long().cpu().numpy()
        if raw.shape[1] > 1:
            codes = raw.argmax(1).cpu().numpy()
        else:
            # With a single class the network has nothing to choose from.
            codes = np.minimum((raw[:, 0] > 0).long().cpu().numpy(), len(self.classes_) - 1)
        return self.classes_[codes]

    def _decode_target(self, target: Tensor) -> np.ndarray:
        codes = target.cpu().numpy()
        return codes if self._multilabel else self.classes_[codes[:, 0].astype(int)]

    def _score_predictions(
        self, y: np.ndarray, predictions: np.ndarray, sample_weight: np.ndarray | None
    ) -> float:
        if sample_weight is None and predictions.ndim == 1 and np.shape(y) == predictions.shape:
            # What accuracy_score comes to, which checks its input for longer than it counts.
            return float(np.mean(np.asarray(y) == predictions))
        if self._multilabel:
            y = (np.asarray(y) != 0).astype(predictions.dtype)
        return accuracy_score(y, predictions, sample_weight=sample_weight)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _sorted_labels(y: np.ndarray) -> np.ndarray:
    try:
        return np.unique(y)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in y.tolist()})
        raise TypeError(
            f"y mixes labels of types that have no order, {', '.join(kinds)}. Make them all "
            f"texts or all numbers."
        ) from error


def _presence(y: np.ndarray) -> np.ndarray:
    """Which labels are there, by indicators that are 0 and one positive number."""
    values = np.unique(y)
    if (values < 0).any() or np.count_nonzero(values) > 1:
        raise ValueError(
            f"y is multilabel with the values {values.tolist()}, which do not say what labels "
            f"are there: 0 is for one that is not, and 1, or another positive number, for one "
            f"that is. Give (y == value).astype(int), with the value that stands for one."
        )
    return y != 0
