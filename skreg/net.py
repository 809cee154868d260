"""The training loop: a skorch net over a stack of networks and tensors already in place.

skorch gives the callbacks, the history and the saving of parameters. Its own loop cuts
batches with a DataLoader and reads the loss back after each, which on a small network costs
several times the arithmetic. Here batches are slices of tensors that are on the device
before the first epoch, and the device is asked for numbers once an epoch: data loss and
penalty of every member.

Epoch-level callbacks work as in skorch. A callback that listens to batches switches the
per-batch notifications on, and pays for them.

This is the only module that imports skorch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor, nn

from skreg._data import TensorData
from skreg._fista import FISTA
from skreg._progress import MAX_RESCUES, Progress
from skreg._validation import warn_caller
from skreg.losses import Loss
from skreg.modules import MLP, Backprop, Forward, penalized_parameters
from skreg.optim import optimality_residual
from skreg.penalties import Penalty

__all__ = ["RegularizedNet"]

# Rows per forward pass where there is nothing to learn from them: bounds the memory of the
# hidden layers, and is past the size at which larger products get faster.
_FORWARD_ROWS = 8192
_FORWARD_NUMBERS = 2**24

# A loss this many times the one training began with will not come back; one this many times
# as large when patience ends was no progress.
_EXPLODED, _RISEN = 1e6, 2.0

_BATCH_EVENTS = ("on_batch_begin", "on_batch_end", "on_grad_computed")


class RegularizedNet(NeuralNet):
    """A stack of networks, its loss, penalty and optimizer, and the loop that trains them.

    Parameters
    ----------
    module : MLP
        Initialized; trained in place.
    criterion : Loss
    optimizer : callable
        Takes parameter groups and returns an optimizer: ``FISTA``, or one that takes `lr`.
    penalty : Penalty or None
    penalize_bias : bool
    progress : Progress
    random_states : sequence of RandomState, one per member
        Source of the order of the rows.
    max_fun : int
        Evaluations of the loss allowed to ``FISTA``.

    Attributes
    ----------
    scorer : callable or None
        Takes raw outputs on the validation rows, shape (n_members, n_samples, n_outputs),
        and returns one score per member, shape (n_members,). Larger is better.
    module_, optimizer_, criterion_, history, callbacks_
        As in any skorch net.
    data_losses_, penalties_ : list of ndarray of shape (n_members,)
        One entry an epoch. The data loss is the mean over the epoch's batches, each before
        its own step; the penalty is that of the weights the epoch began with.
    scores_ : list of ndarray of shape (n_members,)
        Validation scores, if there is validation data.
    n_epochs_ : ndarray of shape (n_members,)
        Epochs each member was trained for in the last call.
    converged_ : ndarray of bool of shape (n_members,)
    interrupted_ : bool
        Whether KeyboardInterrupt ended the last call.
    """

    def __init__(
        self,
        module: MLP,
        criterion: Loss,
        optimizer: Callable[..., torch.optim.Optimizer],
        *,
        penalty: Penalty | None,
        penalize_bias: bool,
        progress: Progress,
        random_states: Sequence[np.random.RandomState],
        batch_size: int,
        shuffle: bool,
        max_epochs: int,
        max_fun: int,
        callbacks: list | None,
        verbose: int,
        device: str,
    ) -> None:
        super().__init__(
            module,
            criterion,
            optimizer,
            max_epochs=max_epochs,
            batch_size=batch_size,
            train_split=None,
            callbacks=callbacks,
            predict_nonlinearity=criterion.predict,
            verbose=verbose,
            device=device,
        )
        self.penalty = penalty
        self.penalize_bias = penalize_bias
        self.progress = progress
        self.random_states = random_states
        self.shuffle = shuffle
        self.max_fun = max_fun
        self.scorer: Callable[[Tensor], np.ndarray] | None = None

    device: str

    # ------------------------------------------------------------------ skorch's building

    def get_default_callbacks(self) -> list:
        # skorch's own print, time and average batch by batch: what is wanted of that is
        # recorded here once an epoch.
        return []

    def initialize_criterion(self) -> RegularizedNet:
        self.criterion_ = self.criterion
        return self

    def initialize_optimizer(self, *args: Any) -> RegularizedNet:
        """Put the penalty on the weights, and nothing on the rest."""
        penalized = self.penalized_weights()
        chosen = {id(parameter) for parameter in penalized}
        rest = [p for p in self.module_.parameters() if id(p) not in chosen]
        groups = [{"params": penalized, "penalty": self.penalty}]
        if rest:
            groups.append({"params": rest, "penalty": None})
        self.optimizer_ = self.optimizer(groups)
        self._rates = np.empty(0)
        self._set_learning_rates()
        return self

    def initialize(self) -> RegularizedNet:
        super().initialize()
        self.data_losses_: list[np.ndarray] = []
        self.penalties_: list[np.ndarray] = []
        self.scores_: list[np.ndarray] = []
        self._backprop: Backprop | None = None
        self._generators = [
            torch.Generator(self.device).manual_seed(int(rng.randint(2**31 - 1)))
            for rng in (self.random_states if self.module_.dropout else ())
        ]
        return self

    def infer(self, x: Tensor, **fit_params: Any) -> Tensor:
        """Raw outputs of the first member, for skorch's own `predict` and scoring."""
        return self.module_(x)[0]

    def penalized_weights(self) -> list[Tensor]:
        """Return the parameters the penalty is put on."""
        named = penalized_parameters(self.module_, penalize_bias=self.penalize_bias)
        return [parameter for _, parameter in named]

    def set_penalty(self, penalty: Penalty | None) -> None:
        """Change the penalty between two calls of `train_on`; the optimizer goes on."""
        self.penalty = penalty
        self.optimizer_.param_groups[0]["penalty"] = penalty

    def move_to(self, device: str) -> None:
        """Go on with module and optimizer on another device."""
        if torch.device(device) != torch.device(self.device):
            _move(self.module_, self.optimizer_, device)
            self.device = device
            states = [generator.get_state() for generator in self._generators]
            self._generators = _restore_generators(states, device)

    def continue_curves(self, previous: RegularizedNet) -> None:
        """Take over the curves of a net that trained the same module before."""
        self.data_losses_ = list(previous.data_losses_)
        self.penalties_ = list(previous.penalties_)
        self.scores_ = list(previous.scores_)
        self.progress.samples_seen = previous.progress.samples_seen

    # ------------------------------------------------------------------ the loop

    def train_on(
        self, train: TensorData, valid: TensorData | None = None, *, epochs: int | None = None
    ) -> RegularizedNet:
        """Train every member, until all are done or `epochs` (default `max_epochs`) are over.

        With `valid` the weights of the best validation score are put back at the end. A
        KeyboardInterrupt puts back the best weights there are and sets `interrupted_`.

        Where loss or weights are no longer finite, training goes back to the best weights
        and on at a fifth of the rate, with a warning.

        Raises
        ------
        ValueError
            If it diverges all the same.
        """
        self._best_state = self._copy_state()
        self.n_epochs_ = np.zeros(self.module_.n_members, dtype=int)
        self.converged_ = np.zeros(self.module_.n_members, dtype=bool)
        self.interrupted_ = False
        self._first_epoch = len(self.data_losses_)
        self._shuffled: np.ndarray | None = None
        self._per_batch = any(map(_listens_to_batches, self.callbacks_))
        self.notify("on_train_begin", X=train.X, y=train.y)
        train_epoch = self._choose_epoch()
        epochs = self.max_epochs if epochs is None else epochs
        try:
            while self.n_epochs_.max() < epochs and not self._is_done():
                self.notify("on_epoch_begin", dataset_train=train, dataset_valid=valid)
                if self._run_epoch(train_epoch, train, valid):
                    self._notify_epoch_end(train, valid)
                else:
                    self._rescue("its loss or its weights are not finite, or soon will be")
                    self.history.pop()
        except KeyboardInterrupt:
            self.interrupted_ = True
        if self.interrupted_ or valid is not None:
            self.module_.load_state_dict(self._best_state)
        self._best_state = {}
        self._backprop = None
        self.optimizer_.zero_grad(set_to_none=True)
        self.module_.eval()
        self.notify("on_train_end", X=train.X, y=train.y)
        return self

    def _run_epoch(
        self,
        train_epoch: Callable[[TensorData], Tensor],
        train: TensorData,
        valid: TensorData | None,
    ) -> bool:
        """Train for an epoch and record it; False if the loss or the weights blew up."""
        start = self._copy_state()
        penalty = self.penalty_values()
        self.module_.train()
        data_loss = train_epoch(train)
        # Finite if and only if every weight is (or as good as: the sum may overflow first).
        weights = torch.stack([p.detach().sum() for p in self.module_.parameters()]).sum()
        # The one read of the device in an epoch.
        numbers = torch.stack([data_loss, penalty, weights.expand_as(penalty)])
        data_loss, penalty, weights = numbers.double().cpu().numpy()
        if self._blew_up(data_loss + penalty, weights):
            return False
        self.data_losses_.append(data_loss)
        self.penalties_.append(penalty)
        self.n_epochs_ += ~self.converged_

        # The loss was measured on the way from the weights the epoch began with, the score
        # after it: that is what the best weights are then.
        merits, state, scores = -(data_loss + penalty), start, None
        if valid is not None and self.scorer is not None:
            scores = np.asarray(self.scorer(self.raw_outputs(valid)), dtype=float)
            merits, state = scores, self._copy_state()
            self.scores_.append(scores)
        improved = self.progress.update(merits, len(train))
        self._keep_best(state, improved)
        self.converged_ |= ~self.progress.running
        if isinstance(self.optimizer_, FISTA):
            self.converged_ |= self._fista_converged(train)
        self._set_learning_rates()
        self._record(data_loss, penalty, scores)
        risen = ~self.progress.running & (data_loss + penalty > _RISEN * self._begin())
        if risen.any():
            # Out of patience with a loss that only rises is not converged.
            self.progress.running |= risen
            self.converged_ &= ~risen
            self._rescue(f"its loss is {_RISEN:.0f} times what it began with")
        return True

    def _blew_up(self, objective: np.ndarray, weights: np.ndarray) -> bool:
        if not np.isfinite(objective + weights).all():
            return True
        if len(self.data_losses_) <= self._first_epoch:
            return False
        return bool((objective > _EXPLODED * self._begin()).any())

    def _begin(self) -> np.ndarray:
        """The objective that training began with, by which to tell that it has diverged."""
        # Of the untrained network and of this call the larger: a call that goes on from an
        # optimum may begin close to zero.
        first, begin = (
            self.data_losses_[epoch] + self.penalties_[epoch]
            for epoch in (0, self._first_epoch)
        )
        return np.maximum(first, begin)

    def _is_done(self) -> bool:
        evaluations = getattr(self.optimizer_, "n_evaluations", 0)
        return bool(self.converged_.all()) or evaluations >= self.max_fun

    def _notify_epoch_end(self, train: TensorData, valid: TensorData | None) -> None:
        # skorch's EarlyStopping stops by raising KeyboardInterrupt: not the user's doing.
        try:
            self.notify("on_epoch_end", dataset_train=train, dataset_valid=valid)
        except KeyboardInterrupt:
            self.converged_[:] = True

    def _rescue(self, reason: str) -> None:
        """Go back to the best weights and on at a lower rate, unless that was tried enough."""
        rate = self.progress.learning_rates.max()
        epoch = len(self.history)
        self.module_.load_state_dict(self._best_state)
        line_search = isinstance(self.optimizer_, FISTA)
        if line_search or self.progress.rescues >= MAX_RESCUES:
            cure = "" if line_search else f"lower learning_rate_init (now {rate:.3g}), "
            raise ValueError(
                f"Training diverged in epoch {epoch}: {reason}. To cure it, {cure}scale the "
                f"columns of X (StandardScaler) and y (TransformedTargetRegressor), look for "
                f"extreme values in them, or use another loss."
            )
        self.optimizer_.state.clear()
        self.progress.rescue()
        self._set_learning_rates()
        warn_caller(
            f"Training diverged in epoch {epoch} at the learning rate {rate:.3g} ({reason}), "
            f"and goes on from the best weights so far at "
            f"{self.progress.learning_rates.max():.3g}. Lower learning_rate_init or scale the "
            f"data.",
            ConvergenceWarning,
        )

    def _choose_epoch(self) -> Callable[[TensorData], Tensor]:
        """How an epoch is trained: a whole-batch step, or batches by hand or by autograd.

        By hand wherever that is possible. Dropout and callbacks that want to see each batch
        take autograd's way.
        """
        if isinstance(self.optimizer_, FISTA):
            self._backprop = Backprop(self.module_, self.criterion_)
            return self._fista_step
        if self._per_batch or self.module_.dropout:
            return partial(self._run_batches, self._autograd_step)
        backprop = self._backprop = Backprop(self.module_, self.criterion_)
        # Schedulers hook into `step`; where nobody listens it is left out, with the profiler
        # range that torch opens around it.
        take_step = self.optimizer_.step if self.callbacks_ else self.optimizer_.take_step

        def step(X: Tensor, y: Tensor, sample_weight: Tensor | None) -> Tensor:
            losses = backprop(X, y, sample_weight)
            take_step()
            return losses

        return partial(self._run_batches, step)

    def _run_batches(self, step: Callable[..., Tensor], train: TensorData) -> Tensor:
        """Take one step per batch; return the mean data loss of each member."""
        losses, n_rows = [], []
        for batch in train.batches(self.batch_size, self._order(len(train))):
            losses.append(step(*batch))
            n_rows.append(len(batch[0]))
        shares = losses[0].new_tensor(n_rows) / len(train)
        return shares @ torch.stack(losses)

    def _autograd_step(self, X: Tensor, y: Tensor, sample_weight: Tensor | None) -> Tensor:
        if self._per_batch:
            self.notify("on_batch_begin", batch=(X, y), training=True)
        self.optimizer_.zero_grad(set_to_none=True)
        losses = self.data_loss(X, y, sample_weight)
        losses.sum().backward()
        if self._per_batch:
            named = list(self.module_.named_parameters())
            self.notify("on_grad_computed", named_parameters=named, batch=(X, y), training=True)
        self.optimizer_.step()
        if self._per_batch:
            self.history.record_batch("train_loss", losses.sum().item())
            self.history.record_batch("train_batch_size", len(X))
            self.notify("on_batch_end", batch=(X, y), training=True, loss=losses.sum())
        return losses.detach()

    def data_loss(self, X: Tensor, y: Tensor, sample_weight: Tensor | None) -> Tensor:
        """Return the weighted mean loss over these rows, shape (n_members,)."""
        per_sample = self.criterion_.value(self.module_(X, self._generators or None), y)
        if sample_weight is not None:
            per_sample = per_sample * sample_weight
        return per_sample.mean(1)

    def penalty_values(self) -> Tensor:
        """Return the penalty of each member at the current weights, shape (n_members,)."""
        weights = self.penalized_weights()
        if self.penalty is None:
            return weights[0].new_zeros(self.module_.n_members)
        with torch.no_grad():
            return self.penalty.value(weights)

    def _order(self, n_samples: int) -> np.ndarray | None:
        """The order of the rows in the next epoch; None for as they are."""
        # In one full batch the order changes nothing but the rounding.
        if not self.shuffle or self.batch_size >= n_samples:
            return None
        order = np.arange(n_samples)
        self.random_states[0].shuffle(order)
        # Shuffled rows are shuffled again, as scikit-learn does: the same seed gives
        # MLPRegressor's batches.
        self._shuffled = order if self._shuffled is None else self._shuffled[order]
        return self._shuffled

    # ------------------------------------------------------------------ full batch

    def evaluate(
        self, data: TensorData, *, with_gradients: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the mean data loss of each member over all rows, and its gradients.

        Batch by batch, so that the memory is that of one batch. The gradients stand in the
        order of the optimizer's parameters.
        """
        parameters = [p for group in self.optimizer_.param_groups for p in group["params"]]
        gradients = [torch.zeros_like(p) for p in parameters] if with_gradients else []
        total = torch.zeros((), device=self.device)
        backprop = self._backprop or Backprop(self.module_, self.criterion_)
        # Sparse rows are made dense no more at a time than in training.
        at_once = _FORWARD_ROWS if isinstance(data.X, Tensor) else self.batch_size
        for batch in data.batches(min(at_once, _rows_at_once(data))):
            share = len(batch[0]) / len(data)
            if with_gradients:
                losses = backprop(*batch)
                torch._foreach_add_(gradients, [p.grad for p in parameters], alpha=share)
            else:
                with torch.no_grad():
                    losses = self.data_loss(*batch)
            total = total + share * losses
        self.optimizer_.zero_grad(set_to_none=True)
        return total, gradients

    def _fista_step(self, train: TensorData) -> Tensor:
        return self.optimizer_.step(lambda flag: self.evaluate(train, with_gradients=flag))

    def _fista_converged(self, train: TensorData) -> np.ndarray:
        residual = self.optimizer_.residual(
            lambda flag: self.evaluate(train, with_gradients=flag), self.progress.tol
        )
        return (residual <= self.progress.tol).cpu().numpy()

    def optimality_residual(self, data: TensorData) -> np.ndarray:
        """Return each member's optimality residual over `data`, shape (n_members,)."""
        self.module_.eval()
        _, gradients = self.evaluate(data, with_gradients=True)
        groups = self.optimizer_.param_groups
        parameters = [p for group in groups for p in group["params"]]
        penalties = [group["penalty"] for group in groups for _ in group["params"]]
        with torch.no_grad():
            return optimality_residual(parameters, gradients, penalties).cpu().numpy()

    # ------------------------------------------------------------------ bookkeeping

    def raw_outputs(self, data: TensorData) -> Tensor:
        """Return raw outputs in evaluation mode, shape (n_members, n_samples, n_outputs)."""
        with torch.inference_mode():
            forward, at_once = Forward(self.module_), _rows_at_once(data)
            outputs = [forward(X.to(self.device)) for X, _, _ in data.batches(at_once)]
            return outputs[0] if len(outputs) == 1 else torch.cat(outputs, 1)

    def _set_learning_rates(self) -> None:
        # "constant" is left alone after the start: a skorch LRScheduler may be at work.
        rates = self.progress.learning_rates
        if np.array_equal(rates, self._rates) or isinstance(self.optimizer_, FISTA):
            return
        self._rates = rates
        shared = float(rates[0]) if (rates == rates[0]).all() else None
        for group in self.optimizer_.param_groups:
            parameter = group["params"][0]
            group["lr"] = parameter.new_tensor(rates) if shared is None else shared

    def _copy_state(self) -> dict[str, Tensor]:
        return {name: t.detach().clone() for name, t in self.module_.state_dict().items()}

    def _keep_best(self, state: dict[str, Tensor], improved: np.ndarray) -> None:
        if improved.all():
            self._best_state = state
        elif improved.any():
            members = torch.from_numpy(improved).to(self.device)
            for name, best in self._best_state.items():
                best[members] = state[name][members]

    def _record(
        self, data_loss: np.ndarray, penalty: np.ndarray, scores: np.ndarray | None
    ) -> None:
        entries = {
            "data_loss": data_loss,
            "penalty": penalty,
            "train_loss": data_loss + penalty,
        }
        if scores is not None:
            entries["valid_score"] = scores
        for name, values in entries.items():
            self.history.record(name, values.item() if len(values) == 1 else values.tolist())
        if self.verbose:
            shown = ", ".join(f"{k} = {np.mean(v):.6f}" for k, v in entries.items())
            print(f"Epoch {len(self.history)}: {shown}")

    # ------------------------------------------------------------------ pickling

    def __getstate__(self) -> dict[str, Any]:
        """Everything as it is, tensors on the CPU: a pickle made on CUDA loads anywhere."""
        state = self.__dict__.copy()
        state["_backprop"] = None
        state["_generators"] = [generator.get_state() for generator in self._generators]
        if torch.device(self.device).type != "cpu":
            # Together, so that the optimizer goes on pointing at the module's parameters and
            # a scheduler among the callbacks at the optimizer.
            together = ("module_", "optimizer_", "callbacks_")
            parts = copy.deepcopy({name: state[name] for name in together})
            state.update(parts)
            _move(state["module_"], state["optimizer_"], "cpu")
            state["module"] = state["module_"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if torch.device(self.device).type == "cuda" and not torch.cuda.is_available():
            self.device = "cpu"
        if torch.device(self.device).type != "cpu":
            _move(self.module_, self.optimizer_, self.device)
        self._generators = _restore_generators(state["_generators"], self.device)


def _restore_generators(states: list[Tensor], device: str) -> list[torch.Generator]:
    generators = []
    for saved in states:
        generator = torch.Generator(device)
        if saved.shape == generator.get_state().shape:
            generator.set_state(saved)
        else:
            # The states of two kinds of device do not fit each other. Dropout goes on with
            # other masks, the same ones each time.
            generator.manual_seed(int(saved.sum()))
        generators.append(generator)
    return generators


def _move(module: nn.Module, optimizer: torch.optim.Optimizer, device: str) -> None:
    module.to(device)
    for state in optimizer.state.values():
        for key, value in state.items():
            # Adam's step count stays on the host, where reading it waits for nothing.
            if isinstance(value, Tensor) and key != "step":
                state[key] = value.to(device)


def _listens_to_batches(named_callback: tuple[str, Callback]) -> bool:
    kind = type(named_callback[1])
    return any(getattr(kind, event) is not getattr(Callback, event) for event in _BATCH_EVENTS)


def _rows_at_once(data: TensorData) -> int:
    return max(1, min(_FORWARD_ROWS, _FORWARD_NUMBERS // max(1, data.X.shape[1])))
