"""What displays share: given axes, matplotlib missing, colours that all can tell apart."""

import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from skreg.plotting import LossCurveDisplay, WeightDistributionDisplay
from skreg.plotting.style import COLORS, ZERO_COLOR


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
