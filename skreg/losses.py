"""Losses per sample, and the links that turn a network's raw output into a prediction.

Each loss states ℓ(y, f) for the raw output f of the network, its gradient in f, and the
inverse link: squared error predicts f itself, Poisson exp(f), the log-losses probabilities.
With no hidden layer these are the losses of scikit-learn's linear models, and so are the
coefficients: ½(y − f)² is the loss of ``Ridge`` and ``Lasso``, the log-loss that of
``LogisticRegression``.

Everything here is per sample, unweighted and summed over outputs. Sample weights and the
mean over samples belong to the caller. Tensors come as a stack: raw outputs of shape
(n_members, n_samples, n_outputs), targets without the leading axis if all members share them.

A custom loss is any callable ``loss(y_pred, y_true)`` that returns one value per sample,
or a subclass of :class:`Loss` where it has a link or a gradient by hand:

>>> import torch
>>> from skreg import RegularizedMLPRegressor
>>> def log_cosh(y_pred, y_true):
...     return torch.log(torch.cosh(y_pred - y_true))
>>> RegularizedMLPRegressor(loss=log_cosh)
RegularizedMLPRegressor(loss=<function log_cosh at ...>)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

__all__ = [
    "AbsoluteError",
    "CallableLoss",
    "Huber",
    "Logistic",
    "Loss",
    "Multinomial",
    "Poisson",
    "Quantile",
    "SquaredError",
]

#: Inverse links, by scikit-learn's name for the activation of the output layer.
INVERSE_LINKS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda raw: raw,
    "exp": torch.exp,
    "logistic": torch.sigmoid,
    "softmax": partial(torch.softmax, dim=-1),
}


class Loss(ABC):
    """Base of all losses: ℓ(y, f) per sample for raw network outputs f.

    An instance can be called as ``loss(y_pred, y_true)`` on tensors of shape (n_samples,
    n_outputs). A subclass gives `value` and `gradient`, and of the rest what differs:

    - `out_activation` is "exp", "logistic" or "softmax" if predictions are not f itself; any
      other link overrides `predict`;
    - `smooth` is False if the gradient is not continuous, which the full-batch solver needs;
    - `check_target` raises an error if `y` is out of range;
    - `gradient_` writes the gradient over `raw`, if that saves a copy.

    Estimators take an instance; an entry in ``REGRESSION_LOSSES`` gives the class a name.
    """

    smooth: bool = True
    #: scikit-learn's name for the activation of the output layer, the inverse link.
    out_activation: str = "identity"

    @abstractmethod
    def value(self, raw: Tensor, target: Tensor) -> Tensor:
        """Return ℓ per sample, summed over outputs.

        Parameters
        ----------
        raw : Tensor of shape (n_members, n_samples, n_outputs)
        target : Tensor of shape (n_samples, n_outputs) or (n_members, n_samples, n_outputs)

        Returns
        -------
        Tensor of shape (n_members, n_samples)
        """

    @abstractmethod
    def gradient(self, raw: Tensor, target: Tensor) -> Tensor:
        """Return ∂ℓ/∂f, of the shape of `raw`."""

    def gradient_(self, raw: Tensor, target: Tensor) -> Tensor:
        """Return what :meth:`gradient` does, written over `raw`."""
        return raw.copy_(self.gradient(raw, target))

    def predict(self, raw: Tensor) -> Tensor:
        """Return the prediction for a raw output: the inverse link."""
        return INVERSE_LINKS[self.out_activation](raw)

    def check_target(self, y: np.ndarray) -> None:  # noqa: B027 - most losses take any y
        """Raise ValueError where `y` is out of the range of the loss."""

    def __call__(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        return self.value(y_pred.unsqueeze(0), y_true)[0]


@dataclass(frozen=True)
class SquaredError(Loss):
    """Half the squared error, ``½ Σ_k (y_k − f_k)²``; predicts the mean."""

    def value(self, raw: Tensor, target: Tensor) -> Tensor:
        return 0.5 * (raw - target).square().sum(-1)

    def gradient(self, raw: Tensor, target: Tensor) -> Tensor:
        return raw - target

    def gradient_(self, raw: Tensor, target: Tensor) -> Tensor:
        return raw.sub_(target)


@dataclass(frozen=True)
class AbsoluteError(Loss):
    """Absolute error, ``Σ_k |y_k − f_k|``; predicts the median."""

    smooth = False

    def value(self, raw: Tensor, target: Tensor) -> Tensor:
        return (raw - target).abs().sum(-1)

    def gradient(self, raw: Tensor, target: Tensor) -> Tensor:
        return (raw - target).sign()


@dataclass(frozen=True)
class Huber(Loss):
    """Huber loss: squared near zero, absolute beyond `delta`, so that outliers pull less.

    ``½r²`` where ``|r| ≤ delta``, else ``delta·(|r| − ½ delta)``, with ``r = y − f``, summed
    over outputs.

    Parameters
    ----------
    delta : float, default=1.0
        Where the loss turns linear, in units of y. Must be positive.

    References
    ----------
    Huber, "Robust estimation of a location parameter", 1964.

    Examples
    --------
    >>> import torch
    >>> from skreg.losses import Huber
    >>> Huber(delta=1.0)(torch.tensor([[0.5], [3.0]]), torch.zeros(2, 1))
    tensor([0.1250, 2.5000])
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.delta < np.inf):
            raise ValueError(f"Huber: delta must be positive and finite, got {self.delta}.")

    def value(self, raw: Tensor, target: Tensor) -> Tensor:
        residual = (raw - target).abs()
        inner = residual.clamp(max=self.delta)
        return (inner * (residual - 0.5 * inner)).sum(-1)

    def gradient(self, raw: Tensor, target: Tensor) -> Tensor:
        return (raw - target).clamp(-self.delta, self.delta)


