"""Following a regularization path: a stack of networks along rising strengths of its penalty.

A path goes from dense to sparse: with all weights zero a hidden layer has no gradient, and a
path that started there would never leave. Every alpha begins with the weights of the one
before and trains for a few epochs. :class:`PathFollower` trains at one alpha after another
and goes back where it has to; :func:`choose_alphas` decides which alphas, for every member of
the stack by itself.

The alphas are not on a grid, since nobody knows beforehand where features go. Alpha first
rises by a factor of 1.1, and training at an alpha ends when a feature goes, or after a number
of rounds. Where more than a tenth of the features go at once (or more than it takes to come
to an end in the alphas that are left, if that is more) the weights from before are put back
and the increment of log alpha is cut to a third; after an alpha without losses it grows again.

A penalty that is not convex keeps what it finds large. With many features to a row that is
chance: the network fits its rows whichever features it keeps. So such a penalty begins nearly
convex and becomes what it is as features go (graduated non-convexity: Blake & Zisserman,
"Visual Reconstruction"). How convex it is depends on the *excess of features*, 10 · features /
rows where that is above 1. Nor does it shrink what it keeps, and held-out scores of a network
that nothing shrinks say little about which features it should have: L2 is added to it.
:func:`~skreg.path.run.regularization_path` says how much of either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Tensor

from skreg.path.networks import PathNetwork, PathPoint
from skreg.training.data import Batch, TensorData
from skreg.training.epochs import ByHand

_STEPS_IN_ROUND = 10
_FIRST_FACTOR = 1.1
# What the increment of log alpha is multiplied by after losing too much, and nothing.
_CUT, _GROW = 1 / 3, 1.4
_SMALLEST_INCREMENT, _LARGEST_INCREMENT = np.log(1.002), np.log(1.25)
# Share of the features that may go at once.
_SHARE = 0.1
# From this excess of features on an alpha counts as one without losses where it took less than
# this share of the features that may go: which go is chance anyway.
_LARGE_EXCESS, _SMALL_DROP = 2.0, 0.5
# How often a member may go back, as a multiple of the alphas asked for.
_RETRIES = 2.0
# Rows that a feature takes for a penalty to be as little convex as it is, and how fast it
# becomes more convex with fewer (with a power of 1, sets of 100 rows and 2,000 features score
# 0.03 to 0.05 of R² less).
_ROWS_PER_FEATURE = 10.0
_CONVEXITY_POWER = 1.5
# L2 that is added to a penalty which is not convex, and the most of it: multiples of alpha.
L2_RATIOS = (0.3, 1.0)
# Rounds at an alpha where nothing happens.
MAX_ROUNDS = 5
# Rows that are compared at a time.
_ROWS_AT_ONCE = 256


class Convexity:
    """How convex the penalty of each member is, by its excess of features.

    `l2_ratios` say how much L2 is added where the penalty leaves that open, as a multiple of
    alpha: without an excess of features, and at most.
    """

    def __init__(
        self, network: PathNetwork, rows: TensorData, l2_ratios: tuple[float, float]
    ) -> None:
        # As many as leave a penalty as it is are as good as all.
        self._n_rows = distinct_rows(rows, int(_ROWS_PER_FEATURE * rows.n_features))
        self._l2_ratios = None
        self._bends: dict[str, np.ndarray] = {}
        penalty = network.net.penalty
        name = getattr(penalty, "_bend", None)
        if name is not None and network.counts_features and not network.is_linear:
            # Larger is more convex.
            bend = np.broadcast_to(getattr(penalty, name), len(self._n_rows))
            self._bends = {name: bend.astype(float)}
            self._l2_ratios = l2_ratios if penalty.l2_ratio is None else None

    def excess(self, n_features: np.ndarray) -> np.ndarray:
        """How many times more features each member has than its rows can tell apart."""
        return np.maximum(1.0, _ROWS_PER_FEATURE * n_features / self._n_rows)

    def at(self, n_features: np.ndarray) -> dict[str, np.ndarray]:
        """The parameters of each member's penalty, by name, with as many features left."""
        excess = self.excess(n_features)
        values = {name: v * excess**_CONVEXITY_POWER for name, v in self._bends.items()}
        if self._l2_ratios is not None:
            least, most = self._l2_ratios
            values["l2_ratio"] = np.minimum(least * excess, most)
        return values


