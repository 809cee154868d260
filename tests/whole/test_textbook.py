"""What every textbook says about L1, L2 and elastic net, each fact on a fitted network."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import scale

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor

X, y = make_regression(150, 10, n_informative=4, noise=10.0, random_state=0)
y = scale(y)
N_SAMPLES = len(X)


def network(**settings):
    settings = {
        "hidden_layer_sizes": (15,),
        "learning_rate_init": 0.01,
        "max_iter": 400,
        "n_iter_no_change": np.inf,
        "random_state": 0,
        **settings,
    }
    return RegularizedMLPRegressor(**settings)


@pytest.fixture(autouse=True)
def _all_epochs_are_meant():
    """Fits here run for a set number of epochs: that they had not converged is no news."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skreg.estimators.base.warn_not_optimal", lambda *args: None)
        yield


def weights_of(model):
    return np.concatenate([coef.ravel() for coef in model.coefs_])


class TestZeros:
    @pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
    def test_l1_gives_exact_zeros_and_l2_does_not(self, solver):
        settings = {"solver": solver, "learning_rate_init": 0.01}
        l1 = network(penalty="l1", alpha=0.02, **settings).fit(X, y)
        l2 = network(penalty="l2", alpha=0.02, **settings).fit(X, y)
        assert 0.2 < l1.sparsity_ < 1.0
        assert l1.sparsity_ == (weights_of(l1) == 0).mean()
        assert l2.sparsity_ == 0.0
        assert network(penalty=None, **settings).fit(X, y).sparsity_ == 0.0

    def test_the_share_of_zeros_grows_with_alpha(self):
        alphas = [1e-3, 1e-2, 3e-2, 1e-1, 1.0]
        shares = [network(penalty="l1", alpha=a).fit(X, y).sparsity_ for a in alphas]
        assert shares == sorted(shares)
        assert shares[0] < 0.5
        assert shares[-1] == 1.0

    def test_l2_shrinks_with_alpha_and_spreads_evenly(self):
        alphas = [1e-3, 1e-2, 1e-1]
        l2 = [weights_of(network(penalty="l2", alpha=a).fit(X, y)) for a in alphas]
        norms = [np.linalg.norm(w) for w in l2]
        assert norms == sorted(norms, reverse=True)
        # Of two solutions of like size, L1's sits in fewer weights.
        l1 = weights_of(network(penalty="l1", alpha=0.02).fit(X, y))
        share_of_largest = [np.sort(abs(w))[-20:].sum() / abs(w).sum() for w in (l1, l2[1])]
        assert share_of_largest[0] > share_of_largest[1] + 0.1

    def test_the_subgradient_never_arrives_at_zero(self):
        by_hand = network(penalty="l1", alpha=0.02, penalty_method="subgradient").fit(X, y)
        assert by_hand.sparsity_ == 0.0

    def test_noise_inputs_drop_out(self):
        noise = np.random.default_rng(0).normal(size=(N_SAMPLES, 10))
        model = network(penalty="l1", alpha=0.05, max_iter=1000).fit(np.c_[X, noise], y)
        informative = abs(LinearRegression().fit(X, y).coef_) > 0.1
        assert model.selected_features_[:10][informative].all()
        assert not model.selected_features_[10:].any()


