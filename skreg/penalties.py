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
Each penalty stands on the pure functions of :mod:`skreg._prox`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from torch import Tensor

from skreg._prox import divide_, elastic_net_prox, shrink, soft_threshold

__all__ = ["L1", "L2", "ElasticNet", "Penalty"]

#: One number for all members, or one per member.
Strength = float | Sequence[float] | np.ndarray | Tensor | None

# What an estimator's `alpha` and `l1_ratio` are when nobody sets them: needed to tell
# "left alone" from "given twice" when the penalty is an object with values of its own.
DEFAULT_ALPHA = 1e-4
DEFAULT_L1_RATIO = 0.5


class Penalty(BaseEstimator, ABC):
    """Base of all penalties: alpha·Ω over the weights it is put on.

    A subclass states its Ω and gives the three methods below. Parameters are scikit-learn
    parameters, so that ``GridSearchCV`` reaches them as ``penalty__alpha``; `alpha` is
    required of every penalty, and ``None`` there means "take the estimator's".
    """

    alpha: Strength

    @abstractmethod
    def value(self, weights: Iterable[Tensor]) -> Tensor:
        """Return alpha·Ω summed over the weight tensors, one number per member.

        Parameters
        ----------
        weights : iterable of Tensor of shape (n_members, ...)

        Returns
        -------
        Tensor of shape (n_members,)
        """

    @abstractmethod
    def subgradient(self, weight: Tensor) -> Tensor:
        """Return the element of the subdifferential of alpha·Ω that is 0 at 0."""

    @abstractmethod
    def prox(self, weight: Tensor, step: float | Tensor) -> Tensor:
        """Return ``argmin_w ½‖w − weight‖²_{1/step} + alpha·Ω(w)``.

        `step` may differ by coordinate: the norm is then the optimizer's own metric, with
        1/step as its weights.
        """

    def prox_in_metric_(self, weight: Tensor, metric: Tensor, scale: float | Tensor) -> None:
        """Apply the proximal operator with the step scale/metric to `weight`, in place.

        What :meth:`prox` does, for an optimizer that knows its metric and not its step: a
        penalty may save passes over the weights here, and memory by writing over `metric`.
        """
        weight.copy_(self.prox(weight, divide_(scale, metric)))

    def _along_members(self, name: str, weight: Tensor) -> Any:
        """Parameter `name`, shaped to act along the leading axis of `weight`."""
        strength = getattr(self, name)
        if isinstance(strength, Real):
            return strength
        if strength is None:
            raise ValueError(
                f"{type(self).__name__} has no {name}: give it one, as in "
                f"{type(self).__name__}({name}=0.01), or pass the penalty to an estimator, "
                f"which lends it its own."
            )
        per_member = torch.as_tensor(strength, dtype=weight.dtype, device=weight.device)
        if per_member.ndim == 0:
            return per_member
        if per_member.shape != weight.shape[:1]:
            raise ValueError(
                f"{type(self).__name__}.{name} has shape {tuple(per_member.shape)}, but the "
                f"weights are a stack of {weight.shape[0]} members: give one number, or one "
                f"per member."
            )
        return per_member.reshape(-1, *[1] * (weight.ndim - 1))


def _sum_per_member(weight: Tensor) -> Tensor:
    return weight.reshape(weight.shape[0], -1).sum(1)


