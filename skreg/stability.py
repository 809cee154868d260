"""Stability selection: the features that a sparse network selects again and again.

One sparse fit selects the features that this sample happened to favour. Fits on many random
halves of the rows tell the features that are selected almost whatever the rows from those that
are by chance, and there is a bound for how many of the latter get through. One by one that is
a hundred fits; here they are one stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import get_tags, validation
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils._tags import Tags
from sklearn.utils.multiclass import type_of_target

from skreg.estimators import checks
from skreg.estimators.many import Task, fit_all, threads_for, windows_of
from skreg.estimators.mlp import BaseRegularizedMLP
from skreg.estimators.parameters import parameter, parametrized
from skreg.estimators.rollback import all_or_nothing
from skreg.penalties import L2
from skreg.penalties.by_name import make_penalty

__all__ = ["StabilitySelection"]


@parametrized
class StabilitySelection(SelectorMixin, MetaEstimatorMixin, BaseEstimator):
    r"""Select the features that a sparse network selects on most random halves of the rows.

    The network is fitted on `n_subsamples` random halves of the rows, at each of `alphas`. The
    selection probability of a feature is the share of the subsamples on which it is among the
    network's ``selected_features_``, at the alpha where that share is largest. Selected are
    the features whose probability is at least `threshold`.

    Of the features that have nothing to say at most

    .. math::
        E[V] ≤ \frac{q^2}{(2π - 1)\,p}

    are expected among them, where q is the mean number of features that a subsample selects
    at any of the alphas, π the threshold and p the number of features, if the features
    without influence are exchangeable and selected no more often than by chance.

    Parameters
    ----------
    estimator : RegularizedMLPRegressor or RegularizedMLPClassifier
        The network, with a penalty that gives zeros.
    alphas : array-like of shape (n_alphas,), default=None
        Strengths of the penalty. None takes the network's alone.
    n_subsamples : int, default=100
        Halves of the rows to fit on, drawn in pairs that share no row. Of classes each half
        has half.
    threshold : float, default=0.75
        Selection probability from which a feature is selected, above 0.5. It may be changed
        after `fit`.
    random_state : int, RandomState or None, default=None
        Source of the subsamples and of the networks' seeds.

    Attributes
    ----------
    selection_probabilities_ : ndarray of shape (`n_features_in_`,)
        Largest of the shares at the alphas.
    stability_path_ : ndarray of shape (n_alphas, `n_features_in_`)
        Share of the subsamples on which each feature was selected.
    alphas_ : ndarray of shape (n_alphas,)
    n_selected_ : float
        Mean number of features that a subsample selects at any of the alphas, q above.
    error_bound_ : float
        The bound on the number of features selected falsely, at the current `threshold`.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    References
    ----------
    Meinshausen & Bühlmann, "Stability selection", 2010. Shah & Samworth, "Variable selection
    with error control: another look at stability selection", 2013 (the pairs).

    Examples
    --------
    >>> from skreg import RegularizedMLPClassifier, StabilitySelection
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> network = RegularizedMLPClassifier(
    ...     (), penalty="l1", alpha=0.2, solver="fista", tol=1e-3
    ... )
    >>> selection = StabilitySelection(network, n_subsamples=20, random_state=0)
    >>> selection.fit((X - X.mean()) / X.std(), y).get_feature_names_out()
    array(['petal length (cm)', 'petal width (cm)'], dtype=object)
    """

    estimator: Any = parameter(HasMethods(["fit"]), kw_only=False)
    alphas: Any = parameter("array-like", None, default=None)
    n_subsamples: int = parameter(Interval(Integral, 2, None, closed="left"), default=100)
    threshold: float = parameter(Interval(Real, 0.5, 1, closed="right"), default=0.75)
    random_state: int | np.random.RandomState | None = parameter("random_state", default=None)

    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> StabilitySelection:
        """Fit the network on all subsamples and count what it selects.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            Weights in the loss. Subsamples are drawn without them.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If the estimator is not a network of skreg, or one that chooses its alpha.
        ValueError
            If its penalty gives no zeros, an alpha is not positive or there are fewer than
            four samples.
        """
        self._validate_params()
        self._check_estimator()
        X, y = validation.validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=(np.float64, np.float32),
            multi_output=True,
            ensure_min_samples=4,
        )
        y = checks.densify(y)
        if sample_weight is not None:
            sample_weight = validation._check_sample_weight(
                sample_weight, X, ensure_non_negative=True
            )
        self.alphas_ = self._check_alphas()
        rng = checks.private_random_state(self.random_state)
        counts = np.zeros((len(self.alphas_), X.shape[1]))
        anywhere = np.zeros((self.n_subsamples, X.shape[1]), dtype=bool)
        windows = windows_of(self._tables(X, y, sample_weight, rng))
        for task in fit_all(windows, threads_for([self.estimator])):
            if task.exception is not None:
                raise task.exception
            subsample, place = task.label
            selected = task.estimator.selected_features_
            counts[place] += selected
            anywhere[subsample] |= selected
            task.estimator = None  # type: ignore[assignment]
        self.stability_path_ = counts / self.n_subsamples
        self.selection_probabilities_ = self.stability_path_.max(axis=0)
        self.n_selected_ = float(anywhere.sum(axis=1).mean())
        return self

    @property
    def error_bound_(self) -> float:
        """Bound on the expected number of features that are selected falsely."""
        if "n_selected_" not in vars(self):
            raise AttributeError("This StabilitySelection is not fitted yet: call fit first.")
        return self.n_selected_**2 / ((2 * self.threshold - 1) * self.n_features_in_)

    def _get_support_mask(self) -> np.ndarray:
        validation.check_is_fitted(self)
        # Shares are ratios of small integers: 0.6 · 5 must not fail by a rounding.
        return self.selection_probabilities_ >= self.threshold - 1e-12

    def _check_estimator(self) -> None:
        network = self.estimator
        if not isinstance(network, BaseRegularizedMLP):
            raise TypeError(
                f"StabilitySelection trains a network of skreg, but estimator is "
                f"{type(network).__name__}. Give a RegularizedMLPRegressor or "
                f"RegularizedMLPClassifier; to scale columns, put a StandardScaler before "
                f"StabilitySelection in a Pipeline."
            )
        checks.check_takes_alpha(
            network, "StabilitySelection", "The alpha that was chosen may be one of `alphas`."
        )
        network._validate_params()
        # The strength is looked at where there are alphas.
        alpha = network.alpha or 1.0
        penalty = make_penalty(network.penalty, alpha, network.l1_ratio)
        if penalty is None or isinstance(penalty, L2) or network.penalty_method != "proximal":
            raise ValueError(
                f"StabilitySelection counts the features that a network selects, but "
                f"penalty={network.penalty!r} with penalty_method={network.penalty_method!r} "
                f"gives no zeros. Use penalty='group_lasso' or 'l1', and "
                f"penalty_method='proximal'."
            )

    def _check_alphas(self) -> np.ndarray:
        given = self.estimator.get_params()[checks.name_of_alpha(self.estimator)]
        if self.alphas is None:
            alphas = np.atleast_1d(np.asarray(given, dtype=float))
        else:
            alphas = validation.check_array(
                self.alphas, ensure_2d=False, dtype=float, input_name="alphas"
            )
        if alphas.ndim != 1 or not (alphas > 0).all():
            got = f"the network's own, {given}" if self.alphas is None else repr(self.alphas)
            raise ValueError(f"alphas must be a list of positive numbers, got {got}.")
        return alphas

    def _tables(
        self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None, rng: Any
    ) -> Iterator[list[Task]]:
        """Tasks of each subsample, one for each alpha."""
        names, classes = getattr(self, "feature_names_in_", None), self._classes(y)
        name = checks.name_of_alpha(self.estimator)
        for subsample, rows in enumerate(self._subsamples(y, rng)):
            weights = None if sample_weight is None else sample_weight[rows]
            table = X[rows], y[rows], weights, names
            seed = int(rng.randint(2**31 - 1))
            tasks = []
            for place, alpha in enumerate(self.alphas_):
                network = clone(self.estimator)
                network.set_params(random_state=seed, **{name: float(alpha)})
                if classes is not None:
                    network._declare_classes(classes)
                tasks.append(Task(network, *table, label=(subsample, place)))
            yield tasks

    def _classes(self, y: np.ndarray) -> np.ndarray | None:
        """All classes, of which a half may lack some, where y has one for each row."""
        if is_classifier(self.estimator) and type_of_target(y) in ("binary", "multiclass"):
            return np.unique(y)
        return None

    def _subsamples(self, y: np.ndarray, rng: Any) -> Iterator[np.ndarray]:
        """Rows of each subsample; two in a row have none in common."""
        half = len(y) // 2
        classes = self._classes(y)
        codes = None if classes is None else np.searchsorted(classes, y.ravel())
        for subsample in range(self.n_subsamples):
            if subsample % 2 == 0:
                order = rng.permutation(len(y))
                if codes is not None:
                    # Every other row of the rows by class: of each class a half.
                    order = order[np.argsort(codes[order], kind="stable")]
                    order = np.concatenate([order[::2][:half], order[1::2][:half]])
            first = half * (subsample % 2)
            yield np.sort(order[first : first + half])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.target_tags.required = True
        tags.target_tags.multi_output = inner.target_tags.multi_output
        return tags
