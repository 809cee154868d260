"""The picture of why L1 gives zeros and L2 does not: two weights, a loss and a limit.

Minimizing a loss under the limit Ω(w) ≤ t means growing the loss's contours from its minimum
until they touch the region. The diamond of L1 is touched at a corner, where a weight is zero;
the circle of L2 at some point between. Nothing is drawn by hand: the boundary is found from
the penalty's `value`, and the point of contact by minimizing the loss along it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from skreg.penalties import Penalty
from skreg.plotting.style import COLORS, ZERO_COLOR, check_finite, make_axes

_N_ANGLES = 720
_BISECTIONS = 60


@dataclass(eq=False, repr=False)
class PenaltyGeometryDisplay:
    """Constraint regions of penalties on two weights, and where a loss touches them.

    The loss is ``1/2 (w - center)' curvature (w - center)``, least at `center`. For each
    penalty Ω the region is ``Ω(w) <= Ω((size, 0))``, so that all of them pass through the
    same point of the axis, and the solution is the point of the region with the least loss.

    It is recommended to use :meth:`from_penalties`.

    Parameters
    ----------
    boundaries : dict of str to ndarray of shape (n_points, 2)
        Outline of each region.
    solutions : dict of str to ndarray of shape (2,)
        Where the loss is least in it.
    center : ndarray of shape (2,)
        Where the loss is least without a limit.
    curvature : ndarray of shape (2, 2)
        Second derivatives of the loss.

    Attributes
    ----------
    ax_ : ndarray of matplotlib Axes of shape (n_penalties,)
    figure_ : matplotlib Figure

    References
    ----------
    Hastie, Tibshirani & Friedman, "The Elements of Statistical Learning", 2009, figure 3.11.

    Examples
    --------
    >>> from skreg.penalties import L1, L2
    >>> from skreg.plotting import PenaltyGeometryDisplay
    >>> display = PenaltyGeometryDisplay.from_penalties({"L1": L1(1.0), "L2": L2(1.0)})
    >>> display.solutions["L1"]                          # a corner: one weight is zero
    array([0., 1.])
    >>> bool((display.solutions["L2"] != 0).all())
    True
    """

    boundaries: dict[str, np.ndarray]
    solutions: dict[str, np.ndarray]
    center: np.ndarray
    curvature: np.ndarray

    def plot(self, *, ax: Any = None) -> Self:
        """Draw one panel for each penalty and return the display.

        Parameters
        ----------
        ax : Axes or array of Axes of shape (n_penalties,), default=None
            Where to draw; None makes a new figure.
        """
        if not self.boundaries:
            raise ValueError("PenaltyGeometryDisplay has nothing to draw: give a penalty.")
        shape = (1, len(self.boundaries))
        width = float(np.clip(9.6 / len(self.boundaries), 2.2, 2.9))
        caller = "PenaltyGeometryDisplay.plot"
        axes = make_axes(ax, shape, caller, (width, 3.4), sharex="row", sharey="row")[0]
        low, high = self._limits()
        for panel, name in zip(axes, self.boundaries, strict=True):
            self._draw(panel, name, low, high)
        axes[0].set_ylabel("$w_2$")
        self.ax_, self.figure_ = axes, axes[0].figure
        return self

    def _limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a square around the solutions, the center and most of the regions."""
        points = np.vstack([*self.solutions.values(), self.center[None], np.zeros((1, 2))])
        reach = 1.25 * max(
            np.abs(points).max(),
            np.median([np.abs(line).max() for line in self.boundaries.values()]),
        )
        middle = self.center * 0.25
        return middle - reach, middle + reach

    def _draw(self, panel: Any, name: str, low: np.ndarray, high: np.ndarray) -> None:
        boundary, solution = self.boundaries[name], self.solutions[name]
        grid = np.stack(np.meshgrid(*np.linspace(low, high, 201).T), axis=-1)
        losses = _loss(grid, self.center, self.curvature)
        touching = float(_loss(solution, self.center, self.curvature))
        panel.fill(*boundary.T, color=COLORS[4], alpha=0.35, linewidth=0)
        panel.plot(*np.vstack([boundary, boundary[:1]]).T, color=COLORS[0])
        if touching > 0:
            levels = touching * np.array([0.1, 0.4, 1.0, 2.0, 3.5])
            widths = [0.8, 0.8, 1.8, 0.8, 0.8]
            coordinates = np.moveaxis(grid, -1, 0)
            panel.contour(*coordinates, losses, levels, colors="0.45", linewidths=widths)
        panel.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        panel.axvline(0, color="0.7", linewidth=0.8, zorder=0)
        panel.plot(*self.center, "+", color="black", markersize=9, markeredgewidth=1.6)
        marker, color = ("D", ZERO_COLOR) if (solution == 0).any() else ("o", "black")
        panel.plot(*solution, marker, color=color, markersize=8)
        text = ", ".join("0" if w == 0 else f"{w:.2f}" for w in solution)
        panel.set_title(f"{name}\nw = ({text})")
        panel.set(xlabel="$w_1$", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        panel.set_aspect("equal")

    @classmethod
    def from_penalties(
        cls,
        penalties: Mapping[str, Penalty],
        *,
        center: Any = (0.6, 1.8),
        curvature: Any = ((1.0, 0.3), (0.3, 1.0)),
        size: float = 1.0,
        ax: Any = None,
    ) -> Self:
        """Return the display of the regions and solutions of these penalties, drawn.

        Parameters
        ----------
        penalties : dict of str to Penalty
            Titles and penalties. Each needs an `alpha`; for convex penalties its size has no
            influence on the region. A group penalty sees the two weights as one group.
        center : array-like of shape (2,), default=(0.6, 1.8)
            Where the loss is least without a limit.
        curvature : array-like of shape (2, 2), default=((1.0, 0.3), (0.3, 1.0))
            Second derivatives of the loss; symmetric and positive definite.
        size : float, default=1.0
            Where every region meets the axes.
        ax : Axes or array of Axes, default=None
            As in :meth:`plot`.
        """
        if not isinstance(penalties, Mapping):
            raise TypeError(
                f"PenaltyGeometryDisplay.from_penalties takes a dict of titles and penalties, "
                f"such as {{'L1': L1(1.0)}}, got {type(penalties).__name__}."
            )
        center = check_finite(center, "center")
        curvature = check_finite(curvature, "curvature")
        if center.shape != (2,) or curvature.shape != (2, 2):
            raise ValueError(
                f"PenaltyGeometryDisplay draws two weights: center must have the shape (2,) "
                f"and curvature (2, 2), got {center.shape} and {curvature.shape}."
            )
        if not np.allclose(curvature, curvature.T) or np.linalg.eigvalsh(curvature)[0] <= 0:
            raise ValueError(
                f"curvature must be symmetric and positive definite, so that the loss has a "
                f"minimum, got {curvature.tolist()}."
            )
        if not 0 < size < np.inf:
            raise ValueError(f"size must be positive and finite, got {size}.")
        angles = np.arange(_N_ANGLES) * (2 * np.pi / _N_ANGLES)
        directions = np.column_stack([np.cos(angles), np.sin(angles)])
        # cos(π/2) is 6e-17 and not 0: on the axes a weight shall be exactly zero.
        directions[np.abs(directions) < 1e-12] = 0.0
        boundaries, solutions = {}, {}
        for name, penalty in penalties.items():
            _check_penalty(name, penalty, size)
            region = boundaries[name] = _boundary(penalty, size, directions)
            solutions[name] = _constrained_minimum(penalty, size, region, center, curvature)
        return cls(boundaries, solutions, center, curvature).plot(ax=ax)


def _check_penalty(name: str, penalty: Any, size: float) -> None:
    if not isinstance(penalty, Penalty):
        raise TypeError(
            f"PenaltyGeometryDisplay draws objects of skreg.penalties, got {penalty!r} as "
            f"{name!r}."
        )
    penalty.check()
    if not _value(penalty, np.array([[size, 0.0]])) > 0:
        raise ValueError(
            f"{penalty} as {name!r} is no limit to the weights: its value is 0. Give it a "
            f"positive alpha."
        )


def _loss(points: np.ndarray, center: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    away = points - center
    return 0.5 * np.einsum("...i,ij,...j->...", away, curvature, away)


def _value(penalty: Penalty, points: np.ndarray) -> np.ndarray:
    # Each point is a member of a stack: a layer of one input and two neurons.
    weights = torch.from_numpy(points.reshape(-1, 1, 2))
    return penalty.value([weights]).numpy()


def _boundary(penalty: Penalty, size: float, directions: np.ndarray) -> np.ndarray:
    """Where rays from the origin leave Ω(w) ≤ Ω((size, 0)), by bisection.

    Ω grows along every ray; where it stops growing (MCP, SCAD) the ray may never leave, and
    ends far outside the picture.
    """
    limit = _value(penalty, np.array([[size, 0.0]]))
    inside = np.zeros(len(directions))
    outside = np.full(len(directions), 100.0 * size)
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        is_inside = _value(penalty, middle[:, None] * directions) <= limit
        inside = np.where(is_inside, middle, inside)
        outside = np.where(is_inside, outside, middle)
    return inside[:, None] * directions


def _constrained_minimum(
    penalty: Penalty,
    size: float,
    boundary: np.ndarray,
    center: np.ndarray,
    curvature: np.ndarray,
) -> np.ndarray:
    """Return the w with the least loss where Ω(w) ≤ Ω((size, 0))."""
    if _value(penalty, center[None]) <= _value(penalty, np.array([[size, 0.0]])):
        return center.copy()

    def along(angle: float) -> np.ndarray:
        direction = np.array([[np.cos(angle), np.sin(angle)]])
        return _boundary(penalty, size, direction)[0]

    # All directions first, since the boundary of a non-convex region has several minima.
    losses = _loss(boundary, center, curvature)
    best = int(losses.argmin())
    spacing = 2 * np.pi / _N_ANGLES
    refined = minimize_scalar(
        lambda angle: float(_loss(along(angle), center, curvature)),
        bounds=((best - 1) * spacing, (best + 1) * spacing),
        method="bounded",
        options={"xatol": 1e-10},
    )
    # A corner is one of the directions; the search along the arc only comes near it.
    if refined.fun < losses[best] * (1 - 1e-9):
        return along(refined.x)
    return np.round(boundary[best], 12) + 0.0
