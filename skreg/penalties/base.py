"""What every penalty is: a small object that owns its maths, and what it is put on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skreg.penalties.curves import divide_, is_zero, tensor_like

#: One number for all members, or one per member.
Strength = float | Sequence[float] | np.ndarray | Tensor | None

#: What the values of a parameter must be besides finite, and how an error says so.
Range = tuple[Callable[[np.ndarray], np.ndarray], str]


def at_least(bound: float) -> Range:
    return lambda values: values >= bound, f"finite and at least {bound}"


def above(bound: float) -> Range:
    return lambda values: values > bound, f"finite and above {bound}"


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of a table that the inputs of a network are."""

    #: How many columns the table has.
    n_features: int
    #: Names of all of them, where they have names.
    names: Sequence[str] | None = None
    #: Those that the network takes, in its order; None for all.
    inputs: Sequence[int] | np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """What a penalty is put on: a flat tensor of shape (n_members, n_weights)."""

    #: Shapes (fan_in, fan_out) of the matrices in the tensor, one after the other.
    layers: Sequence[tuple[int, int]]
    #: What the inputs of the first of them are; None if they are no features.
    columns: Columns | None = None
    #: The tensor after the initial fit that the strengths of an adaptive penalty adapt to.
    initial: Tensor | None = None


class Penalty(BaseEstimator, ABC):
    """Base of all penalties: alpha·Ω over the weights it is put on.

    A subclass states its Ω and gives the three methods below. Parameters are scikit-learn
    parameters, so that ``GridSearchCV`` reaches them as ``penalty__alpha``; `alpha` is
    required of every penalty, and ``None`` there means "take the estimator's". A subclass with
    parameters that may be one for each member of a stack names them in `_per_member`, and says
    in `_ranges` what they must be.
    """

    alpha: Strength

    #: Parameters that may be one for each member of a stack.
    _per_member: tuple[str, ...] = ("alpha", "l1_ratio")
    #: By name what each of them must be; one that is not here must be finite. A subclass with
    #: more parameters extends it.
    _ranges: dict[str, Range] = {
        "alpha": at_least(0),
        "l1_ratio": (lambda v: (v >= 0) & (v <= 1), "between 0 and 1"),
    }
    #: Name of the parameter that says where the slope of a concave penalty is 0.
    _bend: ClassVar[str | None] = None
    #: Whether `bind` needs the weights of an initial fit. A parameter of those that may.
    adaptive: bool = False
    #: What strengths are multiplied by where they adapt to an initial fit.
    _factors: Tensor | None = None

    @abstractmethod
    def value(self, weights: Iterable[Tensor]) -> Tensor:
        """Return alpha·Ω summed over weight tensors of shape (n_members, ...).

        The result has shape (n_members,).
        """

    @abstractmethod
    def subgradient(self, weight: Tensor) -> Tensor:
        """Return the element of the subdifferential of alpha·Ω that is 0 at 0."""

    @abstractmethod
    def prox(self, weight: Tensor, step: float | Tensor) -> Tensor:
        """Return ``argmin_w ½‖w − weight‖²_{1/step} + alpha·Ω(w)``.

        `step` may differ by coordinate: the norm is then the metric of the optimizer, with
        1/step as its weights.
        """

    def prox_in_metric_(
        self, weight: Tensor, metric: Tensor, scale: float | Tensor, scratch: Tensor
    ) -> None:
        """Apply the proximal operator with the step scale/metric to `weight`, in place.

        What :meth:`prox` does, for an optimizer that knows its metric and not its step: a
        penalty may save passes over the weights here, and memory by writing over `metric`.
        """
        weight.copy_(self.prox(weight, divide_(scale, metric)))

    def plan_prox_in_metric(self, weight: Tensor) -> Callable[..., None]:
        """Return :meth:`prox_in_metric_` for this weight, for as long as parameters stay."""
        return self.prox_in_metric_

    def bind(self, layout: Layout) -> Self:
        """Return the penalty as it is put on the flat tensor that `layout` describes.

        A network does so before it trains. What the tensor is makes no difference to most
        penalties: they return themselves, as here. One that has to know returns a copy.
        """
        return self

    def check(self) -> None:
        """Raise ValueError where a parameter is out of its range."""
        for name in self._per_member:
            value = getattr(self, name, None)
            if value is None:
                continue
            holds, range_ = self._ranges.get(name, (np.isfinite, "finite"))
            on_host = value.cpu() if isinstance(value, Tensor) else value
            values = np.asarray(on_host, dtype=float)
            if not (np.isfinite(values).all() and holds(values).all()):
                raise ValueError(f"{self}: {name} must be {range_}.")

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

    def _tensor(self, name: str, like: Tensor) -> Tensor:
        """As :meth:`_along_members`, and a number as a tensor of the dtype of `like`."""
        return tensor_like(self._along_members(name, like), like)

    def _adapted(self, strengths: Any) -> Any:
        """Strengths, divided by the sizes of an initial fit where the penalty is adaptive."""
        if not self.adaptive:
            return strengths
        if self._factors is None:
            name = type(self).__name__
            raise ValueError(
                f"{name}(adaptive=True) takes its strengths from an initial fit, which an "
                f"estimator does: pass it as penalty={name}(adaptive=True), or use "
                f"adaptive=False."
            )
        return strengths * self._factors


def l2_strength(penalty: Any, like: Tensor) -> Any:
    """Strength of the L2 part of a penalty with an `l2_ratio`, broadcastable to `like`."""
    if penalty.l2_ratio is None or is_zero(penalty.l2_ratio):
        return 0.0
    return penalty._tensor("alpha", like) * penalty._along_members("l2_ratio", like)


def adaptive_factors(sizes: Tensor) -> Tensor:
    """One over the sizes of an initial fit, shape (n_members, n_weights or n_groups).

    Where a size is zero the factor is large and finite, so that the zero stays.
    """
    floor = torch.finfo(sizes.dtype).eps * sizes.amax(1, keepdim=True)
    tiny = torch.finfo(sizes.dtype).tiny ** 0.5
    return sizes.maximum(floor).clamp(min=tiny).reciprocal()


def total(terms: Iterable[Tensor]) -> Tensor:
    """Sum over all but the leading axis, then over the tensors."""
    return torch.stack([term.reshape(term.shape[0], -1).sum(1) for term in terms]).sum(0)
