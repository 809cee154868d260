"""What scikit-learn's checks leave open: sample weights, sizes, validation splits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from small_fits import BINARY, WEIGHTS, X, Y, assert_same_fit, every_kind, outputs, small

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
)
from skreg.estimators.checks import (
    check_hidden_layer_sizes,
    check_weights,
    drop_weightless,
    torch_reads_faster,
    validation_split,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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
    expected = small(estimator).fit(X, y)
    for weights in (np.full(120, 0.25), 7.0):
        assert_same_fit(small(estimator).fit(X, y, weights), expected)


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


def test_rows_of_weight_zero_are_left_out_of_everything():
    rows = drop_weightless(X, Y, Y[:, None], WEIGHTS)
    for part, kept in zip(rows, (X, Y, Y[:, None], WEIGHTS), strict=True):
        assert_array_equal(part, kept[WEIGHTS > 0])


def test_scaled_weights_are_the_same_to_the_bit_and_never_overflow():
    checked = check_weights(WEIGHTS, X)
    assert 0.5 <= checked.max() <= 1
    assert_array_equal(checked, check_weights(1024 * WEIGHTS, X))
    assert np.isfinite(check_weights(5e307 * WEIGHTS, X).sum())


@pytest.mark.parametrize("sizes", [0, (8, -1), (2.5,), ("8",)])
def test_sizes_of_layers_are_positive_integers(sizes):
    with pytest.raises(ValueError, match="hidden_layer_sizes must be positive integers"):
        check_hidden_layer_sizes(sizes)
    assert check_hidden_layer_sizes([np.int64(3)]) == (3,)


def test_a_validation_split_keeps_the_shares_of_classes():
    classes = np.repeat([0, 1], [90, 30])
    train, valid = validation_split(120, 0.2, np.random.RandomState(0), classes)
    assert_array_equal(np.sort(np.r_[train, valid]), np.arange(120))
    assert_array_equal(np.bincount(classes[valid]), [18, 6])


@pytest.mark.parametrize("fraction", [0.01, 0.999])
def test_a_validation_split_that_leaves_too_few_says_which_parameter(fraction):
    with pytest.raises(ValueError, match=f"validation_fraction={fraction} of 50 samples"):
        validation_split(50, fraction, np.random.RandomState(0), None)


def test_an_array_is_read_by_torch_only_where_that_is_possible_and_worth_it():
    large = np.zeros((2**11, 2**10))
    assert torch_reads_faster(large)
    assert not torch_reads_faster(large[::-1])
    assert not torch_reads_faster(large[:2])
    large.flags.writeable = False
    assert not torch_reads_faster(large)
