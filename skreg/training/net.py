"""The skorch net: a stack of networks, their loss, penalty and optimizer, and who listens.

skorch gives the callbacks, the history and the saving of parameters
(:mod:`skreg.training.skorch_net`). Its loop cuts batches with a DataLoader and reads the loss
back after each, which on a small network costs several times the arithmetic, so there is
another one (:mod:`skreg.training.loop`).

Epoch-level callbacks work as in skorch. A callback that listens to batches switches the
per-batch notifications on, and pays for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from skreg.losses import Loss
from skreg.modules import MLP, penalized_parameters
from skreg.modules.backprop import Backprop
from skreg.optim import optimality_residual
from skreg.penalties import Penalty
from skreg.penalties.base import Columns, Layout
from skreg.training.data import Shuffler, TensorData
from skreg.training.epochs import ByAutograd, ByHand, FullBatch
from skreg.training.loop import Keeper, begin, end, let_go, run_epoch, train_on
from skreg.training.passes import mean_losses_and_gradients, raw_outputs
from skreg.training.pickling import get_state, set_state
from skreg.training.progress import Progress
from skreg.training.skorch_net import SkorchNet, reads_batches
from skreg.training.state import CURVES, move, restore_generators


class RegularizedNet(SkorchNet):
    """A stack of networks, trained by the loop of :mod:`skreg.training.loop`.

    Parameters
    ----------
    module : MLP
        Initialized; trained in place.
    criterion : Loss
    optimizer : callable
        An optimizer of :mod:`skreg.optim`, or a ``partial`` of one with its settings.
    penalty : Penalty or None
    penalize_bias : bool
    progress : Progress
    shufflers : sequence of Shuffler, one per member
        Source of the order of the rows. Members that read the same stream of the data share
        theirs.
    max_fun : int
        Evaluations of the loss allowed to an optimizer that steps on all rows at once.
    columns : Columns, default=None
        Those that the inputs are.
    initial : tuple of ndarray, default=None
        Flat weights and biases of the initial fit that an adaptive penalty adapts to.

    Attributes
    ----------
    scorer : callable or None
        Takes raw outputs on the validation rows, shape (n_members, n_samples, n_outputs),
        and returns one score per member, shape (n_members,). Larger is better.
    on_epoch : callable or None
        Called after every epoch of `train_on`; ends the training by returning True.
    decoder : Decoder or None
        What the estimator makes of raw outputs, for callbacks that score during training.
    keeper : Keeper or None
        Shown the net after every epoch of `train_on`, to save where it stands.
    module_, optimizer_, criterion_, history, callbacks_
        As in any skorch net.
    data_losses_, penalties_ : list of ndarray of shape (n_members,)
        One entry an epoch. The data loss is the mean over the epoch's batches, each before
        its step; the penalty is that of the weights the epoch began with.
    scores_ : list of ndarray of shape (n_members,)
        Validation scores, if there is validation data.
    epochs_before_, scores_before_ : int
        How many entries of the curves are those of nets that trained the module before.
    n_epochs_ : int
        Epochs in the last call.
    converged_ : ndarray of bool of shape (n_members,)
    improved_ : ndarray of bool of shape (n_members,)
        Which members were better than ever in the last epoch.
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
        shufflers: Sequence[Shuffler],
        batch_size: int,
        shuffle: bool,
        max_epochs: int,
        max_fun: int,
        callbacks: list | None,
        verbose: int,
        device: str,
        columns: Columns | None = None,
        initial: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        super().__init__(
            module,
            criterion,
            optimizer,
            lr=float(progress.learning_rate_init[0]),
            max_epochs=max_epochs,
            batch_size=batch_size,
            callbacks=callbacks,
            verbose=verbose,
            device=device,
        )
        self.penalty: Any = penalty
        self.penalize_bias = penalize_bias
        self.progress = progress
        self.shufflers = shufflers
        self.shuffle = shuffle
        self.max_fun = max_fun
        self.columns = columns
        self.initial = initial
        self.scorer: Callable[[Tensor], np.ndarray] | None = None
        self.on_epoch: Callable[[], bool] | None = None
        self.keeper: Keeper | None = None

    device: str
    #: How an epoch is trained, while training lasts.
    steps: Any = None
    #: Copies of what training begins with, where they have been made before it.
    _start: dict[str, Tensor] = {}

    train_on, begin, run_epoch, end, let_go = train_on, begin, run_epoch, end, let_go

    def initialize_optimizer(self, *args: Any) -> RegularizedNet:
        """Put the penalty on the weights, and nothing on the rest."""
        penalized = self.penalized_weights()
        chosen = {id(parameter) for parameter in penalized}
        rest = [p for p in self.module_.parameters() if id(p) not in chosen]
        groups: list[dict[str, Any]] = [
            {"params": [parameter], "penalty": self._penalty_on(parameter)}
            for parameter in penalized
        ]
        if rest:
            groups.append({"params": rest, "penalty": None})
        self.optimizer_ = self.optimizer(groups)
        self._rates = np.empty(0)
        self.set_learning_rates()
        return self

    def initialize(self) -> Self:
        super().initialize()
        self.data_losses_: list[np.ndarray] = []
        self.penalties_: list[np.ndarray] = []
        self.scores_: list[np.ndarray] = []
        self.epochs_before_ = self.scores_before_ = 0
        self._best_state: dict[str, Tensor] = {}
        shufflers = self.shufflers if self._may_draw() else ()
        seeds = [int(each.random_state.randint(2**31 - 1)) for each in shufflers]
        self._generators = [torch.Generator(self.device).manual_seed(seed) for seed in seeds]
        return self

    def _may_draw(self) -> bool:
        """Whether the module may draw at random in training."""
        return self.module_.dropout > 0

    def on_module(self, module: Any, **changes: Any) -> Self:
        """Return an initialized net of another module: the same settings but for `changes`.

        Nobody listens to it: it has no callbacks.
        """
        settings = {**self.settings(), "callbacks": None, "verbose": 0, **changes}
        return type(self)(module, self.criterion, **settings).initialize()

    def settings(self) -> dict[str, Any]:
        """Return what the net was made with, but for module, criterion and callbacks."""
        names = (
            *("optimizer", "penalty", "penalize_bias", "progress", "shufflers", "batch_size"),
            *("shuffle", "max_epochs", "max_fun", "verbose", "device"),
            *("columns", "initial"),
        )
        return {name: getattr(self, name) for name in names}

    def penalized_weights(self) -> list[Tensor]:
        """Return the parameters the penalty is put on."""
        named = penalized_parameters(self.module_, penalize_bias=self.penalize_bias)
        return [parameter for _, parameter in named]

    def set_penalty(
        self,
        penalty: Penalty | None,
        *,
        columns: Columns | None = None,
        initial: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Change the penalty between two calls of `train_on`; the optimizer goes on.

        So do `columns` and `initial` where they are not given.
        """
        self.columns = self.columns if columns is None else columns
        self.initial = self.initial if initial is None else initial
        self.penalty = penalty
        groups = zip(self.penalized_weights(), self.optimizer_.param_groups, strict=False)
        for parameter, group in groups:
            self.optimizer_.set_penalty(group, self._penalty_on(parameter))

    def _penalty_on(self, parameter: Tensor) -> Penalty | None:
        """The penalty, bound to one of the module's parameters."""
        if self.penalty is None:
            return None
        first = parameter is self.module_.weight
        initial = None
        if self.initial is not None:
            initial = torch.as_tensor(self.initial[0 if first else 1]).to(parameter)
        columns = self.columns if first else None
        return self.penalty.bind(Layout(self.module_.layers_of(parameter), columns, initial))

    def move_to(self, device: str) -> None:
        """Go on with module and optimizer on another device."""
        if torch.device(device) != torch.device(self.device):
            move(self.module_, self.optimizer_, device)
            self.device = device
            states = [generator.get_state() for generator in self._generators]
            self._generators = restore_generators(states, device)

    def continue_curves(self, previous: RegularizedNet) -> None:
        """Go on with the curves of a net that trained the same module before."""
        self._start = previous._start
        for name in CURVES:
            setattr(self, name, list(getattr(previous, name)))
        self.epochs_before_, self.scores_before_ = len(self.data_losses_), len(self.scores_)
        self.progress.samples_seen = previous.progress.samples_seen

    # ------------------------------------------------------------------ measuring

    def optimality_residual(self, data: TensorData) -> np.ndarray:
        """Return each member's optimality residual over `data`, shape (n_members,)."""
        self.module_.eval()
        _, gradients = mean_losses_and_gradients(
            self._passes(data), data.to(self.device), self.batch_size
        )
        penalties = [g["penalty"] for g in self.optimizer_.param_groups for _ in g["params"]]
        parts = zip(self.module_.parameters(), gradients, penalties, strict=True)
        # But for what a callback has frozen.
        moved = [part for part in parts if part[0].requires_grad]
        if not moved:
            return np.zeros(self.module_.n_members)
        parameters, of_moved, on_moved = zip(*moved, strict=True)
        with torch.no_grad():
            return optimality_residual(parameters, of_moved, on_moved).cpu().numpy()

    def closing_residual(self, data: TensorData) -> tuple[float, float]:
        """Return how far from optimal the training of one member ended, and how far it may.

        That is `tol` where it ran into a limit. Mini-batches end further from the optimum than
        that, by patience, where the loss stands still. On columns of unit size no gradient of a
        linear model is larger than the root mean square of the gradients by the raw outputs: a
        residual above that says that the columns are of other sizes, and that the optimizer
        stands still where the loss could fall.
        """
        tol = float(self.progress.tol[0])
        if not self.converged_.all():
            return float(self.optimality_residual(data)[0]), tol
        is_sought = self.optimizer_.full_batch or self.validates_
        if is_sought or not self.trains_what_it_is():
            # Within the tolerance, the best on the rows held out, or of another loss.
            return 0.0, np.inf
        raw, target = self.raw_outputs(data).cpu(), data.y
        assert target is not None
        slopes = self.criterion_.gradient(raw, target)
        squares = slopes.square().sum((0, 2))
        if data.sample_weight is not None:
            squares = squares * data.sample_weight
        return float(self.optimality_residual(data)[0]), max(tol, squares.mean().sqrt().item())

    def trains_what_it_is(self) -> bool:
        """Whether the loss in training is that of the network as it predicts."""
        return not self.module_.dropout

    def penalty_values(self) -> Tensor:
        """Return the penalty of each member at the current weights, shape (n_members,)."""
        values = self.module_.weight.new_zeros(self.module_.n_members)
        with torch.no_grad():
            for group in self.optimizer_.param_groups:
                if group["penalty"] is not None:
                    values = values + group["penalty"].value(group["params"])
        return values

    def raw_outputs(self, data: TensorData) -> Tensor:
        """Return raw outputs in evaluation mode, shape (n_members, n_samples, n_outputs)."""
        return raw_outputs(self.module_, data, self.device)

    def copy_state(self) -> dict[str, Tensor]:
        """Return copies of the weights and of whatever else the module holds, by name."""
        return {name: t.detach().clone() for name, t in self.module_.state_dict().items()}

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

    # ------------------------------------------------------------------ what the loop asks for

    @property
    def done_(self) -> np.ndarray:
        """Which members have converged or used up their evaluations, shape (n_members,)."""
        if self.optimizer_.full_batch:
            return self.converged_ | (self.optimizer_.n_evaluations >= self.max_fun)
        return self.converged_

    def prepare_steps(self) -> None:
        """Choose how an epoch is trained: a full-batch step, or batches by hand or autograd.

        By hand wherever that is possible. Dropout and callbacks that want to see each batch
        take autograd's way; in a full-batch step there are no batches to see.
        """
        if self.optimizer_.full_batch:
            self.steps = FullBatch(self, self._passes(self._train))
        elif self._per_batch or self.module_.dropout:
            self.steps = ByAutograd(self)
        else:
            self.steps = ByHand(self, self._passes(self._train))

    def _passes(self, data: TensorData) -> Any:
        """What computes outputs and gradients on such rows."""
        return Backprop(self.module_, self.criterion_, data.readers)

    def orders(self) -> list[np.ndarray] | None:
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

    def set_learning_rates(self) -> None:
        # "constant" is left alone after the start: a skorch LRScheduler may be at work.
        rates = self.progress.learning_rates
        if np.array_equal(rates, self._rates) or self.optimizer_.line_search:
            return
        self._rates = rates
        shared = float(rates[0]) if (rates == rates[0]).all() else None
        for group in self.optimizer_.param_groups:
            parameter = group["params"][0]
            group["lr"] = parameter.new_tensor(rates) if shared is None else shared

    # ------------------------------------------------------------------ the history

    @property
    def history(self) -> Any:
        """A row for each epoch, as skorch has it.

        The curves say all that is in it, so that without callbacks, which read it and add to
        it in training, it is written when somebody asks.
        """
        if self.initialized_ and not self.callbacks_:
            n_rows = len(self.history_)
            if n_rows < len(self.data_losses_) - self.epochs_before_:
                self.history_.extend(self._rows()[n_rows:])
        return self.history_

    @history.setter
    def history(self, history: Any) -> None:
        self.history_ = history

    def record(self) -> None:
        """Write the last epoch to the history where callbacks read it; print if `verbose`."""
        number = len(self.data_losses_) - self.epochs_before_ - 1
        if self.callbacks_:
            measured = self._measured_in(number)
            row = next(reversed(self.history))
            row.update(measured)
            if reads_batches(self.callbacks_) and not row["batches"]:
                # Nobody has listened to batches: the epoch is one.
                row["batches"].append(
                    {"train_loss": row["train_loss"], "train_batch_size": len(self._train)}
                )
            if self.module_.n_members == 1:
                # Where skorch's Checkpoint looks for whether an epoch was the best.
                best = "valid_score_best" if self.validates_ else "train_loss_best"
                row[best] = bool(self.improved_[0])
        if self.verbose:
            measured = self._measured_in(number)
            shown = ", ".join(f"{k} = {np.mean(v):.6f}" for k, v in measured.items())
            print(f"Epoch {number + 1}: {shown}")

    def rewrite_history(self) -> None:
        """Make the history say what the curves say, after these came from elsewhere."""
        self.epochs_before_ = 0
        self.scores_before_ = 0 if self.validates_ else len(self.scores_)
        self.history_.clear()
        if self.callbacks_:
            self.history_.extend(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
        """The history as `record` writes it."""
        rows: list[dict[str, Any]] = []
        best: dict[str, float] = {}
        for number in range(len(self.data_losses_) - self.epochs_before_):
            row = {"batches": [], "epoch": number + 1, **self._measured_in(number)}
            rows.append(row)
            if self.module_.n_members == 1:
                name = "valid_score" if "valid_score" in row else "train_loss"
                merit = row[name] if name == "valid_score" else -row[name]
                row[f"{name}_best"] = merit > best.get(name, -np.inf)
                best[name] = max(best.get(name, -np.inf), merit)
        return rows

    def _measured_in(self, number: int) -> dict[str, Any]:
        """What the curves say of an epoch, counted from the net's first."""
        epoch = self.epochs_before_ + number
        data_loss, penalty = self.data_losses_[epoch], self.penalties_[epoch]
        row = {"data_loss": data_loss, "penalty": penalty, "train_loss": data_loss + penalty}
        if self.scores_before_ + number < len(self.scores_):
            row["valid_score"] = self.scores_[self.scores_before_ + number]
        return {k: v.item() if len(v) == 1 else v.tolist() for k, v in row.items()}

    # ------------------------------------------------------------------ pickling

    def __getstate__(self) -> dict[str, Any]:
        return get_state(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        set_state(self, state)
