"""Adam with one step size for each group of weights."""

import numpy as np
import pytest
import torch

from skreg.optim import ProximalAdam
from skreg.optim.floor import OF_ALPHA, OF_GRADIENT
from skreg.penalties import L1, GroupLasso, GroupMCP

rng = np.random.default_rng(0)
X = torch.from_numpy(rng.normal(size=(60, 4)))
Y = X @ torch.tensor([[2.0, -1.0], [1.0, 1.0], [0.0, 0.0], [0.05, 0.0]], dtype=torch.float64)
Y = Y + 0.5 * torch.from_numpy(rng.normal(size=(60, 2)))


def gradient(weight):
    return X.T @ (X @ weight - Y) / len(X)


def test_one_step_size_per_group_for_gradient_and_prox():
    # Written out: the second moment is the mean over the row, step by step.
    start = torch.from_numpy(rng.normal(size=(2, 4, 2)))
    alphas, rates = torch.tensor([0.05, 0.3]), torch.tensor([0.02, 0.05])
    weight = start.clone().requires_grad_()
    adam = ProximalAdam([weight], lr=rates.double(), penalty=GroupLasso(alphas.double()))
    by_hand = start.clone()
    mean, square = torch.zeros_like(start), torch.zeros(2, 4, 1, dtype=torch.float64)
    for t in range(1, 40):
        weight.grad = gradient(weight.detach())
        adam.step()
        slope = gradient(by_hand)
        mean = 0.9 * mean + 0.1 * slope
        squares = slope.square().mean(2, keepdim=True)
        floor = OF_GRADIENT**2 * squares.mean(1, keepdim=True)
        floor = floor + (OF_ALPHA * alphas.double().reshape(2, 1, 1)).square()
        square = 0.999 * square + 0.001 * (
            squares + (8 / 0.999**7 * floor if t % 8 == 1 else 0.0)
        )
        step = rates.double().reshape(2, 1, 1) / ((square / (1 - 0.999**t)).sqrt() + 1e-8)
        by_hand = by_hand - step * mean / (1 - 0.9**t)
        threshold = step * alphas.double().reshape(2, 1, 1) * 2**0.5
        norm = by_hand.norm(dim=2, keepdim=True)
        by_hand = by_hand * (1 - threshold / norm).clamp(min=0)
    torch.testing.assert_close(weight.detach(), by_hand, rtol=1e-10, atol=1e-12)
    assert (weight == 0).any()


def test_the_penalty_may_be_exchanged_on_the_way():
    weight = torch.ones(1, 4, 2, dtype=torch.float64, requires_grad=True)
    adam = ProximalAdam([weight], lr=0.01)
    group = adam.param_groups[0]
    shapes = []
    for penalty in (None, GroupLasso(0.1), GroupMCP(0.1), L1(0.1), GroupLasso(0.1), None):
        adam.set_penalty(group, penalty)
        weight.grad = gradient(weight.detach())
        adam.step()
        shapes.append(tuple(adam.state[weight]["exp_avg_sq"].shape))
        assert adam.state[weight]["step"] == len(shapes)
    assert shapes == [(1, 4, 2), (1, 4), (1, 4), (1, 4, 2), (1, 4), (1, 4, 2)]
    # Spread over its row, each average says what it said.
    adam.state[weight]["exp_avg_sq"] = torch.tensor([[[1.0, 3], [2, 2], [0, 0], [4, 0]]])
    adam.set_penalty(group, GroupLasso(0.1))
    assert adam.state[weight]["exp_avg_sq"].tolist() == [pytest.approx([2, 2, 0, 2])]
    adam.set_penalty(group, None)
    spread = adam.state[weight]["exp_avg_sq"]
    torch.testing.assert_close(
        spread[0].float(), torch.tensor([[2.0, 2], [2, 2], [0, 0], [2, 2]])
    )


def test_a_layer_of_torchs_own():
    layer = torch.nn.Linear(4, 3).double()
    adam = ProximalAdam(
        [{"params": [layer.weight], "penalty": GroupLasso(0.3)}, {"params": [layer.bias]}],
        lr=0.02,
    )
    for _ in range(400):
        adam.zero_grad()
        (layer(X) - X[:, :1] - 5).square().mean().backward()
        adam.step()
    assert (layer.weight.norm(dim=0) > 0).tolist() == [True, False, False, False]
    assert (layer.bias > 4).all()


def test_the_subgradient_has_steps_of_each_weight():
    weight = torch.ones(1, 4, 2, dtype=torch.float64, requires_grad=True)
    adam = ProximalAdam(
        [weight], lr=0.01, penalty=GroupLasso(0.1), penalty_method="subgradient"
    )
    copy = weight.detach().clone().requires_grad_()
    torchs = torch.optim.Adam([copy], lr=0.01)
    for _ in range(20):
        weight.grad = gradient(weight.detach())
        adam.step()
        torchs.zero_grad()
        (0.5 * (X @ copy - Y).square().sum() / len(X)).backward()
        GroupLasso(0.1).value([copy]).sum().backward()
        torchs.step()
    torch.testing.assert_close(weight, copy)
