"""Targets: their shape and encoding, classes, probabilities and class weights."""

import re

import numpy as np
import pytest
import scipy.sparse
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from small_fits import (
    BINARY,
    LABELS,
    THINNED,
    THREE,
    X,
    Y,
    assert_same_fit,
    both_dtypes,
    every_classifier,
    every_solver,
    small,
)

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedNetClassifier,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("shape", [(120,), (120, 1), (120, 3)])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_predictions_have_the_shape_of_y(shape, loss):
    targets = np.abs(np.random.default_rng(1).normal(size=shape))
    model = small(loss=loss).fit(X, targets)
    assert model.predict(X).shape == shape
    assert model.predict(X[:1]).shape == (1, *shape[1:])
    assert np.ndim(model.score(X, targets)) == 0


def test_y_as_a_column_is_the_same_fit_as_y_flat():
    assert_same_fit(small().fit(X, Y), small().fit(X, Y[:, None]))


@every_classifier
def test_sparse_rows_and_weights_give_a_classifier_the_fit_of_dense_ones(y):
    weights = np.arange(120) % 3
    thin = small(RegularizedMLPClassifier).fit(scipy.sparse.csr_array(THINNED), y, weights)
    assert_same_fit(thin, small(RegularizedMLPClassifier).fit(THINNED, y, weights))


def test_sparse_multilabel_targets_are_taken():
    thin = small(RegularizedMLPClassifier).fit(X, scipy.sparse.csr_matrix(LABELS))
    assert_same_fit(thin, small(RegularizedMLPClassifier).fit(X, LABELS))


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
    expected, coded = clone(estimator).fit(X, LABELS), clone(estimator).fit(X, encode(LABELS))
    assert coded.loss_curve_ == expected.loss_curve_
    assert coded.validation_scores_ == expected.validation_scores_
    assert_array_equal(coded.predict(X), expected.predict(X))
    assert set(np.unique(coded.predict(X))) == {0, 1}
    assert coded.classes_.tolist() == [0, 1, 2]
    # As scikit-learn's predict, but the score is of the labels too.
    accuracy = accuracy_score(LABELS, expected.predict(X))
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
    expected = small(RegularizedMLPClassifier, solver=solver).fit(X, labels)
    assert not np.array_equal(expected.coefs_[0], by_class.coefs_[0])


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
    weights = np.arange(1.0, 121.0)
    balanced = small(RegularizedMLPClassifier, class_weight="balanced").fit(X, rare, weights)
    by_sample = small(RegularizedMLPClassifier).fit(X, rare, weights * 120 / (2 * counts[rare]))
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


def test_class_weights_of_zero_that_leave_no_sample_raise_an_error_that_names_them():
    model = small(RegularizedMLPClassifier, class_weight={0: 0.0, 1: 0.0})
    with pytest.raises(ValueError, match="class_weight"):
        model.fit(X, BINARY)
