"""Regularization paths: against sklearn's where there is one, and by what they promise."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from path_data import LINEAR, NET, Interrupt, kinked_data, linear_data, net
from sklearn.linear_model import lasso_path

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    RegularizedMLPRegressorCV,
    RegularizedNetRegressor,
    regularization_path,
)
from skreg.penalties import GroupLasso, GroupMCP
from skreg.training.net import RegularizedNet


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
    # What matters is left longest, and few features go at once.
    assert set(path.entry_alpha.argsort()[-2:]) == {0, 1}
    assert 2 in path.n_features


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

    monkeypatch.setattr(RegularizedNet, "begin", train)


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
