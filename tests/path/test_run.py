"""Regularization paths: against sklearn's where there is one, and by what they promise."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import enet_path, lasso_path
from sklearn.preprocessing import scale
from skorch.callbacks import Callback

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    RegularizedMLPRegressorCV,
    RegularizedNetRegressor,
    regularization_path,
)
from skreg.path.walk import _allowed_drop, distinct_rows
from skreg.penalties import L1, MCP, SCAD, GroupLasso, GroupMCP, GroupSCAD
from skreg.training.data import TensorData
from skreg.training.loop import Loop


def linear_data(n_samples=60, n_features=8, seed=0):
    rng = np.random.default_rng(seed)
    X = scale(rng.normal(size=(n_samples, n_features)))
    y = X @ np.r_[2.0, -1.0, 0.5, np.zeros(n_features - 3)] + 0.3 * rng.normal(size=n_samples)
    return X, y + 5.0


def kinked_data(n_samples=200, n_features=10, seed=0):
    """Two features that matter, neither of them linearly, among others that do not."""
    X = np.random.default_rng(seed).normal(size=(n_samples, n_features)).astype(np.float32)
    return X, np.maximum(X[:, 0], X[:, 1])


LINEAR = {"hidden_layer_sizes": (), "solver": "fista", "tol": 1e-8, "max_iter": 5000}
NET = {"hidden_layer_sizes": (20,), "learning_rate_init": 0.01, "random_state": 0}


def net(**parameters):
    return RegularizedMLPRegressor(**{"penalty": "group_mcp", **NET, **parameters})


@pytest.fixture(scope="module")
def path():
    X, y = kinked_data()
    return regularization_path(net(), X, y, alphas=40, X_val=X[:50], y_val=y[:50], refit=True)


# ---------------------------------------------------------------------- linear models


def test_a_linear_path_is_the_lasso_path():
    X, y = linear_data()
    path = regularization_path(
        RegularizedMLPRegressor(penalty="l1", **LINEAR), X, y, alphas=10, eps=0.01
    )
    assert len(path) == 10
    _, coefs, _ = lasso_path(X, y - y.mean(), alphas=path.alphas, tol=1e-12)
    ours = np.array([path.estimator_at(i).coefs_[0][:, 0] for i in range(len(path))])
    np.testing.assert_allclose(ours[::-1].T, coefs, atol=1e-6)
    np.testing.assert_array_equal(path.n_features[::-1], (np.abs(coefs) > 1e-7).sum(0))


def test_a_given_grid_is_visited_whole_and_in_order():
    X, y = linear_data()
    estimator = RegularizedMLPRegressor(penalty="elasticnet", l1_ratio=0.7, **LINEAR)
    path = regularization_path(estimator, X, y, alphas=[0.5, 0.01, 0.1])
    np.testing.assert_array_equal(path.alphas, [0.01, 0.1, 0.5])
    _, coefs, _ = enet_path(X, y - y.mean(), l1_ratio=0.7, alphas=path.alphas, tol=1e-12)
    ours = np.array([path.estimator_at(i).coefs_[0][:, 0] for i in range(3)])
    np.testing.assert_allclose(ours[::-1].T, coefs, atol=1e-6)


@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
def test_alpha_max_of_a_linear_model_is_the_formula_and_no_larger(l1_ratio):
    X, y = linear_data()
    estimator = RegularizedMLPRegressor(penalty="elasticnet", l1_ratio=l1_ratio, **LINEAR)
    alpha_max = regularization_path(estimator, X, y, alphas=3).alphas[-1]
    formula = np.abs(X.T @ (y - y.mean())).max() / (len(X) * l1_ratio)
    assert alpha_max == pytest.approx(formula, rel=1e-7)
    # Bracketed both ways.
    above, below = (
        clone(estimator).set_params(alpha=alpha_max * factor).fit(X, y)
        for factor in (1.001, 0.99)
    )
    assert above.selected_features_.sum() == 0
    assert below.selected_features_.sum() == 1


def test_alpha_max_with_weights_classes_and_groups():
    X, y = linear_data()
    weights = np.random.default_rng(1).uniform(0.5, 2, len(X))
    labels = np.digitize(y, np.quantile(y, [0.3, 0.6]))
    estimator = RegularizedMLPClassifier(penalty="group_lasso", **LINEAR)
    path = regularization_path(estimator, X, labels, alphas=3, sample_weight=weights)
    shares = np.array([weights[labels == c].sum() for c in range(3)]) / weights.sum()
    residual = (labels[:, None] == np.arange(3)) - shares
    gradient = X.T @ (weights[:, None] * residual) / weights.sum()
    formula = np.linalg.norm(gradient, axis=1).max() / np.sqrt(3)
    assert path.alphas[-1] == pytest.approx(formula, rel=1e-5)


def test_a_penalty_that_selects_nothing_has_no_end():
    X, y = linear_data()
    for sizes in ((), (4,)):
        with pytest.raises(ValueError, match=r"^penalty='l2' removes no.*Give alphas as an ar"):
            regularization_path(
                RegularizedMLPRegressor(sizes, penalty="l2", callbacks=[Interrupt(0)]), X, y
            )
    path = regularization_path(
        RegularizedMLPRegressor((4,), penalty="l2", max_iter=5, random_state=0),
        X, y, alphas=[0.1, 1.0],
    )  # fmt: skip
    assert path.n_features.tolist() == [8, 8]


# ---------------------------------------------------------------------- networks


class Interrupt(Callback):
    """Ctrl-C before an epoch, counted from 0."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        if len(net.data_losses_) == self.epoch:
            raise KeyboardInterrupt


