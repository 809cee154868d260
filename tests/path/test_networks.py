"""Paths of torch modules: the MLP's where both can be had, and what is counted."""

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import lasso_path
from sklearn.preprocessing import scale
from torch import nn
from torch_modules import (
    Categorical,
    FirstColumnBy,
    Perceptron,
    Residual,
    Skip,
    digits_cnn,
    linear,
)

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    RegularizedNetClassifier,
    RegularizedNetRegressor,
    regularization_path,
)
from skreg.modules.adapter import SingleNetwork
from skreg.path.networks import layers_of_features
from skreg.penalties import L1, L2, GroupLasso
from skreg.training.data import TensorData

_rng = np.random.default_rng(0)


X = scale(_rng.normal(size=(120, 6)))


Y = X[:, 0] - 2 * X[:, 1] + 0.1 * _rng.normal(size=120)


LINEAR = {"solver": "fista", "tol": 1e-9, "max_iter": 5000, "random_state": 0}


GRID = [1e-3, 0.03, 0.1, 100.0]


FIELDS = ("alphas", "n_features", "sparsity", "data_loss", "penalty", "scores", "entry_alpha")


def regressor(module=Perceptron, **settings):
    settings = {"learning_rate_init": 0.02, "batch_size": 40, "max_iter": 15, **settings}
    return RegularizedNetRegressor(module, **{"penalty": "l1", "random_state": 0, **settings})


def tables(n_samples=100):
    """Two columns of codes and four of numbers, of which the last three are noise."""
    codes = np.column_stack([_rng.integers(0, n, n_samples) for n in (5, 3)])
    numbers = _rng.normal(size=(n_samples, 4))
    y = np.array([3.0, -1.0, 0.0, 1.0, -3.0])[codes[:, 0]] + numbers[:, 0]
    return np.hstack([codes, numbers]), y


def assert_steps_are_estimators(path, X, y):
    """What the path says of a step is what the estimator of the step does."""
    for index in (0, len(path) // 2, -1):
        model = path.estimator_at(index)
        assert model.score(X, y) == pytest.approx(path.scores[index], abs=1e-6)
        assert model.sparsity_ == path.sparsity[index]
        assert float(model.net_.penalty_values()) == pytest.approx(
            path.penalty[index], rel=1e-5
        )
        copied = pickle.loads(pickle.dumps(model))
        assert_array_equal(copied.predict(X), model.predict(X))
        with torch.no_grad():
            for tensor in (*model.module_.parameters(), *model.module_.buffers()):
                tensor.zero_()
        assert_array_equal(path.estimator_at(index).predict(X), copied.predict(X))


@pytest.mark.parametrize("penalty", ["l1", "elasticnet", "group_lasso"])
def test_a_linear_module_has_the_path_of_the_mlp(penalty):
    settings = {"penalty": penalty, **LINEAR, "tol": 1e-8}
    more = {"alphas": 6, "eps": 1e-2, "X_val": X, "y_val": Y, "refit": True}
    ours = regularization_path(RegularizedNetRegressor(linear, **settings), X, Y, **more)
    theirs = regularization_path(RegularizedMLPRegressor((), **settings), X, Y, **more)
    for name in FIELDS:
        assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-6)
        refits = getattr(ours.refitted, name), getattr(theirs.refitted, name)
        assert_allclose(*refits, atol=1e-6)
    assert_array_equal(ours.selected, theirs.selected)
    assert ours.unit_parameters is None
    if penalty == "l1":
        _, coefs, _ = lasso_path(X, Y - Y.mean(), alphas=ours.alphas, tol=1e-12)
        rows = [ours.estimator_at(i).module_.weight.detach().numpy()[0] for i in range(6)]
        assert_allclose(np.array(rows)[::-1].T, coefs, atol=1e-5)


def test_a_linear_module_of_classes_with_weights_has_the_path_of_the_mlp():
    labels, weights = np.digitize(Y, [-1, 1]), _rng.uniform(0.5, 2, len(Y))
    settings = {"penalty": "l1", **LINEAR, "tol": 1e-7}
    ours, theirs = (
        regularization_path(model, X, labels, alphas=4, eps=0.05, sample_weight=weights)
        for model in (
            RegularizedNetClassifier(linear, **settings),
            RegularizedMLPClassifier((), **settings),
        )
    )
    assert_allclose(ours.alphas, theirs.alphas, rtol=1e-9)
    assert_allclose(ours.data_loss, theirs.data_loss, atol=1e-5)


@pytest.mark.parametrize("module", [linear, nn.Sequential(nn.Flatten(), nn.LazyLinear(1))])
def test_alpha_max_of_a_linear_module_is_bracketed_both_ways(module):
    model = RegularizedNetRegressor(module, penalty="l1", **LINEAR)
    alpha_max = regularization_path(model, X, Y, alphas=2).alphas[-1]
    assert alpha_max == pytest.approx(np.abs(X.T @ (Y - Y.mean())).max() / len(X), rel=1e-7)
    left = [
        (next(clone(model).set_params(alpha=a).fit(X, Y).module_.parameters()) != 0).sum()
        for a in (1.001 * alpha_max, 0.99 * alpha_max)
    ]
    assert left == [0, 1]


