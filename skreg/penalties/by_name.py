"""Penalties: small objects that own their maths.

A penalty knows three things about the weights it is put on:

- ``value(weights)``, what it adds to the objective;
- ``subgradient(weight)``, the push it adds to a gradient, 0 where the weight is 0;
- ``prox(weight, step)``, the step that lowers it exactly, zeros included.

>>> import torch
>>> from skreg.penalties import L1, L2
>>> weight = torch.tensor([[-3.0, 0.5, 2.0]])
>>> L1(alpha=1.0).prox(weight, step=1.0)         # a constant push: small weights vanish
tensor([[-2.,  0.,  1.]])
>>> L2(alpha=1.0).prox(weight, step=1.0)         # in proportion: all shrink, none vanish
tensor([[-1.5000,  0.2500,  1.0000]])

The leading axis of every weight tensor is the *member*: a stack of K networks is trained as
one (see :mod:`skreg.modules`), and `alpha` or `l1_ratio` may be given one per member. For a
single network of any other shape `prox` and `subgradient` work as they are, elementwise, and
`value` takes ``weight.unsqueeze(0)``: to add a penalty to the loss of a net of your own, as
skorch's ``get_loss`` does, sum it over :func:`skreg.modules.penalized_parameters`. That way
gives no exact zeros; :mod:`skreg.optim` does.
Each penalty stands on the pure functions of :mod:`skreg.penalties.curves`.

In a skorch net of your own the names of the parameters say where a penalty goes:

>>> from skorch import NeuralNetRegressor
>>> from skreg.optim import ProximalAdam
>>> x = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
>>> net = NeuralNetRegressor(
...     torch.nn.Linear,
...     module__in_features=3,
...     module__out_features=1,
...     optimizer=ProximalAdam,
...     optimizer__param_groups=[("weight", {"penalty": L1(alpha=0.1)})],
...     lr=0.1,
...     max_epochs=200,
...     train_split=None,
...     verbose=0,
... ).fit(x, 2 * x[:, :1])
>>> net.module_.weight[0, 1:].tolist()
[0.0, 0.0]

So do skorch's ways to train on several processes (``pip install "skreg[parallel]"`` for
Hugging Face accelerate and ``skorch.hf.AccelerateMixin``): all take the step of the joint
batch, and the penalty acts on all alike.
"""

from __future__ import annotations

import numpy as np
from sklearn.base import clone

from skreg.penalties.base import Penalty
from skreg.penalties.elementwise import L1, L2, MCP, SCAD, ElasticNet
from skreg.penalties.groupwise import GroupLasso, GroupMCP, GroupSCAD, SparseGroupLasso

# What an estimator's `alpha` and `l1_ratio` are when nobody sets them: needed to tell
# "left alone" from "given twice" when the penalty is an object with values of its own.
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

    Parameters
    ----------
    penalty : str, Penalty or None
        A name from `PENALTIES`, or an object whose missing values are filled in.
    alpha, l1_ratio : float
        The estimator's own.

    Returns
    -------
    Penalty or None
        None when there is nothing to penalize: no penalty, or a strength of zero.

    Raises
    ------
    ValueError
        If a value is given twice, by the estimator and by the penalty object, or is out of
        its range.

    Examples
    --------
    >>> from skreg.penalties import ElasticNet
    >>> from skreg.penalties.by_name import make_penalty
    >>> make_penalty("l1", alpha=0.1, l1_ratio=0.5)
    L1(alpha=0.1)
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
    for name, own, default in (
        ("alpha", alpha, DEFAULT_ALPHA),
        ("l1_ratio", l1_ratio, DEFAULT_L1_RATIO),
    ):
        if not hasattr(penalty, name):
            continue
        if getattr(penalty, name) is None:
            setattr(penalty, name, own)
        elif own != default:
            raise ValueError(
                f"{name} is given twice: {name}={own} and penalty={given}. Leave it out of "
                f"the penalty to use the estimator's, or leave the estimator's at its "
                f"default; in a grid, search over 'penalty__{name}'."
            )
    penalty.check()
    return None if np.all(np.asarray(penalty.alpha) == 0) else penalty
