"""With no hidden layer the networks are scikit-learn's linear models, to many digits."""

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_classification, make_regression
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
)
from sklearn.preprocessing import scale

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor

N_SAMPLES = 120
X, y = make_regression(
    N_SAMPLES, 12, n_informative=6, n_targets=3, noise=20.0, random_state=0, bias=7.0
)
y = y / y.std()
WEIGHTS = np.random.default_rng(0).uniform(0.1, 3.0, N_SAMPLES)

X_binary, y_binary = make_classification(200, 12, n_informative=5, random_state=0)
X_iris, y_iris = load_iris(return_X_y=True)
X_iris = scale(X_iris)

# The last digits of a fit take long and are not needed to tell the problems apart.
RTOL = 1e-5

SOLVERS = {
    "fista": {"solver": "fista", "tol": 1e-9, "max_iter": 5000},
    "adam": {
        "solver": "adam",
        "batch_size": 10_000,
        "learning_rate": "adaptive",
        "learning_rate_init": 0.1,
        "n_iter_no_change": 50,
        "tol": 1e-13,
        "max_iter": 20_000,
    },
}
every_solver = pytest.mark.parametrize("solver", SOLVERS)


def solver_settings(solver, n_samples):
    settings = dict(SOLVERS[solver], random_state=0)
    if "batch_size" in settings:
        settings["batch_size"] = n_samples
    return settings


def linear_regressor(solver, n_samples=N_SAMPLES, **settings):
    return RegularizedMLPRegressor((), **solver_settings(solver, n_samples), **settings)


def linear_classifier(solver, n_samples, **settings):
    return RegularizedMLPClassifier((), **solver_settings(solver, n_samples), **settings)


def assert_same_coefficients(ours, coef, intercept, rtol=RTOL):
    coef = np.atleast_2d(coef)
    scale_ = np.abs(coef).max()
    np.testing.assert_allclose(ours.coefs_[0].T, coef, rtol=rtol, atol=rtol * scale_)
    np.testing.assert_allclose(ours.intercepts_[0], np.ravel(intercept), rtol=rtol, atol=rtol)
    np.testing.assert_array_equal(ours.coefs_[0].T == 0, coef == 0)


REGRESSIONS = {
    "Ridge": (
        {"penalty": "l2", "alpha": 0.3},
        lambda total: Ridge(0.3 * total, tol=1e-12),
    ),
    "Lasso": (
        {"penalty": "l1", "alpha": 0.05},
        lambda total: Lasso(0.05, tol=1e-14, max_iter=100_000),
    ),
    "ElasticNet": (
        {"penalty": "elasticnet", "alpha": 0.1, "l1_ratio": 0.6},
        lambda total: ElasticNet(0.1, l1_ratio=0.6, tol=1e-14, max_iter=100_000),
    ),
}
every_regression = pytest.mark.parametrize(
    ("settings", "linear"), REGRESSIONS.values(), ids=REGRESSIONS
)


def test_the_data_can_tell_the_penalties_apart():
    # Each sparse model must drop some features and keep some, or equal zero patterns mean
    # nothing; and the penalties must matter by far more than the tolerance.
    for settings, linear in REGRESSIONS.values():
        coef = linear(N_SAMPLES).fit(X, y[:, 0]).coef_
        assert (0 < (coef == 0).sum() < 12) == (settings["penalty"] != "l2")
    unpenalized = Ridge(0.0).fit(X, y[:, 0]).coef_
    assert abs(unpenalized - coef).max() > 0.01


@every_solver
@every_regression
def test_regression(solver, settings, linear):
    ours = linear_regressor(solver, **settings).fit(X, y[:, 0])
    theirs = linear(N_SAMPLES).fit(X, y[:, 0])
    assert_same_coefficients(ours, theirs.coef_, theirs.intercept_)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=RTOL, atol=RTOL)


@every_solver
@every_regression
def test_regression_with_sample_weights(solver, settings, linear):
    ours = linear_regressor(solver, **settings).fit(X, y[:, 0], sample_weight=WEIGHTS)
    theirs = linear(WEIGHTS.sum()).fit(X, y[:, 0], sample_weight=WEIGHTS)
    assert_same_coefficients(ours, theirs.coef_, theirs.intercept_)
    unweighted = linear(N_SAMPLES).fit(X, y[:, 0])
    assert abs(theirs.coef_ - unweighted.coef_).max() > 100 * RTOL


@every_solver
@every_regression
def test_several_outputs_are_separate_fits(solver, settings, linear):
    # Elementwise penalties and a sum over outputs do not couple the outputs.
    together = linear_regressor(solver, **settings).fit(X, y)
    for output in range(3):
        theirs = linear(N_SAMPLES).fit(X, y[:, output])
        np.testing.assert_allclose(
            together.coefs_[0][:, output], theirs.coef_, rtol=RTOL, atol=RTOL
        )
        np.testing.assert_array_equal(together.coefs_[0][:, output] == 0, theirs.coef_ == 0)


