"""Stacked searches against scikit-learn's own: the same results, the same manners."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
import torch
from joblib import parallel_config
from numpy.testing import assert_allclose
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import Ridge
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_get_params_invariance, check_set_params
from sklearn.utils.validation import check_is_fitted

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    RegularizedMLPRegressorCV,
    StackedGridSearchCV,
    StackedRandomizedSearchCV,
)
from skreg.penalties import L1, ElasticNet
from skreg.training.loop import Loop

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training stopped after:sklearn.exceptions.ConvergenceWarning"
)

_X, _y = load_diabetes(return_X_y=True)
X, Y = 20 * _X[:150], (_y[:150] - 150) / 77
XC, YC = load_iris(return_X_y=True)
ALPHAS = [0.001, 0.03, 0.3]


def regressor(**settings):
    return RegularizedMLPRegressor(**{**SMALL, **settings})


def classifier(**settings):
    return RegularizedMLPClassifier(**{**SMALL, **settings})


SMALL = {
    "hidden_layer_sizes": (6,),
    "penalty": "l1",
    "learning_rate_init": 0.02,
    "batch_size": 30,
    "max_iter": 15,
    "random_state": 0,
}


def _refit_metric(search):
    return search.refit if isinstance(search.refit, str) else "score"


def assert_same_search(stacked, plain, X=X, tolerance=1e-6):
    assert stacked.cv_results_.keys() == plain.cv_results_.keys()
    assert stacked.cv_results_["params"] == plain.cv_results_["params"]
    for key, values in plain.cv_results_.items():
        if key.startswith("rank"):
            # Of scores that tie one may be a rounding better.
            means = np.round(plain.cv_results_[key.replace("rank", "mean")], 9)
            ours = stacked.cv_results_[key]
            for rank in np.unique(values):
                assert rank in ours[means == means[values == rank][0]], key
        elif "score" in key and "time" not in key:
            assert_allclose(stacked.cv_results_[key], values, atol=tolerance, err_msg=key)
    assert stacked.multimetric_ == plain.multimetric_
    assert stacked.n_splits_ == plain.n_splits_
    if plain.refit:
        tie = stacked.best_index_ != plain.best_index_ and hasattr(plain, "best_score_")
        if tie:
            theirs = plain.cv_results_[f"mean_test_{_refit_metric(plain)}"]
            assert_allclose(theirs[stacked.best_index_], plain.best_score_, rtol=1e-9)
        else:
            assert stacked.best_index_ == plain.best_index_
            assert stacked.best_params_ == plain.best_params_
        if hasattr(plain, "best_score_"):
            assert_allclose(stacked.best_score_, plain.best_score_, atol=tolerance)
        ours, theirs = stacked.predict(X), plain.predict(X)
        if ours.dtype.kind == "f":
            assert_allclose(ours, theirs, atol=tolerance)
        else:
            assert (ours == theirs).all()


def check_against_grid_search(estimator, grid, X=X, y=Y, fit_params=None, **settings):
    settings = {"cv": 3, **settings}
    fit_params = fit_params or {}
    plain = GridSearchCV(estimator, grid, **settings).fit(X, y, **fit_params)
    stacked = StackedGridSearchCV(estimator, grid, **settings).fit(X, y, **fit_params)
    assert_same_search(stacked, plain, X)
    return stacked, plain


# ---------------------------------------------------------------------- the same results


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


def test_parameters_of_transformers_and_whole_steps_may_be_searched():
    pipeline = Pipeline([("scale", StandardScaler()), ("pca", PCA()), ("net", regressor())])
    grid = {
        "scale": [StandardScaler(), MinMaxScaler()],
        "pca__n_components": [3, 5],
        "net__alpha": ALPHAS[:2],
    }
    check_against_grid_search(pipeline, grid)
    check_against_grid_search(pipeline, {"net": [regressor(alpha=0.1), regressor(tol=1.0)]})
    check_against_grid_search(pipeline, {"pca": ["passthrough"], "net__alpha": ALPHAS[:2]})


def test_one_and_one_point_zero_are_two_settings():
    pipeline = Pipeline([("pca", PCA(svd_solver="full")), ("net", regressor())])
    check_against_grid_search(pipeline, {"pca__n_components": [1, 0.999999, 1]})


def test_transformed_targets_and_nested_pipelines():
    scaled = TransformedTargetRegressor(regressor(), transformer=StandardScaler())
    pipeline = make_pipeline(StandardScaler(), scaled)
    name = "transformedtargetregressor__regressor__alpha"
    stacked, plain = check_against_grid_search(pipeline, {name: ALPHAS}, y=100 * Y)
    assert stacked.best_estimator_[-1].regressor.alpha == plain.best_params_[name]
    inner = make_pipeline(StandardScaler(), regressor())
    around = TransformedTargetRegressor(inner, func=np.arcsinh, inverse_func=np.sinh)
    grid = {"regressor__regularizedmlpregressor__alpha": ALPHAS}
    check_against_grid_search(around, grid, scoring="neg_median_absolute_error")


class CountingScaler(StandardScaler):
    fits = 0

    def fit(self, X, y=None, sample_weight=None):
        CountingScaler.fits += 1
        return super().fit(X, y, sample_weight)


def test_transformers_are_fitted_once_per_split_and_setting_of_their_own():
    CountingScaler.fits = 0
    grid = {"net__alpha": ALPHAS, "scale__with_mean": [True, False]}
    pipeline = Pipeline([("scale", CountingScaler()), ("net", regressor())])
    StackedGridSearchCV(pipeline, grid, cv=4, refit=False).fit(X, Y)
    assert CountingScaler.fits == 4 * 2


def test_a_pipelines_cache_is_used(tmp_path):
    pipeline = Pipeline(
        [("scale", StandardScaler()), ("net", regressor())], memory=str(tmp_path)
    )
    check_against_grid_search(pipeline, {"net__alpha": ALPHAS})
    assert list(tmp_path.rglob("*.pkl"))


def test_frames_with_text_and_names():
    frame = pd.DataFrame(X[:, :3], columns=["age", "sex", "bmi"])
    frame["ward"] = np.where(X[:, 3] > 0, "north", "south")
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["age", "sex", "bmi"]),
            ("ward", OneHotEncoder(), ["ward"]),
        ]
    )
    pipeline = Pipeline([("columns", columns), ("net", regressor())])
    check_against_grid_search(pipeline, {"net__alpha": ALPHAS}, frame, pd.Series(Y))
    numbers = frame[["age", "sex", "bmi"]]
    stacked, plain = check_against_grid_search(
        regressor(), {"alpha": ALPHAS}, numbers, pd.Series(Y)
    )
    assert stacked.feature_names_in_.tolist() == plain.feature_names_in_.tolist()
    assert stacked.best_estimator_.feature_names_in_.tolist() == ["age", "sex", "bmi"]


def test_networks_scored_know_the_names_of_their_columns():
    seen = []

    def scorer(model, X, y):
        seen.append(model.feature_names_in_.tolist())
        return model.score(X, y)

    frame = pd.DataFrame(X[:, :2], columns=["a", "b"])
    StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, scoring=scorer, cv=2).fit(frame, Y)
    assert seen == [["a", "b"]] * 6


@pytest.mark.parametrize("kind", ["float32", "fortran", "read-only", "list", "sparse"])
def test_tables_of_all_kinds(kind):
    table = {
        "float32": lambda: X.astype(np.float32),
        "fortran": lambda: np.asfortranarray(X),
        "read-only": lambda: np.frombuffer(X.tobytes()).reshape(X.shape),
        "list": X.tolist,
        "sparse": lambda: scipy.sparse.csr_matrix(X),
    }[kind]()
    plain = GridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3).fit(table, Y)
    stacked = StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3).fit(table, Y)
    assert_same_search(stacked, plain, table, 1e-3 if kind == "float32" else 1e-6)


def test_splits_of_different_sizes_and_classes():
    splits = [(np.arange(0, 90), np.arange(90, 150)), (np.arange(30, 150), np.arange(30))]
    check_against_grid_search(classifier(), {"alpha": ALPHAS}, XC, YC, cv=splits)
    check_against_grid_search(regressor(), {"alpha": ALPHAS}, cv=KFold(7))
    shuffled = ShuffleSplit(3, random_state=0)
    check_against_grid_search(regressor(), {"alpha": ALPHAS}, cv=shuffled)


def test_a_class_that_a_split_lacks_may_have_a_weight():
    """As of a LogisticRegression, where all classes there are have one."""
    weights = {0: 1.0, 1: 2.0, 2: 3.0}
    network = classifier(class_weight=weights)
    check_against_grid_search(network, {"alpha": ALPHAS}, XC, YC, cv=KFold(3))  # YC is sorted


# ---------------------------------------------------------------------- scoring and refit


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


def test_a_scorer_sees_the_fitted_network():
    def sparsity(model, X, y):
        check_is_fitted(model)
        return model[-1].sparsity_

    pipeline = Pipeline([("scale", StandardScaler()), ("net", regressor(solver="fista"))])
    grid = {"net__alpha": [0.001, 0.1, 1.0]}
    stacked, _ = check_against_grid_search(pipeline, grid, scoring=sparsity)
    assert stacked.best_params_["net__alpha"] == 1.0


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


def test_failures_become_the_error_score_or_the_error():
    grid = {"alpha": [0.1, -1.0]}
    with pytest.warns(FitFailedWarning, match="3 fits failed out of a total of 6"):
        plain = GridSearchCV(regressor(), grid, cv=3, error_score=-9.0).fit(X, Y)
    with pytest.warns(FitFailedWarning, match=r"(?s)3 fits failed.*'alpha' parameter"):
        stacked = StackedGridSearchCV(regressor(), grid, cv=3, error_score=-9.0).fit(X, Y)
    assert_same_search(stacked, plain)
    assert stacked.cv_results_["mean_test_score"][1] == -9.0
    with pytest.raises(ValueError, match="'alpha' parameter"):
        StackedGridSearchCV(regressor(), grid, cv=3, error_score="raise").fit(X, Y)
    with pytest.raises(ValueError, match="All the 6 fits failed"):
        StackedGridSearchCV(regressor(), {"alpha": [-1.0, -2.0]}, cv=3).fit(X, Y)


def test_a_transformer_that_fails_fails_its_own_candidates():
    pipeline = Pipeline([("pca", PCA()), ("net", regressor())])
    grid = {"pca__n_components": [2, 999], "net__alpha": ALPHAS[:2]}
    with (
        pytest.warns(FitFailedWarning, match="n_components=999"),
        pytest.warns(UserWarning, match="test scores are non-finite"),
    ):
        search = StackedGridSearchCV(pipeline, grid, cv=3).fit(X, Y)
    failed = np.isnan(search.cv_results_["mean_test_score"])
    assert (failed == (search.cv_results_["param_pca__n_components"] == 999)).all()


def test_bad_rows_fail_as_they_do_in_a_fit():
    bad = X.copy()
    bad[[0, -1], 0] = np.nan  # in the training rows of every split
    with pytest.raises(ValueError, match=r"(?s)All the 9 fits failed.*contains NaN"):
        StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3).fit(bad, Y)
    with pytest.raises(ValueError, match="y"):
        StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3).fit(X)


@pytest.mark.parametrize(
    "estimator",
    [Ridge(), make_pipeline(StandardScaler(), Ridge()), TransformedTargetRegressor()],
)
def test_a_foreign_estimator_gets_an_error_that_says_what_to_do(estimator):
    name = next(iter(estimator.get_params()))
    with pytest.raises(TypeError, match=r"RegularizedMLPRegressor.*GridSearchCV"):
        StackedGridSearchCV(estimator, {name: [estimator.get_params()[name]]}).fit(X, Y)


def test_a_network_that_chooses_its_alpha_is_for_the_search_of_sklearn():
    network = RegularizedMLPRegressorCV(())
    for estimator in (network, make_pipeline(StandardScaler(), network)):
        with pytest.raises(TypeError, match=r"CV chooses its own.*scikit-learn's GridSearchCV"):
            StackedGridSearchCV(estimator, {}).fit(X, Y)


def test_an_empty_search_says_so():
    with pytest.raises(ValueError, match="No fits were performed"):
        StackedGridSearchCV(regressor(), [], cv=3).fit(X, Y)


# ---------------------------------------------------------------------- as an estimator


def test_randomized_search():
    distributions = {"alpha": loguniform(1e-4, 1), "random_state": [0, 1, 2]}
    settings = {"n_iter": 6, "cv": 3, "random_state": 0}
    plain = RandomizedSearchCV(regressor(), distributions, **settings).fit(X, Y)
    stacked = StackedRandomizedSearchCV(regressor(), distributions, **settings).fit(X, Y)
    assert_same_search(stacked, plain)


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
    twin = clone(search)
    assert repr(twin) == repr(search)
    with pytest.raises(NotFittedError):
        twin.predict(X)
    twin.fit(X, Y)
    assert twin.n_features_in_ == 10
    assert len(cross_val_score(search, X, Y, cv=2)) == 2
    assert "RegularizedMLPRegressor" in twin._repr_html_()


def test_verbose_says_how_far_it_is(capsys):
    StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=2, verbose=2).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Fitting 6 networks in stacks"
    assert lines[-1].startswith("Fitted 6 networks in ")
    assert sum(line.startswith("[CV ") and "alpha=" in line for line in lines) == 6


def test_verbose_says_when_it_will_end(capsys, monkeypatch):
    monkeypatch.setattr("skreg.estimators.callbacks._SECONDS_BETWEEN_PRINTS", 0.0)
    StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=2, verbose=1).fit(X, Y)
    shown = [line for line in capsys.readouterr().out.splitlines() if "to go" in line]
    shares = [int(line.split("%")[0]) for line in shown]
    assert shares == sorted(shares)
    assert len(set(shares)) > 5
    assert shown[-1].startswith("100%")


# ---------------------------------------------------------------------- processes and threads


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_shards_in_processes_and_threads_give_the_same(backend):
    before = torch.get_num_threads()
    plain = GridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3).fit(X, Y)
    with parallel_config(backend):
        stacked = StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3, n_jobs=2).fit(X, Y)
    assert_same_search(stacked, plain)
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
    plain = GridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3).fit(X, Y)
    before, running = torch.get_num_threads(), threading.active_count()
    torch.set_num_threads(2)
    try:
        stacked = StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=3).fit(X, Y)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert_same_search(stacked, plain)
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

    monkeypatch.setattr(Loop, "run_epoch", interrupted)
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


# What Dask leaves open or to be collected is its own.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestDask:
    def test_a_search_on_two_workers_gives_the_same(self, cluster):
        plain = GridSearchCV(regressor(), {"alpha": ALPHAS}, cv=4).fit(X, Y)
        with parallel_config("dask"):
            stacked = StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=4).fit(X, Y)
        assert_same_search(stacked, plain)

    def test_a_killed_worker_is_made_up_for(self, cluster):
        settings = {"max_iter": 400, "n_iter_no_change": np.inf, "batch_size": 10}
        plain = GridSearchCV(regressor(**settings), {"alpha": ALPHAS}, cv=2).fit(X, Y)
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
        assert_same_search(stacked, plain)


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