def test_an_interrupt_of_the_dense_start_is_no_path():
    X, y = kinked_data(40)
    with pytest.raises(KeyboardInterrupt):
        regularization_path(net(callbacks=[Interrupt(3)]), X, y, alphas=[0.1, 1.0])


def test_a_path_goes_from_dense_to_nothing(path):
    assert path.n_features[0] == 10
    assert path.n_features[-1] == 0
    assert (path.n_features[:-1] > 0).all()
    assert (np.diff(path.alphas) > 0).all()
    assert path.sparsity[-1] > path.sparsity[0]
    # What matters stays longest, and its steps are small.
    assert set(path.entry_alpha.argsort()[-2:]) == {0, 1}
    assert 2 in path.n_features


def test_fields_agree_with_the_estimators(path):
    X, y = kinked_data()
    for index in (0, len(path) // 2, -2):
        model = path.estimator_at(index)
        assert model.alpha == path.alphas[index]
        assert model.selected_features_.sum() == path.n_features[index]
        np.testing.assert_array_equal(model.selected_features_, path.selected[index])
        assert model.sparsity_ == path.sparsity[index]
        assert model.score(X[:50], y[:50]) == pytest.approx(path.scores[index], abs=1e-5)
        loss = 0.5 * np.square(model.predict(X) - y).mean()
        assert loss == pytest.approx(path.data_loss[index], rel=1e-3)
        penalty = model.net_.penalty_values().item()
        assert penalty == pytest.approx(path.penalty[index], rel=1e-5)
        assert model.loss_curve_[-1] == pytest.approx(loss + penalty, rel=1e-3)
    lost = path.selected[:, 5].nonzero()[0].max()
    assert path.entry_alpha[5] == path.alphas[lost]


def test_estimators_of_a_path_are_independent_and_pickle(path):
    X, _ = kinked_data()
    model = path.estimator_at(3)
    before = model.predict(X)
    with torch.no_grad():
        path.estimator_at(3).net_.module_.weight.zero_()
    np.testing.assert_array_equal(model.predict(X), before)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), before)
    assert len(pickle.loads(pickle.dumps(path))) == len(path)
    with pytest.raises(IndexError):
        path.estimator_at(len(path))


def test_refits_keep_the_support_and_lower_the_loss(path):
    refitted = path.refitted
    np.testing.assert_array_equal(refitted.alphas, path.alphas)
    first_of_support = np.r_[True, (path.selected[1:] != path.selected[:-1]).any(1)]
    assert (
        refitted.data_loss[first_of_support] <= path.data_loss[first_of_support] + 1e-3
    ).all()
    assert (refitted.data_loss < path.data_loss - 1e-3).any()
    assert not (refitted.selected & ~path.selected).any()
    for index in np.flatnonzero(path.n_features == 2)[:1]:
        model = refitted.estimator_at(index)
        assert model.penalty is None
        assert not model.coefs_[0][~path.selected[index]].any()


