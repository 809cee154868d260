"""The network: a stack of K multi-layer perceptrons held as one.

A λ grid, the folds of a cross-validation and an ensemble of seeds are all K networks of one
architecture. Layer by layer their weights stand in one tensor of shape (K, fan_in, fan_out),
so that the whole stack runs as one batched matrix product a layer. A single network is the
stack with K = 1. The layers in turn are views into one flat tensor of all weights and one of
all biases, so that an optimizer and a penalty take them in one go.

>>> import torch
>>> from skreg.modules import MLP
>>> grid = MLP(5, (8,), 1, n_members=3, random_state=[0, 1, 2])
>>> grid(torch.ones(4, 5)).shape                  # 3 networks on the same 4 rows
torch.Size([3, 4, 1])
>>> grid(torch.ones(3, 4, 5)).shape               # and each on its own rows
torch.Size([3, 4, 1])

A network initialized here starts from the same numbers as scikit-learn's ``MLPRegressor``
with the same seed. :class:`Forward` is its output and :class:`Backprop` its gradient by hand:
the same numbers as autograd's without a graph to record, in buffers that are allocated once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor, nn

from skreg.losses import Loss

__all__ = ["MLP", "Backprop", "Forward", "penalized_parameters"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}

# The same in place, and their derivatives in terms of their own outputs: delta *= f'(x).
_aten = torch.ops.aten
ACTIVATIONS_IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "logistic": torch.sigmoid_,
    "tanh": torch.tanh_,
    "relu": torch.relu_,
}
DERIVATIVES_IN_PLACE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
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

# Layers whose weights are neither scale nor shift of a normalization. Only these are
# penalized: shrinking a normalization's scale changes no function the network can compute.
_WEIGHT_LAYERS = (
    nn.Linear,
    nn.Bilinear,
    nn.modules.conv._ConvNd,
    nn.Embedding,
    nn.EmbeddingBag,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
)


class MLP(nn.Module):
    """A stack of `n_members` multi-layer perceptrons of one architecture.

    Parameters
    ----------
    n_features : int
        Inputs of each network.
    hidden_layer_sizes : sequence of int
        Neurons per hidden layer; ``()`` is a linear model.
    n_outputs : int
        Raw outputs of each network; the output layer has no activation (see
        :mod:`skreg.losses` for the links).
    activation : {"identity", "logistic", "tanh", "relu"}, default="relu"
        Activation of the hidden layers.
    dropout : float, default=0.0
        Share of each hidden layer's neurons zeroed at random in training, the rest scaled up.
    n_members : int, default=1
        Networks in the stack.
    random_state : int, RandomState, None or a sequence of these, one per member
        Source of the initial weights. A single one is every member's: they start alike.
    dtype : torch.dtype, default=torch.float32
        Of the weights.

    Attributes
    ----------
    weight : Parameter of shape (n_members, n_weights)
        The weights of all layers, flat.
    bias : Parameter of shape (n_members, n_biases)
        The biases of all layers, flat.
    weights : list of Tensor of shape (n_members, fan_in, fan_out)
        Views of `weight`, one a layer.
    biases : list of Tensor of shape (n_members, fan_out)
        Views of `bias`, one a layer.

    References
    ----------
    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010 (the initialization).

    Examples
    --------
    >>> from skreg.modules import MLP
    >>> MLP(5, (8,), 1, random_state=0)
    MLP(5, (8,), 1, activation='relu', dropout=0.0, n_members=1)
    """

    def __init__(
        self,
        n_features: int,
        hidden_layer_sizes: Sequence[int],
        n_outputs: int,
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        n_members: int = 1,
        random_state: int | np.random.RandomState | Sequence | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.n_features = n_features
        self.hidden_layer_sizes = tuple(hidden_layer_sizes)
        self.n_outputs = n_outputs
        self.activation = activation
        self.dropout = dropout
        self.n_members = n_members
        self._shapes = list(pairwise((n_features, *self.hidden_layer_sizes, n_outputs)))
        n_weights = sum(fan_in * fan_out for fan_in, fan_out in self._shapes)
        n_biases = sum(fan_out for _, fan_out in self._shapes)
        self.weight = nn.Parameter(torch.empty(n_members, n_weights, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(n_members, n_biases, dtype=dtype))
        self.reset_parameters(random_state)

    @property
    def weights(self) -> list[Tensor]:
        return self.split_weights(self.weight)

    @property
    def biases(self) -> list[Tensor]:
        return self.split_biases(self.bias)

    def split_weights(self, flat: Tensor) -> list[Tensor]:
        """Views of a tensor like `weight` (its gradient, say), one a layer."""
        sizes = [fan_in * fan_out for fan_in, fan_out in self._shapes]
        return [
            part.view(len(flat), *shape)
            for part, shape in zip(flat.split_with_sizes(sizes, 1), self._shapes, strict=True)
        ]

    def split_biases(self, flat: Tensor) -> list[Tensor]:
        """Views of a tensor like `bias`, one a layer."""
        return list(flat.split_with_sizes([fan_out for _, fan_out in self._shapes], 1))

    @torch.no_grad()
    def reset_parameters(
        self, random_state: int | np.random.RandomState | Sequence | None = None
    ) -> None:
        """Draw all weights and biases anew, in scikit-learn's order, from numpy's generator.

        The numbers are drawn in float64 on the host whatever the device and the dtype, so
        that a network starts the same everywhere.
        """
        if not isinstance(random_state, Sequence):
            # A seed restarts for each member; a RandomState is drawn from once and shared.
            random_state = [random_state]
        drawn = [self._draw(check_random_state(seed)) for seed in random_state]
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            weight.copy_(torch.from_numpy(np.stack([member[layer][0] for member in drawn])))
            bias.copy_(torch.from_numpy(np.stack([member[layer][1] for member in drawn])))

    def _draw(self, rng: np.random.RandomState) -> list[tuple[np.ndarray, np.ndarray]]:
        factor = 2.0 if self.activation == "logistic" else 6.0
        layers = []
        for fan_in, fan_out in self._shapes:
            bound = np.sqrt(factor / max(1, fan_in + fan_out))  # sizes may be 0: see _compact
            weight = rng.uniform(-bound, bound, (fan_in, fan_out))
            layers.append((weight, rng.uniform(-bound, bound, fan_out)))
        return layers

    def forward(self, x: Tensor, generators: Sequence[torch.Generator] | None = None) -> Tensor:
        """Return the raw outputs.

        Parameters
        ----------
        x : Tensor of shape (n_samples, n_features) or (n_members, n_samples, n_features)
            Rows shared by all members, or each member's own.
        generators : sequence of torch.Generator, one per member, default=None
            Source of the dropout masks in training; None takes torch's global generator.

        Returns
        -------
        Tensor of shape (n_members, n_samples, n_outputs)
        """
        activation = ACTIVATIONS[self.activation]
        last = len(self._shapes) - 1
        hidden = x
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            # A product and an addition: a fused baddbmm copies the bias to the output first,
            # with all threads woken for it, and measures twice as slow on small batches.
            hidden = torch.matmul(hidden, weight) + bias.unsqueeze(1)
            if layer < last:
                hidden = activation(hidden)
                if self.dropout and self.training:
                    hidden = hidden * self._dropout_mask(hidden, generators)
        return hidden

    def _dropout_mask(
        self, hidden: Tensor, generators: Sequence[torch.Generator] | None
    ) -> Tensor:
        mask = torch.empty_like(hidden, requires_grad=False)
        for member in range(self.n_members):
            generator = None if generators is None else generators[member]
            mask[member].bernoulli_(1.0 - self.dropout, generator=generator)
        return mask.div_(1.0 - self.dropout)

    def __repr__(self) -> str:
        return (
            f"MLP({self.n_features}, {self.hidden_layer_sizes}, {self.n_outputs}, "
            f"activation={self.activation!r}, dropout={self.dropout}, "
            f"n_members={self.n_members})"
        )


class Forward:
    """Raw outputs of an :class:`MLP` in evaluation mode, over buffers allocated once.

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
    >>> from skreg.modules import MLP, Forward
    >>> module = MLP(3, (4,), 1, random_state=0)
    >>> torch.allclose(Forward(module)(torch.eye(3)), module(torch.eye(3)))
    True
    """

    def __init__(self, module: MLP) -> None:
        self._n_members = module.n_members
        # A single network goes without its member axis, as in Backprop.
        self._single = module.n_members == 1
        self._product = torch.addmm if self._single else torch.baddbmm
        self._activate = ACTIVATIONS_IN_PLACE[module.activation]
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
    """Losses and gradients of an :class:`MLP` by hand, over buffers allocated once.

    Calling it fills ``module.weight.grad`` and ``module.bias.grad`` with the gradient of the
    weighted mean loss of every member, and returns those losses. Autograd gives the same to
    rounding and, on networks of this size, spends more time on its graph than on arithmetic.
    Dropout is autograd's business.

    Parameters
    ----------
    module : MLP
        Without dropout, or in evaluation mode.
    loss : Loss

    Examples
    --------
    >>> import torch
    >>> from skreg.losses import SquaredError
    >>> from skreg.modules import MLP, Backprop
    >>> module = MLP(3, (4,), 1, random_state=0)
    >>> x, y = torch.eye(3), torch.ones(3, 1)
    >>> losses = Backprop(module, SquaredError())(x, y, None)
    >>> by_hand = module.weight.grad
    >>> module.weight.grad = None
    >>> SquaredError().value(module(x), y).mean().backward()
    >>> torch.allclose(by_hand, module.weight.grad)
    True
    """

    def __init__(self, module: MLP, loss: Loss) -> None:
        self.module = module
        self.loss = loss
        self._activate = ACTIVATIONS_IN_PLACE[module.activation]
        self._differentiate = DERIVATIVES_IN_PLACE[module.activation]
        # A single network goes without its member axis: mm is quicker to call than bmm.
        self._single = module.n_members == 1
        self._product = torch.mm if self._single else torch.bmm
        self._weight_gradient = torch.zeros_like(module.weight)
        self._bias_gradient = torch.zeros_like(module.bias)
        with torch.no_grad():
            self._weights = [self._member_view(w) for w in module.weights]
            self._transposed = [w.mT for w in self._weights]
            self._biases = [self._member_view(b.unsqueeze(1)) for b in module.biases]
            self._weight_gradients = [
                self._member_view(g) for g in module.split_weights(self._weight_gradient)
            ]
            self._bias_gradients = [
                g[0] if self._single else g for g in module.split_biases(self._bias_gradient)
            ]
        self._buffers: dict[int, tuple[list[Tensor], list[Tensor], Tensor]] = {}

    def _member_view(self, tensor: Tensor) -> Tensor:
        return tensor[0] if self._single else tensor

    def _buffers_for(self, n_rows: int) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Outputs of all layers, their deltas below the last, and 1/n_rows."""
        # Two sizes at most: a full batch, and the last of an epoch.
        if n_rows not in self._buffers:
            weight = self.module.weight
            shapes = [(weight.shape[0], n_rows, b.shape[1]) for b in self.module.biases]
            outputs = [self._member_view(weight.new_empty(shape)) for shape in shapes]
            deltas = [self._member_view(weight.new_empty(shape)) for shape in shapes[:-1]]
            # A tensor, since torch turns a number into one anew in every operation.
            self._buffers[n_rows] = outputs, deltas, weight.new_tensor(1 / n_rows)
        return self._buffers[n_rows]

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
        n_rows = X.shape[-2]
        outputs, deltas, share = self._buffers_for(n_rows)
        if not self._single and X.ndim == 2:
            X = X.expand(self.module.n_members, -1, -1)
        elif self._single and X.ndim == 3:
            X = X[0]

        inputs = [X]
        last = len(outputs) - 1
        for layer, output in enumerate(outputs):
            self._product(inputs[layer], self._weights[layer], out=output)
            output.add_(self._biases[layer])
            if layer < last:
                self._activate(output)
            inputs.append(output)

        raw = output.unsqueeze(0) if self._single else output
        losses, delta = self.loss.value_and_gradient(raw, y)
        if sample_weight is not None:
            losses = losses * sample_weight
            delta = delta * sample_weight.unsqueeze(-1)
        delta = self._member_view(delta.mul_(share))
        for layer in range(last, -1, -1):
            self._product(inputs[layer].mT, delta, out=self._weight_gradients[layer])
            torch.sum(delta, -2, out=self._bias_gradients[layer])
            if layer:
                below = deltas[layer - 1]
                self._product(delta, self._transposed[layer], out=below)
                self._differentiate(below, inputs[layer])
                delta = below
        self.module.weight.grad = self._weight_gradient
        self.module.bias.grad = self._bias_gradient
        return losses.sum(1).mul_(share)


