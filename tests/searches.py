"""Rows, networks and comparisons that the tests of searches share."""

import numpy as np
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import (
    GridSearchCV,
)

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    StackedGridSearchCV,
)

_X, _y = load_diabetes(return_X_y=True)
X, Y = 20 * _X[:150], (_y[:150] - 150) / 77
XC, YC = load_iris(return_X_y=True)
ALPHAS = [0.001, 0.03, 0.3]
SMALL = {
    "hidden_layer_sizes": (6,),
    "penalty": "l1",
    "learning_rate_init": 0.02,
    "batch_size": 30,
    "max_iter": 15,
    "random_state": 0,
}


def regressor(**settings):
    return RegularizedMLPRegressor(**{**SMALL, **settings})


def classifier(**settings):
    return RegularizedMLPClassifier(**{**SMALL, **settings})


def _refit_metric(search):
    return search.refit if isinstance(search.refit, str) else "score"


def assert_same_search(stacked, reference, X=X, tolerance=1e-6):
    assert stacked.cv_results_.keys() == reference.cv_results_.keys()
    assert stacked.cv_results_["params"] == reference.cv_results_["params"]
    for key, values in reference.cv_results_.items():
        if key.startswith("rank"):
            # Of scores that tie one may be a rounding better.
            means = np.round(reference.cv_results_[key.replace("rank", "mean")], 9)
            ours = stacked.cv_results_[key]
            for rank in np.unique(values):
                assert rank in ours[means == means[values == rank][0]], key
        elif "score" in key and "time" not in key:
            assert_allclose(stacked.cv_results_[key], values, atol=tolerance, err_msg=key)
    assert stacked.multimetric_ == reference.multimetric_
    assert stacked.n_splits_ == reference.n_splits_
    if reference.refit:
        tie = stacked.best_index_ != reference.best_index_ and hasattr(reference, "best_score_")
        if tie:
            theirs = reference.cv_results_[f"mean_test_{_refit_metric(reference)}"]
            assert_allclose(theirs[stacked.best_index_], reference.best_score_, rtol=1e-9)
        else:
            assert stacked.best_index_ == reference.best_index_
            assert stacked.best_params_ == reference.best_params_
        if hasattr(reference, "best_score_"):
            assert_allclose(stacked.best_score_, reference.best_score_, atol=tolerance)
        ours, theirs = stacked.predict(X), reference.predict(X)
        if ours.dtype.kind == "f":
            assert_allclose(ours, theirs, atol=tolerance)
        else:
            assert (ours == theirs).all()


def check_against_grid_search(estimator, grid, X=X, y=Y, fit_params=None, **settings):
    settings = {"cv": 3, **settings}
    fit_params = fit_params or {}
    reference = GridSearchCV(estimator, grid, **settings).fit(X, y, **fit_params)
    stacked = StackedGridSearchCV(estimator, grid, **settings).fit(X, y, **fit_params)
    assert_same_search(stacked, reference, X)
    return stacked, reference
