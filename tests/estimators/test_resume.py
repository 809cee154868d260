"""Fits and searches that were killed go on from their checkpoint as if nothing had happened."""

import copy
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch import nn

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    RegularizedNetRegressor,
    StackedGridSearchCV,
    StackedRandomizedSearchCV,
)
from skreg.penalties import L1, GroupLasso
from skreg.training.checkpoint import Checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

_rng = np.random.default_rng(0)
X = _rng.normal(size=(80, 5))
Y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0)
LABELS = np.array(["no", "yes"])[(Y > 0).astype(int)]
REGRESSOR, CLASSIFIER = RegularizedMLPRegressor, RegularizedMLPClassifier
NET = RegularizedNetRegressor

# Whatever has a state.
FITS = {
    "adam": (REGRESSOR, X, Y, {}),
    "float32": (REGRESSOR, X.astype(np.float32), Y, {"penalty": "l1"}),
    "two outputs": (REGRESSOR, X, np.column_stack([Y, X[:, 0]]), {"penalty": "elasticnet"}),
    "momentum": (REGRESSOR, X, Y, {"solver": "sgd", "nesterovs_momentum": False}),
    "nesterov": (CLASSIFIER, X, LABELS, {"solver": "sgd"}),
    "fista": (REGRESSOR, X, Y, {"solver": "fista", "penalty": "l1", "activation": "tanh"}),
    "dropout": (CLASSIFIER, X, LABELS, {"dropout": 0.3}),
    "early stopping": (REGRESSOR, X, Y, {"early_stopping": True, "n_iter_no_change": 2}),
    "fista stops early": (REGRESSOR, X, Y, {"early_stopping": True, "solver": "fista"}),
    "adaptive": (REGRESSOR, X, Y, {"learning_rate": "adaptive", "n_iter_no_change": 1}),
    "invscaling": (REGRESSOR, X, Y, {"learning_rate": "invscaling", "solver": "sgd"}),
    "diverging": (REGRESSOR, X, Y, {"solver": "sgd", "learning_rate_init": 10.0}),
    "sparse": (CLASSIFIER, sp.csr_matrix(X), np.digitize(Y, [-1, 1]), {"penalty": "l1"}),
    "one batch": (REGRESSOR, X, Y, {"batch_size": 80, "penalty_method": "subgradient"}),
    "group lasso": (REGRESSOR, X, Y, {"penalty": "group_lasso", "alpha": 0.05}),
    "initial fit": (CLASSIFIER, X, LABELS, {"penalty": L1(adaptive=True)}),
    "initial fit without a seed": (
        *(REGRESSOR, X, Y),
        {"penalty": GroupLasso(adaptive=True), "random_state": None},
    ),
    "no seed": (REGRESSOR, X, Y, {"random_state": None, "early_stopping": True}),
}
every_fit = pytest.mark.parametrize(
    ("estimator", "X", "y", "settings"), FITS.values(), ids=FITS
)


def small(estimator=REGRESSOR, **settings):
    settings = {
        "hidden_layer_sizes": (6,),
        "learning_rate_init": 0.02,
        "batch_size": 32,
        "max_iter": 8,
        "tol": 1e-3,
        "random_state": 0,
        "alpha": 1e-3,
        "checkpoint_interval": 0,
        "device": "cpu",
        **settings,
    }
    return estimator(**settings)


def assert_same_fit(first, second):
    for ours, theirs in zip(
        first.coefs_ + first.intercepts_, second.coefs_ + second.intercepts_, strict=True
    ):
        assert_array_equal(ours, theirs)
    names = ("loss_curve_", "penalty_curve_", "validation_scores_", "n_iter_", "t_", "loss_")
    for name in (*names, "best_loss_", "best_validation_score_"):
        assert getattr(first, name) == getattr(second, name), name
    assert first.net_.history == second.net_.history
    assert_array_equal(first._random_state.get_state()[1], second._random_state.get_state()[1])


class Killed(BaseException):
    """Nobody catches it, as nobody catches ``kill -9``."""


@pytest.fixture
def kill_after(monkeypatch):
    """A function: after so many writes of a checkpoint, whoever wrote it dies."""
    write = Checkpoint.write

    def arm(n_writes):
        left = [n_writes]

        def write_and_die(self, state):
            write(self, state)
            left[0] -= 1
            if left[0] == 0:
                raise Killed

        monkeypatch.setattr(Checkpoint, "write", write_and_die)

    return arm


