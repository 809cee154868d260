"""The alpha at which nothing is left.

Without hidden layers bisection finds it: the smallest alpha for which a proximal step from the
model without features leaves it there (for the lasso max|Xᵀ(y − ȳ)|/n). With hidden layers the
network without features is stationary at every alpha, and which alpha leaves nothing of a
network depends on the network. So alpha is doubled until no feature is left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skreg.path.follow import PathFollower
from skreg.path.networks import PathNetwork
from skreg.training.data import TensorData
from skreg.training.passes import mean_losses_and_gradients

# The bracket that bisection ends with is 2⁻⁴⁰ of a power of two wide.
_SMALLEST, _HALVINGS = 1e-12, 40
# Step of the proximal step that tells whether anything is left.
_STEP = 1e-3
_ENORMOUS = 1e9
# A sweep begins where the penalty is this small a share of the loss of a constant.
_FAINT = 1e-5
_MAX_DOUBLINGS = 60
_ROUNDS = 2


def alpha_max_of_linear(follower: PathFollower, rows: TensorData) -> np.ndarray:
    """Smallest alpha of each member at which a linear model has no features.

    Leaves the members without features and with the best constant predictions.
    """
    network = follower.network
    gradient = _to_constant(follower, rows)
    low = np.zeros(follower.n_members)
    high = np.full(follower.n_members, _SMALLEST)
    while (alive := network.leaves_zero(high, _STEP, gradient)).any():
        low, high = np.where(alive, high, low), np.where(alive, 2 * high, high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        alive = network.leaves_zero(middle, _STEP, gradient)
        low, high = np.where(alive, middle, low), np.where(alive, high, middle)
    return high


def check_zeros(network: PathNetwork, penalty: Any) -> None:
    """Raise ValueError where the penalty, as the user gave it, never leaves exactly nothing."""
    if network.leaves_zero(np.full(1, _ENORMOUS), _STEP).any():
        ratio = getattr(network.net.penalty, "l1_ratio", None)
        raise ValueError(
            f"penalty={penalty!r}{'' if ratio is None else f' with l1_ratio={ratio}'} removes "
            f"no features, however strong, so that there is no alpha to end a path at. Give "
            f"alphas as an array, or use a penalty that selects: 'l1', 'elasticnet', "
            f"'group_mcp'."
        )


@torch.no_grad()
def _to_constant(follower: PathFollower, rows: TensorData) -> Tensor:
    """Make every member the best constant; return the gradient of its weights there."""
    net = follower.net
    passes, weight, bias = follower.network.linear_parts(rows)
    weight.zero_()
    if bias is not None:
        bias.zero_()
    gradients: list[Tensor] = []

    def evaluate() -> Tensor:
        nonlocal gradients
        losses, gradients = mean_losses_and_gradients(passes, rows, net.batch_size)
        if bias is not None:
            bias.grad = gradients[1].reshape(bias.shape)
        return losses.sum()

    if bias is not None and not net.penalize_bias:
        optimizer = torch.optim.LBFGS(
            [bias],
            max_iter=200,
            tolerance_grad=1e-10,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )
        optimizer.step(evaluate)
    evaluate()
    if bias is not None:
        bias.grad = None
    return gradients[0]


def sweep_to_nothing(
    follower: PathFollower, loss_of_constant: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Double alpha until no member has a feature left, then put the weights back.

    Returns the alphas at which each member had lost its first feature, and its last.
    """
    saved = follower.save()
    alphas = _FAINT * loss_of_constant
    first = np.full(follower.n_members, np.nan)
    done = np.zeros(follower.n_members, dtype=bool)
    for _ in range(_MAX_DOUBLINGS):
        selected = follower.train_at(alphas, _ROUNDS)
        first = np.where(np.isnan(first) & ~selected.all(1), alphas, first)
        done |= ~selected.any(1)
        if done.all():
            break
        alphas = np.where(done, alphas, 2 * alphas)
    follower.restart(saved)
    return first, alphas
