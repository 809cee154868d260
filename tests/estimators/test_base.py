"""What goes into the estimators and what comes out: shapes, dtypes, frames, sample weights.

How they train stands in test_training.py, and what each parameter does in test_parameters.py.
"""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from skorch import NeuralNet

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPRegressor,
    RegularizedNetClassifier,
)
from skreg.penalties import L1

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_rng = np.random.default_rng(0)
X = _rng.normal(size=(120, 6))
Y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0) + 0.1 * _rng.normal(size=120)
BINARY = (Y > 0).astype(int)
THREE = np.digitize(Y, [-1, 1])
LABELS = np.column_stack([Y > 0, X[:, 2] > 0, X[:, 0] + X[:, 3] > 0]).astype(int)

# name: (estimator, y, raw outputs, activation of the output)
KINDS = {
    "regressor": (RegularizedMLPRegressor, Y, 1, "identity"),
    "two outputs": (RegularizedMLPRegressor, np.column_stack([Y, X[:, 3]]), 2, "identity"),
    "binary": (RegularizedMLPClassifier, BINARY, 1, "logistic"),
    "multiclass": (RegularizedMLPClassifier, THREE, 3, "softmax"),
    "multilabel": (RegularizedMLPClassifier, LABELS, 3, "logistic"),
}
every_kind = pytest.mark.parametrize(
    ("estimator", "y"), [kind[:2] for kind in KINDS.values()], ids=KINDS
)
every_classifier = pytest.mark.parametrize(
    "y", [BINARY, THREE, LABELS], ids=["binary", "multiclass", "multilabel"]
)
every_solver = pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def small(estimator=RegularizedMLPRegressor, **settings):
    settings = {
        "hidden_layer_sizes": (8,),
        "learning_rate_init": 0.02,
        "batch_size": 40,
        "max_iter": 20,
        "random_state": 0,
        **settings,
    }
    return estimator(**settings)


def outputs(model, X=X):
    """Predictions in their finest grain."""
    return getattr(model, "predict_proba", model.predict)(X)


def assert_same_fit(first, second):
    for ours, theirs in zip(
        first.coefs_ + first.intercepts_, second.coefs_ + second.intercepts_, strict=True
    ):
        assert_array_equal(ours, theirs)


# ---------------------------------------------------------------------- attributes


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


# ---------------------------------------------------------------------- importances


