"""Following a path: which alphas, for how long, and how convex the penalty is there."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from path_data import LINEAR, kinked_data, linear_data, net
from sklearn.base import clone
from sklearn.linear_model import enet_path
from user_penalties import WithGamma

from skreg import (
    RegularizedMLPRegressor,
    regularization_path,
)
from skreg.path.follow import _allowed_drop, distinct_rows
from skreg.penalties import L1, MCP, SCAD, GroupMCP, GroupSCAD
from skreg.training.data import TensorData


def test_a_given_grid_is_visited_whole_and_in_order():
    X, y = linear_data()
    estimator = RegularizedMLPRegressor(penalty="elasticnet", l1_ratio=0.7, **LINEAR)
    path = regularization_path(estimator, X, y, alphas=[0.5, 0.01, 0.1])
    np.testing.assert_array_equal(path.alphas, [0.01, 0.1, 0.5])
    _, coefs, _ = enet_path(X, y - y.mean(), l1_ratio=0.7, alphas=path.alphas, tol=1e-12)
    ours = np.array([path.estimator_at(i).coefs_[0][:, 0] for i in range(3)])
    np.testing.assert_allclose(ours[::-1].T, coefs, atol=1e-6)


@pytest.mark.parametrize("kind", [GroupMCP, GroupSCAD, MCP, SCAD])
def test_l2_is_added_to_a_penalty_that_is_not_convex(kind):
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
    given = regularization_path(
        net(max_iter=20, penalty=kind(l2_ratio=0.0)), X, y, alphas=[0.001]
    )
    assert given.estimator_at(0).penalty.l2_ratio == 0.0
    linear = regularization_path(
        RegularizedMLPRegressor(penalty=kind(), **LINEAR), X, y, alphas=[0.001]
    )
    assert linear.estimator_at(0).penalty.l2_ratio is None


class WithShare(L1):
    """The same with a name that no penalty of skreg has."""

    def __init__(self, alpha=None, share=0.5, adaptive=False):
        super().__init__(alpha, adaptive)
        self.share = share

    def _strengths(self, weight):
        return super()._strengths(weight) * self.share


def test_a_parameter_of_a_users_penalty_is_left_alone():
    X, y = kinked_data(40, 30)
    path, other = (
        regularization_path(net(max_iter=20, penalty=penalty), X, y, alphas=[0.02, 0.2])
        for penalty in (WithGamma(), WithShare())
    )
    assert path.estimator_at(1).penalty.gamma == 0.5
    np.testing.assert_allclose(path.penalty, other.penalty, rtol=1e-6)
    np.testing.assert_array_equal(path.selected, other.selected)


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
    assert weighted._points[0].convexity["gamma"] > 3 * weighted._points[-1].convexity["gamma"]
    np.testing.assert_allclose(weighted.data_loss, repeated.data_loss, rtol=1e-6)
    np.testing.assert_array_equal(weighted.selected, repeated.selected)


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