def test_alpha_max_of_a_network_is_bracketed_both_ways():
    # By search: a little beyond nothing is left, at half of it something is.
    path = regularization_path(regressor(max_iter=5), X, Y, alphas=2)
    assert path.n_features[-1] == 0
    assert (path.n_features[path.alphas <= path.alphas[-1] / 2] > 0).all()
    assert path.n_features[0] == 6
    assert set(path.entry_alpha.argsort()[-2:]) == {0, 1}


@pytest.mark.parametrize(
    "settings",
    [
        {"module": Residual},
        {"module__norm": True, "module__dropout": 0.1, "solver": "sgd"},
        {"penalty": "group_mcp"},
        {"penalty": "group_lasso", "solver": "fista", "max_iter": 10, "tol": 1e-3},
    ],
    ids=["residual", "sgd", "group", "fista"],
)
def test_features_are_the_columns_of_a_first_linear_layer(settings):
    path = regularization_path(
        regressor(**settings), X, Y, alphas=GRID, X_val=X, y_val=Y, refit=True
    )
    assert path.selected.shape == (len(path), 6)
    assert path.unit_parameters is None
    assert path.n_features[-1] == 0
    assert path.n_features[0] > 2
    assert_steps_are_estimators(path, X, Y)
    assert_steps_are_estimators(path.refitted, X, Y)
    for index in range(3):
        first = next(path.estimator_at(index).module_.parameters())
        assert_array_equal((first != 0).any(0).numpy(), path.selected[index])
        refit = next(path.refitted.estimator_at(index).module_.parameters())
        assert not (refit[:, torch.from_numpy(~path.selected[index])] != 0).any()
    assert_array_equal(path.refitted.alphas, path.alphas)
    assert path.refitted.estimator_at(1).penalty is None
    assert (path.refitted.data_loss[path.n_features > 0] < path.data_loss[0] + 0.1).any()
    assert len(pickle.loads(pickle.dumps(path))) == len(path)


def test_running_averages_of_batch_normalization_belong_to_a_step():
    path = regularization_path(regressor(module__norm=True), X, Y, alphas=[1e-3, 0.1])
    first, last = (path.estimator_at(i).module_.norm for i in (0, 1))
    assert (first.running_mean != last.running_mean).all()
    assert first.num_batches_tracked < last.num_batches_tracked


def test_units_of_a_cnn_on_images():
    images, digits = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 1, 8, 8).astype(np.float32)
    more = {"X_val": images[200:400], "y_val": digits[200:400]}
    model = RegularizedNetClassifier(
        digits_cnn, penalty="group_lasso", learning_rate_init=0.01, max_iter=3, random_state=0
    )
    path = regularization_path(
        model, images[:200], digits[:200], alphas=[1e-3, 0.02, 10.0], refit=True, **more
    )
    # An image sends out of one channel; the dense layer has an input for each of 6 · 36.
    assert path.selected.shape[1] == 1 + 216
    assert path.unit_parameters.tolist() == ["0.weight"] + ["3.weight"] * 216
    assert path.n_features[-1] == 0
    assert path.scores.max() > 0.85
    assert_steps_are_estimators(path, more["X_val"], more["y_val"])
    middle = len(path) // 2
    dead = torch.from_numpy(~path.selected[middle, 1:])
    assert dead.any()
    for fitted in (path, path.refitted):
        assert not (fitted.estimator_at(middle).module_[3].weight[:, dead] != 0).any()


def test_penalties_with_an_alpha_of_their_own_keep_it_and_are_not_counted():
    table, y = tables()
    penalty = {"embed.*": L2(1e-3), "*.weight": L1()}
    model = regressor(Categorical, penalty=penalty, learning_rate_init=0.03)
    path = regularization_path(
        model, table, y, alphas=[0.01, 0.1, 0.3, 100.0], X_val=table, y_val=y
    )
    assert path.unit_parameters.tolist() == ["body.weight"] * 10
    assert path.n_features[-1] == 0
    assert_steps_are_estimators(path, table, y)
    fitted = path.estimator_at(2)
    assert fitted.alpha == path.alphas[2]
    assert fitted.penalty["embed.*"].alpha == 1e-3
    module = fitted.module_.requires_grad_(False)
    squares = sum(float((layer.weight**2).sum()) for layer in module.embed)
    by_hand = 0.5e-3 * squares + path.alphas[2] * float(module.body.weight.abs().sum())
    assert path.penalty[2] == pytest.approx(by_hand)
    assert all((layer.weight != 0).all() for layer in module.embed)
    # One that follows without ever leaving zeros is not what a path can end at.
    l2_too = clone(model).set_params(penalty={"embed.*": "l2", "body.weight": "l1"})
    counted = regularization_path(l2_too, table, y, alphas=[0.01, 0.1]).unit_parameters
    assert set(counted) == {"body.weight"}


