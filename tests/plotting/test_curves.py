"""Displays: the numbers they show are those of the estimators, zeros are seen apart."""

import dataclasses
import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingRegressor
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from skreg import (
    RegularizedMLPRegressor,
    RegularizedMLPRegressorCV,
    RegularizedNetRegressor,
    regularization_path,
)
from skreg.penalties import L1, L2, MCP, ElasticNet, GroupLasso
from skreg.plotting import (
    LossCurveDisplay,
    PenaltyGeometryDisplay,
    RegularizationPathDisplay,
    WeightDistributionDisplay,
    WeightMatrixDisplay,
)
from skreg.plotting.style import COLORS, ZERO_COLOR

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def data():
    X = np.random.default_rng(0).normal(size=(150, 6))
    return X, np.maximum(X[:, 0], X[:, 1])


@pytest.fixture(scope="module")
def fits(data):
    sparse = RegularizedMLPRegressor(
        (10,), penalty="l1", alpha=0.02, learning_rate_init=0.02, max_iter=300, random_state=0
    )
    dense = RegularizedMLPRegressor((10,), alpha=0.02, max_iter=20, random_state=0)
    with pytest.warns(ConvergenceWarning):
        return [dense.fit(*data), sparse.fit(*data)]


# ---------------------------------------------------------------- distribution of weights


def test_zeros_have_a_bar_of_their_own_and_no_other_bar_holds_them(fits):
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


def test_scikit_learns_networks_stand_beside(data, fits):
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
    fits = [clone(network).set_params(penalty=own).fit(X, y) for own in penalties]
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


# ---------------------------------------------------------------------- matrix of weights


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


# ------------------------------------------------------------- what stands around a network

EVERY_DISPLAY = pytest.mark.parametrize(
    "display",
    [
        WeightDistributionDisplay,
        WeightMatrixDisplay,
        LossCurveDisplay,
        RegularizationPathDisplay,
    ],
)


def drawn(display):
    """The numbers that a display shows."""
    return {name: value for name, value in vars(display).items() if name[-1] != "_"}


def around(network):
    """What may stand around a network."""

    def scaled(network):
        return make_pipeline(StandardScaler(with_std=False, with_mean=False), network)

    name = type(network).__name__.lower()
    return {
        "Pipeline": scaled(network),
        "nested": make_pipeline("passthrough", TransformedTargetRegressor(scaled(network))),
        "target": TransformedTargetRegressor(network),
        "search": GridSearchCV(scaled(network), {f"{name}__verbose": [False]}, cv=2),
    }


@EVERY_DISPLAY
@pytest.mark.parametrize("kind", around(RegularizedMLPRegressor()))
def test_displays_take_the_network_within(display, kind, data):
    X = pd.DataFrame(data[0], columns=list("abcdef"))
    network = RegularizedMLPRegressorCV(
        (), penalty="l1", solver="fista", alphas=[0.01, 0.1], cv=2, random_state=0
    )
    alone = drawn(display.from_estimator(clone(network).fit(X, data[1])))
    within = drawn(display.from_estimator(around(network)[kind].fit(X, data[1])))
    assert alone.keys() == within.keys()
    for name, expected in alone.items():
        np.testing.assert_equal(within[name], expected)


def test_estimators_side_by_side_may_be_pipelines_but_not_one_of_them(fits):
    pipeline = make_pipeline("passthrough", fits[1])
    display = WeightDistributionDisplay.from_estimators([fits[0], pipeline])
    assert display.names == ["l2", "l1"]
    np.testing.assert_equal(display.weights[1], fits[1].coefs_)
    # A Pipeline has a length and items: its steps.
    with pytest.raises(
        TypeError, match=r"a list of estimators, got Pipeline\. For a single one"
    ):
        WeightDistributionDisplay.from_estimators(pipeline)


@pytest.mark.parametrize(
    ("before", "names"),
    [
        (PolynomialFeatures(2, interaction_only=True, include_bias=False), ["a", "b", "a b"]),
        (PCA(1), ["pca0"]),
        (make_pipeline(StandardScaler(), "passthrough"), ["a", "b"]),
        (FunctionTransformer(np.tanh).set_output(transform="pandas"), ["a", "b"]),
        # Where a step gives no names: numbers.
        (FunctionTransformer(lambda X: X.to_numpy()), ["0", "1"]),
    ],
)
def test_the_inputs_are_called_as_the_features_that_reach_the_network(data, before, names):
    X = pd.DataFrame(data[0][:, :2], columns=["a", "b"])
    network = RegularizedMLPRegressor((3,), max_iter=2)
    inner = make_pipeline("passthrough", network)
    display = WeightMatrixDisplay.from_estimator(make_pipeline(before, inner).fit(X, data[1]))
    assert display.input_names == names
    given = WeightMatrixDisplay.from_estimator(
        make_pipeline(before, network), feature_names=[name.upper() for name in names]
    )
    assert given.input_names == [name.upper() for name in names]


