"""The same seed gives the same bits, nothing global is touched, and scikit-learn's MLP agrees.

With the penalty added as scikit-learn adds it (`penalty_method="subgradient"`), our networks
start from the weights of ``MLPRegressor`` and ``MLPClassifier`` and follow them step by step.
"""

import random

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_rng = np.random.default_rng(0)
X = _rng.normal(size=(120, 6))
Y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0) + 0.1 * _rng.normal(size=120)
KINDS = {
    "regressor": (RegularizedMLPRegressor, Y),
    "two outputs": (RegularizedMLPRegressor, np.column_stack([Y, X[:, 3]])),
    "binary": (RegularizedMLPClassifier, np.where(Y > 0, "yes", "no")),
    "multiclass": (RegularizedMLPClassifier, np.digitize(Y, [-1, 1])),
    "multilabel": (RegularizedMLPClassifier, (X[:, :3] > 0).astype(int)),
}
every_kind = pytest.mark.parametrize(("estimator", "y"), KINDS.values(), ids=KINDS)
# Whatever draws a random number.
DRAWING = {
    "batches": {},
    "sgd": {"solver": "sgd"},
    "dropout": {"dropout": 0.3},
    "early stopping": {"early_stopping": True},
    "both": {"dropout": 0.3, "early_stopping": True},
}
every_drawing = pytest.mark.parametrize("settings", DRAWING.values(), ids=DRAWING)


def small(estimator=RegularizedMLPRegressor, **settings):
    settings = {
        "hidden_layer_sizes": (8,),
        "learning_rate_init": 0.02,
        "batch_size": 40,
        "max_iter": 10,
        "random_state": 0,
        **settings,
    }
    return estimator(**settings)


def arrays_of(model):
    return model.coefs_ + model.intercepts_


def assert_same_bits(first, second):
    for ours, theirs in zip(arrays_of(first), arrays_of(second), strict=True):
        assert_array_equal(ours, theirs)


def same_bits(first, second):
    pairs = zip(arrays_of(first), arrays_of(second), strict=True)
    return all(np.array_equal(ours, theirs) for ours, theirs in pairs)


# ---------------------------------------------------------------------- seeds


@every_kind
@every_drawing
def test_the_same_seed_gives_the_same_bits(estimator, y, settings):
    first = small(estimator, **settings).fit(X, y)
    torch.manual_seed(1)
    np.random.default_rng().normal(size=3)
    second = small(estimator, **settings).fit(X, y)
    assert_same_bits(first, second)
    assert first.loss_curve_ == second.loss_curve_
    assert first.validation_scores_ == second.validation_scores_


@every_drawing
def test_another_seed_gives_another_fit_and_no_seed_another_each_time(settings):
    seeded = small(**settings).fit(X, Y)
    assert not same_bits(seeded, small(random_state=1, **settings).fit(X, Y))
    unseeded = [small(random_state=None, **settings).fit(X, Y) for _ in range(2)]
    assert not same_bits(*unseeded)


def test_no_seed_is_not_numpys_global_seed():
    state = np.random.get_state()  # noqa: NPY002 - the legacy state is what must not matter
    try:
        fits = []
        for _ in range(2):
            np.random.seed(3)  # noqa: NPY002
            fits.append(small(random_state=None).fit(X, Y))
    finally:
        np.random.set_state(state)  # noqa: NPY002
    assert not same_bits(*fits)


def test_each_source_of_chance_follows_the_seed_alone():
    # Weights alike, rows in one batch: what is left to differ is the dropout mask.
    settings = {"dropout": 0.5, "batch_size": 120, "hidden_layer_sizes": (8,)}
    without = small(**{**settings, "dropout": 0.0}).fit(X, Y)
    masked = small(**settings).fit(X, Y)
    assert not same_bits(without, masked)
    assert_same_bits(masked, small(**settings).fit(X, Y))


@every_drawing
def test_a_random_state_instance_is_the_seed_it_was_made_from_and_is_drawn_from(settings):
    instance = np.random.RandomState(0)
    first = small(random_state=instance, **settings).fit(X, Y)
    assert_same_bits(first, small(**settings).fit(X, Y))
    second = small(random_state=instance, **settings).fit(X, Y)
    assert not same_bits(first, second)


