"""The stacked MLP: each member is the network it would be alone."""

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPRegressor
from torch import nn

from skreg.modules import MLP
from skreg.modules.activations import ACTIVATIONS


def stack_and_alone(**settings):
    stack = MLP(4, (5, 3), 2, n_members=3, random_state=[1, 2, 3], **settings)
    return stack, [MLP(4, (5, 3), 2, random_state=seed, **settings) for seed in (1, 2, 3)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_stack_computes_what_its_members_compute_alone(activation):
    stack, alone = stack_and_alone(activation=activation, dtype=torch.float64)
    shared = torch.randn(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    apart = torch.stack([shared, shared + 1, shared - 1])
    for member, network in enumerate(alone):
        torch.testing.assert_close(stack(shared)[member], network(shared)[0])
        torch.testing.assert_close(stack(apart)[member], network(apart[member])[0])


def test_gradients_of_a_stack_are_those_of_its_members():
    stack, alone = stack_and_alone(dtype=torch.float64)
    x = torch.randn(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    stack(x).square().sum().backward()
    for member, network in enumerate(alone):
        network(x).square().sum().backward()
        for stacked, single in zip(stack.parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(stacked.grad[member], single.grad[0])


def test_equals_a_torch_network_of_linear_layers():
    mlp = MLP(4, (5,), 2, activation="tanh", random_state=0)
    layers = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    with torch.no_grad():
        for linear, weight, bias in zip(layers[::2], mlp.weights, mlp.biases, strict=True):
            linear.weight.copy_(weight[0].T)
            linear.bias.copy_(bias[0])
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mlp(x)[0], layers(x))


@pytest.mark.parametrize("activation", ["relu", "logistic"])
def test_starts_from_scikit_learns_weights(activation):
    # One epoch at a rate of next to nothing leaves MLPRegressor at its initial weights.
    theirs = MLPRegressor(
        hidden_layer_sizes=(5, 3),
        activation=activation,
        learning_rate_init=1e-300,
        random_state=7,
    )
    theirs.partial_fit(np.zeros((2, 4)), np.zeros((2, 2)))
    ours = MLP(4, (5, 3), 2, activation=activation, random_state=7, dtype=torch.float64)
    for weight, bias, coef, intercept in zip(
        ours.weights, ours.biases, theirs.coefs_, theirs.intercepts_, strict=True
    ):
        np.testing.assert_array_equal(weight[0].detach().numpy(), coef)
        np.testing.assert_array_equal(bias[0].detach().numpy(), intercept)


def test_the_same_start_in_both_precisions_and_for_a_shared_seed():
    single = MLP(4, (5,), 1, random_state=0)
    double = MLP(4, (5,), 1, random_state=0, dtype=torch.float64)
    assert torch.equal(single.weights[0], double.weights[0].float())
    shared = MLP(4, (5,), 1, n_members=2, random_state=0)
    assert torch.equal(shared.weights[0][0], shared.weights[0][1])


def test_no_hidden_layer_is_a_linear_model():
    mlp = MLP(3, (), 2, random_state=0)
    x = torch.eye(3)
    torch.testing.assert_close(mlp(x)[0], mlp.weights[0][0] + mlp.biases[0][0])


class TestDropout:
    def test_is_off_in_evaluation(self):
        mlp = MLP(4, (50,), 1, dropout=0.5, random_state=0).eval()
        assert torch.equal(mlp(torch.ones(3, 4)), mlp(torch.ones(3, 4)))

    def test_keeps_the_mean_and_zeroes_the_share(self):
        mlp = MLP(4, (50,), 1, dropout=0.3, random_state=0)
        mask = mlp._dropout_mask(torch.ones(1, 4000, 50), [torch.Generator().manual_seed(0)])
        assert mask.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
        assert mask.mean().item() == pytest.approx(1.0, abs=0.01)

    def test_each_member_draws_from_its_own_generator(self):
        stack = MLP(4, (50,), 1, dropout=0.3, n_members=2, random_state=0)
        alone = MLP(4, (50,), 1, dropout=0.3, random_state=0)
        x = torch.ones(3, 4)
        together = stack(x, [torch.Generator().manual_seed(seed) for seed in (1, 2)])
        for member, seed in enumerate((1, 2)):
            expected = alone(x, [torch.Generator().manual_seed(seed)])
            torch.testing.assert_close(together[member], expected[0])

    def test_without_generators_takes_torchs(self):
        mlp = MLP(4, (50,), 1, dropout=0.3, random_state=0)
        state = torch.get_rng_state()
        mlp(torch.ones(3, 4))
        assert not torch.equal(state, torch.get_rng_state())
        torch.set_rng_state(state)
