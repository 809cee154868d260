"""The estimators that choose alpha: against sklearn's, and by what they promise."""

import pickle
from contextlib import nullcontext
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import ElasticNetCV, LassoCV, LogisticRegression
from sklearn.metrics import check_scoring, get_scorer, log_loss, r2_score
from sklearn.model_selection import GroupKFold, KFold, LeaveOneOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from skreg import (
    RegularizedMLPClassifierCV,
    RegularizedMLPRegressor,
    RegularizedMLPRegressorCV,
    regularization_path,
)
from skreg.path.cv import _LONGEST_STAY
from skreg.path.folds import choose, comparable, finite_everywhere
from skreg.penalties import ElasticNet, GroupLasso, GroupMCP
from skreg.training.loop import Loop

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
    everywhere = np.ones((1, 6), dtype=bool)
    assert comparable(of_all, of_folds[..., None], everywhere).tolist() == [
        [True, True, False, True, True, False]
    ]
    # Nothing to choose from would be worse.
    assert comparable(of_all + 50, of_folds[..., None], everywhere).all()


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
    monkeypatch.setattr("skreg.path.run._LONGEST_STAY", _LONGEST_STAY)
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
    kept = {"cv": 3, "store_networks": True}
    linear = RegularizedMLPRegressorCV((), penalty="mcp", alphas=[0.1, 0.2], **kept).fit(X, y)
    assert linear.path_.estimator_at(0).penalty == "mcp"
    asked = RegularizedMLPRegressorCV(
        **{**FAST, **kept, "alphas": [0.1, 0.2], "penalty": GroupMCP(l2_ratio=0.5)}
    ).fit(X, y)
    assert asked.path_.estimator_at(0).penalty.l2_ratio == 0.5


# Wide, and where a network is small: what the path has is seldom less beside the rest.
SHAPES = {"wide": (2000, (), 40), "one layer": (30, (50,), 12), "small": (5, (3,), 20)}


@pytest.mark.filterwarnings("ignore:Training stopped after")
@pytest.mark.parametrize(("n_features", "hidden", "n_alphas"), SHAPES.values(), ids=SHAPES)
def test_a_choice_takes_at_most_twice_the_memory_of_the_plain_estimator(
    n_features, hidden, n_alphas
):
    X = np.random.default_rng(0).normal(size=(40, n_features)).astype(np.float32)
    own = {"solver": "fista", "penalty": "l1", "max_iter": 5, "random_state": 0}
    model = RegularizedMLPRegressorCV(hidden, alphas=n_alphas, cv=2, **own).fit(X, X[:, 0])
    plain = RegularizedMLPRegressor(hidden, alpha=model.alpha_, **own).fit(X, X[:, 0])
    assert len(pickle.dumps(model)) < 2 * len(pickle.dumps(plain))
    assert len(pickle.dumps(model.compact())) < 2 * len(pickle.dumps(plain.compact()))
    # Nor are the networks in memory.
    assert {type(value) for value in vars(model.path_).values()} == {np.ndarray, type(None)}


def test_a_choice_keeps_the_networks_of_its_path_if_it_is_told_to():
    X, y = linear_data()
    model, kept = (
        RegularizedMLPRegressorCV(**FAST, store_networks=store).fit(X, y)
        for store in (False, True)
    )
    index = int(np.flatnonzero(kept.alphas_ == kept.alpha_)[0])
    at_choice = kept.path_.estimator_at(index)
    np.testing.assert_array_equal(at_choice.predict(X), kept.predict(X))
    for each in (model, kept.compact()):
        with pytest.raises(ValueError, match=r"no estimator at alpha=.*store_networks=True"):
            each.path_.estimator_at(0)
    # The curves are all there, and in a pickle too.
    for path in (model.path_, pickle.loads(pickle.dumps(model)).path_, kept.compact().path_):
        assert len(path) == len(kept.path_)
        for name in ("alphas", "n_features", "selected", "sparsity", "data_loss", "penalty"):
            np.testing.assert_array_equal(getattr(path, name), getattr(kept.path_, name))
        np.testing.assert_array_equal(path.entry_alpha, kept.path_.entry_alpha)
        assert path.selected.dtype == bool


def test_threads_change_nothing(monkeypatch):
    # So small a network would stay on one.
    monkeypatch.setattr("skreg.path.folds.WORTH_MORE_THREADS", 1)
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


# ---------------------------------------------------------------------- scores that fail


