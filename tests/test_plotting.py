"""Displays: the numbers they show are those of the estimators, zeros are seen apart."""

import dataclasses
import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.neural_network import MLPRegressor

from skreg import (
    RegularizedMLPRegressor,
    RegularizedMLPRegressorCV,
    RegularizedNetRegressor,
    regularization_path,
)
from skreg._plot_style import COLORS, ZERO_COLOR
from skreg.penalties import L1, L2, MCP, ElasticNet, GroupLasso
from skreg.plotting import (
    LossCurveDisplay,
    PenaltyGeometryDisplay,
    RegularizationPathDisplay,
    WeightDistributionDisplay,
    WeightMatrixDisplay,
)

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
    with pytest.raises(ValueError, match="every alpha must be positive"):
        RegularizationPathDisplay([0, 2], [3, 1]).plot()


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


def test_path_display_of_a_choice_by_cross_validation_marks_both_rules():
    class Path:
        alphas = np.array([0.1, 1.0, 10.0])
        n_features, data_loss, penalty = [9, 5, 0], [0.2, 0.3, 1.0], [0.3, 0.2, 0.0]

    class Chosen(BaseEstimator):
        path_ = Path()
        # Of the second: means 0.9, 0.85, 0.2, standard error of the best 0.1.
        score_path_ = np.array([np.zeros((3, 2)), [[0.8, 1.0], [0.85, 0.85], [0.2, 0.2]]])
        eligible_ = np.ones((2, 3), dtype=bool)
        l1_ratio, l1_ratio_ = [0.1, 0.9], 0.9

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
