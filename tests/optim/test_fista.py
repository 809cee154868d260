"""FISTA: exact answers, descent on any problem, and a member's steps whoever is with it."""

import numpy as np
import pytest
import torch
from optim_data import X, X_t, evaluate, every_problem, y, y_t

from skreg.optim.fista import FISTA
from skreg.penalties import L1


@every_problem
def test_fista_solves_every_problem(penalty, linear):
    weight = torch.zeros(1, 8, dtype=torch.float64)
    solver = FISTA([{"params": [weight], "penalty": penalty}])
    for _ in range(200):
        solver.step(evaluate(weight))
    coef = linear.fit(X, y).coef_
    np.testing.assert_allclose(weight[0].numpy(), coef, rtol=1e-7, atol=1e-12)
    np.testing.assert_array_equal(weight[0].numpy() == 0, coef == 0)
    assert solver.residual(evaluate(weight), tol=1.0) < 1e-7


def test_members_have_steps_of_their_own():
    scale = torch.tensor([[1.0], [30.0]], dtype=torch.float64)

    def solve(scale, alpha):
        weight = torch.zeros(len(scale), 8, dtype=torch.float64)

        def function(with_gradients):
            residual = scale * (weight @ X_t.T) - y_t
            gradient = scale * (residual @ X_t) / len(y_t)
            return 0.5 * residual.square().mean(1), [gradient] if with_gradients else []

        solver = FISTA([{"params": [weight], "penalty": L1(alpha)}])
        for _ in range(60):
            solver.step(function)
        return weight

    together = solve(scale, [0.1, 0.4])
    for member, alpha in enumerate((0.1, 0.4)):
        alone = solve(scale[member : member + 1], alpha)
        torch.testing.assert_close(together[member], alone[0], rtol=1e-10, atol=1e-12)


class TestFista:
    def test_the_objective_never_rises_on_a_non_convex_problem(self):
        weight = torch.tensor([[0.3, -1.2, 2.0]], dtype=torch.float64)
        penalty = L1(0.05)

        def function(with_gradients):
            values = (weight.square() - 1).square().sum(1) + weight.sin().sum(1)
            gradient = 4 * weight * (weight.square() - 1) + weight.cos()
            return values, [gradient] if with_gradients else []

        solver = FISTA([{"params": [weight], "penalty": penalty}])
        objectives = []
        for _ in range(80):
            objectives.append(float(function(False)[0] + penalty.value([weight])))
            solver.step(function)
        assert (np.diff(objectives) <= 1e-12).all()
        assert solver.residual(function, tol=1.0) < 1e-6

    def test_float32_settles_as_well(self):
        # Near the optimum every step passes the descent test within rounding; the step must
        # not grow without bound there.
        weight = torch.zeros(1, 2)
        target = torch.tensor([[3.0, 0.5]])
        solver = FISTA([{"params": [weight], "penalty": L1(1.0)}])

        def function(with_gradients):
            gradients = [weight - target] if with_gradients else []
            return 0.5 * (weight - target).square().sum(1), gradients

        for _ in range(300):
            solver.step(function)
        assert weight.tolist() == [[pytest.approx(2.0, abs=1e-6), 0.0]]

    def test_a_loss_that_is_not_finite_ends_the_line_search_where_it_began(self):
        weight = torch.zeros(1, 2)
        solver = FISTA([{"params": [weight], "penalty": None}])
        solver.step(lambda g: (torch.tensor([float("nan")]), [torch.ones(1, 2)] if g else []))
        assert weight.tolist() == [[0.0, 0.0]]
