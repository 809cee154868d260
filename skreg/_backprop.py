"""Outputs and gradients of an MLP by hand: autograd's numbers without a graph to record.

On networks of the size one trains on a table of numbers autograd spends more time on its
graph than on arithmetic. Here the forward and the backward pass of a whole stack run over
buffers that are allocated once, and the gradients of all layers are views into one flat
tensor, ready for one call of the optimizer.

>>> import torch
>>> from skreg._backprop import Backprop
>>> from skreg.losses import SquaredError
>>> from skreg.modules import MLP
>>> module = MLP(3, (4,), 1, random_state=0)
>>> x, y = torch.eye(3), torch.ones(3, 1)
>>> losses = Backprop(module, SquaredError())(x, y, None)
>>> by_hand = module.weight.grad
>>> module.weight.grad = None
>>> SquaredError().value(module(x), y).mean().backward()
>>> torch.allclose(by_hand, module.weight.grad)
True
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skreg.losses import Loss
from skreg.modules import MLP

__all__ = ["Backprop", "Forward"]

# In place, and their derivatives in terms of their own outputs: delta *= f'(x).
_aten = torch.ops.aten
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "logistic": torch.sigmoid_,
    "tanh": torch.tanh_,
    "relu": torch.relu_,
}
_DERIVATIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "identity": lambda delta, output: delta,
    "logistic": lambda delta, output: _aten.sigmoid_backward.grad_input(
        delta, output, grad_input=delta
    ),
    "tanh": lambda delta, output: _aten.tanh_backward.grad_input(
        delta, output, grad_input=delta
    ),
    "relu": lambda delta, output: _aten.threshold_backward.grad_input(
        delta, output, 0, grad_input=delta
    ),
}

# Batched products with fewer columns than this are several times slower on a CPU than the
# same product transposed: the library's small kernels are made for rows.
_NARROW = 16


class _Layer:
    """One layer of a single network: views of its weights, biases and gradients."""

    def __init__(self, weight: Tensor, bias: Tensor, *gradients: Tensor) -> None:
        # Without the member axis: mm is quicker to call than bmm.
        self.weight, self.bias = weight[0], bias
        self.transposed = self.weight.mT
        self.weight_gradient, self.bias_gradient = gradients[0][0], gradients[1][0]

    def forward(self, x: Tensor, out: Tensor, scratch: Tensor) -> None:
        torch.mm(x, self.weight, out=out)
        out.add_(self.bias)

    def backward(self, x: Tensor, delta: Tensor) -> None:
        torch.mm(x.mT, delta, out=self.weight_gradient)
        torch.sum(delta, 0, out=self.bias_gradient)

    def pass_down(self, delta: Tensor, out: Tensor) -> None:
        torch.mm(delta, self.transposed, out=out)


class _StackedLayer:
    """One layer of a stack, its products batched over the members."""

    def __init__(self, weight: Tensor, bias: Tensor, *gradients: Tensor) -> None:
        self.weight, self.bias = weight, bias.unsqueeze(1)
        self.weight_gradient, self.bias_gradient = gradients

    def forward(self, x: Tensor, out: Tensor, scratch: Tensor) -> None:
        torch.bmm(self._of_all(x), self.weight, out=out)
        out.add_(self.bias)

    def backward(self, x: Tensor, delta: Tensor) -> None:
        torch.bmm(self._of_all(x).mT, delta, out=self.weight_gradient)
        torch.sum(delta, 1, out=self.bias_gradient)

    def pass_down(self, delta: Tensor, out: Tensor) -> None:
        torch.bmm(delta, self.weight.mT, out=out)

    def _of_all(self, x: Tensor) -> Tensor:
        return x if x.ndim == 3 else x.expand(len(self.weight), -1, -1)


class _NarrowLayer(_StackedLayer):
    """A layer of a few outputs: each product in the orientation that is fast."""

    def __init__(self, weight: Tensor, bias: Tensor, *gradients: Tensor) -> None:
        super().__init__(weight, bias, *gradients)
        self._rows = weight.mT.contiguous()
        self._row_gradient = torch.empty_like(self._rows)

    def forward(self, x: Tensor, out: Tensor, scratch: Tensor) -> None:
        self._rows.copy_(self.weight.mT)
        torch.bmm(self._of_all(x), self._rows.mT, out=out)
        out.add_(self.bias)

    def backward(self, x: Tensor, delta: Tensor) -> None:
        torch.bmm(delta.mT, self._of_all(x), out=self._row_gradient)
        self.weight_gradient.copy_(self._row_gradient.mT)
        torch.sum(delta, 1, out=self.bias_gradient)

    def pass_down(self, delta: Tensor, out: Tensor) -> None:
        torch.bmm(delta, self._rows, out=out)


class _SingleOutputLayer(_StackedLayer):
    """A layer of one output: products with a vector, which are sums of elementwise products."""

    def __init__(self, weight: Tensor, bias: Tensor, *gradients: Tensor) -> None:
        super().__init__(weight, bias, *gradients)
        # Views and not transposes: of an axis of length 1 the strides matter to bmm.
        self._row = weight.view(len(weight), 1, -1)
        self._row_gradient = torch.empty_like(self._row)

    def forward(self, x: Tensor, out: Tensor, scratch: Tensor) -> None:
        if x.ndim == 2:
            # The rows that all members share times all their weights: one ordinary product.
            torch.mm(self._row[:, 0], x.mT, out=out[..., 0])
        else:
            products = torch.mul(x, self._row, out=scratch)
            torch.sum(products, -1, keepdim=True, out=out)
        out.add_(self.bias)

    def backward(self, x: Tensor, delta: Tensor) -> None:
        if x.ndim == 2:
            torch.mm(delta[..., 0], x, out=self._row_gradient[:, 0])
        else:
            torch.bmm(delta.mT, x, out=self._row_gradient)
        self.weight_gradient.copy_(self._row_gradient.mT)
        torch.sum(delta, 1, out=self.bias_gradient)

    def pass_down(self, delta: Tensor, out: Tensor) -> None:
        torch.mul(delta, self._row, out=out)


def _kind_of_layer(weight: Tensor) -> type[_Layer] | type[_StackedLayer]:
    n_members, _, n_outputs = weight.shape
    if n_members == 1:
        return _Layer
    if not weight.is_cpu or n_outputs >= _NARROW:
        return _StackedLayer
    return _SingleOutputLayer if n_outputs == 1 else _NarrowLayer


class Forward:
    """Raw outputs of a :class:`~skreg.modules.MLP` in evaluation mode, in buffers of its own.

    The same as the module's own forward to rounding. That makes new tensors for every hidden
    layer of every batch, and on many rows the system spends as long on handing out their
    memory as the network does on its products; on a single row the calls are what costs, and
    here there are few.

    Parameters
    ----------
    module : MLP

    Examples
    --------
    >>> import torch
    >>> from skreg._backprop import Forward
    >>> from skreg.modules import MLP
    >>> module = MLP(3, (4,), 1, random_state=0)
    >>> torch.allclose(Forward(module)(torch.eye(3)), module(torch.eye(3)))
    True
    """

    def __init__(self, module: MLP) -> None:
        self._n_members = module.n_members
        # A single network goes without its member axis, as in Backprop.
        self._single = module.n_members == 1
        self._product = torch.addmm if self._single else torch.baddbmm
        self._activate = _ACTIVATIONS[module.activation]
        weights = module.split_weights(module.weight.detach())
        biases = module.split_biases(module.bias.detach())
        self._weights = [w.squeeze(0) for w in weights] if self._single else weights
        self._biases = biases if self._single else [b.unsqueeze(1) for b in biases]
        self._n_rows = -1

    def __call__(self, X: Tensor) -> Tensor:
        """Return raw outputs, shape (n_members, n_samples, n_outputs), in memory of their own.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_features) or (n_members, n_samples, n_features)
        """
        if not self._single and X.ndim == 2:
            X = X.expand(self._n_members, -1, -1)
        elif self._single and X.ndim == 3:
            X = X[0]
        if X.shape[-2] != self._n_rows:
            self._n_rows = X.shape[-2]
            rows = X.shape[:-1]
            self._buffers = [X.new_empty((*rows, w.shape[-1])) for w in self._weights[:-1]]
        hidden = X
        layers = zip(self._weights, self._biases, self._buffers, strict=False)
        for weight, bias, buffer in layers:
            hidden = self._activate(self._product(bias, hidden, weight, out=buffer))
        raw = self._product(self._biases[-1], hidden, self._weights[-1])
        return raw.unsqueeze(0) if self._single else raw


class Backprop:
    """Losses and gradients of an :class:`~skreg.modules.MLP` by hand.

    Calling it fills ``module.weight.grad`` and ``module.bias.grad`` with the gradient of the
    weighted mean loss of every member, and returns those losses. Dropout is autograd's
    business.

    Parameters
    ----------
    module : MLP
        Without dropout, or in evaluation mode.
    loss : Loss
    """

    def __init__(self, module: MLP, loss: Loss) -> None:
        self.module = module
        self.loss = loss
        self._single = module.n_members == 1
        self._activate = _ACTIVATIONS[module.activation]
        self._differentiate = _DERIVATIVES[module.activation]
        self._weight_gradient = torch.zeros_like(module.weight)
        self._bias_gradient = torch.zeros_like(module.bias)
        parts = zip(
            module.weights,
            module.biases,
            module.split_weights(self._weight_gradient),
            module.split_biases(self._bias_gradient),
            strict=True,
        )
        with torch.no_grad():
            self._layers = [_kind_of_layer(part[0])(*part) for part in parts]
        self._buffers: dict[tuple[int, ...], tuple[list[Tensor], list[Tensor], Tensor]] = {}

    def _buffers_for(self, X: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Outputs of all layers, the deltas of their inputs, and 1/n_rows."""
        # Two sizes at most: a full batch, and the last of an epoch.
        key = tuple(X.shape[:-1])
        if key not in self._buffers:
            weight = self.module.weight
            shapes = [(weight.shape[0], X.shape[-2], b.shape[1]) for b in self.module.biases]
            # The rows need no gradient; a stack of linear models multiplies in this buffer.
            scratch = weight.new_empty(X.shape if X.ndim == 3 and len(shapes) == 1 else 0)
            outputs = [weight.new_empty(shape) for shape in shapes]
            deltas = [weight.new_empty(shape) for shape in shapes[:-1]]
            if self._single:
                outputs, deltas = [o[0] for o in outputs], [d[0] for d in deltas]
            deltas.insert(0, scratch)
            # A tensor, since torch turns a number into one anew in every operation.
            self._buffers[key] = outputs, deltas, weight.new_tensor(1 / X.shape[-2])
        return self._buffers[key]

    def _forward(self, X: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        if self._single and X.ndim == 3:
            X = X[0]
        outputs, deltas, share = self._buffers_for(X)
        inputs = [X, *outputs[:-1]]
        last = len(outputs) - 1
        for number, layer in enumerate(self._layers):
            layer.forward(inputs[number], outputs[number], deltas[number])
            if number < last:
                self._activate(outputs[number])
        return [*inputs, outputs[-1]], deltas, share

    def _raw(self, output: Tensor) -> Tensor:
        return output.unsqueeze(0) if self._single else output

    @torch.no_grad()
    def losses(self, X: Tensor, y: Tensor, sample_weight: Tensor | None) -> Tensor:
        """Return the weighted mean loss of each member alone; no gradients."""
        activations, _, share = self._forward(X)
        losses = self.loss.value(self._raw(activations[-1]), y)
        if sample_weight is not None:
            losses = losses * sample_weight
        return losses.sum(1).mul_(share)

    @torch.no_grad()
    def __call__(self, X: Tensor, y: Tensor, sample_weight: Tensor | None) -> Tensor:
        """Return the weighted mean loss of each member over these rows; fill the gradients.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_features) or (n_members, n_samples, n_features)
        y : Tensor of shape (n_samples, n_outputs) or (n_members, n_samples, n_outputs)
        sample_weight : Tensor of shape (n_samples,) or (n_members, n_samples), or None

        Returns
        -------
        Tensor of shape (n_members,)
        """
        activations, deltas, share = self._forward(X)
        losses, delta = self.loss.value_and_gradient(self._raw(activations[-1]), y)
        if sample_weight is not None:
            losses = losses * sample_weight
            delta = delta * sample_weight.unsqueeze(-1)
        delta = delta.mul_(share)
        if self._single:
            delta = delta[0]
        for number in range(len(self._layers) - 1, -1, -1):
            layer = self._layers[number]
            layer.backward(activations[number], delta)
            if number:
                layer.pass_down(delta, deltas[number])
                delta = self._differentiate(deltas[number], activations[number])
        self.module.weight.grad = self._weight_gradient
        self.module.bias.grad = self._bias_gradient
        return losses.sum(1).mul_(share)
