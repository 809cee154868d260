"""Rows as tensors: every row once an epoch, in order, shared where they can be shared."""

import numpy as np
import pytest
import scipy.sparse
import torch

from skreg.training.data import TensorData

X = np.arange(21.0).reshape(7, 3)
y = np.arange(7.0).reshape(7, 1)
WEIGHTS = np.array([1.0, 1.0, 1.0, 1.0, 2.0, 4.0, 4.0])


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_matrix, scipy.sparse.csr_array])
@pytest.mark.parametrize("order", [None, np.array([6, 0, 5, 1, 4, 2, 3])])
@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_batches_hold_every_row_once_in_the_given_order(make, order, batch_size):
    data = TensorData(make(X), y, WEIGHTS)
    batches = list(data.batches(batch_size, None if order is None else [order]))
    assert all(len(X_batch) <= batch_size for X_batch, _, _ in batches)
    rows = np.arange(7) if order is None else order
    for position, expected in enumerate((X, y, WEIGHTS / WEIGHTS.mean())):
        joined = torch.cat([batch[position] for batch in batches]).numpy()
        np.testing.assert_array_equal(joined, expected[rows])


def test_sample_weights_are_scaled_to_a_mean_of_one():
    # The mean of weighted losses over a batch then estimates the weighted mean over all rows.
    assert TensorData(X, y, WEIGHTS).streams[0].sample_weight.mean().item() == 1.0
    assert TensorData(X, y).streams[0].sample_weight is None


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_matrix])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_rows_that_pad_a_table_do_not_count(make, weights):
    data = TensorData(make(X), y, weights, rows=np.array([4, 0, 5]))
    assert data.padded(3) is data
    padded = data.padded(5)
    assert len(padded) == 5
    ((X_all, y_all, weight_all),) = padded.batches(5)
    np.testing.assert_array_equal(X_all.numpy(), X[[4, 0, 5, 4, 0]])
    np.testing.assert_array_equal(y_all.numpy(), y[[4, 0, 5, 4, 0]])
    own = np.ones(3) if weights is None else weights[[4, 0, 5]]
    expected = np.r_[own / own.mean() * 5 / 3, 0, 0]
    np.testing.assert_allclose(weight_all.numpy(), expected)
    # What was given is as it was.
    assert data.streams[0].sample_weight is None or data.streams[0].sample_weight.min() > 0


def test_a_mean_of_many_float32_weights_loses_no_digits():
    weights = np.full(3_000_000, 0.1, dtype=np.float32)
    scaled = (
        TensorData(np.zeros((3_000_000, 1), np.float32), None, weights).streams[0].sample_weight
    )
    assert (scaled - 1).abs().max() < 1e-6


def test_writable_rows_are_shared_and_read_only_ones_copied_without_a_warning():
    own = X.copy()
    assert TensorData(own, y).X.data_ptr() == own.ctypes.data
    own.flags.writeable = False
    copied = TensorData(own, y).X
    assert copied.data_ptr() != own.ctypes.data
    np.testing.assert_array_equal(copied.numpy(), X)


def test_negative_strides_and_fortran_order_do():
    for view in (X[::-1], np.asfortranarray(X), X[:, ::-1]):
        np.testing.assert_array_equal(TensorData(view, y).X.numpy(), view)


def test_batches_in_order_are_views():
    data = TensorData(X, y)
    first = next(data.batches(3))[0]
    assert first.data_ptr() == data.X.data_ptr()


def test_length_is_the_number_of_rows():
    assert len(TensorData(X, None)) == len(TensorData(scipy.sparse.csr_matrix(X), None)) == 7
