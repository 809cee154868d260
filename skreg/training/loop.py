"""The training loop over a stack of networks: epochs, best weights, patience and rescue.

Batches are slices of tensors that are on the device before the first epoch, and the device
is asked for numbers once an epoch: data loss, penalty and finiteness of every member.

:meth:`Loop.train_on` is the loop of one network. :mod:`skreg.training.stack` drives the same
epochs for many, and lets members leave that are done. What the loop trains, and who is told
about it, is the business of the net that inherits from it (:mod:`skreg.training.net`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, Self

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skreg.losses import Loss
from skreg.modules import MLP
from skreg.modules.backprop import Backprop
from skreg.training.data import Shuffler, TensorData, cut
from skreg.training.passes import mean_losses, mean_losses_and_gradients, sum_of_losses
from skreg.training.progress import MAX_RESCUES, Progress
from skreg.training.runtime import warn_caller

# A loss this many times the one training began with will not come back; one this many times
# as large when patience ends was no progress.
_EXPLODED, _RISEN = 1e6, 2.0

_NOT_FINITE = "its loss or its weights are not finite, or soon will be"
_ONLY_ROSE = f"its loss is {_RISEN:.0f} times what it began with"


class Keeper(Protocol):
    """Who keeps the state of training somewhere, and has it back."""

    def restore(self, net: Any) -> None:
        """Put a net that has begun where it stood, if there is something to go on from."""

    def keep(self, net: Any, *, last: bool = False) -> None:
        """Take note of where the net stands, after an epoch and at the end."""


class Loop:
    """The loop, for a net that has what is declared here."""

    module_: MLP
    criterion_: Loss
    optimizer_: Any
    progress: Progress
    shufflers: Sequence[Shuffler]
    scorer: Callable[[Tensor], np.ndarray] | None
    on_epoch: Callable[[], bool] | None
    keeper: Keeper | None
    callbacks_: list
    history: Any
    device: str
    batch_size: int
    shuffle: bool
    max_epochs: int
    max_fun: int
    data_losses_: list[np.ndarray]
    penalties_: list[np.ndarray]
    scores_: list[np.ndarray]
    #: Copies of what training begins with, where they have been made before it.
    _start: dict[str, Tensor] = {}
    _best_state: dict[str, Tensor]
    _generators: list[torch.Generator]
    _backprop: Backprop | None

    notify: Callable[..., Any]
    listens_to_batches: Callable[[], bool]
    shown_to_callbacks: Callable[[TensorData, TensorData | None], dict[str, Any]]
    raw_outputs: Callable[[TensorData], Tensor]
    penalty_values: Callable[[], Tensor]
    record: Callable[[], None]
    check_callbacks: Callable[[], None]
    target_as_given: Callable[[Any], Any]
    get_all_learnable_params: Callable[[], Iterator[tuple[str, Tensor]]]
    set_learning_rates: Callable[[], None]

    def train_on(
        self, train: TensorData, valid: TensorData | None = None, *, epochs: int | None = None
    ) -> Self:
        """Train every member, until all are done or `epochs` (default `max_epochs`) are over.

        With `valid` the weights of the best validation score are put back at the end. A
        KeyboardInterrupt puts back the best weights there are, sets `interrupted_` and is
        raised again: what it leaves is not what was asked for.

        Where loss or weights are no longer finite, training goes back to the best weights
        and on at a fifth of the rate, with a warning.

        Raises
        ------
        ValueError
            If it diverges all the same.
        """
        epochs = self.max_epochs if epochs is None else epochs
        self.begin(train, valid)
        if self.keeper is not None:
            self.keeper.restore(self)
        shown = self.shown_to_callbacks(train, valid) if self.callbacks_ else {}
        try:
            while self.n_epochs_ < epochs and not self.done_.all():
                if self.callbacks_:
                    self.notify("on_epoch_begin", **shown)
                blew_up, rose = self.run_epoch()
                if blew_up.any():
                    self._rescue(_NOT_FINITE, len(self.data_losses_) + 1)
                    if self.callbacks_:
                        self.history.pop()
                    continue
                self.record()
                if rose.any():
                    self._rescue(_ONLY_ROSE, len(self.data_losses_))
                if self.callbacks_:
                    self._notify_epoch_end(shown)
                if self.on_epoch is not None and self.on_epoch():
                    self.converged_[:] = True
                if self.keeper is not None:
                    self.keeper.keep(self)
            if self.keeper is not None:
                self.keeper.keep(self, last=True)
        except KeyboardInterrupt:
            self.interrupted_ = True
            self.end()
            raise
        self.end()
        return self

    def sums_of_weights(self) -> Tensor:
        """Return one number per member, finite if and only if every weight is.

        Or as good as: the sum may overflow first.
        """
        return torch.stack([p.detach().sum(1) for p in self.module_.parameters()]).sum(0)

    def multiplications(self, n_samples: int) -> int:
        """How many the largest product of a step has; on a GPU the host has none to do."""
        if self.module_.weight.is_cuda:
            return 0
        rows = n_samples if self.optimizer_.full_batch else self.batch_size
        return min(rows, n_samples) * self.module_.n_members * self.module_.largest

    def begin(
        self, train: TensorData, valid: TensorData | None, *, keep_best: bool = True
    ) -> None:
        """Make ready for `run_epoch` on these rows.

        Without `keep_best` the best weights are kept only where validation scores them:
        nobody goes back to them after an interrupt or a divergence.
        """
        self._train, self._valid = train.to(self.device), valid and valid.to(self.device)
        self.validates_ = valid is not None and self.scorer is not None
        self._keeps_best = keep_best or self.validates_
        start, self._start = self._start, {}
        self._best_state = (start or self.copy_state()) if self._keeps_best else {}
        self.n_epochs_ = 0
        self.converged_ = np.zeros(self.module_.n_members, dtype=bool)
        self.interrupted_ = False
        self._first_epoch = len(self.data_losses_)
        for shuffler in self.shufflers:
            shuffler.restart()
        self._per_batch = self.listens_to_batches()
        if self.callbacks_:
            self.check_callbacks()
            self.notify("on_train_begin", X=train.X, y=train.y)
        self.prepare_steps()

    def prepare_steps(self) -> None:
        """Choose how an epoch is trained: a whole-batch step, or batches by hand or autograd.

        By hand wherever that is possible. Dropout and callbacks that want to see each batch
        take autograd's way; in a whole-batch step there are no batches to see.
        """
        self._train_epoch: Callable[[], Tensor]
        full_batch = self.optimizer_.full_batch
        if (self._per_batch or self.module_.dropout) and not full_batch:
            self._train_epoch = self._autograd_epoch
            return
        self._backprop = Backprop(self.module_, self.criterion_, self._train.readers)
        self._train_epoch = self._full_batch_step if full_batch else self._by_hand_epoch

    def run_epoch(self) -> tuple[np.ndarray, np.ndarray]:
        """Train for an epoch and record it.

        Returns
        -------
        blew_up, rose : ndarray of bool of shape (n_members,)
            Which members have a loss or weights that are not finite any more, and which ran
            out of patience with a loss far above the one they began with. If all blew up,
            nothing is recorded.
        """
        start: dict[str, Tensor] = {}
        if self._keeps_best and not self.validates_:
            # The weights that training began with are kept as the best so far.
            start = self.copy_state() if self.n_epochs_ else self._best_state
        penalty = self.penalty_values()
        self.module_.train()
        data_loss = self._train_epoch()
        weights = self.sums_of_weights()
        # The one read of the device in an epoch.
        numbers = torch.stack([data_loss, penalty, weights])
        data_loss, penalty, weights = numbers.double().cpu().numpy()
        blew_up = self._blew_up(data_loss + penalty, weights)
        if blew_up.all():
            return blew_up, ~blew_up
        self.data_losses_.append(data_loss)
        self.penalties_.append(penalty)
        self.n_epochs_ += 1

        # The loss was measured on the way from the weights the epoch began with, the score
        # after it: that is what the best weights are then.
        merits, state = -(data_loss + penalty), start
        if self.validates_:
            assert self._valid is not None
            assert self.scorer is not None
            if self._per_batch:
                self._show_valid_batches(self._valid)
            scores = np.asarray(self.scorer(self.raw_outputs(self._valid)), dtype=float)
            merits, state = scores, self.copy_state()
            self.scores_.append(scores)
        self.improved_ = self.progress.update(merits, len(self._train))
        if self._keeps_best:
            self._keep_best(state, self.improved_)
        self.converged_ |= ~self.progress.running
        if self.optimizer_.full_batch:
            self.converged_ |= self.solved()
        self.set_learning_rates()
        # Out of patience with a loss that only rises is not converged.
        rose = ~self.progress.running & (data_loss + penalty > _RISEN * self._begin())
        self.progress.running |= rose
        self.converged_ &= ~rose
        return blew_up, rose

    def end(self) -> None:
        """Put back the best weights where they are wanted, and let go of the rows."""
        if self.interrupted_ or self._valid is not None:
            self.module_.load_state_dict(self._best_state)
        train = self._train
        self._best_state = {}
        self.let_go()
        del self._train, self._valid
        self.module_.eval()
        if self.callbacks_:
            self.notify("on_train_end", X=train.X, y=train.y)

    def let_go(self) -> None:
        """Free what only training needs."""
        self._backprop = None
        for parameter in self.module_.parameters():
            parameter.grad = None
        self.optimizer_.free_scratch()
        del self._train_epoch

    @property
    def done_(self) -> np.ndarray:
        """Which members have converged or used up their evaluations, shape (n_members,)."""
        if self.optimizer_.full_batch:
            return self.converged_ | (self.optimizer_.n_evaluations >= self.max_fun)
        return self.converged_

    def _blew_up(self, objective: np.ndarray, weights: np.ndarray) -> np.ndarray:
        blew_up = ~np.isfinite(objective + weights)
        if len(self.data_losses_) > self._first_epoch:
            blew_up |= objective > _EXPLODED * self._begin()
        return blew_up

    def _begin(self) -> np.ndarray:
        """The objective that training began with, by which to tell that it has diverged."""
        # Of the untrained network and of this call the larger: a call that goes on from an
        # optimum may begin close to zero.
        first, begin = (
            self.data_losses_[epoch] + self.penalties_[epoch]
            for epoch in (0, self._first_epoch)
        )
        return np.maximum(first, begin)

    def _notify_epoch_end(self, shown: dict[str, Any]) -> None:
        # skorch's EarlyStopping stops by raising KeyboardInterrupt: not the user's doing.
        try:
            self.notify("on_epoch_end", **shown)
        except KeyboardInterrupt:
            self.converged_[:] = True

    def _rescue(self, reason: str, epoch: int) -> None:
        """Go back to the best weights and on at a lower rate, unless that was tried enough."""
        rate = self.progress.learning_rates.max()
        self.module_.load_state_dict(self._best_state)
        line_search = self.optimizer_.line_search
        if line_search or self.progress.rescues >= MAX_RESCUES:
            cure = "" if line_search else f"lower learning_rate_init (now {rate:.3g}), "
            raise ValueError(
                f"Training diverged in epoch {epoch}: {reason}. To cure it, {cure}scale the "
                f"columns of X (StandardScaler) and y (TransformedTargetRegressor), look for "
                f"extreme values in them, or use another loss."
            )
        self.optimizer_.state.clear()
        self.progress.rescue()
        self.set_learning_rates()
        warn_caller(
            f"Training diverged in epoch {epoch} at the learning rate {rate:.3g} ({reason}), "
            f"and goes on from the best weights so far at "
            f"{self.progress.learning_rates.max():.3g}. Lower learning_rate_init or scale the "
            f"data.",
            ConvergenceWarning,
        )

    @torch.no_grad()
    def _by_hand_epoch(self) -> Tensor:
        """Take one step per batch; return the mean data loss of each member."""
        backprop, batch_size = self._backprop, self.batch_size
        assert backprop is not None
        backprop.attach()
        for parameter in self.module_.parameters():
            if not parameter.requires_grad:
                parameter.grad = None  # frozen, by a callback
        # Schedulers hook into `step`; where nobody listens it is left out, with the
        # profiler range that torch opens around it.
        take_step = self.optimizer_.step if self.callbacks_ else self.optimizer_.plan_steps()
        total = torch.zeros(())
        n_outputs = self.module_.n_members * self.module_.n_outputs
        for block in self._train.blocks(batch_size, self._orders(), numbers_per_row=n_outputs):
            X, y, sample_weight = block
            raw = backprop.new_outputs(X)
            for batch, outputs in zip(
                cut(block, batch_size), raw.split(batch_size, 1), strict=True
            ):
                backprop(*batch, outputs)
                take_step()
            # Of all batches at once: as many calls as for one.
            total = total + sum_of_losses(self.criterion_, raw, y, sample_weight)
        return total / len(self._train)

    def _autograd_epoch(self) -> Tensor:
        losses, n_rows = [], []
        for batch in self._train.batches(self.batch_size, self._orders(), for_each=True):
            losses.append(self._autograd_step(*batch))
            n_rows.append(batch[0].shape[-2])
        shares = losses[0].new_tensor(n_rows) / len(self._train)
        return shares @ torch.stack(losses)

    def _orders(self) -> list[np.ndarray] | None:
        """The order of each stream's rows in the next epoch; None for as they are."""
        n_samples = len(self._train)
        if not self.shuffles(n_samples):
            return None
        members = [self._train.stream_of.index(s) for s in range(len(self._train.streams))]
        return [self.shufflers[member].next_order(n_samples) for member in members]

    def shuffles(self, n_samples: int) -> bool:
        """Whether the rows come in random order."""
        # In one full batch the order changes nothing but the rounding.
        return self.shuffle and self.batch_size < n_samples

    def _autograd_step(self, X: Tensor, y: Tensor, sample_weight: Tensor | None) -> Tensor:
        if self._per_batch:
            batch, penalty = (X, self.target_as_given(y)), self.penalty_values().sum().item()
            self.notify("on_batch_begin", batch=batch, training=True)
            # Who scored the batch before has left the module in evaluation mode.
            self.module_.train()
        self.optimizer_.zero_grad(set_to_none=True)
        raw = self.module_(X, self._generators or None)
        per_sample = self.criterion_.value(raw, y)
        if sample_weight is not None:
            per_sample = per_sample * sample_weight
        losses = per_sample.mean(1)
        if losses.requires_grad:  # unless a callback has frozen all there is
            losses.sum().backward()
        if self._per_batch:
            named = list(self.get_all_learnable_params())
            self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
        self.optimizer_.step()
        if self._per_batch:
            self._tell_of_batch("train", batch, raw, losses.detach().sum() + penalty)
        return losses.detach()

    @torch.no_grad()
    def _show_valid_batches(self, valid: TensorData) -> None:
        self.module_.eval()
        penalty = self.penalty_values().sum()
        for X, y, sample_weight in valid.batches(self.batch_size):
            batch = (X, self.target_as_given(y))
            self.notify("on_batch_begin", batch=batch, training=False)
            raw = self.module_(X)
            losses = sum_of_losses(self.criterion_, raw, y, sample_weight) / len(X)
            self._tell_of_batch("valid", batch, raw, losses.sum() + penalty)

    def _tell_of_batch(self, kind: str, batch: Any, raw: Tensor, loss: Tensor) -> None:
        self.history.record_batch(f"{kind}_loss", loss.item())
        self.history.record_batch(f"{kind}_batch_size", len(batch[0]))
        self.notify(
            "on_batch_end",
            batch=batch,
            y_pred=self.criterion_.predict(raw.detach()[0]),
            training=kind == "train",
            loss=loss,
        )

    def _evaluate(self, with_gradients: bool) -> tuple[Tensor, list[Tensor]]:
        backprop = self._backprop
        assert backprop is not None
        if not with_gradients:
            return mean_losses(backprop, self._train, self.batch_size), []
        return mean_losses_and_gradients(backprop, self._train, self.batch_size)

    def _full_batch_step(self) -> Tensor:
        return self.optimizer_.step(self._evaluate)

    def solved(self) -> np.ndarray:
        """Whether the optimality residual of each member is within its tolerance."""
        tol = next(self.module_.parameters()).new_tensor(self.progress.tol)
        return (self.optimizer_.residual(self._evaluate, tol) <= tol).cpu().numpy()

    def copy_state(self) -> dict[str, Tensor]:
        """Return copies of the weights and of whatever else the module holds, by name."""
        return {name: t.detach().clone() for name, t in self.module_.state_dict().items()}

    def _keep_best(self, state: dict[str, Tensor], improved: np.ndarray) -> None:
        if improved.all():
            self._best_state = state
        elif improved.any():
            members = torch.from_numpy(improved).to(self.device)
            for name, best in self._best_state.items():
                best[members] = state[name][members]
