"""Synthetic data: what is said of them is so."""

import numpy as np
import pytest

from skreg.datasets import make_sparse_classification, make_sparse_regression


def test_the_target_depends_on_the_support_alone():
    X, y, support = make_sparse_regression(4000, 12, n_informative=4, noise=0.0, random_state=0)
    assert support.sum() == 4
    assert y.std() == pytest.approx(1.0)
    # A flexible model on the support explains the target, on the rest it explains nothing.
    from sklearn.ensemble import HistGradientBoostingRegressor

    half = 2000
    for mask, low, high in ((support, 0.9, 1.0), (~support, -1.0, 0.05)):
        model = HistGradientBoostingRegressor(random_state=0).fit(X[:half, mask], y[:half])
        assert low < model.score(X[half:, mask], y[half:]) < high


def test_noise_and_correlation_are_what_they_are_called():
    X, y, _ = make_sparse_regression(
        20_000, 6, n_informative=2, correlation=0.7, random_state=1
    )
    measured = np.corrcoef(X.T)
    np.testing.assert_allclose(np.diag(measured, 1), 0.7, atol=0.03)
    np.testing.assert_allclose(np.diag(measured, 2), 0.49, atol=0.03)
    np.testing.assert_allclose(X.std(0), 1.0, atol=0.03)
    clean = make_sparse_regression(
        20_000, 6, n_informative=2, correlation=0.7, noise=0.0, random_state=1
    )[1]
    assert (y - clean).std() == pytest.approx(0.1, rel=0.05)


def test_classes_are_signs_and_seeds_repeat():
    X, y, support = make_sparse_classification(50, 20, n_informative=3, random_state=2)
    again = make_sparse_regression(50, 20, n_informative=3, random_state=2)
    np.testing.assert_array_equal(X, again[0])
    np.testing.assert_array_equal(y, again[1] > 0)
    np.testing.assert_array_equal(support, again[2])


def test_more_informative_features_than_features_is_an_error():
    with pytest.raises(ValueError, match="n_informative=10 is more than n_features=5"):
        make_sparse_regression(10, 5)
