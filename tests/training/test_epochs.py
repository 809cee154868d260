"""An epoch by hand, by autograd and on all rows: the same losses, the steps that are due."""

from functools import partial

import numpy as np
import pytest
import torch
from nets import DATA, loss_of, make_net
from torch import nn

from skreg.modules.backprop import Backprop
from skreg.optim import ProximalAdam, ProximalSGD
from skreg.optim.fista import FISTA
from skreg.penalties import L1
from skreg.training.epochs import ByAutograd, ByHand, FullBatch


def begun(steps=None, **settings):
    """A net that has begun to train, by steps of this class."""
    net = make_net(**{"batch_size": 25, "shuffle": True, "penalty": L1(0.01), **settings})
    net.begin(DATA, None)
    if steps is ByAutograd:
        net.steps = ByAutograd(net)
    return net


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("optimizer", [ProximalAdam, partial(ProximalSGD, momentum=0.9)])
def test_by_hand_and_by_autograd_the_steps_are_the_same(optimizer, n_members):
    settings = {"optimizer": optimizer, "n_members": n_members, "seeds": range(n_members)}
    by_hand, by_autograd = (begun(way, **settings) for way in (ByHand, ByAutograd))
    assert isinstance(by_hand.steps, ByHand)
    for _ in range(3):
        losses = by_hand.steps()
        assert losses.shape == (n_members,)
        torch.testing.assert_close(losses, by_autograd.steps(), rtol=1e-9, atol=1e-12)
    for one, other in zip(
        by_hand.module_.parameters(), by_autograd.module_.parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("way", [ByHand, ByAutograd])
def test_a_frozen_parameter_stays_where_it_is(way):
    net = begun(way)
    net.module_.bias.requires_grad_(False)
    weight, bias = net.module_.weight.detach().clone(), net.module_.bias.clone()
    net.steps()
    assert torch.equal(net.module_.bias, bias)
    assert not torch.equal(net.module_.weight, weight)


def test_all_may_be_frozen():
    net = begun(ByAutograd)
    for parameter in net.module_.parameters():
        parameter.requires_grad_(False)
    before = net.copy_state()
    assert torch.isfinite(net.steps()).all()
    for name, value in net.copy_state().items():
        assert torch.equal(value, before[name])


def test_a_full_batch_solver_has_the_loss_before_its_step_and_goes_on_until_solved():
    net = begun(optimizer=FISTA, hidden=(), batch_size=60, tol=1e-6)
    assert isinstance(net.steps, FullBatch)
    before = loss_of(net)
    np.testing.assert_allclose(net.steps().numpy(), before, rtol=1e-12)
    assert not net.steps.solved().any()
    for _ in range(200):
        net.steps()
    assert net.steps.solved().all()
    assert net.optimality_residual(DATA) <= 1e-6


def test_dropout_is_trained_by_autograd():
    assert isinstance(begun(dropout=0.5).steps, ByAutograd)


def test_who_trains_no_longer_holds_no_rows_and_no_passes():
    net = begun()
    assert isinstance(net.steps.backprop, Backprop)
    net.end()
    assert net.steps is None
    assert not any(isinstance(value, nn.Parameter) for value in vars(net).values())
