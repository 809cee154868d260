"""Penalties by name, and objects that take what they lack from an estimator."""

import numpy as np
import pytest

from skreg.penalties import L1, L2, MCP, SCAD, ElasticNet, GroupLasso, GroupMCP, GroupSCAD
from skreg.penalties.by_name import PENALTIES, adapts, make_penalty


@pytest.mark.parametrize("name", PENALTIES)
def test_a_name_is_its_class_with_the_estimators_strengths(name):
    made = make_penalty(name, 0.3, 0.7)
    assert type(made) is PENALTIES[name]
    assert made.alpha == 0.3
    assert getattr(made, "l1_ratio", 0.7) == 0.7


def test_which_penalties_adapt():
    assert adapts(L1(0.1, adaptive=True))
    assert adapts(GroupLasso(0.1, adaptive=True))
    for penalty in (None, L1(0.1), L2(0.1), MCP(0.1), GroupMCP(0.1)):
        assert not adapts(penalty)


class TestMakePenalty:
    def test_none_and_zero_are_no_penalty(self):
        assert make_penalty(None, 1.0, 0.5) is None
        assert make_penalty("l1", 0.0, 0.5) is None
        assert make_penalty(L2(alpha=0.0), 1e-4, 0.5) is None

    def test_an_object_takes_what_it_lacks_from_the_estimator_and_is_left_as_it_was(self):
        mine = ElasticNet(l1_ratio=0.9)
        made = make_penalty(mine, 0.3, 0.5)
        assert (made.alpha, made.l1_ratio) == (0.3, 0.9)
        assert mine.alpha is None

    def test_a_value_given_twice_is_an_error_that_names_both(self):
        with pytest.raises(ValueError, match=r"alpha is given twice: alpha=0.3 and penalty=L1"):
            make_penalty(L1(alpha=0.1), 0.3, 0.5)
        with pytest.raises(ValueError, match=r"l1_ratio is given twice.*penalty__l1_ratio"):
            make_penalty(ElasticNet(l1_ratio=0.2), 0.3, 0.7)

    @pytest.mark.parametrize("alpha", [-1.0, np.nan, np.inf])
    def test_strengths_out_of_range_are_errors(self, alpha):
        with pytest.raises(ValueError, match="alpha must be finite and at least 0"):
            make_penalty(L1(alpha=alpha), 1e-4, 0.5)
        with pytest.raises(ValueError, match="l1_ratio must be between 0 and 1"):
            make_penalty(ElasticNet(alpha=1.0, l1_ratio=1.5), 1e-4, 0.5)

    @pytest.mark.parametrize("kind", [MCP, GroupMCP])
    @pytest.mark.parametrize("gamma", [1.0, -3.0, np.inf, np.nan, [3.0, 0.5]])
    def test_gamma_out_of_range_is_an_error(self, kind, gamma):
        with pytest.raises(
            ValueError, match=r"^(Group)?MCP\(gamma=.*\): gamma must be finite and ab"
        ):
            make_penalty(kind(gamma=gamma), 0.1, 0.5)

    @pytest.mark.parametrize("kind", [SCAD, GroupSCAD])
    def test_a_out_of_range_is_an_error(self, kind):
        with pytest.raises(ValueError, match=r"SCAD\(a=2.0\): a must be finite and above 2"):
            make_penalty(kind(a=2.0), 0.1, 0.5)
