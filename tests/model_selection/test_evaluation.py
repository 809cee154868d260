"""Cells of a search: fitted in stacks, scored one by one, and what fails."""

import numpy as np
import pandas as pd
import pytest
from searches import (
    ALPHAS,
    XC,
    YC,
    X,
    Y,
    assert_same_search,
    check_against_grid_search,
    classifier,
    regressor,
)
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    ShuffleSplit,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skreg import (
    StackedGridSearchCV,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training stopped after:sklearn.exceptions.ConvergenceWarning"
)


class CountingScaler(StandardScaler):
    fits = 0

    def fit(self, X, y=None, sample_weight=None):
        CountingScaler.fits += 1
        return super().fit(X, y, sample_weight)


def test_transformers_are_fitted_once_per_split_and_setting_of_their_own():
    CountingScaler.fits = 0
    grid = {"net__alpha": ALPHAS, "scale__with_mean": [True, False]}
    pipeline = Pipeline([("scale", CountingScaler()), ("net", regressor())])
    StackedGridSearchCV(pipeline, grid, cv=4, refit=False).fit(X, Y)
    assert CountingScaler.fits == 4 * 2


def test_one_and_one_point_zero_are_two_settings():
    pipeline = Pipeline([("pca", PCA(svd_solver="full")), ("net", regressor())])
    check_against_grid_search(pipeline, {"pca__n_components": [1, 0.999999, 1]})


def test_a_pipelines_cache_is_used(tmp_path):
    pipeline = Pipeline(
        [("scale", StandardScaler()), ("net", regressor())], memory=str(tmp_path)
    )
    check_against_grid_search(pipeline, {"net__alpha": ALPHAS})
    assert list(tmp_path.rglob("*.pkl"))


def test_networks_scored_know_the_names_of_their_columns():
    seen = []

    def scorer(model, X, y):
        seen.append(model.feature_names_in_.tolist())
        return model.score(X, y)

    frame = pd.DataFrame(X[:, :2], columns=["a", "b"])
    StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, scoring=scorer, cv=2).fit(frame, Y)
    assert seen == [["a", "b"]] * 6


def test_splits_of_different_sizes_and_classes():
    splits = [(np.arange(0, 90), np.arange(90, 150)), (np.arange(30, 150), np.arange(30))]
    check_against_grid_search(classifier(), {"alpha": ALPHAS}, XC, YC, cv=splits)
    check_against_grid_search(regressor(), {"alpha": ALPHAS}, cv=KFold(7))
    shuffled = ShuffleSplit(3, random_state=0)
    check_against_grid_search(regressor(), {"alpha": ALPHAS}, cv=shuffled)


def test_a_class_that_a_split_lacks_may_have_a_weight():
    """As of a LogisticRegression, where all classes there are have one."""
    weights = {0: 1.0, 1: 2.0, 2: 3.0}
    network = classifier(class_weight=weights)
    check_against_grid_search(network, {"alpha": ALPHAS}, XC, YC, cv=KFold(3))  # YC is sorted


def test_a_scorer_sees_the_fitted_network():
    def sparsity(model, X, y):
        check_is_fitted(model)
        return model[-1].sparsity_

    pipeline = Pipeline([("scale", StandardScaler()), ("net", regressor(solver="fista"))])
    grid = {"net__alpha": [0.001, 0.1, 1.0]}
    stacked, _ = check_against_grid_search(pipeline, grid, scoring=sparsity)
    assert stacked.best_params_["net__alpha"] == 1.0


def test_failures_become_the_error_score_or_the_error():
    grid = {"alpha": [0.1, -1.0]}
    with pytest.warns(FitFailedWarning, match="3 fits failed out of a total of 6"):
        reference = GridSearchCV(regressor(), grid, cv=3, error_score=-9.0).fit(X, Y)
    with pytest.warns(FitFailedWarning, match=r"(?s)3 fits failed.*'alpha' parameter"):
        stacked = StackedGridSearchCV(regressor(), grid, cv=3, error_score=-9.0).fit(X, Y)
    assert_same_search(stacked, reference)
    assert stacked.cv_results_["mean_test_score"][1] == -9.0
    with pytest.raises(ValueError, match="'alpha' parameter"):
        StackedGridSearchCV(regressor(), grid, cv=3, error_score="raise").fit(X, Y)
    with pytest.raises(ValueError, match="All the 6 fits failed"):
        StackedGridSearchCV(regressor(), {"alpha": [-1.0, -2.0]}, cv=3).fit(X, Y)


def test_a_transformer_that_fails_fails_its_own_candidates():
    pipeline = Pipeline([("pca", PCA()), ("net", regressor())])
    grid = {"pca__n_components": [2, 999], "net__alpha": ALPHAS[:2]}
    with (
        pytest.warns(FitFailedWarning, match="n_components=999"),
        pytest.warns(UserWarning, match="test scores are non-finite"),
    ):
        search = StackedGridSearchCV(pipeline, grid, cv=3).fit(X, Y)
    failed = np.isnan(search.cv_results_["mean_test_score"])
    assert (failed == (search.cv_results_["param_pca__n_components"] == 999)).all()


def test_bad_rows_fail_as_they_do_in_a_fit():
    bad = X.copy()
    bad[[0, -1], 0] = np.nan  # in the training rows of every split
    with pytest.raises(ValueError, match=r"(?s)All the 9 fits failed.*contains NaN"):
        StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3).fit(bad, Y)
    with pytest.raises(ValueError, match="y"):
        StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3).fit(X)
