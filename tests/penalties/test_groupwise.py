"""Group penalties: the prox at steps and sizes that differ by group, layouts, optimizers."""

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import MultiTaskLasso
from strategies import tensors

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor
from skreg.optim import ProximalAdam, ProximalSGD, optimality_residual
from skreg.penalties import L1, MCP, SCAD, GroupLasso, GroupMCP, GroupSCAD, SparseGroupLasso
from skreg.penalties.base import Layout
from skreg.penalties.groups import Grouping

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = {
    "group_lasso": lambda alpha: GroupLasso(alpha),
    "sparse_group_lasso": lambda alpha: SparseGroupLasso(alpha, l1_ratio=0.3),
    "group_mcp": lambda alpha: GroupMCP(alpha, gamma=2.5),
    "group_scad": lambda alpha: GroupSCAD(alpha, a=3.0),
    "group_mcp_l2": lambda alpha: GroupMCP(alpha, gamma=2.5, l2_ratio=0.4),
    "group_scad_l2": lambda alpha: GroupSCAD(alpha, a=3.0, l2_ratio=0.4),
}
# What each is where all groups have one weight.
OF_SINGLETONS = {
    "group_lasso": L1,
    "sparse_group_lasso": L1,
    "group_mcp": lambda alpha: MCP(alpha, gamma=2.5),
    "group_scad": lambda alpha: SCAD(alpha, a=3.0),
    "group_mcp_l2": lambda alpha: MCP(alpha, gamma=2.5, l2_ratio=0.4),
    "group_scad_l2": lambda alpha: SCAD(alpha, a=3.0, l2_ratio=0.4),
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)

# Two members of a flat tensor: groups of 2, 2, 2 and 1, 1 and 4 weights.
LAYERS = [(3, 2), (2, 1), (1, 4)]
SIZES = [2, 2, 2, 1, 1, 4]
flat_weights = tensors(shape=(2, 12))
steps_by_group = tensors(shape=(2, 6), min_value=1e-3, max_value=8.0)


def by_weight(by_group):
    return by_group.repeat_interleave(torch.tensor(SIZES), 1)


@every_kind
@given(weight=flat_weights, step=steps_by_group, alpha=st.floats(0, 3))
def test_no_other_point_is_better_in_the_metric_of_the_steps(make, weight, step, alpha):
    penalty = make([alpha, 0.7]).bind(Layout(LAYERS))
    result = penalty.prox(weight, step)

    def objective(w):
        distance = (w - weight).square() / (2 * by_weight(step))
        return distance.sum(1) + penalty.value([w])

    best = objective(result)
    tolerance = 1e-9 * (1 + best.abs())
    rng = torch.Generator().manual_seed(0)
    for scale in (10.0, 1.0, 1e-2, 1e-4):
        noise = torch.randn(2, 12, generator=rng, dtype=torch.float64)
        assert (objective(result + scale * noise) >= best - tolerance).all()
    # Each group scaled along its own direction, and set to zero: every concave one has its
    # other minima there.
    for factor in (0.0, 0.25, 0.5, 0.75, 1.0):
        for group in range(len(SIZES)):
            chosen = by_weight(torch.eye(6)[group : group + 1]).bool()
            other = torch.where(chosen, factor * weight, result)
            assert (objective(other) >= best - tolerance).all()
    assert (objective(torch.zeros_like(weight)) >= best - tolerance).all()


@every_kind
@given(weight=flat_weights, step=steps_by_group)
def test_a_group_keeps_its_direction_or_is_zero(make, weight, step):
    penalty = make(0.7).bind(Layout(LAYERS))
    result = penalty.prox(weight, step)
    assert (result * weight >= 0).all()
    assert (result.abs() <= weight.abs() + 1e-12).all()
    if isinstance(penalty, SparseGroupLasso):
        return
    norms = Grouping(LAYERS).norms
    gone = by_weight(norms(result) == 0)
    # The smallest numbers of all may be rounded to 0.
    tiny = (weight != 0) & (weight.abs() < 1e-300)
    assert ((result == 0) == (gone | (weight == 0)))[~tiny].all()


