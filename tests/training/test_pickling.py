"""Pickles of a net: whole, and readable where there is no such device."""

import copy
import pickle

import pytest
import torch
from nets import DATA, make_net
from skorch.callbacks import Callback

from skreg.penalties import L1
from skreg.training.net import RegularizedNet


class TestPickling:
    @pytest.mark.parametrize("clone", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
    def test_training_goes_on_bit_for_bit(self, clone):
        net = make_net(batch_size=25, shuffle=True, dropout=0.2, penalty=L1(0.01))
        net.train_on(DATA, epochs=3)
        again = clone(net)
        for each in (net, again):
            each.train_on(DATA, epochs=3)
        for a, b in zip(net.module_.parameters(), again.module_.parameters(), strict=True):
            assert torch.equal(a, b)

    def test_the_optimizer_goes_on_pointing_at_the_module(self):
        again = pickle.loads(pickle.dumps(make_net().train_on(DATA, epochs=1)))
        parameters = {id(p) for p in again.module_.parameters()}
        groups = again.optimizer_.param_groups
        assert {id(p) for group in groups for p in group["params"]} == parameters

    def test_a_pickle_from_another_device_is_on_the_cpu(self, monkeypatch):
        # As close to CUDA as a machine without it comes: the meta device holds no numbers,
        # so what reaches the pickle as "cpu" was moved there by __getstate__.
        # Callbacks make it the kind of pickle that holds tensors.
        net = make_net(callbacks=[Callback()]).train_on(DATA, epochs=1)
        net.device = "meta"
        moved = []
        monkeypatch.setattr(
            "skreg.training.pickling.move",
            lambda module, optimizer, device: moved.append(device),
        )
        state = net.__getstate__()
        assert moved == ["cpu"]
        assert state["module_"] is not net.module_
        parameters = {id(p) for p in state["module_"].parameters()}
        assert {
            id(p) for g in state["optimizer_"].param_groups for p in g["params"]
        } == parameters

    def test_where_there_is_no_cuda_the_net_wakes_up_on_the_cpu(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        net = make_net().train_on(DATA, epochs=1)
        state = net.__getstate__()
        state["device"] = "cuda"
        again = object.__new__(RegularizedNet)
        again.__setstate__(state)
        assert again.device == "cpu"
        assert torch.equal(again.raw_outputs(DATA), net.raw_outputs(DATA))
