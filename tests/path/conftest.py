"""Fixtures that the tests of paths share."""

import pytest
from path_data import kinked_data, net

from skreg import (
    regularization_path,
)


@pytest.fixture(scope="session")
def path():
    X, y = kinked_data()
    return regularization_path(net(), X, y, alphas=40, X_val=X[:50], y_val=y[:50], refit=True)


@pytest.fixture
def no_training(monkeypatch):
    """Training is a failure of the test."""

    def trains(*args, **kwargs):
        pytest.fail("an error was to come before the first step")

    for name in ("train_dense", "follower_of"):
        monkeypatch.setattr(f"skreg.path.cv.{name}", trains)
