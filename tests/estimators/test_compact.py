"""compact: a smaller network, the same predictions, and an estimator like any other."""

import pickle
import warnings
from functools import partial

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import LRScheduler

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor
from skreg.modules.activations import ACTIVATIONS

N_FEATURES = 6
KINDS = ["regressor", "multi-output", "two classes", "three classes", "multilabel"]
PREDICTIONS = ["predict", "predict_proba", "predict_log_proba"]


def random_rows(n_samples=40, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=(n_samples, N_FEATURES)).astype(dtype)


def fitted(
    kind="regressor",
    hidden_layer_sizes=(7, 5),
    *,
    share_zero=0.0,
    seed=0,
    dtype=np.float64,
    **params,
):
    """A fitted estimator, its weights set to random numbers of which a share is zero."""
    rng = np.random.default_rng(seed)
    X = random_rows(dtype=dtype)
    y = {
        "regressor": X[:, 0],
        "multi-output": X[:, :3],
        "two classes": np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)],
        "three classes": np.digitize(X[:, 0], [-0.5, 0.5]),
        "multilabel": (X[:, :3] > 0).astype(int),
    }[kind]
    regress = kind in ("regressor", "multi-output")
    estimator = RegularizedMLPRegressor if regress else RegularizedMLPClassifier
    params = {"max_iter": 2, "random_state": 0, "device": "cpu", **params}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = estimator(hidden_layer_sizes, **params).fit(X, y)
    with torch.no_grad():
        for weight in model.net_.module_.weights:
            values = rng.normal(size=weight.shape) * (rng.random(weight.shape) >= share_zero)
            weight.copy_(torch.from_numpy(values))
        bias = model.net_.module_.bias
        bias.copy_(torch.from_numpy(rng.normal(size=bias.shape)))
    return model, X, y


def set_weights(model, *weights):
    with torch.no_grad():
        for theirs, ours in zip(model.net_.module_.weights, weights, strict=True):
            theirs[0].copy_(torch.as_tensor(ours))


