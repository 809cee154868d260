"""Stacked searches against scikit-learn's: the same results, the same manners."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import sklearn
import torch
from joblib import parallel_config
from scipy.stats import loguniform
from searches import (
    ALPHAS,
    XC,
    YC,
    X,
    Y,
    assert_same_search,
    check_against_grid_search,
    classifier,
    regressor,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    RandomizedSearchCV,
    cross_val_score,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_get_params_invariance, check_set_params

from skreg import (
    RegularizedMLPRegressor,
    StackedGridSearchCV,
    StackedRandomizedSearchCV,
)
from skreg.penalties import L1, ElasticNet
from skreg.training.net import RegularizedNet

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training stopped after:sklearn.exceptions.ConvergenceWarning"
)


@pytest.mark.parametrize(
    ("penalty", "in_pipeline"),
    [(None, False), ("l1", False), ("l1", True), ("l2", True), ("elasticnet", False)],
)
@pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
@pytest.mark.parametrize(("make", "X", "y"), [(regressor, X, Y), (classifier, XC, YC)])
def test_the_same_as_grid_search(make, X, y, solver, penalty, in_pipeline):
    estimator = make(solver=solver, penalty=penalty)
    grid = {"alpha": ALPHAS, "random_state": [0, 1]}
    if in_pipeline:
        estimator = Pipeline([("scale", StandardScaler()), ("net", estimator)])
        grid = {f"net__{name}": values for name, values in grid.items()}
    check_against_grid_search(estimator, grid, X, y)


@pytest.mark.parametrize(
    "grid",
    [
        {"hidden_layer_sizes": [(), (4,), (5, 3)], "alpha": ALPHAS[:2]},
        {"penalty": [L1(0.01), L1(0.1), ElasticNet(0.1, 0.3), None]},
        {"learning_rate_init": [0.01, 0.05], "solver": ["adam", "sgd"], "momentum": [0.5, 0.9]},
        {"batch_size": [20, 100], "tol": [1e-4, 1.0], "n_iter_no_change": [1, 10]},
        {"loss": ["squared_error", "huber"], "early_stopping": [True, False]},
        [{"penalty": ["l1"], "alpha": ALPHAS}, {"penalty": ["elasticnet"], "l1_ratio": [0.2]}],
        {"dropout": [0.0, 0.3], "activation": ["relu", "tanh"]},
    ],
    ids=lambda grid: ",".join(grid) if isinstance(grid, dict) else "list",
)
def test_every_parameter_may_be_searched(grid):
    check_against_grid_search(regressor(), grid)


def test_a_classifiers_class_weight_may_be_searched():
    grid = {"class_weight": [None, "balanced", {0: 2.0}], "alpha": ALPHAS[:2]}
    check_against_grid_search(classifier(), grid, XC[20:], YC[20:])


@pytest.mark.parametrize("kind", ["float32", "fortran", "read-only", "list", "sparse"])
def test_tables_of_all_kinds(kind):
    table = {
        "float32": lambda: X.astype(np.float32),
        "fortran": lambda: np.asfortranarray(X),
        "read-only": lambda: np.frombuffer(X.tobytes()).reshape(X.shape),
        "list": X.tolist,
        "sparse": lambda: scipy.sparse.csr_matrix(X),
    }[kind]()
    reference = GridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3).fit(table, Y)
    stacked = StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3).fit(table, Y)
    assert_same_search(stacked, reference, table, 1e-3 if kind == "float32" else 1e-6)


def test_several_metrics_with_a_refit_rule():
    def least_error(results):
        return int(np.argmax(results["mean_test_mae"]))

    scoring = {"r2": "r2", "mae": make_scorer(mean_absolute_error, greater_is_better=False)}
    for refit in ("mae", least_error, False):
        check_against_grid_search(
            regressor(),
            {"alpha": ALPHAS},
            scoring=scoring,
            refit=refit,
            return_train_score=True,
        )

    def both(model, X, y):
        return {"r2": model.score(X, y), "features": int(model.selected_features_.sum())}

    check_against_grid_search(regressor(), {"alpha": ALPHAS}, scoring=both, refit="r2")


def test_sample_weights_and_groups():
    weights = np.linspace(0, 2, 150)
    check_against_grid_search(
        regressor(), {"alpha": ALPHAS}, fit_params={"sample_weight": weights}
    )
    groups = np.arange(150) % 10
    check_against_grid_search(
        regressor(), {"alpha": ALPHAS}, cv=GroupKFold(3), fit_params={"groups": groups}
    )


def test_metadata_routing():
    weights = np.linspace(0.1, 2, 150)
    with sklearn.config_context(enable_metadata_routing=True):
        net = regressor().set_fit_request(sample_weight=True)
        net.set_score_request(sample_weight=True)
        pipeline = Pipeline(
            [("scale", StandardScaler().set_fit_request(sample_weight=True)), ("net", net)]
        )
        check_against_grid_search(
            pipeline,
            {"net__alpha": ALPHAS},
            cv=GroupKFold(3),
            fit_params={"sample_weight": weights, "groups": np.arange(150) % 7},
        )


def test_an_empty_search_says_so():
    with pytest.raises(ValueError, match="No fits were performed"):
        StackedGridSearchCV(regressor(), [], cv=3).fit(X, Y)


def test_randomized_search():
    distributions = {"alpha": loguniform(1e-4, 1), "random_state": [0, 1, 2]}
    settings = {"n_iter": 6, "cv": 3, "random_state": 0}
    reference = RandomizedSearchCV(regressor(), distributions, **settings).fit(X, Y)
    stacked = StackedRandomizedSearchCV(regressor(), distributions, **settings).fit(X, Y)
    assert_same_search(stacked, reference)


@pytest.mark.parametrize(
    "search",
    [
        StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=2),
        StackedRandomizedSearchCV(regressor(), {"alpha": ALPHAS}, n_iter=2, cv=2),
    ],
    ids=["grid", "randomized"],
)
def test_a_search_is_an_estimator(search):
    check_get_params_invariance(type(search).__name__, search)
    check_set_params(type(search).__name__, search)
    copied = clone(search)
    assert repr(copied) == repr(search)
    with pytest.raises(NotFittedError):
        copied.predict(X)
    copied.fit(X, Y)
    assert copied.n_features_in_ == 10
    assert len(cross_val_score(search, X, Y, cv=2)) == 2
    assert "RegularizedMLPRegressor" in copied._repr_html_()


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_shards_in_processes_and_threads_give_the_same(backend):
    before = torch.get_num_threads()
    reference = GridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3).fit(X, Y)
    with parallel_config(backend):
        stacked = StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3, n_jobs=2).fit(X, Y)
    assert_same_search(stacked, reference)
    assert torch.get_num_threads() == before


class CountedTable(np.ndarray):
    """Rows that count how often they are sent to another process."""

    sent = 0

    def __reduce__(self):
        CountedTable.sent += 1
        return np.ascontiguousarray, (np.asarray(self),)


def test_the_data_are_sent_once_to_each_process_and_not_once_per_candidate():
    CountedTable.sent = 0
    table = X.view(CountedTable)
    settings = {"cv": 3, "n_jobs": 2, "refit": False}
    with parallel_config("loky"):
        StackedGridSearchCV(regressor(), {"alpha": np.logspace(-3, 0, 10)}, **settings).fit(
            table, Y
        )
    assert CountedTable.sent == 2


def test_threads_give_the_same_and_are_gone_afterwards():
    reference = GridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3).fit(X, Y)
    before, running = torch.get_num_threads(), threading.active_count()
    torch.set_num_threads(2)
    try:
        stacked = StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3).fit(X, Y)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert_same_search(stacked, reference)
    assert threading.active_count() == running


INTERRUPTED = """
    import numpy as np, os, signal, threading, time
    import torch
    torch.set_num_threads(2)
    from skreg import RegularizedMLPRegressor, StackedGridSearchCV
    X = np.random.default_rng(0).normal(size=(2000, 10))
    net = RegularizedMLPRegressor((50,), max_iter=10**6, n_iter_no_change=np.inf)
    search = StackedGridSearchCV(net, {"alpha": [0.1, 0.2, 0.3]}, n_jobs=N_JOBS)
    threading.Timer(SECONDS, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        search.fit(X, X[:, 0])
    except KeyboardInterrupt:
        assert not hasattr(search, "cv_results_")
        time.sleep(1)
        assert torch.get_num_threads() == 2
        assert threading.active_count() <= 3, threading.enumerate()
        print("interrupted")
"""


def test_an_interrupt_of_a_network_trained_alone_ends_the_search(monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(RegularizedNet, "run_epoch", interrupted)
    search = StackedGridSearchCV(
        regressor(), {"alpha": ALPHAS[:1]}, cv=[(np.arange(99), np.arange(9))]
    )
    with pytest.raises(KeyboardInterrupt):
        search.fit(X, Y)


def alive_in_session(session):
    """Processes of a session that are not zombies."""
    alive = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its_session) == session and state != "Z":
            alive.append(stat.parent.name)
    return alive


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_ctrl_c_ends_the_search_and_leaves_nothing(n_jobs):
    # Processes take a while to start.
    seconds = "4.0" if n_jobs else "1.0"
    code = textwrap.dedent(INTERRUPTED).replace("N_JOBS", repr(n_jobs))
    code = code.replace("SECONDS", seconds)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    try:
        out, _ = process.communicate(timeout=60)
        assert out.strip().endswith("interrupted")
        deadline = time.monotonic() + 10
        while alive_in_session(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not alive_in_session(process.pid)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster():
    """A client of a real cluster of two worker processes."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", processes=True
        ) as workers,
        distributed.Client(workers) as client,
    ):
        yield client


