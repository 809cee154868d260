"""Displays of numbers along training, and along λ."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np

from skreg.plotting.fitted import fitted_network
from skreg.plotting.style import COLORS, ZERO_COLOR, make_axes


@dataclass(eq=False, repr=False)
class LossCurveDisplay:
    """Data loss, penalty and their sum, the objective, by epoch.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    data_loss : array-like of shape (n_epochs,)
    penalty : array-like of shape (n_epochs,)
    name : str, default=None
        Title.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        Objective, data loss and penalty.

    Examples
    --------
    >>> import numpy as np
    >>> from skreg import RegularizedMLPRegressor
    >>> from skreg.plotting import LossCurveDisplay
    >>> X = np.random.default_rng(0).normal(size=(100, 5))
    >>> network = RegularizedMLPRegressor((), penalty="l1", solver="fista")
    >>> display = LossCurveDisplay.from_estimator(network.fit(X, X[:, 0]))
    >>> [line.get_label() for line in display.lines_]
    ['objective', 'data loss', 'penalty']
    """

    data_loss: Any
    penalty: Any
    _: KW_ONLY
    name: str | None = None

    def plot(self, *, ax: Any = None, log: bool = True) -> Self:
        """Draw the curves and return the display.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw; None makes a new figure.
        log : bool, default=True
            Whether the loss axis is logarithmic. Losses that are not positive need False.
        """
        data_loss, penalty = _finite(self.data_loss), _finite(self.penalty)
        if data_loss.shape != penalty.shape or data_loss.ndim != 1 or not len(data_loss):
            raise ValueError(
                f"LossCurveDisplay needs one data loss and one penalty for each epoch, got "
                f"shapes {data_loss.shape} and {penalty.shape}."
            )
        if log and (data_loss + penalty <= 0).all():
            raise ValueError(
                "LossCurveDisplay has a logarithmic axis for the loss, and the objective is "
                "positive in no epoch: draw it by log=False."
            )
        axes = make_axes(ax, (1, 1), "LossCurveDisplay.plot", (5.6, 3.8))[0, 0]
        epochs = np.arange(1, len(data_loss) + 1)
        self.lines_ = _draw_losses(axes, epochs, data_loss, penalty)
        axes.set(xlabel="epoch", ylabel="loss", yscale="log" if log else "linear")
        if self.name is not None:
            axes.set_title(self.name)
        self.ax_, self.figure_ = axes, axes.figure
        return self

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, ax: Any = None, log: bool = True
    ) -> Self:
        """Return the display of the curves of a fitted estimator, drawn.

        Parameters
        ----------
        estimator : fitted estimator with `data_loss_curve_` and `penalty_curve_`
            Of a Pipeline, a TransformedTargetRegressor or a search, the network in it.
        name : str, default=None
            Title.
        ax, log
            As in :meth:`plot`.
        """
        kind, attributes = "a fitted network of skreg", ("data_loss_curve_",)
        network, _ = fitted_network(estimator, cls.__name__, kind, attributes)
        display = cls(network.data_loss_curve_, network.penalty_curve_, name=name)
        return display.plot(ax=ax, log=log)


@dataclass(eq=False, repr=False)
class RegularizationPathDisplay:
    """Along λ: how many features are left, how well the network does, and what it costs.

    The first panel counts the features with weights left; the second has the score, with a
    band of one standard error where there are several folds; the third has the objective, the
    data loss and the penalty. Two λ may be marked: the best, and the largest within one
    standard error of it. Where a value is not finite the curve has a gap; so has the mean score
    where one of its folds is not finite, as in scikit-learn's searches.

    It is recommended to use :meth:`from_path` or :meth:`from_estimator`.

    Parameters
    ----------
    alphas : array-like of shape (n_alphas,)
        Strengths λ, positive, in any order.
    n_features : array-like of shape (n_alphas,), default=None
        Features left at each; None draws no panel of them.
    scores : array-like of shape (n_alphas,) or (n_alphas, n_folds), default=None
        Score, or any other figure, at each; several folds are drawn as mean and standard
        error. None draws no panel of them.
    score_name : str, default="score"
        Label of that panel.
    data_loss, penalty : array-like of shape (n_alphas,), default=None
        The two parts of the objective on the training rows; None draws no panel of them.
    alpha_min : float, default=None
        The λ that does best; None marks none.
    alpha_1se : float, default=None
        The largest λ within one standard error of it; None marks none.

    Attributes
    ----------
    ax_ : ndarray of matplotlib Axes of shape (n_panels,)
        Features, score and loss, of which some may be missing.
    figure_ : matplotlib Figure

    References
    ----------
    Hastie, Tibshirani & Friedman, "The Elements of Statistical Learning", 2009, section 7.10,
    for the one-standard-error rule.

    Examples
    --------
    >>> from skreg.plotting import RegularizationPathDisplay
    >>> display = RegularizationPathDisplay(
    ...     alphas=[0.001, 0.01, 0.1],
    ...     n_features=[30, 8, 1],
    ...     scores=[[0.90, 0.92], [0.93, 0.95], [0.70, 0.74]],
    ...     alpha_min=0.01,
    ... ).plot()
    >>> len(display.ax_)
    2
    """

    alphas: Any
    n_features: Any = None
    _: KW_ONLY
    scores: Any = None
    score_name: str = "score"
    data_loss: Any = None
    penalty: Any = None
    alpha_min: float | None = None
    alpha_1se: float | None = None

    def plot(self, *, ax: Any = None) -> Self:
        """Draw the path and return the display.

        Parameters
        ----------
        ax : array of Axes of shape (n_panels,), default=None
            Where to draw; None makes a new figure.
        """
        alphas, given = self._checked()
        alphas, order = np.unique(alphas, return_index=True)
        given = {name: values[order] for name, values in given.items()}
        panels = [name for name in ("n_features", "scores", "data_loss") if name in given]
        size = (6.4, 3.6 if len(panels) == 1 else 2.4)
        shape = (len(panels), 1)
        axes = make_axes(ax, shape, "RegularizationPathDisplay.plot", size, sharex="col")[:, 0]
        for panel, name in zip(axes, panels, strict=True):
            if name == "n_features":
                panel.step(alphas, given[name], where="mid", color=COLORS[0], marker=".")
                _say_if_empty(panel, given[name])
                panel.set_ylabel("features left")
                panel.set_ylim(bottom=0)
            elif name == "scores":
                _draw_band(panel, alphas, given[name])
                panel.set_ylabel(self.score_name)
            else:
                _draw_losses(panel, alphas, given["data_loss"], given["penalty"])
                # The data loss is often far below the penalty.
                positive = not (given["data_loss"] <= 0).any()
                panel.set(ylabel="loss", yscale="log" if positive else "linear")
        for panel in axes:
            _log_scale(panel, alphas)
        marks = [self._mark(panel) for panel in axes]
        axes[-1].set_xlabel("λ (alpha)")
        if marks[0]:
            # The marks alone: a panel's curves have another legend or a label.
            axes[0].legend(handles=marks[0])
        self.ax_, self.figure_ = axes, axes[0].figure
        return self

    def _mark(self, panel: Any) -> list[Any]:
        """Draw a line at each chosen alpha."""
        marks = (
            (self.alpha_min, "best", COLORS[2], "--"),
            (self.alpha_1se, "within one standard error", ZERO_COLOR, ":"),
        )
        return [
            panel.axvline(alpha, color=color, linestyle=style, label=f"{name}, λ = {alpha:.2g}")
            for alpha, name, color, style in marks
            if alpha is not None
        ]

    def _checked(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        alphas = np.atleast_1d(np.asarray(self.alphas, dtype=float))
        names = ("n_features", "scores", "data_loss", "penalty")
        given = {name: _finite(v) for name in names if (v := getattr(self, name)) is not None}
        if not given:
            raise ValueError(
                "RegularizationPathDisplay has nothing to draw: give n_features, scores or "
                "losses."
            )
        if ("data_loss" in given) != ("penalty" in given):
            raise ValueError(
                "RegularizationPathDisplay draws data_loss and penalty together: give both or "
                "neither."
            )
        for name, values in given.items():
            _check_length(name, values, alphas)
            if values.ndim > 1 + (name == "scores") or not values.size:
                folds = " or (n_alphas, n_folds)" if name == "scores" else ""
                raise ValueError(
                    f"RegularizationPathDisplay needs {name} of shape (n_alphas,){folds}, got "
                    f"{values.shape}."
                )
        marks = [mark for mark in (self.alpha_min, self.alpha_1se) if mark is not None]
        if not all(0 < alpha < np.inf for alpha in (*alphas, *marks)):
            raise ValueError(
                "RegularizationPathDisplay has a logarithmic axis for alpha: every alpha must "
                "be positive and finite. Leave alpha=0 out."
            )
        return alphas, given

    @classmethod
    def _of_path(cls, path: Any, scores: Any, **parameters: Any) -> Self:
        """Without alpha = 0, which has no place on the axis."""
        alphas = np.asarray(path.alphas)
        drawn = alphas > 0
        if not drawn.any():
            raise ValueError(
                f"RegularizationPathDisplay has a logarithmic axis for alpha, and this path "
                f"has no positive alpha: {alphas.tolist()}."
            )
        if scores is not None:
            scores = np.asarray(scores)
            _check_length("scores", scores, alphas)
            scores = scores[drawn]
        return cls(
            alphas[drawn],
            np.asarray(path.n_features)[drawn],
            scores=scores,
            data_loss=np.asarray(path.data_loss)[drawn],
            penalty=np.asarray(path.penalty)[drawn],
            **parameters,
        )

    @classmethod
    def from_path(
        cls, path: Any, *, scores: Any = None, score_name: str = "score", ax: Any = None
    ) -> Self:
        """Return the display of a path of :func:`skreg.regularization_path`, drawn.

        Parameters
        ----------
        path : RegularizationPath
            Its `n_features`, `scores` (if it has some), `data_loss` and `penalty` are drawn
            along its `alphas`; alpha = 0 is left out.
        scores : array-like of shape (n_alphas,), default=None
            Figures to draw in place of the path's scores, such as ``path.sparsity``.
        score_name : str, default="score"
            Label of their panel.
        ax : array of Axes, default=None
            As in :meth:`plot`.
        """
        if not hasattr(path, "n_features"):
            raise TypeError(
                f"RegularizationPathDisplay.from_path draws what regularization_path returned, "
                f"got {type(path).__name__}. An estimator that chose its alpha is drawn by "
                f"from_estimator."
            )
        scores = path.scores if scores is None else scores
        return cls._of_path(path, scores, score_name=score_name).plot(ax=ax)

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, score_name: str = "score", ax: Any = None
    ) -> Self:
        """Return the display of an estimator that chose its alpha by cross-validation, drawn.

        Features and losses are those of the path on all rows, scores those of the folds. Both
        rules are marked, whichever the estimator went by: the alpha with the best mean score,
        and the largest one within one standard error of it.

        Parameters
        ----------
        estimator : fitted RegularizedMLPRegressorCV or RegularizedMLPClassifierCV
            Of a Pipeline, a TransformedTargetRegressor or a search, the one in it. With
            several values of `l1_ratio`, the path of the chosen one is drawn.
        score_name : str, default="score"
            Label of the panel of scores.
        ax : array of Axes, default=None
            As in :meth:`plot`.
        """
        kind = "a fitted RegularizedMLPRegressorCV or RegularizedMLPClassifierCV"
        chosen, _ = fitted_network(estimator, cls.__name__, kind, ("score_path_",))
        scores, *alphas = chosen._scores_along_path()
        # An alpha of 0 has no place on the axis.
        marks = dict(zip(("alpha_min", "alpha_1se"), (a or None for a in alphas), strict=True))
        display = cls._of_path(chosen.path_, scores, score_name=score_name, **marks)
        return display.plot(ax=ax)


def _finite(values: Any) -> np.ndarray:
    """The values as an array, NaN in the place of infinity: what a curve has gaps at."""
    values = np.asarray(values, dtype=float)
    return np.where(np.isfinite(values), values, np.nan)


def _check_length(name: str, values: np.ndarray, alphas: np.ndarray) -> None:
    if values.shape[:1] != alphas.shape:
        raise ValueError(
            f"RegularizationPathDisplay needs one entry for each alpha, got {len(alphas)} "
            f"alphas and {len(np.atleast_1d(values))} entries of {name}."
        )


def _alone(curve: np.ndarray) -> np.ndarray:
    """Mask of the points with a gap on both sides, of which a line draws nothing."""
    is_gap = np.pad(np.isnan(curve), 1, constant_values=True)
    return ~is_gap[1:-1] & is_gap[:-2] & is_gap[2:]


def _say_if_empty(panel: Any, curve: np.ndarray) -> None:
    if np.isnan(curve).all():
        style = {"transform": panel.transAxes, "ha": "center", "va": "center"}
        panel.text(0.5, 0.5, "no finite value", **style)


def _log_scale(panel: Any, x: np.ndarray) -> None:
    """Make the x axis logarithmic, with labels that do not touch.

    Where it spans less than two decades matplotlib labels all that there is room for, and
    more: here it is at most three a decade.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    # Where no curve has a finite value the axis is that of the others all the same.
    panel.update_datalim(np.column_stack([x, x]), updatey=False)
    panel.set_xscale("log")
    if x.max() < 100 * x.min():
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())


