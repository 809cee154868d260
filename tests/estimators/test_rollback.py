"""Fits that fail leave the estimator as it was, whatever fails and however far they came."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback
from small_fits import THREE, X, Y

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    RegularizedNetClassifier,
    RegularizedNetRegressor,
)
from skreg.estimators.module import BaseRegularizedModule
from skreg.training.fingerprint import fingerprint
from skreg.training.net import RegularizedNet

ignores_convergence = pytest.mark.filterwarnings(
    "ignore:Training stopped after:sklearn.exceptions.ConvergenceWarning"
)

BINARY = np.where(Y > 0, "yes", "no")


class Breaks(Callback):
    """Raises `error` at an event, while the class says so."""

    event, error = None, RuntimeError

    def on_train_begin(self, net, **kwargs):
        self.maybe("on_train_begin")

    def on_epoch_end(self, net, **kwargs):
        self.maybe("on_epoch_end")

    def on_train_end(self, net, **kwargs):
        self.maybe("on_train_end")

    def maybe(self, event):
        if event == Breaks.event:
            raise Breaks.error(f"broke {event}")


class BreaksInBatches(Breaks):
    def on_batch_end(self, net, **kwargs):
        self.maybe("on_batch_end")


def state_of(net):
    """All tensors that a step changes, as bytes."""
    tensors = [*net.module_.state_dict().values()]
    for state in net.optimizer_.state_dict()["state"].values():
        tensors += [torch.as_tensor(value) for value in state.values()]
    return [tensor.numpy().tobytes() for tensor in tensors]


def linear_module(n_features, n_outputs):
    return torch.nn.Linear(n_features, n_outputs)


def make(estimator, **settings):
    settings = {"learning_rate_init": 0.02, "batch_size": 40, "max_iter": 3, **settings}
    network = linear_module if issubclass(estimator, BaseRegularizedModule) else (8,)
    return estimator(network, random_state=np.random.RandomState(0), **settings)


def going_on(model, y):
    """The curve of further training on a copy: what all state of training goes into."""
    again = copy.deepcopy(model)
    return again.partial_fit(X, y).partial_fit(X, y).loss_curve_ + again.fit(X, y).loss_curve_


@pytest.fixture
def break_at(monkeypatch):
    def arm(event, error=RuntimeError):
        monkeypatch.setattr(Breaks, "event", event)
        monkeypatch.setattr(Breaks, "error", error)

    return arm


REGRESSORS = [RegularizedMLPRegressor, RegularizedNetRegressor]
CLASSIFIERS = [RegularizedMLPClassifier, RegularizedNetClassifier]
WIDER = pd.DataFrame(np.column_stack([X, X]), columns=list("abcdefghijkl"))


def attributes_of(model):
    return {name: id(value) for name, value in vars(model).items() if name != "class_weight"}


@ignores_convergence
@pytest.mark.parametrize("estimator", CLASSIFIERS)
@pytest.mark.parametrize("was_fitted", [True, False])
def test_a_fit_with_an_unknown_class_weight_leaves_all_as_it_was(estimator, was_fitted):
    model = make(estimator)
    if was_fitted:
        model.fit(X, BINARY)
    model.set_params(class_weight={"maybe": 2.0})
    before, drawn = attributes_of(model), fingerprint(model.random_state)
    with pytest.raises(ValueError, match="class_weight has labels"):
        model.fit(WIDER, THREE)
    assert attributes_of(model) == before
    assert fingerprint(model.random_state) == drawn
    if was_fitted:
        assert model.classes_.tolist() == ["no", "yes"]
        assert model.n_features_in_ == 6
        assert not hasattr(model, "feature_names_in_")
        assert set(model.predict(X)) == {"no", "yes"}
    with pytest.raises(ValueError, match="classes_="):
        model.partial_fit(X, THREE, **({} if was_fitted else {"classes": [0, 1, 2]}))
    assert attributes_of(model) == before


@ignores_convergence
@pytest.mark.parametrize("estimator", REGRESSORS)
@pytest.mark.parametrize("way", ["fit", "warm start", "partial_fit"])
@pytest.mark.parametrize(
    ("event", "error"),
    [
        ("on_train_begin", RuntimeError),
        ("on_epoch_end", RuntimeError),
        ("on_batch_end", RuntimeError),
        ("on_train_end", RuntimeError),
        ("on_train_end", KeyboardInterrupt),
    ],
)
def test_a_callback_that_raises_leaves_all_as_it_was(estimator, way, event, error, break_at):
    callback = BreaksInBatches() if event == "on_batch_end" else Breaks()
    model = make(estimator, callbacks=[callback]).fit(X, Y)
    model.partial_fit(X, Y)
    expected, shown = going_on(model, Y), copy.deepcopy(model.net_.history)
    predictions, curves = model.predict(X), (list(model.loss_curve_), model.t_)
    before = attributes_of(model)
    model.set_params(warm_start=way == "warm start", alpha=10.0)
    break_at(event, error)
    with pytest.raises(error, match="broke"):
        (model.partial_fit if way == "partial_fit" else model.fit)(X, 3 * Y)
    break_at(None)
    model.set_params(warm_start=False, alpha=1e-4)
    assert attributes_of(model).keys() == before.keys()
    assert id(model.net_) == before["net_"]
    assert model.net_.history == shown
    assert (model.loss_curve_, model.t_) == curves
    assert_array_equal(model.predict(X), predictions)
    assert all(p.grad is None for p in model.net_.module_.parameters())
    assert not model.net_.module_.training
    assert going_on(model, Y) == expected


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", REGRESSORS)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("way", ["fit", "warm start", "partial_fit"])
def test_training_that_diverges_or_warns_for_an_error_leaves_all_as_it_was(
    estimator, solver, way
):
    model = make(estimator, solver=solver).fit(X, Y).partial_fit(X, Y)
    expected, predictions = going_on(model, Y), model.predict(X)
    state, before = state_of(model.net_), attributes_of(model)
    fit = model.partial_fit if way == "partial_fit" else model.fit
    model.set_params(warm_start=way == "warm start")
    with pytest.raises(ValueError, match="diverged"):
        fit(X, 1e200 * Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning, match="diverged"):
            fit(X, 1e200 * Y)
        if way != "partial_fit":
            with pytest.raises(ConvergenceWarning, match="without having converged"):
                fit(X, Y)
    model.set_params(warm_start=False)
    assert attributes_of(model).keys() == before.keys()
    assert id(model.net_) == before["net_"]
    assert state_of(model.net_) == state
    assert_array_equal(model.predict(X), predictions)
    assert going_on(model, Y) == expected


@ignores_convergence
@pytest.mark.parametrize("estimator", REGRESSORS)
def test_targets_that_a_loss_refuses_leave_all_as_it_was(estimator):
    model = make(estimator).fit(X, Y)
    predictions, before = model.predict(X), attributes_of(model)
    model.set_params(loss="poisson")
    with pytest.raises(ValueError, match="poisson"):
        model.fit(WIDER, Y)
    model.set_params(loss="squared_error")
    assert attributes_of(model) == before
    assert_array_equal(model.predict(X), predictions)


@ignores_convergence
def test_a_partial_fit_that_fails_puts_back_what_may_change_between_calls():
    model = make(RegularizedMLPRegressor, dropout=0.3).partial_fit(X, Y)
    expected = going_on(model, Y)
    model.set_params(penalty="l1", alpha=1.0, batch_size=10, shuffle=False)
    with (
        pytest.warns(ConvergenceWarning, match="diverged"),
        pytest.raises(ValueError, match="diverged"),
    ):
        model.partial_fit(X, 1e200 * Y)
    net = model.net_
    assert (repr(net.penalty), net.batch_size, net.shuffle) == ("L2(alpha=0.0001)", 40, True)
    assert [repr(group["penalty"]) for group in net.optimizer_.param_groups] == [
        "L2(alpha=0.0001)",
        "None",
    ]
    model.set_params(penalty="l2", alpha=1e-4, batch_size=40, shuffle=True)
    assert going_on(model, Y) == expected


def test_a_partial_fit_copies_the_weights_once(monkeypatch):
    model, copies = make(RegularizedMLPRegressor).partial_fit(X, Y), []
    copy_state = RegularizedNet.copy_state
    monkeypatch.setattr(
        RegularizedNet, "copy_state", lambda net: copies.append(1) or copy_state(net)
    )
    model.partial_fit(X, Y)
    assert len(copies) == 1
    assert not model.net_._start
    assert not model.net_._best_state
