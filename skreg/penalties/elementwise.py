"""Penalties that act on each weight by itself: L1, L2, elastic net, MCP, SCAD."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, Self, TypeVar

from torch import Tensor

from skreg.penalties.base import Layout, Penalty, Strength, adaptive_factors, total
from skreg.penalties.concave import ConcaveMixin, mcp_slope, mcp_value, scad_slope, scad_value
from skreg.penalties.curves import (
    elastic_net_prox,
    elastic_net_prox_in_metric_,
    mcp_prox,
    scad_prox,
    shrink,
    soft_threshold,
)

_P = TypeVar("_P", bound=Penalty)


class L1(Penalty):
    """L1 penalty (lasso): ``Ω(w) = Σ|w|``.

    A push of constant size α towards zero, whatever the size of the weight: small weights
    become exactly zero, so inputs drop out.

    Parameters
    ----------
    alpha : float or array-like of shape (n_members,), default=None
        Strength λ ≥ 0. None takes the `alpha` of the estimator the penalty is given to.
    adaptive : bool, default=False
        Divide the strength on each weight by its size after a pilot fit, which the estimator
        does first (with ``penalty="l2"`` at its default strength) and goes on from: weights
        that matter are shrunk little, the others drop out.

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

    def __init__(self, alpha: Strength = None, adaptive: bool = False) -> None:
        self.alpha = alpha
        self.adaptive = adaptive

    def bind(self, layout: Layout) -> Self:
        return adapted_to(self, layout.initial)

    def _strengths(self, weight: Tensor) -> Any:
        return self._adapted(self._along_members("alpha", weight))

    def value(self, weights: Iterable[Tensor]) -> Tensor:
        return total(self._strengths(w) * w.abs() for w in weights)

    def subgradient(self, weight: Tensor) -> Tensor:
        return self._strengths(weight) * weight.sign()

    def prox(self, weight: Tensor, step: float | Tensor) -> Tensor:
        return soft_threshold(weight, step * self._strengths(weight))

    def prox_in_metric_(
        self,
        weight: Tensor,
        metric: Tensor,
        scale: float | Tensor,
        scratch: Tensor,
    ) -> None:
        l1 = scale * self._strengths(weight)
        elastic_net_prox_in_metric_(weight, metric, l1, 0.0, scratch)


class L2(Penalty):
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

    def __init__(self, alpha: Strength = None) -> None:
        self.alpha = alpha

    def value(self, weights: Iterable[Tensor]) -> Tensor:
        return total(0.5 * self._along_members("alpha", w) * w.square() for w in weights)

    def subgradient(self, weight: Tensor) -> Tensor:
        return self._along_members("alpha", weight) * weight

    def prox(self, weight: Tensor, step: float | Tensor) -> Tensor:
        return shrink(weight, step * self._along_members("alpha", weight))

    def prox_in_metric_(
        self,
        weight: Tensor,
        metric: Tensor,
        scale: float | Tensor,
        scratch: Tensor,
    ) -> None:
        l2 = scale * self._along_members("alpha", weight)
        elastic_net_prox_in_metric_(weight, metric, 0.0, l2, scratch)


class ElasticNet(Penalty):
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
        Adapt the strength of the L1 part on each weight to a pilot fit, as :class:`L1` does.

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

    def __init__(
        self, alpha: Strength = None, l1_ratio: Strength = None, adaptive: bool = False
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.adaptive = adaptive

    def bind(self, layout: Layout) -> Self:
        return adapted_to(self, layout.initial)

    def _strengths(self, weight: Tensor) -> tuple[Any, Any]:
        alpha = self._along_members("alpha", weight)
        l1_ratio = self._along_members("l1_ratio", weight)
        return self._adapted(alpha * l1_ratio), alpha * (1.0 - l1_ratio)

    def value(self, weights: Iterable[Tensor]) -> Tensor:
        def terms() -> Iterable[Tensor]:
            for weight in weights:
                l1, l2 = self._strengths(weight)
                yield l1 * weight.abs() + 0.5 * l2 * weight.square()

        return total(terms())

    def subgradient(self, weight: Tensor) -> Tensor:
        l1, l2 = self._strengths(weight)
        return l1 * weight.sign() + l2 * weight

    def prox(self, weight: Tensor, step: float | Tensor) -> Tensor:
        l1, l2 = self._strengths(weight)
        return elastic_net_prox(weight, step * l1, step * l2)

    def prox_in_metric_(
        self,
        weight: Tensor,
        metric: Tensor,
        scale: float | Tensor,
        scratch: Tensor,
    ) -> None:
        l1, l2 = self._strengths(weight)
        elastic_net_prox_in_metric_(weight, metric, scale * l1, scale * l2, scratch)


def adapted_to(penalty: _P, initial: Tensor | None) -> _P:
    """The penalty with strengths that adapt to the weights of an initial fit, if it is so."""
    if not penalty.adaptive or initial is None:
        return penalty
    bound = copy.copy(penalty)
    bound._factors = adaptive_factors(initial.abs())
    return bound


class _Concave(ConcaveMixin, Penalty):
    """MCP or SCAD of each weight."""

    def value(self, weights: Iterable[Tensor]) -> Tensor:
        return total(self._value_of(w.abs(), self._along_members("alpha", w)) for w in weights)

    def subgradient(self, weight: Tensor) -> Tensor:
        return weight.sign() * self._slope_of(
            weight.abs(), self._along_members("alpha", weight)
        )

    def prox(self, weight: Tensor, step: float | Tensor) -> Tensor:
        return self._plan_prox_of(weight, self._along_members("alpha", weight))(weight, step)


class MCP(_Concave):
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
        Strength of an L2 penalty beside it, as a multiple of alpha: it adds
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

    _per_member = ("alpha", "gamma", "l2_ratio")
    _curve = (mcp_value, mcp_slope, mcp_prox)
    _bend = "gamma"

    def __init__(
        self, alpha: Strength = None, gamma: Strength = 3.0, l2_ratio: Strength = None
    ) -> None:
        self.alpha = alpha
        self.gamma = gamma
        self.l2_ratio = l2_ratio


class SCAD(_Concave):
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
        Strength of an L2 penalty beside it, as a multiple of alpha: it adds
        :math:`\tfrac12\,\mathrm{l2\_ratio}\,α\,Σw^2`. None is 0; on a path of a network with
        hidden layers None is what :func:`skreg.regularization_path` says.

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

    _per_member = ("alpha", "a", "l2_ratio")
    _curve = (scad_value, scad_slope, scad_prox)
    _bend = "a"

    def __init__(
        self, alpha: Strength = None, a: Strength = 3.7, l2_ratio: Strength = None
    ) -> None:
        self.alpha = alpha
        self.a = a
        self.l2_ratio = l2_ratio
