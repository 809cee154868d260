"""Fitted networks that the displays are tried on, and figures closed after each test."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skreg import RegularizedMLPRegressor


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def data():
    X = np.random.default_rng(0).normal(size=(150, 6))
    return X, np.maximum(X[:, 0], X[:, 1])


@pytest.fixture(scope="session")
def fits(data):
    sparse = RegularizedMLPRegressor(
        (10,), penalty="l1", alpha=0.02, learning_rate_init=0.02, max_iter=300, random_state=0
    )
    dense = RegularizedMLPRegressor((10,), alpha=0.02, max_iter=20, random_state=0)
    with pytest.warns(ConvergenceWarning):
        return [dense.fit(*data), sparse.fit(*data)]