# ---------------------------------------------------------------------- parallel


def test_grid_search_scores_are_the_same_bits_whatever_n_jobs():
    estimator, y = KINDS["multiclass"]
    grid = {"alpha": [1e-3, 0.1], "dropout": [0.0, 0.2]}
    model = small(estimator, batch_size="auto")
    scores = [
        GridSearchCV(model, grid, cv=2, n_jobs=n_jobs).fit(X, y).cv_results_["mean_test_score"]
        for n_jobs in (1, 1, 2)
    ]
    assert_array_equal(scores[0], scores[1])
    assert_array_equal(scores[0], scores[2])
    assert len(set(scores[0])) > 1


@every_drawing
def test_fits_in_threads_at_once_are_the_fits_one_after_another(settings):
    models = [small(random_state=seed, **settings) for seed in range(4)]
    one_by_one = [clone(model).fit(X, Y) for model in models]
    with joblib.parallel_backend("threading", n_jobs=4):
        at_once = joblib.Parallel()(joblib.delayed(clone(m).fit)(X, Y) for m in models)
    for first, second in zip(one_by_one, at_once, strict=True):
        assert_same_bits(first, second)
    assert not same_bits(*one_by_one[:2])


# ---------------------------------------------------------------------- what is global


def global_state():
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "numpy": (kind, keys.tobytes(), *rest),
        "random": random.getstate(),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn always": torch.is_warn_always_enabled(),
        "errors of numpy": np.geterr(),
    }


@every_kind
@every_drawing
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_global_is_touched(estimator, y, settings, dtype):
    before = global_state()
    model = small(estimator, random_state=None, **settings).fit(X.astype(dtype), y)
    assert global_state() == before, "fit"
    model.predict(X)
    getattr(model, "predict_proba", model.predict)(X)
    model.score(X, y)
    assert global_state() == before, "predict"
    classes = {"classes": np.unique(y)} if estimator is RegularizedMLPClassifier else {}
    model = small(estimator, **{**settings, "early_stopping": False})
    model.partial_fit(X.astype(dtype), y, **classes).partial_fit(X.astype(dtype), y)
    assert global_state() == before, "partial_fit"


def test_torchs_default_dtype_does_not_matter():
    expected = small().fit(X, Y)
    torch.set_default_dtype(torch.float64)
    try:
        assert_same_bits(expected, small().fit(X, Y))
        assert small().fit(X.astype(np.float32), Y).coefs_[0].dtype == np.float32
    finally:
        torch.set_default_dtype(torch.float32)


# ---------------------------------------------------------------------- scikit-learn's MLP


FOLLOWED = {
    # scikit-learn adds epsilon to √v before the bias correction, torch and we after it; so
    # small an epsilon is the same in either place.
    "adam": {"solver": "adam", "epsilon": 1e-13},
    "sgd": {"solver": "sgd", "momentum": 0.0},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "nesterov": {"solver": "sgd", "nesterovs_momentum": True},
}
SINGLE = {name: KINDS[name] for name in ("regressor", "two outputs", "binary", "multiclass")}


def peer_of(estimator, alpha, **settings):
    peer = MLPRegressor if estimator is RegularizedMLPRegressor else MLPClassifier
    settings = {key: settings[key] for key in settings if key in peer().get_params()}
    return peer(alpha=alpha, **settings)


def assert_follows(estimator, y, *, alpha, peer_alpha, **settings):
    settings = {
        "hidden_layer_sizes": (8, 5),
        "learning_rate_init": 0.01,
        "max_iter": 30,
        # scikit-learn has its reasons to end before; here both run all 30 epochs.
        "n_iter_no_change": 1000,
        "tol": 0.0,
        "random_state": 0,
        **settings,
    }
    ours = estimator(alpha=alpha, penalty_method="subgradient", **settings).fit(X, y)
    theirs = peer_of(estimator, peer_alpha, **settings).fit(X, y)
    assert ours.n_iter_ == theirs.n_iter_ == 30
    for our, their in zip(arrays_of(ours), theirs.coefs_ + theirs.intercepts_, strict=True):
        assert our.shape == their.shape
        assert_allclose(our, their, rtol=0, atol=1e-6)
    return ours, theirs


