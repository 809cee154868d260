"""Displays of curves: the numbers are the estimators', gaps and marks are seen."""

import dataclasses

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline

from skreg import RegularizedMLPRegressor, RegularizedMLPRegressorCV, regularization_path
from skreg.path.cv import PathCV
from skreg.plotting import LossCurveDisplay, RegularizationPathDisplay

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

NAN = np.nan


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
        _scores_along_path = PathCV._scores_along_path

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
