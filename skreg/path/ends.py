"""The alpha at which nothing is left, by search.

Without hidden layers there is an answer to any number of digits: the smallest alpha for which
a proximal step from the model without features stays there. For the lasso that search finds
max|Xᵀ(y − ȳ)|/n, and it works for every loss and penalty alike.

With hidden layers the network without features is stationary at every alpha, and which alpha
kills a network depends on the network. So it is tried: a copy of the trained network
goes through doubling alphas until it has no feature left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skreg.path.walk import PathNetwork, Walk
from skreg.training.data import TensorData
from skreg.training.passes import mean_losses_and_gradients

# Relative width of the bracket that bisection ends with is 2⁻⁴⁰; between neighbouring
# powers of two, up from the smallest share of the gradient that could matter.
_HALVINGS = 40
_SMALL_STEP = 1e-3
_ENORMOUS = 1e9
# A sweep begins where the penalty is this small a share of the loss of a constant.
_FAINT = 1e-5
_MAX_DOUBLINGS = 60
_SPELLS = 2


def alpha_max_of_linear(walk: Walk, rows: TensorData) -> np.ndarray:
    """Smallest alpha of each member at which a linear model has no features.

    Leaves the walk's members without features and with the best constant predictions.
    """
    network = walk.network
    gradient = _to_constant(walk, rows)
    low = np.zeros(walk.n_members)
    high = np.full(walk.n_members, 1e-12)
    while (alive := network.leaves_zero(high, _SMALL_STEP, gradient)).any():
        low, high = np.where(alive, high, low), np.where(alive, 2 * high, high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        alive = network.leaves_zero(middle, _SMALL_STEP, gradient)
        low, high = np.where(alive, middle, low), np.where(alive, high, middle)
    return high


def check_zeros(network: PathNetwork, penalty: Any) -> None:
    """Raise ValueError where a network's penalty would never leave exactly nothing.

    Parameters
    ----------
    network : PathNetwork
        Of one member, which need not be trained.
    penalty : str, Penalty or dict
        What the user calls the network's penalty.
    """
    own = network.net.penalty
    leaves = network.leaves_zero(np.full(1, _ENORMOUS), _SMALL_STEP).any()
    network.net.set_penalty(own)
    if leaves:
        ratio = getattr(own, "l1_ratio", None)
        raise ValueError(
            f"penalty={penalty!r}{'' if ratio is None else f' with l1_ratio={ratio}'} removes "
            f"no features, however strong, so that there is no alpha to end a path at. Give "
            f"alphas as an array, or use a penalty that selects: 'l1', 'elasticnet', "
            f"'group_mcp'."
        )


@torch.no_grad()
def _to_constant(walk: Walk, rows: TensorData) -> Tensor:
    """Make every member the best constant; return the gradient of its weights there."""
    network = walk.network
    passes, weight, bias = network.linear_parts(rows)
    weight.zero_()
    if bias is not None:
        bias.zero_()
    gradients: list[Tensor] = []

    def evaluate() -> Tensor:
        nonlocal gradients
        losses, gradients = mean_losses_and_gradients(passes, rows, walk.net.batch_size)
        if bias is not None:
            bias.grad = gradients[1].reshape(bias.shape)
        return losses.sum()

    if bias is not None and not walk.net.penalize_bias:
        optimizer = torch.optim.LBFGS(
            [bias],
            max_iter=200,
            tolerance_grad=1e-10,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )
        optimizer.step(evaluate)
        bias.grad = None
    evaluate()
    if bias is not None:
        bias.grad = None
    return gradients[0]


def sweep_to_nothing(walk: Walk, loss_of_constant: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Double alpha until no member has a feature left, then put the weights back.

    Returns
    -------
    alpha_first, alpha_max : ndarray of shape (n_members,)
        At which each member had lost its first feature, and its last.
    """
    saved = walk.weights()
    alphas = _FAINT * loss_of_constant
    first = np.full(walk.n_members, np.nan)
    done = np.zeros(walk.n_members, dtype=bool)
    for _ in range(_MAX_DOUBLINGS):
        walk.train_at(alphas, _SPELLS)
        selected = walk.selected()
        first = np.where(np.isnan(first) & ~selected.all(1), alphas, first)
        done |= ~selected.any(1)
        if done.all():
            break
        alphas = np.where(done, alphas, 2 * alphas)
    walk.restart(saved)
    return first, alphas
