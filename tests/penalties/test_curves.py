"""Each proximal operator is the minimizer it says it is, at steps that differ by coordinate."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from scipy.optimize import minimize_scalar
from strategies import tensors

from skreg.penalties.concave import mcp_value, scad_value
from skreg.penalties.curves import elastic_net_prox, mcp_prox, scad_prox, shrink, soft_threshold

strengths = tensors(shape=(2, 3), min_value=0.0, max_value=20.0)
points = tensors(shape=(2, 3))

# name: (prox(v, s), g(w)): prox(v, s) must minimize ½(w − v)² + s·g(w).
OPERATORS = {
    "soft_threshold": (soft_threshold, lambda w: abs(w)),
    "shrink": (shrink, lambda w: 0.5 * w**2),
    "elastic_net": (
        lambda v, s: elastic_net_prox(v, 0.3 * s, 0.7 * s),
        lambda w: 0.3 * abs(w) + 0.35 * w**2,
    ),
}
every_operator = pytest.mark.parametrize(("prox", "g"), OPERATORS.values(), ids=OPERATORS)

# Of these the step and the strength are two things, and steps may be beyond gamma.
CONCAVE = {
    "mcp": (mcp_prox, mcp_value, st.floats(1.01, 6)),
    "scad": (scad_prox, scad_value, st.floats(2.01, 6)),
}
every_concave_operator = pytest.mark.parametrize(
    ("prox", "penalty", "shapes"), CONCAVE.values(), ids=CONCAVE
)
alphas = tensors(shape=(2, 3), min_value=0.0, max_value=4.0)
STEPS = tensors(shape=(2, 3), min_value=0.0, max_value=12.0)


@every_operator
@given(point=points, strength=strengths)
def test_no_point_around_is_better(prox, g, point, strength):
    result = prox(point, strength)

    def objective(w):
        return 0.5 * (w - point) ** 2 + strength * g(w)

    best = objective(result)
    for offset in (-1.0, -1e-2, -1e-4, 1e-4, 1e-2, 1.0):
        assert (objective(result + offset) >= best - 1e-12 * (1 + best)).all()
    assert (objective(torch.zeros_like(point)) >= best - 1e-12).all()


@every_operator
@given(v=st.floats(-10, 10), s=st.floats(0, 20))
def test_equals_numerical_minimization(prox, g, v, s):
    reference = minimize_scalar(
        lambda w: 0.5 * (w - v) ** 2 + s * g(w),
        bounds=(-abs(v) - 1, abs(v) + 1),
        method="bounded",
        options={"xatol": 1e-11},
    )
    # A minimizer of function values is only good to the root of the rounding.
    assert prox(torch.tensor(v, dtype=torch.float64), s) == pytest.approx(
        reference.x, abs=1e-6 * (1 + abs(v))
    )


@every_operator
@given(a=points, b=points, strength=strengths)
def test_non_expansive_coordinate_by_coordinate(prox, g, a, b, strength):
    moved = (prox(a, strength) - prox(b, strength)).abs()
    assert (moved <= (a - b).abs() + 1e-12).all()


@every_concave_operator
@given(point=points, step=STEPS, alpha=alphas, data=st.data())
def test_no_point_anywhere_is_better_under_a_concave_penalty(
    prox, penalty, shapes, point, step, alpha, data
):
    shape = data.draw(shapes)
    result = prox(point, step, alpha, shape)

    def objective(w):
        return 0.5 * (w - point) ** 2 + step * penalty(w.abs(), alpha, shape)

    best = objective(result)
    grid = torch.linspace(-12, 12, 2401, dtype=torch.float64).reshape(-1, 1, 1)
    assert (objective(grid) >= best - 1e-9 * (1 + best)).all()
    assert (objective(torch.zeros_like(point)) >= best - 1e-9).all()
    assert (objective(point) >= best - 1e-9).all()
    # Nothing is pushed past zero or away from it.
    assert (result * point >= 0).all()
    assert (result.abs() <= point.abs()).all()


@every_concave_operator
@given(point=points, alpha=alphas, data=st.data())
def test_concave_edges(prox, penalty, shapes, point, alpha, data):
    shape = data.draw(shapes)
    zero = torch.zeros_like(point)
    assert torch.equal(prox(point, 0.0, alpha, shape), point)
    for step in (0.5, shape, shape - 1.0, shape + 1.0, 50.0):
        assert torch.equal(prox(point, step, 0.0, shape), point)
        assert (prox(zero, step, alpha, shape) == 0).all()


@pytest.mark.parametrize("step", [3.0, 5.0, 100.0])
def test_beyond_gamma_the_mcp_is_a_hard_threshold(step):
    # DESIGN: at alpha·√(gamma·step).
    cut = 0.7 * (3.0 * step) ** 0.5
    point = torch.tensor([0.999 * cut, 1.001 * cut, -1.001 * cut], dtype=torch.float64)
    result = mcp_prox(point, step, 0.7, 3.0)
    assert torch.equal(result, point * torch.tensor([0.0, 1.0, 1.0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_concave_huge_and_tiny_values(dtype):
    info = torch.finfo(dtype)
    point = torch.tensor([info.max, -info.max, info.tiny, -info.tiny, 0.0], dtype=dtype)
    for step in (0.0, info.tiny, 1.0, 3.0, info.max / 4):
        for prox in (mcp_prox, scad_prox):
            result = prox(point, step, 0.7, 3.0)
            assert result.dtype == dtype
            assert torch.equal(result[:2], point[:2])
            assert torch.isfinite(result).all()


@given(point=points, strength=strengths)
def test_moreau_identity_of_the_l1_norm(point, strength):
    # The conjugate of s|·| is the indicator of [−s, s], whose prox is the projection on it:
    # v = prox_{s|·|}(v) + clip(v, −s, s).
    projection = torch.from_numpy(np.clip(point.numpy(), -strength.numpy(), strength.numpy()))
    torch.testing.assert_close(soft_threshold(point, strength) + projection, point)


@given(point=points, strength=strengths)
def test_moreau_identity_of_half_the_squared_norm(point, strength):
    # The conjugate of s·½w² is u²/(2s); its prox with step 1 is v·s/(1 + s).
    conjugate = point * strength / (1 + strength)
    torch.testing.assert_close(shrink(point, strength) + conjugate, point)


@given(point=points, strength=strengths)
def test_l1_and_l2_are_the_ends_of_the_elastic_net(point, strength):
    zero = torch.zeros_like(strength)
    assert torch.equal(elastic_net_prox(point, strength, zero), soft_threshold(point, strength))
    assert torch.equal(elastic_net_prox(point, zero, strength), shrink(point, strength))


@every_operator
@given(point=points)
def test_zero_strength_changes_nothing(prox, g, point):
    assert torch.equal(prox(point, 0.0), point)
    assert torch.equal(prox(point, torch.zeros_like(point)), point)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_threshold_itself_and_below_give_zeros_that_are_exact_and_positive(dtype):
    point = torch.tensor([-1.0, -0.1, -0.0, 0.0, 0.1, 1.0], dtype=dtype)
    result = soft_threshold(point, 1.0)
    assert (result == 0).all()
    assert not torch.signbit(result).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_huge_and_tiny_values_stay_finite(dtype):
    info = torch.finfo(dtype)
    point = torch.tensor([info.max, -info.max, info.tiny, -info.tiny, 0.0], dtype=dtype)
    for strength in (0.0, info.tiny, 1.0, info.max / 4):
        for prox, _ in OPERATORS.values():
            assert torch.isfinite(prox(point, strength)).all()
    assert (soft_threshold(point, info.max) == 0).all()


def test_each_coordinate_has_its_own_step_and_dtype_is_kept():
    point = torch.tensor([2.0, 2.0, 2.0])
    result = soft_threshold(point, torch.tensor([0.5, 1.0, 3.0]))
    assert result.tolist() == [1.5, 1.0, 0.0]
    assert result.dtype == torch.float32
