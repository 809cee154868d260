"""Penalties by name: what `penalty`, `alpha` and `l1_ratio` of an estimator ask for."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone

from skreg.penalties.base import Penalty
from skreg.penalties.elementwise import L1, L2, MCP, SCAD, ElasticNet
from skreg.penalties.groupwise import GroupLasso, GroupMCP, GroupSCAD, SparseGroupLasso

# What an estimator's `alpha` and `l1_ratio` are when nobody sets them: needed to tell
# "left alone" from "given twice" when the penalty is an object that has values.
DEFAULT_ALPHA = 1e-4
DEFAULT_L1_RATIO = 0.5

#: The penalties an estimator takes by name.
PENALTIES: dict[str, type[Penalty]] = {
    "l1": L1,
    "l2": L2,
    "elasticnet": ElasticNet,
    "group_lasso": GroupLasso,
    "sparse_group_lasso": SparseGroupLasso,
    "mcp": MCP,
    "scad": SCAD,
    "group_mcp": GroupMCP,
    "group_scad": GroupSCAD,
}


def adapts(penalty: Penalty | None) -> bool:
    """Whether the strengths of a penalty adapt to an initial fit."""
    return penalty is not None and penalty.adaptive


def make_penalty(
    penalty: str | Penalty | None, alpha: float, l1_ratio: float
) -> Penalty | None:
    """Return the penalty that an estimator's three parameters ask for.

    What an object leaves open it takes from the estimator; a value that both give is an error.
    With a strength of zero there is no penalty.

    >>> from skreg.penalties import ElasticNet
    >>> from skreg.penalties.by_name import make_penalty
    >>> make_penalty(ElasticNet(l1_ratio=0.9), alpha=0.1, l1_ratio=0.5)
    ElasticNet(alpha=0.1, l1_ratio=0.9)
    >>> make_penalty("l2", alpha=0.0, l1_ratio=0.5) is None
    True
    """
    if penalty is None:
        return None
    given = penalty
    penalty = PENALTIES[penalty]() if isinstance(penalty, str) else clone(penalty)
    penalty.check()  # as it was given: the error shows it
    for name, value, default in (
        ("alpha", alpha, DEFAULT_ALPHA),
        ("l1_ratio", l1_ratio, DEFAULT_L1_RATIO),
    ):
        if not hasattr(penalty, name):
            continue
        if getattr(penalty, name) is None:
            setattr(penalty, name, value)
        elif value != default:
            raise ValueError(
                f"{name} is given twice: {name}={value} and penalty={given}. Leave it out of "
                f"the penalty to use the estimator's, or leave the estimator's at its "
                f"default; in a grid, search over 'penalty__{name}'."
            )
    penalty.check()
    return None if np.all(np.asarray(penalty.alpha) == 0) else penalty
