"""The estimators that choose alpha: scikit-learn's where there are such."""

import numpy as np
import pandas as pd
import pytest
from cv_data import FAST, LINEAR, linear_data
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import ElasticNetCV, LassoCV
from sklearn.model_selection import KFold, LeaveOneOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import (
    RegularizedMLPClassifierCV,
    RegularizedMLPRegressorCV,
)
from skreg.penalties import ElasticNet, GroupLasso, GroupMCP


@pytest.mark.parametrize("seed", [0, 1])
def test_without_hidden_layers_it_is_lasso_cv(seed):
    X, y = linear_data(seed=seed)
    grid = np.geomspace(0.005, 0.8, 12)
    ours = RegularizedMLPRegressorCV(penalty="l1", alphas=grid, **LINEAR).fit(X, y)
    lasso = LassoCV(alphas=grid, tol=1e-9, max_iter=10_000).fit(X, y)
    assert ours.alpha_ == lasso.alpha_
    np.testing.assert_allclose(-ours.score_path_[::-1], lasso.mse_path_, rtol=1e-4)
    np.testing.assert_allclose(ours.coefs_[0][:, 0], lasso.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.predict(X), lasso.predict(X), atol=1e-5)


def test_the_grid_of_a_linear_model_is_sklearns():
    X, y = linear_data()
    ours = RegularizedMLPRegressorCV(penalty="l1", alphas=5, eps=0.02, **LINEAR).fit(X, y)
    lasso = LassoCV(alphas=5, eps=0.02).fit(X, y)
    np.testing.assert_allclose(ours.alphas_[::-1], lasso.alphas_, rtol=1e-6)


def test_with_several_l1_ratios_it_is_elastic_net_cv():
    X, y = linear_data()
    grid, ratios = np.geomspace(0.01, 0.8, 6), [0.2, 0.6, 1.0]
    ours = RegularizedMLPRegressorCV(
        penalty="elasticnet", l1_ratio=ratios, alphas=grid, cv=KFold(3), **LINEAR
    ).fit(X, y)
    theirs = ElasticNetCV(
        l1_ratio=ratios, alphas=grid, cv=KFold(3), tol=1e-9, max_iter=10_000
    ).fit(X, y)
    assert (ours.alpha_, ours.l1_ratio_) == (theirs.alpha_, theirs.l1_ratio_)
    assert ours.score_path_.shape == (3, 6, 3)
    np.testing.assert_allclose(-ours.score_path_[:, ::-1], theirs.mse_path_, rtol=1e-4)
    assert ours.best_score_ == ours.score_path_.mean(2).max()
    assert ours.alphas_.shape == (3, 6)


def test_leaving_one_out_is_lasso_cvs():
    X, y = linear_data(20)
    grid = [0.02, 0.1, 0.4]
    ours = RegularizedMLPRegressorCV(penalty="l1", alphas=grid, cv=LeaveOneOut(), **LINEAR).fit(
        X, y
    )
    lasso = LassoCV(alphas=grid, cv=LeaveOneOut(), tol=1e-9, max_iter=10_000).fit(X, y)
    assert ours.alpha_ == lasso.alpha_
    np.testing.assert_allclose(-ours.score_path_[::-1], lasso.mse_path_, rtol=1e-3, atol=1e-5)


def test_a_classifier_with_names_scoring_weights_and_a_pipeline():
    frame, y = load_iris(return_X_y=True, as_frame=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    model = RegularizedMLPClassifierCV(**FAST, scoring="neg_log_loss", class_weight="balanced")
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), model)
    pipeline.fit(frame, names, regularizedmlpclassifiercv__sample_weight=weights)
    model = pipeline[-1]
    assert list(model.classes_) == sorted(set(names))
    assert list(model.feature_names_in_) == list(frame.columns)
    assert (model.score_path_ < 0).all()
    assert pipeline.score(frame, names) > 0.8
    np.testing.assert_allclose(pipeline.predict_proba(frame).sum(1), 1, rtol=1e-5)
    compact = model.compact()
    X = pipeline[:-1].transform(frame)
    np.testing.assert_array_equal(compact.predict(X), model.predict(X))


def test_errors_name_the_way_out():
    X, y = linear_data()
    with pytest.raises(ValueError, match="leaves nothing to choose"):
        RegularizedMLPRegressorCV(penalty=GroupMCP(alpha=0.1)).fit(X, y)
    with pytest.raises(ValueError, match="has no l1_ratio"):
        RegularizedMLPRegressorCV(l1_ratio=[0.1, 0.5]).fit(X, y)
    with pytest.raises(ValueError, match="l1_ratio must be a number between 0 and 1"):
        RegularizedMLPRegressorCV(penalty="elasticnet", l1_ratio=[0.1, 5.0]).fit(X, y)
    with pytest.raises(AttributeError, match="partial_fit"):
        RegularizedMLPRegressorCV().partial_fit(X, y)
    given = RegularizedMLPRegressorCV(penalty=ElasticNet(l1_ratio=0.3), **FAST).fit(X, y)
    assert given.net_.penalty.l1_ratio == 0.3


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        ("l2", r"penalty='l2' removes no features.*Give alphas"),
        (ElasticNet(), r"penalty=ElasticNet\(\) with l1_ratio=0.0 removes no features"),
        (GroupMCP(gamma=0.5), r"^GroupMCP\(gamma=0.5\): gamma must be"),
    ],
)
def test_errors_show_the_penalty_that_was_given(penalty, message, no_training):
    X, y = linear_data(30)
    model = RegularizedMLPRegressorCV((3,), penalty=penalty)
    if isinstance(penalty, ElasticNet):
        model.set_params(l1_ratio=[0.5, 0.0])
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)


@pytest.mark.parametrize("class_weight", [{7: 2.0}, {0: 1.0, 1: 1.0, 2: 1.0, 7: 2.0}])
def test_a_class_that_is_nowhere_may_not(class_weight, no_training):
    X, _ = linear_data(30)
    model = RegularizedMLPClassifierCV(**{**FAST, "cv": KFold(3)}, class_weight=class_weight)
    with pytest.raises(ValueError, match=r"class_weight has labels \[7\] that are not in"):
        model.fit(X, np.repeat([0, 1, 2], 10))


def test_groups_by_name_are_those_by_index():
    X, y = linear_data()
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    seen = []

    def scoring(estimator, X, y):
        seen.append(list(X.columns))
        return estimator.score(X, y)

    grid = {**LINEAR, "alphas": [0.05, 0.2], "cv": 3, "random_state": 0}
    by_name = RegularizedMLPRegressorCV(
        **{**grid, "scoring": scoring}, penalty=GroupLasso(groups=[["a", "h"], ["b", "c"]])
    ).fit(frame, y)
    by_index = RegularizedMLPRegressorCV(
        **{**grid, "scoring": None}, penalty=GroupLasso(groups=[[0, 7], [1, 2]])
    ).fit(X, y)
    np.testing.assert_allclose(by_name.score_path_, by_index.score_path_, rtol=1e-6)
    assert by_name.selected_features_[[0, 7]].all(), "they go together"
    assert seen == [list("abcdefgh")] * 6
    # The estimator's score reads no names, and says nothing of their lack.
    default = clone(by_name).set_params(scoring=None).fit(frame, y)
    np.testing.assert_array_equal(default.score_path_, by_index.score_path_)
