"""How the estimators train: step by step, going on, stopping, failing and saying so."""

import pickle
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from skorch.callbacks import Callback
from small_fits import THREE, X, Y, small

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    RegularizedNetRegressor,
    StackedGridSearchCV,
)
from skreg.estimators.module import BaseRegularizedModule
from skreg.losses import REGRESSION_LOSSES, Huber, Quantile
from skreg.penalties import L1

ignores_convergence = pytest.mark.filterwarnings(
    "ignore:Training stopped after:sklearn.exceptions.ConvergenceWarning"
)

BINARY = np.where(Y > 0, "yes", "no")
KINDS = {
    "regressor": (RegularizedMLPRegressor, Y),
    "two outputs": (RegularizedMLPRegressor, np.column_stack([Y, X[:, 3]])),
    "binary": (RegularizedMLPClassifier, BINARY),
    "multiclass": (RegularizedMLPClassifier, THREE),
    "multilabel": (RegularizedMLPClassifier, (X[:, :3] > 0).astype(int)),
}
every_kind = pytest.mark.parametrize(("estimator", "y"), KINDS.values(), ids=KINDS)
BOTH = {kind: KINDS[kind] for kind in ("regressor", "multiclass")}
both_estimators = pytest.mark.parametrize(("estimator", "y"), BOTH.values(), ids=BOTH)


def classes_of(estimator, y):
    return {"classes": np.unique(y)} if estimator is RegularizedMLPClassifier else {}


def assert_same_fit(first, second):
    for ours, theirs in zip(
        first.coefs_ + first.intercepts_, second.coefs_ + second.intercepts_, strict=True
    ):
        assert_array_equal(ours, theirs)


def objective(model, X=X, y=Y):
    """The objective of a squared-error network with an L2 penalty, by numpy."""
    squares = sum((weight**2).sum() for weight in model.coefs_)
    return 0.5 * ((model.predict(X) - y) ** 2).mean() + 0.5 * model.alpha * squares


# ---------------------------------------------------------------------- partial_fit


@ignores_convergence
@every_kind
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fits_are_the_epochs_of_a_fit(estimator, y, solver):
    settings = {"solver": solver, "shuffle": False, "penalty": "l1", "alpha": 0.01}
    whole = small(estimator, max_iter=5, tol=0.0, **settings).fit(X, y)
    parts = small(estimator, **settings)
    for epoch in range(1, 6):
        assert parts.partial_fit(X, y, **classes_of(estimator, y)) is parts
        assert parts.t_ == 120 * epoch
        assert len(parts.loss_curve_) == epoch
    assert_same_fit(parts, whole)
    assert parts.loss_curve_ == whole.loss_curve_


def test_partial_fit_on_two_halves_counts_and_learns_from_both():
    model = small()
    before = small(max_iter=1, learning_rate_init=1e-12).partial_fit(X, Y).score(X, Y)
    for _ in range(40):
        model.partial_fit(X[:60], Y[:60])
        model.partial_fit(X[60:], Y[60:])
    assert model.t_ == 40 * 120
    assert model.score(X, Y) > 0.9 > before


def test_partial_fit_after_fit_goes_on_from_it():
    with pytest.warns(ConvergenceWarning):
        model = small().fit(X, Y)
    fitted = objective(model)
    model.partial_fit(X, Y)
    assert model.t_ == 21 * 120
    assert 0.5 * fitted < objective(model) < 1.1 * fitted


def test_partial_fit_of_a_classifier_needs_the_classes_in_its_first_call():
    model = small(RegularizedMLPClassifier)
    with pytest.raises(ValueError, match="classes"):
        model.partial_fit(X, THREE)
    model.partial_fit(X, THREE, classes=[0, 1, 2])
    model.partial_fit(X, THREE)
    assert model.t_ == 240


def test_partial_fit_waits_for_classes_it_was_promised():
    model = small(RegularizedMLPClassifier)
    low = THREE < 2
    model.partial_fit(X[low], THREE[low], classes=[0, 1, 2])
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.predict_proba(X).shape == (120, 3)
    for _ in range(60):
        model.partial_fit(X, THREE)
    assert (model.predict(X[~low]) == 2).mean() > 0.8


