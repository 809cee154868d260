"""Layers of an MLP as lists of calls, planned once for batches of one size.

A layer gives its passes as calls in which everything is looked up but the inputs: on a small
network finding the same tensors again for every batch takes a fifth of the step. Which layer is
quick depends on how many members a stack has, whether they read the same rows, and how many
outputs there are: :func:`kind_of_layer` knows, and ``benchmarks/layers.py`` shows what each
kind gains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from skreg.modules.activations import ACTIVATIONS

Call = Callable[..., Any]

# Batched products with fewer columns than this are several times slower on a CPU than the
# same product transposed: the library's small kernels are made for rows.
_NARROW = 16


class StackedLayer:
    """One layer of several members, each with a table of rows: products are batched."""

    def __init__(self, weight: Tensor, bias: Tensor, *gradients: Tensor) -> None:
        self.weight, self.bias = weight, bias.unsqueeze(1)
        if gradients:
            self.weight_gradient, self.bias_gradient = gradients

    def new_output(self, n_rows: int) -> Tensor:
        return self.weight.new_empty(len(self.weight), n_rows, self.weight.shape[2])

    def forward(self, out: Tensor) -> Call:
        """Return what writes the outputs for inputs x."""
        weight, bias = self.weight, self.bias
        return lambda x: torch.baddbmm(bias, x, weight, out=out)

    def backward(self, delta: Tensor) -> Call:
        """Return what writes the gradient of the weights for x, given also transposed."""
        weight_gradient = self.weight_gradient
        return lambda x, columns: torch.bmm(columns, delta, out=weight_gradient)

    def bias_backward(self, delta: Tensor) -> Call:
        """Return what writes the gradient of the biases."""
        return partial(torch.sum, delta, 1, out=self.bias_gradient)

    def pass_down(self, delta: Tensor, out: Tensor) -> Call:
        """Return what writes the gradient of the inputs."""
        return partial(torch.bmm, delta, self.weight.mT, out=out)


class SingleLayer(StackedLayer):
    """One layer of a single network. Its rows have no member axis: mm is quicker than bmm."""

    def __init__(self, weight: Tensor, bias: Tensor, *gradients: Tensor) -> None:
        super().__init__(weight[0], bias, *gradients)
        self.bias = bias
        if gradients:
            self.weight_gradient = gradients[0][0]

    def new_output(self, n_rows: int) -> Tensor:
        return self.weight.new_empty(n_rows, self.weight.shape[1])

    def forward(self, out: Tensor) -> Call:
        weight, bias = self.weight, self.bias
        return lambda x: torch.addmm(bias, x, weight, out=out)

    def backward(self, delta: Tensor) -> Call:
        weight_gradient = self.weight_gradient
        return lambda x, columns: torch.mm(columns, delta, out=weight_gradient)

    def bias_backward(self, delta: Tensor) -> Call:
        # A product too, and not a sum: one kind of call is quicker than two by turns.
        return partial(torch.mm, delta.new_ones(1, len(delta)), delta, out=self.bias_gradient)

    def pass_down(self, delta: Tensor, out: Tensor) -> Call:
        return partial(torch.mm, delta, self.weight.mT, out=out)


class WideLayer(StackedLayer):
    """The first layer of several members that read the same rows: one product for them all."""

    def __init__(self, weight: Tensor, bias: Tensor, *gradients: Tensor) -> None:
        super().__init__(weight, bias, *gradients)
        n_members, n_inputs, n_outputs = weight.shape
        # The matrices side by side. No gradient is passed below the first layer, so that what
        # holds the weights on the way up can hold their gradient on the way down.
        self._wide = weight.new_empty(n_inputs, n_members, n_outputs)
        self._matrix, self._members = self._wide.flatten(1), self._wide.transpose(0, 1)

    def new_output(self, n_rows: int) -> Tensor:
        # Each member's is a view of some columns of one matrix.
        shape = (n_rows, *self._wide.shape[1:])
        return self.weight.new_empty(shape).transpose(0, 1)

    def forward(self, out: Tensor) -> Call:
        weight, members, matrix = self.weight, self._members, self._matrix
        out, bias = out.transpose(0, 1).flatten(1), self.bias

        def forward(x: Tensor) -> None:
            members.copy_(weight)
            torch.addmm(bias.flatten(), x, matrix, out=out)

        return forward

    def backward(self, delta: Tensor) -> Call:
        weight_gradient, members, matrix = self.weight_gradient, self._members, self._matrix
        wide = delta.transpose(0, 1).flatten(1)

        def backward(x: Tensor, columns: Tensor) -> None:
            torch.mm(columns, wide, out=matrix)
            weight_gradient.copy_(members)

        return backward


class NarrowLayer(StackedLayer):
    """A layer of a few outputs: each product in the orientation that is fast.

    The gradient is computed transposed, in rows, and then written in columns.
    """

    def __init__(self, weight: Tensor, bias: Tensor, *gradients: Tensor) -> None:
        super().__init__(weight, bias, *gradients)
        self._rows = weight.mT.contiguous()
        self._row_gradient = torch.empty_like(self._rows)

    def forward(self, out: Tensor) -> Call:
        rows, columns, bias = self._rows, self._rows.mT, self.bias
        weight = self.weight.mT

        def forward(x: Tensor) -> None:
            rows.copy_(weight)
            torch.baddbmm(bias, x, columns, out=out)

        return forward

    def backward(self, delta: Tensor) -> Call:
        weight_gradient, rows, row_gradient = self.weight_gradient, delta.mT, self._row_gradient
        column_gradient = row_gradient.mT

        def backward(x: Tensor, columns: Tensor) -> None:
            if x.ndim == 2:
                # Rows that all members share come to layers of one output alone.
                torch.mm(rows[:, 0], x, out=row_gradient[:, 0])
            else:
                torch.bmm(rows, x, out=row_gradient)
            weight_gradient.copy_(column_gradient)

        return backward

    def pass_down(self, delta: Tensor, out: Tensor) -> Call:
        return partial(torch.bmm, delta, self._rows, out=out)


class SingleOutputLayer(NarrowLayer):
    """A layer of one output: its weights are a row, and so are its outputs."""

    def __init__(self, weight: Tensor, bias: Tensor, *gradients: Tensor) -> None:
        StackedLayer.__init__(self, weight, bias, *gradients)
        # Views and not transposes: of an axis of length 1 the strides matter to bmm.
        self._rows = weight.view(len(weight), 1, -1)
        self._row_gradient = torch.empty_like(self._rows)

    def forward(self, out: Tensor) -> Call:
        row, bias, weights = out.view(len(out), 1, -1), self.bias, self._rows

        def forward(x: Tensor) -> None:
            if x.ndim == 2:
                # The rows that all members share times all their weights: one ordinary product.
                torch.addmm(bias[:, 0], weights[:, 0], x.mT, out=row[:, 0])
            else:
                torch.baddbmm(bias, weights, x.mT, out=row)

        return forward

    def pass_down(self, delta: Tensor, out: Tensor) -> Call:
        return partial(torch.mul, delta, self._rows, out=out)


def kind_of_layer(weight: Tensor, *, shares_rows: bool) -> type[StackedLayer]:
    """Return the quickest kind for a layer of this weight."""
    n_members, _, n_outputs = weight.shape
    if n_members == 1:
        return SingleLayer
    if n_outputs == 1 and weight.is_cpu:
        return SingleOutputLayer
    if shares_rows:
        return WideLayer
    return NarrowLayer if n_outputs < _NARROW and weight.is_cpu else StackedLayer


class Pass:
    """The calls of a pass over batches of one size, and what they write to.

    Every input but that of the first layer is a buffer, so that all calls can be listed before
    there are rows.
    """

    def __init__(self, layers: Sequence[StackedLayer], n_rows: int, activation: str) -> None:
        self._layers, self._activation = layers, activation
        self._outputs = [layer.new_output(n_rows) for layer in layers]
        output = self._outputs[-1]
        self.raw = output if output.ndim == 3 else output.unsqueeze(0)
        # A tensor, since torch turns a number into one in every operation.
        self.share = output.new_tensor(1 / max(1, n_rows))
        activate = ACTIVATIONS[activation].in_place
        self._first_up = layers[0].forward(self._outputs[0])
        self._up: list[Call] = []
        self._down: list[Call] = []
        self._last_down: Call | None = None
        for layer, (below, out) in zip(layers[1:], pairwise(self._outputs), strict=True):
            if activate is not None:
                self._up.append(partial(activate, below))
            self._up.append(partial(layer.forward(out), below))

    def forward(self, x: Tensor) -> None:
        """Write the raw outputs to `raw`."""
        self._first_up(x)
        for call in self._up:
            call()

    def backward(self, x: Tensor) -> None:
        """Write the gradients of all layers, from that of the raw outputs in their place."""
        if self._last_down is None:
            self._last_down = self._plan_backward()
        for call in self._down:
            call()
        self._last_down(x, x.mT)

    def _plan_backward(self) -> Call:
        """Fill the list of calls but for that of the first layer, which is returned."""
        delta, chain = self._outputs[-1], ACTIVATIONS[self._activation].chain
        for layer, below in zip(self._layers[:0:-1], self._outputs[-2::-1], strict=True):
            out = torch.empty_like(below)
            self._down.append(partial(layer.backward(delta), below, below.mT))
            self._down += [layer.bias_backward(delta), layer.pass_down(delta, out)]
            if chain is not None:
                self._down.append(partial(chain, out, below))
            delta = out
        self._down.append(self._layers[0].bias_backward(delta))
        return self._layers[0].backward(delta)
