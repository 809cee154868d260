"""The training loop over a stack of networks: epochs, best weights, patience and rescue.

Batches are slices of tensors that are on the device before the first epoch, and the device
is asked for numbers once an epoch: data loss, penalty and finiteness of every member.

What is public here is a method of :class:`~skreg.training.net.RegularizedNet`.
:func:`train_on` is the loop of one network. :mod:`skreg.training.stack` drives the same epochs
for many, and lets members leave that are done.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skreg.training.data import TensorData
from skreg.training.epochs import show_valid_batches
from skreg.training.progress import MAX_RESCUES
from skreg.training.runtime import warn_caller
from skreg.training.skorch_net import check_callbacks, listens_to_batches

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


def train_on(
    net: Any, train: TensorData, valid: TensorData | None = None, *, epochs: int | None = None
) -> Any:
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
    epochs = net.max_epochs if epochs is None else epochs
    net.begin(train, valid)
    if net.keeper is not None:
        net.keeper.restore(net)
    shown = net.shown_to_callbacks(train, valid) if net.callbacks_ else {}
    try:
        while net.n_epochs_ < epochs and not net.done_.all():
            if net.callbacks_:
                net.notify("on_epoch_begin", **shown)
            blew_up, rose = net.run_epoch()
            if blew_up.any():
                _rescue(net, _NOT_FINITE, len(net.data_losses_) + 1)
                if net.callbacks_:
                    net.history.pop()
                continue
            net.record()
            if rose.any():
                _rescue(net, _ONLY_ROSE, len(net.data_losses_))
            if net.callbacks_:
                _notify_epoch_end(net, shown)
            if net.on_epoch is not None and net.on_epoch():
                net.converged_[:] = True
            if net.keeper is not None:
                net.keeper.keep(net)
        if net.keeper is not None:
            net.keeper.keep(net, last=True)
    except KeyboardInterrupt:
        net.interrupted_ = True
        net.end()
        raise
    net.end()
    return net


def begin(
    net: Any, train: TensorData, valid: TensorData | None, *, keep_best: bool = True
) -> None:
    """Make ready for `run_epoch` on these rows.

    Without `keep_best` the best weights are kept only where validation scores them:
    nobody goes back to them after an interrupt or a divergence.
    """
    net._train, net._valid = train.to(net.device), valid and valid.to(net.device)
    net.validates_ = valid is not None and net.scorer is not None
    net._keeps_best = keep_best or net.validates_
    start, net._start = net._start, {}
    net._best_state = (start or net.copy_state()) if net._keeps_best else {}
    net.n_epochs_ = 0
    net.converged_ = np.zeros(net.module_.n_members, dtype=bool)
    net.interrupted_ = False
    net._first_epoch = len(net.data_losses_)
    for shuffler in net.shufflers:
        shuffler.restart()
    net._per_batch = listens_to_batches(net.callbacks_)
    if net.callbacks_:
        check_callbacks(net)
        net.notify("on_train_begin", X=train.X, y=train.y)
    net.prepare_steps()


def run_epoch(net: Any) -> tuple[np.ndarray, np.ndarray]:
    """Train for an epoch and record it.

    Returns
    -------
    blew_up, rose : ndarray of bool of shape (n_members,)
        Which members have a loss or weights that are not finite any more, and which ran
        out of patience with a loss far above the one they began with. If all blew up,
        nothing is recorded.
    """
    start: dict[str, Tensor] = {}
    if net._keeps_best and not net.validates_:
        # The weights that training began with are kept as the best so far.
        start = net.copy_state() if net.n_epochs_ else net._best_state
    penalty = net.penalty_values()
    net.module_.train()
    data_loss = net.steps()
    weights = net.sums_of_weights()
    # The one read of the device in an epoch.
    numbers = torch.stack([data_loss, penalty, weights])
    data_loss, penalty, weights = numbers.double().cpu().numpy()
    blew_up = _blew_up(net, data_loss + penalty, weights)
    if blew_up.all():
        return blew_up, ~blew_up
    net.data_losses_.append(data_loss)
    net.penalties_.append(penalty)
    net.n_epochs_ += 1

    # The loss was measured on the way from the weights the epoch began with, the score
    # after it: that is what the best weights are then.
    merits, state = -(data_loss + penalty), start
    if net.validates_:
        if net._per_batch:
            show_valid_batches(net, net._valid)
        scores = np.asarray(net.scorer(net.raw_outputs(net._valid)), dtype=float)
        merits, state = scores, net.copy_state()
        net.scores_.append(scores)
    net.improved_ = net.progress.update(merits, len(net._train))
    if net._keeps_best:
        _keep_best(net, state, net.improved_)
    net.converged_ |= ~net.progress.running
    if net.optimizer_.full_batch:
        net.converged_ |= net.steps.solved()
    net.set_learning_rates()
    # Out of patience with a loss that only rises is not converged.
    rose = ~net.progress.running & (data_loss + penalty > _RISEN * _at_the_beginning(net))
    net.progress.running |= rose
    net.converged_ &= ~rose
    return blew_up, rose


def end(net: Any) -> None:
    """Put back the best weights where they are wanted, and let go of the rows."""
    if net.interrupted_ or net._valid is not None:
        net.module_.load_state_dict(net._best_state)
    train = net._train
    net._best_state = {}
    net.let_go()
    del net._train, net._valid
    net.module_.eval()
    if net.callbacks_:
        net.notify("on_train_end", X=train.X, y=train.y)


def let_go(net: Any) -> None:
    """Free what only training needs."""
    net.steps = None
    for parameter in net.module_.parameters():
        parameter.grad = None
    net.optimizer_.free_scratch()


def _blew_up(net: Any, objective: np.ndarray, weights: np.ndarray) -> np.ndarray:
    blew_up = ~np.isfinite(objective + weights)
    if len(net.data_losses_) > net._first_epoch:
        blew_up |= objective > _EXPLODED * _at_the_beginning(net)
    return blew_up


def _at_the_beginning(net: Any) -> np.ndarray:
    """The objective that training began with, by which to tell that it has diverged."""
    # Of the untrained network and of this call the larger: a call that goes on from an
    # optimum may begin close to zero.
    first, begin = (
        net.data_losses_[epoch] + net.penalties_[epoch] for epoch in (0, net._first_epoch)
    )
    return np.maximum(first, begin)


def _notify_epoch_end(net: Any, shown: dict[str, Any]) -> None:
    # skorch's EarlyStopping stops by raising KeyboardInterrupt: not the user's doing.
    try:
        net.notify("on_epoch_end", **shown)
    except KeyboardInterrupt:
        net.converged_[:] = True


def _rescue(net: Any, reason: str, epoch: int) -> None:
    """Go back to the best weights and on at a lower rate, unless that was tried enough."""
    rate = net.progress.learning_rates.max()
    net.module_.load_state_dict(net._best_state)
    line_search = net.optimizer_.line_search
    if line_search or net.progress.rescues >= MAX_RESCUES:
        cure = "" if line_search else f"lower learning_rate_init (now {rate:.3g}), "
        raise ValueError(
            f"Training diverged in epoch {epoch}: {reason}. To cure it, {cure}scale the "
            f"columns of X (StandardScaler) and y (TransformedTargetRegressor), look for "
            f"extreme values in them, or use another loss."
        )
    net.optimizer_.state.clear()
    net.progress.rescue()
    net.set_learning_rates()
    warn_caller(
        f"Training diverged in epoch {epoch} at the learning rate {rate:.3g} ({reason}), "
        f"and goes on from the best weights so far at "
        f"{net.progress.learning_rates.max():.3g}. Lower learning_rate_init or scale the "
        f"data.",
        ConvergenceWarning,
    )


def _keep_best(net: Any, state: dict[str, Tensor], improved: np.ndarray) -> None:
    if improved.all():
        net._best_state = state
    elif improved.any():
        members = torch.from_numpy(improved).to(net.device)
        for name, best in net._best_state.items():
            best[members] = state[name][members]