@every_kind
def test_importances_of_a_linear_model_are_absolute_coefficients(estimator, y):
    model = small(estimator, hidden_layer_sizes=()).fit(X, y)
    (coef,) = model.coefs_
    assert coef.shape == (6, model.n_outputs_)
    assert_allclose(model.feature_importances_, np.abs(coef).sum(1), rtol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity", "logistic"])
def test_importances_bound_how_fast_the_outputs_change(activation):
    targets = np.column_stack([Y, X[:, 3]])
    model = small(hidden_layer_sizes=(5, 4), activation=activation, max_iter=100)
    model.fit(X, targets)
    for feature, importance in enumerate(model.feature_importances_):
        for change in (1e-3, 0.1, 3.0):
            moved = X.copy()
            moved[:, feature] += change
            change_of_outputs = np.abs(model.predict(moved) - model.predict(X)).sum(1)
            assert change_of_outputs.max() > 0
            assert change_of_outputs.max() <= importance * change * (1 + 1e-9)


def test_importances_are_attained_where_all_paths_are_open():
    model = small(activation="identity", hidden_layer_sizes=(1,)).fit(X, Y)
    moved = X + np.eye(6)[2]
    assert_allclose(
        np.abs(model.predict(moved) - model.predict(X)), model.feature_importances_[2]
    )


@every_kind
def test_predictions_do_not_depend_on_features_that_are_not_selected(estimator, y):
    model = small(estimator, penalty="l1", alpha=0.04, max_iter=300, batch_size=120).fit(X, y)
    unselected = ~model.selected_features_
    assert 0 < unselected.sum() < 6, "the data must leave something to test"
    moved = X.copy()
    moved[:, unselected] += 1e3 * _rng.normal(size=(120, unselected.sum()))
    assert_array_equal(outputs(model, moved), outputs(model))
    assert (model.feature_importances_[unselected] == 0).all()
    for feature in np.flatnonzero(model.selected_features_):
        moved = X.copy()
        moved[:, feature] += 1e3
        assert not np.array_equal(outputs(model, moved), outputs(model))


def test_a_feature_that_only_reaches_a_dead_end_is_not_selected():
    model = small(hidden_layer_sizes=(3, 3)).fit(X, Y)
    assert model.selected_features_.all()
    first, second, _ = model.net_.module_.weights
    with torch.no_grad():
        # Feature 4 reaches neuron 2 alone, and what neuron 2 sends reaches neuron 1 of the
        # next layer alone, which sends nothing on.
        first[0, 4, :2] = 0
        second[0, 2, [0, 2]] = 0
        model.net_.module_.weights[2][0, 1] = 0
    assert model.selected_features_.tolist() == [True] * 4 + [False, True]
    assert model.feature_importances_[4] == 0
    assert model.coefs_[0][4, 2] != 0
    moved = X.copy()
    moved[:, 4] += 1e3
    assert_array_equal(model.predict(moved), model.predict(X))


# ---------------------------------------------------------------------- forms of the data


@pytest.mark.parametrize("shape", [(120,), (120, 1), (120, 3)])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_predictions_have_the_shape_of_y(shape, loss):
    targets = np.abs(_rng.normal(size=shape))
    model = small(loss=loss).fit(X, targets)
    assert model.predict(X).shape == shape
    assert model.predict(X[:1]).shape == (1, *shape[1:])
    assert np.ndim(model.score(X, targets)) == 0


def test_y_as_a_column_is_the_same_fit_as_y_flat():
    assert_same_fit(small().fit(X, Y), small().fit(X, Y[:, None]))


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
THINNED = np.where(np.abs(X) > 0.8, X, 0.0)


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


@every_classifier
def test_sparse_rows_and_weights_give_a_classifier_the_fit_of_dense_ones(y):
    weights = np.arange(120) % 3
    thin = small(RegularizedMLPClassifier).fit(scipy.sparse.csr_array(THINNED), y, weights)
    assert_same_fit(thin, small(RegularizedMLPClassifier).fit(THINNED, y, weights))


def test_sparse_multilabel_targets_are_taken():
    thin = small(RegularizedMLPClassifier).fit(X, scipy.sparse.csr_matrix(LABELS))
    assert_same_fit(thin, small(RegularizedMLPClassifier).fit(X, LABELS))


# ---------------------------------------------------------------------- many labels


def linear_module(n_features, n_outputs):
    return torch.nn.Linear(n_features, n_outputs)


MULTILABEL = [
    small(RegularizedMLPClassifier),
    small(RegularizedMLPClassifier, early_stopping=True),
    RegularizedNetClassifier(linear_module, batch_size=40, max_iter=5, random_state=0),
    RegularizedMLPClassifierCV((4,), alphas=[1e-3, 1e-2], cv=2, max_iter=5, random_state=0),
]


@pytest.mark.parametrize("estimator", MULTILABEL, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("encode", [lambda y: 2 * y, lambda y: 2.0 * y, lambda y: y > 0])
def test_labels_that_are_there_may_be_any_positive_number(estimator, encode):
    plain, coded = clone(estimator).fit(X, LABELS), clone(estimator).fit(X, encode(LABELS))
    assert coded.loss_curve_ == plain.loss_curve_
    assert coded.validation_scores_ == plain.validation_scores_
    assert_array_equal(coded.predict(X), plain.predict(X))
    assert set(np.unique(coded.predict(X))) == {0, 1}
    assert coded.classes_.tolist() == [0, 1, 2]
    # As scikit-learn's predict, but the score is of the labels too.
    accuracy = accuracy_score(LABELS, plain.predict(X))
    assert coded.score(X, encode(LABELS)) == coded.score(X, LABELS) == accuracy > 0
    assert coded.score(X, scipy.sparse.csr_matrix(encode(LABELS))) == accuracy


@pytest.mark.parametrize("estimator", MULTILABEL, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize(
    ("encode", "values"),
    [
        (lambda y: 2 * y - 1, "[-1, 1]"),
        (lambda y: y + 1, "[1, 2]"),
        (lambda y: -y, "[-1, 0]"),
    ],
)
def test_labels_that_do_not_say_which_are_there_are_refused(estimator, encode, values):
    model, y = clone(estimator), encode(LABELS)
    with pytest.raises(
        ValueError, match=f"y is multilabel with the values {re.escape(values)}"
    ):
        model.fit(X, y)
    assert not model.__sklearn_is_fitted__()
    if hasattr(model, "partial_fit") and not model.early_stopping:
        model.partial_fit(X, 2 * LABELS, classes=[0, 1, 2])
        with pytest.raises(ValueError, match="0 is for one that is not"):
            model.partial_fit(X, y)
        with pytest.raises(ValueError, match="0 is for one that is not"):
            model.score(X, y)


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
    plain = small().fit(X, Y)
    for ours, theirs in zip(model.coefs_, plain.coefs_, strict=True):
        assert_allclose(ours, theirs, rtol=1e-9)
    assert_allclose(model.predict(frame(X)), plain.predict(X), rtol=1e-9)
    assert not hasattr(plain, "feature_names_in_")
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
    plain = small(**settings).fit(X, Y, weights)
    for ours, theirs in zip(model.coefs_, plain.coefs_, strict=True):
        assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert_allclose(predictions, plain.predict(X), rtol=1e-9, atol=1e-12)


def test_fit_writes_to_none_of_its_arrays():
    weights = np.arange(1.0, 121.0)
    before = X.copy(), Y.copy(), weights.copy()
    small().fit(X, Y, weights)
    for array, copied in zip((X, Y, weights), before, strict=True):
        assert_array_equal(array, copied)


# ---------------------------------------------------------------------- classifiers


@every_classifier
@every_solver
@both_dtypes
def test_probabilities_are_probabilities(y, solver, dtype):
    model = small(RegularizedMLPClassifier, solver=solver).fit(X.astype(dtype), y)
    probability = model.predict_proba(X)
    assert probability.shape == (120, len(model.classes_))
    assert (probability >= 0).all()
    assert (probability <= 1).all()
    if y.ndim == 1:
        assert_allclose(probability.sum(1), 1, rtol=1e-5 if dtype == np.float32 else 1e-12)
    # Eight float32 digits of a logarithm near 0 are few of the probability's.
    assert_allclose(model.predict_log_proba(X), np.log(probability), atol=1e-6)


@every_classifier
def test_predict_follows_the_probabilities_and_their_columns_follow_classes(y):
    model = small(RegularizedMLPClassifier, max_iter=100).fit(X, y)
    probability, predicted = model.predict_proba(X), model.predict(X)
    if y.ndim == 1:
        assert_array_equal(model.classes_, np.unique(y))
        assert_array_equal(predicted, model.classes_[probability.argmax(1)])
    else:
        assert_array_equal(model.classes_, [0, 1, 2])
        assert_array_equal(predicted, probability > 0.5)
    assert predicted.shape == y.shape
    assert np.mean(predicted == y) > 0.9


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dtype", [str, object])
def test_string_labels_give_the_fit_of_numbers_and_come_back(n_classes, dtype):
    codes = (BINARY, THREE)[n_classes - 2]
    names = np.array(["ash", "beech", "cedar"], dtype=dtype)
    model = small(RegularizedMLPClassifier).fit(X, names[codes])
    assert_array_equal(model.classes_, names[:n_classes])
    numbers = small(RegularizedMLPClassifier).fit(X, codes)
    assert_same_fit(model, numbers)
    assert_array_equal(model.predict(X), names[numbers.predict(X)])


def test_the_order_of_the_classes_is_sorted_whatever_comes_first():
    model = small(RegularizedMLPClassifier).fit(X, np.where(Y > 0, -5, 7))
    assert model.classes_.tolist() == [-5, 7]
    assert model.predict_proba(X)[Y > 1, 0].mean() > 0.5


@every_classifier
@both_dtypes
def test_log_probabilities_of_extreme_margins_are_finite(y, dtype):
    model = small(RegularizedMLPClassifier, max_iter=100).fit(X.astype(dtype), y)
    far = (1e6 * X).astype(dtype)
    log_probability = model.predict_log_proba(far)
    assert np.isfinite(log_probability).all()
    assert log_probability.min() < -1e3
    probability = model.predict_proba(far)
    assert np.isfinite(probability).all()
    if y.ndim == 1:
        assert_allclose(probability.sum(1), 1, rtol=1e-5)


@every_solver
def test_a_single_class_is_always_predicted(solver):
    model = small(RegularizedMLPClassifier, solver=solver).fit(X, np.full(120, "only"))
    assert model.classes_.tolist() == ["only"]
    assert set(model.predict(100 * X)) == {"only"}
    assert_array_equal(model.predict_proba(X), np.ones((120, 1)))
    assert_array_equal(model.predict_log_proba(X), np.zeros((120, 1)))


@pytest.mark.parametrize("labels", [BINARY, THREE], ids=["binary", "multiclass"])
@every_solver
def test_a_class_weight_dict_is_the_sample_weight_it_says(labels, solver):
    weight = {0: 0.2, 1: 3.0, 2: 1.0}
    weight = {label: weight[label] for label in np.unique(labels)}
    by_class = small(RegularizedMLPClassifier, solver=solver, class_weight=weight)
    by_sample = small(RegularizedMLPClassifier, solver=solver)
    per_row = np.array([weight[label] for label in labels])
    assert_same_fit(by_class.fit(X, labels), by_sample.fit(X, labels, per_row))
    plain = small(RegularizedMLPClassifier, solver=solver).fit(X, labels)
    assert not np.array_equal(plain.coefs_[0], by_class.coefs_[0])


def test_a_class_weight_too_many_is_an_error_where_another_is_too_few():
    """scikit-learn's rule: the rows may be a fold that lacks the class."""
    both = {0: 1.0, 1: 3.0}
    for many in (BINARY, np.where(BINARY, "yes", "no")):
        no, yes = np.unique(many)
        names = {no: both[0], yes: both[1]}
        assert_same_fit(
            small(RegularizedMLPClassifier, class_weight={**names, "maybe": 5.0}).fit(X, many),
            small(RegularizedMLPClassifier, class_weight=names).fit(X, many),
        )
        wrong = {yes: 3.0, "maybe": 5.0}
        with pytest.raises(ValueError, match=r"class_weight has labels \['maybe'\] that are"):
            small(RegularizedMLPClassifier, class_weight=wrong).fit(X, many)
    # All that will come are known here.
    with pytest.raises(ValueError, match=r"class_weight has labels \[2\] that are not"):
        small(RegularizedMLPClassifier, class_weight={**both, 2: 5.0}).partial_fit(
            X, BINARY, classes=[0, 1]
        )


def test_class_weight_of_labels_that_rows_lack():
    lacking = LABELS[:, :2] * [0, 1]
    by_label = small(RegularizedMLPClassifier, class_weight=[{1: 5.0}, {0: 2.0}])
    assert_same_fit(
        by_label.fit(X, lacking),
        small(RegularizedMLPClassifier).fit(X, lacking, np.where(lacking[:, 1], 1.0, 2.0)),
    )


def test_balanced_class_weight_is_inverse_frequency_and_multiplies_sample_weight():
    rare = (Y > 1.5).astype(int)
    counts = np.bincount(rare)
    assert counts[1] < counts[0] / 2
    own = np.arange(1.0, 121.0)
    balanced = small(RegularizedMLPClassifier, class_weight="balanced").fit(X, rare, own)
    by_sample = small(RegularizedMLPClassifier).fit(X, rare, own * 120 / (2 * counts[rare]))
    for ours, theirs in zip(balanced.coefs_, by_sample.coefs_, strict=True):
        assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_class_weight_of_labels_is_the_product_over_labels():
    by_label = [{0: 1.0, 1: 2.0}, {0: 1.0, 1: 3.0}, {0: 1.0, 1: 5.0}]
    product = np.prod(np.where(LABELS, [2.0, 3.0, 5.0], 1.0), axis=1)
    assert_same_fit(
        small(RegularizedMLPClassifier, class_weight=by_label).fit(X, LABELS),
        small(RegularizedMLPClassifier).fit(X, LABELS, product),
    )


def test_a_class_weight_by_name_is_by_label():
    names = np.where(BINARY, "yes", "no")
    assert_same_fit(
        small(RegularizedMLPClassifier, class_weight={"yes": 9.0, "no": 1.0}).fit(X, names),
        small(RegularizedMLPClassifier, class_weight={1: 9.0, 0: 1.0}).fit(X, BINARY),
    )


# ---------------------------------------------------------------------- sample weights

WEIGHTS = _rng.integers(0, 4, size=120).astype(float)
every_batching = pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 30},
        {"solver": "sgd", "penalty": "l1"},
        {"solver": "fista"},
        {"early_stopping": True},
    ],
    ids=repr,
)


