"""Penalties: small objects that own their maths."""

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