@pytest.mark.parametrize(("estimator", "y"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_networks_start_from_the_weights_of_scikit_learns_mlp(estimator, y, activation):
    # An update of 1e-30 leaves every bit as it was drawn.
    settings = {"activation": activation, "max_iter": 1, "random_state": 7}
    settings |= {"learning_rate_init": 1e-30, "hidden_layer_sizes": (5, 4)}
    ours = estimator(alpha=0.0, **settings).fit(X, y)
    theirs = peer_of(estimator, 0.0, **settings).fit(X, y)
    for our, their in zip(arrays_of(ours), theirs.coefs_ + theirs.intercepts_, strict=True):
        assert_array_equal(our, their)


@pytest.mark.parametrize(("estimator", "y"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("settings", FOLLOWED.values(), ids=FOLLOWED)
def test_full_batch_subgradient_l2_follows_scikit_learns_mlp(estimator, y, settings):
    peer_alpha = 5.0
    ours, _ = assert_follows(
        estimator,
        y,
        alpha=peer_alpha / 120,
        peer_alpha=peer_alpha,
        penalty="l2",
        batch_size=120,
        **settings,
    )
    # The penalty is strong enough to matter here.
    unpenalized = estimator(**{**ours.get_params(), "alpha": 0.0}).fit(X, y)
    assert np.abs(unpenalized.coefs_[0] - ours.coefs_[0]).max() > 1e-3


@pytest.mark.parametrize(("estimator", "y"), SINGLE.values(), ids=SINGLE)
@pytest.mark.parametrize("settings", FOLLOWED.values(), ids=FOLLOWED)
@pytest.mark.parametrize("batch_size", [50, 120])
def test_mini_batches_without_a_penalty_follow_scikit_learns_mlp(
    estimator, y, settings, batch_size
):
    for penalty in ("l2", None):
        ours, theirs = assert_follows(
            estimator,
            y,
            alpha=0.0,
            peer_alpha=0.0,
            penalty=penalty,
            batch_size=batch_size,
            **settings,
        )
        # Their squared error is the mean over outputs, their step that of our sum.
        outputs = 2 if np.ndim(y) == 2 else 1
        assert_allclose(ours.loss_curve_, np.multiply(theirs.loss_curve_, outputs), rtol=1e-6)


# With so little patience the adaptive rate falls several times; invscaling would stop.
SCHEDULES = {"invscaling": {}, "adaptive": {"n_iter_no_change": 2, "tol": 0.005}}


@pytest.mark.parametrize(("learning_rate", "patience"), SCHEDULES.items(), ids=SCHEDULES.keys())
def test_the_schedules_of_sgd_follow_scikit_learns(learning_rate, patience):
    ours, theirs = assert_follows(
        RegularizedMLPRegressor,
        Y,
        alpha=0.0,
        peer_alpha=0.0,
        penalty=None,
        solver="sgd",
        momentum=0.0,
        learning_rate=learning_rate,
        learning_rate_init=0.2,
        power_t=0.1,
        batch_size=50,
        **patience,
    )
    assert_allclose(ours.net_.optimizer_.param_groups[0]["lr"], theirs._optimizer.learning_rate)
    assert theirs._optimizer.learning_rate < 0.2


def test_a_mini_batch_without_shuffling_follows_scikit_learns_mlp():
    settings = {"alpha": 0.0, "peer_alpha": 0.0, "batch_size": 50, **FOLLOWED["adam"]}
    assert_follows(RegularizedMLPRegressor, Y, shuffle=False, **settings)


def test_patience_ends_a_fit_in_the_epoch_it_ends_scikit_learns():
    settings = {"n_iter_no_change": 3, "tol": 0.01, "max_iter": 500, "random_state": 0}
    settings |= {"hidden_layer_sizes": (8,), "learning_rate_init": 0.02}
    ours = RegularizedMLPRegressor(alpha=0.0, **settings).fit(X, Y)
    theirs = MLPRegressor(alpha=0.0, **settings).fit(X, Y)
    assert ours.n_iter_ == theirs.n_iter_ < 500