def test_refits_of_a_network_with_dropout():
    X, y = kinked_data(80, 6)
    path = regularization_path(
        net(max_iter=10, dropout=0.2), X, y, alphas=[0.01, 0.3, 10.0], refit=True
    )
    assert len(set(path.n_features)) > 1
    assert path.refitted.data_loss[0] < path.data_loss[-1]


def test_a_path_repeats_and_leaves_the_estimator_and_the_generators_alone():
    X, y = kinked_data(80)
    estimator = net(max_iter=20)
    parameters = copy.deepcopy(estimator.get_params())
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    states = np.random.get_state()[1].copy(), torch.get_rng_state().clone()  # noqa: NPY002
    one, two = (regularization_path(estimator, X, y, alphas=6) for _ in range(2))
    np.testing.assert_array_equal(one.alphas, two.alphas)
    np.testing.assert_array_equal(one.data_loss, two.data_loss)
    assert estimator.get_params() == parameters
    assert not hasattr(estimator, "net_")
    np.testing.assert_array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[1])


def test_knobs_turn():
    X, y = kinked_data(80, 6)
    early, late = (
        regularization_path(net(max_iter=20), X, y, alphas=8, eps=eps) for eps in (1e-3, 0.9)
    )
    assert early.alphas[0] < late.alphas[0]
    few, many = (regularization_path(net(max_iter=20), X, y, alphas=n) for n in (3, 20))
    assert len(few) <= len(many)
    weights = np.r_[np.ones(40), np.zeros(40)]
    half = regularization_path(net(max_iter=20), X[:40], y[:40], alphas=8)
    weighted = regularization_path(net(max_iter=20), X, y, alphas=8, sample_weight=weights)
    np.testing.assert_allclose(half.alphas, weighted.alphas)


@pytest.mark.parametrize("kind", [GroupMCP, GroupSCAD, MCP, SCAD])
def test_a_penalty_that_is_not_convex_has_l2_beside_it(kind):
    """0.3·alpha, and up to alpha where many features are left for a row; or what it says."""
    X, y = kinked_data(40, 30)
    path = regularization_path(net(max_iter=20, penalty=kind()), X, y, alphas=[0.001, 30.0])
    penalties = [path.estimator_at(i).penalty for i in range(2)]
    # Weights of the last step were trained under what 30 features ask for.
    assert [penalty.l2_ratio for penalty in penalties] == [1.0, 1.0]
    X, y = kinked_data(200, 10)
    path = regularization_path(net(max_iter=20, penalty=kind()), X, y, alphas=[0.001])
    assert path.estimator_at(0).penalty.l2_ratio == 0.3
    first = path.estimator_at(0)
    layers = [torch.tensor(coefs)[None] for coefs in first.coefs_]
    value = clone(first.penalty).set_params(alpha=0.001).value(layers)
    assert path.penalty[0] == pytest.approx(float(value), rel=1e-5)
    own = regularization_path(
        net(max_iter=20, penalty=kind(l2_ratio=0.0)), X, y, alphas=[0.001]
    )
    assert own.estimator_at(0).penalty.l2_ratio == 0.0
    linear = regularization_path(
        RegularizedMLPRegressor(penalty=kind(), **LINEAR), X, y, alphas=[0.001]
    )
    assert linear.estimator_at(0).penalty.l2_ratio is None


class OfItsOwn(L1):
    """A user's penalty with a parameter that MCP has too, where it says how convex that is."""

    _per_member = ("alpha", "gamma")

    def __init__(self, alpha=None, gamma=0.5, adaptive=False):
        super().__init__(alpha, adaptive)
        self.gamma = gamma

    def _strengths(self, weight):
        return super()._strengths(weight) * self._along_members("gamma", weight)


class OfAnotherName(L1):
    """The same with a name that is the user's alone."""

    def __init__(self, alpha=None, share=0.5, adaptive=False):
        super().__init__(alpha, adaptive)
        self.share = share

    def _strengths(self, weight):
        return super()._strengths(weight) * self.share