def penalized_parameters(
    module: nn.Module, *, penalize_bias: bool = False
) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters a penalty is put on, with their names.

    These are the weights of linear, convolution, embedding, recurrent and attention layers,
    and of :class:`MLP`. Biases are left out, and so are the scale and shift of normalization
    layers, in every case.

    Parameters
    ----------
    module : torch.nn.Module
    penalize_bias : bool, default=False
        Yield the biases of those layers too.

    Examples
    --------
    >>> from torch import nn
    >>> from skreg.modules import penalized_parameters
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    >>> [name for name, _ in penalized_parameters(net)]
    ['0.weight', '3.weight']
    >>> [name for name, _ in penalized_parameters(net, penalize_bias=True)]
    ['0.weight', '0.bias', '3.weight', '3.bias']
    """
    seen: set[int] = set()
    for prefix, layer in module.named_modules():
        if not isinstance(layer, (MLP, *_WEIGHT_LAYERS)):
            continue
        for name, parameter in layer.named_parameters(prefix=prefix):
            own_name = name[len(prefix) :].lstrip(".")
            is_bias = "bias" in own_name
            if id(parameter) not in seen and (penalize_bias or not is_bias):
                # Parameters may be shared by two layers, and count once.
                seen.add(id(parameter))
                yield name, parameter
