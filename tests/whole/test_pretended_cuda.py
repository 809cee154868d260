"""Fits with ``device="cuda"`` on a device that pretends, on a CPU: those of the CPU.

The code that trains is that which trains on CUDA (``pretend_cuda.py``). What only a GPU shows
is in test_cuda.py.
"""

import pickle

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from numpy.testing import assert_allclose
from pretend_cuda import OnDevice, PretendCuda, machine, pretend_cuda
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor, StackedGridSearchCV
from skreg.penalties import L1, GroupLasso
from skreg.penalties.by_name import PENALTIES
from skreg.training.data import TensorData
from skreg.training.net import RegularizedNet

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_rng = np.random.default_rng(0)
X = _rng.normal(size=(115, 6)).astype(np.float32)
Y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0)
WEIGHTS = _rng.integers(1, 4, size=115).astype(float)
# Of 50 rows: two batches in an epoch, and one of the 15 rows that are left.
N_EPOCHS = 3


def fit(device, estimator=RegularizedMLPRegressor, y=Y, sample_weight=None, **parameters):
    parameters = {
        "hidden_layer_sizes": (5,),
        "batch_size": 50,
        "max_iter": N_EPOCHS,
        "learning_rate_init": 0.01,
        "alpha": 0.01,
        "random_state": 0,
        **parameters,
    }
    fit_parameters = {} if sample_weight is None else {"sample_weight": sample_weight}
    return estimator(device=device, **parameters).fit(X, y, **fit_parameters)


def assert_same_fit(model, other, **tolerance):
    assert model.n_iter_ == other.n_iter_
    for first, second in zip(
        model.coefs_ + model.intercepts_, other.coefs_ + other.intercepts_, strict=True
    ):
        assert_allclose(first, second, **tolerance)
    assert_allclose(model.loss_curve_, other.loss_curve_, rtol=1e-5, atol=1e-6)


@pytest.fixture
def pretended(monkeypatch):
    with pretend_cuda(monkeypatch):
        yield


def check_fit(**parameters):
    """The device gives the CPU's fit to rounding."""
    on_device = fit("cuda", **parameters)
    assert isinstance(on_device.net_.module_.weight, OnDevice)
    assert_same_fit(on_device, fit("cpu", **parameters), rtol=1e-5, atol=1e-6)
    return on_device


on_the_device = pytest.mark.usefixtures("pretended")


@on_the_device
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("penalty", [None, *PENALTIES])
def test_every_penalty_and_solver(penalty, solver):
    check_fit(penalty=penalty, solver=solver)


WAYS = {
    "subgradient": {"penalty_method": "subgradient", "penalty": "group_scad"},
    "sgd, subgradient": {"solver": "sgd", "penalty_method": "subgradient"},
    "decoupled": {"penalty_method": "decoupled"},
    "sgd, decoupled": {"solver": "sgd", "penalty_method": "decoupled"},
    "no momentum": {"solver": "sgd", "momentum": 0.0, "penalty": "sparse_group_lasso"},
    "heavy ball": {"solver": "sgd", "nesterovs_momentum": False, "penalty": "group_mcp"},
    "penalized biases": {"penalize_bias": True, "penalty": "l1"},
    "groups": {"penalty": GroupLasso(groups=[[0, 2], [1, 5]]), "hidden_layer_sizes": ()},
    "early stopping": {"early_stopping": True, "batch_size": 40, "penalty": "l1"},
    "weights": {"sample_weight": WEIGHTS, "penalty": "mcp"},
}


@on_the_device
@pytest.mark.parametrize("parameters", WAYS.values(), ids=WAYS)
def test_every_way_of_a_step(parameters):
    check_fit(**parameters)


@on_the_device
@pytest.mark.parametrize(
    ("estimator", "parameters"),
    [
        (RegularizedMLPRegressor, {"loss": "huber"}),
        (RegularizedMLPRegressor, {"loss": "quantile"}),
        (RegularizedMLPRegressor, {"loss": "poisson", "y": np.abs(Y)}),
        (RegularizedMLPRegressor, {"loss": torch.nn.L1Loss(reduction="none")}),
        (RegularizedMLPRegressor, {"y": np.column_stack([Y, X[:, 3]])}),
        (RegularizedMLPClassifier, {"y": Y > 0, "class_weight": "balanced"}),
        (RegularizedMLPClassifier, {"y": np.digitize(Y, [-1, 1])}),
        (RegularizedMLPClassifier, {"y": (X[:, :3] > 0).astype(int)}),
    ],
    ids=lambda value: getattr(value, "__name__", None) or "-".join(value),
)
def test_every_loss(estimator, parameters):
    check_fit(estimator=estimator, penalty="l1", **parameters)


@on_the_device
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_learning_rates_that_change(solver):
    rates = {"learning_rate": "invscaling", "power_t": 1.0, "solver": solver}
    model = check_fit(penalty="elasticnet", **rates)
    constant = fit("cpu", penalty="elasticnet", solver=solver)
    assert np.abs(model.coefs_[0] - constant.coefs_[0]).max() > 1e-3


@settings(max_examples=6, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), max_size=2).map(tuple),
    batch_size=st.sampled_from([20, 23, 60, 115]),
    activation=st.sampled_from(["relu", "tanh", "logistic", "identity"]),
    penalty=st.sampled_from([None, *PENALTIES]),
    solver=st.sampled_from(["adam", "sgd"]),
    double=st.booleans(),
    weighted=st.booleans(),
)
def test_any_fit(sizes, batch_size, activation, penalty, solver, double, weighted):
    x = X.astype(float) if double else X

    def train(device):
        model = RegularizedMLPRegressor(
            sizes,
            activation=activation,
            penalty=penalty,
            solver=solver,
            batch_size=batch_size,
            max_iter=7,
            alpha=0.01,
            learning_rate_init=0.01,
            random_state=0,
            device=device,
        )
        return model.fit(x, Y, sample_weight=WEIGHTS if weighted else None)

    tolerance = {"rtol": 1e-9, "atol": 1e-11} if double else {"rtol": 1e-4, "atol": 1e-5}
    with pytest.MonkeyPatch.context() as patch, pretend_cuda(patch):
        assert_same_fit(train("cuda"), train("cpu"), **tolerance)