def test_a_parameter_of_a_users_penalty_is_left_alone():
    X, y = kinked_data(40, 30)
    path, plain = (
        regularization_path(net(max_iter=20, penalty=penalty), X, y, alphas=[0.02, 0.2])
        for penalty in (OfItsOwn(), OfAnotherName())
    )
    assert path.estimator_at(1).penalty.gamma == 0.5
    np.testing.assert_allclose(path.penalty, plain.penalty, rtol=1e-6)
    np.testing.assert_array_equal(path.selected, plain.selected)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_weight_is_how_often_a_row_is_there(sparse):
    """Also where the convexity of the penalty depends on how many rows there are."""
    import scipy.sparse

    X, y = kinked_data(30, 20)
    X, y = X.astype(np.float64), y.astype(np.float64)
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    container = scipy.sparse.csr_matrix if sparse else np.asarray
    grid = [0.01, 0.03, 0.1, 0.3]
    weighted, repeated = (
        regularization_path(net(max_iter=20), container(X[rows]), y[rows], alphas=grid, **more)
        for rows, more in (
            (slice(None), {"sample_weight": weights}),
            (np.repeat(np.arange(len(X)), weights), {}),
        )
    )
    assert weighted._steps[0].convexity["gamma"] > 3 * weighted._steps[-1].convexity["gamma"]
    np.testing.assert_allclose(weighted.data_loss, repeated.data_loss, rtol=1e-6)
    np.testing.assert_array_equal(weighted.selected, repeated.selected)


def test_a_penalty_object_and_sparse_rows():
    import scipy.sparse

    X, y = kinked_data(80, 6)
    dense = regularization_path(net(max_iter=20), X, y, alphas=4)
    given = regularization_path(net(max_iter=20, penalty=GroupMCP(alpha=0.3)), X, y, alphas=4)
    np.testing.assert_array_equal(dense.alphas, given.alphas)
    assert given.estimator_at(2).penalty.alpha == given.alphas[2]
    sparse = regularization_path(net(max_iter=20), scipy.sparse.csr_matrix(X), y, alphas=4)
    np.testing.assert_allclose(dense.alphas, sparse.alphas, rtol=1e-3)


def test_a_classifier_has_a_path():
    X, y = kinked_data()
    model = RegularizedMLPClassifier(penalty="group_mcp", **NET)
    path = regularization_path(model, X, y > 0.5, alphas=15, X_val=X, y_val=y > 0.5)
    assert path.n_features[-1] == 0
    assert path.scores.max() > 0.9


@pytest.fixture
def untrained(monkeypatch):
    """Whoever trains fails."""

    def train(self, *args, **kwargs):
        raise AssertionError("there was a first step")

    monkeypatch.setattr(Loop, "begin", train)


def linear_module(n_features, n_outputs):
    return torch.nn.Linear(n_features, n_outputs)


HELD_OUT = {
    "columns": (lambda X, y: (X[:, :3], y), "X has 3 features"),
    "names": (lambda X, y: (pd.DataFrame(X).rename(columns=str), y), "feature names"),
    "axes": (lambda X, y: (X[0], y[:1]), "Expected 2D array"),
    "finite": (lambda X, y: (np.full_like(X, np.nan), y), "NaN"),
    "finite y": (lambda X, y: (X, np.full_like(X[:, 0], np.nan)), "NaN"),
    "length": (lambda X, y: (X, y[:-1]), "inconsistent numbers of samples"),
    "no rows": (lambda X, y: (X[:0], y[:0]), "0 sample"),
    "outputs": (lambda X, y: (X, np.column_stack([y, y])), "2 outputs, and 1 in training"),
    "no numbers": (lambda X, y: (X, np.full(len(X), "b")), "could not convert"),
    "one row": (lambda X, y: (X[:1], y[:1]), "minimum of 2 is required"),
}


@pytest.mark.parametrize(("change", "message"), HELD_OUT.values(), ids=HELD_OUT)
def test_rows_to_score_on_are_checked_before_the_first_step(change, message, untrained):
    X, y = kinked_data(20)
    X_val, y_val = change(X, y)
    fitted_on = pd.DataFrame(X, columns=list("abcdefghij")) if message == "feature names" else X
    for estimator in (net(), RegularizedNetRegressor(linear_module, penalty="l1")):
        with pytest.raises(ValueError, match=f"(?s)X_val and y_val are not like X.*{message}"):
            regularization_path(estimator, fitted_on, y, X_val=X_val, y_val=y_val)