@EVERY_DISPLAY
def test_displays_say_what_they_found_in_the_place_of_a_network(display, data):
    scaler, linear = StandardScaler(), LinearRegression()
    bagging = BaggingRegressor(RegularizedMLPRegressor((2,), max_iter=2), n_estimators=1)
    search = GridSearchCV(linear, {}, cv=2, refit=False)
    for estimator, got in (
        (make_pipeline(scaler, linear), "Pipeline around LinearRegression"),
        (make_pipeline(scaler, "passthrough"), "Pipeline around 'passthrough'"),
        (TransformedTargetRegressor(linear), "TransformedTargetRegressor around LinearR"),
        (linear, "LinearRegression"),
        (bagging, r"BaggingRegressor\. .* such as in its estimators_"),
        (search, "GridSearchCV that keeps no network: fit it with refit=True"),
    ):
        with pytest.raises(TypeError, match=f"{display.__name__} draws a.*, and got {got}"):
            display.from_estimator(estimator.fit(*data))
    for other, got in ((None, "None"), (data[0], "ndarray"), ("net", "'net'")):
        with pytest.raises(TypeError, match=f"{display.__name__} draws a.*, and got {got}"):
            display.from_estimator(other)
    unfitted = RegularizedMLPRegressorCV()
    for estimator in (*around(unfitted).values(), unfitted):
        with pytest.raises(
            NotFittedError, match=f"{type(estimator).__name__} .* not fitted yet"
        ):
            display.from_estimator(estimator)


# ------------------------------------------------------------------------------- training


def test_loss_curves_are_the_estimators(fits):
    display = LossCurveDisplay.from_estimator(fits[1], name="sparse")
    objective, data_loss, penalty = (line.get_ydata() for line in display.lines_)
    np.testing.assert_array_equal(data_loss, fits[1].data_loss_curve_)
    np.testing.assert_array_equal(penalty, fits[1].penalty_curve_)
    np.testing.assert_allclose(objective, fits[1].loss_curve_)
    assert display.lines_[0].get_xdata()[-1] == fits[1].n_iter_
    assert (display.ax_.get_yscale(), display.ax_.get_title()) == ("log", "sparse")
    assert LossCurveDisplay([1.0], [0.0]).plot(log=False).ax_.get_yscale() == "linear"
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(1,\)"):
        LossCurveDisplay([1.0, 2.0], [0.0]).plot()
    with pytest.raises(ValueError, match=r"shapes \(0,\) and \(0,\)"):
        LossCurveDisplay([], []).plot()
    with pytest.raises(ValueError, match="positive in no epoch: draw it by log=False"):
        LossCurveDisplay([-2.0, -3.0], [0.0, 1.0]).plot()
    with pytest.raises(TypeError, match=r"draws a .* of skreg, .* got MLPRegressor"):
        LossCurveDisplay.from_estimator(MLPRegressor(max_iter=2).fit(np.eye(3), np.ones(3)))


def is_seen(line):
    """Which of its points are drawn, as part of a line or as a dot."""
    finite = np.isfinite(line.get_ydata())
    joined = finite[1:] & finite[:-1]
    seen = np.append(joined, False) | np.append(False, joined)
    if line.get_marker() not in ("", "None"):
        every = line.get_markevery()
        seen |= finite if every is None else finite & np.asarray(every)
    return seen.tolist()


def test_a_single_epoch_is_seen_and_what_is_not_finite_is_a_gap():
    display = LossCurveDisplay([1.0], [0.5]).plot()
    assert [is_seen(line) for line in display.lines_] == [[True]] * 3
    display = LossCurveDisplay([1.0, np.inf, 3.0, 2.0], [1.0] * 4).plot()
    objective, _, penalty = (is_seen(line) for line in display.lines_)
    assert (objective, penalty) == ([True, False, True, True], [True] * 4)
    display = LossCurveDisplay([np.nan] * 2, [np.nan] * 2).plot()
    assert [text.get_text() for text in display.ax_.texts] == ["no finite value"]