@dataclass(frozen=True)
class Quantile(Loss):
    """Pinball loss, ``Σ_k max(q·r_k, (q − 1)·r_k)`` with ``r = y − f``; predicts a quantile.

    Parameters
    ----------
    quantile : float, default=0.5
        The quantile q to predict, strictly between 0 and 1. The default is the median, with
        half the loss of ``"absolute_error"``.

    References
    ----------
    Koenker & Bassett, "Regression quantiles", 1978.

    Examples
    --------
    >>> import torch
    >>> from skreg.losses import Quantile
    >>> Quantile(0.75)(torch.tensor([[-1.0], [1.0]]), torch.zeros(2, 1))
    tensor([0.7500, 0.2500])
    """

    quantile: float = 0.5
    smooth = False

    def __post_init__(self) -> None:
        if not (0 < self.quantile < 1):
            raise ValueError(
                f"Quantile: quantile must be strictly between 0 and 1, got {self.quantile}."
            )

    def value(self, raw: Tensor, target: Tensor) -> Tensor:
        residual = target - raw
        return torch.maximum(self.quantile * residual, (self.quantile - 1) * residual).sum(-1)

    def gradient(self, raw: Tensor, target: Tensor) -> Tensor:
        residual = target - raw
        # 0 where the residual is 0, as sign is.
        return (0.5 - self.quantile) * residual.sign().square() - 0.5 * residual.sign()


@dataclass(frozen=True)
class Poisson(Loss):
    """Half the Poisson deviance of exp(f): ``Σ_k exp(f_k) − y_k f_k + y_k log y_k − y_k``.

    Predicts counts and other non-negative means. `y` must not be negative.
    """

    out_activation = "exp"

    def value(self, raw: Tensor, target: Tensor) -> Tensor:
        constant = torch.xlogy(target, target) - target
        return (raw.exp() - target * raw + constant).sum(-1)

    def gradient(self, raw: Tensor, target: Tensor) -> Tensor:
        return raw.exp() - target

    def check_target(self, y: np.ndarray) -> None:
        if (y < 0).any():
            raise ValueError(
                "loss='poisson' needs y ≥ 0, but y has negative values. Use another loss, or "
                "shift or clip y."
            )


