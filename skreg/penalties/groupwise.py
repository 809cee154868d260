"""Penalties that act on whole groups of weights, and drop features and neurons with them.

A group is the outgoing weights of one unit (see :mod:`skreg.penalties.groups`). Each penalty
here is a penalty of one number, put on the norm of the group: the lasso's, MCP's or SCAD's.
Its proximal operator is that penalty's own on the norm, with the direction kept, and so a
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
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from skreg.penalties.base import Layout, Penalty, Strength, adaptive_factors, total
from skreg.penalties.concave import ConcaveMixin, mcp_slope, mcp_value, scad_slope, scad_value
from skreg.penalties.curves import beside, mcp_prox_of_size, scad_prox, soft_threshold
from skreg.penalties.elementwise import L1
from skreg.penalties.groups import (
    GroupLayout,
    GroupView,
    flat_layout,
    groups_of_features,
    layout_of,
    renumber,
)


class GroupPenalty(Penalty):
    """Base of the group penalties: a penalty of one number on the norm of each group.

    A subclass gives the three functions of that number below; its strength is alpha times
    the root of the group's size.
    """

    groups: Any = None

    #: Of the flat tensor that the penalty is put on; None for a tensor that is one layer.
    _layout: GroupLayout | None = None

    def bind(self, layout: Layout) -> Self:
        bound = copy.copy(self)
        row_groups, columns = None, layout.columns
        if self.groups is not None and columns is not None:
            row_groups = groups_of_features(self.groups, columns.n_features, columns.names)
            if columns.inputs is not None:
                row_groups = renumber([row_groups[j] for j in columns.inputs])
        bound._layout = flat_layout(tuple(layout.layers), row_groups)
        if self.adaptive and layout.initial is not None:
            bound._factors = adaptive_factors(bound._layout.norms(layout.initial))
        return bound

    def layout(self, weight: Tensor) -> GroupLayout:
        """The groups of a weight tensor."""
        return layout_of(weight) if self._layout is None else self._layout

    def value(self, weights: Iterable[Tensor]) -> Tensor:
        return total(self._value_by_group(weight) for weight in weights)

    def _value_by_group(self, weight: Tensor) -> Tensor:
        norms = self.layout(weight).norms(weight)
        return self._radial_value(norms, self._strengths(norms, weight))

    def subgradient(self, weight: Tensor) -> Tensor:
        layout, result = self.layout(weight), weight.clone()
        norms = layout.norms(weight)
        slope = self._radial_slope(norms, self._strengths(norms, weight)).where(norms > 0, 0.0)
        # Direction first: the slope over a tiny norm may overflow.
        for view, norm in layout.spread(norms.where(norms > 0, 1.0), result):
            view.div_(norm)
        for view, factor in layout.spread(slope, result):
            view.mul_(factor)
        return result

    def prox(self, weight: Tensor, step: float | Tensor) -> Tensor:
        moved = weight.clone()
        layout = self.layout(weight)
        grouped = GroupView(layout, moved)
        self.plan_prox(grouped)(layout.by_group(step, weight))
        return moved

    def plan_prox(self, grouped: GroupView) -> Callable[[float | Tensor], None]:
        """Return what does :meth:`prox` in place, unchecked, for as long as parameters stay.

        It takes the step: a number, or a tensor of shape (n_members, n_groups) or
        (n_members, 1).

        Parameters
        ----------
        grouped : GroupView
            The weights.
        """
        norms = grouped.norms()
        radial_prox = self._plan_radial_prox(norms, self._strengths(norms, grouped.tensor))
        smallest, largest = torch.finfo(norms.dtype).tiny, torch.finfo(norms.dtype).max

        def prox_(step: float | Tensor) -> None:
            # A norm of 0 may be one that underflowed. What stays is multiplied by 1.
            norms = grouped.norms().clamp_(smallest, largest)
            grouped.scale_(radial_prox(norms, step).div_(norms))

        return prox_

    def _strengths(self, norms: Tensor, weight: Tensor) -> Tensor:
        """Strength of each group, broadcastable to (n_members, n_groups)."""
        return self._along_members("alpha", norms) * self.layout(weight).root_sizes(norms)

    @abstractmethod
    def _radial_value(self, norms: Tensor, strengths: Tensor) -> Tensor:
        """The penalty of each group."""

    @abstractmethod
    def _radial_slope(self, norms: Tensor, strengths: Tensor) -> Tensor:
        """Its derivative by the norm, where that is positive."""

    @abstractmethod
    def _plan_radial_prox(self, norms: Tensor, strengths: Tensor) -> Callable[..., Tensor]:
        """Return what gives the new norm of each group from its norm and a step."""


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
        one-hot encoding do. A feature in none of them is a group of its own, as all are by
        default. Groups of hidden neurons are as ever.
    adaptive : bool, default=False
        Divide the strength on each group by its norm after a pilot fit, which the estimator
        does first (with ``penalty="l2"`` at its default strength) and goes on from: groups
        that matter are shrunk little, the others drop out.

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

    def __init__(
        self,
        alpha: Strength = None,
        groups: Sequence | None = None,
        adaptive: bool = False,
    ) -> None:
        self.alpha = alpha
        self.groups = groups
        self.adaptive = adaptive

    def _strengths(self, norms: Tensor, weight: Tensor) -> Tensor:
        return self._adapted(super()._strengths(norms, weight))

    def _radial_value(self, norms: Tensor, strengths: Tensor) -> Tensor:
        return strengths * norms

    def _radial_slope(self, norms: Tensor, strengths: Tensor) -> Tensor:
        return strengths.expand_as(norms)

    def _plan_radial_prox(self, norms: Tensor, strengths: Tensor) -> Callable[..., Tensor]:
        return lambda norms, step: soft_threshold(norms, step * strengths)


class SparseGroupLasso(GroupLasso):
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
        Adapt the strength on each weight and on each group to a pilot fit, as :class:`L1` and
        :class:`GroupLasso` do.

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

    def __init__(
        self,
        alpha: Strength = None,
        l1_ratio: Strength = None,
        groups: Sequence | None = None,
        adaptive: bool = False,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.groups = groups
        self.adaptive = adaptive

    def bind(self, layout: Layout) -> Self:
        bound = super().bind(layout)
        bound._l1_part = L1(adaptive=self.adaptive).bind(layout)
        return bound

    def _strengths(self, norms: Tensor, weight: Tensor) -> Tensor:
        share = 1.0 - self._along_members("l1_ratio", norms)
        return share * super()._strengths(norms, weight)

    #: Strength of L1 on each weight, for an alpha and an l1_ratio of 1.
    _l1_part = L1()

    def _l1(self, weight: Tensor) -> list[Any]:
        """Strength of L1 on each layer, to broadcast against its view."""
        views = self.layout(weight).views(weight)
        alpha = self._along_members("alpha", views[0])
        shared = alpha * self._along_members("l1_ratio", views[0])
        if not self.adaptive:
            return [shared] * len(views)
        factors = self._l1_part._adapted(torch.ones_like(weight))
        return [shared * own for own in self.layout(weight).views(factors)]

    def _value_by_group(self, weight: Tensor) -> Tensor:
        views = self.layout(weight).views(weight)
        l1 = total(s * view.abs() for s, view in zip(self._l1(weight), views, strict=True))
        return super()._value_by_group(weight).sum(1, keepdim=True) + l1.unsqueeze(1)

    def subgradient(self, weight: Tensor) -> Tensor:
        result = super().subgradient(weight)
        layout = self.layout(weight)
        views = zip(layout.views(result), layout.views(weight), self._l1(weight), strict=True)
        for view, own, l1 in views:
            view.add_(l1 * own.sign())
        return result

    def plan_prox(self, grouped: GroupView) -> Callable[[float | Tensor], None]:
        l1_by_layer = self._l1(grouped.tensor)
        prox_of_groups_ = super().plan_prox(grouped)
        like = grouped.norms()

        def prox_(step: float | Tensor) -> None:
            by_layer = grouped.spread(beside(step, like))
            for view, own_step, l1 in zip(grouped.layers, by_layer, l1_by_layer, strict=True):
                soft_threshold(view, own_step * l1, out=view)
            prox_of_groups_(step)

        return prox_


class _GroupConcave(ConcaveMixin, GroupPenalty):
    """MCP or SCAD of the norm of each group."""

    def _radial_value(self, norms: Tensor, strengths: Tensor) -> Tensor:
        return self._value_of(norms, strengths)

    def _radial_slope(self, norms: Tensor, strengths: Tensor) -> Tensor:
        return self._slope_of(norms, strengths)

    def _plan_radial_prox(self, norms: Tensor, strengths: Tensor) -> Callable[..., Tensor]:
        return self._plan_prox_of(norms, strengths)


class GroupMCP(_GroupConcave):
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
        Strength of an L2 penalty beside it, as a multiple of alpha: it adds
        :math:`\tfrac12\,\mathrm{l2\_ratio}\,α\,Σw^2`. None is 0; on a path of a network with
        hidden layers None is what :func:`skreg.regularization_path` says.
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

    _per_member = ("alpha", "gamma", "l2_ratio")
    _curve = (mcp_value, mcp_slope, mcp_prox_of_size)
    _bend = "gamma"

    def __init__(
        self,
        alpha: Strength = None,
        gamma: Strength = 3.0,
        l2_ratio: Strength = None,
        groups: Sequence | None = None,
    ) -> None:
        self.alpha = alpha
        self.gamma = gamma
        self.l2_ratio = l2_ratio
        self.groups = groups


class GroupSCAD(_GroupConcave):
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
        Strength of an L2 penalty beside it, as a multiple of alpha: it adds
        :math:`\tfrac12\,\mathrm{l2\_ratio}\,α\,Σw^2`. None is 0; on a path of a network with
        hidden layers None is what :func:`skreg.regularization_path` says.
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

    _per_member = ("alpha", "a", "l2_ratio")
    _curve = (scad_value, scad_slope, scad_prox)
    _bend = "a"

    def __init__(
        self,
        alpha: Strength = None,
        a: Strength = 3.7,
        l2_ratio: Strength = None,
        groups: Sequence | None = None,
    ) -> None:
        self.alpha = alpha
        self.a = a
        self.l2_ratio = l2_ratio
        self.groups = groups