# ----------------------------------------------------------------------------------- path


def test_path_is_drawn_in_the_order_of_alpha_with_its_marks():
    scores = np.array([[0.7, 0.9], [0.5, 0.7]])
    display = RegularizationPathDisplay(
        [0.1, 0.01], [2, 5], scores=scores, alpha_min=0.01, alpha_1se=0.1, score_name="R²"
    ).plot()
    features, score = display.ax_
    assert features.lines[0].get_xdata().tolist() == [0.01, 0.1]
    assert features.lines[0].get_ydata().tolist() == [5, 2]
    np.testing.assert_allclose(score.lines[0].get_ydata(), [0.6, 0.8])
    # Two folds 0.2 apart: a standard error of 0.1.
    band = score.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([band.min(), band.max()], [0.5, 0.9])
    marks = [line.get_xdata()[0] for line in features.lines[1:]]
    assert marks == [0.01, 0.1]
    assert score.get_ylabel() == "R²"
    assert features.get_xscale() == "log"
    legend = [text.get_text() for text in features.get_legend().get_texts()]
    assert legend == ["best, λ = 0.01", "within one standard error, λ = 0.1"]


def test_path_without_scores_and_with_single_scores():
    assert len(RegularizationPathDisplay([1, 2], [3, 1]).plot().ax_) == 1
    display = RegularizationPathDisplay([1, 2], [3, 1], scores=[0.5, 0.4]).plot()
    assert len(display.ax_[1].collections) == 0
    with pytest.raises(ValueError, match="2 alphas and 3 entries of scores"):
        RegularizationPathDisplay([1, 2], [3, 1], scores=[1, 2, 3]).plot()
    with pytest.raises(ValueError, match="nothing to draw: give n_features, scores or losses"):
        RegularizationPathDisplay([1, 2]).plot()
    with pytest.raises(ValueError, match="data_loss and penalty together: give both"):
        RegularizationPathDisplay([1, 2], data_loss=[3, 1]).plot()
    for alphas, mark in (([0, 2], None), ([np.nan, 2], 2), ([1, np.inf], 1), ([1, 2], 0.0)):
        with pytest.raises(ValueError, match="every alpha must be positive and finite"):
            RegularizationPathDisplay(alphas, [3, 1], alpha_min=mark).plot()
    with pytest.raises(
        ValueError, match=r"scores of shape .* or \(n_alphas, n_folds\), got .0"
    ):
        RegularizationPathDisplay([], scores=[]).plot()
    with pytest.raises(ValueError, match=r"penalty of shape \(n_alphas,\), got \(2, 1\)"):
        RegularizationPathDisplay([1, 2], data_loss=[1, 2], penalty=[[1], [2]]).plot()


NAN = np.nan


@pytest.mark.parametrize(
    ("scores", "mean"),
    [
        ([NAN, NAN, NAN], [NAN, NAN, NAN]),
        ([[NAN, NAN]] * 3, [NAN, NAN, NAN]),
        ([[-np.inf, 1.0]] * 3, [NAN, NAN, NAN]),
        # A mean over the folds that have a score would compare other rows.
        ([[0.0, 1.0], [NAN, 1.0], [0.5, 1.0]], [0.5, NAN, 0.75]),
        ([1.0, np.inf, 2.0], [1.0, NAN, 2.0]),
    ],
)
@pytest.mark.parametrize("n_features", [None, [3, 2, 1]])
def test_scores_that_are_not_finite_are_gaps(scores, mean, n_features):
    display = RegularizationPathDisplay([0.1, 1.0, 10.0], n_features, scores=scores).plot()
    display.figure_.canvas.draw()
    panel = display.ax_[-1]
    np.testing.assert_array_equal(panel.lines[0].get_ydata(), mean)
    assert is_seen(panel.lines[0]) == np.isfinite(mean).tolist()
    texts = ["no finite value"] if np.isnan(mean).all() else []
    assert [text.get_text() for text in panel.texts] == texts
    low, high = panel.get_xlim()
    assert low <= 0.1 < 10 <= high


def test_losses_that_are_not_finite_are_gaps():
    losses = {"data_loss": [1.0, np.inf, 3.0], "penalty": [NAN, 1.0, 1.0]}
    (panel,) = RegularizationPathDisplay([1, 2, 3], **losses).plot().ax_
    assert panel.get_yscale() == "log"
    seen = [is_seen(line) for line in panel.lines]
    assert seen == [[False, False, True], [True, False, True], [False, True, True]]
    (panel,) = RegularizationPathDisplay([1, 2], [NAN, NAN]).plot().ax_
    assert [text.get_text() for text in panel.texts] == ["no finite value"]


