"""Proximal stochastic gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from skreg.optim.base import PenalizedOptimizer, along_members
from skreg.penalties import Penalty


class ProximalSGD(PenalizedOptimizer):
    r"""Proximal stochastic gradient descent, with momentum.

    Takes the place of ``torch.optim.SGD`` and follows it to the bit where there is no
    penalty. After t steps a constant gradient moves the weight by
    :math:`s_t = \mathrm{lr}\,(1 + β + … + β^{t-1})` times itself, and so the prox has the
    step :math:`s_t`.

    Parameters
    ----------
    params : iterable of Tensor or dict
        Parameters or parameter groups. Each group may have a `penalty`: give biases
        and normalization layers a group without one.
    lr : float or Tensor of shape (n_members,), default=1e-3
        Learning rate.
    momentum : float or Tensor of shape (n_members,), default=0.0
        Momentum factor β, in [0, 1).
    nesterov : bool, default=False
        Nesterov's form of momentum.
    penalty : Penalty, default=None
        What is put on the weights.
    penalty_method : {"proximal", "subgradient", "decoupled"}, default="proximal"
        Proximal step after the gradient step; subgradient added to the gradient; or weights
        scaled by 1 − lr·alpha, for L2 alone.

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964. Yang,
    Yuan, Chatzinotas & Ottersten, "ProxSGD: training structured neural networks under
    regularization and constraints", 2020.

    Examples
    --------
    >>> import torch
    >>> from skreg.optim import ProximalSGD
    >>> from skreg.penalties import L1
    >>> weight = torch.tensor([0.05, 1.0], requires_grad=True)
    >>> optimizer = ProximalSGD([weight], lr=0.1, penalty=L1(alpha=1.0))
    >>> weight.sum().backward()
    >>> optimizer.step()                       # minus lr·1 for the gradient, then the prox
    >>> weight
    tensor([0.0000, 0.8000], requires_grad=True)
    """

    name = "sgd"
    per_member = ("lr", "momentum")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float | Tensor = 0.0,
        nesterov: bool = False,
        *,
        penalty: Penalty | None = None,
        penalty_method: str = "proximal",
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "penalty": penalty,
            "penalty_method": penalty_method,
        }
        super().__init__(params, defaults)

    def _gradient_step(
        self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]
    ) -> None:
        lr = along_members(group["lr"], parameter)
        momentum = along_members(group["momentum"], parameter)
        if not isinstance(momentum, Tensor) and momentum == 0:
            parameter.sub_(lr * gradient)
            return
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
            state["mass"] = 0.0
        velocity = state["momentum_buffer"].mul_(momentum).add_(gradient)
        # What the buffer would hold had every gradient been 1.
        state["mass"] = momentum * state["mass"] + 1.0
        if group["nesterov"]:
            velocity = gradient + momentum * velocity
        parameter.sub_(lr * velocity)

    def _proximal_step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        lr = along_members(group["lr"], parameter)
        mass = self.state[parameter].get("mass", 1.0)
        if group["nesterov"]:
            mass = 1.0 + along_members(group["momentum"], parameter) * mass
        parameter.copy_(group["penalty"].prox(parameter, lr * mass))
