"""Rows, settings and scores that the tests of cross-validated paths share."""

from itertools import product

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import scale

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


def mean_squared(estimator, X, y):
    """A scorer that takes no weights."""
    return -np.mean((estimator.predict(X) - y) ** 2)


def by_hand(estimator, X, y, splits, alphas, score, weights=None):
    """Scores of single fits, alpha by alpha and fold by fold."""
    scores = np.empty((len(alphas), len(splits)))
    for (row, alpha), (fold, (train, test)) in product(enumerate(alphas), enumerate(splits)):
        given = {} if weights is None else {"sample_weight": weights[train]}
        model = clone(estimator).set_params(alpha=alpha).fit(X[train], y[train], **given)
        scores[row, fold] = score(model, X[test], y[test])
    return scores
