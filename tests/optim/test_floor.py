"""The floor of Adam's second moment: no penalty wipes what has had no gradient yet."""

import copy

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from strategies import tensors
from torch import nn

from skreg import RegularizedMLPRegressor, RegularizedNetRegressor
from skreg.optim import ProximalAdam
from skreg.optim.floor import OF_ALPHA, OF_GRADIENT
from skreg.penalties import L1, L2, GroupLasso
from skreg.penalties.base import Layout
from skreg.penalties.by_name import PENALTIES, make_penalty
from skreg.penalties.groupwise import GroupPenalty

LR = 1e-3


def take_steps(penalty, weight, gradients, **settings):
    """Take a step along each gradient; return the parameter and the optimizer."""
    parameter = weight.clone().requires_grad_()
    optimizer = ProximalAdam([parameter], penalty=penalty, **{"lr": LR, **settings})
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach(), optimizer


def moved_by_gradient(before, optimizer, penalty):
    """Where the last gradient step ended, and the step of each weight, from Adam's state."""
    (parameter,) = optimizer.param_groups[0]["params"]
    state = optimizer.state[parameter]
    t, square = state["step"].item(), state["exp_avg_sq"]
    if isinstance(penalty, GroupPenalty):
        square = square.unsqueeze(-1).expand_as(before)
    step = LR / ((square / (1 - 0.999**t)).sqrt() + 1e-8)
    return before - step * state["exp_avg"] / (1 - 0.9**t), step


class TestOneStep:
    @pytest.mark.parametrize("name", PENALTIES)
    @given(
        weight=tensors(shape=(1, 4, 3)),
        gradient=tensors(shape=(1, 4, 3)),
        size=st.sampled_from([0.0, 1e-20, 1e-6, 1.0]),
        silent=st.integers(0, 4),
        alpha=st.sampled_from([1e-6, 1e-4, 0.1, 10.0]),
        n_steps=st.sampled_from([1, 2, 8, 9]),
    )
    def test_a_penalty_moves_a_weight_no_further_than_the_docs_say(
        self, name, weight, gradient, size, silent, alpha, n_steps
    ):
        gradient = gradient * size
        gradient[:, :silent] = 0.0  # these inputs have had no gradient yet
        penalty = make_penalty(name, alpha, 0.5)
        before, _ = take_steps(penalty, weight, [gradient] * (n_steps - 1))
        after, optimizer = take_steps(penalty, weight, [gradient] * n_steps)
        start, step = moved_by_gradient(before, optimizer, penalty)
        rms = gradient.square().mean().sqrt().item()
        longest = min(LR / (OF_ALPHA * alpha), LR / max(OF_GRADIENT * rms, 1e-300))
        assert (step <= longest * (1 + 1e-9)).all()
        # A proximal operator moves the further the longer its step is.
        furthest = (penalty.prox(start, longest) - start).norm()
        assert (after - start).norm() <= furthest * (1 + 1e-9) + 1e-12
        if name == "l1":
            assert ((after - start).abs() <= 100 * LR * (1 + 1e-9)).all()
        if name == "l2":
            # The smallest numbers of all may be rounded to 0.
            assert (after.abs() + 1e-300 >= start.abs() / (1 + 100 * LR) * (1 - 1e-9)).all()

    @pytest.mark.parametrize("penalty", [L1(0.3), L2(0.3), GroupLasso(0.3)])
    @pytest.mark.parametrize("beta_2", [0.999, 0.99, 0.5, 0.0])
    def test_the_second_moment_is_what_the_docs_say(self, penalty, beta_2):
        gradients = [torch.randn(1, 4, 3, dtype=torch.float64) for _ in range(11)]
        _, optimizer = take_steps(
            penalty, torch.ones(1, 4, 3).double(), gradients, betas=(0.9, beta_2)
        )
        expected = 0.0
        for number, gradient in enumerate(gradients):
            squares = gradient.square()
            if isinstance(penalty, GroupPenalty):
                squares = squares.mean(2)
            floor = 0.05**2 * gradient.square().mean() + (0.01 * 0.3) ** 2
            if beta_2 == 0.999:
                floor = 8 / 0.999**7 * floor if number in (0, 8) else 0.0
            expected = beta_2 * expected + (1 - beta_2) * (squares + floor)
        (state,) = optimizer.state.values()
        torch.testing.assert_close(state["exp_avg_sq"], expected, rtol=1e-12, atol=0)

    @pytest.mark.parametrize("kind", [L1, L2, GroupLasso])
    @pytest.mark.parametrize("flat", [False, True])
    def test_each_member_of_a_stack_has_its_own(self, kind, flat):
        # Gradients of very different sizes, and one alpha for all: only `stacked` tells.
        gradients = [torch.randn(3, 4, 2).double() for _ in range(4)]
        gradients = [g * torch.tensor([1.0, 1e-3, 0.0]).reshape(3, 1, 1) for g in gradients]
        weight = torch.randn(3, 4, 2).double()
        penalty = kind(0.01).bind(Layout([(4, 2)])) if flat else kind(0.01)
        shape = (-1, 8) if flat else (-1, 4, 2)

        def train(members):
            together = [g[members].reshape(shape) for g in gradients]
            start = weight[members].reshape(shape)
            return take_steps(penalty, start, together, stacked=True)[0]

        together = train(slice(None))
        for member in range(3):
            alone = train(slice(member, member + 1))
            torch.testing.assert_close(together[member], alone[0], rtol=1e-12, atol=1e-15)

    @pytest.mark.parametrize("kinds", [(L1, L2), (L1, GroupLasso), (GroupLasso, GroupLasso)])
    def test_the_mean_is_over_all_weights_with_a_penalty(self, kinds):
        shapes = [(1, 4, 3), (1, 2, 2), (5,)]
        weights = [torch.ones(shape, dtype=torch.float64) for shape in shapes]
        for weight, size in zip(weights, (1.0, 100.0, 1e6), strict=True):
            weight.grad = size * torch.randn(weight.shape, dtype=torch.float64)
        groups = [
            {"params": [weight], "penalty": kind(0.3)}
            for weight, kind in zip(weights, kinds, strict=False)
        ]
        optimizer = ProximalAdam([*groups, {"params": weights[2:]}])
        optimizer.step()
        mean = torch.cat([w.grad.flatten() for w in weights[:2]]).square().mean()
        for weight, kind in zip(weights, kinds, strict=False):
            squares = weight.grad.square()
            squares = squares.mean(2) if kind is GroupLasso else squares
            floor = 0.05**2 * mean + (0.01 * 0.3) ** 2
            expected = 1e-3 * (squares + 8 / 0.999**7 * floor)
            torch.testing.assert_close(optimizer.state[weight]["exp_avg_sq"], expected)
        unpenalized = optimizer.state[weights[2]]["exp_avg_sq"]
        torch.testing.assert_close(unpenalized, 1e-3 * weights[2].grad.square())

    def test_with_an_alpha_of_zero_it_is_adam(self):
        gradients = [torch.randn(2, 5) for _ in range(20)]
        weight = torch.randn(2, 5)
        unpenalized, _ = take_steps(None, weight, gradients)
        both, _ = take_steps(L1([0.0, 0.1]), weight, gradients)
        torch.testing.assert_close(both[0], unpenalized[0])
        assert not torch.allclose(both[1], unpenalized[1])

    @pytest.mark.parametrize("penalty", [L1(0.1), None])
    def test_gradients_may_be_laid_out_otherwise_than_the_weights(self, penalty):
        gradient, weight = torch.randn(5, 3).t(), torch.randn(3, 5)
        one, _ = take_steps(penalty, weight, [gradient.contiguous()])
        other, _ = take_steps(penalty, weight, [gradient])  # which clone keeps
        torch.testing.assert_close(one, other)


