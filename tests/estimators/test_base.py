"""What goes into the estimators and what comes out: shapes, dtypes, frames, attributes."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from skorch import NeuralNet
from small_fits import (
    BINARY,
    KINDS,
    THINNED,
    X,
    Y,
    assert_same_fit,
    both_dtypes,
    every_kind,
    every_solver,
    outputs,
    small,
)

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
)
from skreg.penalties import L1

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@both_dtypes
@pytest.mark.parametrize(
    ("estimator", "y", "n_outputs", "out_activation"), KINDS.values(), ids=KINDS
)
def test_fitted_attributes_have_their_stated_shapes_and_types(
    estimator, y, n_outputs, out_activation, dtype
):
    model = small(estimator, hidden_layer_sizes=(5, 4), penalty="l1", alpha=0.01, max_iter=7)
    assert model.fit(X.astype(dtype), y) is model
    assert [w.shape for w in model.coefs_] == [(6, 5), (5, 4), (4, n_outputs)]
    assert [b.shape for b in model.intercepts_] == [(5,), (4,), (n_outputs,)]
    assert {a.dtype for a in model.coefs_ + model.intercepts_} == {np.dtype(dtype)}
    assert model.n_outputs_ == n_outputs
    assert model.n_layers_ == 4
    assert model.out_activation_ == out_activation
    assert model.n_features_in_ == 6
    assert model.n_iter_ == 7
    assert model.t_ == 7 * 120
    assert isinstance(model.net_, NeuralNet)
    assert model.feature_importances_.shape == (6,)
    assert (model.feature_importances_ >= 0).all()
    assert model.selected_features_.shape == (6,)
    assert model.selected_features_.dtype == bool
    zeros = sum(int((w == 0).sum()) for w in model.coefs_)
    assert model.sparsity_ == zeros / sum(w.size for w in model.coefs_)
    assert zeros > 0
    assert model.validation_scores_ is None
    assert model.best_validation_score_ is None


@every_kind
@every_solver
def test_loss_curve_is_data_loss_plus_penalty_epoch_by_epoch(estimator, y, solver):
    model = small(estimator, solver=solver, penalty="l1", alpha=0.05, max_iter=7).fit(X, y)
    curves = (model.loss_curve_, model.data_loss_curve_, model.penalty_curve_)
    assert [len(curve) for curve in curves] == [model.n_iter_] * 3
    assert all(type(entry) is float for curve in curves for entry in curve)
    assert_array_equal(model.loss_curve_, np.add(model.data_loss_curve_, model.penalty_curve_))
    assert min(model.penalty_curve_) > 0
    assert model.loss_ == model.loss_curve_[-1]
    assert model.best_loss_ == min(model.loss_curve_)


def test_the_penalty_curve_starts_with_the_penalty_of_the_initial_weights():
    model = small(penalty="l1", alpha=0.05, max_iter=1, learning_rate_init=1e-12).fit(X, Y)
    by_hand = 0.05 * sum(np.abs(w).sum() for w in model.coefs_)
    assert_allclose(model.penalty_curve_, [by_hand], rtol=1e-6)


def test_sparsity_counts_penalized_weights_alone():
    # So strong that every weight goes, and with penalize_bias the biases too.
    weights = small(penalty="l1", alpha=100.0, max_iter=200).fit(X, Y)
    assert weights.sparsity_ == 1.0
    assert np.abs(np.concatenate(weights.intercepts_)).max() > 0
    with_bias = small(penalty="l1", alpha=100.0, max_iter=200, penalize_bias=True).fit(X, Y)
    assert with_bias.sparsity_ == 1.0
    assert np.abs(np.concatenate(with_bias.intercepts_)).max() == 0
    assert small(penalty="l2").fit(X, Y).sparsity_ == 0.0
    assert small(penalty=None).fit(X, Y).sparsity_ == 0.0


@pytest.mark.parametrize(
    "name",
    [
        *("coefs_", "intercepts_", "sparsity_", "feature_importances_", "selected_features_"),
        *("net_", "n_iter_", "loss_curve_", "t_", "classes_", "validation_scores_"),
    ],
)
def test_an_unfitted_estimator_has_no_fitted_attribute(name):
    for estimator in (RegularizedMLPRegressor, RegularizedMLPClassifier):
        assert not hasattr(estimator(), name)
        with pytest.raises(AttributeError):
            getattr(estimator(), name)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_predicting_before_fit_raises_not_fitted_error(method):
    with pytest.raises(NotFittedError, match="RegularizedMLPClassifier"):
        getattr(RegularizedMLPClassifier(), method)(X)


def test_predicting_after_a_fit_that_failed_raises_not_fitted_error():
    model = small(solver="fista", loss="absolute_error")
    with pytest.raises(ValueError, match="smooth"):
        model.fit(X, Y)
    with pytest.raises(NotFittedError):
        model.predict(X)


@every_kind
@every_solver
@both_dtypes
def test_floating_precision_is_kept(estimator, y, solver, dtype):
    model = small(estimator, solver=solver).fit(X.astype(dtype), y)
    assert {a.dtype for a in model.coefs_ + model.intercepts_} == {np.dtype(dtype)}
    assert outputs(model, X.astype(dtype)).dtype == dtype
    # At predict the precision of the network wins over that of X.
    assert outputs(model, X.astype(np.float64)).dtype == dtype


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, bool, np.float16, ">f8", object])
def test_other_numbers_become_float64(dtype):
    numbers = (10 * np.abs(X)).astype(dtype)
    model = small().fit(numbers, Y)
    assert model.coefs_[0].dtype == np.float64
    assert_same_fit(model, small().fit(numbers.astype(np.float64), Y))


SPARSE = {
    f"{form}_{kind}": getattr(scipy.sparse, f"{form}_{kind}")
    for form in ("csr", "csc", "coo")
    for kind in ("matrix", "array")
}
every_sparse = pytest.mark.parametrize("sparse", SPARSE.values(), ids=SPARSE)


@every_sparse
@pytest.mark.parametrize(
    "settings",
    [{}, {"shuffle": False}, {"early_stopping": True}, {"solver": "fista"}, {"alpha": 0.0}],
    ids=repr,
)
def test_sparse_rows_give_the_fit_of_dense_ones(sparse, settings):
    model = small(**settings).fit(sparse(THINNED), Y)
    assert_same_fit(model, small(**settings).fit(THINNED, Y))
    assert_array_equal(model.predict(sparse(THINNED)), model.predict(THINNED))
    assert model.score(sparse(THINNED), Y) == model.score(THINNED, Y)


def test_partial_fit_takes_sparse_rows():
    thin, dense = small(), small()
    for _ in range(3):
        thin.partial_fit(scipy.sparse.csr_array(THINNED), Y)
        dense.partial_fit(THINNED, Y)
    assert_same_fit(thin, dense)


@pytest.fixture
def rows_made_dense(monkeypatch):
    """How many rows each conversion of a sparse container to a dense one asked for."""
    asked = []

    def spy(kind, name):
        original = getattr(kind, name)

        def converted(self, *args, **kwargs):
            asked.append(self.shape[0])
            return original(self, *args, **kwargs)

        monkeypatch.setattr(kind, name, converted)

    for kind in SPARSE.values():
        spy(kind, "toarray")
        spy(kind, "todense")
    return asked


@pytest.mark.parametrize("settings", [{}, {"shuffle": False}, {"solver": "sgd"}], ids=repr)
def test_training_makes_no_more_sparse_rows_dense_than_a_batch_holds(rows_made_dense, settings):
    rows = scipy.sparse.random(600, 6, density=0.3, format="csc", random_state=0)
    targets = np.asarray(rows.sum(1)).ravel()
    small(batch_size=30, max_iter=3, **settings).fit(rows, targets)
    assert rows_made_dense
    assert max(rows_made_dense) <= 30


@pytest.mark.parametrize("settings", [{}, {"solver": "fista"}], ids=repr)
def test_sparse_rows_are_never_all_dense_at_once(rows_made_dense, settings):
    n_samples = 10_000
    rows = scipy.sparse.random(n_samples, 6, density=0.3, format="csr", random_state=0)
    targets = np.asarray(rows.sum(1)).ravel()
    model = small(**{"max_iter": 2, "batch_size": 500, **settings}).fit(rows, targets)
    assert rows_made_dense
    assert max(rows_made_dense) < n_samples
    del rows_made_dense[:]
    model.predict(rows)
    assert sum(rows_made_dense) == n_samples
    assert max(rows_made_dense) < n_samples


def _as_pandas(X):
    return pd.DataFrame(X, columns=list("abcdef"))


def _as_polars(X):
    return pl.DataFrame(dict(zip("abcdef", X.T, strict=True)))


FRAMES = {"pandas": (_as_pandas, pd.Series), "polars": (_as_polars, pl.Series)}


@pytest.mark.parametrize(("frame", "series"), FRAMES.values(), ids=FRAMES)
def test_frames_give_their_names_and_the_fit_of_arrays(frame, series):
    model = small().fit(frame(X), series(Y))
    assert model.feature_names_in_.tolist() == list("abcdef")
    expected = small().fit(X, Y)
    for ours, theirs in zip(model.coefs_, expected.coefs_, strict=True):
        assert_allclose(ours, theirs, rtol=1e-9)
    assert_allclose(model.predict(frame(X)), expected.predict(X), rtol=1e-9)
    assert not hasattr(expected, "feature_names_in_")
    labelled = small(RegularizedMLPClassifier).fit(frame(X), series(BINARY))
    assert_array_equal(labelled.classes_, [0, 1])


@pytest.mark.parametrize("frame", [_as_pandas, _as_polars])
def test_predicting_on_a_frame_with_other_names_raises(frame):
    model = small().fit(frame(X), Y)
    renamed = frame(X).rename(columns={"b": "z"}) if frame is _as_pandas else None
    renamed = frame(X).rename({"b": "z"}) if renamed is None else renamed
    with pytest.raises(ValueError, match="feature names"):
        model.predict(renamed)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame(X)[list("bacdef")])
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(renamed, Y)


def _memory_mapped(array, tmp_path):
    np.save(tmp_path / "array.npy", array)
    mapped = np.load(tmp_path / "array.npy", mmap_mode="r")
    assert not mapped.flags.writeable
    return mapped


LAYOUTS = {
    "memory map": _memory_mapped,
    "fortran": lambda array, _: np.asfortranarray(array),
    "negative strides": lambda array, _: array[::-1].copy()[::-1],
    "every second row": lambda array, _: np.repeat(array, 2, axis=0)[::2],
    "lists": lambda array, _: array.tolist(),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("settings", [{}, {"solver": "fista"}], ids=repr)
def test_the_layout_of_the_arrays_in_memory_does_not_matter(layout, settings, tmp_path):
    weights = np.arange(1.0, 121.0)
    arrays = []
    for name, array in (("X", X), ("y", Y), ("weights", weights)):
        (tmp_path / name).mkdir()
        arrays.append(layout(array, tmp_path / name))
    # A warning (torch's about read-only arrays, say) would be an error here.
    model = small(**settings).fit(*arrays)
    predictions = model.predict(arrays[0])
    expected = small(**settings).fit(X, Y, weights)
    for ours, theirs in zip(model.coefs_, expected.coefs_, strict=True):
        assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert_allclose(predictions, expected.predict(X), rtol=1e-9, atol=1e-12)


def test_fit_writes_to_none_of_its_arrays():
    weights = np.arange(1.0, 121.0)
    before = X.copy(), Y.copy(), weights.copy()
    small().fit(X, Y, weights)
    for array, copied in zip((X, Y, weights), before, strict=True):
        assert_array_equal(array, copied)


def test_a_penalty_object_is_the_name_with_its_alpha():
    by_object = small(penalty=L1(alpha=0.05)).fit(X, Y)
    assert_same_fit(by_object, small(penalty="l1", alpha=0.05).fit(X, Y))
    assert_same_fit(by_object, small(penalty=L1(), alpha=0.05).fit(X, Y))
