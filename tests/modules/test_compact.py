"""A smaller network computes the same, and nothing dead is left in it."""

import copy
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from skreg.modules import MLP
from skreg.modules.activations import ACTIVATIONS
from skreg.modules.compact import compact_layers, compact_mlp


@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    share_zero=st.sampled_from([0.0, 0.3, 0.6, 0.8, 0.95, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_layers_compute_the_same_and_nothing_dead_is_left(sizes, activation, share_zero, seed):
    rng = np.random.default_rng(seed)
    mlp = MLP(sizes[0], sizes[1:-1], sizes[-1], activation=activation, dtype=torch.float64)
    with torch.no_grad():
        mlp.weight.mul_(torch.from_numpy(rng.random(mlp.weight.shape) >= share_zero))
        mlp.bias.copy_(torch.from_numpy(rng.normal(size=mlp.bias.shape)))
    x = torch.from_numpy(rng.normal(size=(8, sizes[0])))
    before = copy.deepcopy(mlp.state_dict())
    small, inputs = compact_mlp(mlp)
    torch.testing.assert_close(small(x[:, inputs]), mlp(x), rtol=1e-12, atol=1e-12)
    assert all(torch.equal(before[name], now) for name, now in mlp.state_dict().items())

    # By the gradient, where it cannot vanish by chance: those inputs matter, and no others.
    smooth = MLP(sizes[0], sizes[1:-1], sizes[-1], activation="identity", dtype=torch.float64)
    with torch.no_grad():
        smooth.weight.copy_(mlp.weight.abs())
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(smooth(x).sum(), x)
    assert inputs.tolist() == gradient[0].nonzero().ravel().tolist()
    for into, out_of in pairwise(small.weights):
        assert (into[0] != 0).any(0).all()
        assert (out_of[0] != 0).any(1).all()
    again, same = compact_mlp(small)
    assert torch.equal(again.weight, small.weight)
    assert same.tolist() == list(range(len(inputs)))


def test_constants_go_through_several_layers():
    # No input enters the first layer's second neuron, and none but it the second layer's.
    weights = [
        torch.tensor([[1.0, 0.0]]),
        torch.tensor([[2.0, 0.0], [0.0, 3.0]]),
        torch.tensor([[1.0], [1.0]]),
    ]
    biases = [torch.tensor([0.0, 0.5]), torch.tensor([0.0, 0.25]), torch.tensor([10.0])]
    inputs, small, folded = compact_layers(weights, biases, "tanh")
    assert inputs.tolist() == [0]
    assert [tuple(weight.shape) for weight in small] == [(1, 1), (1, 1), (1, 1)]
    expected = 10 + np.tanh(0.25 + 3 * np.tanh(0.5))
    assert folded[-1].item() == pytest.approx(expected, rel=1e-6)
