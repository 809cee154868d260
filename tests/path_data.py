"""Rows and networks that the tests of paths share."""

import numpy as np
from sklearn.preprocessing import scale
from skorch.callbacks import Callback

from skreg import (
    RegularizedMLPRegressor,
)


def linear_data(n_samples=60, n_features=8, seed=0):
    rng = np.random.default_rng(seed)
    X = scale(rng.normal(size=(n_samples, n_features)))
    y = X @ np.r_[2.0, -1.0, 0.5, np.zeros(n_features - 3)] + 0.3 * rng.normal(size=n_samples)
    return X, y + 5.0


def kinked_data(n_samples=200, n_features=10, seed=0):
    """Two features that matter, neither of them linearly, among others that do not."""
    X = np.random.default_rng(seed).normal(size=(n_samples, n_features)).astype(np.float32)
    return X, np.maximum(X[:, 0], X[:, 1])


LINEAR = {"hidden_layer_sizes": (), "solver": "fista", "tol": 1e-8, "max_iter": 5000}


NET = {"hidden_layer_sizes": (20,), "learning_rate_init": 0.01, "random_state": 0}


def net(**parameters):
    return RegularizedMLPRegressor(**{"penalty": "group_mcp", **NET, **parameters})


class Interrupt(Callback):
    """Ctrl-C before an epoch, counted from 0."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        if len(net.data_losses_) == self.epoch:
            raise KeyboardInterrupt
