"""Passes over all rows: batch by batch what one batch would give."""

import numpy as np
import pytest
import scipy.sparse
import torch
from nets import DATA, X, make_net, y

from skreg.modules.backprop import Backprop
from skreg.training import passes
from skreg.training.data import TensorData
from skreg.training.passes import mean_losses, mean_losses_and_gradients, raw_outputs

WEIGHTS = np.arange(60.0)


def test_passes_over_all_rows_give_autograds_gradients_batch_by_batch():
    many = TensorData(np.tile(X, (300, 1)), np.tile(y, (300, 1)))
    net = make_net()
    parameters = list(net.module_.parameters())
    backprop = Backprop(net.module_, net.criterion_)
    losses, gradients = mean_losses_and_gradients(backprop, many, 200)
    expected = net.criterion_.value(net.module_(many.X), many.y).mean(1)
    expected.sum().backward()
    torch.testing.assert_close(losses, expected.detach())
    for gradient, parameter in zip(gradients, parameters, strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_matrix])
def test_outputs_do_not_depend_on_how_many_rows_go_at_once(n_members, make, monkeypatch):
    net = make_net(n_members, range(n_members))
    with torch.no_grad():
        expected = net.module_(DATA.X)
    rows = TensorData(make(X), None)
    for numbers in (2**19, 100):
        monkeypatch.setattr(passes, "_FORWARD_NUMBERS", numbers)
        # Small networks are computed at once, without a plan.
        for without_plan in (2**16, 0):
            monkeypatch.setattr(passes, "_NUMBERS_WITHOUT_PLAN", without_plan)
            torch.testing.assert_close(raw_outputs(net.module_, rows, "cpu"), expected)


def test_mean_losses_are_weighted_and_those_of_the_pass_with_gradients():
    net, data = make_net(2, [0, 1]), TensorData(X, y, WEIGHTS)
    backprop = Backprop(net.module_, net.criterion_)
    with torch.no_grad():
        each = net.criterion_.value(net.module_(data.X), data.y).numpy()
    expected = np.average(each, axis=1, weights=WEIGHTS)
    np.testing.assert_allclose(mean_losses(backprop, data, 25).numpy(), expected)
    losses, _ = mean_losses_and_gradients(backprop, data, 25)
    np.testing.assert_allclose(losses.numpy(), expected)
