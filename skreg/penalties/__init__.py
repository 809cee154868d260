"""Penalties: what is added to the loss, and the proximal step that lowers it.

A penalty is a small object with three functions of the weights it is put on: ``value``, its
term of the objective; ``subgradient``, what it adds to a gradient; and ``prox``, the step that
lowers it exactly, zeros included:

>>> import torch
>>> from skreg.penalties import L1, L2
>>> weight = torch.tensor([[-3.0, 0.5, 2.0]])
>>> L1(alpha=1.0).prox(weight, step=1.0)         # a constant push: small weights vanish
tensor([[-2.,  0.,  1.]])
>>> L2(alpha=1.0).prox(weight, step=1.0)         # in proportion: all shrink, none vanish
tensor([[-1.5000,  0.2500,  1.0000]])

The leading axis of a weight tensor is the member of a stack of networks, and `alpha` may have
one value for each. ``value`` of a single network takes ``weight.unsqueeze(0)``; `prox` and
`subgradient` take any shape, unless the penalty has groups.
"""

from skreg.penalties.base import Penalty
from skreg.penalties.elementwise import L1, L2, MCP, SCAD, ElasticNet
from skreg.penalties.groupwise import GroupLasso, GroupMCP, GroupSCAD, SparseGroupLasso

__all__ = [
    "L1",
    "L2",
    "MCP",
    "SCAD",
    "ElasticNet",
    "GroupLasso",
    "GroupMCP",
    "GroupSCAD",
    "Penalty",
    "SparseGroupLasso",
]
