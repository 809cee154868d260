"""Which weights form a group, and arithmetic by group.

A group is the outgoing weights of one unit: of an input feature in the first layer, of a
hidden neuron in the others. In a stack's layer of shape (n_members, fan_in, fan_out) it is a
row. Layers that stand in one flat tensor (see :mod:`skreg.modules`) have their groups one
after the other, so that what is done once per group is done for all layers at once.

>>> import torch
>>> from skreg.penalties.groups import Grouping
>>> grouping = Grouping([(2, 2), (1, 3)])           # two layers in a flat tensor of 7
>>> grouping.norms(torch.tensor([[3.0, 4, 0, 2, 1, 2, 2]]))
tensor([[5., 2., 3.]])
>>> grouping.sizes
[2, 2, 3]
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Grouping:
    """The groups of one weight tensor.

    The tensor holds layers of shape (n_rows, row_size), and each row is a group, except that
    rows of the first layer with the same number in `row_groups`, from 0 without a gap, are one
    group. It is flat, or a single layer as torch shapes it: see :func:`grouping_of`. `sizes`
    has the number of weights in each group, those of the first layer first.
    """

    def __init__(
        self,
        layers: Sequence[tuple[int, int]],
        row_groups: Sequence[int] | None = None,
        *,
        flat: bool = True,
    ) -> None:
        self.layers = list(layers)
        self.flat = flat
        n_rows, row_size = self.layers[0]
        first = np.arange(n_rows) if row_groups is None else np.asarray(row_groups, dtype=int)
        rows_of_group = np.bincount(first)
        rest = [size for rows, size in self.layers[1:] for _ in range(rows)]
        self.sizes = [*(row_size * rows_of_group).tolist(), *rest]
        self._roots = [size**0.5 for size in self.sizes]
        # Where every row is a group there is nothing to gather.
        self._group_of_row = None
        if row_groups is not None:
            others = range(len(rows_of_group), len(self.sizes))
            self._group_of_row = [*first.tolist(), *others]
        self._tensors: dict[Any, Tensor] = {}

    def views(self, tensor: Tensor) -> list[Tensor]:
        """The layers in `tensor`, as views of shape (n_members, n_rows, ...)."""
        if not self.flat:
            return [_as_rows(tensor)]
        parts = tensor.split_with_sizes([rows * size for rows, size in self.layers], 1)
        return [
            part.view(len(tensor), *layer)
            for part, layer in zip(parts, self.layers, strict=True)
        ]

    def __eq__(self, other: object) -> bool:
        """Whether the groups are the same: a copy's are."""
        if not isinstance(other, Grouping):
            return NotImplemented
        names = ("layers", "flat", "_group_of_row")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def __hash__(self) -> int:
        return hash((tuple(self.layers), self.flat))

    def norms(self, tensor: Tensor) -> Tensor:
        """Euclidean norm of each group, shape (n_members, n_groups)."""
        by_layer = [
            torch.linalg.vector_norm(view, dim=tuple(range(2, view.ndim)))
            for view in self.views(tensor)
        ]
        rows = by_layer[0] if len(by_layer) == 1 else torch.cat(by_layer, 1)
        index = self.index(tensor.device)
        if index is None:
            return rows
        squares = rows.new_zeros(len(rows), len(self.sizes))
        return squares.index_add_(1, index, rows.square()).sqrt_()

    def spread(self, by_group: Tensor, tensor: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The views of `tensor`, each with the values of its groups to broadcast against it."""
        grouped = GroupView(self, tensor)
        return list(zip(grouped.layers, grouped.spread(by_group), strict=True))

    def mean_squares(self, tensor: Tensor) -> Tensor:
        """Mean of the squares in each group, shape (n_members, n_groups)."""
        return self.norms(tensor).div_(self.root_sizes(tensor)).square_()

    def index(self, device: torch.device) -> Tensor | None:
        """The group of each row of all layers; None where every row is one."""
        if self._group_of_row is None:
            return None
        return self._constant("index", self._group_of_row, torch.int64, device)

    def root_sizes(self, tensor: Tensor) -> Tensor:
        """Roots of `sizes`, shape (n_groups,), of the type and on the device of `tensor`."""
        return self._constant("roots", self._roots, tensor.dtype, tensor.device)

    def by_group(self, values: float | Tensor, tensor: Tensor) -> float | Tensor:
        """One value per group, from a number or a tensor that broadcasts against `tensor`.

        Values of shape (n_members, n_groups) or (n_members, 1) are taken as they are; others
        must be the same throughout a group.
        """
        if not isinstance(values, Tensor):
            return values
        if values.numel() == 1:
            return values.reshape(1, 1)
        n_members = len(self.views(tensor)[0])
        if values.shape in ((n_members, 1), (n_members, len(self.sizes))):
            return values
        full = values.expand_as(tensor)
        means = self.mean_squares(full).sqrt()
        for view, mean in self.spread(means, full):
            if not torch.isclose(view, mean, rtol=1e-5, atol=0.0).all():
                raise ValueError(
                    "The proximal operator of a group penalty has no closed form for steps "
                    "that differ within a group: give one step per group. ProximalAdam "
                    "does so by averaging its second moment over each group."
                )
        return means

    def _constant(
        self, name: str, values: list, dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        key = name, dtype, device
        if key not in self._tensors:
            self._tensors[key] = torch.tensor(values, dtype=dtype, device=device)
        return self._tensors[key]

    def __getstate__(self) -> dict[str, Any]:
        # The tensors may be on a device that is not there where a pickle is loaded.
        return {**self.__dict__, "_tensors": {}}


class GroupView:
    """A tensor by group, for what is done to it again and again.

    Views of its layers are made once, and what is found goes to memory that is kept: a result
    holds until the same method is called again.

    >>> import torch
    >>> from skreg.penalties.groups import GroupView, grouping_of
    >>> layer = torch.tensor([[[3.0, 4.0], [0.0, 2.0]]])
    >>> grouped = GroupView(grouping_of(layer), layer)
    >>> grouped.norms()
    tensor([[5., 2.]])
    >>> grouped.scale_(torch.tensor([[0.2, 1.0]]))
    >>> layer
    tensor([[[0.6000, 0.8000],
             [0.0000, 2.0000]]])
    """

    def __init__(self, grouping: Grouping, tensor: Tensor) -> None:
        self.tensor = tensor
        self.layers = grouping.views(tensor)
        self._n_rows = [rows for rows, _ in grouping.layers]
        self._index = grouping.index(tensor.device)
        self._norms, self._by_row = (self._new_rows(tensor) for _ in range(2))
        # Not used where every row is a group.
        n_groups = 0 if self._index is None else len(grouping.sizes)
        self._of_groups = tensor.new_empty(len(self.layers[0]), n_groups, requires_grad=False)

    def _new_rows(self, tensor: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Memory for a number per row: as a whole, and shaped for each layer."""
        rows = tensor.new_empty(len(self.layers[0]), sum(self._n_rows), requires_grad=False)
        parts = rows.split_with_sizes(self._n_rows, 1)
        return rows, [
            part[(..., *[None] * (view.ndim - 2))]
            for part, view in zip(parts, self.layers, strict=True)
        ]

    def norms(self) -> Tensor:
        """Euclidean norm of each group, shape (n_members, n_groups)."""
        rows, parts = self._norms
        for view, part in zip(self.layers, parts, strict=True):
            axes = tuple(range(2, view.ndim))
            torch.linalg.vector_norm(view, dim=axes, keepdim=True, out=part)
        if self._index is None:
            return rows
        return self._of_groups.zero_().index_add_(1, self._index, rows.square_()).sqrt_()

    def spread(self, by_group: Tensor) -> list[Tensor]:
        """A number per group, shape (n_members, n_groups) or less, shaped for each layer."""
        rows, parts = self._by_row
        if self._index is not None and by_group.ndim and by_group.shape[-1] > 1:
            by_group = by_group.index_select(-1, self._index)
        rows.copy_(by_group)
        return parts

    def scale_(self, by_group: Tensor) -> None:
        """Multiply each group by its number."""
        for view, factor in zip(self.layers, self.spread(by_group), strict=True):
            view.mul_(factor)


@lru_cache(maxsize=64)
def flat_grouping(
    layers: tuple[tuple[int, int], ...], row_groups: tuple[int, ...] | None
) -> Grouping:
    """The grouping of a flat tensor, made once however often a penalty is exchanged."""
    return Grouping(layers, row_groups)


def grouping_of(tensor: Tensor) -> Grouping:
    """The groups of a tensor that is one layer, in the shapes torch gives them.

    - (n_members, fan_in, fan_out): a layer of a stack, a group for each input;
    - (fan_out, fan_in), the weight of ``torch.nn.Linear``: a group for each column;
    - four axes and more, the weight of a convolution: a group for each input channel;
    - one axis, a bias: every entry is a group.
    """
    return _single_layer(tensor.shape)


@lru_cache(maxsize=256)
def _single_layer(shape: torch.Size) -> Grouping:
    rows = _as_rows(torch.empty(shape, device="meta")).shape
    return Grouping([(rows[1], rows[2:].numel())], flat=False)


def _as_rows(tensor: Tensor) -> Tensor:
    """A view of shape (n_members, n_rows, ...) of a tensor that is one layer."""
    if tensor.ndim == 3:
        return tensor
    if tensor.ndim <= 1:
        return tensor.reshape(1, -1, 1)
    return tensor.transpose(0, 1).unsqueeze(0)


def groups_of_features(
    groups: Any, n_features: int, names: Sequence[str] | None
) -> tuple[int, ...]:
    """Return the number of the group that each feature is in.

    A group is a prefix of column names, or a sequence of column indices or of column names. A
    feature in none of them is a group by itself.

    >>> from skreg.penalties.groups import groups_of_features
    >>> groups_of_features([[1, 3]], 4, None)
    (1, 0, 2, 0)
    >>> groups_of_features(["city_"], 3, ["city_Bonn", "age", "city_Rome"])
    (0, 1, 0)
    """
    if isinstance(groups, str) or not isinstance(groups, Sequence | np.ndarray):
        raise ValueError(
            f"groups must be a list of groups, each a list of column indices, a list of column "
            f"names or a prefix of column names, got {groups!r}."
        )
    names = None if names is None else list(names)
    of_feature: dict[int, int] = {}
    for number, group in enumerate(groups):
        for column in _columns(group, n_features, names):
            if column in of_feature:
                shown = column if names is None else repr(names[column])
                other = groups[of_feature[column]]
                twice = "twice in" if of_feature[column] == number else f"in {other!r} and in"
                raise ValueError(
                    f"groups must not overlap, but feature {shown} is {twice} {group!r}. "
                    f"Leave it in one group."
                )
            of_feature[column] = number
    rest = count(len(groups))
    return tuple(of_feature[j] if j in of_feature else next(rest) for j in range(n_features))


def _columns(group: Any, n_features: int, names: Sequence[str] | None) -> list[int]:
    """The columns of one group, as indices."""
    by_name = isinstance(group, str) or any(isinstance(entry, str) for entry in group)
    if by_name and names is None:
        raise ValueError(
            f"groups has {group!r}, but X has no column names. Fit on a data frame, or give "
            f"column indices."
        )
    if isinstance(group, str):
        columns = [j for j, name in enumerate(names or []) if name.startswith(group)]
        if not columns:
            raise ValueError(
                f"groups has the prefix {group!r}, but no column of X begins with it; the "
                f"first is {next(iter(names or []), None)!r}."
            )
        return columns
    if not len(group):
        raise ValueError("groups has an empty group. Leave it out.")
    if by_name:
        places = {name: j for j, name in enumerate(names or [])}
        missing = [name for name in group if name not in places]
        if missing:
            raise ValueError(
                f"groups has {missing[0]!r}, which is no column of X. To take all columns that "
                f"begin with it, give the string in place of a list of it."
            )
        return [places[name] for name in group]
    for column in group:
        if isinstance(column, bool | np.bool_) or not isinstance(column, Integral):
            raise ValueError(
                f"groups must hold column indices or names, but {group!r} has {column!r}."
            )
        if not 0 <= int(column) < n_features:
            raise ValueError(
                f"groups has the column index {column}, but X has {n_features} features: "
                f"indices go from 0 to {n_features - 1}."
            )
    return [int(column) for column in group]