@pytest.mark.parametrize("alphas", [[0.1], 0.1])
def test_path_of_one_alpha_is_seen(alphas):
    display = RegularizationPathDisplay(
        alphas, [3], scores=[[1.0, 3.0]], data_loss=[1.0], penalty=[2.0], alpha_min=0.1
    ).plot()
    display.figure_.canvas.draw()
    features, score, loss = display.ax_
    for line in (features.lines[0], score.lines[0], *loss.lines[:3]):
        assert is_seen(line) == [True]
    # A band has no width there.
    (bar,) = score.collections[-1].get_segments()
    np.testing.assert_allclose(bar, [[0.1, 1.0], [0.1, 3.0]])


def test_path_display_of_a_path(data):
    network = RegularizedMLPRegressor((), penalty="l1", solver="fista")
    path = regularization_path(network, *data, alphas=8, X_val=data[0], y_val=data[1])
    display = RegularizationPathDisplay.from_path(path, score_name="R²")
    features, score, loss = display.ax_
    np.testing.assert_array_equal(features.lines[0].get_ydata(), path.n_features)
    np.testing.assert_array_equal(score.lines[0].get_ydata(), path.scores)
    np.testing.assert_array_equal(score.lines[0].get_xdata(), path.alphas)
    assert score.get_ylabel() == "R²"
    names = [text.get_text() for text in loss.get_legend().get_texts()]
    assert names == ["objective", "data loss", "penalty"]
    expected = [path.data_loss + path.penalty, path.data_loss, path.penalty]
    np.testing.assert_array_equal([line.get_ydata() for line in loss.lines], expected)
    other = RegularizationPathDisplay.from_path(path, scores=path.sparsity)
    np.testing.assert_array_equal(other.ax_[1].lines[0].get_ydata(), path.sparsity)
    # A path without held-out rows has no scores.
    alone = dataclasses.replace(path, scores=None)
    assert len(RegularizationPathDisplay.from_path(alone).ax_) == 2
    with pytest.raises(ValueError, match="8 alphas and 3 entries of scores"):
        RegularizationPathDisplay.from_path(path, scores=[1, 2, 3])
    dense = dataclasses.replace(path, alphas=np.zeros(8))
    with pytest.raises(ValueError, match="this path has no positive alpha"):
        RegularizationPathDisplay.from_path(dense)
    for other in (network, Pipeline([("network", network)])):
        with pytest.raises(TypeError, match=r"from_path draws what .*, got"):
            RegularizationPathDisplay.from_path(other)


def test_path_display_of_a_choice_by_cross_validation_marks_both_rules():
    class Path:
        alphas = np.array([0.1, 1.0, 10.0])
        n_features, data_loss, penalty = [9, 5, 0], [0.2, 0.3, 1.0], [0.3, 0.2, 0.0]

    class Chosen(BaseEstimator):
        path_ = Path()
        # Of the second: means 0.9, 0.85, 0.2, standard error of the best 0.1.
        score_path_ = np.array([np.zeros((3, 2)), [[0.8, 1.0], [0.85, 0.85], [0.2, 0.2]]])
        eligible_ = np.ones((2, 3), dtype=bool)
        l1_ratios_, l1_ratio_ = [0.1, 0.9], 0.9

        def fit(self, X, y):
            return self

        def __sklearn_is_fitted__(self):
            return True

    display = RegularizationPathDisplay.from_estimator(Chosen(), score_name="R²")
    assert (display.alpha_min, display.alpha_1se) == (0.1, 1.0)
    features, score, loss = display.ax_
    assert features.lines[0].get_ydata().tolist() == [9, 5, 0]
    np.testing.assert_allclose(score.lines[0].get_ydata(), [0.9, 0.85, 0.2])
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [0.5, 0.5, 1.0])
    # Neither rule takes what may not be chosen.
    chosen = Chosen()
    chosen.eligible_ = np.array([[True] * 3, [False, True, True]])
    display = RegularizationPathDisplay.from_estimator(chosen)
    assert (display.alpha_min, display.alpha_1se) == (1.0, 1.0)
    # Nor what has no score on some fold; the second score would be the best of the rest.
    chosen.score_path_ = np.array([np.zeros((3, 2)), [[0.8, NAN], [0.85, 0.85], [0.2, 0.2]]])
    chosen.eligible_ = np.ones((2, 3), dtype=bool)
    display = RegularizationPathDisplay.from_estimator(chosen)
    assert (display.alpha_min, display.alpha_1se) == (1.0, 1.0)
    chosen.score_path_ = np.full((2, 3, 2), NAN)
    display = RegularizationPathDisplay.from_estimator(chosen)
    assert (display.alpha_min, display.alpha_1se) == (None, None)
    with pytest.raises(NotFittedError):
        RegularizationPathDisplay.from_estimator(RegularizedMLPRegressor())