def _draw_losses(
    panel: Any, x: np.ndarray, data_loss: np.ndarray, penalty: np.ndarray
) -> list[Any]:
    curves = [
        ("objective", data_loss + penalty, COLORS[5], "-"),
        ("data loss", data_loss, COLORS[0], "--"),
        ("penalty", penalty, COLORS[1], "-."),
    ]
    lines = []
    for label, curve, color, style in curves:
        lines += panel.plot(x, curve, style, color=color, label=label)
        if (alone := _alone(curve)).any():
            lines[-1].set(marker=".", markevery=alone)
    panel.legend(handles=lines)
    _say_if_empty(panel, data_loss)
    return lines


def _draw_band(panel: Any, alphas: np.ndarray, scores: np.ndarray) -> None:
    folds = scores.reshape(len(scores), -1)
    n_folds, mean = folds.shape[1], folds.mean(axis=1)
    panel.plot(alphas, mean, color=COLORS[0], marker=".")
    _say_if_empty(panel, mean)
    if n_folds > 1 and not np.isnan(mean).all():
        error = folds.std(axis=1, ddof=1) / np.sqrt(n_folds)
        panel.fill_between(alphas, mean - error, mean + error, color=COLORS[0], alpha=0.25)
        if (alone := _alone(mean)).any():
            points = alphas[alone], mean[alone], error[alone]
            panel.errorbar(*points, color=COLORS[0], fmt="none")