@given(
    kind=st.sampled_from(KINDS),
    sizes=st.lists(st.integers(1, 8), max_size=3).map(tuple),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    share_zero=st.sampled_from([0.0, 0.5, 0.7, 0.9, 1.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**16),
)
def test_everything_a_user_sees_stays(kind, sizes, activation, share_zero, dtype, seed):
    model, X, y = fitted(
        kind, sizes, share_zero=share_zero, seed=seed, dtype=dtype, activation=activation
    )
    small = model.compact()
    precision = 1e-4 if dtype == np.float32 else 1e-10
    for method in filter(partial(hasattr, model), PREDICTIONS):
        ours, theirs = getattr(small, method)(X), getattr(model, method)(X)
        assert ours.dtype == theirs.dtype
        if theirs.dtype.kind == "f":
            size = max(1.0, np.abs(theirs).max())
            np.testing.assert_allclose(ours, theirs, rtol=precision, atol=precision * size)
        elif dtype == np.float64:  # a class hangs on the last bit now and then
            np.testing.assert_array_equal(ours, theirs)
            assert small.score(X, y) == model.score(X, y)
    np.testing.assert_allclose(
        small.feature_importances_, model.feature_importances_, rtol=1e-5
    )
    np.testing.assert_array_equal(small.selected_features_, model.selected_features_)
    assert small.loss_curve_ == model.loss_curve_
    for name in ("n_iter_", "n_layers_", "n_outputs_", "n_features_in_", "t_"):
        assert getattr(small, name) == getattr(model, name)
    assert small.coefs_[0].shape[0] == model.selected_features_.sum()
    assert 0 <= small.sparsity_ <= model.sparsity_


def test_small_and_independent():
    model, X, _ = fitted(share_zero=0.8, seed=3)
    small = model.compact()
    module = small.net_.module_
    shapes = [coef.shape for coef in small.coefs_]
    assert module.hidden_layer_sizes == tuple(shape[1] for shape in shapes[:-1])
    assert module.hidden_layer_sizes < model.net_.module_.hidden_layer_sizes == (7, 5)
    assert module.n_features == shapes[0][0] == small.selected_features_.sum() < N_FEATURES
    # Alive weights are those of the original, in order.
    rows = np.flatnonzero(small.selected_features_)
    for row in small.coefs_[0]:
        assert any(np.isin(row, model.coefs_[0][r]).all() for r in rows)

    before = model.predict(X)
    with torch.no_grad():
        module.weight.zero_()
    small._random_state.rand()
    np.testing.assert_array_equal(model.predict(X), before)
    shuffler = small.net_.shufflers[0]
    assert small._random_state is shuffler.random_state is not model._random_state


def test_a_network_without_zeros_is_a_copy():
    model, X, _ = fitted()
    small = model.compact()
    np.testing.assert_array_equal(small.predict(X), model.predict(X))
    for ours, theirs in zip(small.coefs_, model.coefs_, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_compacting_twice_is_compacting_once():
    model, X, _ = fitted(share_zero=0.8, seed=3)
    once = model.compact()
    twice = once.compact()
    np.testing.assert_array_equal(twice.predict(X), once.predict(X))
    assert [c.shape for c in twice.coefs_] == [c.shape for c in once.coefs_]
    # And after more weights have gone, the columns are those of X still.
    with torch.no_grad():
        once.net_.module_.weights[0][0, 0] = 0.0
    twice = once.compact()
    np.testing.assert_allclose(twice.predict(X), once.predict(X), rtol=1e-10)
    np.testing.assert_array_equal(twice.selected_features_, once.selected_features_)
    assert twice.coefs_[0].shape[0] == once.coefs_[0].shape[0] - 1


@pytest.mark.parametrize("sizes", [(), (7,), (7, 5)])
@pytest.mark.parametrize("kind", ["regressor", "three classes", "multilabel"])
def test_a_network_with_nothing_left_predicts_its_constant(kind, sizes):
    model, X, y = fitted(kind, sizes, share_zero=1.0)
    small = pickle.loads(pickle.dumps(model.compact()))
    np.testing.assert_allclose(small.predict(X), model.predict(X))
    assert [c.shape for c in small.coefs_][-1] == (0, model.n_outputs_)
    assert small.net_.module_.hidden_layer_sizes == (0,) * len(sizes)
    assert not small.selected_features_.any()
    assert small.feature_importances_.tolist() == [0.0] * N_FEATURES
    assert small.sparsity_ == 0.0
    np.testing.assert_allclose(small.compact().predict(X), model.predict(X))
    sparse = scipy.sparse.csr_matrix(X)
    np.testing.assert_allclose(small.predict(sparse), model.predict(X))
    message = "has no weights left and predicts a constant. Set warm_start=False"
    with pytest.raises(ValueError, match=message):
        small.partial_fit(X, y)
    with pytest.raises(ValueError, match=message):
        small.set_params(warm_start=True).fit(X, y)
    small.set_params(warm_start=False, max_iter=1, tol=1e9).fit(X, y)
    assert small.coefs_[0].shape[0] == N_FEATURES


def test_takes_x_in_every_form_the_original_does():
    pandas = pytest.importorskip("pandas")
    model, X, y = fitted(share_zero=0.8, seed=3, tol=1e9)
    weights = model.coefs_
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    set_weights(model.fit(frame, y), *weights)
    small = model.compact()
    assert small.feature_names_in_.tolist() == list("abcdef")
    expected = model.predict(frame)
    np.testing.assert_allclose(small.predict(frame), expected)
    read_only = np.asfortranarray(X)
    read_only.flags.writeable = False
    for form in (scipy.sparse.csr_matrix, scipy.sparse.csc_array, np.asarray):
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            np.testing.assert_allclose(small.predict(form(read_only)), expected)
    with pytest.raises(ValueError, match="feature names should match"):
        small.predict(frame[list("fabcde")])
    unnamed = fitted(share_zero=0.8, seed=3)[0].compact()
    with pytest.raises(ValueError, match="expecting 6 features"):
        unnamed.predict(X[:, unnamed.selected_features_])
    X[0, np.flatnonzero(~unnamed.selected_features_)[0]] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        unnamed.predict(X)


def test_drops_into_a_pipeline_and_a_selector():
    model, X, y = fitted(share_zero=0.8, seed=3)
    scaler = StandardScaler().fit(X)
    full = make_pipeline(scaler, model)
    small = make_pipeline(scaler, model.compact())
    np.testing.assert_allclose(small.predict(X), full.predict(X))
    selector = SelectFromModel(model.compact(), prefit=True, threshold=1e-9)
    np.testing.assert_array_equal(selector.get_support(), model.selected_features_)
    again = clone(small).set_params(regularizedmlpregressor__tol=1e9).fit(X, y)
    assert again[-1].coefs_[0].shape == (N_FEATURES, 7)


def test_the_net_is_a_skorch_net():
    model, X, _ = fitted(share_zero=0.8, seed=3, dtype=np.float32)
    small = pickle.loads(pickle.dumps(model.compact()))
    net = small.net_
    raw = net.predict(X[:, small.selected_features_])[:, 0]
    np.testing.assert_allclose(raw, small.predict(X), rtol=1e-5)
    assert net.module is net.module_
    in_optimizer = [p for group in net.optimizer_.param_groups for p in group["params"]]
    assert [id(p) for p in in_optimizer] == [id(p) for p in net.module_.parameters()]
    assert len(net.history) == model.n_iter_
    assert len(pickle.dumps(small)) < len(pickle.dumps(model))


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_trains_the_smaller_network(solver):
    model, X, y = fitted(
        "three classes",
        activation="tanh",
        share_zero=0.8,
        seed=3,
        solver=solver,
        penalty=None,
        learning_rate_init=0.01,
    )
    small = model.compact()
    shapes = [coef.shape for coef in small.coefs_]
    before = small.net_.module_.weight.detach().clone()
    losses = [small.partial_fit(X, y).loss_ for _ in range(30)]
    assert losses[-1] < losses[0]
    assert len(small.loss_curve_) == model.n_iter_ + 30
    assert [coef.shape for coef in small.coefs_] == shapes
    assert (small.net_.module_.weight != before).all()
    assert not small.selected_features_[~model.selected_features_].any()


@pytest.mark.parametrize("solver", ["adam", "fista"])
def test_a_warm_start_trains_the_smaller_network_as_if_it_stood_alone(solver):
    model, X, y = fitted(
        share_zero=0.8, seed=3, activation="tanh", penalty="l1", alpha=1e-3, solver=solver
    )
    params = {"warm_start": True, "max_iter": 5, "shuffle": False}
    small = model.compact().set_params(**params)
    kept = model.selected_features_
    alone, _, _ = fitted(
        hidden_layer_sizes=small.net_.module_.hidden_layer_sizes,
        activation="tanh",
        penalty="l1",
        alpha=1e-3,
        solver=solver,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        alone = clone(alone).set_params(**params).fit(X[:, kept], y)
        alone.net_.module_.load_state_dict(small.net_.module_.state_dict())
        for sparse in (False, True):
            rows = scipy.sparse.csr_matrix(X) if sparse else X
            small.fit(rows, y)
            alone.fit(X[:, kept], y)
            np.testing.assert_allclose(small.predict(X), alone.predict(X[:, kept]))
    with pytest.raises(ValueError, match=r"hidden_layer_sizes \(7, 5\) to \(4,\)"):
        small.set_params(hidden_layer_sizes=(4,)).fit(X, y)


def test_a_fit_from_scratch_takes_all_features_again():
    model, X, y = fitted(share_zero=0.8, seed=3, tol=1e9)
    small = model.compact()
    small.fit(X, y)
    np.testing.assert_array_equal(small.predict(X), clone(model).fit(X, y).predict(X))
    assert small.net_.module_.hidden_layer_sizes == (7, 5)


def test_early_stopping_and_callbacks_go_along():
    model, X, y = fitted(
        "two classes",
        (30,),
        share_zero=0.9,
        early_stopping=True,
        validation_fraction=0.3,
        dropout=0.1,
        callbacks=[LRScheduler(policy="StepLR", step_size=1)],
    )
    small = model.compact().set_params(warm_start=True, tol=1e9, n_iter_no_change=1)
    np.testing.assert_array_equal(small.predict(X), model.predict(X))
    assert small.validation_scores_ == model.validation_scores_
    assert small.fit(X, y).n_iter_ >= 1


def test_partial_fit_goes_on_at_the_rate_of_a_scheduler():
    schedule = LRScheduler(policy="StepLR", step_size=1, gamma=0.5)
    model, X, y = fitted(share_zero=0.8, seed=3, callbacks=[schedule], max_iter=2)
    small = model.compact()
    assert len(pickle.dumps(small)) < len(pickle.dumps(model))
    for one in (model, small):
        one.partial_fit(X, y)
    rates = [one.net_.optimizer_.param_groups[0]["lr"] for one in (small, model)]
    assert rates[0] == rates[1] < 1e-3
    (scheduler,) = (c.lr_scheduler_ for _, c in small.net_.callbacks_)
    assert scheduler.optimizer is small.net_.optimizer_


def test_before_fit_it_says_so():
    with pytest.raises(NotFittedError, match="RegularizedMLPRegressor instance is not fitted"):
        RegularizedMLPRegressor().compact()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "like",
    [np.asarray, np.asfortranarray, lambda X: X[::-1].copy()[::-1], scipy.sparse.csr_matrix],
)
@pytest.mark.parametrize("n_samples", [40, 200_000])
def test_bad_values_in_columns_that_are_not_read_are_errors_all_the_same(n_samples, like, bad):
    model, _, _ = fitted()
    X = random_rows(n_samples)
    with torch.no_grad():
        model.net_.module_.weights[0][0, 1] = 0.0
    small = model.compact()
    assert small.net_.module_.n_features == X.shape[1] - 1
    np.testing.assert_allclose(small.predict(like(X)), model.predict(X), rtol=1e-9)
    X[3, 1] = bad
    with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
        small.predict(like(X))
