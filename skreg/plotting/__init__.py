"""Displays: pictures of weights, of training and of what a penalty does.

They follow scikit-learn's conventions: an object holds the numbers, ``from_...`` computes
them, ``plot`` draws them, and ``ax_`` and ``figure_`` are there to be changed:

>>> from skreg.plotting import LossCurveDisplay
>>> display = LossCurveDisplay(data_loss=[0.9, 0.5, 0.4], penalty=[0.2, 0.1, 0.1]).plot()
>>> display.ax_.get_ylabel()
'loss'

matplotlib is needed to draw, not to import this module: ``pip install "skreg[plot]"``.
"""

from skreg.plotting.curves import LossCurveDisplay, RegularizationPathDisplay
from skreg.plotting.geometry import PenaltyGeometryDisplay
from skreg.plotting.weights import WeightDistributionDisplay, WeightMatrixDisplay

__all__ = [
    "LossCurveDisplay",
    "PenaltyGeometryDisplay",
    "RegularizationPathDisplay",
    "WeightDistributionDisplay",
    "WeightMatrixDisplay",
]