def torch_copy(model):
    """The network of a fitted regressor with one hidden layer as torch's own layers."""
    layers = [nn.Linear(*w.shape).double() for w in model.coefs_]
    with torch.no_grad():
        for layer, w, b in zip(layers, model.coefs_, model.intercepts_, strict=True):
            layer.weight.copy_(torch.from_numpy(w.T.copy()))
            layer.bias.copy_(torch.from_numpy(b))
    return nn.Sequential(layers[0], nn.ReLU(), layers[1])


def adam_with_weight_decay(network, alpha):
    weights = [p for p in network.parameters() if p.ndim > 1]
    biases = [p for p in network.parameters() if p.ndim == 1]
    groups = [{"params": weights, "weight_decay": alpha}, {"params": biases}]
    return torch.optim.Adam(groups, lr=LR)


def train_epoch(network, optimizer, X, y, batch_size):
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    for start in range(0, len(X), batch_size):
        rows = slice(start, start + batch_size)
        optimizer.zero_grad()
        (0.5 * (network(X[rows]).squeeze(1) - y[rows]).square().mean()).backward()
        optimizer.step()


X_rows = np.random.default_rng(0).normal(size=(200, 10))
y_rows = X_rows[:, 0] + np.sin(X_rows[:, 1])


def n_dead(into, out):
    """Neurons whose weights on both sides are next to nothing; `into` is (fan_in, fan_out)."""
    return int(((np.abs(into).max(0) < 1e-3) & (np.abs(out).max(1) < 1e-3)).sum())


