"""The table of solvers is what the estimators offer, and what it refuses is refused."""

import inspect
from functools import partial

import numpy as np
import pytest

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor, RegularizedNetRegressor
from skreg.estimators.many import Task, cut
from skreg.estimators.solvers import SOLVERS, Solver, free_settings, takes_batches
from skreg.losses import Quantile, SquaredError
from skreg.optim.base import PENALTY_METHODS

every_solver = pytest.mark.parametrize("name", SOLVERS)
X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


@every_solver
def test_a_row_bears_the_name_of_its_optimizer_and_gives_what_that_takes(name):
    solver = SOLVERS[name]
    assert solver.optimizer.name == name
    made = solver.make(RegularizedMLPRegressor(solver=name))
    assert isinstance(made, partial)
    taken = inspect.signature(solver.optimizer).parameters
    assert set(solver.settings) <= set(taken)
    assert set(solver.optimizer.per_member) <= set(solver.settings)


@every_solver
def test_settings_of_an_estimator_reach_the_optimizer(name):
    parameters = {
        "learning_rate_init": 0.03,
        "momentum": 0.7,
        "nesterovs_momentum": False,
        "beta_1": 0.8,
        "beta_2": 0.95,
        "epsilon": 1e-6,
    }
    settings = SOLVERS[name].make(RegularizedMLPRegressor(**parameters)).keywords
    expected = {
        "adam": {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-6, "stacked": True},
        "sgd": {"lr": 0.03, "momentum": 0.7, "nesterov": False},
        "fista": {},
    }[name]
    if expected:
        expected["penalty_method"] = "proximal"
    assert settings == expected


@every_solver
@pytest.mark.parametrize("method", PENALTY_METHODS)
def test_penalty_methods_are_those_of_the_table(name, method):
    solver = SOLVERS[name]
    if method in solver.penalty_methods:
        solver.check_penalty_method(method)
        return
    message = rf"solver='{name}'.*penalty_method='{method}'.*solver='adam' or 'sgd'"
    with pytest.raises(ValueError, match=message):
        solver.check_penalty_method(method)


@every_solver
def test_losses_are_those_of_the_table(name):
    solver = SOLVERS[name]
    solver.check_loss(SquaredError(), "")
    for loss, varying, needs in (
        (Quantile(0.5), "", solver.needs_smooth_loss),
        (SquaredError(), "dropout=0.5", solver.needs_fixed_loss),
    ):
        if not needs:
            solver.check_loss(loss, varying)
            continue
        with pytest.raises(ValueError, match=rf"solver='{name}' needs a.*solver='adam' or"):
            solver.check_loss(loss, varying)


@every_solver
@pytest.mark.parametrize("estimator", [RegularizedMLPRegressor, RegularizedNetRegressor])
def test_partial_fit_is_there_where_rows_come_in_batches(name, estimator):
    model = estimator(*([] if estimator is RegularizedMLPRegressor else [int]), solver=name)
    assert hasattr(model, "partial_fit") == (not SOLVERS[name].full_batch)


def test_partial_fit_names_the_solvers_that_have_it():
    with pytest.raises(AttributeError, match=r"solver='fista' needs all.*'adam' or 'sgd'"):
        takes_batches(RegularizedMLPClassifier(solver="fista"))


@every_solver
def test_members_of_a_stack_differ_in_what_the_optimizer_takes_by_member(name):
    optimizer, settings = SOLVERS[name].optimizer, SOLVERS[name].settings
    free = free_settings(name)
    for setting, source in settings.items():
        if isinstance(source, str):
            assert (source in free) == (setting in optimizer.per_member)
    values = {"momentum": (0.5, 0.9), "beta_1": (0.5, 0.9), "learning_rate_init": (0.1, 0.2)}
    for parameter, two in values.items():
        tasks = [
            Task(RegularizedMLPRegressor((4,), solver=name, **{parameter: value}), X, X[:, 0])
            for value in two
        ]
        assert len(cut(tasks, 1)) == (1 if parameter in free else 2)


def test_a_solver_that_is_none_is_left_to_the_check_of_parameters():
    assert free_settings("lbfgs") == set()
    with pytest.raises(AttributeError, match="solver='lbfgs'"):
        takes_batches(RegularizedMLPRegressor(solver="lbfgs"))
    task = Task(RegularizedMLPRegressor((4,), solver="lbfgs"), X, X[:, 0])
    assert cut([task], 1) == [[task]]


def test_a_new_row_needs_its_optimizer_alone():
    class Optimizer:
        name, full_batch, line_search, per_member = "mine", True, False, ()

    solver = Solver(Optimizer)
    assert solver.full_batch
    assert not solver.line_search
    assert solver.make(None).func is Optimizer
    assert solver.penalty_methods == PENALTY_METHODS