def test_partial_fit_names_a_class_it_was_not_told_of():
    model = small(RegularizedMLPClassifier).partial_fit(X, BINARY, classes=["no", "yes"])
    with pytest.raises(ValueError, match=r"maybe.*classes_="):
        model.partial_fit(X[:2], ["maybe", "yes"])
    with pytest.raises(ValueError, match="classes"):
        model.partial_fit(X, BINARY, classes=["no", "yes", "maybe"])


def test_partial_fit_weighs_a_batch_without_the_class_that_has_a_weight():
    # {"no": 2.0} leaves "yes" at 1, also where a batch holds "yes" alone.
    model = small(RegularizedMLPClassifier, class_weight={"no": 2.0})
    unweighted = small(RegularizedMLPClassifier)
    yes = BINARY == "yes"
    for estimator in (model, unweighted):
        estimator.partial_fit(X[yes], BINARY[yes], classes=["no", "yes"])
    assert_same_fit(model, unweighted)


@pytest.mark.parametrize("estimator", [RegularizedMLPRegressor, RegularizedMLPClassifier])
def test_partial_fit_is_not_there_for_the_full_batch_solver(estimator):
    model = small(estimator, solver="fista")
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        _ = model.partial_fit
    assert hasattr(small(estimator, solver="sgd"), "partial_fit")


def test_partial_fit_with_early_stopping_raises_an_error_that_names_both():
    with pytest.raises(ValueError, match=r"partial_fit.*early_stopping"):
        small(early_stopping=True).partial_fit(X, Y)


def test_a_new_alpha_takes_effect_at_the_next_partial_fit():
    changed = small(penalty="l1", alpha=0.0)
    constant = small(penalty="l1", alpha=0.0)
    for _ in range(100):
        changed.partial_fit(X, Y)
        constant.partial_fit(X, Y)
    assert_same_fit(changed, constant)
    assert changed.sparsity_ == 0.0
    changed.set_params(alpha=0.1)
    for _ in range(100):
        changed.partial_fit(X, Y)
    assert changed.sparsity_ > 0.3
    assert changed.penalty_curve_[99] == 0 < changed.penalty_curve_[100]


def test_a_new_penalty_takes_effect_at_the_next_partial_fit():
    model = small(penalty=L1(alpha=100.0))
    for _ in range(100):
        model.partial_fit(X, Y)
    assert model.sparsity_ == 1.0
    model.set_params(penalty=None).partial_fit(X, Y)
    assert model.penalty_curve_[-1] == 0
    assert model.penalty_curve_[-2] == 0, "all weights are zero"
    assert small(penalty="l2").partial_fit(X, Y).penalty_curve_[-1] > 0


def test_partial_fit_on_other_columns_or_outputs_raises():
    model = small().partial_fit(X, Y)
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :3], Y)
    with pytest.raises(ValueError, match="outputs"):
        model.partial_fit(X, np.column_stack([Y, Y]))


# ---------------------------------------------------------------------- warm_start


@ignores_convergence
@pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
def test_warm_start_goes_on_where_the_last_fit_ended(solver):
    model = small(solver=solver, warm_start=True, batch_size=120, tol=0.0).fit(X, Y)
    end, first_curve = objective(model), model.loss_curve_
    assert end < 0.9 * first_curve[0]
    model.fit(X, Y)
    assert_allclose(model.loss_curve_[20], end, rtol=1e-10)
    assert model.loss_curve_[:20] == first_curve
    assert len(model.loss_curve_) == 40
    assert model.n_iter_ == 20
    assert objective(model) < end


@ignores_convergence
@both_estimators
def test_without_warm_start_a_second_fit_is_the_first(estimator, y):
    model = small(estimator).fit(X, y)
    first = model.coefs_[0].copy()
    assert_array_equal(model.fit(X, y).coefs_[0], first)
    assert len(model.loss_curve_) == 20


