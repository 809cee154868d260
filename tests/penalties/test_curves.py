"""Each proximal operator is the minimizer it says it is, at steps that differ by coordinate."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from scipy.optimize import minimize_scalar
from strategies import tensors

from skreg.penalties.curves import ElasticNetCurve, MCPCurve, SCADCurve, soft_threshold

strengths = tensors(shape=(2, 3), min_value=0.0, max_value=20.0)
points = tensors(shape=(2, 3))

shrink = ElasticNetCurve(l2=1.0).prox

# name: (prox(v, s), g(w)): prox(v, s) must minimize ½(w − v)² + s·g(w).
OPERATORS = {
    "soft_threshold": (soft_threshold, lambda w: abs(w)),
    "l1": (ElasticNetCurve(l1=1.0).prox, lambda w: abs(w)),
    "l2": (shrink, lambda w: 0.5 * w**2),
    "elastic_net": (ElasticNetCurve(0.3, 0.7).prox, lambda w: 0.3 * abs(w) + 0.35 * w**2),
}
every_operator = pytest.mark.parametrize(("prox", "g"), OPERATORS.values(), ids=OPERATORS)

# Of these the step and the strength are two things, and steps may be beyond gamma.
CONCAVE = {
    "mcp": (MCPCurve, st.floats(1.01, 6)),
    "scad": (SCADCurve, st.floats(2.01, 6)),
}
every_concave_operator = pytest.mark.parametrize(
    ("concave", "shapes"), CONCAVE.values(), ids=CONCAVE
)
CURVES = {
    "l1": lambda alpha: ElasticNetCurve(l1=alpha),
    "l2": lambda alpha: ElasticNetCurve(l2=alpha),
    "elastic_net": lambda alpha: ElasticNetCurve(alpha, 0.5 * alpha),
    "mcp": lambda alpha: MCPCurve(alpha, 2.5),
    "mcp_l2": lambda alpha: MCPCurve(alpha, 2.5, 0.4 * alpha),
    "scad": lambda alpha: SCADCurve(alpha, 3.0),
    "scad_l2": lambda alpha: SCADCurve(alpha, 3.0, 0.4 * alpha),
}
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
    concave, shapes, point, step, alpha, data
):
    curve = concave(alpha, data.draw(shapes))
    result = curve.prox(point, step)

    def objective(w):
        return 0.5 * (w - point) ** 2 + step * curve.value(w.abs())

    best = objective(result)
    grid = torch.linspace(-12, 12, 2401, dtype=torch.float64).reshape(-1, 1, 1)
    assert (objective(grid) >= best - 1e-9 * (1 + best)).all()
    assert (objective(torch.zeros_like(point)) >= best - 1e-9).all()
    assert (objective(point) >= best - 1e-9).all()
    # Nothing is pushed past zero or away from it.
    assert (result * point >= 0).all()
    assert (result.abs() <= point.abs()).all()


@pytest.mark.parametrize("make", CURVES.values(), ids=CURVES)
@given(point=points, step=STEPS)
def test_of_a_negative_number_a_curve_is_what_it_is_of_a_positive_one(make, point, step):
    curve = make(0.7)
    result = curve.prox_of_size(point.abs(), step)
    assert torch.equal(curve.prox(point, step), point.sign() * result)
    assert torch.equal(curve.prox(-point, step), -curve.prox(point, step))
    away = point[point != 0]
    torch.testing.assert_close(
        curve.subgradient(away), away.sign() * curve.slope(away.abs()).expand_as(away)
    )


@pytest.mark.parametrize("make", CURVES.values(), ids=CURVES)
@given(point=points, alpha=alphas)
def test_the_slope_is_autograds_derivative_of_the_value(make, point, alpha):
    size = point.abs().requires_grad_()
    curve = make(alpha)
    curve.value(size).sum().backward()
    inside = size.detach() > 0
    slope = torch.as_tensor(curve.slope(size.detach())).expand_as(size)
    torch.testing.assert_close(slope[inside], size.grad[inside], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("make", CURVES.values(), ids=CURVES)
@given(
    point=points,
    metric=tensors(shape=(2, 3), min_value=1e-3, max_value=1e3),
    scale=st.floats(1e-6, 30),
)
def test_the_prox_in_a_metric_is_that_of_its_step(make, point, metric, scale):
    curve, moved = make(0.7), point.clone()
    curve.prox_in_metric_(moved, metric.clone(), scale, torch.empty_like(point))
    torch.testing.assert_close(moved, curve.prox(point, scale / metric), rtol=1e-12, atol=1e-14)


@every_concave_operator
@given(point=points, alpha=alphas, data=st.data())
def test_concave_edges(concave, shapes, point, alpha, data):
    shape = data.draw(shapes)
    zero = torch.zeros_like(point)
    assert torch.equal(concave(alpha, shape).prox(point, 0.0), point)
    for step in (0.5, shape, shape - 1.0, shape + 1.0, 50.0):
        assert torch.equal(concave(0.0, shape).prox(point, step), point)
        assert (concave(alpha, shape).prox(zero, step) == 0).all()


@pytest.mark.parametrize("step", [3.0, 5.0, 100.0])
def test_beyond_gamma_the_mcp_is_a_hard_threshold(step):
    # DESIGN: at alpha·√(gamma·step).
    cut = 0.7 * (3.0 * step) ** 0.5
    point = torch.tensor([0.999 * cut, 1.001 * cut, -1.001 * cut], dtype=torch.float64)
    result = MCPCurve(0.7, 3.0).prox(point, step)
    assert torch.equal(result, point * torch.tensor([0.0, 1.0, 1.0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_concave_huge_and_tiny_values(dtype):
    info = torch.finfo(dtype)
    point = torch.tensor([info.max, -info.max, info.tiny, -info.tiny, 0.0], dtype=dtype)
    for step in (0.0, info.tiny, 1.0, 3.0, info.max / 4):
        for concave in (MCPCurve, SCADCurve):
            result = concave(0.7, 3.0).prox(point, step)
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
    for zero in (0.0, torch.zeros_like(strength)):
        l1, l2 = ElasticNetCurve(strength, zero), ElasticNetCurve(zero, strength)
        assert torch.equal(l1.prox(point, 1.0), soft_threshold(point, strength))
        assert torch.equal(l2.prox(point, 1.0), shrink(point, strength))


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
