"""The training loop, driven directly: members, histories, rescue, interruption, pickling."""

from functools import partial

import numpy as np
import pytest
import torch
from nets import DATA, X, loss_of, make_net, y
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

from skreg.modules import MLP
from skreg.optim import ProximalAdam, ProximalSGD
from skreg.optim.fista import FISTA
from skreg.penalties import L1
from skreg.training.data import TensorData

SGD = partial(ProximalSGD, momentum=0.9, nesterov=True)


class TestMembers:
    @pytest.mark.parametrize("optimizer", [partial(ProximalAdam), SGD, FISTA])
    def test_a_member_of_a_stack_is_the_model_it_would_be_alone(self, optimizer):
        alphas, seeds = [0.0, 0.01, 0.1], [1, 2, 3]
        settings = {"optimizer": optimizer, "batch_size": 25}
        stack = make_net(3, seeds, penalty=L1(alphas), **settings).train_on(DATA)
        for member, (alpha, seed) in enumerate(zip(alphas, seeds, strict=True)):
            alone = make_net(1, [seed], penalty=L1(alpha), **settings).train_on(DATA)
            for stacked, single in zip(
                stack.module_.parameters(), alone.module_.parameters(), strict=True
            ):
                torch.testing.assert_close(stacked[member], single[0], rtol=1e-9, atol=1e-11)
            for curve in ("data_losses_", "penalties_"):
                np.testing.assert_allclose(
                    np.array(getattr(stack, curve))[:, member],
                    np.array(getattr(alone, curve))[:, 0],
                    rtol=1e-9,
                    atol=1e-12,
                )

    def test_the_best_weights_of_each_member_come_back(self):
        valid = TensorData(X[:10], y[:10])
        net = make_net(2, [0, 1])
        # Member 0 scores best after epoch 1, member 1 after epoch 3.
        scores = iter([[3.0, 1.0], [2.0, 2.0], [1.0, 3.0], [0.0, 0.0]])
        seen = []

        def scorer(raw):
            seen.append([p.detach().clone() for p in net.module_.parameters()])
            return np.array(next(scores))

        net.scorer = scorer
        net.train_on(DATA, valid, epochs=4)
        for i, parameter in enumerate(net.module_.parameters()):
            assert torch.equal(parameter[0], seen[0][i][0])
            assert torch.equal(parameter[1], seen[2][i][1])


class TestRecords:
    def test_full_batch_losses_and_penalties_are_those_before_the_step(self):
        net = make_net(penalty=L1(0.1))
        loss = loss_of(net)
        penalty = net.penalty_values().numpy()
        net.train_on(DATA, epochs=1)
        np.testing.assert_allclose(net.data_losses_[0], loss, rtol=1e-12)
        np.testing.assert_allclose(net.penalties_[0], penalty, rtol=1e-12)
        initial = MLP(5, (6,), 1, random_state=0).weights
        expected = 0.1 * sum(w.detach().abs().sum().item() for w in initial)
        np.testing.assert_allclose(penalty, expected, rtol=1e-6)

    def test_the_history_has_one_row_an_epoch(self):
        net = make_net(penalty=L1(0.1)).train_on(DATA, epochs=3)
        rows = net.history[:, ("epoch", "data_loss", "penalty", "train_loss")]
        assert [row[0] for row in rows] == [1, 2, 3]
        for _, data_loss, penalty, total in rows:
            assert total == pytest.approx(data_loss + penalty)

    def test_an_uneven_last_batch_counts_by_its_rows(self):
        # With no learning the mean over batches is the mean over rows.
        net = make_net(optimizer=partial(ProximalSGD, lr=1e-300), lr=1e-300, batch_size=25)
        loss = loss_of(net)
        net.train_on(DATA, epochs=1)
        np.testing.assert_allclose(net.data_losses_[0], loss, rtol=1e-12)

    def test_verbose_prints_every_epoch(self, capsys):
        make_net(verbose=1).train_on(DATA, epochs=2)
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(":")[0] for line in lines] == ["Epoch 1", "Epoch 2"]
        assert all("data_loss" in line and "penalty" in line for line in lines)


