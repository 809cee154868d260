"""What can be read off a multi-layer perceptron: importances and selected features."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from small_fits import X, Y, every_kind, outputs, small

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@every_kind
def test_importances_of_a_linear_model_are_absolute_coefficients(estimator, y):
    model = small(estimator, hidden_layer_sizes=()).fit(X, y)
    (coef,) = model.coefs_
    assert coef.shape == (6, model.n_outputs_)
    assert_allclose(model.feature_importances_, np.abs(coef).sum(1), rtol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity", "logistic"])
def test_importances_bound_how_fast_the_outputs_change(activation):
    targets = np.column_stack([Y, X[:, 3]])
    model = small(hidden_layer_sizes=(5, 4), activation=activation, max_iter=100)
    model.fit(X, targets)
    for feature, importance in enumerate(model.feature_importances_):
        for change in (1e-3, 0.1, 3.0):
            moved = X.copy()
            moved[:, feature] += change
            change_of_outputs = np.abs(model.predict(moved) - model.predict(X)).sum(1)
            assert change_of_outputs.max() > 0
            assert change_of_outputs.max() <= importance * change * (1 + 1e-9)


def test_importances_are_attained_where_all_paths_are_open():
    model = small(activation="identity", hidden_layer_sizes=(1,)).fit(X, Y)
    moved = X + np.eye(6)[2]
    assert_allclose(
        np.abs(model.predict(moved) - model.predict(X)), model.feature_importances_[2]
    )


@every_kind
def test_predictions_do_not_depend_on_features_that_are_not_selected(estimator, y):
    model = small(estimator, penalty="l1", alpha=0.04, max_iter=300, batch_size=120).fit(X, y)
    unselected = ~model.selected_features_
    assert 0 < unselected.sum() < 6, "the data must leave something to test"
    moved = X.copy()
    noise = np.random.default_rng(1).normal(size=(120, unselected.sum()))
    moved[:, unselected] += 1e3 * noise
    assert_array_equal(outputs(model, moved), outputs(model))
    assert (model.feature_importances_[unselected] == 0).all()
    for feature in np.flatnonzero(model.selected_features_):
        moved = X.copy()
        moved[:, feature] += 1e3
        assert not np.array_equal(outputs(model, moved), outputs(model))


def test_a_feature_that_only_reaches_a_dead_end_is_not_selected():
    model = small(hidden_layer_sizes=(3, 3)).fit(X, Y)
    assert model.selected_features_.all()
    first, second, _ = model.net_.module_.weights
    with torch.no_grad():
        # Feature 4 reaches neuron 2 alone, and what neuron 2 sends reaches neuron 1 of the
        # next layer alone, which sends nothing on.
        first[0, 4, :2] = 0
        second[0, 2, [0, 2]] = 0
        model.net_.module_.weights[2][0, 1] = 0
    assert model.selected_features_.tolist() == [True] * 4 + [False, True]
    assert model.feature_importances_[4] == 0
    assert model.coefs_[0][4, 2] != 0
    moved = X.copy()
    moved[:, 4] += 1e3
    assert_array_equal(model.predict(moved), model.predict(X))
