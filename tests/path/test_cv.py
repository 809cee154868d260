"""Choosing alpha: by paths of the folds along the alphas of all rows."""

import pickle

import numpy as np
import pandas as pd
import pytest
from cv_data import FAST, LINEAR, by_hand, linear_data, mean_squared
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.metrics import check_scoring, get_scorer, r2_score
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import scale
from sklearn.utils.metadata_routing import get_routing_for_object

from skreg import (
    RegularizedMLPRegressor,
    RegularizedMLPRegressorCV,
    regularization_path,
)
from skreg.path.cv import _MAX_ROUNDS
from skreg.penalties import GroupMCP
from skreg.training.net import RegularizedNet


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
    # Where nothing happens it trains for fewer rounds.
    monkeypatch.setattr("skreg.path.follow.MAX_ROUNDS", _MAX_ROUNDS)
    X, y = linear_data()
    model = RegularizedMLPRegressorCV(**FAST).fit(X, y)
    single = RegularizedMLPRegressor(
        (8,),
        penalty=GroupMCP(l2_ratio=4.0),
        max_iter=30,
        learning_rate_init=0.01,
        random_state=0,
    )
    path = regularization_path(single, X, y, alphas=6)
    np.testing.assert_array_equal(path.alphas, model.alphas_)
    np.testing.assert_array_equal(path.n_features, model.path_.n_features)
    index = int(np.flatnonzero(model.alphas_ == model.alpha_)[0])
    np.testing.assert_array_equal(path.estimator_at(index).predict(X), model.predict(X))
    assert model.score_path_.shape == (len(path), 3)
    assert model.score(X, y) == pytest.approx(path.estimator_at(index).score(X, y))


def test_a_linear_model_has_no_l2_that_nobody_asked_for():
    X, y = linear_data()
    kept = {"cv": 3, "store_networks": True}
    linear = RegularizedMLPRegressorCV((), penalty="mcp", alphas=[0.1, 0.2], **kept).fit(X, y)
    assert linear.path_.estimator_at(0).penalty == "mcp"
    asked = RegularizedMLPRegressorCV(
        **{**FAST, **kept, "alphas": [0.1, 0.2], "penalty": GroupMCP(l2_ratio=0.5)}
    ).fit(X, y)
    assert asked.path_.estimator_at(0).penalty.l2_ratio == 0.5


# Wide, and where a network is small: there the path's share of the memory is largest.
SHAPES = {"wide": (2000, (), 40), "one layer": (30, (50,), 12), "small": (5, (3,), 20)}


@pytest.mark.filterwarnings("ignore:Training stopped after")
@pytest.mark.parametrize(("n_features", "hidden", "n_alphas"), SHAPES.values(), ids=SHAPES)
def test_a_choice_takes_at_most_twice_the_memory_of_one_network(n_features, hidden, n_alphas):
    X = np.random.default_rng(0).normal(size=(40, n_features)).astype(np.float32)
    settings = {"solver": "fista", "penalty": "l1", "max_iter": 5, "random_state": 0}
    model = RegularizedMLPRegressorCV(hidden, alphas=n_alphas, cv=2, **settings).fit(X, X[:, 0])
    single = RegularizedMLPRegressor(hidden, alpha=model.alpha_, **settings).fit(X, X[:, 0])
    assert len(pickle.dumps(model)) < 2 * len(pickle.dumps(single))
    assert len(pickle.dumps(model.compact())) < 2 * len(pickle.dumps(single.compact()))
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
    single = RegularizedMLPRegressor((), penalty="l1", solver="fista", tol=1e-7, max_iter=3000)
    score = check_scoring(single, scoring=scoring)
    expected = by_hand(single, X, y, splits, grid, score, weights)
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
    weights, other = np.random.default_rng(1).uniform(0.1, 3, (2, len(y)))
    grid, splits = [0.05, 0.2], list(KFold(3).split(X))
    model = RegularizedMLPRegressorCV(**LINEAR, penalty="l1", alphas=grid, cv=splits)
    single = RegularizedMLPRegressor((), penalty="l1", solver="fista", tol=1e-7, max_iter=3000)
    rows = {X[test].tobytes(): test for _, test in splits}

    def expected(score_weights):
        def score(estimator, X, y):
            by_row = None if score_weights is None else score_weights[rows[X.tobytes()]]
            return r2_score(y, estimator.predict(X), sample_weight=by_row)

        return by_hand(single, X, y, splits, grid, score, weights)

    def scores(scoring, **params):
        model.set_params(scoring=scoring).fit(X, y, sample_weight=weights, **params)
        return model.score_path_

    r2 = get_scorer("r2")
    # Scorers of scikit-learn 1.8 name no weights until these are requested.
    if get_routing_for_object(r2).score.requests:
        with pytest.raises(UnsetMetadataPassedError, match="set_score_request"):
            scores("r2")
    with pytest.raises(UnsetMetadataPassedError, match="set_score_request"):
        scores(None)
    unweighted = scores(r2.set_score_request(sample_weight=False))
    np.testing.assert_allclose(unweighted, expected(None), rtol=1e-4)
    weighted = scores(r2.set_score_request(sample_weight=True))
    np.testing.assert_allclose(weighted, expected(weights), rtol=1e-4)
    aliased = scores(r2.set_score_request(sample_weight="other"), other=other)
    np.testing.assert_allclose(aliased, expected(other), rtol=1e-4)
    # The estimator's score goes by the estimator's request.
    model.set_score_request(sample_weight=True)
    np.testing.assert_allclose(scores(None), expected(weights), rtol=1e-4)


def test_alphas_are_checked_before_training(no_training):
    X, y = linear_data(30)
    with pytest.raises(ValueError, match="alphas must be numbers of at least 0"):
        RegularizedMLPRegressorCV((3,), alphas=[-1.0, 1.0]).fit(X, y)


@pytest.mark.parametrize("where", ["all rows", "fold"])
def test_an_interrupt_is_raised_and_leaves_the_estimator_as_it_was(where, monkeypatch):
    X, y = linear_data(40)
    settings_ = {**FAST, "alphas": [0.1, 0.2], "max_iter": 5}
    # A single fold, which is trained as a single network is.
    model = RegularizedMLPRegressorCV(
        **{**settings_, "cv": [(np.arange(30), np.arange(30, 40))]}
    )
    model.fit(X, y, sample_weight=np.ones(40))
    was = dict(vars(model))
    run_epoch, n_epochs = RegularizedNet.run_epoch, 0

    def interrupted(self):
        nonlocal n_epochs
        n_epochs += 1
        if n_epochs == (3 if where == "all rows" else 8):
            raise KeyboardInterrupt
        return run_epoch(self)

    monkeypatch.setattr(RegularizedNet, "run_epoch", interrupted)
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
