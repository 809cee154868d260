"""Steps replayed as a CUDA graph give the fit of steps launched one by one.

On a CPU, by a device that pretends (``pretend_cuda.py``): the code that trains is that which
trains on CUDA, but for the lines of ``CudaRecorder``. Those are tested in test_cuda.py, where
there is a GPU.
"""

import pickle
import warnings
from unittest.mock import MagicMock, Mock, create_autospec

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from numpy.testing import assert_allclose
from pretend_cuda import OnDevice, PretendCuda, PretendRecorder, machine, pretend_cuda
from sklearn.exceptions import ConvergenceWarning

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor, StackedGridSearchCV
from skreg.optim import ProximalAdam, ProximalSGD
from skreg.penalties import L1, GroupLasso
from skreg.penalties.by_name import PENALTIES
from skreg.training.cuda_graph import CudaRecorder
from skreg.training.data import TensorData

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_rng = np.random.default_rng(0)
X = _rng.normal(size=(115, 6)).astype(np.float32)
Y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0)
WEIGHTS = _rng.integers(1, 4, size=115).astype(float)
# Of 50 rows: two batches in an epoch, and one of the 15 rows that are left.
N_EPOCHS = 3
NEVER = 10**9


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
    for own, theirs in zip(
        model.coefs_ + model.intercepts_, other.coefs_ + other.intercepts_, strict=True
    ):
        assert_allclose(own, theirs, **tolerance)
    assert_allclose(model.loss_curve_, other.loss_curve_, rtol=1e-5, atol=1e-6)


@pytest.fixture
def replays(monkeypatch):
    with pretend_cuda(monkeypatch) as recorder:
        yield recorder


def check_replays(recorder, **parameters):
    """Replayed steps give the bits of launched ones, and the CPU's fit to rounding."""
    graphed = fit("cuda", **parameters)
    assert isinstance(graphed.net_.module_.weight, OnDevice)
    assert recorder.n_recorded == 2
    # The first two of either size are launched.
    assert recorder.n_replayed == 3 * graphed.n_iter_ - 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skreg.training.cuda_graph.GraphedSteps.n_eager", NEVER)
        launched = fit("cuda", **parameters)
    assert_same_fit(graphed, launched, rtol=0, atol=0)
    assert_same_fit(graphed, fit("cpu", **parameters), rtol=1e-5, atol=1e-6)
    return graphed


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("penalty", [None, *PENALTIES])
def test_every_penalty_and_solver(replays, penalty, solver):
    graphed = fit("cuda", penalty=penalty, solver=solver)
    assert replays.n_recorded == 2
    assert_same_fit(graphed, fit("cpu", penalty=penalty, solver=solver), rtol=1e-5, atol=1e-6)


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


@pytest.mark.parametrize("parameters", WAYS.values(), ids=WAYS)
def test_every_way_of_a_step(replays, parameters):
    check_replays(replays, **parameters)


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
def test_every_loss(replays, estimator, parameters):
    check_replays(replays, estimator=estimator, penalty="l1", **parameters)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_learning_rates_that_change_are_read_by_the_same_recording(replays, solver):
    # Recorded twice as ever: were the rate burnt in, the fit would be another.
    rates = {"learning_rate": "invscaling", "power_t": 1.0, "solver": solver}
    model = check_replays(replays, penalty="elasticnet", **rates)
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
    n_eager=st.integers(2, 5),
)
def test_any_fit(sizes, batch_size, activation, penalty, solver, double, weighted, n_eager):
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
    with pytest.MonkeyPatch.context() as patch, pretend_cuda(patch, n_eager=n_eager) as made:
        model = train("cuda")
        assert made.n_replayed > 0
        assert_same_fit(model, train("cpu"), **tolerance)


@pytest.mark.parametrize("penalty", ["l1", "group_mcp"])
def test_members_of_a_stack_that_differ_and_leave(replays, penalty):
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

    on_device = search("cuda")
    assert replays.n_replayed > 20
    # The whole stack and the smaller one of those who stayed, at least.
    assert replays.n_recorded >= 2
    on_cpu = search("cpu")
    for name in ("split0_test_score", "split1_test_score"):
        assert_allclose(on_device[name], on_cpu[name], rtol=1e-4, atol=1e-5)


def test_a_fit_that_diverges_goes_on_and_is_recorded_anew(replays):
    def train(device):
        with pytest.warns(ConvergenceWarning, match="goes on from the best weights"):
            return fit(device, solver="sgd", learning_rate_init=5.0, max_iter=8)

    model = train("cuda")
    assert replays.n_recorded > 2
    assert_same_fit(model, train("cpu"), rtol=1e-4, atol=1e-5)