@on_the_device
@pytest.mark.parametrize("penalty", ["l1", "group_mcp"])
def test_members_of_a_stack_that_differ_and_leave(penalty):
    def search(device):
        model = RegularizedMLPRegressor(
            (5,),
            penalty=penalty,
            solver="sgd",
            learning_rate="adaptive",
            batch_size=30,
            max_iter=10,
            tol=1e-2,
            n_iter_no_change=2,
            random_state=0,
            device=device,
        )
        grid = {
            "alpha": [0.01, 0.1],
            "learning_rate_init": [0.02, 0.005],
            "momentum": [0.5, 0.9],
        }
        return StackedGridSearchCV(model, grid, cv=2, refit=False).fit(X, Y).cv_results_

    on_device, on_cpu = search("cuda"), search("cpu")
    for name in ("split0_test_score", "split1_test_score"):
        assert_allclose(on_device[name], on_cpu[name], rtol=1e-4, atol=1e-5)


@on_the_device
def test_a_fit_that_diverges_goes_on():
    def train(device):
        with pytest.warns(ConvergenceWarning, match="goes on from the best weights"):
            return fit(device, solver="sgd", learning_rate_init=5.0, max_iter=8)

    assert_same_fit(train("cuda"), train("cpu"), rtol=1e-4, atol=1e-5)


@on_the_device
def test_other_penalties_and_other_epochs():
    model = fit("cuda", penalty="l1", warm_start=True)
    reference = fit("cpu", penalty="l1", warm_start=True)
    for one in (model, reference):
        one.set_params(alpha=0.2, penalty="group_lasso").fit(X, Y)
    assert_same_fit(model, reference, rtol=1e-5, atol=1e-6)
    for one in (model, reference):
        for _ in range(3):
            one.partial_fit(X, Y)
    assert_allclose(model.coefs_[0], reference.coefs_[0], rtol=1e-5, atol=1e-6)


@on_the_device
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_penalty_exchanged_between_epochs(solver):
    def train(device):
        net = fit(device, penalty=L1(), solver=solver).net_
        net.begin(TensorData(X, Y[:, None]), None)
        for penalty in (L1(0.01), L1(0.3), None):
            net.set_penalty(penalty)
            for _ in range(3):
                net.run_epoch()
        net.end()
        return net.module_.weight.detach().cpu().numpy()

    assert_allclose(train("cuda"), train("cpu"), rtol=1e-5, atol=1e-6)


@on_the_device
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_what_was_trained_there_goes_on_where_there_is_none(solver):
    model = fit("cuda", penalty="l1", solver=solver)
    saved = pickle.dumps(model)
    state = model.net_.optimizer_.state_dict()
    for of_parameter in state["state"].values():
        assert of_parameter.get("step", torch.zeros(())).is_cpu
        assert isinstance(of_parameter.get("mass", 0.0), float)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        loaded = pickle.loads(saved)
    reference = fit("cpu", penalty="l1", solver=solver)
    assert loaded.net_.module_.weight.device.type == "cpu"
    for one in (loaded, reference):
        one.set_params(device="cpu").partial_fit(X, Y)
    assert_allclose(loaded.coefs_[0], reference.coefs_[0], rtol=1e-5, atol=1e-6)


@on_the_device
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_checkpoint_taken_there_is_gone_on_from(solver, tmp_path):
    class CutError(Exception):
        pass

    kept = {"checkpoint": tmp_path / "fit.pt", "checkpoint_interval": 0.0, "resume": True}

    def train(device, **parameters):
        return fit(device, penalty="l1", solver=solver, max_iter=8, **parameters)

    with pytest.MonkeyPatch.context() as patch:
        run_epoch = RegularizedNet.run_epoch

        def run_or_cut(net):
            if net.n_epochs_ == 5:
                raise CutError
            return run_epoch(net)

        patch.setattr(RegularizedNet, "run_epoch", run_or_cut)
        with pytest.raises(CutError):
            train("cuda", **kept)
    for device in ("cpu", "cuda"):
        copy = tmp_path / f"{device}.pt"
        copy.write_bytes((tmp_path / "fit.pt").read_bytes())
        resumed = train(device, **{**kept, "checkpoint": copy})
        assert_same_fit(resumed, train("cpu"), rtol=1e-5, atol=1e-6)


def test_the_host_waits_once_an_epoch_however_many_batches_there_are(monkeypatch):
    def waits(batch_size):
        before = machine.n_waits
        fit("cuda", penalty="group_lasso", batch_size=batch_size, max_iter=8)
        return machine.n_waits - before

    with pretend_cuda(monkeypatch):
        assert waits(10) == waits(50)


def test_tensors_here_and_there_do_not_mix():
    with PretendCuda(), pytest.raises(RuntimeError, match="same device"):
        torch.ones(3).to("cuda") + torch.ones(3)


def test_what_the_host_reads_it_waits_for():
    with PretendCuda():
        x = torch.ones(3).to("cuda")
        for read in (Tensor.cpu, Tensor.tolist, lambda x: x.sum().item()):
            before = machine.n_waits
            read(x)
            assert machine.n_waits == before + 1
