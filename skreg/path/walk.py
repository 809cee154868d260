"""Walking a stack of trained networks along the strength of their penalty.

A path goes from dense to sparse: with all weights zero a hidden layer has no gradient, and a
path that started there would never leave. Every alpha begins with the weights of the one
before and trains for a few epochs. :class:`Walk` takes the steps and takes them back;
:func:`choose_alphas` decides how long they are, for every member of the stack by itself.

The alphas are not on a grid, since nobody knows beforehand where features go. A step starts at
×1.1, and a stay at an alpha ends when a feature goes, or after a while. Where more than a tenth
of the features go at once (or more than it takes to come to an end in the steps that are left,
if that is more) the weights from before are put back and the step is cut to a third in log
alpha; after a stay without losses it grows again.

A penalty that is not convex keeps what it finds large. With many features to a row that is
chance: the network fits its rows whichever features it keeps. So such a penalty begins nearly
convex and becomes what it is as features go: its gamma is multiplied by
(features · 10 / rows)^1.5, where that is above 1 (graduated non-convexity: Blake & Zisserman,
"Visual Reconstruction"). Rows that are the same count once, so that a weight of 2 is the row
twice. Where that many features are left a step also grows after one that took few.

Nor does such a penalty shrink what it keeps, and a network that nothing shrinks fits the noise
of its rows to the end: held-out scores then say little about which features it should have. So
it has an L2 penalty beside it (the Mnet: Huang, Breheny, Lee, Ma & Zhang, "The Mnet method for
variable selection", 2016) of 0.3·alpha, and with many features to a row of up to alpha.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, Protocol

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Tensor

from skreg.optim.fista import FISTA
from skreg.penalties.concave import ConcaveMixin
from skreg.training.data import Batch, TensorData
from skreg.training.net import RegularizedNet

_STEPS_IN_SPELL = 10
_FIRST_STEP = 1.1
# A step in log alpha after one that cost too much, and after one that cost nothing.
_CUT, _GROW = 1 / 3, 1.4
_SMALLEST_STEP, _LONGEST_STEP = np.log(1.002), np.log(1.25)
# Share of the features that may go at once.
_SHARE = 0.1
# Where there are this many times more features than the rows can tell apart, a step that took
# less than this share of those that may go cost next to nothing: which go is chance anyway.
_CROWDED, _CALM = 2.0, 0.5
# Spells that may be taken back, as a multiple of the alphas asked for.
_RETRIES = 2.0
# Parameters by which a penalty is the more convex the larger they are, and rows that a feature
# takes for a penalty to be as little convex as it is; how fast it becomes more convex with
# fewer (with 1, sets of 100 rows and 2,000 features score 0.03 to 0.05 of R² less).
_CONVEXITY = ("gamma", "a")
_ROWS_PER_FEATURE = 10.0
_CROWD_POWER = 1.5
# Multiples of alpha.
_L2_RATIO, _LARGEST_L2_RATIO = 0.3, 1.0
# Rows that are compared at a time.
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Step:
    """Where a member stands after training at one alpha."""

    alpha: float
    #: Weights and whatever else the module holds, by name.
    state: dict[str, Tensor]
    selected: np.ndarray
    #: How long it has trained there, in spells of a walk.
    n_spells: int
    #: The penalty's other parameters there.
    convexity: dict[str, float]


class PathNetwork(Protocol):
    """What a walk asks of a net, whatever its module.

    Given by :class:`skreg.path.mlp.PathMLP` and :class:`skreg.path.module.PathModule`.
    """

    net: RegularizedNet

    @property
    def is_linear(self) -> bool:
        """Whether the network is a linear model of its rows."""

    @property
    def counts_features(self) -> bool:
        """Whether `selected` says it of features; else it does of units of some layers."""

    def selected(self) -> np.ndarray:
        """Which features are in, bool of shape (n_members, n_features)."""

    def is_finite(self) -> bool:
        """Whether the weights are."""

    def state(self, member: int) -> dict[str, Tensor]:
        """Copies of what the module holds of a member, by name."""

    def tensors(self) -> list[Tensor]:
        """Views of what the module holds, of shape (n_members, ...)."""

    def moments(self) -> list[Tensor]:
        """Views of what the optimizer knows of each weight, of shape (n_members, ...)."""

    def set_strengths(self, **values: np.ndarray) -> None:
        """Set parameters of each member's penalty."""

    def linear_parts(self, rows: TensorData) -> tuple[Any, Tensor, Tensor | None]:
        """Passes over the rows, and what they give the gradients of: weights and biases."""

    def leaves_zero(self, alphas: np.ndarray, step: float, gradient: Any = None) -> np.ndarray:
        """Whether a proximal step along the gradient leaves zero weights, by member.

        Without a gradient one of ones is taken.
        """