@pytest.mark.parametrize("l1_ratio", [0.5, [0.2, 0.9]])
@pytest.mark.parametrize("smallest", [0.0, 0.001])
def test_path_display_of_a_fitted_choice(data, l1_ratio, smallest):
    model = RegularizedMLPRegressorCV(
        (),
        penalty="elasticnet",
        solver="fista",
        alphas=[smallest, 0.1, 1.0],
        cv=3,
        l1_ratio=l1_ratio,
    ).fit(*data)
    assert model.alpha_ == smallest
    display = RegularizationPathDisplay.from_estimator(model)
    # An alpha of 0 has no place on a logarithmic axis, even where it does best.
    positive = [alpha for alpha in (smallest, 0.1, 1.0) if alpha]
    for panel in display.ax_:
        np.testing.assert_array_equal(panel.lines[0].get_xdata(), positive)
    assert display.alpha_min == (smallest or None)
    assert display.alpha_1se in {smallest or None, 0.1}


# ------------------------------------------------------------------------------- geometry


def penalized_minimum(penalty, center, curvature):
    """Proximal gradient descent on the loss plus the penalty."""
    weight = torch.zeros(1, 2, dtype=torch.float64)
    step = 1 / np.linalg.eigvalsh(curvature)[-1]
    for _ in range(1000):
        gradient = (weight - torch.tensor(center)) @ torch.tensor(curvature)
        weight = penalty.prox(weight - step * gradient, step)
    return weight.numpy()[0]


@pytest.mark.parametrize(
    "penalty",
    [L1(0.5), L2(0.5), ElasticNet(0.7, 0.4)],
    ids=["l1", "l2", "elastic net"],
)
@given(
    center=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    correlation=st.floats(-0.6, 0.6),
    stretch=st.floats(0.5, 2.0),
)
@settings(max_examples=6)
def test_touching_point_is_the_penalized_minimum(penalty, center, correlation, stretch):
    # Lagrange: the minimum of loss + penalty is that of the loss where the penalty is
    # no larger. The region is made to pass through it, and the display must find it.
    curvature = np.array([[1.0, correlation], [correlation, stretch]])
    expected = penalized_minimum(penalty, center, curvature)
    value = float(penalty.value([torch.tensor(expected)[None]]))
    if value < 1e-3:
        return
    sizes = np.linspace(0, 10, 2)
    for _ in range(60):  # where the axis meets that level
        middle = sizes.mean()
        point = torch.tensor([[middle, 0.0]], dtype=torch.float64)
        sizes[int(float(penalty.value([point])) > value)] = middle
    display = PenaltyGeometryDisplay.from_penalties(
        {"it": penalty}, center=center, curvature=curvature, size=sizes.mean()
    )
    plt.close(display.figure_)
    np.testing.assert_allclose(display.solutions["it"], expected, atol=1e-4)


def test_regions_have_the_shapes_of_their_norms():
    display = PenaltyGeometryDisplay.from_penalties(
        {"L1": L1(0.3), "L2": L2(7.0)}, size=2.0, center=(0.5, 4.0)
    )
    np.testing.assert_allclose(np.abs(display.boundaries["L1"]).sum(1), 2.0)
    np.testing.assert_allclose(np.linalg.norm(display.boundaries["L2"], axis=1), 2.0)
    assert display.ax_.shape == (2,)
    assert display.ax_[0].get_title() == "L1\nw = (0, 2.00)"  # zero is written as 0


def test_non_convex_and_group_regions():
    penalties = {"MCP": MCP(1.0, gamma=1.5), "group": GroupLasso(1.0)}
    display = PenaltyGeometryDisplay.from_penalties(penalties)
    value = penalties["MCP"].value([torch.tensor(display.boundaries["MCP"])])
    np.testing.assert_allclose(value, 1 - 1 / 3, atol=1e-9)  # that of (1, 0), all along
    # Inside L1's diamond: a region that is not convex has sharper corners.
    assert np.abs(display.boundaries["MCP"]).sum(1).max() < 1 + 1e-9
    assert display.solutions["MCP"].tolist() == [0.0, 1.0]
    # Two weights that are one group: a circle.
    np.testing.assert_allclose(np.linalg.norm(display.boundaries["group"], axis=1), 1.0)