@dataclass(frozen=True)
class Logistic(Loss):
    """Log-loss of independent labels, ``Σ_k log(1 + exp(f_k)) − y_k f_k``, y_k in {0, 1}.

    One output for two classes, one per label for multilabel targets.
    """

    out_activation = "logistic"

    def value(self, raw: Tensor, target: Tensor) -> Tensor:
        return (softplus(raw) - target * raw).sum(-1)

    def gradient(self, raw: Tensor, target: Tensor) -> Tensor:
        return raw.sigmoid() - target

    def gradient_(self, raw: Tensor, target: Tensor) -> Tensor:
        return raw.sigmoid_().sub_(target)

    def log_predict(self, raw: Tensor) -> Tensor:
        """Return the log-probabilities of the labels, accurate where they are tiny."""
        return logsigmoid(raw)


@dataclass(frozen=True)
class Multinomial(Loss):
    """Log-loss of the softmax, ``log Σ_j exp(f_j) − f_y``.

    The target is the index of the class, an integer tensor of shape (n_samples, 1).
    """

    out_activation = "softmax"

    def value(self, raw: Tensor, target: Tensor) -> Tensor:
        index = target.expand(raw.shape[0], -1, 1)
        return raw.logsumexp(-1) - raw.gather(-1, index).squeeze(-1)

    def gradient(self, raw: Tensor, target: Tensor) -> Tensor:
        index = target.expand(raw.shape[0], -1, 1)
        gradient = raw.softmax(-1)
        return gradient.scatter_add_(-1, index, gradient.new_full((), -1.0).expand_as(index))

    def log_predict(self, raw: Tensor) -> Tensor:
        """Return the log-probabilities of the classes, accurate where they are tiny."""
        return raw.log_softmax(-1)


@dataclass(frozen=True)
class CallableLoss(Loss):
    """A user's function ``loss(y_pred, y_true)`` with the identity link.

    Parameters
    ----------
    function : callable
        Takes two tensors of shape (n_samples, n_outputs) and returns one value per sample,
        of shape (n_samples,), or one per sample and output, which are summed. It must be
        differentiable by autograd. Losses of torch do with ``reduction="none"``.

    Examples
    --------
    >>> import torch
    >>> from skreg.losses import CallableLoss
    >>> loss = CallableLoss(torch.nn.MSELoss(reduction="none"))
    >>> loss(torch.tensor([[2.0], [3.0]]), torch.zeros(2, 1))
    tensor([4., 9.])
    """

    function: Callable[[Tensor, Tensor], Tensor]

    def value(self, raw: Tensor, target: Tensor) -> Tensor:
        targets = target.expand_as(raw)
        return torch.stack([self._one_member(f, y) for f, y in zip(raw, targets, strict=True)])

    def _one_member(self, raw: Tensor, target: Tensor) -> Tensor:
        losses = self.function(raw, target)
        if not isinstance(losses, Tensor) or losses.shape[:1] != raw.shape[:1]:
            got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
            raise ValueError(
                f"The callable loss {self.function!r} must return a tensor with one value per "
                f"sample, of shape ({raw.shape[0]},), but returned {got}. Do not average over "
                f"the samples; a torch loss needs reduction='none'."
            )
        return losses.reshape(raw.shape[0], -1).sum(1)

    def gradient(self, raw: Tensor, target: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = raw.detach().requires_grad_()
            return torch.autograd.grad(self.value(leaf, target).sum(), leaf)[0]


#: The losses a regressor takes by name.
REGRESSION_LOSSES: dict[str, Callable[[], Loss]] = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "poisson": Poisson,
    "quantile": Quantile,
}


def make_regression_loss(loss: str | Loss | Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """Return the loss that a regressor's `loss` parameter asks for."""
    if isinstance(loss, str):
        return REGRESSION_LOSSES[loss]()
    if isinstance(loss, Loss):
        return loss
    return CallableLoss(loss)