class TestOneStep:
    """One step, exactly as it is written on the blackboard."""

    eta, alpha = 0.1, 0.5

    def step(self, penalty, penalty_method):
        settings = {
            "solver": "sgd",
            "momentum": 0.0,
            "learning_rate_init": self.eta,
            "batch_size": N_SAMPLES,
            "max_iter": 1,
        }
        start = network(penalty=None, **{**settings, "learning_rate_init": 1e-300}).fit(X, y)
        free = network(penalty=None, **settings).fit(X, y)
        model = network(
            penalty=penalty, alpha=self.alpha, penalty_method=penalty_method, **settings
        ).fit(X, y)
        return zip(start.coefs_, free.coefs_, model.coefs_, strict=True)

    def test_l2_is_w_minus_eta_times_gradient_plus_lambda_w(self):
        for w, free, after in self.step("l2", "subgradient"):
            gradient = (w - free) / self.eta
            expected = w - self.eta * (gradient + self.alpha * w)
            np.testing.assert_allclose(after, expected, atol=1e-14)

    def test_l1_subtracts_eta_lambda_sign_w(self):
        for w, free, after in self.step("l1", "subgradient"):
            expected = free - self.eta * self.alpha * np.sign(w)
            np.testing.assert_allclose(after, expected, atol=1e-14)

    def test_proximal_l2_divides_by_one_plus_eta_lambda(self):
        for _, free, after in self.step("l2", "proximal"):
            np.testing.assert_allclose(after, free / (1 + self.eta * self.alpha), atol=1e-14)

    def test_proximal_l1_soft_thresholds_at_eta_lambda(self):
        zeros = 0
        for _, free, after in self.step("l1", "proximal"):
            expected = np.sign(free) * np.maximum(abs(free) - self.eta * self.alpha, 0)
            np.testing.assert_allclose(after, expected, atol=1e-14)
            zeros += (after == 0).sum()
        assert zeros > 10

    def test_decoupled_l2_scales_by_one_minus_eta_lambda(self):
        for w, free, after in self.step("l2", "decoupled"):
            np.testing.assert_allclose(after, free - self.eta * self.alpha * w, atol=1e-14)

    def test_biases_are_left_out_unless_asked_for(self):
        big = {"penalty": "l1", "alpha": 1e6, "max_iter": 10}
        assert all((b != 0).any() for b in network(**big).fit(X, y).intercepts_)
        penalized = network(**big, penalize_bias=True).fit(X, y)
        assert all((b == 0).all() for b in penalized.intercepts_)
        assert penalized.sparsity_ == 1.0


def hand_written_loop(start, optimizer, n_steps):
    """Full-batch training as a PyTorch user writes it, from the same initial weights."""
    hidden, output = torch.nn.Linear(10, 15).double(), torch.nn.Linear(15, 1).double()
    with torch.no_grad():
        for layer, coef, intercept in zip(
            (hidden, output), start.coefs_, start.intercepts_, strict=True
        ):
            layer.weight.copy_(torch.from_numpy(coef.T.copy()))
            layer.bias.copy_(torch.from_numpy(intercept.copy()))
    net = torch.nn.Sequential(hidden, torch.nn.ReLU(), output)
    weights = [hidden.weight, output.weight]
    optimizer = optimizer(weights, [hidden.bias, output.bias])
    X_t, y_t = torch.from_numpy(X), torch.from_numpy(y)
    for _ in range(n_steps):
        optimizer.zero_grad()
        (0.5 * (net(X_t).squeeze(1) - y_t).square().mean()).backward()
        optimizer.step()
    return [weight.detach().numpy().T for weight in weights]


