"""Supports that are trained again without the penalty."""

import numpy as np
from path_data import kinked_data, net
from torch import nn

from skreg import RegularizedNetRegressor, regularization_path
from skreg.path.refit import _from_scratch
from skreg.training.progress import Progress


def test_refits_keep_the_support_and_lower_the_loss(path):
    refitted = path.refitted
    np.testing.assert_array_equal(refitted.alphas, path.alphas)
    first_of_support = np.r_[True, (path.selected[1:] != path.selected[:-1]).any(1)]
    assert (
        refitted.data_loss[first_of_support] <= path.data_loss[first_of_support] + 1e-3
    ).all()
    assert (refitted.data_loss < path.data_loss - 1e-3).any()
    assert not (refitted.selected & ~path.selected).any()
    for index in np.flatnonzero(path.n_features == 2)[:1]:
        model = refitted.estimator_at(index)
        assert model.penalty is None
        assert not model.coefs_[0][~path.selected[index]].any()


def test_refits_of_a_convolution_keep_its_units():
    X = np.random.default_rng(0).normal(size=(60, 3, 5, 5)).astype(np.float32)
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 1))
    model = RegularizedNetRegressor(module, penalty="group_lasso", max_iter=10, random_state=0)
    path = regularization_path(
        model, X, 5 * X[:, 0].mean((1, 2)), alphas=[0.05, 0.2], refit=True
    )
    dropped = ~path.selected[:, path.unit_parameters == "0.weight"]
    assert dropped.any()
    for index, units in enumerate(dropped):
        convolution = path.refitted.estimator_at(index).module_[0]
        assert not convolution.weight[:, units].any()


def test_refits_of_a_network_with_dropout():
    X, y = kinked_data(80, 6)
    path = regularization_path(
        net(max_iter=10, dropout=0.2), X, y, alphas=[0.01, 0.3, 10.0], refit=True
    )
    assert len(set(path.n_features)) > 1
    assert path.refitted.data_loss[0] < path.data_loss[-1]


def test_a_refit_begins_at_the_first_learning_rate():
    progress = Progress(
        1, learning_rate_init=0.1, learning_rate="invscaling", tol=0.01, n_iter_no_change=3
    )
    progress.update([-1.0], n_samples=1000)
    progress.rescue()
    again = _from_scratch(progress, 2)
    assert again.learning_rates.tolist() == [0.1, 0.1]
    again.update([-1.0, -1.0], n_samples=3)
    assert again.learning_rates.tolist() == [0.05, 0.05]
    assert again.running.all()
