"""What a path says of its networks, and the estimators it gives."""

import pickle

import numpy as np
import pytest
import torch
from path_data import kinked_data


def test_fields_agree_with_the_estimators(path):
    X, y = kinked_data()
    for index in (0, len(path) // 2, -2):
        model = path.estimator_at(index)
        assert model.alpha == path.alphas[index]
        assert model.selected_features_.sum() == path.n_features[index]
        np.testing.assert_array_equal(model.selected_features_, path.selected[index])
        assert model.sparsity_ == path.sparsity[index]
        assert model.score(X[:50], y[:50]) == pytest.approx(path.scores[index], abs=1e-5)
        loss = 0.5 * np.square(model.predict(X) - y).mean()
        assert loss == pytest.approx(path.data_loss[index], rel=1e-3)
        penalty = model.net_.penalty_values().item()
        assert penalty == pytest.approx(path.penalty[index], rel=1e-5)
        assert model.loss_curve_[-1] == pytest.approx(loss + penalty, rel=1e-3)
    lost = path.selected[:, 5].nonzero()[0].max()
    assert path.entry_alpha[5] == path.alphas[lost]


def test_estimators_of_a_path_are_independent_and_pickle(path):
    X, _ = kinked_data()
    model = path.estimator_at(3)
    before = model.predict(X)
    with torch.no_grad():
        path.estimator_at(3).net_.module_.weight.zero_()
    np.testing.assert_array_equal(model.predict(X), before)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), before)
    assert len(pickle.loads(pickle.dumps(path))) == len(path)
    with pytest.raises(IndexError):
        path.estimator_at(len(path))