@every_kind
@every_batching
def test_sample_weights_matter(estimator, y, settings):
    weighted = small(estimator, **settings).fit(X, y, WEIGHTS + 0.1)
    assert not np.allclose(outputs(weighted), outputs(small(estimator, **settings).fit(X, y)))


@every_kind
@every_batching
def test_doubling_all_sample_weights_changes_no_bit(estimator, y, settings):
    assert_same_fit(
        small(estimator, **settings).fit(X, y, WEIGHTS),
        small(estimator, **settings).fit(X, y, 2 * WEIGHTS),
    )


@every_kind
@every_batching
def test_weight_zero_is_the_row_left_out_bit_for_bit(estimator, y, settings):
    kept = WEIGHTS > 0
    assert 0 < kept.sum() < 120
    assert_same_fit(
        small(estimator, **settings).fit(X, y, WEIGHTS),
        small(estimator, **settings).fit(X[kept], y[kept], WEIGHTS[kept]),
    )


@every_kind
@pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
def test_integer_weights_are_repeated_rows(estimator, y, solver):
    settings = {"solver": solver, "batch_size": "auto", "max_iter": 30}
    rows = np.repeat(np.arange(60), WEIGHTS[:60].astype(int))
    assert len(rows) < 200, "one full batch on both sides"
    weighted = small(estimator, **settings).fit(X[:60], y[:60], WEIGHTS[:60])
    repeated = small(estimator, **settings).fit(X[rows], y[rows])
    for ours, theirs in zip(weighted.coefs_, repeated.coefs_, strict=True):
        assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)


