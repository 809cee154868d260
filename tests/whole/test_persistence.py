"""Fitted estimators in files: by skops without trusting anybody else, and from other versions.

That pickles and joblib's files give the same bits is tested in test_ecosystem.py, that they
cross from CUDA to the CPU in test_cuda.py.
"""

import copy
import pickle
import pickletools
import warnings

import joblib
import numpy as np
import pytest
import skops.io
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skreg
from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor, RegularizedMLPRegressorCV
from skreg.losses import Quantile
from skreg.penalties import L1, GroupLasso, GroupMCP

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_rng = np.random.default_rng(0)
X = _rng.normal(size=(60, 5))
Y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0)
REGRESSOR, CLASSIFIER = RegularizedMLPRegressor, RegularizedMLPClassifier
CASES = {
    "regressor": (REGRESSOR, Y, {}),
    "float32": (REGRESSOR, Y, {"penalty": L1(0.01)}),
    "two outputs": (REGRESSOR, np.column_stack([Y, -Y]), {"loss": Quantile(0.9)}),
    "linear": (REGRESSOR, Y, {"hidden_layer_sizes": (), "solver": "fista"}),
    "binary": (CLASSIFIER, np.where(Y > 0, "yes", "no"), {"solver": "sgd"}),
    "adaptive": (REGRESSOR, Y, {"penalty": GroupLasso(0.01, adaptive=True)}),
    "grouped": (CLASSIFIER, Y > 0, {"penalty": GroupMCP(0.01, groups=[[0, 1], [2, 3, 4]])}),
    "multiclass": (CLASSIFIER, np.digitize(Y, [-1, 1]), {"dropout": 0.2}),
    "multilabel": (CLASSIFIER, (X[:, :3] > 0).astype(int), {"early_stopping": True}),
}
every_case = pytest.mark.parametrize(("estimator", "y", "settings"), CASES.values(), ids=CASES)


def fitted(estimator, y, settings):
    settings = {"hidden_layer_sizes": (6,), "max_iter": 5, "batch_size": 20, **settings}
    rows = X.astype(np.float32) if isinstance(settings.get("penalty"), L1) else X
    return estimator(random_state=0, learning_rate_init=0.02, **settings).fit(rows, y)


def outputs(model):
    return getattr(model, "predict_proba", model.predict)(X)


@every_case
def test_skops_needs_no_trust_but_in_skregs_types(estimator, y, settings):
    model = fitted(estimator, y, settings)
    content = skops.io.dumps(model)
    untrusted = skops.io.get_untrusted_types(data=content)
    assert untrusted
    assert [name for name in untrusted if not name.startswith("skreg.")] == []
    loaded = skops.io.loads(content, trusted=untrusted)
    assert_array_equal(outputs(loaded), outputs(model))
    assert loaded.net_.history == model.net_.history
    assert loaded.loss_curve_ == model.loss_curve_
    # And goes on as the original does.
    for each in (model, loaded):
        if each.solver != "fista":
            each.set_params(early_stopping=False).partial_fit(X, y)
        each.set_params(warm_start=True, early_stopping=False).fit(X, y)
    assert_array_equal(outputs(loaded), outputs(model))


def test_skops_writes_unfitted_and_compacted_estimators_pipelines_and_choices():
    model = fitted(REGRESSOR, Y, {"penalty": "l1", "alpha": 0.3})
    model = model.set_params(max_iter=300, tol=1e-5).fit(X, Y).compact()
    assert model.coefs_[0].shape[0] < 5
    pipeline = make_pipeline(StandardScaler(), clone(model)).fit(X, Y)
    choice = RegularizedMLPRegressorCV((), penalty="l1", alphas=3, cv=2).fit(X, Y)
    for each in (model, pipeline, clone(model), choice):
        content = skops.io.dumps(each)
        untrusted = skops.io.get_untrusted_types(data=content)
        assert all(name.startswith("skreg.") for name in untrusted)
        loaded = skops.io.loads(content, trusted=untrusted)
        if each.__sklearn_is_fitted__():
            assert_array_equal(loaded.predict(X), each.predict(X))
    assert_array_equal(loaded.path_.selected, choice.path_.selected)


@every_case
def test_a_pickle_of_a_fit_holds_no_class_of_torch_or_skorch(estimator, y, settings):
    content = pickle.dumps(fitted(estimator, y, settings))
    texts = {argument for _, argument, _ in pickletools.genops(content)}
    modules = {text.split(".")[0] for text in texts if isinstance(text, str) and "." in text}
    assert "skreg" in modules
    assert not modules & {"torch", "skorch"}


def test_a_net_with_callbacks_keeps_them_in_its_pickle():
    from skorch.callbacks import LRScheduler

    model = REGRESSOR((4,), callbacks=[LRScheduler("StepLR", step_size=2)], max_iter=4)
    loaded = pickle.loads(pickle.dumps(model.fit(X, Y)))
    scheduler = loaded.net_.callbacks_[0][1].lr_scheduler_
    assert scheduler.optimizer is loaded.net_.optimizer_
    assert_array_equal(loaded.predict(X), model.predict(X))


# ---------------------------------------------------------------------- versions


def _by_skops(path):
    return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))


WAYS = {
    "pickle": (
        lambda model, path: path.write_bytes(pickle.dumps(model)),
        lambda path: pickle.loads(path.read_bytes()),
    ),
    "joblib": (joblib.dump, joblib.load),
    "skops": (skops.io.dump, _by_skops),
}


@every_case
@pytest.mark.parametrize(("dump", "load"), WAYS.values(), ids=WAYS)
def test_a_file_of_another_version_warns_as_scikit_learn_does(
    estimator, y, settings, dump, load, tmp_path, monkeypatch
):
    model = fitted(estimator, y, settings)
    path = tmp_path / "model"
    monkeypatch.setattr("skreg.estimators.base.__version__", "0.0.7")
    dump(model, path)
    monkeypatch.undo()
    with pytest.warns(InconsistentVersionWarning, match=r"0\.0\.7.*0\.1\.0") as caught:
        loaded = load(path)
    assert len(caught) == 1
    assert type(model).__name__ in str(caught[0].message)
    assert_array_equal(outputs(loaded), outputs(model))


def test_a_state_without_a_version_warns_and_copies_do_not():
    model = fitted(REGRESSOR, Y, {})
    state = model.__getstate__()
    assert state.pop("_skreg_version") == skreg.__version__
    assert "_skreg_version" not in vars(model)
    with pytest.warns(InconsistentVersionWarning, match="version unknown of skreg"):
        REGRESSOR.__new__(REGRESSOR).__setstate__(state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert "_skreg_version" not in vars(each)


# ---------------------------------------------------------------------- devices


@pytest.mark.parametrize("settings", [{}, {"solver": "sgd"}, {"dropout": 0.3}], ids=repr)
def test_a_joblib_file_made_on_cuda_loads_where_there_is_none(settings, tmp_path, monkeypatch):
    # A net that says it is on CUDA, as one pickled there does.
    model = fitted(REGRESSOR, Y, settings)
    before = outputs(model)
    model.net_.device = "cuda:1"
    joblib.dump(model, tmp_path / "model.joblib")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loaded = joblib.load(tmp_path / "model.joblib")
    assert loaded.net_.device == "cpu"
    assert_array_equal(outputs(loaded), before)
    loaded.partial_fit(X, Y)
    assert not np.array_equal(outputs(loaded), before)