@ignores_convergence
@both_estimators
@pytest.mark.parametrize(
    ("name", "value"),
    [("hidden_layer_sizes", (9,)), ("activation", "tanh"), ("dropout", 0.5)],
)
def test_warm_start_with_another_architecture_names_what_changed(estimator, y, name, value):
    model = small(estimator, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=name):
        model.set_params(**{name: value}).fit(X, y)
    model.set_params(warm_start=False).fit(X, y)


@ignores_convergence
def test_warm_start_with_other_classes_raises():
    model = small(RegularizedMLPClassifier, warm_start=True).fit(X, THREE)
    with pytest.raises(ValueError, match=r"classes \[3\]"):
        model.fit(X, THREE + 1)
    with pytest.raises(ValueError, match="multilabel"):
        model.fit(X, (X[:, :3] > 0).astype(int))
    # Some of them are no other classes.
    model.fit(X[THREE < 2], THREE[THREE < 2])
    assert model.classes_.tolist() == [0, 1, 2]


@ignores_convergence
def test_warm_start_over_a_path_of_alphas_sees_each_alpha():
    model = small(penalty="l1", solver="fista", warm_start=True, max_iter=300)
    sparsity = [
        model.set_params(alpha=alpha).fit(X, Y).sparsity_ for alpha in (0.001, 0.1, 1.0, 100.0)
    ]
    assert sparsity == sorted(set(sparsity))
    assert sparsity[-1] == 1.0


# ---------------------------------------------------------------------- early stopping


class Witness(Callback):
    """Keeps the held-out rows."""

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.train_, self.valid_ = dataset_train, dataset_valid


def witness_of(model):
    return next(c for _, c in model.net_.callbacks_ if isinstance(c, Witness))


@ignores_convergence
@pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
@pytest.mark.parametrize("weighted", [False, True])
@both_estimators
def test_early_stopping_ends_with_the_weights_that_scored_best(estimator, y, solver, weighted):
    weights = np.arange(1.0, 121.0) if weighted else None
    too_fast = 0.3 if estimator is RegularizedMLPRegressor else 1.0
    rate = {"learning_rate_init": too_fast if solver == "adam" else 0.05}
    model = small(
        estimator,
        solver=solver,
        early_stopping=True,
        validation_fraction=0.3,
        callbacks=[Witness()],
        max_iter=60,
        **rate,
    ).fit(X, y, weights)
    held_out = witness_of(model).valid_
    rows = held_out.X.numpy()
    which = [np.flatnonzero((row == X).all(1))[0] for row in rows]
    score = r2_score if estimator is RegularizedMLPRegressor else accuracy_score
    recomputed = score(
        held_out.y,
        model.predict(rows),
        sample_weight=None if weights is None else weights[which],
    )
    assert_allclose(recomputed, model.best_validation_score_, rtol=1e-12)
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_validation_score_ > 0.6
    assert model.best_loss_ is None
    if solver == "adam":
        assert model.best_validation_score_ > model.validation_scores_[-1], (
            "the last weights were the best: nothing was there to restore"
        )


@ignores_convergence
def test_early_stopping_holds_out_the_fraction_and_keeps_the_rows_apart():
    model = small(early_stopping=True, validation_fraction=0.25, callbacks=[Witness()])
    witness = witness_of(model.fit(X, Y))
    assert (len(witness.train_), len(witness.valid_)) == (90, 30)
    rows = np.vstack([witness.train_.X.numpy(), witness.valid_.X.numpy()])
    assert_array_equal(np.sort(rows[:, 0]), np.sort(X[:, 0]))
    assert model.t_ == 90 * model.n_iter_


@ignores_convergence
def test_early_stopping_of_a_classifier_keeps_the_shares_of_the_classes():
    rare = (np.arange(120) < 20).astype(int)
    model = small(
        RegularizedMLPClassifier,
        early_stopping=True,
        validation_fraction=0.3,
        callbacks=[Witness()],
    )
    assert witness_of(model.fit(X, rare)).valid_.y.sum() == 6


@pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
def test_early_stopping_stops_when_the_score_has_stood_still(solver):
    model = small(
        solver=solver, early_stopping=True, n_iter_no_change=3, tol=0.1, max_iter=500
    ).fit(X, Y)
    assert model.n_iter_ < 100
    # Four epochs in a row none of which was better by tol than the best before it.
    scores = model.validation_scores_
    assert len(scores) == model.n_iter_
    assert max(scores[-4:]) < max(scores[:-4]) + 0.4


def test_too_small_a_validation_set_raises_an_error_that_names_the_fraction():
    model = small(early_stopping=True, validation_fraction=0.1, batch_size=5)
    with pytest.raises(ValueError, match=r"validation_fraction=0.1.*10 samples"):
        model.fit(X[:10], Y[:10])


@ignores_convergence
def test_without_early_stopping_nothing_is_scored_even_after_a_fit_that_did():
    model = small(early_stopping=True, warm_start=True).fit(X, Y)
    assert "valid_score" in model.net_.history[-1]
    model.set_params(early_stopping=False).fit(X, Y)
    assert model.validation_scores_ is None
    assert "valid_score" not in model.net_.history[-1]


@ignores_convergence
def test_verbose_prints_a_line_per_epoch_and_its_absence_nothing(capsys):
    small(max_iter=3).fit(X, Y)
    assert capsys.readouterr().out == ""
    model = small(max_iter=3, verbose=True, early_stopping=True).fit(X, Y)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Epoch")]
    assert len(lines) == 3
    assert lines[0].startswith("Epoch 1: ")
    assert f"data_loss = {model.data_loss_curve_[2]:.6f}" in lines[2]
    assert f"penalty = {model.penalty_curve_[2]:.6f}" in lines[2]
    assert f"valid_score = {model.validation_scores_[2]:.6f}" in lines[2]


# ---------------------------------------------------------------------- interruption


