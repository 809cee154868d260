"""The state of training: whole, by members, in arrays, and put into another net."""

from functools import partial

import numpy as np
import pytest
import torch
from nets import DATA, X, make_net, y
from numpy.testing import assert_array_equal

from skreg.optim import ProximalSGD
from skreg.optim.fista import FISTA
from skreg.penalties import L1
from skreg.training.checkpoint import Checkpoint
from skreg.training.state import TrainingState, restore_generators, select_members, to_numpy

ROWS, TARGETS = torch.from_numpy(X), torch.from_numpy(y[:, 0])
SGD = partial(ProximalSGD, momentum=0.9, nesterov=True)
NETS = {
    "adam": {},
    "momentum": {"optimizer": SGD, "batch_size": 25, "shuffle": True},
    "fista": {"optimizer": FISTA},
    "dropout": {"dropout": 0.2, "batch_size": 25, "shuffle": True},
}
every_net = pytest.mark.parametrize("settings", NETS.values(), ids=NETS)


def in_arrays(net):
    return to_numpy(TrainingState.of(net).to_arrays())


def in_a_file(net, tmp_path):
    path = tmp_path / "net.checkpoint"
    Checkpoint(path, interval=0, resume=False).write(TrainingState.of(net).to_arrays())
    return TrainingState.from_arrays(Checkpoint(path, interval=0, resume=True).state)


WAYS = {
    "copied": lambda net, folder: TrainingState.of(net, copied=True),
    "in arrays": lambda net, folder: TrainingState.from_arrays(in_arrays(net)),
    "in a file": in_a_file,
}


def assert_same_net(net, other):
    for a, b in zip(net.module_.parameters(), other.module_.parameters(), strict=True):
        assert torch.equal(a, b)
    assert_array_equal(net.data_losses_, other.data_losses_)
    assert_array_equal(net.penalties_, other.penalties_)
    assert net.progress.samples_seen == other.progress.samples_seen
    assert net.history == other.history


@every_net
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_another_net_goes_on_bit_for_bit(settings, way, tmp_path):
    net = make_net(penalty=L1(0.01), **settings).train_on(DATA, epochs=3)
    other = make_net(penalty=L1(0.01), **settings)
    way(net, tmp_path).put(other)
    assert_same_net(other, net)
    for each in (net, other):
        each.train_on(DATA, epochs=3)
    assert_same_net(other, net)


@every_net
def test_members_go_on_alone_and_in_a_smaller_stack(settings):
    # Members of one stream of rows would come in the order of the first.
    settings = {**settings, "shuffle": False}
    seeds, chosen = [1, 2, 3], [2, 0]
    stack = make_net(3, seeds, penalty=L1([0.0, 0.01, 0.1]), **settings)
    stack.train_on(DATA, epochs=3)
    state = TrainingState.of(stack)
    smaller = make_net(2, [3, 1], penalty=L1([0.1, 0.0]), **settings)
    state.select(chosen).put(smaller)
    alone = make_net(1, [3], penalty=L1(0.1), **settings)
    state.select([2]).put(alone)
    for net in (stack, smaller, alone):
        net.train_on(DATA, epochs=3)
    nets = [net.module_.parameters() for net in (stack, smaller, alone)]
    for whole, part, single in zip(*nets, strict=True):
        torch.testing.assert_close(part, whole[chosen], rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(single[0], whole[2], rtol=1e-9, atol=1e-11)
    for name in ("data_losses_", "penalties_"):
        curves = [np.array(getattr(net, name)) for net in (stack, smaller, alone)]
        np.testing.assert_allclose(curves[1], curves[0][:, chosen], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(curves[2], curves[0][:, [2]], rtol=1e-9, atol=1e-12)


@every_net
def test_a_copy_takes_no_part_in_further_training(settings):
    net = make_net(penalty=L1(0.01), learning_rate="adaptive", **settings)
    net.train_on(DATA, epochs=3)
    unchanged = TrainingState.from_arrays(in_arrays(net))
    copied, drawn = (
        TrainingState.of(net, copied=True),
        net.shufflers[0].random_state.get_state(),
    )
    curves = {name: len(curve) for name, curve in copied.curves.items()}
    net.train_on(DATA, epochs=3)
    for name, length in curves.items():
        del copied.curves[name][length:]
    net.shufflers[0].random_state.set_state(drawn)
    copied.put(net)
    other = make_net(penalty=L1(0.01), learning_rate="adaptive", **settings)
    unchanged.put(other)
    assert_same_net(net, other)
    for each in (net, other):
        each.train_on(DATA, epochs=3)
    assert_same_net(net, other)


@pytest.mark.parametrize("momentum", [0.9, torch.tensor([0.9, 0.5], dtype=torch.float64)])
def test_a_member_of_an_optimizer_goes_on_alone(momentum):
    def train(weight, optimizer):
        for _ in range(5):
            optimizer.zero_grad()
            (0.5 * (weight @ ROWS.T - TARGETS).square().mean(1)).sum().backward()
            optimizer.step()

    stack = torch.full((2, 5), 0.1, dtype=torch.float64, requires_grad=True)
    settings = {"lr": torch.tensor([0.01, 0.02], dtype=torch.float64), "penalty": L1(0.1)}
    both = ProximalSGD([stack], momentum=momentum, **settings)
    train(stack, both)
    member = stack.detach()[1:].clone().requires_grad_()
    alone = ProximalSGD(
        [member],
        lr=0.02,
        momentum=momentum if isinstance(momentum, float) else momentum[1].item(),
        penalty=L1(0.1),
    )
    moments = {"state": both.state_dict()["state"]}
    alone.load_state_dict({**alone.state_dict(), **select_members(moments, [1], 2)})
    train(stack, both)
    train(member, alone)
    torch.testing.assert_close(member[0], stack[1], rtol=1e-12, atol=1e-14)


def test_generators_of_another_kind_of_device_give_the_same_each_time():
    own = torch.Generator().manual_seed(3)
    (again,) = restore_generators([own.get_state()], "cpu")
    assert torch.equal(torch.rand(3, generator=again), torch.rand(3, generator=own))
    # The state of a CUDA generator is 16 bytes, seed and offset; that of a CPU one 5,056.
    foreign = torch.arange(16, dtype=torch.uint8)
    first, second = (restore_generators([foreign], "cpu")[0] for _ in range(2))
    assert torch.equal(torch.rand(3, generator=first), torch.rand(3, generator=second))
