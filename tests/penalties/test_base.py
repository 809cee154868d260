"""What all penalties share: parameters in range and per member, and where they are put on."""

import numpy as np
import pytest
import torch
from user_penalties import WithGamma

from skreg.penalties import L1, L2, GroupLasso, Penalty, SparseGroupLasso
from skreg.penalties.base import Columns, Layout, adaptive_factors, total
from skreg.penalties.by_name import make_penalty


def test_as_many_alphas_as_members():
    with pytest.raises(ValueError, match=r"L1.alpha has shape \(3,\).*stack of 2 members"):
        L1(alpha=[1.0, 2.0, 3.0]).prox(torch.ones(2, 2), 0.1)


class TestBind:
    def test_a_penalty_that_need_not_know_is_itself(self):
        layout = Layout([(2, 2)], Columns(2), torch.ones(1, 4))
        for penalty in (L1(0.1), L2(0.1)):
            assert penalty.bind(layout) is penalty

    def test_what_is_bound_is_a_copy(self):
        mine = GroupLasso(0.1, groups=[[0, 2]])
        bound = mine.bind(Layout([(3, 2), (2, 1)], Columns(3)))
        assert mine._grouping is None
        weight = torch.ones(1, 8)
        assert bound.grouping(weight).sizes == [4, 2, 1, 1]
        # Of the columns that are left, and where the inputs are no features.
        left = mine.bind(Layout([(2, 2)], Columns(3, inputs=[2, 1])))
        assert left.grouping(weight[:, :4]).sizes == [2, 2]
        assert mine.bind(Layout([(3, 2)])).grouping(weight[:, :6]).sizes == [2, 2, 2]

    def test_names_are_those_of_all_columns(self):
        columns = Columns(3, ["city_a", "age", "city_b"], [0, 2])
        bound = GroupLasso(0.1, groups=["city_"]).bind(Layout([(2, 2)], columns))
        assert bound.grouping(torch.ones(1, 4)).sizes == [4]

    def test_strengths_adapt_to_an_initial_fit(self):
        initial = torch.tensor([[2.0, 0.5, 0.0, 4.0]])
        bound = L1(0.1, adaptive=True).bind(Layout([(2, 2)], initial=initial))
        threshold = 1.0 - bound.prox(torch.ones(1, 4), 1.0)
        torch.testing.assert_close(threshold, torch.tensor([[0.05, 0.2, 1.0, 0.025]]))
        both = SparseGroupLasso(0.1, 0.5, adaptive=True).bind(Layout([(2, 2)], initial=initial))
        assert torch.equal(both._l1_factors, bound._factors)

    def test_one_that_adapts_is_used_on_an_initial_fit_alone(self):
        with pytest.raises(ValueError, match="takes its strengths from an initial fit"):
            L1(0.1, adaptive=True).bind(Layout([(2, 2)])).value([torch.ones(1, 4)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_an_initial_fit_is_zero_factors_are_large_and_finite(dtype):
    factors = adaptive_factors(torch.tensor([[0.0, 2.0], [0.0, 0.0]], dtype=dtype))
    assert torch.isfinite(factors).all()
    assert factors[0, 1] == 0.5
    assert factors[0, 0] > 1e6


def test_sums_over_all_but_the_members():
    terms = [torch.ones(2, 3, 4), torch.tensor([[1.0], [2.0]])]
    assert total(iter(terms)).tolist() == [13.0, 14.0]


class Negative(Penalty):
    """A user's penalty, which says nothing of where it is put on."""

    def __init__(self, alpha=None):
        self.alpha = alpha

    def value(self, weights):
        return total(self._along_members("alpha", w) * (-w).clamp(min=0) for w in weights)

    def subgradient(self, weight):
        return -self._along_members("alpha", weight) * (weight < 0)

    def prox(self, weight, step):
        up = weight + step * self._along_members("alpha", weight)
        return torch.where(weight < 0, up.clamp(max=0), weight)


def test_a_users_penalty_has_what_optimizers_ask_for():
    penalty, weight = Negative(0.5), torch.tensor([[-3.0, -0.1, 2.0]])
    assert penalty.bind(Layout([(3, 1)], Columns(3))) is penalty
    metric, moved = torch.tensor([[2.0, 0.5, 1.0]]), weight.clone()
    penalty.plan_prox_in_metric(moved)(moved, metric.clone(), 0.4, torch.empty_like(weight))
    torch.testing.assert_close(moved, penalty.prox(weight, 0.4 / metric))


class Ranged(WithGamma):
    _ranges = {**WithGamma._ranges, "gamma": (lambda v: v <= 0.5, "finite and at most 0.5")}


class TestParametersOfAUsersOwn:
    def test_without_a_range_they_must_be_finite(self):
        assert make_penalty(WithGamma(gamma=-3.0), 0.1, 0.5).gamma == -3.0
        for gamma in (np.nan, [0.1, np.inf]):
            with pytest.raises(ValueError, match="gamma must be finite"):
                make_penalty(WithGamma(gamma=gamma), 0.1, 0.5)

    def test_with_a_range_they_must_be_in_it(self):
        # Another one than MCP has for a parameter of that name.
        assert make_penalty(Ranged(gamma=0.1), 0.1, 0.5).gamma == 0.1
        with pytest.raises(ValueError, match=r"gamma=0.6\): gamma must be finite and at most"):
            make_penalty(Ranged(gamma=0.6), 0.1, 0.5)
        with pytest.raises(ValueError, match="alpha must be finite and at least 0"):
            make_penalty(Ranged(alpha=-1.0), 1e-4, 0.5)

    def test_one_per_member_is_each_members_own_alone(self):
        weight = torch.tensor([[-3.0, 0.5], [-3.0, 0.5]])
        both = WithGamma(alpha=1.0, gamma=[0.5, 2.0])
        for member, gamma in enumerate([0.5, 2.0]):
            alone = WithGamma(alpha=1.0, gamma=gamma).prox(weight[member : member + 1], 0.7)
            assert torch.equal(both.prox(weight, 0.7)[member : member + 1], alone)
