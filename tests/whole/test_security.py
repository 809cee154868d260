"""What a fit leaves alone: no pickle is loaded, no connection opened, no file left behind.

And many fits at once or one after another: the same results, and no memory kept.
"""

import gc
import os
import socket
import sys
import tempfile
import weakref

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    StackedGridSearchCV,
    to_onnx,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_rng = np.random.default_rng(0)
X = _rng.normal(size=(80, 5))
Y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0)
SETTINGS = {"hidden_layer_sizes": (6,), "max_iter": 5, "batch_size": 20, "random_state": 0}

_heard = []
_listening = [False]


def _hear(event, arguments):
    if _listening[0]:
        _heard.append((event, arguments))


@pytest.fixture
def audited():
    """A list of what the interpreter does from here on, as its audit hooks tell it."""
    if not getattr(sys, "_skreg_audited", False):
        sys._skreg_audited = True
        sys.addaudithook(_hear)  # there is no way to take one off again
    _heard.clear()
    _listening[0] = True
    yield _heard
    _listening[0] = False


def work(folder):
    """Everything that trains, saves or goes on."""
    path = os.path.join(folder, "fit.checkpoint")
    settings = {**SETTINGS, "checkpoint": path, "checkpoint_interval": 0}
    RegularizedMLPRegressor(dropout=0.1, early_stopping=True, **settings).fit(X, Y)
    settings["resume"] = True
    model = RegularizedMLPRegressor(dropout=0.1, early_stopping=True, **settings).fit(X, Y)
    model.predict(X)
    RegularizedMLPClassifier(**SETTINGS).fit(X, Y > 0).predict_proba(X)
    search = StackedGridSearchCV(
        RegularizedMLPRegressor(**SETTINGS),
        {"alpha": [1e-3, 1e-2]},
        cv=2,
        checkpoint=os.path.join(folder, "search.checkpoint"),
    )
    search.fit(X, Y)
    search.set_params(resume=True).fit(X, Y)
    to_onnx(model.compact())


def test_nothing_is_unpickled_connected_to_or_left_behind(audited, tmp_path, monkeypatch):
    work(str(tmp_path))  # imports are done now
    for name in os.listdir(tmp_path):
        os.unlink(tmp_path / name)
    there = tmp_path / "temp"
    there.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(there))
    monkeypatch.chdir(there)
    audited.clear()
    work(str(tmp_path))
    events = list(audited)
    audited.clear()
    assert not [e for e in events if e[0].startswith(("socket.", "urllib.", "subprocess."))]
    # Tensors are read with torch's unpickler, which finds no classes this way.
    assert not [e for e in events if e[0] in ("pickle.find_class", "marshal.loads")]
    written = {
        str(arguments[0])
        for event, arguments in events
        if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    }
    assert {os.path.dirname(name) for name in written} == {str(tmp_path)}
    assert sorted(os.listdir(tmp_path)) == ["fit.checkpoint", "search.checkpoint", "temp"]
    assert os.listdir(there) == []


def test_the_audit_would_hear_a_pickle_and_a_connection(audited):
    import pickle

    pickle.loads(pickle.dumps(RegularizedMLPRegressor()))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
    events = {event for event, _ in audited}
    assert {"pickle.find_class", "socket.bind"} <= events


@pytest.mark.parametrize("settings", [{}, {"solver": "fista"}, {"solver": "sgd"}], ids=repr)
def test_many_kinds_of_fits_at_once_are_the_fits_one_after_another(settings):
    models = [
        RegularizedMLPRegressor(**{**SETTINGS, **settings, "random_state": seed}, alpha=alpha)
        for seed in range(4)
        for alpha in (1e-4, 1e-2)
    ]
    models += [RegularizedMLPClassifier(**SETTINGS, early_stopping=True) for _ in range(2)]
    targets = [Y] * 8 + [Y > 0] * 2
    alone = [clone(model).fit(X, y) for model, y in zip(models, targets, strict=True)]
    at_once = joblib.Parallel(n_jobs=5, backend="threading")(
        joblib.delayed(clone(model).fit)(X, y) for model, y in zip(models, targets, strict=True)
    )
    for first, second in zip(alone, at_once, strict=True):
        for ours, theirs in zip(first.coefs_, second.coefs_, strict=True):
            assert_array_equal(ours, theirs)
        assert first.loss_curve_ == second.loss_curve_
    assert_array_equal(
        joblib.Parallel(n_jobs=5, backend="threading")(
            joblib.delayed(alone[0].predict)(X) for _ in range(10)
        ),
        [alone[0].predict(X)] * 10,
    )


def test_searches_at_once_are_the_searches_one_after_another():
    def search(seed):
        network = RegularizedMLPRegressor(**{**SETTINGS, "random_state": seed})
        grid = {"alpha": [1e-3, 1e-2], "hidden_layer_sizes": [(4,), (6,)]}
        return StackedGridSearchCV(network, grid, cv=2).fit(X, Y).cv_results_["mean_test_score"]

    at_once = joblib.Parallel(n_jobs=3, backend="threading")(
        joblib.delayed(search)(seed) for seed in range(3)
    )
    assert_array_equal(at_once, [search(seed) for seed in range(3)])


def test_nothing_keeps_what_was_fitted():
    # The memory of the process over 200 fits is measured by benchmarks/memory.py.
    rows = X.copy()
    model = RegularizedMLPRegressor(early_stopping=True, **SETTINGS).fit(rows, Y)
    search = StackedGridSearchCV(
        RegularizedMLPRegressor(**SETTINGS), {"alpha": [1e-3, 1e-2]}, cv=2
    ).fit(rows, Y)
    kept = [weakref.ref(each) for each in (rows, model, model.net_.module_, search)]
    kept.append(weakref.ref(search.best_estimator_.net_.module_))
    del rows, model, search
    gc.collect()
    assert [reference() for reference in kept] == [None] * 5