@pytest.mark.parametrize(
    ("penalty_method", "torchs"),
    [("subgradient", torch.optim.Adam), ("decoupled", torch.optim.AdamW)],
    ids=["Adam", "AdamW"],
)
def test_l2_follows_torchs_weight_decay_to_rounding(penalty_method, torchs):
    settings = {"penalty": "l2", "alpha": 0.1, "penalty_method": penalty_method}
    full_batch = {"batch_size": N_SAMPLES, "max_iter": 60}
    start = network(penalty=None, learning_rate_init=1e-300, max_iter=1).fit(X, y)
    ours = network(**settings, **full_batch).fit(X, y)

    def optimizer(weights, biases):
        groups = [{"params": weights, "weight_decay": 0.1}, {"params": biases}]
        return torchs(groups, lr=0.01, weight_decay=0.0)

    for mine, theirs in zip(ours.coefs_, hand_written_loop(start, optimizer, 60), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
    unpenalized = network(penalty=None, **full_batch).fit(X, y)
    assert abs(unpenalized.coefs_[0] - ours.coefs_[0]).max() > 1e-2


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_textbook_example_comes_out_the_same(norm):
    # One linear layer 50 → 20, 64 random rows, mean squared error over all elements, Adam:
    # L2 by weight_decay, L1 by hand over all parameters; base loss, penalty and total.
    torch_rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 50, generator=torch_rng, dtype=torch.float64)
    targets = torch.randn(64, 20, generator=torch_rng, dtype=torch.float64)
    lambda_, n_outputs, n_steps = {"l1": 1e-5, "l2": 1e-4}[norm], 20, 25
    # Our loss is half the sum over outputs: n_outputs / 2 times the mean over elements.
    factor = n_outputs / 2

    model = RegularizedMLPRegressor(
        (),
        penalty=norm,
        alpha=lambda_ * factor,
        penalty_method="subgradient",
        penalize_bias=True,
        # Adam's eps acts on our gradients, which are larger by the same factor.
        epsilon=1e-8 * factor,
        max_iter=n_steps,
        random_state=0,
    )
    start = model.set_params(learning_rate_init=1e-300, max_iter=1).fit(inputs, targets)
    layer = torch.nn.Linear(50, 20).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(start.coefs_[0].T.copy()))
        layer.bias.copy_(torch.from_numpy(start.intercepts_[0].copy()))
    model.set_params(learning_rate_init=1e-3, max_iter=n_steps).fit(inputs, targets)

    adam = torch.optim.Adam(layer.parameters(), lr=1e-3, weight_decay=lambda_ * (norm == "l2"))
    numbers = []
    for _ in range(n_steps):
        adam.zero_grad()
        base = torch.nn.functional.mse_loss(layer(inputs), targets)
        if norm == "l1":
            penalty = lambda_ * sum(p.abs().sum() for p in layer.parameters())
        else:
            penalty = lambda_ / 2 * sum(p.square().sum() for p in layer.parameters())
        total = base + penalty
        (total if norm == "l1" else base).backward()
        adam.step()
        numbers.append([base.item(), penalty.item(), total.item()])

    np.testing.assert_allclose(
        np.c_[model.data_loss_curve_, model.penalty_curve_, model.loss_curve_],
        factor * np.array(numbers),
        rtol=1e-9,
    )
    np.testing.assert_allclose(model.coefs_[0].T, layer.weight.detach().numpy(), rtol=1e-7)


class TestStrength:
    def test_too_large_an_alpha_underfits_to_the_mean(self):
        for penalty in ("l1", "l2", "elasticnet"):
            model = network(penalty=penalty, alpha=1e3, learning_rate_init=0.05).fit(X, y + 3)
            np.testing.assert_allclose(model.predict(X), 3.0, atol=0.05)
            assert abs(model.score(X, y + 3)) < 0.01

    def test_alpha_zero_is_the_unpenalized_network_bit_for_bit(self):
        unpenalized = network(penalty=None).fit(X, y)
        for penalty in ("l1", "l2", "elasticnet"):
            zero = network(penalty=penalty, alpha=0.0).fit(X, y)
            for a, b in zip(unpenalized.coefs_, zero.coefs_, strict=True):
                np.testing.assert_array_equal(a, b)

    def test_l1_ratio_goes_from_l2_to_l1(self):
        for ratio, end in ((0.0, "l2"), (1.0, "l1")):
            mixed = network(penalty="elasticnet", alpha=0.02, l1_ratio=ratio).fit(X, y)
            pure = network(penalty=end, alpha=0.02).fit(X, y)
            for a, b in zip(mixed.coefs_, pure.coefs_, strict=True):
                # The same steps, but for the order of a product and a quotient.
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)

    def test_of_two_copies_of_a_feature_elastic_net_keeps_both_and_l1_is_free_to_pick(self):
        rng = np.random.default_rng(0)
        feature, other = rng.normal(size=(2, 200))
        X_copied = np.c_[feature, feature, other]
        target = 2 * feature + other
        settings = {
            "hidden_layer_sizes": (),
            "solver": "fista",
            "tol": 1e-8,
            "max_iter": 10_000,
            "alpha": 0.1,
        }
        shared = network(penalty="elasticnet", l1_ratio=0.5, **settings).fit(X_copied, target)
        first, second, _ = shared.coefs_[0][:, 0]
        assert first == pytest.approx(second, rel=1e-5)
        assert first > 0.5
        # L1 minds only the sum: it stays as unequal as it began.
        picked = network(penalty="l1", **settings).fit(X_copied, target)
        first, second, _ = picked.coefs_[0][:, 0]
        assert abs(first - second) > 0.1
        assert picked.loss_ < network(penalty=None, **settings).fit(X_copied, target).loss_ + 1

    def test_an_overfitting_network_generalizes_better_with_each_penalty(self):
        X_many, y_many = make_regression(
            300, 40, n_informative=5, noise=50.0, random_state=1, shuffle=False
        )
        y_many = scale(y_many)
        train, test = slice(0, 60), slice(60, 300)
        scores = {
            penalty: network(penalty=penalty, alpha=alpha)
            .fit(X_many[train], y_many[train])
            .score(X_many[test], y_many[test])
            for penalty, alpha in ((None, 1.0), ("l2", 0.3), ("l1", 0.1), ("elasticnet", 0.15))
        }
        unpenalized = scores.pop(None)
        assert min(scores.values()) > unpenalized + 0.1