@every_kind
def test_equal_sample_weights_are_none(estimator, y):
    plain = small(estimator).fit(X, y)
    for weights in (np.full(120, 0.25), 7.0):
        assert_same_fit(small(estimator).fit(X, y, weights), plain)


@every_kind
def test_partial_fit_takes_sample_weights(estimator, y):
    kept = WEIGHTS > 0
    classes = {"classes": np.unique(y)} if estimator is RegularizedMLPClassifier else {}
    first, second = small(estimator), small(estimator)
    for _ in range(2):
        first.partial_fit(X, y, WEIGHTS, **classes)
        second.partial_fit(X[kept], y[kept], WEIGHTS[kept], **classes)
    assert_same_fit(first, second)


@pytest.mark.parametrize("estimator", [RegularizedMLPRegressor, RegularizedMLPClassifier])
def test_sample_weights_that_cannot_be_meant_raise_errors_that_name_them(estimator):
    model = small(estimator)
    with pytest.raises(ValueError, match=r"(?i)negative.*sample_weight"):
        model.fit(X, BINARY, np.where(np.arange(120) == 3, -1.0, 1.0))
    with pytest.raises(ValueError, match=r"(?i)sample.weight.*zero"):
        model.fit(X, BINARY, np.zeros(120))
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(X, BINARY, np.ones(5))
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(X, BINARY, np.full(120, np.nan))


def test_class_weights_of_zero_that_leave_no_sample_raise_an_error_that_names_them():
    model = small(RegularizedMLPClassifier, class_weight={0: 0.0, 1: 0.0})
    with pytest.raises(ValueError, match="class_weight"):
        model.fit(X, BINARY)


def test_a_penalty_object_is_the_name_with_its_alpha():
    by_object = small(penalty=L1(alpha=0.05)).fit(X, Y)
    assert_same_fit(by_object, small(penalty="l1", alpha=0.05).fit(X, Y))
    assert_same_fit(by_object, small(penalty=L1(), alpha=0.05).fit(X, Y))
