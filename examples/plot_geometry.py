"""
Why L1 gives zeros: the geometry
================================

Minimizing a loss plus a penalty is minimizing the loss in a region that the penalty bounds.
The contours of the loss grow from its minimum (the cross) until they touch the region. A
region with corners on the axes is touched at a corner by many losses, and there a weight is
zero.

Outlines and points are computed: the outline from the penalty's value, the point by
minimizing the loss along it.
"""

# %%
# The orange diamond marks a solution with a zero, the black dot one without. All regions meet
# the axes at 1.
import matplotlib.pyplot as plt

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
# Not every loss finds a corner. With its minimum farther from the axes the contours touch an
# edge of the diamond, and L1 keeps both weights. MCP, whose region is not convex, still goes
# to a corner.
PenaltyGeometryDisplay.from_penalties(penalties, center=(1.3, 1.6))
plt.show()