class Interrupt(Callback):
    """Ctrl-C at the start of epoch `epoch`, counted from 1."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_begin(self, net, **kwargs):
        self.pressed_ = getattr(self, "pressed_", False)

    def on_epoch_begin(self, net, **kwargs):
        if len(net.data_losses_) + 1 == self.epoch and not self.pressed_:
            self.pressed_ = True
            raise KeyboardInterrupt


@pytest.mark.parametrize("early_stopping", [False, True])
def test_an_interrupt_keeps_the_best_weights_and_leaves_a_usable_estimator(early_stopping):
    # So fast a rate that the loss goes up and down.
    model = small(
        learning_rate_init=1.0,
        batch_size=120 if not early_stopping else 40,
        callbacks=[Interrupt(7), Witness()],
        early_stopping=early_stopping,
        validation_fraction=0.3,
        max_iter=30,
    )
    with pytest.warns(UserWarning, match="interrupted in epoch 7"):
        model.fit(X, Y)
    assert model.n_iter_ == len(model.loss_curve_) == 6
    if early_stopping:
        held_out = witness_of(model).valid_
        assert model.validation_scores_[-1] < model.best_validation_score_
        recomputed = model.score(held_out.X.numpy(), held_out.y)
        assert_allclose(recomputed, model.best_validation_score_, rtol=1e-12)
    else:
        assert min(model.loss_curve_) < model.loss_curve_[-1], "the best was not the last"
        assert_allclose(objective(model), min(model.loss_curve_), rtol=1e-10)
    assert np.isfinite(model.predict(X)).all()
    model.set_params(early_stopping=False).partial_fit(X, Y)
    assert model.t_ > 0
    assert not model.net_.interrupted_


def test_an_interrupt_before_the_first_epoch_leaves_the_initial_weights():
    model = small(callbacks=[Interrupt(1)])
    with pytest.warns(UserWarning, match="interrupted in epoch 1"):
        model.fit(X, Y)
    assert model.n_iter_ == 0
    assert model.loss_curve_ == []
    initial = small(learning_rate_init=1e-30).partial_fit(X, Y)
    assert_allclose(model.predict(X), initial.predict(X), rtol=1e-12)


# ---------------------------------------------------------------------- divergence


@pytest.mark.parametrize(
    ("settings", "y"),
    [
        ({"solver": "sgd", "learning_rate_init": 1e10}, 1e6 * Y),
        ({"solver": "sgd"}, 1e200 * Y),
        ({"solver": "adam"}, 1e200 * Y),
        ({"solver": "sgd", "learning_rate": "adaptive"}, 1e200 * Y),
    ],
    ids=repr,
)
def test_a_loss_that_is_not_finite_is_an_error_that_says_what_to_change(settings, y):
    with (
        pytest.warns(ConvergenceWarning, match="learning_rate_init"),
        pytest.raises(ValueError, match=r"learning_rate_init.*StandardScaler") as caught,
    ):
        small(**settings).fit(X, y)
    assert "TransformedTargetRegressor" in str(caught.value)


def test_a_loss_that_is_not_finite_is_an_error_without_a_rate_for_fista():
    with pytest.raises(ValueError, match="StandardScaler") as caught:
        small(solver="fista").fit(X, 1e200 * Y)
    assert "learning_rate_init" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Training diverged:sklearn.exceptions.ConvergenceWarning")
def test_targets_beyond_the_range_of_float32_are_an_error_and_no_other_warning():
    with pytest.raises(ValueError, match=r"scale|infinity|float32"):
        small().fit(X.astype(np.float32), 1e200 * Y)


LINEAR_SGD = {
    "hidden_layer_sizes": (),
    "solver": "sgd",
    "batch_size": 120,
    "max_iter": 300,
    "alpha": 0.0,
}


@ignores_convergence
@pytest.mark.parametrize("rate", [2.0, 20.0])
def test_a_rate_that_is_too_large_is_rescued_with_a_warning(rate):
    with pytest.warns(ConvergenceWarning, match=r"diverged.*goes on") as seen:
        model = small(learning_rate_init=rate, **LINEAR_SGD).fit(X, Y)
    assert f"learning rate {rate:.3g}" in str(seen[0].message)
    assert "Lower learning_rate_init" in str(seen[0].message)
    assert model.net_.progress.rescues == len(seen)
    assert model.score(X, Y) > 0.98
    assert np.isfinite(model.loss_curve_).all()
    assert len(model.loss_curve_) == model.n_iter_


@pytest.mark.filterwarnings("ignore:Training diverged:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("momentum", "rate"), [(0.9, 0.5), (0.9, 1.2), (0.0, 1.0), (0.0, 1.5), (0.0, 2.0)]
)
def test_a_fit_does_not_pass_off_a_loss_that_rose_as_converged(momentum, rate):
    # On this convex problem the loss rises for good where the rate is too large, or falls.
    model = small(momentum=momentum, learning_rate_init=rate, **LINEAR_SGD).fit(X, Y)
    assert model.loss_ < model.loss_curve_[0]
    assert model.score(X, Y) > 0.98


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_history_has_one_row_per_epoch_after_a_rescue_too():
    model = small(learning_rate_init=2.0, **LINEAR_SGD).fit(X, Y)
    assert model.net_.progress.rescues > 0
    assert len(model.net_.history) == model.n_iter_
    assert_allclose(model.net_.history[:, "train_loss"], model.loss_curve_)


@ignores_convergence
@pytest.mark.parametrize("y", [Y, 1000 * Y, 1e-6 * Y], ids=["1", "1000", "1e-6"])
@pytest.mark.parametrize("solver", ["adam", "fista"])
def test_targets_of_any_ordinary_scale_diverge_under_no_default(y, solver):
    # Any warning but that of max_iter is an error.
    RegularizedMLPRegressor(solver=solver, random_state=0, max_iter=20).fit(X, y)


# ---------------------------------------------------------------------- convergence


@both_estimators
@pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
def test_an_end_by_max_iter_warns_and_names_it(estimator, y, solver):
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        small(estimator, solver=solver, max_iter=3).fit(X, y)


def test_an_end_by_max_fun_warns_and_names_it():
    with pytest.warns(ConvergenceWarning, match="max_fun=9"):
        model = small(solver="fista", max_fun=9, max_iter=100).fit(X, Y)
    assert model.net_.optimizer_.n_evaluations >= 9
    assert model.n_iter_ < 9


@pytest.mark.filterwarnings("ignore:.*max_iter:sklearn.exceptions.ConvergenceWarning")
def test_an_end_by_max_fun_is_named_when_a_warm_start_has_many_epochs_behind_it():
    model = small(solver="fista", max_iter=20, warm_start=True).fit(X, Y)
    with pytest.warns(ConvergenceWarning, match="max_fun=9"):
        model.set_params(max_fun=9).fit(X, Y)


def test_the_advice_for_fista_names_no_learning_rate():
    with pytest.warns(ConvergenceWarning) as seen:
        small(solver="fista", max_iter=3).fit(X, Y)
    assert "learning_rate" not in str(seen[0].message)


def test_warnings_point_at_the_line_that_called_fit():
    with pytest.warns(ConvergenceWarning) as seen:
        small(max_iter=3).fit(X, Y)
    assert seen[0].filename == __file__
    with pytest.warns(UserWarning, match="batch_size=1000") as seen:
        small(batch_size=1000).partial_fit(X, Y)
    assert seen[0].filename == __file__
    with pytest.warns(UserWarning, match="interrupted") as seen:
        small(callbacks=[Interrupt(1)]).fit(X, Y)
    assert seen[0].filename == __file__


@both_estimators
def test_a_fit_that_has_converged_warns_of_nothing_and_stops_before_max_iter(estimator, y):
    model = small(
        estimator, hidden_layer_sizes=(), solver="fista", alpha=0.1, max_iter=1000, tol=1e-6
    ).fit(X, y)
    assert model.n_iter_ < 1000


@ignores_convergence
@every_kind
def test_fista_never_raises_the_objective(estimator, y):
    model = small(estimator, solver="fista", penalty="l1", alpha=0.01, max_iter=100).fit(X, y)
    curve = np.array(model.loss_curve_)
    assert (np.diff(curve) <= 1e-12 * curve[:-1]).all()
    assert curve[-1] < 0.7 * curve[0]


# ---------------------------------------------------------------------- losses


# That fista refuses losses with kinks is for test_parameters.py.
LOSSES_AND_SOLVERS = [
    (loss, solver)
    for solver in ("adam", "sgd", "fista")
    for loss, make in REGRESSION_LOSSES.items()
    if solver != "fista" or make().smooth
]


@ignores_convergence
@pytest.mark.parametrize(("loss", "solver"), LOSSES_AND_SOLVERS)
def test_every_loss_by_name_trains(loss, solver):
    counts = np.exp(0.5 * Y).round()
    model = small(loss=loss, solver=solver, max_iter=50, learning_rate_init=0.01)
    model.fit(X, counts)
    assert model.loss_curve_[-1] < 0.8 * model.loss_curve_[0]
    fitted, mean = model.predict(X), np.median(counts)
    assert np.abs(fitted - counts).mean() < np.abs(mean - counts).mean()


def half_squared_error(y_pred, y_true):
    return 0.5 * ((y_pred - y_true) ** 2).sum(1)


def elementwise_half_squared_error(y_pred, y_true):
    return 0.5 * (y_pred - y_true) ** 2


@ignores_convergence
@pytest.mark.parametrize("loss", [half_squared_error, elementwise_half_squared_error])
@pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
def test_a_callable_loss_is_the_built_in_one_it_computes(loss, solver):
    targets = np.column_stack([Y, X[:, 3]])
    called = small(loss=loss, solver=solver).fit(X, targets)
    built_in = small(loss="squared_error", solver=solver).fit(X, targets)
    for ours, theirs in zip(called.coefs_, built_in.coefs_, strict=True):
        assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@ignores_convergence
def test_a_torch_loss_is_taken_as_a_callable():
    called = small(loss=torch.nn.HuberLoss(reduction="none", delta=0.5)).fit(X, Y)
    built_in = small(loss=Huber(0.5)).fit(X, Y)
    for ours, theirs in zip(called.coefs_, built_in.coefs_, strict=True):
        assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "loss", [torch.nn.MSELoss(), lambda y_pred, y_true: 0.5], ids=["tensor", "float"]
)
def test_a_callable_loss_that_averages_raises_an_error_that_names_reduction(loss):
    with pytest.raises(ValueError, match="reduction='none'"):
        small(loss=loss).fit(X, Y)


def test_poisson_refuses_negative_targets_by_name():
    with pytest.raises(ValueError, match=r"poisson.*negative"):
        small(loss="poisson").fit(X, Y)


@ignores_convergence
@pytest.mark.parametrize("quantile", [0.1, 0.9])
def test_the_quantile_loss_covers_its_quantile(quantile):
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(1000, 2))
    # Noise that grows with a feature: no constant shift of the mean covers it everywhere.
    targets = rows[:, 1] + np.exp(0.5 * rows[:, 0]) * rng.normal(size=1000)
    model = small(
        loss=Quantile(quantile), max_iter=150, batch_size=250, learning_rate_init=0.01
    ).fit(rows, targets)
    below = targets <= model.predict(rows)
    assert below.mean() == pytest.approx(quantile, abs=0.04)
    for side in (rows[:, 0] > 0, rows[:, 0] < 0):
        assert below[side].mean() == pytest.approx(quantile, abs=0.06)


@ignores_convergence
def test_absolute_error_is_deaf_to_an_outlier_that_moves_squared_error():
    targets = Y.copy()
    targets[0] = 1e3
    settings = {"hidden_layer_sizes": (), "max_iter": 200, "learning_rate_init": 0.05}
    for loss, worst in (("absolute_error", 0.6), ("huber", 0.6)):
        model = small(loss=loss, **settings).fit(X, targets)
        assert np.abs(model.predict(X) - Y)[1:].mean() < worst
    moved = small(solver="fista", hidden_layer_sizes=(), max_iter=200).fit(X, targets)
    assert np.abs(moved.predict(X) - Y)[1:].mean() > 2


class TestClosingWarning:
    """The closing warning looks at the same residual, whatever the solver."""

    def problem(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(300, 4))
        return X, X[:, 0] - X[:, 1] + 0.1 * rng.normal(size=300)

    @pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
    @pytest.mark.parametrize("hidden", [(), (20,)])
    def test_columns_far_from_zero(self, solver, hidden):
        X, y = self.problem()
        # Rates at which the solvers do not diverge.
        rate = {"sgd": 1e-9, "adam": 1e-3, "fista": 1e-3}[solver]
        model = RegularizedMLPRegressor(
            hidden, solver=solver, learning_rate_init=rate, random_state=0
        )
        with pytest.warns(
            ConvergenceWarning, match="the optimality residual is .* [Ss]cale the"
        ):
            model.fit(X + 1e4, y)
        assert model.score(X + 1e4, y) < 0.9

    @pytest.mark.parametrize("solver", ["adam", "sgd"])
    @pytest.mark.parametrize("hidden", [(), (20,)])
    @pytest.mark.parametrize("shift", [0.0, 1.0])
    def test_columns_of_unit_size_are_not_warned_of(self, solver, hidden, shift):
        X, y = self.problem()
        model = RegularizedMLPRegressor(
            hidden, solver=solver, learning_rate_init=0.01, max_iter=1000, random_state=0
        )
        model.fit(X + shift, y)  # a warning would be an error
        assert model.n_iter_ < 1000
        assert model.score(X + shift, y) > 0.95

    def test_members_of_a_stack_are_warned_of_alike(self):
        X, y = self.problem()
        model = RegularizedMLPRegressor((), learning_rate_init=0.01, random_state=0)
        search = StackedGridSearchCV(model, {"alpha": [1e-4, 1e-3]}, cv=2, refit=False)
        with pytest.warns(ConvergenceWarning) as caught:
            search.fit(X + 1e4, y)
        assert sum("columns of unit size" in str(w.message) for w in caught) == 4

    def test_the_best_on_rows_held_out_is_what_was_asked_for(self):
        X, y = self.problem()
        model = RegularizedMLPRegressor(
            (), early_stopping=True, learning_rate_init=0.1, max_iter=1000, random_state=0
        ).fit(X + 100, y)
        assert model.n_iter_ < 1000

    @pytest.mark.parametrize("loss", REGRESSION_LOSSES)
    @pytest.mark.parametrize("scale", [1.0, 100.0])
    def test_no_loss_and_no_unit_of_y_is_warned_of(self, loss, scale):
        X, y = self.problem()
        if loss == "poisson":
            y = np.random.default_rng(1).poisson(scale * np.exp(0.3 * y))
        model = RegularizedMLPRegressor(
            (20,), loss=loss, learning_rate_init=0.1, max_iter=2000, random_state=0
        ).fit(X, y if loss == "poisson" else scale * y)
        assert model.n_iter_ < 2000


# ---------------------------------------------------------------------- many partial fits

REGRESSORS = [RegularizedMLPRegressor, RegularizedNetRegressor]


def linear_module(n_features, n_outputs):
    return torch.nn.Linear(n_features, n_outputs)


def make(estimator, **settings):
    settings = {"learning_rate_init": 0.02, "batch_size": 40, "max_iter": 3, **settings}
    network = linear_module if issubclass(estimator, BaseRegularizedModule) else (8,)
    return estimator(network, random_state=np.random.RandomState(0), **settings)


def work_of(call):
    """How many functions a call calls, those written in C among them."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("estimator", [*REGRESSORS, RegularizedMLPClassifier])
