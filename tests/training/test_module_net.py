"""The net of a torch module: steps, gradients and penalties are those of the net by hand."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import clone
from torch import nn
from torch_modules import Perceptron

from skreg import RegularizedMLPRegressor, RegularizedNetRegressor
from skreg.losses import SquaredError
from skreg.modules import MLP
from skreg.modules.adapter import SingleNetwork
from skreg.modules.backprop import Backprop
from skreg.penalties import L1, L2, ElasticNet
from skreg.training.data import TensorData
from skreg.training.module_net import AutogradPasses, as_stack

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training stopped after:sklearn.exceptions.ConvergenceWarning"
)

_rng = np.random.default_rng(0)
X = _rng.normal(size=(120, 6))
Y = X[:, 0] - 2 * X[:, 1] + 0.1 * _rng.normal(size=120)


def regressor(module=Perceptron, **settings):
    settings = {"learning_rate_init": 0.02, "batch_size": 40, "max_iter": 20, **settings}
    return RegularizedNetRegressor(module, **{"random_state": 0, **settings})


def _started_like(mlp):
    """A torch module with the weights that an MLP estimator starts from."""
    sizes = [6, *np.atleast_1d(mlp.hidden_layer_sizes).astype(int), 1]
    start = clone(mlp).set_params(learning_rate_init=1e-300, max_iter=1, penalty=None)
    start.fit(X, Y)
    layers = []
    for coef, intercept, fan_in, fan_out in zip(
        start.coefs_, start.intercepts_, sizes, sizes[1:], strict=False
    ):
        layer = nn.Linear(fan_in, fan_out, dtype=torch.float64)
        layer.weight.data = torch.from_numpy(coef.T.copy())
        layer.bias.data = torch.from_numpy(intercept.copy())
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize(
    "settings",
    [
        {"penalty": "l1", "alpha": 0.01},
        {"penalty": ElasticNet(0.01, 0.5), "solver": "sgd"},
        {"penalty": "l2", "alpha": 0.01, "penalty_method": "decoupled"},
        {"penalty": "l1", "alpha": 0.01, "penalty_method": "subgradient"},
        {"penalty": "l1", "alpha": 0.01, "penalize_bias": True, "learning_rate": "invscaling"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("weights", [None, np.arange(120.0)], ids=["even", "weighted"])
def test_the_same_network_takes_the_same_steps_as_the_mlp_by_hand(settings, weights):
    common = {
        "learning_rate_init": 0.01,
        "batch_size": 50,
        "max_iter": 15,
        "shuffle": False,
        "random_state": 0,
        **settings,
    }
    mlp = RegularizedMLPRegressor((7,), **common)
    net = RegularizedNetRegressor(_started_like(mlp), **common).fit(X, Y, weights)
    mlp.fit(X, Y, weights)
    assert_allclose(net.loss_curve_, mlp.loss_curve_, rtol=1e-9)
    assert_allclose(net.penalty_curve_, mlp.penalty_curve_, rtol=1e-9)
    assert_allclose(net.predict(X), mlp.predict(X), rtol=1e-7)
    assert net.sparsity_ == mlp.sparsity_


def test_frozen_parameters_are_neither_trained_nor_penalized():
    module = Perceptron(6, 1)
    module.hidden.requires_grad_(False)
    before = module.hidden.weight.clone()
    for solver in ("adam", "fista"):
        model = regressor(module, penalty="l1", alpha=0.1, solver=solver, max_iter=30)
        model.fit(X, Y)
        assert torch.equal(model.module_.hidden.weight.float(), before)
        assert model.penalized_parameters_ == ["out.weight"]
    with pytest.raises(ValueError, match="Perceptron has no parameters to train"):
        regressor(module.requires_grad_(False)).fit(X, Y)


def test_weights_are_seen_with_an_axis_of_members_and_inputs_first():
    for layer in (nn.Linear(3, 8), nn.Conv2d(3, 8, 5), nn.BatchNorm1d(8)):
        for parameter in layer.parameters():
            view = as_stack(parameter.detach())
            assert view.data_ptr() == parameter.data_ptr()
            assert len(view) == 1
            expected = parameter.transpose(0, 1) if parameter.ndim > 1 else parameter
            assert torch.equal(view[0], expected)
    assert as_stack(torch.tensor(3.0)).shape == (1, 1)


@pytest.mark.parametrize("weights", [None, torch.arange(7.0, dtype=torch.float64)])
def test_gradients_by_autograd_are_those_by_hand(weights):
    layer, mlp = nn.Linear(6, 2).double(), MLP(6, (), 2, dtype=torch.float64)
    with torch.no_grad():
        mlp.weights[0][0].copy_(layer.weight.T)
        mlp.bias.copy_(layer.bias)
    unused = nn.Parameter(torch.ones(3, dtype=torch.float64))
    loss, parameters = SquaredError(), [*layer.parameters(), unused]
    passes = AutogradPasses(SingleNetwork(layer, 2), loss, parameters)
    rows, y = torch.from_numpy(X[:7]), torch.from_numpy(X[7:14, :2])
    by_hand = Backprop(mlp, loss)
    torch.testing.assert_close(passes(rows, y, weights), by_hand(rows, y, weights))
    weight, bias, none = passes.gradients
    torch.testing.assert_close(weight.flatten(1), by_hand.gradients[0])
    torch.testing.assert_close(bias, by_hand.gradients[1])
    assert torch.equal(none, torch.zeros(1, 3, dtype=torch.float64))


class TestPenaltiesByName:
    def fitted(self, **settings):
        return regressor(penalty={"hidden.*": L1(0.1), "*": L2(0.2)}, **settings).fit(X, Y)

    def test_each_counts_by_its_strength(self):
        net = self.fitted().net_
        assert net.penalized_names() == ["hidden.weight", "out.weight"]
        hidden, out = net.penalized_weights()
        expected = 0.1 * hidden.abs().sum() + 0.1 * out.square().sum()
        torch.testing.assert_close(net.penalty_values(), expected.detach().reshape(1))

    def test_another_one_is_put_on_the_same_parameters(self):
        net = self.fitted().net_
        net.set_penalty({"out.*": L1(0.3)})
        groups = dict(zip(net._names, net.optimizer_.param_groups, strict=True))
        kinds = {name: repr(group["penalty"]) for name, group in groups.items()}
        assert kinds.pop("out.weight") == "L1(alpha=0.3)"
        assert set(kinds.values()) == {"None"}

    def test_the_residual_is_zero_where_nothing_is_left_to_gain(self):
        settings = {"solver": "fista", "tol": 1e-10, "max_iter": 5000}
        net = regressor(nn.Linear(6, 1), penalty={"*": L1(0.1)}, **settings).fit(X, Y).net_
        data = TensorData(X, Y[:, None])
        assert net.optimality_residual(data) < 1e-8
        with torch.no_grad():
            net.module_.network.weight += 0.1
        assert net.optimality_residual(data) > 1e-3


def test_the_largest_product_is_that_of_the_largest_weight():
    net = regressor(Perceptron, module__hidden=50).fit(X, Y).net_
    assert net.multiplications(1000) == 40 * 50 * 6
    assert net.multiplications(10) == 10 * 50 * 6