class TestRescue:
    def test_goes_back_to_the_best_weights_at_a_lower_rate(self):
        net = make_net(optimizer=partial(ProximalSGD), lr=30.0, hidden=())
        with pytest.warns(ConvergenceWarning, match=r"diverged in epoch \d+ at.*goes on from"):
            net.train_on(DATA, epochs=100)
        assert net.progress.rescues > 0
        assert net.progress.learning_rates[0] == pytest.approx(30.0 / 5**net.progress.rescues)
        assert net.data_losses_[-1] < 0.01
        assert np.isfinite(net.data_losses_).all()

    def test_catches_an_explosion_before_it_overflows(self):
        net = make_net(optimizer=partial(ProximalSGD), lr=3.0, hidden=(), max_epochs=30)
        with pytest.warns(ConvergenceWarning, match="diverged"):
            net.train_on(DATA)
        assert max(loss[0] for loss in net.data_losses_) <= 1e6 * net.data_losses_[0][0]

    def test_going_on_from_an_optimum_is_no_explosion(self):
        exact = TensorData(X, X[:, :1])
        net = make_net(optimizer=FISTA, hidden=(), tol=1e-12, max_epochs=500).train_on(exact)
        assert net.data_losses_[-1] < 1e-20
        again = make_net(hidden=(), lr=0.01)
        again.module_.load_state_dict(net.module_.state_dict())
        again.continue_curves(net)
        # From a loss of nothing Adam's first steps lead a little away.
        again.train_on(exact, epochs=5)
        assert again.progress.rescues == 0

    def test_gives_up_with_an_error_that_says_what_to_change(self):
        hopeless = TensorData(X * 1e160, y)
        with (
            pytest.warns(ConvergenceWarning, match="diverged"),
            pytest.raises(ValueError, match=r"not finite.*learning_rate_init.*StandardScaler"),
        ):
            make_net().train_on(hopeless)

    def test_fista_has_no_rate_to_lower(self):
        hopeless = TensorData(X * 1e160, y)
        with pytest.raises(ValueError, match=r"To cure it, scale the columns of X"):
            make_net(optimizer=FISTA).train_on(hopeless)


class Interrupt(Callback):
    def __init__(self, epoch, event="on_epoch_begin"):
        self.epoch = epoch
        self.event = event

    def on_epoch_begin(self, net, **kwargs):
        if self.event == "on_epoch_begin" and len(net.history) == self.epoch:
            raise KeyboardInterrupt

    def on_epoch_end(self, net, **kwargs):
        if self.event == "on_epoch_end" and len(net.history) == self.epoch:
            raise KeyboardInterrupt


class TestInterruption:
    def test_keeps_the_best_weights_so_far(self):
        net = make_net(callbacks=[Interrupt(8)])
        with pytest.raises(KeyboardInterrupt):
            net.train_on(DATA)
        assert net.interrupted_
        assert len(net.data_losses_) == 7
        loss = loss_of(net).item()
        assert loss == pytest.approx(min(loss[0] for loss in net.data_losses_))

    def test_a_callback_that_stops_is_not_the_users_ctrl_c(self):
        net = make_net(callbacks=[Interrupt(3, "on_epoch_end")]).train_on(DATA)
        assert not net.interrupted_
        assert net.converged_.all()
        assert net.n_epochs_ == 3


class CountBatches(Callback):
    def on_train_begin(self, net, **kwargs):
        self.seen, self.losses = 0, []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        assert all(p.grad is not None for _, p in named_parameters)

    def on_batch_end(self, net, batch, training, loss, **kwargs):
        self.seen += len(batch[0])
        self.losses.append(loss.item())


def test_a_batch_level_callback_hears_of_every_batch_and_others_cost_nothing():
    counter = CountBatches()
    net = make_net(callbacks=[counter], batch_size=25).train_on(DATA, epochs=4)
    assert counter.seen == 4 * 60
    assert len(counter.losses) == 4 * 3
    assert [len(row) for row in net.history[:, "batches", :, "train_loss"]] == [3] * 4
    quiet = make_net(callbacks=[Interrupt(99)], batch_size=25).train_on(DATA, epochs=4)
    assert quiet.history[:, "batches"] == [[], [], [], []]
    # By hand and by autograd are the same numbers but for rounding.
    np.testing.assert_allclose(quiet.data_losses_, net.data_losses_, rtol=1e-12)


def test_skorchs_own_predict_gives_the_raw_outputs():
    net = make_net().train_on(DATA, epochs=2)
    np.testing.assert_allclose(net.predict(X), net.raw_outputs(DATA)[0].numpy())
