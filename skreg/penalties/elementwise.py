"""Penalties that act on each weight by itself: L1, L2, elastic net, MCP, SCAD."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

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
from skreg.penalties.curves import Curve, ElasticNetCurve, MCPCurve, SCADCurve


class ElementwisePenalty(Penalty):
    """Base of the penalties that are the sum of a curve over the weights."""

    @abstractmethod
    def _curve(self, weight: Tensor) -> Curve:
        """The curve of each weight, its parameters broadcastable to `weight`."""

    def bind(self, layout: Layout) -> Self:
        if not self.adaptive or layout.initial is None:
            return self
        bound = copy.copy(self)
        bound._factors = adaptive_factors(layout.initial.abs())
        return bound

    def value(self, weights: Iterable[Tensor]) -> Tensor:
        return total(self._curve(weight).value(weight.abs()) for weight in weights)

    def subgradient(self, weight: Tensor) -> Tensor:
        return self._curve(weight).subgradient(weight)

    def prox(self, weight: Tensor, step: float | Tensor) -> Tensor:
        return self._curve(weight).prox(weight, step)

    def plan_prox_in_metric(self, weight: Tensor) -> Callable[..., None]:
        return self._curve(weight).prox_in_metric_

    def _strengths(self, weight: Tensor) -> Any:
        """Strength on each weight: alpha, adapted to an initial fit where that is asked for."""
        return self._adapted(self._along_members("alpha", weight))


@dataclass(eq=False, repr=False)
class L1(ElementwisePenalty):
    """L1 penalty (lasso): ``Ω(w) = Σ|w|``.

    A push of constant size α towards zero, whatever the size of the weight: small weights
    become exactly zero, so inputs drop out.

    Parameters
    ----------
    alpha : float or array-like of shape (n_members,), default=None
        Strength λ ≥ 0. None takes the `alpha` of the estimator the penalty is given to.
    adaptive : bool, default=False
        Divide the strength on each weight by its size after an initial fit, from which the
        estimator goes on (with ``penalty="l2"`` at its default strength): weights that
        matter are shrunk little, the others drop out.

    Raises
    ------
    ValueError
        When an adaptive one is used without an estimator.

    References
    ----------
    Tibshirani, "Regression shrinkage and selection via the lasso", 1996. Zou, "The adaptive
    lasso and its oracle properties", 2006.

    Examples
    --------
    >>> import torch
    >>> from skreg.penalties import L1
    >>> weight = torch.tensor([[-3.0, 0.0, 2.0]])
    >>> L1(alpha=0.5).value([weight])
    tensor([2.5000])
    >>> L1(alpha=0.5).subgradient(weight)
    tensor([[-0.5000,  0.0000,  0.5000]])
    """

    alpha: Strength = None
    adaptive: bool = False

    def _curve(self, weight: Tensor) -> Curve:
        return ElasticNetCurve(l1=self._strengths(weight))


@dataclass(eq=False, repr=False)
class L2(ElementwisePenalty):
    """L2 penalty (ridge, weight decay): ``Ω(w) = ½ Σ w²``.

    A push in proportion to the weight: large weights feel it most, all become small and
    even, none becomes zero. Its gradient is α·w, the ``weight_decay`` of torch's optimizers.

    Parameters
    ----------
    alpha : float or array-like of shape (n_members,), default=None
        Strength λ ≥ 0. None takes the `alpha` of the estimator the penalty is given to.

    References
    ----------
    Hoerl & Kennard, "Ridge regression: biased estimation for nonorthogonal problems", 1970.

    Examples
    --------
    >>> import torch
    >>> from skreg.penalties import L2
    >>> weight = torch.tensor([[-3.0, 0.0, 2.0]])
    >>> L2(alpha=0.5).value([weight])
    tensor([3.2500])
    >>> L2(alpha=0.5).subgradient(weight)
    tensor([[-1.5000,  0.0000,  1.0000]])
    """

    alpha: Strength = None

    def _curve(self, weight: Tensor) -> Curve:
        return ElasticNetCurve(l2=self._strengths(weight))


@dataclass(eq=False, repr=False)
class ElasticNet(ElementwisePenalty):
    """Elastic net: ``Ω(w) = l1_ratio·Σ|w| + (1 − l1_ratio)/2·Σ w²``.

    L1 (`l1_ratio=1`) and L2 (`l1_ratio=0`) are its two ends. In between it still gives
    exact zeros, and of correlated inputs it keeps several where L1 picks one.

    Parameters
    ----------
    alpha : float or array-like of shape (n_members,), default=None
        Strength λ ≥ 0. None takes the `alpha` of the estimator the penalty is given to.
    l1_ratio : float or array-like of shape (n_members,), default=None
        Share of L1, between 0 and 1. None takes the estimator's `l1_ratio`.
    adaptive : bool, default=False
        Adapt the strength of the L1 part on each weight to an initial fit, as :class:`L1` does.

    References
    ----------
    Zou & Hastie, "Regularization and variable selection via the elastic net", 2005. Zou &
    Zhang, "On the adaptive elastic-net with a diverging number of parameters", 2009.

    Examples
    --------
    >>> import torch
    >>> from skreg.penalties import ElasticNet
    >>> ElasticNet(alpha=1.0, l1_ratio=0.5).prox(torch.tensor([[-3.0, 0.5, 2.0]]), step=1.0)
    tensor([[-1.6667,  0.0000,  1.0000]])
    """

    alpha: Strength = None
    l1_ratio: Strength = None
    adaptive: bool = False

    def _curve(self, weight: Tensor) -> Curve:
        alpha = self._along_members("alpha", weight)
        l1_ratio = self._along_members("l1_ratio", weight)
        return ElasticNetCurve(self._adapted(alpha * l1_ratio), alpha * (1.0 - l1_ratio))


@dataclass(eq=False, repr=False)
class MCP(ElementwisePenalty):
    r"""Minimax concave penalty: L1 near zero, flat for large weights.

    .. math::
        Ω_α(w) = Σ\,p(|w|), \quad p(r) = αr - r^2/(2γ) \text{ for } r ≤ γα,
        \quad γα^2/2 \text{ beyond}

    Small weights become exactly zero as under :class:`L1`; those that stay are not shrunk.
    The penalty is not convex: where training ends may depend on where it began.

    Parameters
    ----------
    alpha : float or array-like of shape (n_members,), default=None
        Strength λ ≥ 0. None takes the `alpha` of the estimator the penalty is given to.
    gamma : float or array-like of shape (n_members,), default=3.0
        Where the penalty is flat, in units of alpha; above 1. Towards infinity it is L1.
    l2_ratio : float or array-like of shape (n_members,), default=None
        Strength of an additional L2 penalty, as a multiple of alpha: it adds
        :math:`\tfrac12\,\mathrm{l2\_ratio}\,α\,Σw^2`. None is 0; on a path of a network with
        hidden layers None is what :func:`skreg.regularization_path` says.

    References
    ----------
    Zhang, "Nearly unbiased variable selection under minimax concave penalty", 2010.

    Examples
    --------
    >>> import torch
    >>> from skreg.penalties import MCP
    >>> weight = torch.tensor([[4.0, -0.5, 2.0]])
    >>> MCP(alpha=1.0).prox(weight, step=1.0)
    tensor([[4.0000, 0.0000, 1.5000]])
    >>> MCP(alpha=1.0).subgradient(weight)
    tensor([[ 0.0000, -0.8333,  0.3333]])
    """

    alpha: Strength = None
    gamma: Strength = 3.0
    l2_ratio: Strength = None

    _per_member = ("alpha", "gamma", "l2_ratio")
    _ranges = {**Penalty._ranges, "gamma": above(1), "l2_ratio": at_least(0)}
    _bend = "gamma"

    def _curve(self, weight: Tensor) -> Curve:
        gamma = self._tensor("gamma", weight)
        return MCPCurve(self._strengths(weight), gamma, l2_strength(self, weight))


@dataclass(eq=False, repr=False)
class SCAD(ElementwisePenalty):
    r"""Smoothly clipped absolute deviation: L1 near zero, flat for large weights.

    .. math::
        Ω_α(w) = Σ\,p(|w|), \quad p'(r) = α \text{ for } r ≤ α,
        \quad \max(aα - r, 0)/(a - 1) \text{ beyond}

    As :class:`MCP`, but with the full slope of L1 up to alpha.

    Parameters
    ----------
    alpha : float or array-like of shape (n_members,), default=None
        Strength λ ≥ 0. None takes the `alpha` of the estimator the penalty is given to.
    a : float or array-like of shape (n_members,), default=3.7
        Where the penalty is flat, in units of alpha; above 2. Towards infinity it is L1.
    l2_ratio : float or array-like of shape (n_members,), default=None
        Strength of an additional L2 penalty, as a multiple of alpha; see :class:`MCP`.

    References
    ----------
    Fan & Li, "Variable selection via nonconcave penalized likelihood and its oracle
    properties", 2001.

    Examples
    --------
    >>> import torch
    >>> from skreg.penalties import SCAD
    >>> SCAD(alpha=1.0).prox(torch.tensor([[-4.0, 0.5, 1.5, 3.0]]), step=1.0)
    tensor([[-4.0000,  0.0000,  0.5000,  2.5882]])
    """

    alpha: Strength = None
    a: Strength = 3.7
    l2_ratio: Strength = None

    _per_member = ("alpha", "a", "l2_ratio")
    _ranges = {**Penalty._ranges, "a": above(2), "l2_ratio": at_least(0)}
    _bend = "a"

    def _curve(self, weight: Tensor) -> Curve:
        a = self._tensor("a", weight)
        return SCADCurve(self._strengths(weight), a, l2_strength(self, weight))
