"""Which weights form a group, and arithmetic by group.

A group is the outgoing weights of one unit: of an input feature in the first layer, of a
hidden neuron in the others. In a stack's layer of shape (n_members, fan_in, fan_out) it is a
row. Layers that stand in one flat tensor (see :mod:`skreg.modules`) have their groups one
after the other, so that what is done once per group is done for all layers at once.

>>> import torch
>>> from skreg._groups import GroupLayout
>>> layout = GroupLayout([(2, 2), (1, 3)])           # two layers in a flat tensor of 7
>>> layout.norms(torch.tensor([[3.0, 4, 0, 2, 1, 2, 2]]))
tensor([[5., 2., 3.]])
>>> layout.sizes
[2, 2, 3]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

__all__ = ["GroupLayout", "layout_of"]


class GroupLayout:
    """The groups of one weight tensor.

    Parameters
    ----------
    layers : sequence of (n_rows, row_size)
        The layers of the tensor, each with a group for each row.
    row_groups : sequence of int, default=None
        For each row of the first layer the number of its group, from 0 without a gap. None
        makes each row a group of its own.
    flat : bool, default=True
        Whether the tensor has the shape (n_members, n_weights) and holds one layer after the
        other. Otherwise it is a single layer as torch shapes it: see :func:`layout_of`.

    Attributes
    ----------
    sizes : list of int
        Weights in each group; those of the first layer come first.
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
        groups = list(range(n_rows) if row_groups is None else row_groups)
        n_merged = max(groups, default=-1) + 1
        rest = [size for rows, size in self.layers[1:] for _ in range(rows)]
        counts = Counter(groups)
        self.sizes = [row_size * counts[group] for group in range(n_merged)] + rest
        # Where every row is a group there is nothing to gather.
        self._group_of_row = None
        if row_groups is not None:
            self._group_of_row = [*groups, *range(n_merged, n_merged + len(rest))]
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

    def spread(self, by_group: Tensor, tensor: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The views of `tensor`, each with the values of its groups to broadcast against it."""
        if self._group_of_row is not None:
            index = self._constant("index", self._group_of_row, torch.int64, by_group.device)
            by_group = by_group.index_select(-1, index)
        by_layer = by_group.split_with_sizes([rows for rows, _ in self.layers], -1)
        return [
            (view, part.reshape(*part.shape, *[1] * (view.ndim - 2)))
            for view, part in zip(self.views(tensor), by_layer, strict=True)
        ]

    def norms(self, tensor: Tensor) -> Tensor:
        """Euclidean norm of each group, shape (n_members, n_groups)."""
        by_layer = [
            torch.linalg.vector_norm(view, dim=tuple(range(2, view.ndim)))
            for view in self.views(tensor)
        ]
        rows = by_layer[0] if len(by_layer) == 1 else torch.cat(by_layer, 1)
        if self._group_of_row is None:
            return rows
        index = self._constant("index", self._group_of_row, torch.int64, rows.device)
        squares = rows.new_zeros(len(rows), len(self.sizes))
        return squares.index_add(1, index, rows.square()).sqrt()

    def mean_squares(self, tensor: Tensor) -> Tensor:
        """Mean of the squares in each group, shape (n_members, n_groups)."""
        sizes = self._constant("sizes", self.sizes, tensor.dtype, tensor.device)
        return self.norms(tensor).square() / sizes

    def root_sizes(self, tensor: Tensor) -> Tensor:
        """Roots of `sizes`, shape (n_groups,), of the type of `tensor` and beside it."""
        roots = [size**0.5 for size in self.sizes]
        return self._constant("roots", roots, tensor.dtype, tensor.device)

    def by_group(self, values: float | Tensor, tensor: Tensor) -> float | Tensor:
        """One value per group, from a number or a tensor that broadcasts against `tensor`.

        Values of shape (n_members, n_groups) or (n_members, 1) are taken as they are.

        Raises
        ------
        ValueError
            If the values differ within a group.
        """
        n_members = len(self.views(tensor)[0])
        if not isinstance(values, Tensor) or values.numel() == 1:
            return float(values)
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


def layout_of(tensor: Tensor) -> GroupLayout:
    """The groups of a tensor that is one layer, in the shapes torch gives them.

    - (n_members, fan_in, fan_out): a layer of a stack, a group for each input;
    - (fan_out, fan_in), the weight of ``torch.nn.Linear``: a group for each column;
    - four axes and more, the weight of a convolution: a group for each input channel;
    - one axis, a bias: every entry is a group of its own.

    Examples
    --------
    >>> import torch
    >>> from skreg._groups import layout_of
    >>> layout_of(torch.nn.Linear(3, 8).weight).sizes
    [8, 8, 8]
    """
    return _single_layer(tensor.shape)


@lru_cache(maxsize=256)
def _single_layer(shape: torch.Size) -> GroupLayout:
    rows = _as_rows(torch.empty(shape, device="meta")).shape
    return GroupLayout([(rows[1], rows[2:].numel())], flat=False)


def _as_rows(tensor: Tensor) -> Tensor:
    """A view of shape (n_members, n_rows, ...) of a tensor that is one layer."""
    if tensor.ndim == 3:
        return tensor
    if tensor.ndim <= 1:
        return tensor.reshape(1, -1, 1)
    return tensor.transpose(0, 1).unsqueeze(0)
