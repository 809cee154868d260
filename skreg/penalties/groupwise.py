"""Penalties that act on whole groups of weights, and drop features and neurons with them.

A group is the outgoing weights of one unit (see :mod:`skreg.penalties.groups`). Each penalty
here is a curve of one number, put on the norm of the group: the lasso's, MCP's or SCAD's.
Its proximal operator is that of the curve on the norm, with the direction kept, and so a
group is zero as a whole or not at all.

>>> import torch
>>> from skreg.penalties import GroupLasso
>>> layer = torch.tensor([[[3.0, 4.0], [0.3, 0.4]]])      # one network, 2 inputs, 2 neurons
>>> GroupLasso(alpha=1.0).prox(layer, step=1.0)           # the second input is out
tensor([[[2.1515, 2.8686],
         [0.0000, 0.0000]]])
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from skreg.penalties.base import (
    Layout,
    Penalty,
    Strength,
    above,
    adaptive_factors,
    at_least,
    l2_strength,
    total,
)
from skreg.penalties.curves import (
    Curve,
    ElasticNetCurve,
    MCPCurve,
    SCADCurve,
    soft_threshold,
    tensor_like,
)
from skreg.penalties.groups import (
    Grouping,
    GroupView,
    flat_grouping,
    grouping_of,
    groups_of_features,
)


class GroupPenalty(Penalty):
    """Base of the penalties that are the sum of a curve over the norms of the groups.

    The curve is the lasso's, unless a subclass gives another.
    """

    groups: Any = None

    #: Of the flat tensor that the penalty is bound to; None for a tensor that is one layer.
    _grouping: Grouping | None = None
    #: What adaptive strengths of an L1 part are multiplied by, where there is one.
    _l1_factors: Tensor | None = None

    def _curve(self, norms: Tensor, weight: Tensor) -> Curve:
        """The curve of the norm of each group, its parameters broadcastable to `norms`."""
        return ElasticNetCurve(l1=self._strengths(norms, weight))

    def _strengths(self, norms: Tensor, weight: Tensor) -> Tensor:
        """Strength on each group: alpha times the root of its size, adapted if asked for."""
        roots = self.grouping(weight).root_sizes(norms)
        return self._adapted(self._along_members("alpha", norms) * roots)

    def bind(self, layout: Layout) -> Self:
        bound, columns, row_groups = copy.copy(self), layout.columns, None
        if self.groups is not None and columns is not None:
            row_groups = groups_of_features(self.groups, columns.n_features, columns.names)
            if columns.inputs is not None:
                left = [row_groups[j] for j in columns.inputs]
                # Numbered without a gap, whichever groups have no column left.
                row_groups = tuple(np.unique(left, return_inverse=True)[1].tolist())
        bound._grouping = flat_grouping(tuple(layout.layers), row_groups)
        if self.adaptive and layout.initial is not None:
            bound._factors = adaptive_factors(bound._grouping.norms(layout.initial))
        return bound

    def grouping(self, weight: Tensor) -> Grouping:
        """The groups of a weight tensor."""
        return grouping_of(weight) if self._grouping is None else self._grouping

    def value(self, weights: Iterable[Tensor]) -> Tensor:
        return total(self._value_by_group(weight) for weight in weights)

    def _value_by_group(self, weight: Tensor) -> Tensor:
        norms = self.grouping(weight).norms(weight)
        return self._curve(norms, weight).value(norms)

    def subgradient(self, weight: Tensor) -> Tensor:
        grouping, result = self.grouping(weight), weight.clone()
        norms = grouping.norms(weight)
        slope = self._curve(norms, weight).subgradient(norms)
        # Direction first: the slope over a tiny norm may overflow.
        for view, norm in grouping.spread(norms.where(norms > 0, 1.0), result):
            view.div_(norm)
        for view, factor in grouping.spread(slope, result):
            view.mul_(factor)
        return result

    def prox(self, weight: Tensor, step: float | Tensor) -> Tensor:
        moved = weight.clone()
        grouping = self.grouping(weight)
        self.plan_prox(GroupView(grouping, moved))(grouping.by_group(step, weight))
        return moved

    def plan_prox(self, grouped: GroupView) -> Callable[[float | Tensor], None]:
        """Return what does :meth:`prox` in place, unchecked, for as long as parameters stay.

        It takes the step: a number, or a tensor of shape (n_members, n_groups) or
        (n_members, 1).
        """
        norms = grouped.norms()
        curve = self._curve(norms, grouped.tensor)
        smallest, largest = torch.finfo(norms.dtype).tiny, torch.finfo(norms.dtype).max

        def prox_(step: float | Tensor) -> None:
            # A norm of 0 may be one that underflowed. What stays is multiplied by 1.
            norms = grouped.norms().clamp_(smallest, largest)
            grouped.scale_(curve.prox_of_size(norms, step).div_(norms))

        return prox_


@dataclass(eq=False, repr=False)
class GroupLasso(GroupPenalty):
    r"""Group lasso: :math:`Ω(w) = Σ_g \sqrt{|g|}\,‖w_g‖` over the groups g of size \|g\|.

    A group is the outgoing weights of one unit in any layer: an input feature in the first, a
    hidden neuron in the others. A group is zero as a whole or not at all, so features and
    neurons drop out.

    Parameters
    ----------
    alpha : float or array-like of shape (n_members,), default=None
        Strength λ ≥ 0. None takes the `alpha` of the estimator the penalty is given to.
    groups : sequence, default=None
        Features that stay or go together: each group a list of column indices, a list of
        column names, or a prefix that its column names have in common, as the columns of a
        one-hot encoding do. A feature in none of them is a group by itself, as all are by
        default. Each hidden neuron is a group in any case.
    adaptive : bool, default=False
        Divide the strength on each group by its norm after an initial fit, from which the
        estimator goes on (with ``penalty="l2"`` at its default strength): groups that
        matter are shrunk little, the others drop out.

    Raises
    ------
    ValueError
        When fitted on X that does not have the columns in `groups`, or if they overlap.

    Notes
    -----
    Without a hidden layer the groups are the rows of the coefficients, and the objective is
    that of ``sklearn.linear_model.MultiTaskLasso(alpha=alpha * n_outputs ** 0.5)``.

    Weights in a tensor of two axes are taken as those of one ``torch.nn.Linear``, whose
    columns are the groups; in one of three axes as a stack (n_members, fan_in, fan_out).

    References
    ----------
    Yuan & Lin, "Model selection and estimation in regression with grouped variables", 2006.
    Wang & Leng, "A note on adaptive group lasso", 2008. Scardapane, Comminiello, Hussain &
    Uncini, "Group sparse regularization for deep neural networks", 2017.

    Examples
    --------
    >>> import torch
    >>> from skreg.penalties import GroupLasso
    >>> weight = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    >>> GroupLasso(alpha=1.0).value([weight])                # √2 · 5
    tensor([7.0711])
    >>> GroupLasso(alpha=1.0).subgradient(weight)
    tensor([[[0.8485, 1.1314],
             [0.0000, 0.0000]]])
    """

    alpha: Strength = None
    groups: Sequence | None = None
    adaptive: bool = False


@dataclass(eq=False, repr=False)
class SparseGroupLasso(GroupPenalty):
    r"""Sparse group lasso: L1 on the weights and the group lasso in one.

    .. math::
        Ω(w) = ρ\,Σ|w| + (1 - ρ)\,Σ_g \sqrt{|g|}\,‖w_g‖, \quad ρ = \mathrm{l1\_ratio}

    Features and neurons drop out as under :class:`GroupLasso`, and those that stay are sparse
    too.

    Parameters
    ----------
    alpha : float or array-like of shape (n_members,), default=None
        Strength λ ≥ 0. None takes the `alpha` of the estimator the penalty is given to.
    l1_ratio : float or array-like of shape (n_members,), default=None
        Share of L1, between 0 and 1. None takes the estimator's `l1_ratio`.
    groups : sequence, default=None
        Features that stay or go together, as in :class:`GroupLasso`.
    adaptive : bool, default=False
        Adapt the strength on each weight and on each group to an initial fit, as
        :class:`L1` and :class:`GroupLasso` do.

    References
    ----------
    Simon, Friedman, Hastie & Tibshirani, "A sparse-group lasso", 2013.

    Examples
    --------
    >>> import torch
    >>> from skreg.penalties import SparseGroupLasso
    >>> weight = torch.tensor([[[3.0, 0.4], [0.6, 0.8]]])
    >>> SparseGroupLasso(alpha=1.0, l1_ratio=0.5).prox(weight, step=1.0)
    tensor([[[1.7929, 0.0000],
             [0.0000, 0.0000]]])
    """

    alpha: Strength = None
    l1_ratio: Strength = None
    groups: Sequence | None = None
    adaptive: bool = False

    def bind(self, layout: Layout) -> Self:
        bound = super().bind(layout)
        if self.adaptive and layout.initial is not None:
            bound._l1_factors = adaptive_factors(layout.initial.abs())
        return bound

    def _strengths(self, norms: Tensor, weight: Tensor) -> Tensor:
        share = 1.0 - self._along_members("l1_ratio", norms)
        return share * super()._strengths(norms, weight)

    def _l1(self, weight: Tensor) -> list[Any]:
        """Strength of L1 on each layer, to broadcast against its view."""
        grouping = self.grouping(weight)
        views = grouping.views(weight)
        alpha = self._along_members("alpha", views[0])
        shared = alpha * self._along_members("l1_ratio", views[0])
        if self._l1_factors is None:
            return [shared] * len(views)
        return [shared * factors for factors in grouping.views(self._l1_factors)]

    def _value_by_group(self, weight: Tensor) -> Tensor:
        by_group = super()._value_by_group(weight)
        views = self.grouping(weight).views(weight)
        l1 = total(s * view.abs() for s, view in zip(self._l1(weight), views, strict=True))
        return by_group.sum(1, keepdim=True) + l1.unsqueeze(1)

    def subgradient(self, weight: Tensor) -> Tensor:
        result = super().subgradient(weight)
        grouping = self.grouping(weight)
        parts = grouping.views(result), grouping.views(weight), self._l1(weight)
        for push, view, l1 in zip(*parts, strict=True):
            push.add_(l1 * view.sign())
        return result

    def plan_prox(self, grouped: GroupView) -> Callable[[float | Tensor], None]:
        prox_of_groups_ = super().plan_prox(grouped)
        l1_by_layer = self._l1(grouped.tensor)
        like = grouped.norms()

        def prox_(step: float | Tensor) -> None:
            by_layer = grouped.spread(tensor_like(step, like))
            for view, its_step, l1 in zip(grouped.layers, by_layer, l1_by_layer, strict=True):
                soft_threshold(view, its_step * l1, out=view)
            prox_of_groups_(step)

        return prox_


@dataclass(eq=False, repr=False)
class GroupMCP(GroupPenalty):
    r"""Group MCP: the minimax concave penalty on the norm of each group.

    With :math:`λ_g = α\sqrt{|g|}` the penalty of a group is :math:`λ_g‖w_g‖ -
    ‖w_g‖^2/(2γ)` up to the norm :math:`γλ_g`, and does not grow beyond: as hard on small
    groups as :class:`GroupLasso`, and without its shrinkage on those that stay.

    Parameters
    ----------
    alpha : float or array-like of shape (n_members,), default=None
        Strength λ ≥ 0. None takes the `alpha` of the estimator the penalty is given to.
    gamma : float or array-like of shape (n_members,), default=3.0
        Where the penalty is flat, in units of :math:`λ_g`; above 1. Towards infinity it is
        the group lasso.
    l2_ratio : float or array-like of shape (n_members,), default=None
        Strength of an additional L2 penalty, as a multiple of alpha; see :class:`MCP`.
    groups : sequence, default=None
        Features that stay or go together, as in :class:`GroupLasso`.

    References
    ----------
    Zhang, "Nearly unbiased variable selection under minimax concave penalty", 2010. Breheny &
    Huang, "Group descent algorithms for nonconvex penalized linear and logistic regression
    models with grouped predictors", 2015.

    Examples
    --------
    >>> import torch
    >>> from skreg.penalties import GroupMCP
    >>> layer = torch.tensor([[[3.0, 4.0], [0.3, 0.4]]])
    >>> GroupMCP(alpha=1.0).prox(layer, step=1.0)            # what stays is left alone
    tensor([[[3., 4.],
             [0., 0.]]])
    """

    alpha: Strength = None
    gamma: Strength = 3.0
    l2_ratio: Strength = None
    groups: Sequence | None = None

    _per_member = ("alpha", "gamma", "l2_ratio")
    _ranges = {**Penalty._ranges, "gamma": above(1), "l2_ratio": at_least(0)}
    _bend = "gamma"

    def _curve(self, norms: Tensor, weight: Tensor) -> Curve:
        gamma = self._tensor("gamma", norms)
        return MCPCurve(self._strengths(norms, weight), gamma, l2_strength(self, norms))


@dataclass(eq=False, repr=False)
class GroupSCAD(GroupPenalty):
    r"""Group SCAD: the smoothly clipped absolute deviation on the norm of each group.

    With :math:`λ_g = α\sqrt{|g|}` the penalty of a group is :math:`λ_g‖w_g‖` up to the norm
    :math:`λ_g`, its slope falls to 0 at :math:`aλ_g`, and it does not grow beyond.

    Parameters
    ----------
    alpha : float or array-like of shape (n_members,), default=None
        Strength λ ≥ 0. None takes the `alpha` of the estimator the penalty is given to.
    a : float or array-like of shape (n_members,), default=3.7
        Where the penalty is flat, in units of :math:`λ_g`; above 2. Towards infinity it is
        the group lasso.
    l2_ratio : float or array-like of shape (n_members,), default=None
        Strength of an additional L2 penalty, as a multiple of alpha; see :class:`MCP`.
    groups : sequence, default=None
        Features that stay or go together, as in :class:`GroupLasso`.

    References
    ----------
    Fan & Li, "Variable selection via nonconcave penalized likelihood and its oracle
    properties", 2001. Breheny & Huang, "Group descent algorithms for nonconvex penalized
    linear and logistic regression models with grouped predictors", 2015.

    Examples
    --------
    >>> import torch
    >>> from skreg.penalties import GroupSCAD
    >>> layer = torch.tensor([[[6.0, 8.0], [0.3, 0.4]]])
    >>> GroupSCAD(alpha=1.0).prox(layer, step=1.0)
    tensor([[[6., 8.],
             [0., 0.]]])
    """

    alpha: Strength = None
    a: Strength = 3.7
    l2_ratio: Strength = None
    groups: Sequence | None = None

    _per_member = ("alpha", "a", "l2_ratio")
    _ranges = {**Penalty._ranges, "a": above(2), "l2_ratio": at_least(0)}
    _bend = "a"

    def _curve(self, norms: Tensor, weight: Tensor) -> Curve:
        a = self._tensor("a", norms)
        return SCADCurve(self._strengths(norms, weight), a, l2_strength(self, norms))