class Walk:
    """A stack of trained networks, and the rows they walk on.

    Time is counted in spells: as many epochs as take `_STEPS_IN_SPELL` gradient steps. A
    solver that takes all rows at once goes on to its tolerance in each.

    Parameters
    ----------
    network : PathNetwork
        Its net is trained; the penalty's `alpha` is what changes.
    rows : TensorData
    longest_stay : int
        Spells at an alpha where nothing happens.
    max_iter : int
        Most iterations at an alpha of a solver that goes on to its tolerance.
    """

    def __init__(
        self, network: PathNetwork, rows: TensorData, *, longest_stay: int, max_iter: int
    ) -> None:
        self.network = network
        self.net = net = network.net
        self.longest_stay = longest_stay
        self._max_iter = max_iter
        own = {}
        concave = isinstance(net.penalty, ConcaveMixin)
        if concave and network.counts_features and not network.is_linear:
            own = {n: getattr(net.penalty, n) for n in _CONVEXITY if hasattr(net.penalty, n)}
        self._sets_l2 = bool(own) and getattr(net.penalty, "l2_ratio", 0.0) is None
        self._own_convexity = {
            name: np.broadcast_to(value, self.n_members).astype(float)
            for name, value in own.items()
        }
        # As many as leave a penalty as it is are as good as all.
        self._n_rows = distinct_rows(rows, int(_ROWS_PER_FEATURE * rows.n_features))
        self._n_epochs = -(-_STEPS_IN_SPELL // -(-len(rows) // net.batch_size))
        # The optimizer begins anew: what it knows of a loss that has gone to its minimum tells
        # nothing of the gradients to come, and members of a stack do so one by one.
        net.initialize_optimizer()
        net.begin(rows, None, keep_best=False)
        net.module_.train()
        self._convexity_now = self._convexity()
        # No callback or dropout asks for more than steps.
        self._only_steps = net._train_epoch == net._by_hand_epoch and not net.callbacks_
        self._batch = None
        if self._only_steps and net.batch_size >= len(rows):
            self._batch = next(net._train.batches(len(rows)))

    @property
    def n_members(self) -> int:
        return self.net.module_.n_members

    def train_at(self, alphas: np.ndarray, n_spells: int) -> None:
        """Set each member's alpha and train; raise ValueError if that diverges."""
        self._convexity_now = self._convexity()
        self.network.set_strengths(alpha=alphas, **self._convexity_now)
        if isinstance(self.net.optimizer_, FISTA):
            for _ in range(self._max_iter):
                self.net._train_epoch()
                if self.net._fista_converged().all():
                    break
            return
        n_epochs = n_spells * self._n_epochs
        if self._batch is not None:
            self._take_steps(repeat(self._batch, n_epochs))
        elif self._only_steps:
            train, size, orders = self.net._train, self.net.batch_size, self.net._orders
            epochs = (train.batches(size, orders()) for _ in range(n_epochs))
            self._take_steps(chain.from_iterable(epochs))
        else:
            for _ in range(n_epochs):
                self.net._train_epoch()
        if not self.network.is_finite():
            raise ValueError(
                f"Training diverged on the path at alpha={alphas.max():.3g}. Lower "
                f"learning_rate_init, or scale the columns of X (StandardScaler) and y "
                f"(TransformedTargetRegressor)."
            )

    def _convexity(self) -> dict[str, np.ndarray]:
        """What makes each member's penalty more or less convex, where it has such a thing."""
        crowd = self.crowd(self.selected().sum(1))
        values = {n: v * crowd**_CROWD_POWER for n, v in self._own_convexity.items()}
        if self._sets_l2:
            values["l2_ratio"] = np.minimum(_L2_RATIO * crowd, _LARGEST_L2_RATIO)
        return values

    def crowd(self, n_features: np.ndarray) -> np.ndarray:
        """How many times more features each member has than its rows can tell apart."""
        return np.maximum(1.0, _ROWS_PER_FEATURE * n_features / self._n_rows)

    @torch.no_grad()
    def _take_steps(self, batches: Iterable[Batch]) -> None:
        """A step per batch, without what an epoch sets up and sums up and nobody reads here."""
        backprop = self.net._backprop
        assert backprop is not None
        backprop.attach()
        take_step = self.net.optimizer_.plan_steps()
        for batch in batches:
            backprop(*batch)
            take_step()

    def selected(self) -> np.ndarray:
        """Which features reach an output, shape (n_members, n_features)."""
        return self.network.selected()

    def step(self, member: int, alpha: float, selected: np.ndarray, n_spells: int) -> Step:
        return Step(
            float(alpha),
            self.network.state(member),
            selected,
            n_spells,
            {name: float(v[member]) for name, v in self._convexity_now.items()},
        )

    def save(self) -> list[Tensor]:
        return [tensor.clone() for tensor in self._tensors()]

    @torch.no_grad()
    def restore(self, saved: Sequence[Tensor], members: np.ndarray) -> None:
        """Put back what `save` returned, for the members of this mask."""
        tensors = self._tensors()
        chosen = torch.from_numpy(members).to(tensors[0].device)
        for tensor, before in zip(tensors, saved, strict=False):
            tensor[chosen] = before[chosen]
        # Saved before the first step, when the optimizer knew nothing.
        for tensor in tensors[len(saved) :]:
            tensor[chosen] = 0.0
        if isinstance(self.net.optimizer_, FISTA):
            # Its momentum points to where nobody goes any more.
            self.net.initialize_optimizer()

    def weights(self) -> list[Tensor]:
        """Copies of all that the networks are, for :meth:`restart`."""
        return [tensor.clone() for tensor in self.network.tensors()]

    @torch.no_grad()
    def restart(self, weights: Sequence[Tensor]) -> None:
        """Go back to where :meth:`weights` was, with an optimizer that knows nothing."""
        for tensor, before in zip(self.network.tensors(), weights, strict=True):
            tensor.copy_(before)
        self.net.initialize_optimizer()

    def _tensors(self) -> list[Tensor]:
        return self.network.tensors() + self.network.moments()

    def end(self) -> None:
        self.net.end()


def set_strengths(net: RegularizedNet, **values: np.ndarray) -> None:
    """Set parameters of each member's penalty: its alpha, or what else may differ."""
    strengths = {
        name: float(each[0]) if (each == each[0]).all() else net.module_.weight.new_tensor(each)
        for name, each in values.items()
    }
    net.penalty = with_strengths(net.penalty, strengths)
    # Not by the net's own method: the kind stays, and with it the optimizer's state.
    for group in net.optimizer_.param_groups:
        group["penalty"] = with_strengths(group["penalty"], strengths)


def with_strengths(penalty: Any, strengths: dict[str, Any]) -> Any:
    """Return the penalty (or None) with other values of these parameters."""
    if penalty is not None:
        penalty = copy.copy(penalty)
        for name, value in strengths.items():
            setattr(penalty, name, value)
    return penalty


def distinct_rows(rows: TensorData, enough: int) -> np.ndarray:
    """How many different rows each member has; where it has more than `enough`, that many."""
    counts = []
    for stream in rows.streams:
        seen: set[bytes] = set()
        for start in range(0, len(stream), _ROWS_AT_ONCE):
            X, y, _ = stream.pick(None, start, start + _ROWS_AT_ONCE)
            X = X.toarray() if issparse(X) else X.cpu().numpy()
            pairs = zip(X, y.cpu().numpy(), strict=True)
            seen.update(row.tobytes() + target.tobytes() for row, target in pairs)
            if len(seen) >= enough:
                break
        counts.append(min(len(seen), enough))
    return np.array(counts)[rows.stream_of]


def choose_alphas(walk: Walk, start: np.ndarray, n_alphas: int) -> list[list[Step]]:
    """Walk from `start` until no feature is left, in about `n_alphas` steps a member.

    Parameters
    ----------
    walk : Walk
    start : ndarray of shape (n_members,)
        The first alpha of each member.
    n_alphas : int

    Returns
    -------
    list of list of Step, one list per member
    """
    n_members = walk.n_members
    paths: list[list[Step]] = [[] for _ in range(n_members)]
    log_step = np.full(n_members, np.log(_FIRST_STEP))
    alphas, last = start.astype(float), start.astype(float)
    alive = fewest = walk.selected().sum(1)
    stays, retries = np.zeros(n_members, dtype=int), np.zeros(n_members, dtype=int)
    done = np.zeros(n_members, dtype=bool)
    while not done.all():
        saved = walk.save()
        walk.train_at(alphas, 1)
        selected = walk.selected()
        left = selected.sum(1)
        stays += 1
        # Features that come and go again are no loss: steps would be cut for them for ever.
        dropped = fewest - left
        steps_left = n_alphas - np.array([len(path) for path in paths])
        allowed = _allowed_drop(fewest, steps_left)
        back = (dropped > allowed) & (log_step > _SMALLEST_STEP) & ~done
        back &= retries < _RETRIES * n_alphas
        if back.any():
            walk.restore(saved, back)
            retries += back
        # A stay ends when features go, or when it was long enough.
        kept = ~back & ~done & ((dropped > 0) | (stays >= walk.longest_stay))
        for member in np.flatnonzero(kept).tolist():
            step = walk.step(member, alphas[member], selected[member], stays[member])
            paths[member].append(step)
        last = np.where(kept, alphas, last)
        # Begun too late: then earlier.
        last = np.where(back & (steps_left == n_alphas), last / 2, last)
        alive = np.where(back, alive, left)
        fewest = np.minimum(fewest, alive)
        done |= kept & (alive == 0)
        calm = kept & (dropped < np.where(walk.crowd(alive) > _CROWDED, _CALM * allowed, 1))
        log_step = np.where(back, _CUT * log_step, np.where(calm, _GROW * log_step, log_step))
        log_step = np.minimum(log_step, _LONGEST_STEP)
        stays = np.where(kept | back, 0, stays)
        alphas = np.where((kept | back) & ~done, last * np.exp(log_step), alphas)
    return paths


def _allowed_drop(alive: np.ndarray, steps_left: np.ndarray) -> np.ndarray:
    """How many features each member may lose in one step."""
    # From here to the end evenly in the log takes this share each time.
    even = 1 - np.maximum(alive, 1.0) ** (-1 / np.maximum(steps_left, 1))
    return np.maximum(1, np.floor(np.maximum(_SHARE, even) * alive))


def follow_alphas(
    walk: Walk,
    alphas: np.ndarray,
    stays: Sequence[int] | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[list[Step]]:
    """Walk along given alphas.

    Parameters
    ----------
    walk : Walk
    alphas : ndarray of shape (n_alphas, n_members)
        Ascending.
    stays : sequence of int of length n_alphas, default=None
        How long to stay at each; None is as long as a walk stays where nothing happens.
    check : callable
        Called before each alpha; may raise to end the walk.

    Returns
    -------
    list of list of Step, one list per member
    """
    if stays is None:
        stays = [walk.longest_stay] * len(alphas)
    paths: list[list[Step]] = [[] for _ in range(walk.n_members)]
    for row, stay in zip(alphas, stays, strict=True):
        check()
        walk.train_at(row, stay)
        selected = walk.selected()
        for member, path in enumerate(paths):
            path.append(walk.step(member, row[member], selected[member], stay))
    return paths
