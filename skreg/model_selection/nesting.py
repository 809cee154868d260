"""A network inside a pipeline: find it, record what it would be fitted on, put it back fitted.

A ``Pipeline`` may end in a network, or in a ``TransformedTargetRegressor`` around one, or in
another pipeline. To train many such networks as a stack, the steps before the network are
fitted as usual, with a :class:`Recorder` in its place that only keeps what it is given. The
fitted network then takes the recorder's place.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, get_tags
from sklearn.utils.validation import _get_feature_names

from skreg.estimators.base import BaseRegularizedNetwork
from skreg.estimators.checks import check_takes_alpha
from skreg.plotting.fitted import wrapped


def find_network(estimator: Any) -> tuple[str, BaseRegularizedNetwork]:
    """Return the network in an estimator, after the prefix of its parameters there."""
    prefix, step = "", estimator
    while not isinstance(step, BaseRegularizedNetwork):
        inside = wrapped(step, fitted=False)
        if inside is None:
            kind = "None" if step is None else type(step).__name__
            where = (
                f"{type(estimator).__name__} ends in {kind}" if prefix else f"{kind} is none"
            )
            raise TypeError(
                f"A stacked search trains networks of skreg, but {where}. Search over a "
                f"RegularizedMLPRegressor or RegularizedMLPClassifier (or, fitted one by one, "
                f"a RegularizedNetRegressor or RegularizedNetClassifier), over a Pipeline that "
                f"ends in one or a TransformedTargetRegressor around one; for other "
                f"estimators use scikit-learn's GridSearchCV or RandomizedSearchCV."
            )
        prefix, step = f"{prefix}{inside[0]}__", inside[1]
    check_takes_alpha(
        step, "A stacked search", "For its other parameters use scikit-learn's GridSearchCV."
    )
    return prefix, step


def replace_network(estimator: Any, network: Any, *, fitted: bool) -> Any:
    """Return the estimator with another network, or a recorder, in the network's place.

    Copies are made of what contains the network alone: the steps before it are shared. With
    `fitted` the network and the steps are fitted.
    """
    if isinstance(estimator, Pipeline):
        outer = copy.copy(estimator)
        name, last = estimator.steps[-1]
        inner = replace_network(last, network, fitted=fitted)
        outer.steps = [*estimator.steps[:-1], (name, inner)]
        return outer
    if isinstance(estimator, TransformedTargetRegressor):
        outer = copy.copy(estimator)
        if fitted:
            outer.regressor_ = replace_network(estimator.regressor_, network, fitted=True)
            network = clone(network)
            if hasattr(outer.regressor_, "feature_names_in_"):
                outer.feature_names_in_ = outer.regressor_.feature_names_in_
        outer.regressor = replace_network(estimator.regressor, network, fitted=False)
        return outer
    return network


class Recorder(BaseEstimator):
    """Takes the network's place in a fit and keeps what it is given.

    Rows are checked once here and not once per network, so that all networks fitted on them
    share one table.
    """

    def __init__(self, network: BaseRegularizedNetwork) -> None:
        self.network = network

    def __sklearn_clone__(self) -> Recorder:
        return self

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.network)

    def get_metadata_routing(self) -> Any:
        return self.network.get_metadata_routing()

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Recorder:
        self.names_ = _get_feature_names(X)
        try:
            self.X_ = check_array(
                X, accept_sparse="csr", dtype=(np.float64, np.float32), estimator=self.network
            )
        except (ValueError, TypeError):
            self.X_ = X  # the network says what is wrong with it
        if isinstance(self.X_, np.ndarray):
            self.X_ = np.require(self.X_, requirements=["C", "W"])
        self.y_, self.sample_weight_ = y, sample_weight
        return self

    def predict(self, X: Any) -> Any:
        """Never called: meta-estimators ask that it be there."""
        raise AttributeError("The network that this recorder is for is not fitted yet.")
