"""On a GPU: the fits of the CPU, batches that move by themselves, pickles that load anywhere.

Skipped where torch finds no CUDA, but for the tests of what a CPU does with a pickle made on
a GPU: those hand it the state such a pickle holds.
"""

import os
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.sparse
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import LRScheduler

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor
from skreg.estimators.checks import resolve_device

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="torch finds CUDA")

_rng = np.random.default_rng(0)
X = _rng.normal(size=(200, 10)).astype(np.float32)
Y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0)
KINDS = {
    "regressor": (RegularizedMLPRegressor, Y),
    "two outputs": (RegularizedMLPRegressor, np.column_stack([Y, X[:, 3]])),
    "binary": (RegularizedMLPClassifier, np.where(Y > 0, "yes", "no")),
    "multiclass": (RegularizedMLPClassifier, np.digitize(Y, [-1, 1])),
    "multilabel": (RegularizedMLPClassifier, (X[:, :3] > 0).astype(int)),
}
every_kind = pytest.mark.parametrize(("estimator", "y"), KINDS.values(), ids=KINDS)
TRAINED = [
    {"solver": solver, "penalty": penalty, "penalty_method": method}
    for solver in ("adam", "sgd", "fista")
    for penalty in ("l1", "l2", "elasticnet", None)
    for method in ("proximal", "subgradient", "decoupled")
    if (solver != "fista" or method == "proximal")
    and (method != "decoupled" or penalty in ("l2", None))
]


def small(estimator=RegularizedMLPRegressor, **settings):
    settings = {
        "hidden_layer_sizes": (8, 4),
        "learning_rate_init": 0.01,
        "batch_size": 50,
        "max_iter": 10,
        "alpha": 0.01,
        "random_state": 0,
        **settings,
    }
    return estimator(**settings)


def outputs(model, X=X):
    return getattr(model, "predict_proba", model.predict)(X)


# ---------------------------------------------------------------------- with a GPU


@needs_cuda
@every_kind
@pytest.mark.parametrize("settings", TRAINED, ids=lambda s: "-".join(map(str, s.values())))
def test_cpu_and_cuda_fits_agree(estimator, y, settings):
    on_cpu = small(estimator, device="cpu", **settings).fit(X, y)
    on_cuda = small(estimator, device="cuda", **settings).fit(X, y)
    assert on_cuda.net_.module_.weights[0].device.type == "cuda"
    for cuda, cpu in zip(
        on_cuda.coefs_ + on_cuda.intercepts_, on_cpu.coefs_ + on_cpu.intercepts_, strict=True
    ):
        assert type(cuda) is np.ndarray
        assert cuda.dtype == cpu.dtype == np.float32
        assert_allclose(cuda, cpu, rtol=1e-3, atol=1e-4)
    assert_allclose(outputs(on_cuda), outputs(on_cpu), rtol=1e-3, atol=1e-3)
    for curve in ("loss_curve_", "data_loss_curve_", "penalty_curve_"):
        assert_allclose(getattr(on_cuda, curve), getattr(on_cpu, curve), rtol=1e-3, atol=1e-5)
    assert_allclose(on_cuda.sparsity_, on_cpu.sparsity_, atol=0.02)
    assert_allclose(on_cuda.feature_importances_, on_cpu.feature_importances_, rtol=1e-2)
    assert on_cuda.selected_features_.dtype == bool
    assert (on_cuda.n_iter_, on_cuda.t_) == (on_cpu.n_iter_, on_cpu.t_)


@needs_cuda
@every_kind
def test_cpu_and_cuda_fits_agree_to_many_digits_in_float64(estimator, y):
    fits = [small(estimator, device=d).fit(X.astype(float), y) for d in ("cpu", "cuda")]
    for cpu, cuda in zip(fits[0].coefs_, fits[1].coefs_, strict=True):
        assert_allclose(cpu, cuda, rtol=1e-8, atol=1e-10)


@needs_cuda
def test_auto_takes_cuda():
    assert small(device="auto").fit(X, Y).net_.module_.weights[0].device.type == "cuda"


@needs_cuda
def test_a_gpu_that_is_not_there_raises_an_error_that_names_device():
    with pytest.raises(ValueError, match="device"):
        small(device="cuda:99").fit(X, Y)


@needs_cuda
@pytest.mark.parametrize("settings", [{"dropout": 0.3}, {"early_stopping": True}], ids=repr)
def test_the_same_seed_gives_the_same_fit_on_cuda_and_leaves_its_generator_alone(settings):
    torch.cuda.init()
    before = torch.cuda.get_rng_state()
    fits = [small(device="cuda", **settings).fit(X, Y) for _ in range(2)]
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert_allclose(fits[0].predict(X), fits[1].predict(X), rtol=1e-5)


@needs_cuda
@every_kind
def test_compact_stays_on_cuda(estimator, y):
    model = small(estimator, penalty="l1", alpha=0.05).fit(X, y)
    compacted = model.compact()
    assert compacted.net_.module_.weight.is_cuda
    assert_allclose(
        compacted.feature_importances_, model.feature_importances_, rtol=1e-3, atol=1e-6
    )
    assert_array_equal(compacted.selected_features_, model.selected_features_)
    raw, expected = (m._raw_predict(X) for m in (compacted, model))
    assert_allclose(raw, expected, rtol=1e-3, atol=1e-5)


@needs_cuda
@every_kind
def test_sample_weights_partial_fit_and_warm_start_work_on_cuda(estimator, y):
    weights = (np.arange(200) % 3).astype(float)
    classes = {"classes": np.unique(y)} if estimator is RegularizedMLPClassifier else {}
    fits = []
    for device in ("cpu", "cuda"):
        model = small(estimator, device=device, warm_start=True, max_iter=5)
        model.partial_fit(X, y, weights, **classes).partial_fit(X, y, weights)
        fits.append(model.fit(X, y, weights))
    assert_allclose(outputs(fits[1]), outputs(fits[0]), rtol=1e-3, atol=1e-3)


