"""What solvers on all rows share: state, residual, penalties and members."""

import io
import pickle

import numpy as np
import torch
from optim_data import X_t, evaluate, y_t

from skreg.optim.fista import FISTA
from skreg.optim.full_batch import FullBatchOptimizer
from skreg.optim.optimality import optimality_residual
from skreg.penalties import L1, L2


def make(n_members=1, penalty=None):
    weight = torch.full((n_members, 8), 0.1, dtype=torch.float64)
    return weight, FISTA([{"params": [weight], "penalty": penalty or L1(0.1)}])


def stack_of(weight, scale):
    def function(with_gradients):
        residual = scale * (weight @ X_t.T) - y_t
        gradient = scale * (residual @ X_t) / len(y_t)
        return 0.5 * residual.square().mean(1), [gradient] if with_gradients else []

    return function


def test_a_state_dict_goes_on_bit_for_bit():
    weight, solver = make()
    for _ in range(7):
        solver.step(evaluate(weight))
    file = io.BytesIO()
    torch.save(solver.state_dict(), file)
    file.seek(0)
    resumed, fresh = make()
    resumed.copy_(weight)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    np.testing.assert_array_equal(fresh.n_evaluations, solver.n_evaluations)
    for weights, one in ((weight, solver), (resumed, fresh)):
        for _ in range(7):
            one.step(evaluate(weights))
    assert torch.equal(resumed, weight)


def test_a_state_dict_is_that_of_before_the_first_step_too():
    weight, solver = make()
    resumed, fresh = make()
    fresh.load_state_dict(pickle.loads(pickle.dumps(solver.state_dict())))
    solver.step(evaluate(weight))
    fresh.step(evaluate(resumed))
    assert torch.equal(resumed, weight)


def test_evaluations_are_counted_for_each_member():
    scale = torch.tensor([[1.0], [30.0]], dtype=torch.float64)
    weight, solver = make(2)
    assert solver.n_evaluations.tolist() == [0, 0]
    solver.step(stack_of(weight, scale))
    # The steeper loss takes more backtracking.
    assert solver.n_evaluations[1] > solver.n_evaluations[0] >= 2


def test_the_residual_takes_a_gradient_only_near_the_tolerance():
    weight, solver = make()
    taken = []

    def counting(with_gradients):
        taken.append(with_gradients)
        return evaluate(weight)(with_gradients)

    solver.step(evaluate(weight))
    assert solver.residual(counting, tol=torch.tensor([1e-9])) > 1e-9
    assert taken == []
    for _ in range(200):
        solver.step(evaluate(weight))
    residual = solver.residual(counting, tol=torch.tensor([1e-6]))
    assert taken == [True]
    _, gradients = evaluate(weight)(True)
    assert residual == optimality_residual([weight], gradients, [L1(0.1)])


def test_another_penalty_is_that_of_the_next_step():
    weight, solver = make()
    for group in solver.param_groups:
        solver.set_penalty(group, L2(0.1))
    for _ in range(200):
        solver.step(evaluate(weight))
    _, gradients = evaluate(weight)(True)
    assert optimality_residual([weight], gradients, [L2(0.1)]) < 1e-7


def test_there_are_no_moments_and_no_scratch():
    _, solver = make()
    assert solver.moments() == []
    solver.free_scratch()


def test_a_subclass_says_what_its_next_step_depends_on():
    class Counts(FullBatchOptimizer):
        name = "counts"
        _STATE = ("_gap", "_n_steps", "n_evaluations")

        def __init__(self, params):
            super().__init__(params)
            self._n_steps = torch.zeros(len(self._gap))

        def step(self, evaluate):
            self._n_steps += 1
            return evaluate(False)[0]

    weight = torch.zeros(1, 8, dtype=torch.float64)
    solver, fresh = (Counts([{"params": [weight]}]) for _ in range(2))
    solver.step(evaluate(weight))
    fresh.load_state_dict(solver.state_dict())
    assert fresh._n_steps.tolist() == [1.0]