class TestObjective:
    """alpha means the same whatever the samples are cut into or counted as."""

    linear = {
        "hidden_layer_sizes": (),
        "penalty": "l1",
        "alpha": 0.1,
        "learning_rate": "adaptive",
        "learning_rate_init": 0.02,
        "n_iter_no_change": 15,
        "max_iter": 3000,
        "tol": 1e-6,
    }

    def test_the_solution_does_not_depend_on_the_batch_size(self):
        coefs = [
            network(**self.linear, batch_size=size).fit(X, y).coefs_[0]
            for size in (15, 50, 150)
        ]
        np.testing.assert_allclose(coefs[0], coefs[2], atol=1e-2)
        np.testing.assert_allclose(coefs[1], coefs[2], atol=1e-2)

    def test_the_penalty_of_a_step_does_not_depend_on_the_batch_size(self):
        # Features and targets of zero: what moves the weights is the penalty alone.
        zeros = np.zeros_like(X)
        settings = {"solver": "sgd", "momentum": 0.0, "shuffle": False, "penalty": "l1"}
        one = network(**settings, batch_size=N_SAMPLES, max_iter=5).fit(zeros, 0 * y)
        five = network(**settings, batch_size=N_SAMPLES // 5, max_iter=1).fit(zeros, 0 * y)
        np.testing.assert_allclose(one.coefs_[0], five.coefs_[0], atol=1e-15)

    @pytest.mark.parametrize("factor", [2.0, 0.25, 1e6])
    def test_scaling_all_sample_weights_changes_nothing(self, factor):
        weights = np.random.default_rng(0).uniform(0.5, 2.0, N_SAMPLES)
        settings = {"penalty": "l1", "alpha": 0.02, "batch_size": 40, "max_iter": 40}
        once = network(**settings).fit(X, y, sample_weight=weights)
        scaled = network(**settings).fit(X, y, sample_weight=factor * weights)
        np.testing.assert_allclose(weights_of(once), weights_of(scaled), atol=1e-9)
        unweighted = network(**settings).fit(X, y)
        constant = network(**settings).fit(X, y, sample_weight=np.full(N_SAMPLES, factor))
        np.testing.assert_allclose(
            weights_of(unweighted), weights_of(constant), rtol=1e-7, atol=1e-9
        )

    @pytest.mark.parametrize("penalty", ["l1", "l2", "elasticnet"])
    def test_integer_weights_are_repeated_rows(self, penalty):
        counts = np.random.default_rng(0).integers(0, 4, N_SAMPLES)
        settings = {"penalty": penalty, "alpha": 0.02, "batch_size": N_SAMPLES, "max_iter": 60}
        weighted = network(**{**settings, "batch_size": (counts > 0).sum()})
        weighted.fit(X, y, sample_weight=counts)
        rows = np.repeat(np.arange(N_SAMPLES), counts)
        repeated = network(**{**settings, "batch_size": len(rows)}).fit(X[rows], y[rows])
        np.testing.assert_allclose(
            weights_of(weighted), weights_of(repeated), rtol=1e-6, atol=1e-9
        )
        unweighted = network(**settings).fit(X, y)
        assert abs(weights_of(unweighted) - weights_of(weighted)).max() > 1e-3


def test_a_classifier_drops_inputs_as_well():
    X_c, y_c = make_classification(
        1000, 12, n_informative=3, n_redundant=0, shuffle=False, random_state=0
    )
    model = RegularizedMLPClassifier(
        (20,), penalty="l1", alpha=0.03, learning_rate_init=0.01, max_iter=1000, random_state=0
    ).fit(X_c, y_c)
    # The informative columns come first.
    assert model.selected_features_[:3].sum() >= 2
    assert not model.selected_features_[3:].any()
    assert model.score(X_c, y_c) > 0.85