@needs_cuda
def test_sparse_rows_give_the_fit_of_dense_ones_on_cuda():
    thinned = np.where(np.abs(X) > 0.8, X, 0)
    rows = scipy.sparse.csr_array(thinned)
    for settings in ({}, {"solver": "fista"}, {"early_stopping": True}):
        thin = small(device="cuda", **settings).fit(rows, Y)
        dense = small(device="cuda", **settings).fit(thinned, Y)
        assert_allclose(thin.predict(rows), dense.predict(thinned), rtol=1e-4, atol=1e-5)


@needs_cuda
def test_predict_moves_batches_and_never_the_whole():
    model = small(device="cuda").fit(X, Y)
    rows = np.zeros((500_000, 10), dtype=np.float32)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    predicted = model.predict(rows)
    assert isinstance(predicted, np.ndarray)
    # The rows are 20 MB; a batch with its hidden layers is under 2, the outputs are 2 more.
    assert torch.cuda.max_memory_allocated() - before < 10e6


@needs_cuda
def test_the_host_waits_no_more_often_for_more_batches():
    def waits(batch_size):
        torch.cuda.synchronize()
        mode = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                small(device="cuda", batch_size=batch_size).fit(X, Y)
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        return sum("called a synchronizing" in str(w.message) for w in caught)

    small(device="cuda").fit(X, Y)
    assert waits(10) == waits(50) > 0


LOADED_WITHOUT_CUDA = """
import pickle, sys
import numpy as np
import torch
assert not torch.cuda.is_available()
model, X, y = pickle.load(open(sys.argv[1], "rb"))
assert model.net_.module_.weights[0].device.type == "cpu"
predictions = getattr(model, "predict_proba", model.predict)(X)
model.set_params(device="auto").partial_fit(X, y)
model.fit(X, y)
np.save(sys.argv[2], predictions)
"""


@needs_cuda
@pytest.mark.parametrize(
    ("estimator", "y"), [KINDS["regressor"], KINDS["binary"]], ids=["regressor", "binary"]
)
@pytest.mark.parametrize(
    "settings",
    [{}, {"dropout": 0.3}, {"callbacks": [LRScheduler("StepLR", step_size=2)]}],
    ids=["defaults", "dropout", "callbacks"],
)
def test_a_pickle_made_on_cuda_loads_where_there_is_none(estimator, y, settings, tmp_path):
    model = small(estimator, device="cuda", **settings).fit(X, y)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps((model, X, y)))
    assert model.net_.module_.weights[0].device.type == "cuda", "pickling moved the original"
    subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-c", LOADED_WITHOUT_CUDA),
            *(str(tmp_path / "model.pickle"), str(tmp_path / "predictions.npy")),
        ],
        check=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    loaded = np.load(tmp_path / "predictions.npy")
    assert_allclose(loaded, outputs(model), rtol=1e-4, atol=1e-5)


@needs_cuda
@every_kind
@pytest.mark.parametrize("settings", [{}, {"dropout": 0.3}], ids=repr)
def test_a_pickle_made_on_cuda_goes_on_there(estimator, y, settings):
    model = small(estimator, device="cuda", **settings).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert again.net_.module_.weights[0].device.type == "cuda"
    assert_array_equal(outputs(again), outputs(model))
    model.partial_fit(X, y)
    again.partial_fit(X, y)
    assert_allclose(outputs(again), outputs(model), rtol=1e-4, atol=1e-5)


@needs_cuda
@pytest.mark.parametrize(("first", "second"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_partial_fit_and_warm_start_go_on_when_the_device_has_changed(first, second):
    # As when a model pickled on a laptop with device="auto" goes on where there is a GPU.
    model = small(device=first, warm_start=True).fit(X, Y)
    model.set_params(device=second).partial_fit(X, Y)
    assert model.t_ == 11 * 200
    model.fit(X, Y)
    assert model.net_.module_.weights[0].device.type == second


# ---------------------------------------------------------------------- without one


def as_pickled_on_cuda(model):
    """The state that a net trained on CUDA writes: tensors on the CPU, the device's name."""
    state = model.net_.__getstate__()
    state["device"] = "cuda"
    # The state of a CUDA generator is 16 bytes, seed and offset; that of a CPU one 5,056.
    kept = state["state"]["generators"]
    state["state"]["generators"] = [np.zeros(16, dtype=np.uint8) for _ in kept]
    return pickle.loads(pickle.dumps(state))


@without_cuda
@every_kind
@pytest.mark.parametrize("settings", [{}, {"solver": "sgd"}, {"dropout": 0.3}], ids=repr)
def test_a_net_pickled_on_cuda_predicts_and_trains_on_where_there_is_none(
    estimator, y, settings
):
    model = small(estimator, **settings).fit(X, y)
    before = outputs(model)
    net = type(model.net_).__new__(type(model.net_))
    net.__setstate__(as_pickled_on_cuda(model))
    model.net_ = net
    assert net.device == "cpu"
    assert_array_equal(outputs(model), before)
    model.partial_fit(X, y)
    assert not np.array_equal(outputs(model), before)


@without_cuda
def test_auto_is_the_cpu_where_there_is_no_cuda():
    assert resolve_device("auto") == "cpu"
    assert small(device="auto").fit(X, Y).net_.module_.weights[0].device.type == "cpu"


def test_auto_is_cuda_where_torch_finds_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == "cuda"
    assert resolve_device("cuda:0") == "cuda:0"
    assert resolve_device("cpu") == "cpu"