@pytest.fixture
def versions(monkeypatch, tmp_path):
    """Copies of every version of a checkpoint, in a list."""
    write, copies = Checkpoint.write, []

    def write_and_copy(self, state):
        write(self, state)
        copies.append(tmp_path / f"version-{len(copies)}")
        shutil.copy(self.path, copies[-1])

    monkeypatch.setattr(Checkpoint, "write", write_and_copy)
    return copies


@every_fit
def test_a_fit_goes_on_from_any_epoch_bit_for_bit(
    estimator, X, y, settings, versions, monkeypatch, tmp_path
):
    path = tmp_path / "fit.checkpoint"
    whole = small(estimator, checkpoint=path, **settings).fit(X, y)
    if settings.get("random_state", 0) is not None:
        uninterrupted = small(estimator, **settings).fit(X, y)
        assert_same_fit(uninterrupted, whole)
    assert len(versions) == whole.n_iter_ + 1
    monkeypatch.undo()
    # After the first epoch, in the middle, at the end of the last epoch and of the fit.
    for version in (versions[0], versions[len(versions) // 2], *versions[-2:]):
        shutil.copy(version, path)
        resumed = small(estimator, checkpoint=path, resume=True, **settings).fit(X, y)
        assert_same_fit(resumed, whole)
        assert resumed.net_.keeper is None
    # The optimizer goes on alike too.
    if not (settings.get("solver") == "fista" or settings.get("early_stopping")):
        assert_same_fit(whole.partial_fit(X, y), resumed.partial_fit(X, y))


def test_training_goes_on_in_a_copy_bit_for_bit_under_a_group_penalty():
    model = small(penalty="group_lasso", alpha=0.05).fit(X, Y)
    copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    model.partial_fit(X, Y).partial_fit(X, Y)
    for each in copies:
        assert_same_fit(each.partial_fit(X, Y).partial_fit(X, Y), model)


def test_a_fit_killed_again_and_again_ends_as_if_it_had_not_been(kill_after, tmp_path):
    path = str(tmp_path / "fit.checkpoint")
    model = small(checkpoint=path, resume=True, dropout=0.2)
    uninterrupted = clone(model).set_params(checkpoint=None, resume=False).fit(X, Y)
    for _ in range(3):
        kill_after(2)
        with pytest.raises(Killed):
            clone(model).fit(X, Y)
    kill_after(-1)
    assert_same_fit(clone(model).fit(X, Y), uninterrupted)
    assert os.listdir(tmp_path) == ["fit.checkpoint"]


def test_a_random_state_instance_stands_where_the_whole_fit_would_leave_it(
    kill_after, tmp_path
):
    path = tmp_path / "fit.checkpoint"
    whole = small(random_state=np.random.RandomState(3)).fit(X, Y)
    kill_after(3)
    with pytest.raises(Killed):
        small(random_state=np.random.RandomState(3), checkpoint=path).fit(X, Y)
    kill_after(-1)
    state = np.random.RandomState(3)
    resumed = small(random_state=state, checkpoint=path, resume=True).fit(X, Y)
    assert_same_fit(resumed, whole)


def test_warm_starts_are_resumed_and_tell_their_beginnings_apart(kill_after, tmp_path):
    path = tmp_path / "fit.checkpoint"
    first = small(warm_start=True).fit(X, Y)
    again, other = (clone(first).fit(X, Y) for _ in range(2))
    other.partial_fit(X, Y)
    first.fit(X, Y)
    for model in (again, other):
        model.set_params(checkpoint=path, resume=True)
    kill_after(3)
    with pytest.raises(Killed):
        again.fit(X, Y)
    kill_after(-1)
    with pytest.raises(ValueError, match="initial weights differ"):
        other.fit(X, Y)
    again = small(warm_start=True).fit(X, Y).set_params(checkpoint=path, resume=True)
    assert_same_fit(again.fit(X, Y), first)


def test_max_iter_may_grow_but_not_shrink(tmp_path):
    path = tmp_path / "fit.checkpoint"
    small(checkpoint=path).fit(X, Y)
    longer = small(checkpoint=path, resume=True, max_iter=12).fit(X, Y)
    assert_same_fit(longer, small(max_iter=12).fit(X, Y))
    with pytest.raises(ValueError, match="holds a fit of 12 epochs, more than max_iter=3"):
        small(checkpoint=path, resume=True, max_iter=3).fit(X, Y)


OTHERS = {
    "alpha": ({"alpha": 0.5}, X, Y, None),
    "hidden_layer_sizes": ({"hidden_layer_sizes": (7,)}, X, Y, None),
    "random_state": ({"random_state": 1}, X, Y, None),
    "loss": ({"loss": "huber"}, X, Y, None),
    "X": ({}, X + 1e-9, Y, None),
    "y": ({}, X, Y + 1e-9, None),
    "sample_weight": ({}, X, Y, np.arange(80) + 1.0),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_checkpoint_of_another_fit_is_an_error_that_names_the_difference(name, tmp_path):
    settings, other_X, other_y, sample_weight = OTHERS[name]
    path = tmp_path / "fit.checkpoint"
    small(checkpoint=path).fit(X, Y)
    before = path.read_bytes()
    model = small(checkpoint=path, resume=True, **settings)
    with pytest.raises(ValueError, match=rf"checkpoint=.* another fit: {name} differs"):
        model.fit(other_X, other_y, sample_weight)
    assert path.read_bytes() == before
    assert not hasattr(model, "net_")
    # Asked to begin from scratch, it does.
    model.set_params(resume=False).fit(other_X, other_y, sample_weight)
    assert path.read_bytes() != before


# What has a name alone, and what cannot be pickled.
def squared(y_pred, y_true):
    return (y_pred - y_true) ** 2


def twice_the(function):
    return lambda y_pred, y_true: 2 * function(y_pred, y_true)


def two_layers(activation):
    def build(n_features, n_outputs):
        return nn.Sequential(nn.Linear(n_features, 4), activation(), nn.Linear(4, n_outputs))

    return build


ACTIVATION = nn.ReLU


def layers_of_today(n_features, n_outputs):
    return nn.Sequential(nn.Linear(n_features, 4), ACTIVATION(), nn.Linear(4, n_outputs))


FUNCTIONS = {
    "a lambda": ("loss", REGRESSOR, lambda p, y: (p - y) ** 2, lambda p, y: (p - y) ** 4),
    "a closure": ("loss", REGRESSOR, twice_the(squared), twice_the(torch.square)),
    "a module": ("module", NET, two_layers(nn.ReLU), two_layers(nn.Tanh)),
    "an instance": ("module", NET, two_layers(nn.ReLU)(5, 1), two_layers(nn.Tanh)(5, 1)),
    "a rule": ("penalized", NET, lambda n, p: p.ndim > 1, lambda n, p: p.ndim > 2),
    "penalties": ("penalty", NET, {"*": L1(0.1)}, {"*": L1(0.2)}),
}


@pytest.mark.parametrize(
    ("name", "estimator", "first", "second"), FUNCTIONS.values(), ids=FUNCTIONS
)
def test_functions_of_one_name_that_do_other_things_are_told_apart(
    name, estimator, first, second, tmp_path
):
    path = tmp_path / "fit.checkpoint"
    own = {"module": layers_of_today} if estimator is NET else {"hidden_layer_sizes": (4,)}
    own |= {"checkpoint": path, "checkpoint_interval": 0, "max_iter": 2, "random_state": 0}
    estimator(**{**own, name: first}).fit(X, Y)
    with pytest.raises(ValueError, match=rf"from another fit: {name}"):
        estimator(**{**own, name: second, "resume": True}).fit(X, Y)
    # The same again goes on.
    assert (
        estimator(**{**own, name: first, "resume": True, "max_iter": 4}).fit(X, Y).n_iter_ == 4
    )


def test_a_network_that_depends_on_more_than_its_function_is_told_apart(tmp_path, monkeypatch):
    own = {"checkpoint": tmp_path / "file", "max_iter": 2, "random_state": 0}
    NET(layers_of_today, **own).fit(X, Y)
    monkeypatch.setattr(sys.modules[__name__], "ACTIVATION", nn.Tanh)
    with pytest.raises(ValueError, match="from another fit: the network differs"):
        NET(layers_of_today, **own, resume=True).fit(X, Y)


def test_columns_of_other_names_are_told_apart(tmp_path):
    own = {"checkpoint": tmp_path / "file", "penalty": GroupLasso(groups=[["a", "b"]])}
    frame = pd.DataFrame(X, columns=list("abcde"))
    small(**own).fit(frame, Y)
    with pytest.raises(ValueError, match="from another fit: feature_names_in_ differs"):
        small(**own, resume=True).fit(frame.set_axis(list("bcdea"), axis=1), Y)


def test_a_checkpoint_of_another_kind_of_estimator_is_an_error(tmp_path):
    path = tmp_path / "fit.checkpoint"
    small(checkpoint=path).fit(X, Y)
    with pytest.raises(ValueError, match="from another fit: estimator"):
        small(CLASSIFIER, checkpoint=path, resume=True).fit(X, LABELS)
    # The same codes of other labels.
    path = tmp_path / "other"
    small(CLASSIFIER, checkpoint=path).fit(X, LABELS)
    with pytest.raises(ValueError, match="from another fit: y differs"):
        small(CLASSIFIER, checkpoint=path, resume=True).fit(X, LABELS == "yes")


def test_resume_without_a_checkpoint_and_callbacks_with_one_are_errors(tmp_path):
    with pytest.raises(ValueError, match="resume=True needs a file"):
        small(resume=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"checkpoint=.* callbacks"):
        small(checkpoint=tmp_path / "file", callbacks=[Callback()]).fit(X, Y)
    assert not os.listdir(tmp_path)


def test_a_foreign_file_stops_the_fit_before_it_begins(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n")
    for resume in (True, False):
        with pytest.raises(ValueError, match="is not a checkpoint"):
            small(checkpoint=path, resume=resume).fit(X, Y)
    assert path.read_text() == "a,b\n"


# ---------------------------------------------------------------------- searches

GRID = {"alpha": [1e-3, 1e-2, 1e-1], "hidden_layer_sizes": [(6,), (4,), (3, 3)]}


def search_over(network=None, grid=None, **settings):
    network = small() if network is None else network
    settings = {"cv": 3, "checkpoint_interval": 0, "refit": False, **settings}
    return StackedGridSearchCV(network, GRID if grid is None else grid, **settings)


def assert_same_results(first, second):
    assert first.cv_results_["params"] == second.cv_results_["params"]
    scores = [name for name in second.cv_results_ if name.startswith(("split", "mean_test"))]
    assert len(scores) >= 3
    for name in scores:
        assert_array_equal(first.cv_results_[name], second.cv_results_[name])


@pytest.mark.parametrize(
    "settings", [{}, {"scoring": ["r2", "neg_mean_absolute_error"], "return_train_score": True}]
)
def test_a_search_goes_on_from_the_stacks_it_has(settings, kill_after, tmp_path, monkeypatch):
    path = tmp_path / "search.checkpoint"
    whole = search_over(**settings).fit(X, Y)
    # After enough fits that at least one stack is done, whatever the number of threads.
    for n_writes in (14, 18):
        kill_after(n_writes)
        with pytest.raises(Killed):
            search_over(checkpoint=path, resume=True, **settings).fit(X, Y)
        kill_after(-1)
        trained = []
        chunks = "skreg.estimators.many._fit_chunk"
        monkeypatch.setattr(chunks, count_calls(chunks, trained))
        resumed = search_over(checkpoint=path, resume=True, **settings).fit(X, Y)
        assert 0 < sum(map(len, trained)) < 27
        assert_same_results(resumed, whole)
        assert os.listdir(tmp_path) == ["search.checkpoint"]
        # All is done: nothing is trained.
        trained.clear()
        again = search_over(checkpoint=path, resume=True, **settings).fit(X, Y)
        assert not trained
        assert_same_results(again, whole)
        path.unlink()


def count_calls(name, calls):
    module, function = name.rsplit(".", 1)
    original = getattr(sys.modules[module], function)

    def counting(chunk, *rest):
        calls.append(chunk)
        return original(chunk, *rest)

    return counting


@pytest.mark.skipif(
    os.environ.get("HYPOTHESIS_PROFILE") != "nightly",
    reason="processes are slow to start: HYPOTHESIS_PROFILE=nightly runs it",
)
# Joblib says so from where nobody can catch it, after the search was killed.
@pytest.mark.filterwarnings("ignore:.*still being processed by the workers:UserWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_search_in_processes_goes_on_too(kill_after, tmp_path):
    path = tmp_path / "search.checkpoint"
    pipeline = make_pipeline(StandardScaler(), small())
    grid = {
        "regularizedmlpregressor__alpha": [1e-3, 1e-2],
        "standardscaler__with_mean": [True, False],
    }
    settings = {"n_jobs": 2, "checkpoint": path}
    whole = search_over(pipeline, grid, **settings).fit(X, Y)
    path.unlink()
    kill_after(3)
    with pytest.raises(Killed):
        search_over(pipeline, grid, **settings).fit(X, Y)
    kill_after(-1)
    n_done = len(Checkpoint(path, interval=0, resume=True).state)
    assert 0 < n_done < 12
    assert_same_results(search_over(pipeline, grid, resume=True, **settings).fit(X, Y), whole)


def test_a_checkpoint_of_another_search_is_an_error_that_names_the_difference(tmp_path):
    path = tmp_path / "search.checkpoint"
    search_over(checkpoint=path, resume=True).fit(X, Y)
    before = path.read_bytes()
    others = {
        "candidates": {"grid": {"alpha": [1.0]}},
        "estimator, estimator__tol": {"network": small(tol=0.5)},
        "splits": {"cv": 4},
        "scoring": {"scoring": "neg_mean_absolute_error"},
        "return_train_score": {"return_train_score": True},
    }
    for name, settings in others.items():
        with pytest.raises(ValueError, match=f"from another fit: {name} differ"):
            search_over(checkpoint=path, resume=True, **settings).fit(X, Y)
    with pytest.raises(ValueError, match="from another fit: y differs"):
        search_over(checkpoint=path, resume=True).fit(X, Y + 1)
    with pytest.raises(ValueError, match="from another fit: estimator"):
        small(checkpoint=path, resume=True).fit(X, Y)
    assert path.read_bytes() == before
    # Where the estimator or a candidate does not pickle as well.
    path.unlink()
    network = small(loss=lambda p, y: (p - y) ** 2)
    grid = {"alpha": [0.1], "activation": ["relu"], "loss": [network.loss]}
    own = {"network": network, "grid": grid, "checkpoint": path}
    search_over(**own).fit(X, Y)
    others = {
        "estimator, estimator__tol": {"network": clone(network).set_params(tol=0.5)},
        "candidates": {"grid": {**grid, "alpha": [0.2]}},
    }
    for name, settings in others.items():
        with pytest.raises(ValueError, match=f"from another fit: {name} differ"):
            search_over(**{**own, **settings}, resume=True).fit(X, Y)


def test_a_randomized_search_keeps_its_results_as_well(tmp_path):
    path = tmp_path / "search.checkpoint"
    searches = [
        StackedRandomizedSearchCV(
            small(), GRID, n_iter=3, cv=2, random_state=0, checkpoint=path, resume=True
        ).fit(X, Y)
        for _ in range(2)
    ]
    assert_same_results(*searches)
    # To the digit: nothing was measured again.
    assert_array_equal(*[search.cv_results_["mean_fit_time"] for search in searches])


def test_the_checkpoint_of_a_network_in_a_search_is_that_of_the_refit(tmp_path):
    path = tmp_path / "fit.checkpoint"
    network = small(checkpoint=path, resume=True)
    search = search_over(network, {"alpha": [0.1, 1e-3]}, refit=True).fit(X, Y)
    assert Checkpoint(path, interval=0, resume=True).state["net"]["counts"]["n_epochs_"] == 8
    uninterrupted = GridSearchCV(small(), {"alpha": [0.1, 1e-3]}, cv=3).fit(X, Y)
    assert_same_fit(search.best_estimator_, uninterrupted.best_estimator_)


# ---------------------------------------------------------------------- kill -9


def test_killed_by_the_system_at_random_moments():
    script = BENCHMARKS / "kill.py"
    done = subprocess.run(
        [sys.executable, script, "--fits", "2"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 equal the uninterrupted one" in done.stdout
