"""Rows as tensors: gathered in a random order, then cut into batches without a copy.

A DataLoader collates samples one by one; on a table of numbers that costs more than the
network does. Here many batches are gathered at once and then are slices of what was gathered.

The members of a stack need not see the same rows in the same order. Each distinct sequence of
rows is a *stream*: the members of one fold and seed share theirs, which is gathered once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

#: X, y and sample weights. Targets and weights may be missing; whoever trains has targets.
Batch = tuple[Tensor, Any, Tensor | None]

# Numbers gathered at a time: enough for many batches, few compared with the data.
_GATHERED_NUMBERS = 2**22


class Shuffler:
    """The order in which a stream's rows come, epoch by epoch.

    Rows that were shuffled are shuffled again, as scikit-learn does: the same seed gives
    ``MLPRegressor``'s batches.
    """

    def __init__(self, random_state: np.random.RandomState) -> None:
        self.random_state = random_state
        self._order: np.ndarray | None = None

    def restart(self) -> None:
        """Begin from the rows as they are; the generator goes on."""
        self._order = None

    def next_order(self, n_samples: int) -> np.ndarray:
        order = np.arange(n_samples)
        self.random_state.shuffle(order)
        self._order = order if self._order is None else self._order[order]
        return self._order

    def go_on_from(self, other: Shuffler) -> None:
        """Give the orders that `other` would give from here on."""
        self.random_state.set_state(other.random_state.get_state())
        self._order = other._order

    def is_like(self, other: Shuffler) -> bool:
        """Whether both give the same orders from here on."""
        kind, keys, *rest = self.random_state.get_state(legacy=True)
        other_kind, other_keys, *other_rest = other.random_state.get_state(legacy=True)
        return (kind, rest) == (other_kind, other_rest) and np.array_equal(keys, other_keys)


@dataclass(frozen=True)
class _Stream:
    """Rows of one table: all of them, or those in `rows`, in that order."""

    X: Any
    y: Tensor | None
    sample_weight: Tensor | None
    rows: np.ndarray | None

    def __len__(self) -> int:
        return self.X.shape[0] if self.rows is None else len(self.rows)

    def pick(self, order: np.ndarray | None, start: int, stop: int) -> tuple[Any, Any, Any]:
        """X, y and weights at these positions of the order; slices if they can be."""
        index = self.rows if order is None else order if self.rows is None else self.rows[order]
        rows = slice(start, stop) if index is None else index[start:stop]
        return _take(self.X, rows), _take(self.y, rows), _take(self.sample_weight, rows)

    def is_like(self, other: _Stream) -> bool:
        """Whether both have the same rows, of the same table in memory."""
        return (
            _same_memory(self.X, other.X)
            and _equal(self.rows, other.rows)
            and _equal(self.y, other.y)
            and _equal(self.sample_weight, other.sample_weight)
        )


class TensorData:
    """Rows on their way to the network: all those of X, or those of `rows` in that order.

    Dense rows move to the device once. Sparse rows are kept on the host and made dense a
    batch at a time, so that the whole never has to fit. Targets are of the dtype of X, or
    class indices. Sample weights are scaled to a mean of 1, so that the mean of weighted
    losses over a batch is an unbiased estimate of the weighted mean.

    `streams` are the distinct sequences of rows, in the order in which members first read
    them; `stream_of` says which one each member of the stack reads.
    """

    def __init__(
        self,
        X: Any,
        y: np.ndarray | None,
        sample_weight: np.ndarray | None = None,
        *,
        rows: np.ndarray | None = None,
    ) -> None:
        weights = None
        if sample_weight is not None:
            # The mean in float64: a sum over a million float32 weights has lost digits.
            used = sample_weight if rows is None else sample_weight[rows]
            scaled = sample_weight / used.mean(dtype=np.float64)
            weights = _as_tensor(scaled.astype(X.dtype))
        table = X if scipy.sparse.issparse(X) else _as_tensor(X)
        self.streams = [_Stream(table, None if y is None else _as_tensor(y), weights, rows)]
        self.stream_of = [0]
        self.device = torch.device("cpu")

    @classmethod
    def join(
        cls, members: Sequence[TensorData], shufflers: Sequence[Shuffler] | None
    ) -> TensorData:
        """Return the data of a stack of members with one stream each.

        Those with the same rows and, where `shufflers` are given, the same orders share it.
        """
        leaders: list[int] = []

        def leads(leader: int, member: int) -> bool:
            return members[leader].streams[0].is_like(members[member].streams[0]) and (
                shufflers is None or shufflers[leader].is_like(shufflers[member])
            )

        joined = copy.copy(members[0])
        joined.stream_of = []
        for member in range(len(members)):
            like = (number for number, leader in enumerate(leaders) if leads(leader, member))
            joined.stream_of.append(next(like, len(leaders)))
            if joined.stream_of[-1] == len(leaders):
                leaders.append(member)
        joined.streams = [members[leader].streams[0] for leader in leaders]
        return joined

    def select(self, members: Sequence[int]) -> TensorData:
        """Return the data of some of the members; streams that nobody reads are left out."""
        chosen = [self.stream_of[member] for member in members]
        used = list(dict.fromkeys(chosen))
        selected = copy.copy(self)
        selected.streams = [self.streams[number] for number in used]
        selected.stream_of = [used.index(number) for number in chosen]
        return selected

    def padded(self, n_samples: int) -> TensorData:
        """Return the same rows of one stream, and some again that do not count: `n_samples`.

        Members of a stack need as many rows each.
        """
        (stream,) = self.streams
        n_more = n_samples - len(stream)
        if not n_more:
            return self
        again = np.r_[np.arange(len(stream)), np.arange(n_more)]
        X, y, weights = stream.pick(again, 0, n_samples)
        if weights is None:
            numbers = X if isinstance(X, Tensor) else torch.from_numpy(X.data)
            weights = numbers.new_ones(n_samples)
        # Their mean is 1 as it was.
        weights[:-n_more].mul_(n_samples / len(stream))
        weights[-n_more:] = 0.0
        padded = copy.copy(self)
        padded.streams = [_Stream(X, y, weights, None)]
        return padded

    def to(self, device: torch.device | str) -> TensorData:
        """Return the same with its tensors on `device`."""
        device = torch.device(device)
        if device == self.device:
            return self
        moved = copy.copy(self)
        moved.device = device
        # A table that several streams read moves once.
        parts = [part for s in self.streams for part in (s.X, s.y, s.sample_weight)]
        there: dict[int, Any] = {id(p): p.to(device) for p in parts if isinstance(p, Tensor)}
        moved.streams = []
        for s in self.streams:
            X, y, weights = (there.get(id(p), p) for p in (s.X, s.y, s.sample_weight))
            moved.streams.append(_Stream(X, y, weights, s.rows))
        return moved

    def __len__(self) -> int:
        return len(self.streams[0])

    # What skorch's callbacks are shown: the rows of the first stream.
    @property
    def X(self) -> Any:  # noqa: N802
        return self.streams[0].pick(None, 0, len(self))[0]

    @property
    def y(self) -> Tensor | None:
        return self.streams[0].pick(None, 0, len(self))[1]

    @property
    def sample_weight(self) -> Tensor | None:
        return self.streams[0].pick(None, 0, len(self))[2]

    @property
    def n_features(self) -> int:
        return self.streams[0].X.shape[1]

    @property
    def is_sparse(self) -> bool:
        return scipy.sparse.issparse(self.streams[0].X)

    @property
    def readers(self) -> list[int] | None:
        """How many members, in their order, read each table of a batch.

        None where all read the only one. Where the readers of a stream do not stand
        together, each has a copy.
        """
        if len(self.streams) == 1:
            return None
        if self.stream_of != sorted(self.stream_of):
            return [1] * len(self.stream_of)
        return [self.stream_of.count(number) for number in range(len(self.streams))]

    def batches(
        self,
        batch_size: int,
        orders: Sequence[np.ndarray] | None = None,
        *,
        for_each: bool = False,
    ) -> Iterator[Batch]:
        """Yield (X, y, sample_weight) of at most `batch_size` rows, in these orders.

        X has the shape (n_samples, n_features) where there is one stream, and else (n_tables,
        n_samples, n_features), with as many tables as there are `readers`, or one for each
        member if `for_each`. y and the weights are shared by all members, or one for each.
        """
        for block in self.blocks(batch_size, orders, for_each=for_each):
            yield from cut(block, batch_size)

    def blocks(
        self,
        batch_size: int,
        orders: Sequence[np.ndarray | None] | None = None,
        *,
        for_each: bool = False,
        numbers_per_row: int = 0,
    ) -> Iterator[Batch]:
        """Yield what :meth:`batches` does, the rows of many batches at a time.

        Neither they nor `numbers_per_row` numbers for each of their rows take much memory.
        """
        at_once = batch_size
        if not self.is_sparse:
            numbers = max(self.n_features * len(self.streams), numbers_per_row) * batch_size
            at_once *= max(1, _GATHERED_NUMBERS // max(1, numbers))
        members = None
        if 1 < len(self.streams) < len(self.stream_of):
            members = torch.tensor(self.stream_of, device=self.device)
            for_each = for_each or self.stream_of != sorted(self.stream_of)
        orders = orders or [None] * len(self.streams)
        for first in range(0, len(self), at_once):
            end = min(first + at_once, len(self))
            parts = [
                stream.pick(order, first, end)
                for stream, order in zip(self.streams, orders, strict=True)
            ]
            X, y, weights = self._side_by_side(parts)
            if members is not None:
                X = X.index_select(0, members) if for_each else X
                y = None if y is None else y.index_select(0, members)
                weights = None if weights is None else weights.index_select(0, members)
            yield X, y, weights

    def _side_by_side(self, parts: list[tuple[Any, Any, Any]]) -> tuple[Tensor, Any, Any]:
        """What each stream picked as one tensor; as it is if there is one stream."""
        tables = [
            X if isinstance(X, Tensor) else _as_tensor(X.toarray()).to(self.device)
            for X, _, _ in parts
        ]
        if len(parts) == 1:
            return tables[0], parts[0][1], parts[0][2]
        X = torch.stack(tables)
        y = None if parts[0][1] is None else torch.stack([y for _, y, _ in parts])
        if all(weights is None for _, _, weights in parts):
            return X, y, None
        ones = X.new_ones(X.shape[1])
        weights = torch.stack([ones if w is None else w for _, _, w in parts])
        return X, y, weights


@dataclass(frozen=True)
class FitJob:
    """The rows of a fit, on the host, and what kind of fit it is."""

    train: TensorData
    valid: TensorData | None
    incremental: bool


def cut(block: Batch, batch_size: int) -> Iterator[Batch]:
    """Yield batches of `batch_size` rows and one of the rest; all are views."""
    X, y, sample_weight = block
    yield from zip(
        X.split(batch_size, -2),
        repeat(None) if y is None else y.split(batch_size, -2),
        repeat(None) if sample_weight is None else sample_weight.split(batch_size, -1),
        strict=False,
    )


def _take(part: Any, rows: slice | np.ndarray) -> Any:
    if isinstance(part, Tensor) and not isinstance(rows, slice):
        index = _as_tensor(rows).to(part.device)
        if part.ndim == 2 and part.shape[1] == 1:
            # Rows of a single number are several times faster picked as numbers.
            return part.view(-1).index_select(0, index).view(-1, 1)
        return part.index_select(0, index)
    return None if part is None else part[rows]


def _same_memory(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return left.data_ptr() == right.data_ptr() and left.shape == right.shape
    return left is right


def _equal(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    return torch.equal(left, right) if isinstance(left, Tensor) else np.array_equal(left, right)


def _as_tensor(array: np.ndarray) -> Tensor:
    # torch can share a writable array in place, but only warns about a read-only one (a
    # memory map, say) that it might be written to.
    array = np.ascontiguousarray(array)
    if any(stride < 0 for stride in array.strides):
        array = array.copy()  # a single column read backwards is contiguous to numpy
    return torch.from_numpy(array if array.flags.writeable else array.copy())
