"""Folds: trained as they would be alone, scored on the rows they left out."""

from contextlib import nullcontext

import numpy as np
import pytest
from cv_data import FAST, LINEAR, linear_data, mean_squared
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, LeaveOneOut

from skreg import (
    RegularizedMLPClassifierCV,
    RegularizedMLPRegressor,
    RegularizedMLPRegressorCV,
    regularization_path,
)
from skreg.penalties import GroupLasso, GroupMCP


# 61 rows make folds of 40 and of 41, and one stack all the same.
@pytest.mark.parametrize("n_samples", [60, 61])
def test_a_fold_in_a_stack_is_the_fold_alone(n_samples):
    X, y = linear_data(n_samples)
    X = X.astype(np.float64)
    grid = [0.05, 0.1, 0.2]
    model = RegularizedMLPRegressorCV(**{**FAST, "alphas": grid}).fit(X, y)
    # The L2 that is added unless the penalty says otherwise.
    single = RegularizedMLPRegressor(
        (8,),
        penalty=GroupMCP(l2_ratio=4.0),
        max_iter=30,
        learning_rate_init=0.01,
        random_state=0,
    )
    for number, (train, test) in enumerate(KFold(3).split(X)):
        alone = regularization_path(
            single, X[train], y[train], alphas=grid, X_val=X[test], y_val=y[test]
        )
        np.testing.assert_allclose(alone.scores, model.score_path_[:, number], rtol=1e-6)


def test_threads_change_nothing(monkeypatch):
    # So small a network would be left on one.
    monkeypatch.setattr("skreg.path.folds.WORTH_MORE_THREADS", 1)
    X, y = linear_data()
    fast = {**FAST, "alphas": [0.02, 0.05, 0.1, 0.2]}
    one, two = (
        RegularizedMLPRegressorCV(**fast, n_jobs=n_jobs).fit(X, y) for n_jobs in (None, 2)
    )
    np.testing.assert_allclose(one.score_path_, two.score_path_, rtol=1e-6)
    assert one.alpha_ == two.alpha_


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


def test_a_class_that_a_fold_lacks_is_still_a_class():
    X, _ = linear_data(30)
    y = np.repeat([0, 1, 2], 10)
    model = RegularizedMLPClassifierCV(**{**FAST, "cv": KFold(3)}).fit(X, y)
    assert model.predict_proba(X).shape == (30, 3)


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
    if penalty == "l1":  # an initial fit has the weights of the rows, and other class weights
        np.testing.assert_allclose(model.coefs_[0], weighted.coefs_[0], rtol=1e-5, atol=1e-7)
    assert model.predict_proba(X).shape == (30, 3)


def test_labels_that_a_fold_lacks_may_have_a_weight():
    X, _ = linear_data(30)
    Y = np.c_[np.arange(30) >= 20, np.arange(30) % 2].astype(int)
    settings_ = {**FAST, "max_iter": 5, "alphas": [0.01, 0.1], "cv": KFold(3)}
    model = RegularizedMLPClassifierCV(**settings_, class_weight=[{1: 5.0}, {0: 2.0}])
    assert np.isfinite(model.fit(X, Y).score_path_).all()


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