class L1(Penalty):
    """L1 penalty (lasso): ``Ω(w) = Σ|w|``.

    A push of constant size α towards zero, whatever the size of the weight: small weights
    become exactly zero, so inputs drop out.

    Parameters
    ----------
    alpha : float or array-like of shape (n_members,), default=None
        Strength λ ≥ 0. None takes the `alpha` of the estimator the penalty is given to.

    References
    ----------
    Tibshirani, "Regression shrinkage and selection via the lasso", 1996.

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

    def __init__(self, alpha: Strength = None) -> None:
        self.alpha = alpha

    def value(self, weights: Iterable[Tensor]) -> Tensor:
        return _total(self._along_members("alpha", w) * w.abs() for w in weights)

    def subgradient(self, weight: Tensor) -> Tensor:
        return self._along_members("alpha", weight) * weight.sign()

    def prox(self, weight: Tensor, step: float | Tensor) -> Tensor:
        return soft_threshold(weight, step * self._along_members("alpha", weight))

    def prox_in_metric_(self, weight: Tensor, metric: Tensor, scale: float | Tensor) -> None:
        threshold = divide_(scale * self._along_members("alpha", weight), metric)
        soft_threshold(weight, threshold, out=weight)


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
        return _total(0.5 * self._along_members("alpha", w) * w.square() for w in weights)

    def subgradient(self, weight: Tensor) -> Tensor:
        return self._along_members("alpha", weight) * weight

    def prox(self, weight: Tensor, step: float | Tensor) -> Tensor:
        return shrink(weight, step * self._along_members("alpha", weight))

    def prox_in_metric_(self, weight: Tensor, metric: Tensor, scale: float | Tensor) -> None:
        strength = divide_(scale * self._along_members("alpha", weight), metric)
        weight.div_(strength.add_(1.0))


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

    References
    ----------
    Zou & Hastie, "Regularization and variable selection via the elastic net", 2005.

    Examples
    --------
    >>> import torch
    >>> from skreg.penalties import ElasticNet
    >>> ElasticNet(alpha=1.0, l1_ratio=0.5).prox(torch.tensor([[-3.0, 0.5, 2.0]]), step=1.0)
    tensor([[-1.6667,  0.0000,  1.0000]])
    """

    def __init__(self, alpha: Strength = None, l1_ratio: Strength = None) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio

    def _strengths(self, weight: Tensor) -> tuple[Any, Any]:
        alpha = self._along_members("alpha", weight)
        l1_ratio = self._along_members("l1_ratio", weight)
        return alpha * l1_ratio, alpha * (1.0 - l1_ratio)

    def value(self, weights: Iterable[Tensor]) -> Tensor:
        def terms() -> Iterable[Tensor]:
            for weight in weights:
                l1, l2 = self._strengths(weight)
                yield l1 * weight.abs() + 0.5 * l2 * weight.square()

        return _total(terms())

    def subgradient(self, weight: Tensor) -> Tensor:
        l1, l2 = self._strengths(weight)
        return l1 * weight.sign() + l2 * weight

    def prox(self, weight: Tensor, step: float | Tensor) -> Tensor:
        l1, l2 = self._strengths(weight)
        return elastic_net_prox(weight, step * l1, step * l2)

    def prox_in_metric_(self, weight: Tensor, metric: Tensor, scale: float | Tensor) -> None:
        l1, l2 = self._strengths(weight)
        step = divide_(scale, metric)
        soft_threshold(weight, l1 * step, out=weight).div_(step.mul_(l2).add_(1.0))


def _total(terms: Iterable[Tensor]) -> Tensor:
    """Sum over all but the leading axis, then over the tensors."""
    return torch.stack([_sum_per_member(term) for term in terms]).sum(0)


#: The penalties an estimator takes by name.
PENALTIES: dict[str, type[Penalty]] = {"l1": L1, "l2": L2, "elasticnet": ElasticNet}


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
    >>> from skreg.penalties import ElasticNet, make_penalty
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
        _check_strength(penalty, name)
    return None if np.all(np.asarray(penalty.alpha) == 0) else penalty


def _check_strength(penalty: Penalty, name: str) -> None:
    values = np.asarray(getattr(penalty, name), dtype=float)
    upper = 1.0 if name == "l1_ratio" else np.inf
    if not (np.isfinite(values).all() and (values >= 0).all() and (values <= upper).all()):
        bounds = "between 0 and 1" if name == "l1_ratio" else "finite and at least 0"
        raise ValueError(f"{penalty}: {name} must be {bounds}.")