@pytest.fixture
def no_training(monkeypatch):
    """Training is a failure of the test."""

    def trains(*args, **kwargs):
        pytest.fail("an error was to come before the first step")

    for name in ("train_dense", "stack_walk"):
        monkeypatch.setattr(f"skreg.path.cv.{name}", trains)


def mean_squared(estimator, X, y):
    """A scorer that takes no weights."""
    return -np.mean((estimator.predict(X) - y) ** 2)


def by_hand(estimator, X, y, splits, alphas, score, weights=None):
    """Scores of plain fits, alpha by alpha and fold by fold."""
    scores = np.empty((len(alphas), len(splits)))
    for (row, alpha), (fold, (train, test)) in product(enumerate(alphas), enumerate(splits)):
        given = {} if weights is None else {"sample_weight": weights[train]}
        model = clone(estimator).set_params(alpha=alpha).fit(X[train], y[train], **given)
        scores[row, fold] = score(model, X[test], y[test])
    return scores


def test_alphas_whose_scores_are_not_finite_are_never_chosen():
    alphas = np.array([[1.0, 2.0, 3.0, 4.0]])
    scores = np.array([[[0.8, 0.8], [0.9, 0.8], [np.nan, 0.99], [-np.inf, 0.9]]])
    with pytest.warns(UserWarning, match="not finite") as warned:
        finite = finite_everywhere(alphas, scores)
    assert str(warned[0].message) == (
        "Test scores are not finite at 2 of 4 alphas, which are not chosen: alpha=3 (nan in "
        "fold 0), alpha=4 (-inf in fold 0)."
    )
    assert finite.tolist() == [[True, True, False, False]]
    assert choose(alphas, scores, "min", finite) == (0, 1)
    assert choose(alphas, scores, "1se", finite) == (0, 1)
    with pytest.raises(
        ValueError, match=r"No alpha can be chosen.*alpha=1 \(nan in fold 0 and"
    ):
        finite_everywhere(alphas, np.full_like(scores, np.nan))
    # Networks of another size are not taken in their place.
    alike = comparable(np.array([[9, 8, 1, 1]]), np.array([[[9], [1], [1], [1]]]), finite)
    assert alike.tolist() == [[True, False, False, False]]


@pytest.mark.parametrize("selection", ["min", "1se"])
@pytest.mark.parametrize("fails", ["nan", "raise"])
def test_a_score_that_fails_is_nan_and_the_best_of_the_rest_is_chosen(selection, fails):
    X, y = linear_data()
    alphas = [0.01, 0.05, 0.2, 0.5]

    def scoring(estimator, X, y):
        # The networks of two folds at the two smallest alphas: what would be chosen.
        if estimator.selected_features_.all():
            if fails == "raise":
                raise RuntimeError("too many features")
            return np.nan
        return mean_squared(estimator, X, y)

    settings_ = {**LINEAR, "alphas": alphas, "penalty": "l1", "cv": 3, "selection": selection}
    settings_ = {**settings_, "random_state": 0}
    whole = RegularizedMLPRegressorCV(**{**settings_, "scoring": mean_squared}).fit(X, y)
    said = pytest.warns(UserWarning, match=r"Scoring failed[\s\S]*too many features")
    with (
        said if fails == "raise" else nullcontext(),
        pytest.warns(UserWarning, match=r"finite at 2 of 4 .* alpha=0.01 \(nan in fold 0 an"),
    ):
        model = RegularizedMLPRegressorCV(**{**settings_, "scoring": scoring}).fit(X, y)
    finite = np.isfinite(model.score_path_)
    np.testing.assert_array_equal(finite[:2], [[False, False, True]] * 2)
    np.testing.assert_array_equal(model.score_path_[finite], whole.score_path_[finite])
    np.testing.assert_array_equal(model.eligible_, [False, False, True, True])
    assert model.alpha_ >= 0.2
    if selection == "min":
        assert whole.alpha_ == 0.05
        assert model.best_score_ == model.score_path_[2:].mean(1).max()


@pytest.mark.parametrize("before", [False, True])
def test_where_no_score_is_finite_nothing_is_chosen_and_nothing_changed(before):
    X, y = linear_data(40)
    model = RegularizedMLPRegressorCV(**{**FAST, "alphas": [0.1, 0.2], "max_iter": 5})
    if before:
        model.fit(X, y)
    was = dict(vars(model))
    model.set_params(scoring=lambda estimator, X, y: np.nan)
    with pytest.raises(ValueError, match=r"No alpha can be chosen.*Use another scoring"):
        model.fit(X, y)
    assert vars(model) == {**was, "scoring": model.scoring}


