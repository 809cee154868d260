"""Outputs and gradients of an MLP by hand: autograd's numbers without a graph to record.

On networks of the size one trains on a table of numbers autograd spends more time on its
graph than on arithmetic, and every call costs as much as the arithmetic of a small batch.
Here the forward and the backward pass run in as few calls as they can, over buffers that are
allocated once, and the gradients of all layers are views into one flat tensor, ready for one
call of the optimizer.

The members of a stack that read the same rows are one network to the processor: side by side
their first layers are a single wide matrix, and one product for all of them is up to a third
faster than a product each.

>>> import torch
>>> from skreg._backprop import Backprop
>>> from skreg.losses import SquaredError
>>> from skreg.modules import MLP
>>> module = MLP(3, (4,), 1, random_state=0)
>>> x, y = torch.eye(3), torch.ones(3, 1)
>>> backprop = Backprop(module, SquaredError())
>>> raw = backprop(x, y, None)
>>> SquaredError().value(module(x), y).mean().backward()
>>> torch.allclose(backprop.gradients[0], module.weight.grad)
True
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from skreg.losses import Loss
from skreg.modules import MLP

__all__ = ["Backprop", "Forward", "outputs_at_once"]

Call = Callable[..., Any]

# In place, and their derivatives in terms of their own outputs: delta *= f'(x). The identity
# has nothing to do.
_aten = torch.ops.aten
_sigmoid_backward = _aten.sigmoid_backward.grad_input
_tanh_backward = _aten.tanh_backward.grad_input
_threshold_backward = _aten.threshold_backward.grad_input
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor] | None] = {
    "identity": None,
    "logistic": torch.sigmoid_,
    "tanh": torch.tanh_,
    "relu": torch.relu_,
}
_DERIVATIVES: dict[str, Callable[[Tensor, Tensor], Call] | None] = {
    "identity": None,
    "logistic": lambda delta, output: partial(
        _sigmoid_backward, delta, output, grad_input=delta
    ),
    "tanh": lambda delta, output: partial(_tanh_backward, delta, output, grad_input=delta),
    "relu": lambda delta, output: partial(
        _threshold_backward, delta, output, 0, grad_input=delta
    ),
}

# Batched products with fewer columns than this are several times slower on a CPU than the
# same product transposed: the library's small kernels are made for rows.
_NARROW = 16


# A layer gives its passes as calls in which everything is looked up but the inputs: on a small
# network finding the same tensors anew for every batch takes a fifth of the step.


class _Layer:
    """One layer of a single network. Its rows have no member axis: mm is quicker than bmm."""

    def __init__(self, weight: Tensor, bias: Tensor, *gradients: Tensor) -> None:
        self.weight, self.bias = weight[0], bias
        if gradients:
            self.weight_gradient, self.bias_gradient = gradients[0][0], gradients[1]

    def new_output(self, n_rows: int) -> Tensor:
        return self.weight.new_empty(n_rows, self.weight.shape[1])

    def forward(self, out: Tensor) -> Call:
        """Return what writes the outputs for inputs x."""
        weight, bias = self.weight, self.bias
        return lambda x: torch.addmm(bias, x, weight, out=out)

    def backward(self, delta: Tensor) -> Call:
        """Return what writes the gradients for inputs x, given also transposed."""
        weight_gradient, bias_gradient = self.weight_gradient, self.bias_gradient
        ones = delta.new_ones(1, len(delta))

        def backward(x: Tensor, columns: Tensor) -> None:
            torch.mm(columns, delta, out=weight_gradient)
            # A product too, and not a sum: one kind of call is quicker than two by turns.
            torch.mm(ones, delta, out=bias_gradient)

        return backward

    def pass_down(self, delta: Tensor, out: Tensor) -> Call:
        """Return what writes the gradient of the inputs."""
        return partial(torch.mm, delta, self.weight.mT, out=out)


class _StackedLayer:
    """One layer of several members, each with rows of its own: products are batched."""

    def __init__(self, weight: Tensor, bias: Tensor, *gradients: Tensor) -> None:
        self.weight, self.bias = weight, bias.unsqueeze(1)
        if gradients:
            self.weight_gradient, self.bias_gradient = gradients

    def new_output(self, n_rows: int) -> Tensor:
        return self.weight.new_empty(len(self.weight), n_rows, self.weight.shape[2])

    def forward(self, out: Tensor) -> Call:
        weight, bias = self.weight, self.bias
        return lambda x: torch.baddbmm(bias, x, weight, out=out)

    def backward(self, delta: Tensor) -> Call:
        weight_gradient, bias_gradient = self.weight_gradient, self.bias_gradient

        def backward(x: Tensor, columns: Tensor) -> None:
            torch.bmm(columns, delta, out=weight_gradient)
            torch.sum(delta, 1, out=bias_gradient)

        return backward

    def pass_down(self, delta: Tensor, out: Tensor) -> Call:
        return partial(torch.bmm, delta, self.weight.mT, out=out)


class _WideLayer(_StackedLayer):
    """The first layer of several members that read the same rows: one product for them all."""

    def __init__(self, weight: Tensor, bias: Tensor, *gradients: Tensor) -> None:
        super().__init__(weight, bias, *gradients)
        n_members, n_inputs, n_outputs = weight.shape
        # The matrices side by side. The pass down ends here, so that what holds the weights
        # on the way up can hold their gradient on the way down.
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
        weight_gradient, bias_gradient = self.weight_gradient, self.bias_gradient
        members, matrix = self._members, self._matrix
        wide = delta.transpose(0, 1).flatten(1)

        def backward(x: Tensor, columns: Tensor) -> None:
            torch.mm(columns, wide, out=matrix)
            weight_gradient.copy_(members)
            torch.sum(delta, 1, out=bias_gradient)

        return backward


class _NarrowLayer(_StackedLayer):
    """A layer of a few outputs: each product in the orientation that is fast."""

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
        weight_gradient, bias_gradient = self.weight_gradient, self.bias_gradient
        rows, row_gradient = delta.mT, self._row_gradient
        column_gradient = row_gradient.mT

        def backward(x: Tensor, columns: Tensor) -> None:
            torch.bmm(rows, x, out=row_gradient)
            weight_gradient.copy_(column_gradient)
            torch.sum(delta, 1, out=bias_gradient)

        return backward

    def pass_down(self, delta: Tensor, out: Tensor) -> Call:
        return partial(torch.bmm, delta, self._rows, out=out)


class _SingleOutputLayer(_StackedLayer):
    """A layer of one output: its weights are a row, and so are its outputs."""

    def __init__(self, weight: Tensor, bias: Tensor, *gradients: Tensor) -> None:
        super().__init__(weight, bias, *gradients)
        # Views and not transposes: of an axis of length 1 the strides matter to bmm.
        self._row = weight.view(len(weight), 1, -1)
        self._row_gradient = torch.empty_like(self._row)

    def forward(self, out: Tensor) -> Call:
        row, bias, weights = out.view(len(out), 1, -1), self.bias, self._row

        def forward(x: Tensor) -> None:
            if x.ndim == 2:
                # The rows that all members share times all their weights: one ordinary product.
                torch.addmm(bias[:, 0], weights[:, 0], x.mT, out=row[:, 0])
            else:
                torch.baddbmm(bias, weights, x.mT, out=row)

        return forward

    def backward(self, delta: Tensor) -> Call:
        weight_gradient, bias_gradient = self.weight_gradient, self.bias_gradient
        rows, row_gradient = delta.mT, self._row_gradient
        column_gradient = row_gradient.mT

        def backward(x: Tensor, columns: Tensor) -> None:
            if x.ndim == 2:
                torch.mm(rows[:, 0], x, out=row_gradient[:, 0])
            else:
                torch.bmm(rows, x, out=row_gradient)
            weight_gradient.copy_(column_gradient)
            torch.sum(delta, 1, out=bias_gradient)

        return backward

    def pass_down(self, delta: Tensor, out: Tensor) -> Call:
        return partial(torch.mul, delta, self._row, out=out)


def _kind_of_layer(weight: Tensor, *, shares_rows: bool) -> type[_Layer] | type[_StackedLayer]:
    n_members, _, n_outputs = weight.shape
    if n_members == 1:
        return _Layer
    if n_outputs == 1 and weight.is_cpu:
        return _SingleOutputLayer
    if shares_rows:
        return _WideLayer
    return _NarrowLayer if n_outputs < _NARROW and weight.is_cpu else _StackedLayer


class _Pass:
    """The calls of a pass over batches of one size, and what they write to.

    Every input but that of the first layer is a buffer, and so all is known before there are
    rows: a pass is to go through a list.
    """

    def __init__(
        self, layers: Sequence[_Layer | _StackedLayer], n_rows: int, activation: str
    ) -> None:
        self._layers, self._activation = layers, activation
        self._outputs = [layer.new_output(n_rows) for layer in layers]
        output = self._outputs[-1]
        self.raw = output if output.ndim == 3 else output.unsqueeze(0)
        # A tensor, since torch turns a number into one anew in every operation.
        self.share = output.new_tensor(1 / max(1, n_rows))
        activate = _ACTIVATIONS[activation]
        self._first_up = layers[0].forward(self._outputs[0])
        self._up: list[Call] = []
        for layer, below, out in zip(
            layers[1:], self._outputs[:-1], self._outputs[1:], strict=True
        ):
            if activate is not None:
                self._up.append(partial(activate, below))
            self._up.append(partial(layer.forward(out), below))
        self._down: list[Call] = []
        self._last_down: Call | None = None

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
        delta, differentiate = self._outputs[-1], _DERIVATIVES[self._activation]
        for layer, below in zip(self._layers[:0:-1], self._outputs[-2::-1], strict=True):
            out = torch.empty_like(below)
            self._down.append(partial(layer.backward(delta), below, below.mT))
            self._down.append(layer.pass_down(delta, out))
            if differentiate is not None:
                self._down.append(differentiate(out, below))
            delta = out
        return self._layers[0].backward(delta)


class _Part:
    """Members of a stack that are computed by the same calls.

    One member; several that read the same rows; or several with rows of their own.
    """

    def __init__(
        self,
        members: slice,
        tables: int | slice,
        layers: list[_Layer | _StackedLayer],
        activation: str,
    ) -> None:
        self.members = members
        self._tables, self._layers, self._activation = tables, layers, activation
        self._passes: dict[int, _Pass] = {}

    def rows(self, X: Tensor) -> Tensor:
        """The table or tables that these members read."""
        return X[self._tables] if X.ndim == 3 else X

    def forward(self, x: Tensor) -> _Pass:
        """Return the pass in which the raw outputs on these rows are."""
        n_rows = x.shape[-2]
        # Two sizes at most: a full batch, and the last of an epoch.
        pass_ = self._passes.get(n_rows)
        if pass_ is None:
            pass_ = self._passes[n_rows] = _Pass(self._layers, n_rows, self._activation)
        pass_.forward(x)
        return pass_


def _cut(readers: Sequence[int]) -> list[tuple[slice, int | slice]]:
    """Members of each part, and the table or tables that they read."""
    parts: list[tuple[slice, int | slice]] = []
    member = table = 0
    for alone, run in groupby(readers, key=lambda n: n == 1):
        sizes = list(run)
        if alone and len(sizes) > 1:
            # A table each: batched.
            n = len(sizes)
            parts.append((slice(member, member + n), slice(table, table + n)))
            member, table = member + n, table + n
            continue
        for n in sizes:
            parts.append((slice(member, member + n), table))
            member, table = member + n, table + 1
    return parts


class Forward:
    """Raw outputs of a :class:`~skreg.modules.MLP` in evaluation mode, in buffers of its own.

    The same as the module's own forward to rounding. That makes new tensors for every hidden
    layer of every batch, and on many rows the system spends as long on handing out their
    memory as the network does on its products; on a single row the calls are what costs, and
    here there are few.

    Parameters
    ----------
    module : MLP
    readers : sequence of int, default=None
        How many members, in their order, read each of the tables in a batch. None is one
        table for all members.

    Examples
    --------
    >>> import torch
    >>> from skreg._backprop import Forward
    >>> from skreg.modules import MLP
    >>> module = MLP(3, (4,), 1, random_state=0)
    >>> torch.allclose(Forward(module).outputs(torch.eye(3)), module(torch.eye(3)))
    True
    """

    def __init__(self, module: MLP, readers: Sequence[int] | None = None) -> None:
        self.module = module
        self._parts = self._make_parts(readers)

    def _make_parts(self, readers: Sequence[int] | None, *gradients: Tensor) -> list[_Part]:
        module = self.module
        weights = module.split_weights(module.weight.detach())
        biases = module.split_biases(module.bias.detach())
        tensors: list[list[Tensor]] = [weights, biases]
        if gradients:
            tensors += [module.split_weights(gradients[0]), module.split_biases(gradients[1])]
        parts = []
        for members, tables in _cut(readers or [module.n_members]):
            layers = []
            for number, layer in enumerate(zip(*tensors, strict=True)):
                own = [tensor[members] for tensor in layer]
                shares_rows = number == 0 and isinstance(tables, int)
                layers.append(_kind_of_layer(own[0], shares_rows=shares_rows)(*own))
            parts.append(_Part(members, tables, layers, module.activation))
        return parts

    def outputs(self, X: Tensor) -> Tensor:
        """Return raw outputs, shape (n_members, n_samples, n_outputs), in memory of their own.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_features) or (n_tables, n_samples, n_features)
        """
        raw = self.new_outputs(X)
        for part in self._parts:
            raw[part.members] = part.forward(part.rows(X)).raw
        return raw

    def new_outputs(self, X: Tensor) -> Tensor:
        """Return memory for the raw outputs on these rows."""
        return X.new_empty(self.module.n_members, X.shape[-2], self.module.n_outputs)


def outputs_at_once(module: MLP, x: Tensor) -> Tensor:
    """Return what :class:`Forward` gives for a single network, without making a plan.

    A plan pays from its second batch on. For a single row it takes ten times as long as the
    products.

    Parameters
    ----------
    module : MLP
        With one member.
    x : Tensor of shape (n_samples, n_features)

    Examples
    --------
    >>> import torch
    >>> from skreg._backprop import outputs_at_once
    >>> from skreg.modules import MLP
    >>> module = MLP(3, (4,), 1, random_state=0)
    >>> torch.allclose(outputs_at_once(module, torch.eye(3)), module(torch.eye(3)))
    True
    """
    activate = _ACTIVATIONS[module.activation]
    weights = module.split_weights(module.weight.detach())
    biases = module.split_biases(module.bias.detach())
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = torch.addmm(bias, x, weight[0])
        if activate is not None:
            activate(x)
    return torch.addmm(biases[-1], x, weights[-1][0]).unsqueeze(0)


class Backprop(Forward):
    """Outputs and gradients of an :class:`~skreg.modules.MLP` by hand.

    Calling it fills `gradients` with those of the weighted mean loss of every member.
    Dropout is autograd's business.

    Parameters
    ----------
    module : MLP
        Without dropout, or in evaluation mode.
    loss : Loss
    readers : sequence of int, default=None
        As in :class:`Forward`.
    """

    def __init__(self, module: MLP, loss: Loss, readers: Sequence[int] | None = None) -> None:
        self.loss = loss
        parameters = (module.weight.detach(), module.bias.detach())
        self.gradients = tuple(torch.zeros_like(parameter) for parameter in parameters)
        super().__init__(module, readers)

    def _make_parts(self, readers: Sequence[int] | None, *gradients: Tensor) -> list[_Part]:
        return super()._make_parts(readers, *self.gradients)

    def attach(self) -> None:
        """Make the gradients those of the module's parameters, for an optimizer to read.

        Once is enough, until somebody sets them to None: each call overwrites them.
        """
        for parameter, gradient in zip(self.module.parameters(), self.gradients, strict=True):
            parameter.grad = gradient

    def __call__(
        self,
        X: Tensor,
        y: Tensor,
        sample_weight: Tensor | None,
        raw: Tensor | None = None,
    ) -> Tensor:
        """Fill the gradients of the weighted mean loss; return the raw outputs.

        The losses are left to be computed from these, of many batches at once.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_features) or (n_tables, n_samples, n_features)
        y : Tensor of shape (n_samples, n_outputs) or (n_members, n_samples, n_outputs)
        sample_weight : Tensor of shape (n_samples,) or (n_members, n_samples), or None
        raw : Tensor of shape (n_members, n_samples, n_outputs), default=None
            Where to write the raw outputs.
        """
        raw = self.new_outputs(X) if raw is None else raw
        for part in self._parts:
            x = part.rows(X)
            pass_ = part.forward(x)
            target, weights, own = y, sample_weight, raw
            if len(self._parts) > 1:
                own = raw[part.members]
                target = y if y.ndim == 2 else y[part.members]
                if weights is not None and weights.ndim == 2:
                    weights = weights[part.members]
            own.copy_(pass_.raw)
            # Then in place, from the raw outputs to the gradient of the mean loss.
            delta = self.loss.gradient_(pass_.raw, target).mul_(pass_.share)
            if weights is not None:
                delta.mul_(weights.unsqueeze(-1))
            pass_.backward(x)
        return raw
