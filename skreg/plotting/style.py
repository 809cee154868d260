"""What the displays share: colours that everybody can tell apart, axes to draw on, a check.

matplotlib is an extra (``pip install "skreg[plot]"``) and is imported when something is
drawn, never before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Okabe & Ito, "Color Universal Design", 2008, without its yellow (too pale for lines) and
# its vermilion, which is kept for what is exactly zero.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
ZERO_COLOR = "#D55E00"


def check_finite(values: Any, name: str) -> np.ndarray:
    """Return the values as an array of finite numbers."""
    checked = np.asarray(values, dtype=float)
    n_others = int((~np.isfinite(checked)).sum())
    if n_others:
        raise ValueError(
            f"{name} must be finite, and {n_others} of {checked.size} values are NaN or "
            f"infinite."
        )
    return checked


def make_axes(
    ax: Any, shape: tuple[int, int], caller: str, size: tuple[float, float], **sharing: Any
) -> np.ndarray:
    """Return the given axes as an array of this shape, or the axes of a new figure.

    `size` is the width and height of one panel of a new figure, in inches.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} draws with matplotlib, which is not installed. Install it by "
            f'pip install "skreg[plot]" or pip install matplotlib.'
        ) from error
    if ax is None:
        figsize = (size[0] * shape[1], size[1] * shape[0])
        sharing |= {"figsize": figsize, "layout": "constrained"}
        return plt.subplots(*shape, squeeze=False, **sharing)[1]
    axes = np.asarray(ax, dtype=object)
    if axes.size != np.prod(shape):
        raise ValueError(
            f"{caller} draws {' x '.join(map(str, shape))} panels, but ax holds {axes.size} "
            f"axes. Give as many, or leave ax out."
        )
    return axes.reshape(shape)