@pytest.mark.parametrize(
    ("y", "y_val", "message"),
    [
        ([0, 1] * 10, [0, 2] * 10, r"classes \[2\] that are not in classes_=\[0 1\]"),
        (["a", "b"] * 10, [0, 1] * 10, r"not in classes_=\['a' 'b'\]"),
        ([0, 1] * 10, [[0, 1]] * 20, "between multilabel and single"),
        ([[0, 1], [1, 0]] * 10, [[0, 1, 1]] * 20, "3 outputs, and 2 in training"),
        ([[0, 1], [1, 0]] * 10, [[-1, 1]] * 20, r"multilabel with the values \[-1, 1\]"),
        ([0, 1] * 10, np.linspace(0, 1, 20), "Unknown label type"),
    ],
)
def test_labels_to_score_on_are_checked_before_the_first_step(y, y_val, message, untrained):
    X, _ = kinked_data(20)
    model = RegularizedMLPClassifier(penalty="group_mcp", **NET)
    with pytest.raises(ValueError, match=f"X_val and y_val are not like X and y: .*{message}"):
        regularization_path(model, X, np.array(y), X_val=X, y_val=np.array(y_val))


@pytest.mark.parametrize("alphas", [[-1.0, 1.0], [np.nan], [], [[1.0]], ["a"]], ids=repr)
def test_alphas_are_checked_before_the_first_step(alphas, untrained):
    X, y = kinked_data(20)
    with pytest.raises(ValueError, match=r"alphas|could not convert|0 sample"):
        regularization_path(net(), X, y, alphas=alphas)


def test_a_penalty_is_looked_at_before_the_first_step(untrained):
    X, y = kinked_data(20)
    for sizes in ((), (4,)):
        with pytest.raises(ValueError, match="removes no features"):
            regularization_path(RegularizedMLPRegressor(sizes, penalty="l2"), X, y)
    penalty = GroupLasso(groups=[[0, 99]], adaptive=True)
    with pytest.raises(ValueError, match="column index 99"):
        RegularizedMLPRegressor((4,), penalty=penalty).fit(X, y)


def test_half_a_validation_set_is_an_error():
    X, y = kinked_data(20)
    with pytest.raises(ValueError, match="X_val and y_val go together"):
        regularization_path(net(), X, y, X_val=X)
    with pytest.raises(ValueError, match="alphas must be numbers of at least 0"):
        regularization_path(net(callbacks=[Interrupt(0)]), X, y, alphas=[-1.0, 1.0])
    with pytest.raises(ValueError, match="penalty=None has no strength"):
        regularization_path(net(penalty=None), X, y)
    with pytest.raises(TypeError, match=r"RegularizedMLPRegressorCV chooses its own.*`path_`"):
        regularization_path(RegularizedMLPRegressorCV(), X, y)


# ---------------------------------------------------------------------- parts


@given(
    alive=st.integers(1, 5000),
    steps=st.integers(1, 200),
)
@settings(max_examples=50, deadline=None)
def test_what_may_go_at_once_reaches_the_end_in_time(alive, steps):
    left = float(alive)
    for step in range(steps):
        left -= _allowed_drop(np.array([left]), np.array([steps - step]))[0]
        if left <= 0:
            break
    assert left <= max(1.0, np.log2(alive + 1))
    allowed = _allowed_drop(np.array([alive]), np.array([10_000]))[0]
    assert allowed == max(1, np.floor(0.1 * alive))


def test_distinct_rows_are_those_of_a_table():
    X, y = np.repeat(np.eye(3), [400, 1, 200], axis=0), np.arange(601.0)[:, None] % 2
    data = TensorData(X, y)
    assert distinct_rows(data, 100).tolist() == [len(np.unique(np.c_[X, y], axis=0))] == [5]
    assert distinct_rows(data, 4).tolist() == [4]
    few = TensorData(X, y, rows=np.r_[np.arange(600), 0])
    joined = TensorData.join([few, TensorData(X, y, rows=np.zeros(601, dtype=int)), few], None)
    assert distinct_rows(joined, 100).tolist() == [5, 1, 5]
