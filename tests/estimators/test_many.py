"""Many estimators at once: cut into stacks, divided among threads, failing one by one."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from stacks import (
    ALPHAS,
    FOLDS,
    TABLES,
    Y,
    check_stack_against_single_fits,
    fit_in_stack,
    small,
)

import skreg.estimators.many
from skreg.estimators.many import Task, cut, fit_all

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training stopped after:sklearn.exceptions.ConvergenceWarning"
)


class TestCut:
    def test_architectures_are_kept_apart_and_chunks_are_even(self, monkeypatch):
        estimators = [
            small(alpha=alpha, hidden_layer_sizes=hidden)
            for alpha in np.logspace(-4, 0, 20)
            for hidden in ((8,), (9,))
        ]
        tasks = [Task(estimator, TABLES[0], Y[FOLDS[0]]) for estimator in estimators]
        assert [len(chunk) for chunk in cut(tasks, 1)] == [20, 20]
        assert [len(chunk) for chunk in cut(tasks, 2)] == [10, 10, 10, 10]
        # Room for 7 of (8,): a layer of 30 rows by 8 neurons in float64.
        monkeypatch.setattr(skreg.estimators.many, "_BYTES_OF_ACTIVATIONS", 7 * 30 * 8 * 8)
        sizes = [len(chunk) for chunk in cut(tasks[::2], 1)]
        assert sizes == [7, 7, 6]

    def test_neighbours_share_rows_and_learning_rates(self):
        tasks = [
            Task(small(learning_rate_init=rate), TABLES[fold], Y[FOLDS[fold]])
            for rate in (0.1, 0.2)
            for fold in (0, 1)
            for _ in range(2)
        ]
        (chunk,) = cut(tasks, 1)
        order = [
            (0 if task.X is TABLES[0] else 1, task.estimator.learning_rate_init)
            for task in chunk
        ]
        assert order == sorted(order)


def test_out_of_memory_halves_the_stack_and_goes_on(monkeypatch):
    sizes = []
    train_together = skreg.estimators.many.train_together

    def small_device(nets, *args):
        sizes.append(len(nets))
        if len(nets) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return train_together(nets, *args)

    monkeypatch.setattr(skreg.estimators.many, "train_together", small_device)
    members = [
        ({"alpha": alpha}, TABLES[0], Y[FOLDS[0]], None) for alpha in (*ALPHAS, 1.0, 2.0)
    ]
    check_stack_against_single_fits(small, members)
    assert sizes == [5, 2, 3, 2]


def test_threads_give_the_same_bits_as_one():
    def coefs(n_threads):
        models = [small(alpha=a, random_state=s) for a in ALPHAS for s in range(4)]
        fit_in_stack(models, TABLES[:1] * 12, [Y[FOLDS[0]]] * 12, n_threads=n_threads)
        return [coef for model in models for coef in model.coefs_]

    # Chunks differ, members do not: to rounding.
    for one, two in zip(coefs(1), coefs(2), strict=True):
        assert_allclose(one, two, rtol=0, atol=1e-12)


def test_progress_adds_up_to_the_number_of_fits():
    reported = []
    models = [small(alpha=a, tol=tol, n_iter_no_change=1) for a in ALPHAS for tol in (1e-9, 1)]
    tasks = [Task(model, TABLES[0], Y[FOLDS[0]]) for model in models]
    list(fit_all([tasks[:2], tasks[2:]], 1, reported.append))
    assert sum(reported) == pytest.approx(6)
    assert len(reported) > 20


def test_a_member_that_fails_takes_no_other_with_it():
    estimators = [small(alpha=0.01), small(alpha=-1.0), small(alpha=0.1)]
    tasks = fit_in_stack(estimators, TABLES[:1] * 3, [Y[FOLDS[0]]] * 3)
    assert [task.error is None for task in tasks] == [True, False, True]
    assert "'alpha' parameter" in tasks[1].error
    assert isinstance(tasks[1].exception, ValueError)
