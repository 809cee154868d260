"""Geometry: regions and solutions are those of the penalties."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skreg.penalties import L1, L2, MCP, ElasticNet, GroupLasso
from skreg.plotting import PenaltyGeometryDisplay

NAN = np.nan


def penalized_minimum(penalty, center, curvature):
    """Proximal gradient descent on the loss plus the penalty."""
    weight = torch.zeros(1, 2, dtype=torch.float64)
    step = 1 / np.linalg.eigvalsh(curvature)[-1]
    for _ in range(1000):
        gradient = (weight - torch.tensor(center)) @ torch.tensor(curvature)
        weight = penalty.prox(weight - step * gradient, step)
    return weight.numpy()[0]


@pytest.mark.parametrize(
    "penalty",
    [L1(0.5), L2(0.5), ElasticNet(0.7, 0.4)],
    ids=["l1", "l2", "elastic net"],
)
@given(
    center=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    correlation=st.floats(-0.6, 0.6),
    stretch=st.floats(0.5, 2.0),
)
@settings(max_examples=6)
def test_touching_point_is_the_penalized_minimum(penalty, center, correlation, stretch):
    # Lagrange: the minimum of loss + penalty is that of the loss where the penalty is
    # no larger. The region is made to pass through it, and the display must find it.
    curvature = np.array([[1.0, correlation], [correlation, stretch]])
    expected = penalized_minimum(penalty, center, curvature)
    value = float(penalty.value([torch.tensor(expected)[None]]))
    if value < 1e-3:
        return
    sizes = np.linspace(0, 10, 2)
    for _ in range(60):  # where the axis meets that level
        middle = sizes.mean()
        point = torch.tensor([[middle, 0.0]], dtype=torch.float64)
        sizes[int(float(penalty.value([point])) > value)] = middle
    display = PenaltyGeometryDisplay.from_penalties(
        {"it": penalty}, center=center, curvature=curvature, size=sizes.mean()
    )
    plt.close(display.figure_)
    np.testing.assert_allclose(display.solutions["it"], expected, atol=1e-4)


def test_regions_have_the_shapes_of_their_norms():
    display = PenaltyGeometryDisplay.from_penalties(
        {"L1": L1(0.3), "L2": L2(7.0)}, size=2.0, center=(0.5, 4.0)
    )
    np.testing.assert_allclose(np.abs(display.boundaries["L1"]).sum(1), 2.0)
    np.testing.assert_allclose(np.linalg.norm(display.boundaries["L2"], axis=1), 2.0)
    assert display.ax_.shape == (2,)
    assert display.ax_[0].get_title() == "L1\nw = (0, 2.00)"  # zero is written as 0


def test_non_convex_and_group_regions():
    penalties = {"MCP": MCP(1.0, gamma=1.5), "group": GroupLasso(1.0)}
    display = PenaltyGeometryDisplay.from_penalties(penalties)
    value = penalties["MCP"].value([torch.tensor(display.boundaries["MCP"])])
    np.testing.assert_allclose(value, 1 - 1 / 3, atol=1e-9)  # that of (1, 0), all along
    # Inside L1's diamond: a region that is not convex has sharper corners.
    assert np.abs(display.boundaries["MCP"]).sum(1).max() < 1 + 1e-9
    assert display.solutions["MCP"].tolist() == [0.0, 1.0]
    # Two weights that are one group: a circle.
    np.testing.assert_allclose(np.linalg.norm(display.boundaries["group"], axis=1), 1.0)


def test_a_minimum_inside_the_region_stays():
    display = PenaltyGeometryDisplay.from_penalties({"L2": L2(1.0)}, center=(0.3, 0.2))
    assert display.solutions["L2"].tolist() == [0.3, 0.2]


def test_geometry_wants_a_loss_with_a_minimum():
    with pytest.raises(ValueError, match="curvature must be symmetric and positive definite"):
        PenaltyGeometryDisplay.from_penalties({"L1": L1(1.0)}, curvature=[[1, 2], [2, 1]])


@pytest.mark.parametrize(
    ("penalties", "parameters", "error", "message"),
    [
        ([L1(1.0)], {}, TypeError, "takes a dict of titles and penalties, .* got list"),
        (L1(1.0), {}, TypeError, "takes a dict of titles and penalties, .* got L1"),
        ({"a": "l1"}, {}, TypeError, "objects of skreg.penalties, got 'l1' as 'a'"),
        ({}, {}, ValueError, "nothing to draw: give a penalty"),
        ({"a": L1(0.0)}, {}, ValueError, "no limit to the weights.*Give it a positive alpha"),
        ({"a": L1(NAN)}, {}, ValueError, "alpha must be finite"),
        ({"a": L1()}, {}, ValueError, "L1 has no alpha: give it one"),
        ({"a": L1(1.0)}, {"size": 0}, ValueError, "size must be positive and finite, got 0"),
        ({"a": L1(1.0)}, {"center": [1, NAN]}, ValueError, "center must be finite, and 1 of 2"),
        ({"a": L1(1.0)}, {"center": [1]}, ValueError, r"center must have .*got \(1,\) and"),
        ({"a": L1(1.0)}, {"curvature": np.eye(3)}, ValueError, r"\(2,\) and \(3, 3\)"),
    ],
)
def test_geometry_says_what_it_cannot_draw(penalties, parameters, error, message):
    with pytest.raises(error, match=message):
        PenaltyGeometryDisplay.from_penalties(penalties, **parameters)
