"""Which alpha the scores of the folds favour, and at which alphas they do not count.

>>> import numpy as np
>>> from skreg.path.choice import choose
>>> alphas = np.array([[0.1, 0.2, 0.3]])
>>> scores = np.array([[[0.90, 0.80], [0.87, 0.79], [0.50, 0.40]]])     # of two folds
>>> everywhere = np.ones((1, 3), dtype=bool)
>>> choose(alphas, scores, "min", everywhere), choose(alphas, scores, "1se", everywhere)
((0, 0), (0, 1))
"""

from __future__ import annotations

import numpy as np

from skreg.training.runtime import warn_caller

# Share of its features by which a network may differ from those of the folds at the same alpha.
_COMPARABLE = 0.25
# Alphas whose scores are not finite are named up to this many.
_MOST_NAMED = 5


def finite_everywhere(alphas: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Where the scores of all folds are finite; warns where some are not.

    Alphas have the shape (n_ratios, n_alphas), scores (n_ratios, n_alphas, n_folds).
    """
    finite = np.isfinite(scores).all(2)
    cells = np.argwhere(~finite)
    if not len(cells):
        return finite
    named = []
    for cell in map(tuple, cells[:_MOST_NAMED]):
        where = np.flatnonzero(~np.isfinite(scores[cell]))
        named.append(
            f"alpha={alphas[cell]:.3g} ({scores[cell][where[0]]} in fold {where[0]}"
            f"{f' and {len(where) - 1} more' if len(where) > 1 else ''})"
        )
    more = f" and {len(cells) - len(named)} more" if len(cells) > len(named) else ""
    which = f"{', '.join(named)}{more}"
    if not finite.any():
        raise ValueError(
            f"No alpha can be chosen, since each has a test score that is not finite: {which}. "
            f"Use another scoring, or another cv."
        )
    warn_caller(
        f"Test scores are not finite at {len(cells)} of {finite.size} alphas, which are not "
        f"chosen: {which}."
    )
    return finite


def comparable(of_all: np.ndarray, of_folds: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Where networks of the folds have about as many features as that of all rows.

    Under a penalty that is not convex features may go one after the other at nearly the same
    alpha. There the network of all rows may have lost most of them and those of the folds
    none yet, and their scores say nothing of it. Only places in the mask `among` are
    returned, and all of these if it would be nowhere.
    """
    mean = of_folds.mean(2)
    alike = np.abs(of_all - mean) <= np.maximum(1, _COMPARABLE * np.maximum(of_all, mean))
    alike &= among
    return alike if alike.any() else among


def choose(
    alphas: np.ndarray, scores: np.ndarray, selection: str, eligible: np.ndarray
) -> tuple[int, int]:
    """Return the indices (ratio, alpha) of the choice among what is eligible.

    With "min" that is the best mean score (the largest alpha of several), with "1se" the
    largest alpha at the same l1_ratio whose mean score is at most one standard error of the
    best below it.
    """
    means = np.full(eligible.shape, -np.inf)
    means[eligible] = scores[eligible].mean(1)
    ratio, best = max(np.ndindex(means.shape), key=lambda cell: (means[cell], alphas[cell]))
    if selection == "min":
        return ratio, best
    n_folds = scores.shape[2]
    error = scores[ratio, best].std(ddof=1) / np.sqrt(n_folds) if n_folds > 1 else 0.0
    good = np.flatnonzero(means[ratio] >= means[ratio, best] - np.nan_to_num(error))
    return ratio, int(max(good, key=lambda number: (alphas[ratio, number], number)))


def alphas_of_rules(
    alphas: np.ndarray, scores: np.ndarray, eligible: np.ndarray
) -> tuple[float | None, float | None]:
    """Return the choices of "min" and "1se" at one l1_ratio, None if nothing can be chosen."""
    eligible = eligible & np.isfinite(scores).all(1)
    if not eligible.any():
        return None, None
    _, best = choose(alphas[None], scores[None], "min", eligible[None])
    _, sparse = choose(alphas[None], scores[None], "1se", eligible[None])
    return float(alphas[best]), float(alphas[sparse])
