"""What optimizers share: members of a stack, torch's own loop, going on, and bad input."""

import copy
import inspect
import io
import pickle

import pytest
import torch
from optim_data import X, X_t, y, y_t
from sklearn.linear_model import Lasso

from skreg.optim import ProximalAdam, ProximalSGD
from skreg.penalties import L1, L2


class TestMembers:
    """A stack of members takes the steps each would have taken alone."""

    @pytest.mark.parametrize(
        "make",
        [
            lambda p, lr, pen: ProximalSGD(p, lr=lr, momentum=0.9, nesterov=True, penalty=pen),
            lambda p, lr, pen: ProximalAdam(p, lr=lr, penalty=pen),
        ],
        ids=["sgd", "adam"],
    )
    def test_learning_rates_and_alphas_differ(self, make):
        rates, alphas = [0.05, 0.01], [0.1, 0.4]
        start = torch.full((2, 8), 0.1, dtype=torch.float64)

        def train(start, lr, alpha):
            weight = start.clone().requires_grad_()
            optimizer = make([weight], lr, L1(alpha))
            for _ in range(30):
                optimizer.zero_grad()
                (0.5 * (weight @ X_t.T - y_t).square().mean(1)).sum().backward()
                optimizer.step()
            return weight.detach()

        together = train(start, torch.tensor(rates, dtype=torch.float64), alphas)
        for member in range(2):
            alone = train(start[member : member + 1], rates[member], alphas[member])
            torch.testing.assert_close(together[member], alone[0], rtol=1e-12, atol=1e-14)


class TestInAnybodysLoop:
    def layer_and_optimizer(self, **settings):
        torch_rng = torch.get_rng_state()
        layer = torch.nn.Linear(8, 1).double()
        torch.set_rng_state(torch_rng)
        groups = [
            {"params": [layer.weight], "penalty": L1(0.2)},
            {"params": [layer.bias]},
        ]
        return layer, ProximalAdam(groups, lr=0.05, **settings)

    def test_each_group_has_its_own_penalty(self):
        layer, optimizer = self.layer_and_optimizer()
        for _ in range(2000):
            optimizer.zero_grad()
            (0.5 * (layer(X_t).squeeze(1) - y_t - 5).square().mean()).backward()
            optimizer.step()
        assert (layer.weight == 0).sum() >= 3
        # The intercept is not pulled to zero.
        assert layer.bias.item() == pytest.approx(Lasso(0.2).fit(X, y + 5).intercept_, abs=1e-3)

    def test_step_takes_a_closure_and_returns_its_loss(self):
        layer, optimizer = self.layer_and_optimizer()

        def closure():
            optimizer.zero_grad()
            loss = layer(X_t).square().mean()
            loss.backward()
            return loss

        before = layer.weight.clone()
        assert optimizer.step(closure).item() > 0
        assert not torch.equal(before, layer.weight)

    def test_parameters_without_a_gradient_are_left_alone(self):
        weight = torch.ones(3, requires_grad=True)
        ProximalAdam([weight], lr=0.1, penalty=L1(1.0)).step()
        assert weight.tolist() == [1.0, 1.0, 1.0]

    def test_state_dict_round_trip_with_weights_only_continues_bit_for_bit(self):
        layer, optimizer = self.layer_and_optimizer()

        def train(layer, optimizer, n_steps):
            for _ in range(n_steps):
                optimizer.zero_grad()
                (layer(X_t).squeeze(1) - y_t).square().mean().backward()
                optimizer.step()

        train(layer, optimizer, 5)
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        resumed = copy.deepcopy(layer)
        _, fresh = self.layer_and_optimizer()
        fresh.param_groups[0]["params"] = [resumed.weight]
        fresh.param_groups[1]["params"] = [resumed.bias]
        fresh.load_state_dict(torch.load(file, weights_only=True))
        assert fresh.param_groups[0]["penalty"].alpha == 0.2
        train(layer, optimizer, 5)
        train(resumed, fresh, 5)
        assert torch.equal(layer.weight, resumed.weight)

    def test_torchs_schedulers_do(self):
        _, optimizer = self.layer_and_optimizer()
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.1)
        optimizer.step()
        scheduler.step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.005)


OPTIMIZERS = {
    "adam": lambda p, **settings: ProximalAdam(p, lr=0.05, **settings),
    "sgd": lambda p, **settings: ProximalSGD(p, lr=0.02, **settings),
    "momentum": lambda p, **settings: ProximalSGD(p, lr=0.01, momentum=0.9, **settings),
    "nesterov": lambda p, **settings: ProximalSGD(p, 0.01, 0.9, True, **settings),
}
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