def test_other_penalties_are_recorded_anew_and_other_epochs_are_not(replays):
    model = fit("cuda", penalty="l1", warm_start=True)
    assert replays.n_recorded == 2
    reference = fit("cpu", penalty="l1", warm_start=True)
    for one in (model, reference):
        one.set_params(alpha=0.2, penalty="group_lasso").fit(X, Y)
    assert replays.n_recorded == 4
    assert_same_fit(model, reference, rtol=1e-5, atol=1e-6)
    for one in (model, reference):
        for _ in range(3):
            one.partial_fit(X, Y)
    assert_allclose(model.coefs_[0], reference.coefs_[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_penalty_exchanged_between_epochs_is_recorded_anew(replays, solver):
    def train(device):
        net = fit(device, penalty=L1(), solver=solver).net_
        net.begin(TensorData(X, Y[:, None]), None)
        for penalty in (L1(0.01), L1(0.3), None):
            net.set_penalty(penalty)
            for _ in range(3):
                net.run_epoch()
        net.end()
        return net.module_.weight.detach().cpu().numpy()

    on_device = train("cuda")
    assert replays.n_recorded == 8
    assert_allclose(on_device, train("cpu"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_what_was_trained_there_goes_on_where_there_is_none(replays, solver):
    model = fit("cuda", penalty="l1", solver=solver)
    saved = pickle.dumps(model)
    state = model.net_.optimizer_.state_dict()
    assert not any(group["capturable"] for group in model.net_.optimizer_.param_groups)
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


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_checkpoint_taken_between_replays_is_gone_on_from(replays, solver, tmp_path):
    class CutError(Exception):
        pass

    kept = {"checkpoint": tmp_path / "fit.pt", "checkpoint_interval": 0.0, "resume": True}

    def train(device, **parameters):
        return fit(device, penalty="l1", solver=solver, max_iter=8, **parameters)

    with pytest.MonkeyPatch.context() as patch:
        replay = PretendRecorder.record

        def record(self, step):
            take = replay(self, step)

            def take_or_cut():
                if PretendRecorder.n_replayed == 12:
                    raise CutError
                take()

            return take_or_cut

        patch.setattr(PretendRecorder, "record", record)
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


class TestWhatCannotBeRecorded:
    class ReadsTheHost(L1):
        """Soft-thresholding by way of the host."""

        def prox_in_metric_(self, weight, metric, scale, scratch):
            if weight.abs().max().item() >= 0:
                super().prox_in_metric_(weight, metric, scale, scratch)

    @pytest.mark.parametrize("notices", [True, False], ids=["at the rehearsal", "recording"])
    def test_it_is_trained_all_the_same_with_one_warning(self, replays, monkeypatch, notices):
        if not notices:
            monkeypatch.setattr(PretendRecorder, "rehearse", lambda self, step: step())
        with pytest.warns(UserWarning, match="cannot be recorded as a CUDA graph") as caught:
            model = fit("cuda", penalty=self.ReadsTheHost())
        (warning,) = [w for w in caught if "recorded" in str(w.message)]
        reason = "the host waits" if notices else "not permitted when stream is capturing"
        assert reason in str(warning.message)
        assert "without .item()" in str(warning.message)
        assert (replays.n_failed, replays.n_recorded) == (0 if notices else 1, 0)
        assert_same_fit(model, fit("cpu", penalty=L1()), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("parameters", [{"solver": "fista"}, {"callbacks": []}], ids=repr)
    def test_who_asks_for_no_recording_gets_none(self, replays, parameters):
        fit("cuda", **parameters)
        assert (replays.n_recorded == 0) == ("solver" in parameters)

    def test_on_a_cpu_nothing_is_recorded(self, replays):
        fit("cpu")
        assert replays.n_recorded == 0


class TestCudaRecorder:
    """That torch.cuda is called by its signatures, and is left as it was found."""

    @pytest.fixture
    def cuda(self, monkeypatch):
        names = ("graph", "stream", "set_stream", "device", "set_sync_debug_mode", "CUDAGraph")
        cuda = Mock()
        for name in names:
            double = create_autospec(getattr(torch.cuda, name))
            cuda.attach_mock(double, name)
            monkeypatch.setattr(torch.cuda, name, double)
        for name in ("stream", "device", "graph"):
            entered = MagicMock()
            entered.__exit__.return_value = False
            getattr(cuda, name).side_effect = lambda *args, _it=entered, **kwargs: _it
        monkeypatch.setattr(torch.cuda, "Stream", lambda: cuda.aside)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: cuda.current)
        monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 2)
        return cuda

    def test_a_step_is_rehearsed_between_what_was_launched_and_what_will_be(self, cuda):
        def step():
            cuda.step()
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
            warnings.warn("something else", stacklevel=1)

        recorder = CudaRecorder(torch.device("cuda:0"))
        with pytest.warns(UserWarning, match="something else") as caught:
            assert recorder.rehearse(step)
        assert len(caught) == 1
        assert not recorder.rehearse(cuda.step)
        names = [call[0] for call in cuda.mock_calls]
        order = ["aside.wait_stream", "set_sync_debug_mode", "step", "current.wait_stream"]
        places = [names.index(name) for name in order]
        assert places == sorted(places)
        modes = [call.args for call in cuda.set_sync_debug_mode.mock_calls]
        assert modes == [("warn",), (2,)] * 2

    @pytest.mark.parametrize("fails", [False, True])
    def test_a_recording_that_fails_leaves_the_stream_there_was(self, cuda, fails):
        recorder = CudaRecorder(torch.device("cuda:0"))
        if fails:
            cuda.step.side_effect = RuntimeError("capture")
            with pytest.raises(RuntimeError, match="capture"):
                recorder.record(cuda.step)
        else:
            replay = recorder.record(cuda.step)
            replay()
            assert cuda.CUDAGraph.return_value.replay.call_count == 1
        assert cuda.step.call_count == 1
        assert cuda.set_stream.mock_calls[-1].args == (cuda.current,)


class TestPretendDevice:
    """What proves the rest has to be able to fail."""

    @pytest.fixture(autouse=True)
    def entered(self):
        with PretendCuda():
            yield

    def test_recording_changes_nothing_and_replays_do_on_the_same_memory(self):
        x, y = torch.ones(3).to("cuda"), torch.zeros(3).to("cuda")

        def step():
            y[1:].add_((x * 2.0)[1:])
            x.mul_(2.0)

        replay = PretendRecorder("cuda").record(step)
        assert (x.tolist(), y.tolist()) == ([1, 1, 1], [0, 0, 0])
        for _ in range(2):
            replay()
        assert (x.tolist(), y.tolist()) == ([4, 4, 4], [0, 6, 6])

    def test_numbers_of_the_host_are_burnt_in(self):
        x, count = torch.zeros(1).to("cuda"), torch.zeros(())

        def step():
            count.add_(1.0)
            x.add_(count)

        replay = PretendRecorder("cuda").record(step)
        for _ in range(3):
            replay()
        assert x.tolist() == [3.0]  # and not 1 + 2 + 3

    @pytest.mark.parametrize(
        "read",
        [
            lambda x: x.sum().item(),
            lambda x: bool(x.sum() > 0),
            lambda x: x.cpu(),
            lambda x: x[x > 0],
            lambda x: x.nonzero(),
            lambda x: x.copy_(torch.ones(3)),
            lambda x: x.new_tensor([1.0]),
            lambda x: torch.ones(3).to(x.device),
        ],
    )
    def test_what_makes_the_host_wait_ends_a_recording_and_undoes_it(self, read):
        x, before = torch.ones(3).to("cuda"), machine.n_waits

        def step():
            x.mul_(2.0)
            read(x)

        with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
            PretendRecorder("cuda").record(step)
        assert x.tolist() == [1.0, 1.0, 1.0]
        before = machine.n_waits
        step()
        assert machine.n_waits > before

    def test_tensors_here_and_there_do_not_mix(self):
        with pytest.raises(RuntimeError, match="same device"):
            torch.ones(3).to("cuda") + torch.ones(3)


@pytest.mark.parametrize("penalty", [L1(0.1), GroupLasso(0.1), None], ids=str)
@pytest.mark.parametrize("solver", [ProximalAdam, ProximalSGD])
@pytest.mark.parametrize("capturable", [True, False])
def test_steps_in_a_graph_of_the_users_own(solver, penalty, capturable):
    def train(record):
        parameter = torch.nn.Parameter(torch.linspace(-1.0, 1.0, 6).reshape(2, 3).to("cuda"))
        parameter.grad = torch.ones(2, 3).to("cuda")
        rate = torch.tensor(0.1).to("cuda")
        momentum = {"momentum": 0.9} if solver is ProximalSGD else {}
        optimizer = solver(
            [parameter], lr=rate, penalty=penalty, capturable=capturable, **momentum
        )
        step = optimizer.step
        for n_steps in range(5):
            if n_steps == 2 and record:
                step = PretendRecorder("cuda").record(step)
            rate.mul_(0.7)
            parameter.grad.add_(parameter.detach())
            step()
        return np.array(parameter.detach().tolist())

    with PretendCuda():
        launched = train(record=False)
        # Adam reads a count that is on the host, SGD's momentum adds up there: burnt in.
        burnt_in = not capturable and (penalty is not None or solver is ProximalAdam)
        assert np.allclose(train(record=True), launched, rtol=1e-6) is not burnt_in