def test_a_minimum_inside_the_region_stays():
    display = PenaltyGeometryDisplay.from_penalties({"L2": L2(1.0)}, center=(0.3, 0.2))
    assert display.solutions["L2"].tolist() == [0.3, 0.2]


def test_geometry_wants_a_loss_with_a_minimum():
    with pytest.raises(ValueError, match="curvature must be symmetric and positive definite"):
        PenaltyGeometryDisplay.from_penalties({"L1": L1(1.0)}, curvature=[[1, 2], [2, 1]])


@pytest.mark.parametrize(
    ("penalties", "parameters", "error", "message"),
    [
        ([L1(1.0)], {}, TypeError, "takes a dict of titles and penalties, .* got list"),
        (L1(1.0), {}, TypeError, "takes a dict of titles and penalties, .* got L1"),
        ({"a": "l1"}, {}, TypeError, "objects of skreg.penalties, got 'l1' as 'a'"),
        ({}, {}, ValueError, "nothing to draw: give a penalty"),
        ({"a": L1(0.0)}, {}, ValueError, "no limit to the weights.*Give it a positive alpha"),
        ({"a": L1(NAN)}, {}, ValueError, "alpha must be finite"),
        ({"a": L1()}, {}, ValueError, "L1 has no alpha: give it one"),
        ({"a": L1(1.0)}, {"size": 0}, ValueError, "size must be positive and finite, got 0"),
        ({"a": L1(1.0)}, {"center": [1, NAN]}, ValueError, "center must be finite, and 1 of 2"),
        ({"a": L1(1.0)}, {"center": [1]}, ValueError, r"center must have .*got \(1,\) and"),
        ({"a": L1(1.0)}, {"curvature": np.eye(3)}, ValueError, r"\(2,\) and \(3, 3\)"),
    ],
)
def test_geometry_says_what_it_cannot_draw(penalties, parameters, error, message):
    with pytest.raises(error, match=message):
        PenaltyGeometryDisplay.from_penalties(penalties, **parameters)


# --------------------------------------------------------------------------------- common


def test_given_axes_are_drawn_on(fits):
    figure, axes = plt.subplots(2, 1)
    display = WeightDistributionDisplay.from_estimator(fits[1], ax=axes)
    assert display.figure_ is figure
    assert display.ax_[1, 0] is axes[1]
    assert LossCurveDisplay.from_estimator(fits[1], ax=axes[0]).ax_ is axes[0]
    with pytest.raises(ValueError, match="draws 2 x 2 panels, but ax holds 2 axes"):
        WeightDistributionDisplay.from_estimators(fits, ax=axes)


def test_without_matplotlib_the_error_says_how_to_get_it(fits, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(
        ImportError, match=r'LossCurveDisplay.plot .* pip install "skreg\[plot\]"'
    ):
        LossCurveDisplay.from_estimator(fits[0])


def test_colours_differ_in_lightness_or_hue_for_everybody():
    # Machado et al., "A physiologically-based model for simulation of color vision
    # deficiency", 2009: full deuteranopia and protanopia, in linear RGB.
    matrices = {
        "deuteranopia": [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        "protanopia": [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
    }
    colors = np.array([matplotlib.colors.to_rgb(c) for c in (*COLORS, ZERO_COLOR)])
    for matrix in matrices.values():
        seen = np.clip(colors**2.2 @ np.array(matrix).T, 0, 1) ** (1 / 2.2)
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
        assert apart[np.triu_indices(len(seen), 1)].min() > 0.15


@pytest.mark.parametrize(("largest", "most"), [(0.08, 6), (5.0, 5)])
def test_labels_of_alpha_are_few_enough_not_to_touch(largest, most):
    alphas = np.geomspace(0.002, largest, 20)
    display = RegularizationPathDisplay(alphas, np.arange(20)).plot()
    (axis,) = display.ax_
    axis.figure.canvas.draw()
    labels = axis.get_xticklabels(minor=True) + axis.get_xticklabels()
    low, high = axis.get_xlim()
    shown = [t for t in labels if t.get_text() and low <= t.get_position()[0] <= high]
    assert 2 <= len(shown) <= most