@every_regression
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_mini_batches_at_a_decaying_rate(solver, settings, linear):
    ours = RegularizedMLPRegressor(
        (),
        solver=solver,
        batch_size=20,
        learning_rate="adaptive",
        learning_rate_init=0.02,
        n_iter_no_change=15,
        tol=1e-6,
        max_iter=3000,
        random_state=0,
        **settings,
    ).fit(X, y[:, 0])
    theirs = linear(N_SAMPLES).fit(X, y[:, 0])
    np.testing.assert_allclose(ours.coefs_[0][:, 0], theirs.coef_, atol=1e-2)
    np.testing.assert_allclose(ours.intercepts_[0][0], theirs.intercept_, atol=1e-2)


@every_solver
def test_unpenalized_is_least_squares(solver):
    coef = np.linalg.lstsq(np.c_[X, np.ones(N_SAMPLES)], y[:, 0], rcond=None)[0]
    for settings in ({"penalty": None}, {"penalty": "l1", "alpha": 0.0}):
        ours = linear_regressor(solver, **settings).fit(X, y[:, 0])
        np.testing.assert_allclose(ours.coefs_[0][:, 0], coef[:-1], rtol=RTOL, atol=RTOL)


def test_poisson_with_l2_is_poisson_regression():
    counts = np.random.default_rng(0).poisson(np.exp(0.5 * X[:, 0] - 0.3 * X[:, 1]))
    ours = linear_regressor("fista", loss="poisson", penalty="l2", alpha=0.1).fit(X, counts)
    theirs = PoissonRegressor(alpha=0.1, tol=1e-10, max_iter=10_000).fit(X, counts)
    np.testing.assert_allclose(ours.coefs_[0][:, 0], theirs.coef_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-4)


def logistic_regression(n_samples, alpha, l1_ratio):
    return LogisticRegression(
        C=1 / (n_samples * alpha),
        l1_ratio=l1_ratio,
        # SAGA alone takes every mix; to many digits it needs many passes.
        solver="saga" if l1_ratio else "newton-cg",
        tol=1e-10,
        max_iter=50_000,
    )


CLASSIFICATIONS = {
    "l2": {"penalty": "l2", "alpha": 0.05},
    "l1": {"penalty": "l1", "alpha": 0.05},
    "elasticnet": {"penalty": "elasticnet", "alpha": 0.1, "l1_ratio": 0.5},
}
every_classification = pytest.mark.parametrize(
    "settings", CLASSIFICATIONS.values(), ids=CLASSIFICATIONS
)


def reference_classifier(settings, n_samples):
    l1_ratio = {"l2": 0.0, "l1": 1.0}.get(settings["penalty"], settings.get("l1_ratio"))
    return logistic_regression(n_samples, settings["alpha"], l1_ratio)


@every_solver
@every_classification
def test_binary_classification(solver, settings):
    n = len(y_binary)
    ours = linear_classifier(solver, n, **settings).fit(X_binary, y_binary)
    theirs = reference_classifier(settings, n).fit(X_binary, y_binary)
    assert_same_coefficients(ours, theirs.coef_, theirs.intercept_)
    np.testing.assert_allclose(
        ours.predict_proba(X_binary), theirs.predict_proba(X_binary), atol=1e-5
    )


@every_solver
@every_classification
def test_binary_classification_with_sample_weights(solver, settings):
    weights = np.random.default_rng(0).uniform(0.1, 3.0, len(y_binary))
    ours = linear_classifier(solver, len(y_binary), **settings)
    ours.fit(X_binary, y_binary, sample_weight=weights)
    theirs = reference_classifier(settings, weights.sum())
    theirs.fit(X_binary, y_binary, sample_weight=weights)
    assert_same_coefficients(ours, theirs.coef_, theirs.intercept_)


@every_solver
@every_classification
def test_multinomial_classification(solver, settings):
    n = len(y_iris)
    ours = linear_classifier(solver, n, **settings).fit(X_iris, y_iris)
    theirs = reference_classifier(settings, n).fit(X_iris, y_iris)
    # Intercepts are free up to a shift of all classes alike.
    shift = ours.intercepts_[0].mean() - theirs.intercept_.mean()
    assert_same_coefficients(ours, theirs.coef_, theirs.intercept_ + shift)
    np.testing.assert_allclose(
        ours.predict_proba(X_iris), theirs.predict_proba(X_iris), atol=1e-5
    )


@every_solver
def test_multilabel_classification_is_one_logistic_regression_per_label(solver):
    labels = np.c_[y_iris == 0, y_iris == 1, y_iris > 0].astype(int)
    ours = linear_classifier(solver, len(y_iris), penalty="l1", alpha=0.05)
    ours.fit(X_iris, labels)
    for label in range(3):
        theirs = logistic_regression(len(y_iris), 0.05, 1.0).fit(X_iris, labels[:, label])
        np.testing.assert_allclose(
            ours.coefs_[0][:, label], theirs.coef_[0], rtol=RTOL, atol=RTOL
        )