@pytest.mark.parametrize("scoring", [None, "r2"])
def test_r2_of_single_rows_is_an_error_before_training(scoring, no_training):
    X, y = linear_data(12)
    model = RegularizedMLPRegressorCV(**{**FAST, "cv": LeaveOneOut(), "scoring": scoring})
    with pytest.raises(
        ValueError, match=r"r2_score is not defined .* fold 0.*neg_mean_squared"
    ):
        model.fit(X, y)


def test_the_area_under_the_curve_of_one_class_is_an_error_before_training(no_training):
    X, _ = linear_data(30)
    model = RegularizedMLPClassifierCV(**{**FAST, "cv": KFold(3), "scoring": "roc_auc"})
    with pytest.raises(
        ValueError, match=r"roc_auc_score is not defined .* fold 0 .*another cv"
    ):
        model.fit(X, np.repeat([0, 1], 15))


def test_leaving_one_out_is_lasso_cvs():
    X, y = linear_data(20)
    grid = [0.02, 0.1, 0.4]
    ours = RegularizedMLPRegressorCV(penalty="l1", alphas=grid, cv=LeaveOneOut(), **LINEAR).fit(
        X, y
    )
    lasso = LassoCV(alphas=grid, cv=LeaveOneOut(), tol=1e-9, max_iter=10_000).fit(X, y)
    assert ours.alpha_ == lasso.alpha_
    np.testing.assert_allclose(-ours.score_path_[::-1], lasso.mse_path_, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("scoring", "labels"), [("neg_log_loss", ["a", "b", "c"]), ("neg_brier_score", ["u", "v"])]
)
def test_a_score_by_class_knows_those_that_the_rows_lack(scoring, labels):
    X, _ = linear_data(60)
    y = np.resize(labels, 60)
    rows = np.arange(60)
    first = y == labels[0]
    # One test fold has the first class alone.
    splits = [(rows[~first | (rows >= 30)], rows[first & (rows < 30)]), (rows[:40], rows[40:])]
    alphas = [0.01, 0.1]
    model = RegularizedMLPClassifierCV(
        **{**LINEAR, "scoring": scoring}, penalty="l2", alphas=alphas, cv=splits
    ).fit(X, y)

    def score(linear, X, y):
        if scoring == "neg_log_loss":
            return -log_loss(y, linear.predict_proba(X), labels=labels)
        return -np.mean((linear.predict_proba(X)[:, 1] - (y == "v")) ** 2)

    for fold, (train, test) in enumerate(splits):
        for row, alpha in enumerate(alphas):
            linear = LogisticRegression(C=1 / (len(train) * alpha), tol=1e-9, max_iter=10_000)
            expected = score(linear.fit(X[train], y[train]), X[test], y[test])
            assert model.score_path_[row, fold] == pytest.approx(expected, rel=1e-4)


# ---------------------------------------------------------------------- classes that folds lack


@pytest.mark.parametrize("class_weight", [{2: 3.0}, {0: 1.0, 1: 1.0, 2: 3.0}])
@pytest.mark.parametrize("penalty", ["l1", GroupLasso(adaptive=True)])
def test_a_class_that_a_fold_lacks_may_have_a_weight(class_weight, penalty):
    X, _ = linear_data(30)
    y = np.repeat([0, 1, 2], 10)

    def accuracy(estimator, X, y):
        return np.mean(estimator.predict(X) == y)

    settings_ = {
        **FAST,
        "max_iter": 5,
        "alphas": [0.01, 0.1],
        "cv": KFold(3),
        "penalty": penalty,
        "scoring": accuracy,
    }
    model = RegularizedMLPClassifierCV(**settings_, class_weight=class_weight).fit(X, y)
    with pytest.warns(UserWarning, match="does not support sample_weight"):
        weighted = RegularizedMLPClassifierCV(**settings_).fit(
            X, y, sample_weight=np.where(y == 2, 3.0, 1.0)
        )
    np.testing.assert_allclose(model.score_path_, weighted.score_path_)
    if penalty == "l1":  # a pilot has the weights of the rows, and class weights of its own
        np.testing.assert_allclose(model.coefs_[0], weighted.coefs_[0], rtol=1e-5, atol=1e-7)
    assert model.predict_proba(X).shape == (30, 3)


