"""
Why L1 gives zeros: the geometry
================================

Minimizing a loss plus a penalty is minimizing the loss in a region that the penalty bounds.
The contours of the loss grow from its minimum (the cross) until they touch the region. A
region with corners on the axes is touched at a corner by many losses, and there a weight is
zero.

Outlines and points are computed: the outline from the penalty's own value, the point by
minimizing the loss along it.
"""

# %%
# The orange diamond marks a solution with a zero, the black dot one without. All regions meet
# the axes at 1.
import matplotlib.pyplot as plt
import numpy as np

from skreg.penalties import L1, L2, MCP, ElasticNet
from skreg.plotting import PenaltyGeometryDisplay

penalties = {
    "L1": L1(alpha=1.0),
    "elastic net": ElasticNet(alpha=1.0, l1_ratio=0.5),
    "L2": L2(alpha=1.0),
    "MCP": MCP(alpha=1.0, gamma=1.5),
}
display = PenaltyGeometryDisplay.from_penalties(penalties, center=(0.5, 1.8))
plt.show()

# %%
# How often does that happen? For losses with their minimum in all directions at distance 2, the
# share of solutions with a zero:
angles = np.linspace(0, 2 * np.pi, 60, endpoint=False) + 0.01
zeros = dict.fromkeys(penalties, 0)
for angle in angles:
    center = 2 * np.array([np.cos(angle), np.sin(angle)])
    trial = PenaltyGeometryDisplay.from_penalties(penalties, center=center)
    plt.close(trial.figure_)
    for name, solution in trial.solutions.items():
        zeros[name] += (solution == 0).any()
for name, count in zeros.items():
    print(f"{name:12} {count / len(angles):.0%}")
