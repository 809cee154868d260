"""Penalties: value, subgradient and prox agree with each other, with autograd and by member."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from sklearn.base import clone
from strategies import tensors

from skreg.penalties import (
    L1,
    L2,
    MCP,
    SCAD,
    ElasticNet,
    GroupLasso,
    GroupMCP,
    GroupSCAD,
    Penalty,
    SparseGroupLasso,
)
from skreg.penalties.by_name import PENALTIES, make_penalty

CONVEX = {
    "l1": lambda alpha: L1(alpha=alpha),
    "l2": lambda alpha: L2(alpha=alpha),
    "elasticnet": lambda alpha: ElasticNet(alpha=alpha, l1_ratio=0.3),
}
CONCAVE = {
    "mcp": lambda alpha: MCP(alpha=alpha, gamma=2.5),
    "scad": lambda alpha: SCAD(alpha=alpha, a=3.0),
}
WITH_L2 = {
    "mcp_l2": lambda alpha: MCP(alpha=alpha, gamma=2.5, l2_ratio=0.4),
    "scad_l2": lambda alpha: SCAD(alpha=alpha, a=3.0, l2_ratio=0.4),
}
# Their proximal operators, whose steps are by group, are in test_groupwise.py.
GROUPS = {
    "group_lasso": lambda alpha: GroupLasso(alpha=alpha),
    "sparse_group_lasso": lambda alpha: SparseGroupLasso(alpha=alpha, l1_ratio=0.3),
    "group_mcp": lambda alpha: GroupMCP(alpha=alpha, gamma=2.5),
    "group_scad": lambda alpha: GroupSCAD(alpha=alpha, a=3.0),
}
GROUPS_WITH_L2 = {
    "group_mcp_l2": lambda alpha: GroupMCP(alpha=alpha, gamma=2.5, l2_ratio=0.4),
    "group_scad_l2": lambda alpha: GroupSCAD(alpha=alpha, a=3.0, l2_ratio=0.4),
}
NAMED = {**CONVEX, **CONCAVE, **GROUPS}
KINDS = {**NAMED, **WITH_L2, **GROUPS_WITH_L2}
ELEMENTWISE = {**CONVEX, **CONCAVE, **WITH_L2}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
every_elementwise_kind = pytest.mark.parametrize("make", ELEMENTWISE.values(), ids=ELEMENTWISE)
every_convex_kind = pytest.mark.parametrize("make", CONVEX.values(), ids=CONVEX)


def test_every_named_penalty_is_tested_here():
    assert set(NAMED) == set(PENALTIES)


@every_kind
@given(weight=tensors(), alpha=st.floats(0, 10))
def test_subgradient_is_autograds_gradient_of_the_value_and_zero_at_zero(make, weight, alpha):
    # Autograd too takes 0 for the derivative of |w| at 0.
    leaf = weight.clone().requires_grad_()
    make(alpha).value([leaf]).sum().backward()
    torch.testing.assert_close(make(alpha).subgradient(weight), leaf.grad, rtol=1e-7, atol=1e-9)
    assert (make(alpha).subgradient(torch.zeros_like(weight)) == 0).all()


@every_elementwise_kind
@given(weight=tensors(shape=(2, 3)), step=tensors(shape=(2, 3), min_value=1e-3, max_value=5.0))
def test_prox_minimizes_the_value_in_the_metric_of_the_steps(make, weight, step):
    penalty = make(0.7)

    def objective(w):
        return ((w - weight) ** 2 / (2 * step)).sum() + penalty.value([w]).sum()

    result = penalty.prox(weight, step)
    best = objective(result)
    rng = torch.Generator().manual_seed(0)
    for scale in (1.0, 1e-2, 1e-4):
        other = result + scale * torch.randn(2, 3, generator=rng, dtype=torch.float64)
        assert objective(other) >= best - 1e-12
    assert objective(torch.zeros_like(weight)) >= best - 1e-12


@every_convex_kind
@given(weight=tensors(shape=(2, 3)), step=tensors(shape=(2, 3), min_value=1e-3, max_value=5.0))
def test_what_prox_moves_is_a_subgradient_at_where_it_arrives(make, weight, step):
    # Optimality of the prox: (v − w)/s is the gradient at w, or at w = 0 no larger than L1's.
    penalty = make(0.7)
    result = penalty.prox(weight, step)
    pull = (weight - result) / step
    at_zero = result == 0
    torch.testing.assert_close(pull[~at_zero], penalty.subgradient(result)[~at_zero])
    reach = (0.7 * getattr(penalty, "l1_ratio", 1.0)) if not isinstance(penalty, L2) else 0.0
    assert (pull[at_zero].abs() <= reach + 1e-9).all()


@every_kind
@given(weight=tensors(shape=(3, 2, 2)))
def test_one_alpha_per_member_is_that_of_each_member_alone(make, weight):
    alphas = [0.0, 0.5, 3.0]
    stacked = make(alphas)
    step = 0.4
    for member, alpha in enumerate(alphas):
        alone, part = make(alpha), weight[member : member + 1]
        rows = slice(member, member + 1)
        assert torch.equal(stacked.value([weight])[rows], alone.value([part]))
        assert torch.equal(stacked.prox(weight, step)[rows], alone.prox(part, step))
        assert torch.equal(stacked.subgradient(weight)[rows], alone.subgradient(part))


def test_l1_ratio_may_be_one_per_member_and_its_ends_are_l1_and_l2():
    weight = torch.tensor([[-3.0, 0.5], [-3.0, 0.5]])
    mixed = ElasticNet(alpha=1.0, l1_ratio=torch.tensor([1.0, 0.0]))
    assert torch.equal(mixed.prox(weight, 1.0)[0], L1(1.0).prox(weight, 1.0)[0])
    assert torch.equal(mixed.prox(weight, 1.0)[1], L2(1.0).prox(weight, 1.0)[1])
    assert mixed.value([weight]).tolist() == [3.5, 4.625]


def test_value_adds_up_over_tensors_of_different_shapes():
    tensors_ = [torch.ones(2, 3, 4), 2 * torch.ones(2, 5)]
    assert L1(alpha=0.5).value(tensors_).tolist() == [11.0, 11.0]
    assert L2(alpha=1.0).value(tensors_).tolist() == [16.0, 16.0]
    # A generator does as well as a list.
    assert L1(alpha=0.5).value(t for t in tensors_).tolist() == [11.0, 11.0]


@pytest.mark.parametrize("concave", [MCP, SCAD, GroupMCP, GroupSCAD])
@given(weight=tensors(shape=(1, 3, 2)), alpha=st.floats(0.01, 2), step=st.floats(0.01, 1.5))
def test_mcp_and_scad_become_l1_where_they_are_flat_nowhere(concave, weight, alpha, step):
    # gamma and a towards infinity.
    convex = (GroupLasso if issubclass(concave, (GroupMCP, GroupSCAD)) else L1)(alpha)
    limit = concave(alpha, 1e12)
    torch.testing.assert_close(limit.value([weight]), convex.value([weight]), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        limit.subgradient(weight), convex.subgradient(weight), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        limit.prox(weight, step), convex.prox(weight, step), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("concave", [MCP, SCAD])
@given(
    weight=tensors(shape=(2, 3)),
    step=tensors(shape=(2, 3), min_value=1e-3, max_value=5.0),
    l2_ratio=st.floats(0, 3),
)
def test_with_l2_that_is_the_elastic_net(concave, weight, step, l2_ratio):
    penalty = concave(0.7, 1e12, l2_ratio=l2_ratio)
    net = ElasticNet(alpha=0.7 * (1 + l2_ratio), l1_ratio=1 / (1 + l2_ratio))
    torch.testing.assert_close(penalty.value([weight]), net.value([weight]))
    torch.testing.assert_close(penalty.subgradient(weight), net.subgradient(weight))
    torch.testing.assert_close(penalty.prox(weight, step), net.prox(weight, step))


def test_l2_of_a_concave_penalty_may_be_one_per_member():
    weight = torch.tensor([[4.0, 0.5], [4.0, 0.5]])
    both = MCP(alpha=1.0, l2_ratio=torch.tensor([0.0, 1.0]))
    assert both.prox(weight, 1.0).tolist() == [[4.0, 0.0], [pytest.approx(1.8), 0.0]]
    # γα²/2 and αr − r²/(2γ); then ½·(16 + ¼) more.
    assert both.value([weight]).tolist() == pytest.approx([1.5 + 0.5 - 1 / 24, 10.0833333])
    with pytest.raises(ValueError, match="l2_ratio must be finite and at least 0"):
        MCP(alpha=1.0, l2_ratio=-1.0).check()


@pytest.mark.parametrize("concave", [MCP, SCAD])
def test_large_weights_cost_no_more_and_are_not_shrunk(concave):
    weight = torch.tensor([[10.0, 20.0]], dtype=torch.float64)
    penalty = concave(alpha=1.0)
    assert penalty.value([weight[:, :1]]) == penalty.value([weight[:, 1:]])
    assert torch.equal(penalty.prox(weight, 0.5), weight)
    assert (penalty.subgradient(weight) == 0).all()
    # MCP: γα²/2; SCAD: α²(a + 1)/2.
    expected = 1.5 if concave is MCP else 0.5 * 4.7
    assert float(penalty.value([weight[:, :1]])) == pytest.approx(expected)


@every_kind
def test_a_penalty_is_a_scikit_learn_object(make):
    penalty = make(0.1)
    assert isinstance(penalty, Penalty)
    assert clone(penalty).get_params() == penalty.get_params()
    assert penalty.set_params(alpha=0.2).alpha == 0.2


@every_kind
def test_numpy_alphas_and_integers_do(make):
    weight = torch.ones(2, 3, 2)
    assert torch.equal(
        make(np.array([1.0, 2.0])).prox(weight, 0.1), make([1, 2]).prox(weight, 0.1)
    )


def test_without_alpha_the_error_says_how_to_give_one():
    with pytest.raises(ValueError, match=r"L1 has no alpha.*L1\(alpha=0.01\).*estimator"):
        L1().prox(torch.ones(1, 2), 0.1)
    with pytest.raises(ValueError, match="ElasticNet has no l1_ratio"):
        ElasticNet(alpha=1.0).value([torch.ones(1, 2)])


@pytest.mark.parametrize("name", [name for name in PENALTIES if "group" not in name])
@pytest.mark.parametrize("per_member", [False, True])
@given(
    weight=tensors(shape=(2, 3)),
    metric=tensors(shape=(2, 3), min_value=1e-3, max_value=1e3),
    scale=st.sampled_from([1e-6, 1e-3, 1.0, 30.0]),
    alpha=st.sampled_from([1e-6, 0.1, 5.0]),
)
def test_the_prox_in_a_metric_is_that_of_its_step(
    name, per_member, weight, metric, scale, alpha
):
    penalty = make_penalty(name, [alpha, 2 * alpha] if per_member else alpha, 0.3)
    expected = penalty.prox(weight, scale / metric)
    moved = weight.clone()
    move = penalty.plan_prox_in_metric(moved)
    move(moved, metric.clone(), scale, torch.empty_like(weight))
    torch.testing.assert_close(moved, expected, rtol=1e-12, atol=1e-14)