def test_labels_that_a_fold_lacks_may_have_a_weight():
    X, _ = linear_data(30)
    Y = np.c_[np.arange(30) >= 20, np.arange(30) % 2].astype(int)
    settings_ = {**FAST, "max_iter": 5, "alphas": [0.01, 0.1], "cv": KFold(3)}
    model = RegularizedMLPClassifierCV(**settings_, class_weight=[{1: 5.0}, {0: 2.0}])
    assert np.isfinite(model.fit(X, Y).score_path_).all()


@pytest.mark.parametrize("class_weight", [{7: 2.0}, {0: 1.0, 1: 1.0, 2: 1.0, 7: 2.0}])
def test_a_class_that_is_nowhere_may_not(class_weight, no_training):
    X, _ = linear_data(30)
    model = RegularizedMLPClassifierCV(**{**FAST, "cv": KFold(3)}, class_weight=class_weight)
    with pytest.raises(ValueError, match=r"class_weight has labels \[7\] that are not in"):
        model.fit(X, np.repeat([0, 1, 2], 10))


# ---------------------------------------------------------------------- names, weights, groups


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
    assert by_name.selected_features_[[0, 7]].all(), "they stay together"
    assert seen == [list("abcdefgh")] * 6
    # The own score reads no names, and says nothing of their lack.
    own = clone(by_name).set_params(scoring=None).fit(frame, y)
    np.testing.assert_array_equal(own.score_path_, by_index.score_path_)


def test_what_an_earlier_fit_knew_is_forgotten():
    X, y = linear_data(30)
    model = RegularizedMLPRegressorCV((), penalty="l1", solver="fista", alphas=[0.1, 0.2])
    model.fit(pd.DataFrame(X, columns=list("abcdefgh")), y)
    assert not hasattr(model.fit(X, y), "feature_names_in_")


@pytest.mark.parametrize("scoring", ["neg_max_error", mean_squared])
def test_a_scorer_that_takes_no_weights_is_given_none(scoring):
    X, y = linear_data()
    weights = np.random.default_rng(1).uniform(0.1, 3, len(y))
    grid, splits = [0.05, 0.2], list(KFold(3).split(X))
    model = RegularizedMLPRegressorCV(
        **{**LINEAR, "scoring": scoring}, penalty="l1", alphas=grid, cv=splits
    )
    with pytest.warns(
        UserWarning, match=r"scoring=.* does not support sample_weight.*scored wi"
    ):
        model.fit(X, y, sample_weight=weights)
    plain = RegularizedMLPRegressor((), penalty="l1", solver="fista", tol=1e-7, max_iter=3000)
    score = check_scoring(plain, scoring=scoring)
    expected = by_hand(plain, X, y, splits, grid, score, weights)
    np.testing.assert_allclose(model.score_path_, expected, rtol=1e-4)


@pytest.mark.parametrize("routing", [False, True])
def test_groups_reach_the_splitter(routing):
    X, y = linear_data()
    groups = np.arange(len(y)) % 5
    settings_ = {**LINEAR, "penalty": "l1", "alphas": [0.05, 0.2], "random_state": 0}
    splits = list(GroupKFold(3).split(X, y, groups))
    expected = RegularizedMLPRegressorCV(**settings_, cv=splits).fit(X, y).score_path_
    model = RegularizedMLPRegressorCV(**settings_, cv=GroupKFold(3))
    with config_context(enable_metadata_routing=routing):
        np.testing.assert_array_equal(model.fit(X, y, groups=groups).score_path_, expected)
        if routing:
            pipeline = make_pipeline(model).fit(X, y, groups=groups)
            np.testing.assert_array_equal(pipeline[-1].score_path_, expected)
            with pytest.raises(TypeError, match=r"unexpected argument.*groups"):
                clone(model).set_params(cv=3).fit(X, y, groups=groups)
        else:
            with pytest.raises(ValueError, match="'groups' parameter should not be None"):
                model.fit(X, y)
            with pytest.raises(ValueError, match="enable_metadata_routing=True"):
                model.fit(X, y, other=groups)


