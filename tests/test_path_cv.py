"""The estimators that choose alpha: against sklearn's, and by what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import ElasticNetCV, LassoCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from skreg import (
    RegularizedMLPClassifierCV,
    RegularizedMLPRegressor,
    RegularizedMLPRegressorCV,
    regularization_path,
)
from skreg._cv import _LONGEST_STAY
from skreg._folds import choose, comparable
from skreg.penalties import ElasticNet, GroupMCP

LINEAR = {
    "hidden_layer_sizes": (),
    "solver": "fista",
    "tol": 1e-7,
    "max_iter": 3000,
    "scoring": "neg_mean_squared_error",
}
FAST = {
    "hidden_layer_sizes": (8,),
    "alphas": 6,
    "max_iter": 30,
    "learning_rate_init": 0.01,
    "cv": 3,
    "random_state": 0,
}


def linear_data(n_samples=61, seed=0):
    rng = np.random.default_rng(seed)
    X = scale(rng.normal(size=(n_samples, 8)))
    return X, X @ np.r_[1.0, -0.5, 0.2, np.zeros(5)] + rng.normal(size=n_samples) + 3


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


def scores_of(draw, *shape):
    values = st.floats(-10, 10, allow_nan=False, width=32)
    flat = draw(st.lists(values, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    return np.reshape(flat, shape)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_one_standard_error_never_picks_less_than_the_minimum(data):
    shape = [data.draw(st.integers(1, n)) for n in (3, 6, 5)]
    scores = scores_of(data.draw, *shape)
    alphas = np.sort(data.draw(st.permutations(range(1, 50)))[: shape[1]])
    alphas = np.tile(alphas / 10, (shape[0], 1))
    eligible = np.reshape(
        data.draw(st.lists(st.booleans(), min_size=alphas.size, max_size=alphas.size)),
        alphas.shape,
    )
    eligible[data.draw(st.integers(0, shape[0] - 1)), 0] = True
    best, sparse = (choose(alphas, scores, selection, eligible) for selection in ("min", "1se"))
    assert eligible[best]
    assert eligible[sparse]
    assert best[0] == sparse[0]
    assert alphas[sparse] >= alphas[best]
    means = scores.mean(2)
    assert means[best] == means[eligible].max()
    error = scores[best].std(ddof=1) / np.sqrt(shape[2]) if shape[2] > 1 else 0.0
    assert means[sparse] >= means[best] - error


def test_folds_whose_networks_are_of_another_size_have_no_say():
    of_all, of_folds = np.array([[10, 9, 4, 4, 1, 0]]), np.array([[10, 11, 10, 5, 2, 2]])
    assert comparable(of_all, of_folds[..., None]).tolist() == [
        [True, True, False, True, True, False]
    ]
    # Nothing to choose from would be worse.
    assert comparable(of_all + 50, of_folds[..., None]).all()


def test_what_is_chosen_was_judged_by_networks_of_its_size():
    """Where features go at once the folds follow late: they have all, and score as if."""
    data = load_diabetes()
    X, y = scale(data.data), scale(data.target)
    model = RegularizedMLPRegressorCV((32,), alphas=30, cv=3, random_state=0).fit(X, y)
    judged = model.score_path_.mean(1)
    assert model.eligible_.shape == model.alphas_.shape
    assert not model.eligible_.all()
    assert model.best_score_ == judged[model.eligible_].max()
    # Of a linear model every alpha is eligible: LassoCV's choice is among all.
    linear = RegularizedMLPRegressorCV((), alphas=[0.01, 0.1, 0.5], cv=3).fit(X, y)
    assert linear.eligible_.all()


def test_one_standard_error_selects_fewer_features():
    X, y = linear_data(200)
    y = np.maximum(X[:, 0], X[:, 1]) + 0.2 * y
    settings_ = {**FAST, "alphas": 10, "max_iter": 50}
    best, sparse = (
        RegularizedMLPRegressorCV(**settings_, selection=selection).fit(X, y)
        for selection in ("min", "1se")
    )
    np.testing.assert_array_equal(best.score_path_, sparse.score_path_)
    assert sparse.alpha_ >= best.alpha_
    assert sparse.selected_features_.sum() <= best.selected_features_.sum()
    # Features come and go here, and the path does not stop at every one of them.
    assert len(best.alphas_) < 60


def test_the_alphas_are_those_of_the_path_of_all_rows(monkeypatch):
    # Where nothing happens it does not stay as long.
    monkeypatch.setattr("skreg.path._LONGEST_STAY", _LONGEST_STAY)
    X, y = linear_data()
    model = RegularizedMLPRegressorCV(**FAST).fit(X, y)
    plain = RegularizedMLPRegressor(
        (8,),
        penalty=GroupMCP(l2_ratio=4.0),
        max_iter=30,
        learning_rate_init=0.01,
        random_state=0,
    )
    path = regularization_path(plain, X, y, alphas=6)
    np.testing.assert_array_equal(path.alphas, model.alphas_)
    np.testing.assert_array_equal(path.n_features, model.path_.n_features)
    index = int(np.flatnonzero(model.alphas_ == model.alpha_)[0])
    np.testing.assert_array_equal(path.estimator_at(index).predict(X), model.predict(X))
    assert model.score_path_.shape == (len(path), 3)
    assert model.score(X, y) == pytest.approx(path.estimator_at(index).score(X, y))


# 61 rows make folds of 40 and of 41, and one stack all the same.
@pytest.mark.parametrize("n_samples", [60, 61])
def test_a_fold_in_a_stack_is_the_fold_alone(n_samples):
    X, y = linear_data(n_samples)
    X = X.astype(np.float64)
    grid = [0.05, 0.1, 0.2]
    model = RegularizedMLPRegressorCV(**{**FAST, "alphas": grid}).fit(X, y)
    # The L2 that is beside it unless the penalty says otherwise.
    plain = RegularizedMLPRegressor(
        (8,),
        penalty=GroupMCP(l2_ratio=4.0),
        max_iter=30,
        learning_rate_init=0.01,
        random_state=0,
    )
    for number, (train, test) in enumerate(KFold(3).split(X)):
        alone = regularization_path(
            plain, X[train], y[train], alphas=grid, X_val=X[test], y_val=y[test]
        )
        np.testing.assert_allclose(alone.scores, model.score_path_[:, number], rtol=1e-6)


def test_a_linear_model_has_no_l2_that_nobody_asked_for():
    X, y = linear_data()
    linear = RegularizedMLPRegressorCV((), penalty="mcp", alphas=[0.1, 0.2], cv=3).fit(X, y)
    assert linear.path_.estimator_at(0).penalty == "mcp"
    asked = RegularizedMLPRegressorCV(
        **{**FAST, "alphas": [0.1, 0.2], "penalty": GroupMCP(l2_ratio=0.5)}
    ).fit(X, y)
    assert asked.path_.estimator_at(0).penalty.l2_ratio == 0.5


def test_threads_change_nothing(monkeypatch):
    # So small a network would stay on one.
    monkeypatch.setattr("skreg._folds.WORTH_MORE_THREADS", 1)
    X, y = linear_data()
    fast = {**FAST, "alphas": [0.02, 0.05, 0.1, 0.2]}
    one, two = (
        RegularizedMLPRegressorCV(**fast, n_jobs=n_jobs).fit(X, y) for n_jobs in (None, 2)
    )
    np.testing.assert_allclose(one.score_path_, two.score_path_, rtol=1e-6)
    assert one.alpha_ == two.alpha_


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


def test_a_class_that_a_fold_lacks_is_still_a_class():
    X, _ = linear_data(30)
    y = np.repeat([0, 1, 2], 10)
    model = RegularizedMLPClassifierCV(**{**FAST, "cv": KFold(3)}).fit(X, y)
    assert model.predict_proba(X).shape == (30, 3)


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
