"""What every penalty is: a small object that owns its maths.

The kinds stand in :mod:`skreg.penalties.elementwise` and :mod:`skreg.penalties.groupwise`; all
are imported from :mod:`skreg.penalties`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skreg.penalties.curves import divide_

#: One number for all members, or one per member.
Strength = float | Sequence[float] | np.ndarray | Tensor | None

#: What the values of a parameter must be besides finite, and how an error says so.
Range = tuple[Callable[[np.ndarray], np.ndarray], str]


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
    #: parameters of its own extends it.
    _ranges: dict[str, Range] = {
        "alpha": (lambda v: v >= 0, "finite and at least 0"),
        "l1_ratio": (lambda v: (v >= 0) & (v <= 1), "between 0 and 1"),
    }
    #: The group of each input of the first layer, where the user has put them in groups.
    _row_groups: tuple[int, ...] | None = None
    #: Weights and biases of the pilot fit, where strengths adapt to one.
    _pilots: tuple[np.ndarray, np.ndarray] | None = None

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

    def prox_in_metric_(
        self,
        weight: Tensor,
        metric: Tensor,
        scale: float | Tensor,
        scratch: Tensor,
    ) -> None:
        """Apply the proximal operator with the step scale/metric to `weight`, in place.

        What :meth:`prox` does, for an optimizer that knows its metric and not its step: a
        penalty may save passes over the weights here, and memory by writing over `metric`.
        """
        weight.copy_(self.prox(weight, divide_(scale, metric)))

    def for_features(self, n_features: int, names: Sequence[str] | None) -> Self:
        """Return the penalty with what it says of features found in a table's columns."""
        return self

    def with_pilots(self, pilots: tuple[np.ndarray, np.ndarray]) -> Self:
        """Return the penalty adapted to the flat weights and biases of a pilot fit."""
        bound = copy.copy(self)
        bound._pilots = pilots
        return bound

    def for_inputs(self, inputs: Sequence[int]) -> Self:
        """Return the penalty on a network that has lost all inputs but these."""
        return self

    def for_layers(
        self,
        layers: Sequence[tuple[int, int]],
        *,
        first: bool = True,
        pilot: Tensor | None = None,
    ) -> Self:
        """Return the penalty as it is put on a flat tensor of layers.

        Parameters
        ----------
        layers : sequence of (fan_in, fan_out)
            The tensor has the shape (n_members, n_weights) and holds these matrices one
            after the other. To a penalty that acts elementwise it is all the same.
        first : bool, default=True
            Whether the inputs of the first of them are the features.
        pilot : Tensor of shape (n_members, n_weights), default=None
            What the tensor was after the pilot fit that strengths adapt to.
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


class AdaptiveMixin:
    """A penalty whose strengths may adapt to a pilot fit: weak on what that found large."""

    adaptive: bool
    _factors: Tensor | None = None

    def _adapt(self, sizes: Tensor) -> None:
        """Divide the strengths by the sizes that the pilot found, one per weight or group."""
        # What the pilot has at zero stays there, by a strength that is large and finite.
        floor = torch.finfo(sizes.dtype).eps * sizes.amax(1, keepdim=True)
        tiny = torch.finfo(sizes.dtype).tiny ** 0.5
        self._factors = sizes.maximum(floor).clamp(min=tiny).reciprocal()

    def _adapted(self, strengths: Any) -> Any:
        if not self.adaptive:
            return strengths
        if self._factors is None:
            name = type(self).__name__
            raise ValueError(
                f"{name}(adaptive=True) takes its strengths from a pilot fit, which an "
                f"estimator does: pass it as penalty={name}(adaptive=True), or use "
                f"adaptive=False."
            )
        return strengths * self._factors


def total(terms: Iterable[Tensor]) -> Tensor:
    """Sum over all but the leading axis, then over the tensors."""
    return torch.stack([term.reshape(term.shape[0], -1).sum(1) for term in terms]).sum(0)