@config_context(enable_metadata_routing=True)
def test_weights_are_given_to_the_scorer_that_requests_them():
    X, y = linear_data()
    own, other = np.random.default_rng(1).uniform(0.1, 3, (2, len(y)))
    grid, splits = [0.05, 0.2], list(KFold(3).split(X))
    model = RegularizedMLPRegressorCV(**LINEAR, penalty="l1", alphas=grid, cv=splits)
    plain = RegularizedMLPRegressor((), penalty="l1", solver="fista", tol=1e-7, max_iter=3000)
    rows = {X[test].tobytes(): test for _, test in splits}

    def expected(weights):
        def score(estimator, X, y):
            by_row = None if weights is None else weights[rows[X.tobytes()]]
            return r2_score(y, estimator.predict(X), sample_weight=by_row)

        return by_hand(plain, X, y, splits, grid, score, own)

    def scores(scoring, **params):
        model.set_params(scoring=scoring).fit(X, y, sample_weight=own, **params)
        return model.score_path_

    with pytest.raises(UnsetMetadataPassedError, match="set_score_request"):
        scores("r2")
    with pytest.raises(UnsetMetadataPassedError, match="set_score_request"):
        scores(None)
    r2 = get_scorer("r2")
    unweighted = scores(r2.set_score_request(sample_weight=False))
    np.testing.assert_allclose(unweighted, expected(None), rtol=1e-4)
    weighted = scores(r2.set_score_request(sample_weight=True))
    np.testing.assert_allclose(weighted, expected(own), rtol=1e-4)
    aliased = scores(r2.set_score_request(sample_weight="other"), other=other)
    np.testing.assert_allclose(aliased, expected(other), rtol=1e-4)
    # The estimator's own score has the estimator's own request.
    model.set_score_request(sample_weight=True)
    np.testing.assert_allclose(scores(None), expected(own), rtol=1e-4)


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        ([], "cv gives no splits"),
        ([(np.arange(20), [])], "Fold 0 of cv has no rows to score on"),
        (
            [(np.arange(20), np.arange(20, 40)), ([], np.arange(20))],
            "Fold 1 of cv has no rows to train on",
        ),
        ([(np.arange(40) < 0, np.arange(40) > 9)], "Fold 0 of cv has no rows to train on"),
        (KFold(4), "All rows that fold 0 of cv leaves out have a sample_weight of 0"),
    ],
)
def test_folds_without_rows_are_an_error_before_training(cv, message, no_training):
    X, y = linear_data(40)
    with pytest.raises(ValueError, match=message):
        RegularizedMLPRegressorCV(**{**FAST, "cv": cv}).fit(
            X, y, sample_weight=np.r_[np.zeros(10), np.ones(30)]
        )


@pytest.mark.parametrize(
    ("score", "message"),
    [("many", "scoring must return a number, got many"), ({"r2": 1.0}, "Give one metric")],
)
def test_a_score_is_one_number(score, message):
    X, y = linear_data(30)
    model = RegularizedMLPRegressorCV(**{**FAST, "alphas": [0.1, 0.2], "max_iter": 5})
    with pytest.raises(ValueError, match=message):
        model.set_params(scoring=lambda estimator, X, y: score).fit(X, y)


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


def test_alphas_are_checked_before_training(no_training):
    X, y = linear_data(30)
    with pytest.raises(ValueError, match="alphas must be numbers of at least 0"):
        RegularizedMLPRegressorCV((3,), alphas=[-1.0, 1.0]).fit(X, y)


@pytest.mark.parametrize("where", ["all rows", "fold"])
def test_an_interrupt_is_raised_and_leaves_the_estimator_as_it_was(where, monkeypatch):
    X, y = linear_data(40)
    settings_ = {**FAST, "alphas": [0.1, 0.2], "max_iter": 5}
    # A single fold, which is trained as a plain network is.
    model = RegularizedMLPRegressorCV(
        **{**settings_, "cv": [(np.arange(30), np.arange(30, 40))]}
    )
    model.fit(X, y, sample_weight=np.ones(40))
    was = dict(vars(model))
    run_epoch, n_epochs = Loop.run_epoch, 0

    def interrupted(self):
        nonlocal n_epochs
        n_epochs += 1
        if n_epochs == (3 if where == "all rows" else 8):
            raise KeyboardInterrupt
        return run_epoch(self)

    monkeypatch.setattr(Loop, "run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert vars(model) == was


def test_a_fit_that_fails_leaves_the_last_one(monkeypatch):
    X, y = linear_data()
    model = RegularizedMLPRegressorCV(**FAST).fit(X, y)
    before, predictions = dict(vars(model)), model.predict(X)

    def publish(self):
        # As late as can be.
        model.alpha_, model.n_features_in_ = 1.0, 3
        raise KeyboardInterrupt

    monkeypatch.setattr(RegularizedMLPRegressor, "_publish", publish)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:, :3], y)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(model.predict(X), predictions)