class TestGoingOn:
    """Steps from a file, a copy or a pickle of an optimizer are those of the optimizer."""

    def train(self, weights, optimizer, n_steps):
        for _ in range(n_steps):
            optimizer.zero_grad()
            (0.5 * (X_t @ weights[0].mT @ weights[1].mT - y_t.unsqueeze(1)).square()).mean(
                0
            ).sum().backward()
            optimizer.step()
            for group in optimizer.param_groups:
                group["lr"] *= 0.98

    def make(self, make, penalty):
        weights = [
            torch.linspace(-0.5, 0.6, n * m, dtype=torch.float64).reshape(n, m).requires_grad_()
            for n, m in [(4, 8), (1, 4)]
        ]
        groups = [{"params": [weights[0]], "penalty": penalty}, {"params": [weights[1]]}]
        return weights, make(groups)

    def assert_equal(self, weights, others):
        for weight, other in zip(weights, others, strict=True):
            assert torch.equal(weight, other)

    @every_optimizer
    def test_a_state_dict_goes_on(self, make):
        weights, optimizer = self.make(make, L1(0.05))
        self.train(weights, optimizer, 7)
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
        resumed, fresh = self.make(make, L1(0.05))
        with torch.no_grad():
            for weight, trained in zip(resumed, weights, strict=True):
                weight.copy_(trained)
        fresh.load_state_dict(saved)
        self.train(weights, optimizer, 7)
        self.train(resumed, fresh, 7)
        self.assert_equal(resumed, weights)

    @every_optimizer
    def test_copies_and_pickles_go_on(self, make):
        weights, optimizer = self.make(make, L1(0.05))
        self.train(weights, optimizer, 3)
        copied_weights, copied = copy.deepcopy((weights, optimizer))
        loaded_weights, loaded = pickle.loads(pickle.dumps((weights, optimizer)))
        trained = ((weights, optimizer), (copied_weights, copied), (loaded_weights, loaded))
        for some_weights, one in trained:
            self.train(some_weights, one, 3)
        self.assert_equal(copied_weights, weights)
        self.assert_equal(loaded_weights, weights)

    @every_optimizer
    def test_a_pickle_with_the_former_setting_goes_on(self, make):
        # 0.1 wrote "capturable", with counts that could be on the device.
        weights, optimizer = self.make(make, L1(0.05))
        self.train(weights, optimizer, 3)
        older_weights, older = copy.deepcopy((weights, optimizer))
        for settings in (older.defaults, *older.param_groups):
            settings["capturable"] = True
        for state in older.state.values():
            if "mass" in state:
                state["mass"] = torch.tensor(state["mass"], dtype=torch.float64)
        loaded_weights, loaded = pickle.loads(pickle.dumps((older_weights, older)))
        assert "capturable" not in loaded.param_groups[0]
        self.train(weights, optimizer, 3)
        self.train(loaded_weights, loaded, 3)
        for weight, other in zip(loaded_weights, weights, strict=True):
            torch.testing.assert_close(weight, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("optimizer", [ProximalSGD, ProximalAdam])
def test_errors_name_what_is_wrong_and_the_way_out(optimizer):
    weight = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match=r"penalty_method must be one of.*proximal.*'prox'"):
        optimizer([weight], penalty=L1(1.0), penalty_method="prox")
    with pytest.raises(ValueError, match=r"decoupled.*L2 penalty only, got L1.*proximal"):
        optimizer([weight], penalty=L1(1.0), penalty_method="decoupled")
    with pytest.raises(TypeError, match=r"must be a skreg.penalties.Penalty or None, got 'l1'"):
        optimizer([weight], penalty="l1")


BAD_SETTINGS = {
    "lr": [-1.0, float("nan"), float("inf"), torch.tensor([0.1, -0.1])],
    "momentum": [-0.1, 1.0, 1.5, float("nan")],
    "betas": [(1.5, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9, float("nan"))],
    "eps": [-1.0, float("nan"), float("inf")],
    "penalty_method": ["prox"],
}


class TestBadInput:
    @pytest.mark.parametrize(
        ("make", "name", "value"),
        [
            (make, name, value)
            for make in (ProximalAdam, ProximalSGD)
            for name, values in BAD_SETTINGS.items()
            for value in values
            if name in inspect.signature(make).parameters
        ],
    )
    def test_settings_out_of_their_range(self, make, name, value):
        weight = torch.zeros(2, requires_grad=True)
        with pytest.raises(ValueError, match=f"^{name} must be .*, got "):
            make([weight], **{name: value})
        # In a group of its own as well.
        with pytest.raises(ValueError, match=f"^{name} must be .*, got "):
            make([{"params": [weight], name: value}])
        optimizer = make([weight])
        with pytest.raises(ValueError, match=f"^{name} must be .*, got "):
            optimizer.add_param_group({"params": [torch.zeros(1)], name: value})
        assert len(optimizer.param_groups) == 1

    @pytest.mark.parametrize("make", [ProximalAdam, ProximalSGD])
    def test_the_ends_of_the_ranges_are_in_them(self, make):
        weight = torch.ones(2, requires_grad=True)
        ends = {"lr": 0.0, "momentum": 0.0, "betas": (0.0, 0.0), "eps": 0.0}
        optimizer = make(
            [weight],
            penalty=L1(0.1),
            **{k: v for k, v in ends.items() if k in inspect.signature(make).parameters},
        )
        weight.grad = torch.tensor([1.0, 0.0])
        optimizer.step()
        assert weight.tolist() == [1.0, 1.0]

    @pytest.mark.parametrize("make", [ProximalAdam, ProximalSGD])
    @pytest.mark.parametrize("penalty", [None, L2(0.1)])
    def test_sparse_gradients_are_refused(self, make, penalty):
        table = torch.nn.Embedding(4, 2, sparse=True)
        optimizer = make(table.parameters(), penalty=penalty)
        table(torch.tensor([1, 2])).sum().backward()
        before = table.weight.detach().clone()
        with pytest.raises(RuntimeError, match="sparse gradients"):
            optimizer.step()
        assert torch.equal(table.weight, before)