def test_a_path_repeats_and_leaves_estimator_module_and_generators_alone():
    module = Perceptron(6, 1, dropout=0.2, norm=True)
    before = copy.deepcopy(module.state_dict())
    model = regressor(module, max_iter=5)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one, two = (regularization_path(model, X, Y, alphas=[0.01, 0.1]) for _ in range(2))
    assert_array_equal(one.data_loss, two.data_loss)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert not hasattr(model, "net_")


def test_frozen_weights_are_no_part_of_a_path():
    module = Perceptron(6, 1)
    module.hidden.requires_grad_(False)
    path = regularization_path(regressor(module, max_iter=5), X, Y, alphas=[0.01, 100.0])
    assert path.unit_parameters.tolist() == ["out.weight"] * 8
    assert path.n_features[-1] == 0
    hidden = path.estimator_at(-1).module_.hidden.weight
    assert torch.equal(hidden.float(), module.hidden.weight)
    assert not any("hidden" in name for name in path._points[0].state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"penalty": {"*": L1(0.1)}}, r"each penalty in .* has its own.*Leave alpha out"),
        ({"penalty": "l2"}, r"^penalty='l2' removes no features.*Give alphas as an array"),
        ({"penalty": {"*": L2()}}, r"^penalty={'\*': L2\(\)} removes no features"),
        ({"penalty": None}, r"penalty=None has no strength"),
        (
            {"module": FirstColumnBy()},
            r"No parameter of the module FirstColumnBy gets a penalty",
        ),
        ({"penalty": L1(adaptive=True)}, "for multi-layer perceptrons"),
        ({"penalty": GroupLasso(groups=[[0, 1]])}, "for multi-layer perceptrons"),
        ({"solver": "fista", "module__dropout": 0.5}, "the module has dropout"),
    ],
    ids=[
        "fixed alphas",
        "no zeros",
        "no zeros by name",
        "none",
        "nothing penalized",
        "adaptive",
        "groups",
        "dropout",
    ],
)
def test_what_has_no_path_says_why(settings, message):
    settings = {"module": settings.pop("module", Perceptron), "max_iter": 2, **settings}
    with pytest.raises(ValueError, match=f"(?s){message}"):
        regularization_path(regressor(**settings), X, Y)


def test_a_penalty_without_zeros_is_followed_along_given_alphas():
    path = regularization_path(regressor(penalty="l2", max_iter=2), X, Y, alphas=[0.1, 1.0])
    assert path.n_features.tolist() == [6, 6]


def test_a_feature_that_goes_two_ways_is_in_as_long_as_one_of_them():
    path = regularization_path(
        regressor(Skip(nn.Linear(6, 1)), max_iter=5), X, Y, alphas=[0.01, 0.3]
    )
    one, two = (
        layer.weight[0].detach().numpy()
        for layer in (path.estimator_at(1).module_.one, path.estimator_at(1).module_.two)
    )
    assert_array_equal((one != 0) | (two != 0), path.selected[1])


class Half(nn.Module):
    """The first layer sees half of the row."""

    def __init__(self):
        super().__init__()
        self.part, self.whole = nn.Linear(3, 1), nn.Linear(6, 1)

    def forward(self, x):
        return self.part(x[:, :3]) + self.whole(x)


class Renamed(nn.Module):
    """A later layer has as many inputs as a row has numbers."""

    def __init__(self):
        super().__init__()
        self.embed, self.six = nn.Embedding(9, 6), nn.Linear(6, 1)

    def forward(self, x):
        return self.six(self.embed(x[:, 0].long().clamp(0, 8)))


@pytest.mark.parametrize(
    ("module", "layers"),
    [
        (nn.Linear(6, 2), ["weight"]),
        (nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 1)), ["1.weight"]),
        (nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 1)), ["0.weight"]),
        (Skip(nn.Linear(6, 1)), ["one.weight", "two.weight"]),
        (Skip(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 1))), ["one.weight", "two.0.weight"]),
        (Half(), []),
        (Renamed(), []),
        (nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 1, 6), nn.Flatten()), []),
    ],
    ids=["linear", "norm", "deep", "skip", "deep skip", "half", "embedding", "convolution"],
)
def test_which_layers_have_the_features(module, layers):
    rows = TensorData(np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32), None)
    wrapped = SingleNetwork(module, 2 if layers == ["weight"] else 1)
    before = copy.deepcopy(wrapped.state_dict())
    assert layers_of_features(wrapped, rows, "cpu") == layers
    assert wrapped.training
    assert not any(layer._forward_pre_hooks for layer in wrapped.modules())
    assert all(torch.equal(v, before[k]) for k, v in wrapped.state_dict().items())