@every_kind
@given(weight=flat_weights, step=steps_by_group)
def test_zero_alpha_changes_nothing_and_zeros_stay(make, weight, step):
    penalty = make([0.0, 0.5]).bind(Layout(LAYERS))
    assert torch.equal(penalty.prox(weight, step)[0], weight[0])
    zeros = torch.zeros_like(weight)
    assert torch.equal(penalty.prox(zeros, step), zeros)
    assert torch.equal(penalty.subgradient(zeros), zeros)
    assert torch.equal(penalty.value([zeros]), torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize("name", KINDS)
@given(weight=tensors(shape=(2, 5)), step=tensors(shape=(2, 5), min_value=1e-3, max_value=8))
def test_groups_of_one_weight_are_the_elementwise_penalty(name, weight, step):
    grouped = KINDS[name](0.7).bind(Layout([(5, 1)]))
    alone = OF_SINGLETONS[name](0.7)
    torch.testing.assert_close(grouped.prox(weight, step), alone.prox(weight, step))
    torch.testing.assert_close(grouped.value([weight]), alone.value([weight]))
    torch.testing.assert_close(grouped.subgradient(weight), alone.subgradient(weight))


@every_kind
@given(weight=tensors(shape=(2, 3, 2)), step=tensors(shape=(2, 3, 1), min_value=0.1))
def test_a_flat_layer_is_the_layer(make, weight, step):
    layer, flat = make(0.7), make(0.7).bind(Layout([(3, 2)]))
    torch.testing.assert_close(
        layer.prox(weight, step).flatten(1), flat.prox(weight.flatten(1), step[..., 0])
    )
    torch.testing.assert_close(layer.value([weight]), flat.value([weight.flatten(1)]))


@given(weight=tensors(shape=(2, 3, 2)), l1_ratio=st.floats(0, 1))
def test_the_sparse_group_lasso_is_both_of_its_ends(weight, l1_ratio):
    ends = SparseGroupLasso(0.7, [1.0, 0.0])
    assert torch.allclose(ends.prox(weight, 0.5)[0], L1(0.7).prox(weight, 0.5)[0])
    assert torch.equal(ends.prox(weight, 0.5)[1], GroupLasso(0.7).prox(weight, 0.5)[1])
    mixed = SparseGroupLasso(0.7, l1_ratio).value([weight])
    both = l1_ratio * L1(0.7).value([weight]) + (1 - l1_ratio) * GroupLasso(0.7).value([weight])
    torch.testing.assert_close(mixed, both)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@every_kind
def test_huge_and_tiny_values(make, dtype):
    info = torch.finfo(dtype)
    weight = torch.tensor([[[info.max, 1.0], [info.tiny, 0.0], [0.0, 0.0]]], dtype=dtype)
    for step in (info.tiny, 1.0, 1e6):
        result = make(0.7).prox(weight, step)
        assert torch.isfinite(result).all()
        assert result.dtype == dtype
        assert (result[0, 2] == 0).all()


@every_kind
def test_a_convolution_loses_whole_input_channels(make):
    weight = torch.ones(4, 2, 3, 3)
    weight[:, 1] *= 1e-3
    result = make(0.5).prox(weight, 1.0)
    assert (result[:, 0] != 0).all()
    assert (result[:, 1] == 0).all()
    assert make(0.5).subgradient(weight).shape == weight.shape


rng = np.random.default_rng(0)
X = torch.from_numpy(rng.normal(size=(60, 4)))
Y = X @ torch.tensor([[2.0, -1.0], [1.0, 1.0], [0.0, 0.0], [0.05, 0.0]], dtype=torch.float64)
Y = Y + 0.5 * torch.from_numpy(rng.normal(size=(60, 2)))


def gradient(weight):
    return X.T @ (X @ weight - Y) / len(X)


OPTIMIZERS = {
    "sgd": (lambda pen: lambda p: ProximalSGD(p, lr=0.1, penalty=pen), 1.0),
    "momentum": (lambda pen: lambda p: ProximalSGD(p, 0.02, 0.9, penalty=pen), 1.0),
    "adam": (lambda pen: lambda p: ProximalAdam(p, lr=0.05, penalty=pen), 0.995),
}


@pytest.mark.parametrize(("optimizer", "decay"), OPTIMIZERS.values(), ids=OPTIMIZERS)
@every_kind
def test_every_optimizer_arrives_at_a_stationary_point_with_zero_groups(make, optimizer, decay):
    penalty = make(0.15)
    weight = torch.full((1, 4, 2), 0.1, dtype=torch.float64, requires_grad=True)
    stepper = optimizer(penalty)([weight])
    for _ in range(1500):
        weight.grad = gradient(weight.detach())
        stepper.step()
        for group in stepper.param_groups:
            group["lr"] *= decay
    weight = weight.detach()
    assert (weight[0, 2:] == 0).all()
    assert (weight[0, :2].norm(dim=1) > 0.5).all()
    assert optimality_residual([weight], [gradient(weight)], [penalty]) < 1e-6


X_multi, Y_multi = make_regression(
    100, 12, n_informative=5, n_targets=3, noise=20.0, random_state=0
)
Y_multi = Y_multi / Y_multi.std()
TO_THE_END = {
    "fista": {"solver": "fista", "tol": 1e-9, "max_iter": 5000},
    "adam": {
        "batch_size": 100,
        "learning_rate": "adaptive",
        "learning_rate_init": 0.1,
        "n_iter_no_change": 50,
        "tol": 1e-13,
        "max_iter": 20_000,
    },
}


@pytest.mark.parametrize("settings", TO_THE_END.values(), ids=TO_THE_END)
def test_without_a_hidden_layer_the_group_lasso_is_multi_task_lasso(settings):
    theirs = MultiTaskLasso(0.2 * 3**0.5, tol=1e-14, max_iter=50_000).fit(X_multi, Y_multi)
    zero = (theirs.coef_ == 0).all(axis=0)
    assert 0 < zero.sum() < 12
    ours = RegularizedMLPRegressor(
        (), penalty="group_lasso", alpha=0.2, random_state=0, **settings
    ).fit(X_multi, Y_multi)
    np.testing.assert_allclose(ours.coefs_[0].T, theirs.coef_, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(ours.selected_features_, ~zero)


@pytest.mark.parametrize("penalty", ["l1", "l2", "mcp", "scad", "group_mcp", "group_scad"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("hidden", [(), (8,)])
def test_a_column_of_zeros_is_out_under_every_penalty(penalty, sparse, hidden):
    X, y = _problem()
    X[:, 3] = 0.0
    settings = {"max_iter": 5, "random_state": 0}
    free = RegularizedMLPRegressor(hidden, penalty=None, **settings)
    model = RegularizedMLPRegressor(hidden, penalty=penalty, **settings)
    # To partial_fit the column may come yet.
    first = RegularizedMLPRegressor(hidden, penalty=penalty, random_state=0)
    first.partial_fit(X[:1], y[:1])
    for each in (free, model):
        with pytest.warns(ConvergenceWarning):
            each.fit(csr_matrix(X) if sparse else X, y)
    assert np.flatnonzero(~model.selected_features_).tolist() == [3]
    assert free.selected_features_.all()
    assert first.selected_features_.all()


def _problem():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 12))
    return X, np.maximum(X[:, 0], X[:, 1]) + 0.05 * rng.normal(size=200)


X_net, y_net = _problem()
# A solver without noise stays in the first of a concave penalty's minima that it meets.
FITS = [
    ("group_lasso", 0.02, "adam"),
    ("group_lasso", 0.02, "sgd"),
    ("group_lasso", 0.02, "fista"),
    ("sparse_group_lasso", 0.02, "adam"),
    ("sparse_group_lasso", 0.02, "fista"),
    ("group_mcp", 0.065, "adam"),
    ("group_scad", 0.06, "adam"),
]


@pytest.mark.parametrize(("penalty", "alpha", "solver"), FITS)
def test_features_and_neurons_drop_out_of_a_network(penalty, alpha, solver):
    model = RegularizedMLPRegressor(
        (20,),
        penalty=penalty,
        alpha=alpha,
        solver=solver,
        learning_rate_init=0.02,
        max_iter=400,
        tol=1e-3 if solver == "fista" else 1e-4,
        random_state=0,
    ).fit(X_net, y_net)
    selected = np.flatnonzero(model.selected_features_).tolist()
    assert selected[:2] == [0, 1]
    assert len(selected) < 6 if "lasso" not in penalty else selected == [0, 1]
    first, last = model.coefs_
    assert 0 < (last != 0).any(axis=1).sum() < 20
    if penalty != "sparse_group_lasso":
        # As a whole or not at all.
        assert set((first != 0).sum(axis=1)) <= {0, 20}
    assert model.score(X_net, y_net) > 0.8


@every_kind
def test_biases_are_groups_of_one_and_left_alone_by_default(make):
    settings = {"penalty": make(None), "alpha": 0.3, "learning_rate_init": 0.02, "max_iter": 60}
    X, y = X_net, y_net + 5
    free = RegularizedMLPRegressor((5,), random_state=0, **settings)
    bound = clone(free).set_params(penalize_bias=True)
    for model in (free, bound):
        model.fit(X, y)
    assert all((b != 0).all() for b in free.intercepts_)
    assert any((b == 0).any() for b in bound.intercepts_)
    module = bound.net_.module_
    of_bias = bound.net_.optimizer_.param_groups[1]["penalty"]
    assert of_bias.grouping(module.bias).sizes == [1] * 6


def test_partial_fit_goes_on_under_another_kind_of_penalty():
    model = RegularizedMLPClassifier((8,), penalty="group_mcp", alpha=0.01, random_state=0)
    y = y_net > 0.5
    for penalty in ("group_mcp", "l1", "group_lasso", None, "sparse_group_lasso"):
        model.set_params(penalty=penalty).partial_fit(X_net, y, classes=[False, True])
    assert np.isfinite(model.predict_proba(X_net)).all()
    assert model.net_.optimizer_.state[model.net_.module_.weight]["step"] == 5


def test_the_net_reports_the_penalty_of_all_layers():
    model = RegularizedMLPRegressor(
        (4, 3), penalty="sparse_group_lasso", alpha=0.1, max_iter=1, random_state=0
    )
    model.fit(X_net, y_net)
    expected = sum(
        np.abs(w).sum() + w.shape[1] ** 0.5 * np.linalg.norm(w, axis=1).sum()
        for w in model.coefs_
    )
    assert float(model.net_.penalty_values()) == pytest.approx(0.05 * expected)
    # The flat tensor's layers are told to the optimizer's copy, not to the user's object.
    mine = GroupLasso(0.1)
    model.set_params(penalty=mine, alpha=1e-4).fit(X_net, y_net)
    assert mine._grouping is None


# ---------------------------------------------------------------------- reading the result

FRAME = pd.DataFrame(X_net, columns=[f"x{j}" for j in range(12)])
MODELS = {
    "regressor": (RegularizedMLPRegressor, y_net, "predict"),
    "classifier": (RegularizedMLPClassifier, (y_net > 0.5).astype(int), "predict_proba"),
}


@pytest.fixture(params=MODELS, scope="module")
def sparse(request):
    """A fitted network that a group penalty has made sparse, its target and its output."""
    estimator, y, output = MODELS[request.param]
    model = estimator(
        (16, 12),
        penalty="group_lasso",
        alpha=0.015,
        learning_rate_init=0.02,
        max_iter=400,
        random_state=0,
    )
    return model.fit(FRAME, y), y, output


def test_importances_and_selection_agree(sparse):
    model, _, output = sparse
    selected = model.selected_features_
    assert selected[:2].all()
    assert not selected.all()
    np.testing.assert_array_equal(model.feature_importances_ > 0, selected)
    assert model.feature_importances_[:2].min() > model.feature_importances_[2:].max()
    # A feature that is not selected may be anything.
    other = FRAME.copy()
    other.loc[:, ~selected] = 1e3
    predict = getattr(model, output)
    np.testing.assert_array_equal(predict(FRAME), predict(other))


def test_select_from_model(sparse):
    model, y, _ = sparse
    names = FRAME.columns[model.selected_features_]
    selector = SelectFromModel(model, prefit=True, threshold=1e-12).fit(FRAME, y)
    np.testing.assert_array_equal(selector.transform(FRAME), FRAME[names])
    selector = SelectFromModel(clone(model), threshold=1e-12).fit(FRAME, y)
    assert selector.get_feature_names_out().tolist() == names.tolist()


def test_compact_shrinks_every_layer(sparse):
    model, _, output = sparse
    small = model.compact()
    before, after = ([len(w) for w in m.coefs_] for m in (model, small))
    assert before == [12, 16, 12]
    assert all(0 < b < a for a, b in zip(before, after, strict=True))
    assert after[0] == model.selected_features_.sum()
    np.testing.assert_array_equal(small.selected_features_, model.selected_features_)
    importances = model.feature_importances_
    np.testing.assert_allclose(small.feature_importances_, importances, rtol=1e-10)
    theirs = getattr(model, output)(FRAME)
    np.testing.assert_allclose(getattr(small, output)(FRAME), theirs, atol=1e-10)
