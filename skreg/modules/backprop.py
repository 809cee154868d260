"""Outputs and gradients of an MLP by hand: autograd's numbers without a graph to record.

On networks of the size one trains on a table of numbers autograd spends more time on its
graph than on arithmetic, and every call costs as much as the arithmetic of a small batch.
Here the forward and the backward pass run in as few calls as they can, over buffers that are
allocated once, and the gradients of all layers are views into one flat tensor, ready for one
call of the optimizer.

>>> import torch
>>> from skreg.modules.backprop import Backprop
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

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from skreg.losses import Loss
from skreg.modules.activations import ACTIVATIONS
from skreg.modules.layers import Pass, StackedLayer, kind_of_layer
from skreg.modules.mlp import MLP


class _Part:
    """Members of a stack that are computed by the same calls.

    One member; several that read the same rows; or several with a table each.
    """

    def __init__(
        self, members: slice, tables: int | slice, layers: list[StackedLayer], activation: str
    ) -> None:
        self.members = members
        self._tables, self._layers, self._activation = tables, layers, activation
        self._passes: dict[int, Pass] = {}

    def rows(self, X: Tensor) -> Tensor:
        """The table or tables that these members read."""
        return X[self._tables] if X.ndim == 3 else X

    def forward(self, x: Tensor) -> Pass:
        """Return the pass that holds the raw outputs on these rows."""
        n_rows = x.shape[-2]
        # Two sizes at most: a full batch, and the last of an epoch.
        pass_ = self._passes.get(n_rows)
        if pass_ is None:
            pass_ = self._passes[n_rows] = Pass(self._layers, n_rows, self._activation)
        pass_.forward(x)
        return pass_


def _cut(readers: Sequence[int]) -> list[tuple[slice, int | slice]]:
    """Members of each part, and the table or tables that they read."""
    parts: list[tuple[slice, int | slice]] = []
    member = table = 0
    for alone, run in groupby(readers, key=lambda n: n == 1):
        sizes = list(run)
        if alone and len(sizes) > 1:
            n = len(sizes)
            parts.append((slice(member, member + n), slice(table, table + n)))
            member, table = member + n, table + n
            continue
        for n in sizes:
            parts.append((slice(member, member + n), table))
            member, table = member + n, table + 1
    return parts


def _by_layer(module: MLP, weight: Tensor, bias: Tensor) -> list[list[Tensor]]:
    return [module.split_weights(weight), module.split_biases(bias)]


class Forward:
    """Raw outputs of a :class:`~skreg.modules.MLP` in evaluation mode, by way of buffers.

    They are those of the module's forward to rounding. That makes new tensors for every
    hidden layer of every batch, and on many rows the system spends as long on handing out
    their memory as the network does on its products; on a single row the calls are what
    costs, and here there are few. `readers` says how many members, in their order, read each
    of the tables in a batch; None is one table for all.
    """

    def __init__(
        self, module: MLP, readers: Sequence[int] | None = None, *gradients: Tensor
    ) -> None:
        self.module = module
        tensors = _by_layer(module, module.weight.detach(), module.bias.detach())
        if gradients:
            tensors += _by_layer(module, *gradients)
        self._parts = []
        for members, tables in _cut(readers or [module.n_members]):
            layers = []
            for number, layer in enumerate(zip(*tensors, strict=True)):
                views = [tensor[members] for tensor in layer]
                shares_rows = number == 0 and isinstance(tables, int)
                layers.append(kind_of_layer(views[0], shares_rows=shares_rows)(*views))
            self._parts.append(_Part(members, tables, layers, module.activation))

    def outputs(self, X: Tensor) -> Tensor:
        """Return raw outputs, shape (n_members, n_samples, n_outputs), in new memory.

        X has shape (n_samples, n_features) or (n_tables, n_samples, n_features).
        """
        raw = self.new_outputs(X)
        for part in self._parts:
            raw[part.members] = part.forward(part.rows(X)).raw
        return raw

    def new_outputs(self, X: Tensor) -> Tensor:
        """Return memory for the raw outputs on these rows."""
        return X.new_empty(self.module.n_members, X.shape[-2], self.module.n_outputs)


def outputs_at_once(module: MLP, x: Tensor) -> Tensor:
    """Return what :class:`Forward` gives for a single network and table, without a plan.

    A plan pays from its second batch on. For a single row it takes ten times as long as the
    products.
    """
    activate = ACTIVATIONS[module.activation].in_place
    weights, biases = _by_layer(module, module.weight.detach(), module.bias.detach())
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = torch.addmm(bias, x, weight[0])
        if activate is not None:
            activate(x)
    return torch.addmm(biases[-1], x, weights[-1][0]).unsqueeze(0)


class Backprop(Forward):
    """Outputs and gradients of an :class:`~skreg.modules.MLP` by hand.

    Calling it fills `gradients` with those of the weighted mean loss of every member. The
    module is without dropout, or in evaluation mode: dropout is autograd's business.
    """

    def __init__(self, module: MLP, loss: Loss, readers: Sequence[int] | None = None) -> None:
        self.loss = loss
        parameters = (module.weight.detach(), module.bias.detach())
        self.gradients = tuple(torch.zeros_like(parameter) for parameter in parameters)
        super().__init__(module, readers, *self.gradients)

    def attach(self) -> None:
        """Make the gradients those of the module's parameters, for an optimizer to read.

        Once is enough, until somebody sets them to None: each call overwrites them.
        """
        for parameter, gradient in zip(self.module.parameters(), self.gradients, strict=True):
            parameter.grad = gradient

    def __call__(
        self, X: Tensor, y: Tensor, sample_weight: Tensor | None, raw: Tensor | None = None
    ) -> Tensor:
        """Fill the gradients of the weighted mean loss; return the raw outputs.

        The losses are left to be computed from these, of many batches at once. `y` has shape
        (n_samples, n_outputs) or (n_members, n_samples, n_outputs), and `sample_weight`
        (n_samples,) or (n_members, n_samples); `raw` is where to write the raw outputs.
        """
        raw = self.new_outputs(X) if raw is None else raw
        for part in self._parts:
            x = part.rows(X)
            pass_ = part.forward(x)
            target, weights, written = y, sample_weight, raw
            if len(self._parts) > 1:
                written = raw[part.members]
                target = y if y.ndim == 2 else y[part.members]
                if weights is not None and weights.ndim == 2:
                    weights = weights[part.members]
            written.copy_(pass_.raw)
            # Then in place, from the raw outputs to the gradient of the mean loss.
            delta = self.loss.gradient_(pass_.raw, target).mul_(pass_.share)
            if weights is not None:
                delta.mul_(weights.unsqueeze(-1))
            pass_.backward(x)
        return raw
