"""Small tables of every kind of target, small networks, and how fits are compared."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor

_rng = np.random.default_rng(0)
X = _rng.normal(size=(120, 6))
Y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0) + 0.1 * _rng.normal(size=120)
BINARY = (Y > 0).astype(int)
THREE = np.digitize(Y, [-1, 1])
LABELS = np.column_stack([Y > 0, X[:, 2] > 0, X[:, 0] + X[:, 3] > 0]).astype(int)
#: Mostly zeros.
THINNED = np.where(np.abs(X) > 0.8, X, 0.0)
WEIGHTS = _rng.integers(0, 4, size=120).astype(float)

# name: (estimator, y, raw outputs, activation of the output)
KINDS = {
    "regressor": (RegularizedMLPRegressor, Y, 1, "identity"),
    "two outputs": (RegularizedMLPRegressor, np.column_stack([Y, X[:, 3]]), 2, "identity"),
    "binary": (RegularizedMLPClassifier, BINARY, 1, "logistic"),
    "multiclass": (RegularizedMLPClassifier, THREE, 3, "softmax"),
    "multilabel": (RegularizedMLPClassifier, LABELS, 3, "logistic"),
}
every_kind = pytest.mark.parametrize(
    ("estimator", "y"), [kind[:2] for kind in KINDS.values()], ids=KINDS
)
every_classifier = pytest.mark.parametrize(
    "y", [BINARY, THREE, LABELS], ids=["binary", "multiclass", "multilabel"]
)
every_solver = pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def small(estimator=RegularizedMLPRegressor, **settings):
    settings = {
        "hidden_layer_sizes": (8,),
        "learning_rate_init": 0.02,
        "batch_size": 40,
        "max_iter": 20,
        "random_state": 0,
        **settings,
    }
    return estimator(**settings)


def outputs(model, X=X):
    """Predictions in their finest grain."""
    return getattr(model, "predict_proba", model.predict)(X)


def assert_same_fit(first, second):
    for ours, theirs in zip(
        first.coefs_ + first.intercepts_, second.coefs_ + second.intercepts_, strict=True
    ):
        assert_array_equal(ours, theirs)