def test_a_partial_fit_costs_the_same_however_many_there_were(estimator):
    y = THREE if estimator is RegularizedMLPClassifier else Y
    model = make(estimator, batch_size=20).partial_fit(
        X[:20], y[:20], **classes_of(estimator, y)
    )
    curves = [model.loss_curve_, model.data_loss_curve_, model.penalty_curve_]
    work, sizes = [], []
    for n_calls in (20, 400):
        while len(model.loss_curve_) < n_calls:
            model.partial_fit(X[:20], y[:20])
        work.append(work_of(lambda: model.partial_fit(X[:20], y[:20])))
        sizes.append(len(pickle.dumps(model)))
    # A call more or less is the interpreter's business.
    assert abs(work[1] - work[0]) < 20
    # Two numbers of eight bytes, and a digit more of some counts.
    assert sizes[1] - sizes[0] < 17 * 380
    assert not model.net_.history_
    # The lists grow as scikit-learn's does.
    assert curves[0] is model.loss_curve_
    assert curves[1] is model.data_loss_curve_
    assert curves[2] is model.penalty_curve_
    assert len(model.loss_curve_) == 401
    assert_array_equal(model.loss_curve_, np.add(curves[1], curves[2]))
    assert model.best_loss_ == min(model.loss_curve_)
    assert model.loss_ == model.loss_curve_[-1]
    again = pickle.loads(pickle.dumps(model))
    assert again.loss_curve_ == model.loss_curve_
    assert again.penalty_curve_ == model.penalty_curve_
    history = again.partial_fit(X[:20], y[:20]).net_.history
    assert history[:, "train_loss"] == again.loss_curve_
    assert history[:, "epoch"] == list(range(1, 403))
    assert history[:-1] == model.net_.history


@ignores_convergence
def test_a_history_read_between_calls_is_the_one_read_at_the_end():
    models = [small(early_stopping=True, max_iter=4).fit(X, Y) for _ in range(2)]
    for epoch in range(5, 8):
        for model in models:
            model.set_params(early_stopping=False).partial_fit(X, Y)
        assert len(models[0].net_.history) == epoch
    first, second = (model.net_.history for model in models)
    assert first == second
    assert [row["valid_score"] for row in first[:4]] == [s[0] for s in model.net_.scores_]
    assert not any("valid_score" in row for row in first[4:])
    assert first[4]["train_loss_best"]