class PathFollower:
    """Trains a stack of networks at one alpha after another.

    Time is counted in rounds: as many epochs as take `_STEPS_IN_ROUND` gradient steps. Where
    nothing happens there are `max_rounds` at an alpha. A solver that takes all rows at once
    goes on to its tolerance instead, for `max_iter` iterations at most.
    """

    def __init__(
        self,
        network: PathNetwork,
        rows: TensorData,
        *,
        max_iter: int,
        l2_ratios: tuple[float, float] = L2_RATIOS,
    ) -> None:
        self.network = network
        self.net = net = network.net
        self.convexity = Convexity(network, rows, l2_ratios)
        self.max_rounds = MAX_ROUNDS
        self._max_iter = max_iter
        self._n_epochs = -(-_STEPS_IN_ROUND // -(-len(rows) // net.batch_size))
        # From scratch: what an optimizer knows of a loss that has gone to its minimum says
        # nothing of the gradients to come, and members of a stack get there one by one.
        net.initialize_optimizer()
        net.begin(rows, None, keep_best=False)
        net.module_.train()
        self._convexity_now: dict[str, np.ndarray] = {}
        # No callback or dropout asks for more than steps.
        self._only_steps = isinstance(net.steps, ByHand) and not net.callbacks_
        self._batch = None
        if self._only_steps and net.batch_size >= len(rows):
            self._batch = next(net._train.batches(len(rows)))

    @property
    def n_members(self) -> int:
        return self.net.module_.n_members

    def train_at(self, alphas: np.ndarray, n_rounds: int) -> np.ndarray:
        """Train each member at its alpha; return which features are in."""
        self._convexity_now = self.convexity.at(self.network.selected().sum(1))
        self.network.set_strengths(alpha=alphas, **self._convexity_now)
        if self.net.optimizer_.full_batch:
            for _ in range(self._max_iter):
                self.net.steps()
                if self.net.steps.solved().all():
                    break
            return self.network.selected()
        n_epochs = n_rounds * self._n_epochs
        if self._batch is not None:
            self._take_steps(repeat(self._batch, n_epochs))
        elif self._only_steps:
            train, size, orders = self.net._train, self.net.batch_size, self.net.orders
            epochs = (train.batches(size, orders()) for _ in range(n_epochs))
            self._take_steps(chain.from_iterable(epochs))
        else:
            for _ in range(n_epochs):
                self.net.steps()
        if not torch.isfinite(self.net.sums_of_weights()).all():
            raise ValueError(
                f"Training diverged on the path at alpha={alphas.max():.3g}. Lower "
                f"learning_rate_init, or scale the columns of X (StandardScaler) and y "
                f"(TransformedTargetRegressor)."
            )
        return self.network.selected()

    @torch.no_grad()
    def _take_steps(self, batches: Iterable[Batch]) -> None:
        """A step per batch, without what an epoch sets up and sums up and nobody reads here."""
        backprop = self.net.steps.backprop
        backprop.attach()
        take_step = self.net.optimizer_.plan_steps()
        for batch in batches:
            backprop(*batch)
            take_step()

    def point(
        self, member: int, alpha: float, selected: np.ndarray, n_rounds: int
    ) -> PathPoint:
        """What a member is now, after so many rounds at this alpha."""
        state, now = self.network.state(member), self._convexity_now
        convexity = {name: float(values[member]) for name, values in now.items()}
        return PathPoint(float(alpha), state, selected, n_rounds, convexity)

    def save(self) -> list[Tensor]:
        """Copies of all that training changes, for :meth:`restore`."""
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
        if self.net.optimizer_.full_batch:
            # Its momentum points to where nobody goes any more.
            self.net.initialize_optimizer()

    def restart(self, saved: Sequence[Tensor]) -> None:
        """Put back the weights that `save` returned, with an optimizer that knows nothing."""
        self.restore(saved, np.ones(self.n_members, dtype=bool))
        self.net.initialize_optimizer()

    def _tensors(self) -> list[Tensor]:
        return [*self.network.named_tensors().values(), *self.network.moments()]


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


def choose_alphas(
    follower: PathFollower, start: np.ndarray, n_alphas: int
) -> list[list[PathPoint]]:
    """Raise alpha from `start` until no feature is left, about `n_alphas` times a member."""
    n_members = follower.n_members
    paths: list[list[PathPoint]] = [[] for _ in range(n_members)]
    increment = np.full(n_members, np.log(_FIRST_FACTOR))
    alphas, last = start.astype(float), start.astype(float)
    alive = fewest = follower.network.selected().sum(1)
    rounds, retries = np.zeros(n_members, dtype=int), np.zeros(n_members, dtype=int)
    done = np.zeros(n_members, dtype=bool)
    while not done.all():
        saved = follower.save()
        selected = follower.train_at(alphas, 1)
        left = selected.sum(1)
        rounds += 1
        # Features that come and go are no loss: increments would be cut for them for ever.
        dropped = fewest - left
        points_left = n_alphas - np.array([len(path) for path in paths])
        allowed = _allowed_drop(fewest, points_left)
        back = (dropped > allowed) & (increment > _SMALLEST_INCREMENT) & ~done
        back &= retries < _RETRIES * n_alphas
        if back.any():
            follower.restore(saved, back)
            retries += back
        # Training at an alpha ends when features go, or when it was long enough.
        kept = ~back & ~done & ((dropped > 0) | (rounds >= follower.max_rounds))
        for member in np.flatnonzero(kept).tolist():
            at = alphas[member], selected[member], rounds[member]
            paths[member].append(follower.point(member, *at))
        last = np.where(kept, alphas, last)
        # Begun too late: then earlier.
        last = np.where(back & (points_left == n_alphas), last / 2, last)
        alive = np.where(back, alive, left)
        fewest = np.minimum(fewest, alive)
        done |= kept & (alive == 0)
        is_large = follower.convexity.excess(alive) > _LARGE_EXCESS
        lost_little = kept & (dropped < np.where(is_large, _SMALL_DROP * allowed, 1))
        increment *= np.where(back, _CUT, np.where(lost_little, _GROW, 1.0))
        increment = np.minimum(increment, _LARGEST_INCREMENT)
        rounds = np.where(kept | back, 0, rounds)
        alphas = np.where((kept | back) & ~done, last * np.exp(increment), alphas)
    return paths


def _allowed_drop(alive: np.ndarray, points_left: np.ndarray) -> np.ndarray:
    """How many features each member may lose from one point to the next."""
    # From here to the end evenly in the log takes this share each time.
    even = 1 - np.maximum(alive, 1.0) ** (-1 / np.maximum(points_left, 1))
    return np.maximum(1, np.floor(np.maximum(_SHARE, even) * alive))


def follow_alphas(
    follower: PathFollower,
    alphas: np.ndarray,
    rounds: Sequence[int] | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[list[PathPoint]]:
    """Train at ascending alphas, (n_alphas, n_members); return the path of each member.

    `rounds` say how long at each; None is as long as where nothing happens. `check` is called
    before each alpha, and may raise to end the path.
    """
    paths: list[list[PathPoint]] = [[] for _ in range(follower.n_members)]
    rounds = rounds or [follower.max_rounds] * len(alphas)
    for row, n_rounds in zip(alphas, rounds, strict=True):
        check()
        selected = follower.train_at(row, n_rounds)
        for member, path in enumerate(paths):
            path.append(follower.point(member, row[member], selected[member], n_rounds))
    return paths