class TestWhatHasHadNoGradient:
    """At the default penalty, and torch's Adam with the same strength."""

    def test_no_neuron_dies_row_by_row(self):
        model = RegularizedMLPRegressor((50,), random_state=0)
        start = copy.deepcopy(model).partial_fit(X_rows[:1], y_rows[:1])
        network = torch_copy(start)
        optimizer = adam_with_weight_decay(network, 1e-4)
        for row in range(len(X_rows)):
            rows = slice(row, row + 1)
            model.partial_fit(X_rows[rows], y_rows[rows])
            train_epoch(network, optimizer, X_rows[rows], y_rows[rows], 1)
        theirs = n_dead(*(layer.weight.detach().numpy().T for layer in network[::2]))
        assert n_dead(*model.coefs_) == theirs == 0

    @pytest.mark.parametrize("penalty", ["l2", "l1"])
    def test_no_neuron_dies_in_batches_of_one(self, penalty):
        model = RegularizedMLPRegressor((50,), batch_size=1, max_iter=1, random_state=0)
        unpenalized = copy.deepcopy(model).set_params(penalty=None)
        with pytest.warns(UserWarning, match="max_iter=1"):
            model.set_params(penalty=penalty).fit(X_rows, y_rows)
        with pytest.warns(UserWarning, match="max_iter=1"):
            unpenalized.fit(X_rows, y_rows)
        assert n_dead(*model.coefs_) == n_dead(*unpenalized.coefs_) == 0

    @pytest.mark.parametrize("penalty", ["l2", "l1", "group_lasso", "mcp"])
    def test_a_rare_category_keeps_its_effect_over_warm_starts(self, penalty):
        rng = np.random.default_rng(0)
        Z = rng.normal(size=(1000, 6))
        Z[:, 5] = 0.0
        Z[rng.choice(1000, 5, replace=False), 5] = 1.0
        target = Z[:, 0] + 5 * Z[:, 5]
        model = RegularizedMLPRegressor(
            (50,),
            penalty=None,
            learning_rate_init=0.01,
            batch_size=50,
            tol=1e-9,
            random_state=0,
        ).fit(Z, target)
        network = torch_copy(model)

        rare = Z[Z[:, 5] == 1]

        def effect(predict):
            return np.mean(predict(rare) - predict(rare * [1, 1, 1, 1, 1, 0]))

        assert effect(model.predict) == pytest.approx(5.0, abs=0.2)
        model.set_params(penalty=penalty, warm_start=True, max_iter=1, learning_rate_init=LR)
        for _ in range(3):
            with pytest.warns(UserWarning, match="max_iter=1"):
                model.fit(Z, target)
            # Each warm start begins with an optimizer that knows no gradient.
            train_epoch(network, adam_with_weight_decay(network, 1e-4), Z, target, 50)
        theirs = effect(lambda rows: network(torch.from_numpy(rows)).detach().numpy())
        assert abs(effect(model.predict) - theirs) < 0.15
        assert effect(model.predict) > 4.7

    @pytest.mark.parametrize("penalty", ["l2", "l1", "group_lasso"])
    def test_rows_of_an_embedding_that_no_batch_holds(self, penalty):
        rng = np.random.default_rng(0)
        ids = rng.integers(0, 700, size=(4000, 1)).astype(np.float32)
        target = rng.normal(size=1000)[ids[:, 0].astype(int)].astype(np.float32)
        model = RegularizedNetRegressor(
            Embedding, penalty=penalty, penalized="table.weight", max_iter=1, random_state=0
        )
        free = copy.deepcopy(model).set_params(penalty=None, penalized=None)
        for each in (model, free):
            with pytest.warns(UserWarning, match="max_iter=1"):
                each.fit(ids, target)
        pretrained = free.module_.table.weight.detach()[700:]
        network = copy.deepcopy(free.module_)
        optimizer = torch.optim.Adam(network.table.parameters(), lr=LR, weight_decay=1e-4)
        train_epoch(network, optimizer, ids, target, 200)

        def lost(module):
            return 1 - (module.table.weight.detach()[700:].norm() / pretrained.norm()).item()

        assert 0 < lost(model.module_) < 10 * lost(network)

    @pytest.mark.parametrize("penalty", ["l1", "elasticnet", "group_lasso"])
    def test_a_unit_that_never_has_a_gradient_drops_out(self, penalty):
        # An input that is 0 in every row, as a dead relu is to the next layer.
        weight = torch.full((1, 6, 4), 0.3, dtype=torch.float64, requires_grad=True)
        x = torch.randn(40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        x[:, 3] = 0.0
        optimizer = ProximalAdam([weight], lr=0.01, penalty=make_penalty(penalty, 0.05, 0.5))
        for _ in range(300):
            optimizer.zero_grad()
            (0.5 * (x @ weight[0] - x[:, :4]).square().sum(1).mean()).backward()
            optimizer.step()
        assert (weight[0, 3] == 0).all()
        assert (weight[0, 0] != 0).any()


class Embedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(1000, 16)
        self.out = nn.Linear(16, 1)

    def forward(self, rows):
        return self.out(self.table(rows[:, 0].long()))
