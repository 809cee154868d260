"""Displays of weights: the numbers are the estimators', zeros are told apart."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.neural_network import MLPRegressor

from skreg import RegularizedMLPRegressor, RegularizedNetRegressor
from skreg.penalties import L1, L2
from skreg.plotting import WeightDistributionDisplay, WeightMatrixDisplay
from skreg.plotting.style import ZERO_COLOR

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_zeros_have_a_separate_bar_and_no_other_bar_holds_them(fits):
    display = WeightDistributionDisplay.from_estimators(fits)
    assert display.ax_.shape == (2, 2)
    assert not display.n_zeros_[:, 0].any()
    for layer in range(2):
        weights = fits[1].coefs_[layer]
        n_zeros = (weights == 0).sum()
        assert 0 < n_zeros == display.n_zeros_[layer, 1]
        bars = display.ax_[layer, 1].patches
        zero_bars = [bar for bar in bars if to_hex(bar.get_facecolor()) == ZERO_COLOR.lower()]
        assert [bar.get_height() for bar in zero_bars] == [n_zeros]
        others = sum(bar.get_height() for bar in bars if bar not in zero_bars)
        assert others == weights.size - n_zeros
        (text,) = display.ax_[layer, 1].texts
        assert text.get_text() == f"{n_zeros / weights.size:.0%} exactly zero"
    assert display.ax_[0, 0].texts[0].get_text() == "none exactly zero"
    assert [ax.get_title() for ax in display.ax_[0]] == ["l2", "l1"]
    assert display.figure_ is display.ax_[0, 0].figure


def test_layers_can_be_pooled_and_counted_on_a_linear_axis(fits):
    display = WeightDistributionDisplay.from_estimators(
        fits, names=["a", "b"], per_layer=False, log=False, bins=11
    )
    assert display.ax_.shape == (1, 2)
    assert display.n_zeros_[0, 1] == sum((w == 0).sum() for w in fits[1].coefs_)
    assert display.ax_[0, 0].get_yscale() == "linear"
    assert len(display.ax_[0, 0].patches) == 11


def test_scikit_learns_networks_are_drawn_too(data, fits):
    with pytest.warns(ConvergenceWarning):
        peer = MLPRegressor(hidden_layer_sizes=(10,), max_iter=5, random_state=0).fit(*data)
    display = WeightDistributionDisplay.from_estimators([peer, fits[1]])
    assert display.ax_[0, 0].get_title() == "MLPRegressor"
    assert WeightDistributionDisplay.from_estimator(peer, name="peer").names == ["peer"]


def test_no_penalty_is_said_so(data):
    network = RegularizedMLPRegressor((), penalty="l1", alpha=0.0, max_iter=2).fit(*data)
    assert WeightDistributionDisplay.from_estimator(network).names == ["no penalty"]


def test_distributions_that_cannot_stand_side_by_side(data, fits):
    linear = RegularizedMLPRegressor((), max_iter=2).fit(*data)
    with pytest.raises(ValueError, match=r"\[2, 1\] layers of weights.*the same number"):
        WeightDistributionDisplay.from_estimators([fits[0], linear])
    with pytest.raises(ValueError, match="nothing to draw: give the weights of at least one"):
        WeightDistributionDisplay.from_estimators([])
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        WeightDistributionDisplay.from_estimator(linear, bins=0)
    with pytest.raises(ValueError, match="weights must be finite, and 1 of 2 values are NaN"):
        WeightDistributionDisplay([[[1.0, np.nan]]], ["a"]).plot()
    with pytest.raises(ValueError, match=r"one name for each estimator, got 1 .* and 2 names"):
        WeightDistributionDisplay([[np.ones(3)]], ["a", "b"]).plot()
    with pytest.raises(NotFittedError):
        WeightDistributionDisplay.from_estimator(RegularizedMLPRegressor())


def test_networks_of_a_module_have_a_row_for_each_penalized_parameter(data):
    X, y = (array.astype(np.float32) for array in data)
    module = torch.nn.Sequential(
        torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5), torch.nn.ReLU(), torch.nn.Linear(5, 1)
    )
    network = RegularizedNetRegressor(module, max_iter=30, learning_rate_init=0.02)
    penalties = [None, {"0.*": L1(0.1), "3.*": L2(0.01)}]
    fits = [clone(network).set_params(penalty=penalty).fit(X, y) for penalty in penalties]
    display = WeightDistributionDisplay.from_estimators(fits)
    assert [ax.get_title() for ax in display.ax_[0]] == ["no penalty", "a penalty by name"]
    rows = [ax.get_ylabel() for ax in display.ax_[:, 0]]
    assert rows == ["0.weight: weights", "3.weight: weights"]
    n_zeros = (fits[1].module_[0].weight == 0).sum().item()
    np.testing.assert_array_equal(display.n_zeros_, [[0, n_zeros], [0, 0]])
    assert n_zeros > 0
    assert display.n_zeros_.sum() / 35 == pytest.approx(fits[1].sparsity_)
    pooled = WeightDistributionDisplay.from_estimator(fits[1], per_layer=False, name="x")
    np.testing.assert_array_equal(pooled.n_zeros_, [[n_zeros]])


def test_networks_whose_weights_do_not_stand_side_by_side_are_refused(fits, data):
    X, y = (array.astype(np.float32) for array in data)
    one, other = (
        RegularizedNetRegressor(module, max_iter=2, random_state=0).fit(X, y)
        for module in (torch.nn.Linear(6, 1), torch.nn.Sequential(torch.nn.Linear(6, 1)))
    )
    with pytest.raises(ValueError, match=r"different names, \['bias', 'weight'\] and"):
        WeightDistributionDisplay.from_estimators([one, other])
    with pytest.raises(ValueError, match="estimators of one kind side by side"):
        WeightDistributionDisplay.from_estimators([fits[0], one])
    nothing = clone(one).set_params(penalty={}).fit(X, y)
    with pytest.raises(ValueError, match="nothing to draw"):
        WeightDistributionDisplay.from_estimator(nothing)
    with pytest.raises(ValueError, match="one name for each layer, got 1 layers"):
        WeightDistributionDisplay([[np.ones(3)]], ["a"], ["b", "c"]).plot()
    with pytest.raises(ValueError, match="RegularizedNetRegressor has no coefs_"):
        WeightMatrixDisplay.from_estimator(one)


def test_matrix_shows_weights_masks_zeros_and_greys_the_dead(fits):
    network = fits[1]
    display = WeightMatrixDisplay.from_estimator(network)
    weights = network.coefs_[0]
    shown = display.image_.get_array()
    assert (shown.mask == (weights == 0)[:, display.neurons_]).all()
    np.testing.assert_array_equal(shown.filled(0), weights[:, display.neurons_])
    assert (display.dead_inputs == ~network.selected_features_).all()
    living = (weights != 0).any(0) & (network.coefs_[1] != 0).any(1)
    assert (display.dead_neurons == ~living).all()
    assert display.dead_inputs.any()
    assert display.dead_neurons.any()
    colors = [label.get_color() == "#999999" for label in display.ax_.get_yticklabels()]
    assert colors == display.dead_inputs.tolist()
    # Living neurons first.
    order = display.dead_neurons[display.neurons_].tolist()
    assert order == sorted(order)
    assert f"{living.sum()} of 10 alive" in display.ax_.get_xlabel()
    idle = (weights != 0) & ~(living & ~display.dead_inputs[:, None])
    assert len(display.ax_.collections[0].get_paths()) == idle.sum()


def test_matrix_of_another_layer_unsorted_and_without_a_scale(fits):
    display = WeightMatrixDisplay.from_estimator(fits[1], layer=-1, sort=False, colorbar=False)
    assert display.weights.shape == (10, 1)
    assert display.neurons_.tolist() == [0]
    assert len(display.figure_.axes) == 1
    assert (
        display.dead_inputs.sum()
        == WeightMatrixDisplay.from_estimator(fits[1]).dead_neurons.sum()
    )


def test_matrix_names_its_inputs(fits):
    display = WeightMatrixDisplay.from_estimator(fits[0], feature_names=list("abcdef"))
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == list("abcdef")
    with pytest.raises(ValueError, match="2 names, but layer 0 has 6 inputs"):
        WeightMatrixDisplay.from_estimator(fits[0], feature_names=list("ab"))
    with pytest.raises(ValueError, match=r"layer=2, but this .* has 2 layers of weights"):
        WeightMatrixDisplay.from_estimator(fits[0], layer=2)


def test_a_neuron_that_no_output_hears_is_dead():
    class Fitted(BaseEstimator):
        coefs_ = [np.ones((2, 2)), np.array([[1.0], [0.0]])]

        def fit(self, X, y):
            return self

        def __sklearn_is_fitted__(self):
            return True

    display = WeightMatrixDisplay.from_estimator(Fitted())
    assert display.dead_neurons.tolist() == [False, True]
    # Its two weights are hatched, at (column, row), and the scale says what that means.
    (veil,) = display.ax_.collections
    assert veil.get_hatch()
    centers = [path.vertices[:4].mean(axis=0).tolist() for path in veil.get_paths()]
    assert centers == [[1, 0], [1, 1]]
    assert "leads nowhere" in display.figure_.axes[1].get_ylabel()


def test_matrix_wants_a_matrix_and_what_goes_with_it():
    shown = WeightMatrixDisplay([[1, 0], [2, 0]], ["a", "b"], [0, 0], [0, 1]).plot()
    assert "1 of 2 alive" in shown.ax_.get_xlabel()
    with pytest.raises(ValueError, match=r"weights of shape \(2,\): there is nothing to draw"):
        WeightMatrixDisplay([1.0, 2.0], ["a"], [False], [False]).plot()
    with pytest.raises(ValueError, match=r"entry of input_names for each of 2, got 1"):
        WeightMatrixDisplay(np.ones((2, 1)), ["a"], [False] * 2, [False]).plot()
    with pytest.raises(ValueError, match="weights must be finite, and 2 of 2 values are"):
        WeightMatrixDisplay([[np.nan, np.inf]], ["a"], [False], [False] * 2).plot()


def test_a_compacted_network_shows_the_features_that_are_left(data):
    X = pd.DataFrame(data[0], columns=list("abcdef"))
    model = RegularizedMLPRegressor((), penalty="l1", alpha=0.1, solver="fista")
    display = WeightMatrixDisplay.from_estimator(model.fit(X, data[1]).compact())
    assert display.input_names == ["a", "b"]
    display = WeightMatrixDisplay.from_estimator(model.fit(*data).compact())
    assert display.input_names == ["0", "1"]
    nothing = clone(model).set_params(alpha=1e3).fit(*data).compact()
    with pytest.raises(
        ValueError, match=r"weights of shape \(0, 1\): there is nothing to draw"
    ):
        WeightMatrixDisplay.from_estimator(nothing)
    assert WeightDistributionDisplay.from_estimator(nothing).n_zeros_.sum() == 0