# What Dask leaves open or to be collected is not ours.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestDask:
    def test_a_search_on_two_workers_gives_the_same(self, cluster):
        reference = GridSearchCV(regressor(), {"alpha": ALPHAS}, cv=4).fit(X, Y)
        with parallel_config("dask"):
            stacked = StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=4).fit(X, Y)
        assert_same_search(stacked, reference)

    def test_a_killed_worker_is_made_up_for(self, cluster):
        settings = {"max_iter": 400, "n_iter_no_change": np.inf, "batch_size": 10}
        reference = GridSearchCV(regressor(**settings), {"alpha": ALPHAS}, cv=2).fit(X, Y)
        pids = list(cluster.run(os.getpid).values())
        killed = []

        def kill_a_busy_worker():
            for _ in range(400):
                time.sleep(0.05)
                busy = [w for w, tasks in cluster.processing().items() if tasks]
                if busy:
                    time.sleep(0.3)
                    victim = cluster.run(os.getpid, workers=busy[:1])[busy[0]]
                    os.kill(victim, signal.SIGKILL)
                    killed.append(victim)
                    return

        killer = threading.Thread(target=kill_a_busy_worker)
        killer.start()
        with parallel_config("dask"):
            stacked = StackedGridSearchCV(regressor(**settings), {"alpha": ALPHAS}, cv=2).fit(
                X, Y
            )
        killer.join()
        assert killed, "no worker was killed: the test showed nothing"
        assert killed[0] in pids
        assert_same_search(stacked, reference)


def test_a_search_whose_refit_fails_leaves_the_last_one(monkeypatch):
    search = StackedGridSearchCV(regressor(), {"alpha": [0.01]}, cv=2).fit(X, Y)
    search.set_params(param_grid={"alpha": [0.1, 1.0]})
    before, predictions = dict(vars(search)), search.predict(X)

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(RegularizedMLPRegressor, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search.fit(X[:, :3], Y)
    assert vars(search).keys() == before.keys()
    assert all(vars(search)[name] is value for name, value in before.items())
    assert search.best_params_ == {"alpha": 0.01}
    np.testing.assert_array_equal(search.predict(X), predictions)
