"""Penalties that act on whole groups of weights, and drop features and neurons with them.

A group is the outgoing weights of one unit (see :mod:`skreg._groups`). Each penalty here is a
penalty of one number, put on the norm of the group: the lasso's, MCP's or SCAD's. Its proximal
operator is that penalty's own on the norm, with the direction kept, and so a group is zero as
a whole or not at all.

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
from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from skreg._elementwise_penalties import mcp_slope, mcp_value, scad_slope, scad_value
from skreg._groups import GroupLayout, layout_of
from skreg._penalty import Penalty, Strength, total
from skreg._prox import mcp_prox, scad_prox, soft_threshold

__all__ = ["GroupLasso", "GroupMCP", "GroupPenalty", "GroupSCAD", "SparseGroupLasso"]


class GroupPenalty(Penalty):
    """Base of the group penalties: a penalty of one number on the norm of each group.

    A subclass gives the three functions of that number below; its strength is alpha times
    the root of the group's size.
    """

    #: Of the flat tensor that the penalty is put on; None for a tensor that is one layer.
    _layout: GroupLayout | None = None

    def for_layers(self, layers: Sequence[tuple[int, int]]) -> Self:
        bound = copy.copy(self)
        bound._layout = GroupLayout(layers)
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
        self.prox_by_group_(moved, self.layout(weight).by_group(step, weight))
        return moved

    def prox_by_group_(self, weight: Tensor, step: float | Tensor) -> None:
        """What :meth:`prox` does, in place, with a step per group and unchecked.

        Parameters
        ----------
        weight : Tensor
        step : float or Tensor of shape (n_members, n_groups) or (n_members, 1)
        """
        layout = self.layout(weight)
        norms = layout.norms(weight)
        strengths = self._strengths(norms, weight)
        new = self._radial_prox(norms, step, strengths)
        # What stays is left alone to the bit. A norm of 0 may be one that underflowed.
        factors = torch.where(new == norms, 1.0, new / norms)
        factors = torch.where((norms > 0) | (strengths == 0), factors, 0.0)
        for view, factor in layout.spread(factors, weight):
            view.mul_(factor)

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
    def _radial_prox(self, norms: Tensor, step: float | Tensor, strengths: Tensor) -> Tensor:
        """The new norm of each group."""


class GroupLasso(GroupPenalty):
    r"""Group lasso: :math:`Ω(w) = Σ_g \sqrt{|g|}\,‖w_g‖` over the groups g of size \|g\|.

    A group is the outgoing weights of one unit in any layer: an input feature in the first, a
    hidden neuron in the others. A group is zero as a whole or not at all, so features and
    neurons drop out.

    Parameters
    ----------
    alpha : float or array-like of shape (n_members,), default=None
        Strength λ ≥ 0. None takes the `alpha` of the estimator the penalty is given to.

    Notes
    -----
    Without a hidden layer the groups are the rows of the coefficients, and the objective is
    that of ``sklearn.linear_model.MultiTaskLasso(alpha=alpha * n_outputs ** 0.5)``.

    Weights in a tensor of two axes are taken as those of one ``torch.nn.Linear``, whose
    columns are the groups; in one of three axes as a stack (n_members, fan_in, fan_out).

    References
    ----------
    Yuan & Lin, "Model selection and estimation in regression with grouped variables", 2006.
    Scardapane, Comminiello, Hussain & Uncini, "Group sparse regularization for deep neural
    networks", 2017.

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

    def __init__(self, alpha: Strength = None) -> None:
        self.alpha = alpha

    def _radial_value(self, norms: Tensor, strengths: Tensor) -> Tensor:
        return strengths * norms

    def _radial_slope(self, norms: Tensor, strengths: Tensor) -> Tensor:
        return strengths.expand_as(norms)

    def _radial_prox(self, norms: Tensor, step: float | Tensor, strengths: Tensor) -> Tensor:
        return soft_threshold(norms, step * strengths)


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

    def __init__(self, alpha: Strength = None, l1_ratio: Strength = None) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio

    def _strengths(self, norms: Tensor, weight: Tensor) -> Tensor:
        share = 1.0 - self._along_members("l1_ratio", norms)
        return share * super()._strengths(norms, weight)

    def _l1(self, weight: Tensor) -> Any:
        """Strength of L1, one for all members or one each along the first axis of a view."""
        view = self.layout(weight).views(weight)[0]
        return self._along_members("alpha", view) * self._along_members("l1_ratio", view)

    def _value_by_group(self, weight: Tensor) -> Tensor:
        return super()._value_by_group(weight).sum(1, keepdim=True) + total(
            self._l1(weight) * view.abs() for view in self.layout(weight).views(weight)
        ).unsqueeze(1)

    def subgradient(self, weight: Tensor) -> Tensor:
        result = super().subgradient(weight)
        layout, l1 = self.layout(weight), self._l1(weight)
        for view, own in zip(layout.views(result), layout.views(weight), strict=True):
            view.add_(l1 * own.sign())
        return result

    def prox_by_group_(self, weight: Tensor, step: float | Tensor) -> None:
        layout, l1 = self.layout(weight), self._l1(weight)
        by_group = torch.as_tensor(step, dtype=weight.dtype, device=weight.device)
        by_group = by_group.expand(len(layout.views(weight)[0]), len(layout.sizes))
        for view, own_step in layout.spread(by_group, weight):
            soft_threshold(view, own_step * l1, out=view)
        super().prox_by_group_(weight, step)


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

    def __init__(self, alpha: Strength = None, gamma: Strength = 3.0) -> None:
        self.alpha = alpha
        self.gamma = gamma

    def _radial_value(self, norms: Tensor, strengths: Tensor) -> Tensor:
        return mcp_value(norms, strengths, self._along_members("gamma", norms))

    def _radial_slope(self, norms: Tensor, strengths: Tensor) -> Tensor:
        return mcp_slope(norms, strengths, self._along_members("gamma", norms))

    def _radial_prox(self, norms: Tensor, step: float | Tensor, strengths: Tensor) -> Tensor:
        return mcp_prox(norms, step, strengths, self._along_members("gamma", norms))


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

    def __init__(self, alpha: Strength = None, a: Strength = 3.7) -> None:
        self.alpha = alpha
        self.a = a

    def _radial_value(self, norms: Tensor, strengths: Tensor) -> Tensor:
        return scad_value(norms, strengths, self._along_members("a", norms))

    def _radial_slope(self, norms: Tensor, strengths: Tensor) -> Tensor:
        return scad_slope(norms, strengths, self._along_members("a", norms))

    def _radial_prox(self, norms: Tensor, step: float | Tensor, strengths: Tensor) -> Tensor:
        return scad_prox(norms, step, strengths, self._along_members("a", norms))
