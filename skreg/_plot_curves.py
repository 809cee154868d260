"""Displays of numbers along training, and along λ."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skreg._plot_style import COLORS, ZERO_COLOR, make_axes

__all__ = ["LossCurveDisplay", "RegularizationPathDisplay"]


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

    def __init__(self, data_loss: Any, penalty: Any, *, name: str | None = None) -> None:
        self.data_loss = data_loss
        self.penalty = penalty
        self.name = name

    def plot(self, *, ax: Any = None, log: bool = True) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw; None makes a new figure.
        log : bool, default=True
            Whether the loss axis is logarithmic. Losses that are not positive need False.

        Returns
        -------
        self : LossCurveDisplay
        """
        data_loss = np.asarray(self.data_loss, dtype=float)
        penalty = np.asarray(self.penalty, dtype=float)
        if data_loss.shape != penalty.shape or data_loss.ndim != 1:
            raise ValueError(
                f"LossCurveDisplay needs one data loss and one penalty for each epoch, got "
                f"shapes {data_loss.shape} and {penalty.shape}."
            )
        axes = make_axes(ax, (1, 1), "LossCurveDisplay.plot", (5.6, 3.8))[0, 0]
        epochs = np.arange(1, len(data_loss) + 1)
        curves = [
            ("objective", data_loss + penalty, COLORS[5], "-"),
            ("data loss", data_loss, COLORS[0], "--"),
            ("penalty", penalty, COLORS[1], "-."),
        ]
        self.lines_ = []
        for label, curve, color, style in curves:
            self.lines_ += axes.plot(epochs, curve, style, color=color, label=label)
        axes.set(xlabel="epoch", ylabel="loss", yscale="log" if log else "linear")
        if self.name is not None:
            axes.set_title(self.name)
        axes.legend()
        self.ax_ = axes
        self.figure_ = axes.figure
        return self

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, ax: Any = None, log: bool = True
    ) -> Self:
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator with `data_loss_curve_` and `penalty_curve_`
        name : str, default=None
            Title.
        ax, log
            As in :meth:`plot`.

        Returns
        -------
        display : LossCurveDisplay
        """
        check_is_fitted(estimator)
        display = cls(estimator.data_loss_curve_, estimator.penalty_curve_, name=name)
        return display.plot(ax=ax, log=log)


class RegularizationPathDisplay:
    """Along λ: how many features are left, and how well the network does.

    The upper panel counts the features with weights left; the lower one has the score (or
    the loss), with a band of one standard error where there are several folds. Two λ may be
    marked: the best, and the largest within one standard error of it.

    It is recommended to use :meth:`from_path` or :meth:`from_estimator`.

    Parameters
    ----------
    alphas : array-like of shape (n_alphas,)
        Strengths λ, in any order.
    n_features : array-like of shape (n_alphas,), default=None
        Features left at each; None draws no upper panel.
    scores : array-like of shape (n_alphas,) or (n_alphas, n_folds), default=None
        Score, or any other figure, at each; several folds are drawn as mean and standard
        error. None draws no lower panel.
    score_name : str, default="score"
        Label of the lower panel.
    alpha_min : float, default=None
        The λ that does best; None marks none.
    alpha_1se : float, default=None
        The largest λ within one standard error of it; None marks none.

    Attributes
    ----------
    ax_ : ndarray of matplotlib Axes of shape (n_panels,)
        Features, then score, of which one may be missing.
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

    def __init__(
        self,
        alphas: Any,
        n_features: Any = None,
        *,
        scores: Any = None,
        score_name: str = "score",
        alpha_min: float | None = None,
        alpha_1se: float | None = None,
    ) -> None:
        self.alphas = alphas
        self.n_features = n_features
        self.scores = scores
        self.score_name = score_name
        self.alpha_min = alpha_min
        self.alpha_1se = alpha_1se

    def plot(self, *, ax: Any = None) -> Self:
        """Draw the path.

        Parameters
        ----------
        ax : array of Axes of shape (n_panels,), default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        self : RegularizationPathDisplay
        """
        alphas, n_features, scores = self._checked()
        n_panels = (n_features is not None) + (scores is not None)
        size = (6.4, 2.6 if n_panels == 2 else 3.6)
        axes = make_axes(
            ax, (n_panels, 1), "RegularizationPathDisplay.plot", size, sharex="col"
        )[:, 0]
        alphas, order = np.unique(alphas, return_index=True)
        if n_features is not None:
            axes[0].step(alphas, n_features[order], where="mid", color=COLORS[0], marker=".")
            axes[0].set_ylabel("features left")
            axes[0].set_ylim(bottom=0)
        if scores is not None:
            _draw_band(axes[-1], alphas, scores[order])
            axes[-1].set_ylabel(self.score_name)
        for panel in axes:
            panel.set_xscale("log")
            self._mark(panel)
        axes[-1].set_xlabel("λ (alpha)")
        if self.alpha_min is not None or self.alpha_1se is not None:
            axes[0].legend()
        self.ax_ = axes
        self.figure_ = axes[0].figure
        return self

    def _mark(self, panel: Any) -> None:
        for alpha, label, color, style in (
            (self.alpha_min, "best", COLORS[2], "--"),
            (self.alpha_1se, "within one standard error", ZERO_COLOR, ":"),
        ):
            if alpha is not None:
                panel.axvline(
                    alpha, color=color, linestyle=style, label=f"{label}, λ = {alpha:.2g}"
                )

    def _checked(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        alphas = np.asarray(self.alphas, dtype=float)
        n_features = None if self.n_features is None else np.asarray(self.n_features)
        scores = None if self.scores is None else np.asarray(self.scores, dtype=float)
        if n_features is None and scores is None:
            raise ValueError(
                "RegularizationPathDisplay has nothing to draw: give n_features, scores or "
                "both."
            )
        for name, values in (("n_features", n_features), ("scores", scores)):
            if values is not None and len(values) != len(alphas):
                raise ValueError(
                    f"RegularizationPathDisplay needs one entry for each alpha, got "
                    f"{len(alphas)} alphas and {len(values)} entries of {name}."
                )
        if (alphas <= 0).any():
            raise ValueError(
                "RegularizationPathDisplay has a logarithmic axis for alpha: every alpha must "
                "be positive. Leave alpha=0 out."
            )
        return alphas, n_features, scores

    @classmethod
    def from_path(
        cls, path: Any, *, scores: Any = None, score_name: str = "score", ax: Any = None
    ) -> Self:
        """Draw what :func:`skreg.regularization_path` returned.

        Parameters
        ----------
        path : RegularizationPath
            Its `alphas`, `n_features` and `scores` are drawn; alpha = 0 is left out.
        scores : array-like of shape (n_alphas,), default=None
            Figures for the lower panel in place of the path's scores, such as
            ``path.data_loss``.
        score_name : str, default="score"
            Label of the lower panel.
        ax : array of Axes, default=None
            As in :meth:`plot`.

        Returns
        -------
        display : RegularizationPathDisplay
        """
        scores = path.scores if scores is None else scores
        drawn = np.asarray(path.alphas) > 0
        display = cls(
            np.asarray(path.alphas)[drawn],
            np.asarray(path.n_features)[drawn],
            scores=None if scores is None else np.asarray(scores)[drawn],
            score_name=score_name,
        )
        return display.plot(ax=ax)

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, score_name: str = "score", ax: Any = None
    ) -> Self:
        """Draw the scores of an estimator that chose its alpha by cross-validation.

        Both rules are marked, whichever the estimator went by: the alpha with the best mean
        score, and the largest one within one standard error of it.

        Parameters
        ----------
        estimator : fitted RegularizedMLPRegressorCV or RegularizedMLPClassifierCV
            With several values of `l1_ratio`, the path of the chosen one is drawn.
        score_name : str, default="score"
            Label of the panel.
        ax : Axes, default=None
            As in :meth:`plot`.

        Returns
        -------
        display : RegularizationPathDisplay
        """
        check_is_fitted(estimator)
        alphas, scores = np.asarray(estimator.alphas_), np.asarray(estimator.score_path_)
        if alphas.ndim == 2:
            chosen = int(np.argmax(np.asarray(estimator.l1_ratio) == estimator.l1_ratio_))
            alphas, scores = alphas[chosen], scores[chosen]
        alphas, scores = alphas[alphas > 0], scores[alphas > 0]
        mean = scores.mean(axis=1)
        best = int(mean.argmax())
        error = _standard_error(scores)[best]
        display = cls(
            alphas,
            scores=scores,
            score_name=score_name,
            alpha_min=float(alphas[best]),
            alpha_1se=float(alphas[mean >= mean[best] - error].max()),
        )
        return display.plot(ax=ax)


def _standard_error(scores: np.ndarray) -> np.ndarray:
    """Of the mean over folds, the second axis; 0 for a single fold."""
    n_folds = scores.shape[1]
    if n_folds == 1:
        return np.zeros(len(scores))
    return scores.std(axis=1, ddof=1) / np.sqrt(n_folds)


def _draw_band(panel: Any, alphas: np.ndarray, scores: np.ndarray) -> None:
    if scores.ndim == 1:
        panel.plot(alphas, scores, color=COLORS[0], marker=".")
        return
    mean, error = scores.mean(axis=1), _standard_error(scores)
    panel.plot(alphas, mean, color=COLORS[0], marker=".")
    if scores.shape[1] > 1:
        panel.fill_between(alphas, mean - error, mean + error, color=COLORS[0], alpha=0.25)
