"""skorch's callbacks in our estimators, and our optimizers and penalties in skorch's nets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import (
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    ProgressBar,
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
    ("estimator", "own", "y"), ESTIMATORS.values(), ids=ESTIMATORS
)


def make(estimator, own, **settings):
    common = {"learning_rate_init": 0.02, "batch_size": 40, "max_iter": 6, "random_state": 0}
    return estimator(**{**own, **common, **settings})


# ------------------------------------------------------------ their callbacks


@every_estimator
def test_early_stopping(estimator, own, y):
    stopper = EarlyStopping(
        monitor="train_loss", patience=2, threshold=1e3, threshold_mode="abs"
    )
    model = make(estimator, own, callbacks=[stopper], max_iter=50).fit(X, y)
    assert model.n_iter_ == 3  # the first is the best, and two more are no thousand better


@every_estimator
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_lr_scheduler(estimator, own, y, solver):
    scheduler = LRScheduler(policy="StepLR", step_size=2, gamma=0.1)
    model = make(estimator, own, solver=solver, callbacks=[scheduler]).fit(X, y)
    rates = [float(group["lr"]) for group in model.net_.optimizer_.param_groups]
    assert_allclose(rates, 0.02 * 0.1**3)
    assert model.loss_curve_ != make(estimator, own, solver=solver).fit(X, y).loss_curve_


@every_estimator
def test_checkpoint(estimator, own, y, tmp_path):
    checkpoint = Checkpoint(monitor="train_loss_best", dirname=str(tmp_path))
    model = make(estimator, own, callbacks=[checkpoint]).fit(X, y)
    best = [row["train_loss_best"] for row in model.net_.history]
    assert best == [
        loss == min(model.loss_curve_[: i + 1]) for i, loss in enumerate(model.loss_curve_)
    ]
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    assert best[-1]
    for name, value in model.net_.module_.state_dict().items():
        assert torch.equal(saved[name], value)
    changed = make(estimator, own, max_iter=1).fit(X, y)
    changed.net_.load_params(f_params=str(tmp_path / "params.pt"))
    assert_allclose(changed.predict(X), model.predict(X))


@every_estimator
def test_checkpoint_of_the_best_validation_score(estimator, own, y, tmp_path):
    checkpoint = Checkpoint(monitor="valid_score_best", dirname=str(tmp_path))
    model = make(
        estimator, own, callbacks=[checkpoint], early_stopping=True, validation_fraction=0.3
    ).fit(X, y)
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    # Early stopping ends with the best weights: those of the checkpoint.
    for name, value in model.net_.module_.state_dict().items():
        assert torch.equal(saved[name], value)


def accuracy(net, dataset, y):
    return float(np.mean(np.isclose(net.predict(dataset), y, atol=0.5)))


@every_estimator
@pytest.mark.parametrize("solver", ["adam", "fista"])
def test_epoch_scoring(estimator, own, y, solver):
    own_score = "accuracy" if y is LABELS else "r2"
    scoring = [
        EpochScoring(own_score, on_train=True, lower_is_better=False, name="train_score"),
        EpochScoring(own_score, name="held_out"),
        EpochScoring(accuracy, on_train=True, name="by_function"),
    ]
    model = make(estimator, own, solver=solver, callbacks=scoring).fit(X, y)
    last = model.net_.history[-1]
    assert_allclose(last["train_score"], model.score(X, y), rtol=1e-5)
    assert last["by_function"] == np.isclose(model.predict(X), y, atol=0.5).mean()
    assert "held_out" not in last
    if solver == "adam":
        model = make(estimator, own, callbacks=scoring, early_stopping=True).fit(X, y)
        scores = [row["held_out"] for row in model.net_.history]
        assert_allclose(scores, model.validation_scores_, rtol=1e-5)


@every_estimator
@pytest.mark.parametrize("solver", ["adam", "fista"])
def test_progress_bar(estimator, own, y, solver):
    bar = ProgressBar(detect_notebook=False)
    model = make(estimator, own, solver=solver, callbacks=[bar], max_iter=2).fit(X, y)
    assert model.n_iter_ == 2
    (_, shown), *_ = model.net_.callbacks_
    assert shown.pbar_.n == (3 if solver == "adam" else 0)  # of a whole-batch step no batches


@every_estimator
def test_callbacks_that_watch_change_nothing(estimator, own, y):
    watchers = [EpochScoring(accuracy, on_train=True), ProgressBar(detect_notebook=False)]
    seen = make(estimator, own, callbacks=watchers).fit(X, y)
    alone = make(estimator, own).fit(X, y)
    assert_allclose(seen.loss_curve_, alone.loss_curve_, rtol=1e-5)


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
    for theirs, own in zip(net.module_.parameters(), ours.module_.parameters(), strict=True):
        assert_allclose(own.detach(), theirs.detach(), atol=2e-6)
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
    twin = skorch_net(optimizer__param_groups=[("*.weight", {"penalty": L1(alpha=0.05)})])
    twin.initialize().load_params(**files)
    for model in (net, twin):
        torch.manual_seed(0)
        model.partial_fit(X, Y[:, None])
    for ours, theirs in zip(net.module_.parameters(), twin.module_.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.skipif(
    os.environ.get("HYPOTHESIS_PROFILE") != "nightly",
    reason="15 seconds: HYPOTHESIS_PROFILE=nightly runs it",
)
def test_two_processes_take_the_steps_of_one_with_the_joint_batch(tmp_path):
    pytest.importorskip("accelerate", reason="pip install 'skreg[parallel]'")
    script = Path(__file__).with_name("data_parallel.py")
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
