"""Rows, small estimators, and fits of them in stacks that are compared with fits alone."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor
from skreg.estimators.many import Task, fit_all

_rng = np.random.default_rng(0)
X = _rng.normal(size=(120, 6))
Y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0) + 0.1 * _rng.normal(size=120)
KINDS = {
    "regressor": (RegularizedMLPRegressor, Y),
    "two outputs": (RegularizedMLPRegressor, np.column_stack([Y, X[:, 3]])),
    "binary": (RegularizedMLPClassifier, np.where(Y > 0, "yes", "no")),
    "multiclass": (RegularizedMLPClassifier, np.digitize(Y, [-1, 1])),
    "multilabel": (RegularizedMLPClassifier, (X[:, :3] > 0).astype(int)),
}
FOLDS = [np.arange(120) % 3 != fold for fold in range(3)]
TABLES = [X[fold] for fold in FOLDS]
ALPHAS = (0.003, 0.03, 0.3)


def small(estimator=RegularizedMLPRegressor, **settings):
    settings = {
        "hidden_layer_sizes": (8,),
        "penalty": "l1",
        "learning_rate_init": 0.02,
        "batch_size": 30,
        "max_iter": 25,
        "random_state": 0,
        **settings,
    }
    return estimator(**settings)


def fit_in_stack(estimators, tables, targets, weights=None, n_threads=1):
    weights = weights or [None] * len(estimators)
    tasks = [
        Task(*parts, label=number)
        for number, parts in enumerate(zip(estimators, tables, targets, weights, strict=True))
    ]
    done = list(fit_all([tasks], n_threads))
    assert sorted(task.label for task in done) == list(range(len(tasks)))
    return tasks


def assert_same_model(stacked, alone, tolerance=1e-9):
    assert stacked.n_iter_ == alone.n_iter_
    for ours, theirs in zip(
        stacked.coefs_ + stacked.intercepts_, alone.coefs_ + alone.intercepts_, strict=True
    ):
        assert_allclose(ours, theirs, rtol=0, atol=tolerance)
        assert_array_equal(ours == 0, theirs == 0)
    assert_allclose(stacked.loss_curve_, alone.loss_curve_, rtol=1e-7)
    assert_allclose(stacked.penalty_curve_, alone.penalty_curve_, rtol=1e-7)
    assert stacked.t_ == alone.t_
    if alone.validation_scores_ is not None:
        assert_allclose(stacked.validation_scores_, alone.validation_scores_, rtol=1e-9)
    assert len(stacked.net_.history) == len(alone.net_.history)
    assert stacked.net_.history[-1].keys() >= alone.net_.history[-1].keys() - {"batches"}


def check_stack_against_single_fits(make, members, *, goes_on=False, **options):
    """`members`: (settings, table, target, weights) of each."""
    settings, tables, targets, weights = zip(*members, strict=True)
    stacked = [make(**own) for own in settings]
    for task in fit_in_stack(stacked, tables, targets, list(weights), **options):
        assert task.error is None, task.error
    for one, own, table, target, weight in zip(
        stacked, settings, tables, targets, weights, strict=True
    ):
        alone = make(**own).fit(table, target, weight)
        assert_same_model(one, alone)
        if goes_on:
            assert_same_model(one.partial_fit(table, target), alone.partial_fit(table, target))
