"""skorch's callbacks in our estimators, and our optimizers and penalties in skorch's nets."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType, NoneType, SimpleNamespace

import numpy as np
import pytest
import skorch.callbacks
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import get_scorer
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import (
    BatchScoring,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    GradientNormClipping,
    Initializer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    MlflowLogger,
    NeptuneLogger,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    SacredLogger,
    TensorBoard,
    TrainEndCheckpoint,
    Unfreezer,
    WandbLogger,
)
from torch import nn

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    RegularizedNetClassifier,
    RegularizedNetRegressor,
)
from skreg.modules import penalized_parameters
from skreg.optim import ProximalAdam, ProximalSGD
from skreg.penalties import L1, L2, ElasticNet
from skreg.training.net import RegularizedNet

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training stopped after:sklearn.exceptions.ConvergenceWarning"
)

_rng = np.random.default_rng(0)
X = _rng.normal(size=(120, 6)).astype(np.float32)
Y = X[:, 0] - 2 * X[:, 1] + 0.1 * _rng.normal(size=120).astype(np.float32)
LABELS = (Y > 0).astype(int)
ROWS = np.vstack([X, X[:1]])


def two_layers(n_features, n_outputs):
    return nn.Sequential(nn.Linear(n_features, 8), nn.ReLU(), nn.Linear(8, n_outputs))


ESTIMATORS = {
    "MLP regressor": (RegularizedMLPRegressor, {"hidden_layer_sizes": (8,)}, Y),
    "MLP classifier": (RegularizedMLPClassifier, {"hidden_layer_sizes": (8,)}, LABELS),
    "net regressor": (RegularizedNetRegressor, {"module": two_layers}, Y),
    "net classifier": (RegularizedNetClassifier, {"module": two_layers}, LABELS),
}
every_estimator = pytest.mark.parametrize(
    ("estimator", "network", "y"), ESTIMATORS.values(), ids=ESTIMATORS
)


def make(estimator, network, **settings):
    common = {"learning_rate_init": 0.02, "batch_size": 40, "max_iter": 6, "random_state": 0}
    return estimator(**{**network, **common, **settings})


# ------------------------------------------------------------ their callbacks


@every_estimator
def test_early_stopping(estimator, network, y):
    stopper = EarlyStopping(
        monitor="train_loss", patience=2, threshold=1e3, threshold_mode="abs"
    )
    model = make(estimator, network, callbacks=[stopper], max_iter=50).fit(X, y)
    assert model.n_iter_ == 3  # the first is the best, and two more are no thousand better


@every_estimator
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_lr_scheduler(estimator, network, y, solver):
    scheduler = LRScheduler(policy="StepLR", step_size=2, gamma=0.1)
    model = make(estimator, network, solver=solver, callbacks=[scheduler]).fit(X, y)
    rates = [float(group["lr"]) for group in model.net_.optimizer_.param_groups]
    assert_allclose(rates, 0.02 * 0.1**3)
    assert model.loss_curve_ != make(estimator, network, solver=solver).fit(X, y).loss_curve_


@every_estimator
def test_checkpoint(estimator, network, y, tmp_path):
    checkpoint = Checkpoint(monitor="train_loss_best", dirname=str(tmp_path))
    model = make(estimator, network, callbacks=[checkpoint]).fit(X, y)
    best = [row["train_loss_best"] for row in model.net_.history]
    assert best == [
        loss == min(model.loss_curve_[: i + 1]) for i, loss in enumerate(model.loss_curve_)
    ]
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    assert best[-1]
    for name, value in model.net_.module_.state_dict().items():
        assert torch.equal(saved[name], value)
    changed = make(estimator, network, max_iter=1).fit(X, y)
    changed.net_.load_params(f_params=str(tmp_path / "params.pt"))
    assert_allclose(changed.predict(X), model.predict(X))


@every_estimator
def test_checkpoint_of_the_best_validation_score(estimator, network, y, tmp_path):
    checkpoint = Checkpoint(monitor="valid_score_best", dirname=str(tmp_path))
    model = make(
        estimator, network, callbacks=[checkpoint], early_stopping=True, validation_fraction=0.3
    ).fit(X, y)
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    # Early stopping ends with the best weights: those of the checkpoint.
    for name, value in model.net_.module_.state_dict().items():
        assert torch.equal(saved[name], value)


def accuracy(net, dataset, y):
    return float(np.mean(np.isclose(net.predict(dataset), y, atol=0.5)))


@every_estimator
@pytest.mark.parametrize("solver", ["adam", "fista"])
def test_epoch_scoring(estimator, network, y, solver):
    own_score = "accuracy" if y is LABELS else "r2"
    scoring = [
        EpochScoring(own_score, on_train=True, lower_is_better=False, name="train_score"),
        EpochScoring(own_score, name="held_out"),
        EpochScoring(accuracy, on_train=True, name="by_function"),
    ]
    model = make(estimator, network, solver=solver, callbacks=scoring).fit(X, y)
    last = model.net_.history[-1]
    assert_allclose(last["train_score"], model.score(X, y), rtol=1e-5)
    assert last["by_function"] == np.isclose(model.predict(X), y, atol=0.5).mean()
    assert "held_out" not in last
    if solver == "adam":
        model = make(estimator, network, callbacks=scoring, early_stopping=True).fit(X, y)
        scores = [row["held_out"] for row in model.net_.history]
        assert_allclose(scores, model.validation_scores_, rtol=1e-5)


@every_estimator
@pytest.mark.parametrize("solver", ["adam", "fista"])
def test_progress_bar(estimator, network, y, solver):
    bar = ProgressBar(detect_notebook=False)
    model = make(estimator, network, solver=solver, callbacks=[bar], max_iter=2).fit(X, y)
    assert model.n_iter_ == 2
    (_, shown), *_ = model.net_.callbacks_
    assert shown.pbar_.n == (3 if solver == "adam" else 0)  # of a whole-batch step no batches


@every_estimator
def test_callbacks_that_watch_change_nothing(estimator, network, y):
    watchers = [EpochScoring(accuracy, on_train=True), ProgressBar(detect_notebook=False)]
    seen = make(estimator, network, callbacks=watchers).fit(X, y)
    alone = make(estimator, network).fit(X, y)
    assert_allclose(seen.loss_curve_, alone.loss_curve_, rtol=1e-5)


# ------------------------------------------------------------ all of their callbacks


class Recorder:
    """A run of some service that takes whatever it is told."""

    info = SimpleNamespace(run_id="1")

    def __init__(self):
        self.told, self.dir = [], "."

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.told.append((name, args, kwargs))

    def __getitem__(self, name):
        return self

    def __setitem__(self, name, value):
        self.told.append((name, value))

    def __deepcopy__(self, memo):
        return self


def told(callback):
    """What the recorder in a callback was told, by name."""
    (run,) = (v for v in vars(callback).values() if isinstance(v, Recorder))
    return {name for name, *_ in run.told}


def last(model):
    return model.net_.history[-1]


NOTED = []


def note(text):
    NOTED.append(text)


NO_FISTA = "solver='fista'"
SCORING = skorch.callbacks.EpochScoring(None, on_train=True, name="mine")
# By name of the callback: one of it, what shows that it worked, what "fista" says to it.
WORKING = {
    "BatchScoring": (
        lambda: [BatchScoring(None, on_train=True, name="mine", lower_is_better=False)],
        lambda model, _: len(last(model)["batches"]) == 3 and -9 < last(model)["mine"] <= 1,
        NO_FISTA,
    ),
    "Checkpoint": (
        lambda: [Checkpoint("train_loss_best", load_best=True, f_pickle="net.pkl")],
        lambda model, _: last(model)["event_cp"] and len(os.listdir()) == 5,
        None,
    ),
    "EarlyStopping": (
        lambda: [EarlyStopping("train_loss", patience=1, threshold=0.9, load_best=True)],
        lambda model, _: model.n_iter_ == 2,
        None,
    ),
    "EpochScoring": (
        lambda: [SCORING],
        lambda model, y: last(model)["mine"] == pytest.approx(model.score(X, y), rel=1e-5),
        None,
    ),
    "EpochTimer": (lambda: [EpochTimer()], lambda model, _: last(model)["dur"] > 0, None),
    "Freezer": (
        lambda: [Freezer("*weight")],
        lambda model, _: moved(model) == {"bias"},
        NO_FISTA,
    ),
    "GradientNormClipping": (
        lambda: [GradientNormClipping(1e-12)],
        lambda model, _: not moved(model, by=1e-3),
        NO_FISTA,
    ),
    "Initializer": (
        lambda: [Initializer("*weight", fn=partial(nn.init.constant_, val=0.5))],
        lambda model, _: mean_of(model, "weight") > 0.25,
        NO_FISTA,
    ),
    "InputShapeSetter": (
        lambda: [InputShapeSetter()],
        "InputShapeSetter cannot work here: .* tells a module .* n_features",
        "InputShapeSetter cannot work here",
    ),
    "LRScheduler": (
        lambda: [LRScheduler("ReduceLROnPlateau", monitor="train_loss", patience=0)],
        lambda model, _: last(model)["event_lr"] == pytest.approx(0.02),
        NO_FISTA,
    ),
    "LoadInitState": (
        lambda: [(checkpoint := Checkpoint("train_loss_best")), LoadInitState(checkpoint)],
        lambda model, y: len(model.fit(X, y).net_.history) == 2 * model.n_iter_,
        None,
    ),
    "MlflowLogger": (
        lambda: [MlflowLogger(Recorder(), Recorder())],
        lambda model, _: {"log_metric", "log_artifact"} <= told_by_client(model),
        None,
    ),
    "NeptuneLogger": (
        lambda: [NeptuneLogger(Recorder(), log_on_batch_end=True)],
        lambda model, _: {"append", "stop"} <= told(model.net_.callbacks_[0][1]),
        None,
    ),
    "ParamMapper": (
        lambda: [ParamMapper("*bias", fn=partial(nn.init.constant_, val=1.0), at=6)],
        lambda model, _: mean_of(model, "bias") > 0.5,
        NO_FISTA,
    ),
    "PassthroughScoring": (
        lambda: [PassthroughScoring("train_loss", on_train=True)],
        lambda model, _: last(model)["train_loss"] == pytest.approx(model.loss_),
        None,
    ),
    "PrintLog": (
        lambda: [PrintLog(sink=note)],
        lambda *_: "train_loss" in NOTED[0] and len(NOTED) == 8,
        None,
    ),
    "ProgressBar": (
        lambda: [ProgressBar(detect_notebook=False)],
        lambda model, _: model.net_.callbacks_[0][1].pbar_ is not None,
        None,
    ),
    "SacredLogger": (
        lambda: [SacredLogger(Recorder(), log_on_batch_end=True)],
        lambda model, _: told(model.net_.callbacks_[0][1]) == {"log_scalar"},
        None,
    ),
    "TensorBoard": (
        lambda: [TensorBoard(Recorder())],
        lambda model, _: told(model.net_.callbacks_[0][1]) == {"add_scalar", "close"},
        None,
    ),
    "TrainEndCheckpoint": (
        lambda: [TrainEndCheckpoint()],
        lambda model, _: len(os.listdir()) == 4,
        None,
    ),
    "Unfreezer": (
        lambda: [Freezer("*weight"), Unfreezer("*weight", at=3)],
        lambda model, _: moved(model) == {"weight", "bias"},
        NO_FISTA,
    ),
    "WandbLogger": (
        lambda: [WandbLogger(Recorder(), save_model=False)],
        lambda model, _: told(model.net_.callbacks_[0][1]) == {"watch", "log"},
        None,
    ),
    "WarmRestartLR": (
        lambda: [LRScheduler("WarmRestartLR", max_lr=0.04)],
        lambda model, _: last(model)["event_lr"] != 0.02,
        NO_FISTA,
    ),
}


def told_by_client(model):
    return {name for name, *_ in model.net_.callbacks_[0][1].client.told}


def moved(model, by=0.0):
    """Which kinds of parameters are not what they began as."""
    start = clone(model).set_params(callbacks=None, max_iter=1, learning_rate_init=1e-12)
    start.fit(X, LABELS if hasattr(model, "classes_") else Y)
    pairs = zip(
        model.net_.module_.named_parameters(), start.net_.module_.parameters(), strict=True
    )
    return {
        name.split(".")[-1]
        for (name, value), before in pairs
        if (value - before).abs().max() > max(by, 1e-6)
    }


def mean_of(model, kind):
    named = model.net_.module_.named_parameters()
    return max(float(p.detach().mean()) for name, p in named if name.endswith(kind))


@pytest.fixture
def neptune(monkeypatch):
    for name in ("neptune", "neptune.types", "neptune.handler"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["neptune.types"].File = SimpleNamespace(from_content=lambda *a, **k: "file")
    sys.modules["neptune.handler"].Handler = NoneType


def test_all_of_them_are_tested_here():
    assert set(WORKING) == set(skorch.callbacks.__all__) - {"Callback"}


@every_estimator
@pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
@pytest.mark.parametrize("name", WORKING)
@pytest.mark.usefixtures("neptune")
def test_each_works_or_is_refused_before_the_first_epoch(
    estimator, network, y, name, solver, tmp_path, monkeypatch
):
    NOTED.clear()
    callbacks, works, in_fista = WORKING[name]
    monkeypatch.chdir(tmp_path)
    model = make(estimator, network, solver=solver, callbacks=callbacks(), alpha=0.0)
    refusal = works if isinstance(works, str) else in_fista if solver == "fista" else None
    if refusal is None:
        assert works(model.fit(X, y), y)
        return
    monkeypatch.setattr(RegularizedNet, "run_epoch", None)
    with pytest.raises(ValueError, match=refusal):
        model.fit(X, y)


WATCHING = {
    "EarlyStopping": lambda: [EarlyStopping()],
    "Checkpoint": lambda: [Checkpoint()],
    "LRScheduler": lambda: [LRScheduler("ReduceLROnPlateau", monitor="valid_loss")],
    "WandbLogger": lambda: [WandbLogger(Recorder())],
}


@every_estimator
@pytest.mark.parametrize("name", WATCHING)
def test_what_nobody_records_cannot_be_watched(estimator, network, y, name, monkeypatch):
    model = make(estimator, network, callbacks=WATCHING[name]())
    monkeypatch.setattr(RegularizedNet, "run_epoch", None)
    with pytest.raises(ValueError, match=rf"{name} watches 'valid_loss.*train_loss.*valid_sc"):
        model.fit(X, y)


@every_estimator
def test_what_another_callback_records_can_be_watched(estimator, network, y):
    scoring = EpochScoring("r2", lower_is_better=False, name="valid_loss")
    for by in ([scoring], [BatchScoring(accuracy, name="x"), PassthroughScoring("valid_loss")]):
        callbacks = [*by, EarlyStopping(patience=1, threshold=0.99)]
        model = make(estimator, network, callbacks=callbacks, early_stopping=True).fit(X, y)
        assert "valid_loss" in last(model)
        assert model.n_iter_ < 6

    class Records(skorch.callbacks.Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("mine", 1.0)

    callbacks = [Records(), EarlyStopping("mine", patience=2)]
    assert make(estimator, network, callbacks=callbacks).fit(X, y).n_iter_ == 3


@every_estimator
def test_batch_scores_are_those_of_the_estimator(estimator, network, y):
    y = np.array(["no", "yes"])[y] if y is LABELS else y
    own_score = "accuracy" if y.dtype.kind == "U" else "neg_mean_squared_error"
    scorings = [
        BatchScoring(own_score, on_train=True, name="train"),
        BatchScoring(own_score, name="valid"),
    ]
    model = make(
        estimator,
        network,
        callbacks=scorings,
        early_stopping=True,
        validation_fraction=0.4,
        learning_rate_init=1e-12,
        max_iter=2,
    ).fit(X, y)
    train, valid = last(model)["train"], last(model)["valid"]
    everything = get_scorer(own_score)(model, X, y)
    assert 0.6 * train + 0.4 * valid == pytest.approx(everything, rel=1e-4)
    if own_score == "accuracy":
        assert valid == pytest.approx(model.validation_scores_[-1])
    sizes = [batch.get("valid_batch_size") for batch in last(model)["batches"]]
    assert sizes == [None, None, 40, 8]


@pytest.mark.parametrize("at", ["batch", "epoch"])
def test_a_score_in_between_leaves_dropout_on(at):
    kind = BatchScoring if at == "batch" else EpochScoring
    watched = make(
        RegularizedMLPRegressor, {"dropout": 0.5}, callbacks=[kind("r2", on_train=True)]
    ).fit(X, Y)
    alone = make(RegularizedMLPRegressor, {"dropout": 0.5}).fit(X, Y)
    assert_allclose(watched.loss_curve_, alone.loss_curve_, rtol=1e-5)


@every_estimator
def test_patterns_that_fit_nothing_name_those_that_do(estimator, network, y):
    mapper = Freezer(["*weight", "first.*"])
    names = (
        r"'weight', 'bias'" if "module" not in network else r"'0.weight', '0.bias', '2.weight'"
    )
    with pytest.raises(ValueError, match=rf"Freezer: the pattern 'first.\*' .* {names}"):
        make(estimator, network, callbacks=[mapper]).fit(X, y)


@every_estimator
def test_all_may_be_frozen_and_one_layer(estimator, network, y):
    frozen = make(estimator, network, callbacks=[Freezer("*")], penalty="l1", alpha=0.1).fit(
        X, y
    )
    assert moved(frozen) == set()
    if "module" in network:
        model = make(estimator, network, callbacks=[Freezer("0.*")], penalty="l1").fit(X, y)
        untouched = {"penalty": None, "max_iter": 1, "learning_rate_init": 1e-12}
        start = make(estimator, network, **untouched).fit(X, y)
        assert_allclose(model.module_[0].weight.detach(), start.module_[0].weight.detach())
        assert moved(model) == {"weight", "bias"}
        assert model.penalized_parameters_ == ["0.weight", "2.weight"]


@every_estimator
@pytest.mark.parametrize("schedule", ["invscaling", "adaptive"])
def test_two_schedules_of_the_rate_are_an_error(estimator, network, y, schedule):
    model = make(
        estimator,
        network,
        learning_rate=schedule,
        callbacks=[LRScheduler("StepLR", step_size=1)],
    )
    with pytest.raises(ValueError, match=f"learning_rate='{schedule}' sets the learning rate"):
        model.fit(X, y)


@every_estimator
@pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
def test_a_fit_goes_on_from_the_end_of_another(estimator, network, y, solver, tmp_path):
    def half():
        end = TrainEndCheckpoint(dirname=str(tmp_path))
        return make(estimator, network, callbacks=[end, LoadInitState(end)], **whole_batch)

    whole_batch = {"solver": solver, "batch_size": 120, "max_iter": 4}
    half().fit(X, y)
    second = half().fit(X, y)
    whole = make(estimator, network, **{**whole_batch, "max_iter": 8}).fit(X, y)
    assert_allclose(second.predict(X), whole.predict(X))
    assert_allclose(second.net_.history[:, "train_loss"], whole.loss_curve_, rtol=1e-5)


@every_estimator
@pytest.mark.parametrize("as_tensors", [False, True])
def test_the_best_epoch_is_loaded_at_the_end(estimator, network, y, as_tensors, tmp_path):
    files = {"f_optimizer": None} if as_tensors else {}
    checkpoint = Checkpoint(
        lambda net: len(net.history) == 2,
        dirname=str(tmp_path),
        load_best=True,
        use_safetensors=as_tensors,
        **files,
    )
    model = make(estimator, network, callbacks=[checkpoint]).fit(X, y)
    second = make(estimator, network, max_iter=2).fit(X, y)
    assert_allclose(model.predict(X), second.predict(X), rtol=1e-5)
    assert len(model.loss_curve_) == 6


def tanh_layers(n_features, n_outputs):
    return nn.Sequential(nn.Linear(n_features, 8), nn.Tanh(), nn.Linear(8, n_outputs))


CHANGES = {
    "alpha": ({"alpha": 0.5}, r"penalty was L2\(alpha=0.0001\) and is L2\(alpha=0.5\)"),
    "penalty": ({"penalty": "l1"}, r"penalty was L2\(.*\) and is L1\("),
    "solver": ({"solver": "sgd"}, "solver was ProximalAdam and is ProximalSGD"),
    "penalty_method": (
        {"penalty_method": "subgradient"},
        "penalty_method was proximal and is subgradient",
    ),
}
OWN_CHANGES = {
    "MLP regressor": [
        ({"activation": "tanh"}, "activation was 'relu' and is 'tanh'"),
        ({"loss": "huber"}, r"loss was SquaredError\(\) and is Huber"),
    ],
    "MLP classifier": [({"dropout": 0.3}, "dropout was 0.0 and is 0.3")],
    "net regressor": [({"module": tanh_layers}, "network is another Sequential")],
    "net classifier": [({"module": tanh_layers}, "network is another Sequential")],
}


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [(kind, *change) for kind in ESTIMATORS for change in CHANGES.values()]
    + [(kind, *change) for kind in ESTIMATORS for change in OWN_CHANGES[kind]],
)
def test_the_state_of_another_fit_is_not_gone_on_from(
    kind, changes, message, tmp_path, monkeypatch
):
    estimator, network, y = ESTIMATORS[kind]

    def fit(**settings):
        checkpoint = Checkpoint("train_loss_best", dirname=str(tmp_path))
        callbacks = [checkpoint, LoadInitState(checkpoint)]
        return make(estimator, {**network, **settings}, callbacks=callbacks).fit(X, y)

    first = fit()
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(RegularizedNet, "run_epoch", None)
        with pytest.raises(ValueError, match=f"files are those of another fit.*{message}"):
            fit(**changes)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == content
    # The same goes on.
    assert fit().net_.history[0, "train_loss"] == first.loss_curve_[0]


def test_a_net_that_loads_nothing_is_as_it_was(tmp_path):
    files = {"f_params": str(tmp_path / "p.pt"), "f_optimizer": str(tmp_path / "o.pt")}
    make(RegularizedMLPRegressor, {}, alpha=0.5, random_state=1).fit(X, Y).net_.save_params(
        **files
    )
    model = make(RegularizedMLPRegressor, {}).fit(X, Y)
    before = model.predict(X)
    with pytest.raises(ValueError, match="penalty was"):
        model.net_.load_params(**files)
    assert_array_equal(model.predict(X), before)
    # Weights alone are what any penalty may begin with.
    model.net_.load_params(f_params=files["f_params"])
    assert not np.array_equal(model.predict(X), before)


@every_estimator
@pytest.mark.parametrize("method", ["fit", "partial_fit", "fit_loop", "score"])
def test_the_nets_own_training_names_the_estimators(estimator, network, y, method):
    model = make(estimator, network, max_iter=1).fit(X, y)
    before = model.predict(X)
    with pytest.raises(AttributeError, match=f"without a {method} of its own.*Call fit"):
        getattr(model.net_, method)(X, y)
    assert_array_equal(model.predict(X), before)


def test_partial_fit_calls_the_callbacks_of_the_end(tmp_path):
    end = TrainEndCheckpoint(dirname=str(tmp_path))
    model = make(RegularizedMLPRegressor, {}, callbacks=[end])
    for _ in range(2):
        model.partial_fit(X, Y)
        saved = torch.load(tmp_path / "train_end_params.pt", weights_only=True)
        assert torch.equal(saved["weight"], model.net_.module_.weight)
    assert model.net_.history[:, "epoch"] == [1, 2]


# ------------------------------------------------------------ our parts in their nets


def skorch_net(kind=NeuralNetRegressor, **settings):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    return kind(
        module,
        **{
            "train_split": None,
            "max_epochs": 60,
            "lr": 0.02,
            "batch_size": 40,
            "verbose": 0,
            "optimizer": ProximalAdam,
            **settings,
        },
    )


@pytest.mark.parametrize(("optimizer", "lr"), [(ProximalAdam, 0.02), (ProximalSGD, 0.1)])
def test_penalties_by_name_in_a_skorch_net_give_exact_zeros(optimizer, lr):
    net = skorch_net(
        optimizer=optimizer,
        lr=lr,
        max_epochs=150,
        optimizer__param_groups=[("*.weight", {"penalty": L1(alpha=0.05)})],
    ).fit(X, Y[:, None])
    assert (net.module_[0].weight[:, 2:] == 0).float().mean() > 0.8
    assert (net.module_[0].bias != 0).any()
    assert net.score(X, Y[:, None]) > 0.8


def test_a_skorch_net_takes_the_steps_of_our_estimator():
    alpha, losses = 0.01, []

    def count(*_):
        losses.append(1)
        return 0.0

    net = skorch_net(
        criterion__reduction="mean",
        max_epochs=5,
        iterator_train__shuffle=False,
        # Our squared error is half of torch's.
        optimizer__param_groups=[("*.weight", {"penalty": L1(alpha=2 * alpha)})],
        callbacks=[("losses", EpochScoring(count, on_train=True))],
    )
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    ours = RegularizedNetRegressor(
        module,
        penalty="l1",
        alpha=alpha,
        learning_rate_init=0.02,
        batch_size=40,
        max_iter=5,
        shuffle=False,
        # Adam's steps are those of half the gradient with half the epsilon.
        epsilon=0.5e-8,
        callbacks=None,
    ).fit(X, Y)
    net.fit(X, Y[:, None])
    for theirs, other in zip(net.module_.parameters(), ours.module_.parameters(), strict=True):
        assert_allclose(other.detach(), theirs.detach(), atol=2e-6)
    assert_allclose(
        net.history[:, "train_loss"], 2 * np.array(ours.data_loss_curve_), rtol=1e-5
    )
    assert len(losses) == 5


class PenalizedNet(NeuralNetClassifier):
    """The usual way with skorch: the penalty is added to the loss."""

    def __init__(self, *args, penalty, **kwargs):
        super().__init__(*args, **kwargs)
        self.penalty = penalty

    def get_loss(self, y_pred, y_true, X=None, training=False):
        loss = super().get_loss(y_pred, y_true, X=X, training=training)
        if not training:
            return loss
        # A penalty takes stacks of networks: this is a stack of one.
        weights = [w.unsqueeze(0) for _, w in penalized_parameters(self.module_)]
        return loss + self.penalty.value(weights)[0]


@pytest.mark.parametrize("penalty", [L1(0.01), L2(0.01), ElasticNet(0.01, 0.5)], ids=repr)
def test_a_penalty_in_the_loss_of_a_skorch_net_shrinks_without_zeros(penalty):
    def train(penalty):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2), nn.Softmax(1))
        return PenalizedNet(
            module,
            penalty=penalty,
            optimizer=torch.optim.Adam,
            lr=0.02,
            max_epochs=30,
            train_split=None,
            verbose=0,
        ).fit(X, LABELS)

    free, net = train(L2(0.0)), train(penalty)
    size = [sum(w.square().sum() for w in n.module_.parameters()) for n in (free, net)]
    assert size[1] < size[0]
    assert all((w != 0).all() for w in net.module_.parameters())
    assert net.score(X, LABELS) > 0.9


def test_a_skorch_net_with_our_optimizer_saves_and_loads(tmp_path):
    net = skorch_net(optimizer__param_groups=[("*.weight", {"penalty": L1(alpha=0.05)})])
    net.fit(X, Y[:, None])
    files = {"f_params": str(tmp_path / "p.pt"), "f_optimizer": str(tmp_path / "o.pt")}
    net.save_params(**files)
    torch.load(files["f_optimizer"], weights_only=True)
    restored = skorch_net(optimizer__param_groups=[("*.weight", {"penalty": L1(alpha=0.05)})])
    restored.initialize().load_params(**files)
    for model in (net, restored):
        torch.manual_seed(0)
        model.partial_fit(X, Y[:, None])
    for ours, theirs in zip(
        net.module_.parameters(), restored.module_.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.skipif(
    os.environ.get("HYPOTHESIS_PROFILE") != "nightly",
    reason="15 seconds: HYPOTHESIS_PROFILE=nightly runs it",
)
def test_two_processes_take_the_steps_of_one_with_the_joint_batch(tmp_path):
    pytest.importorskip("accelerate", reason="pip install 'skreg[parallel]'")
    script = Path(__file__).parents[1] / "data_parallel.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=120)
    first, second, alone = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("0", "1", "alone")
    )
    # Each process saw other rows, and has the weights of all.
    assert first["losses"] != second["losses"]
    assert first["weights"] == second["weights"]
    joint = np.mean([first["losses"], second["losses"]], axis=0)
    assert_allclose(joint, alone["losses"], rtol=1e-4)
    assert_allclose(first["weights"], alone["weights"], atol=1e-5)
    assert_array_equal(np.equal(first["weights"], 0), np.equal(alone["weights"], 0))
    assert np.equal(alone["weights"], 0).any()
