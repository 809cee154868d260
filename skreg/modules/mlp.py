"""The network: a stack of K multi-layer perceptrons held as one.

Layer by layer the weights stand in one tensor of shape (K, fan_in, fan_out), so that the whole
stack runs as one batched matrix product a layer. The layers in turn are views into one flat
tensor of all weights and one of all biases, which an optimizer and a penalty take in one go.

A network initialized here starts from the same numbers as scikit-learn's ``MLPRegressor``
with the same seed. :mod:`skreg.modules.backprop` computes outputs and gradients faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor, nn

from skreg.modules.activations import ACTIVATIONS


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
    activation : str, default="relu"
        Of the hidden layers: a name in the table of ``skreg.modules.activations``.
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
        self._describe(n_features, hidden_layer_sizes, n_outputs, activation, dropout)
        self.n_members = n_members
        n_weights = sum(fan_in * fan_out for fan_in, fan_out in self._shapes)
        n_biases = sum(fan_out for _, fan_out in self._shapes)
        self.weight = nn.Parameter(torch.empty(n_members, n_weights, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(n_members, n_biases, dtype=dtype))
        self.reset_parameters(random_state)

    def _describe(
        self,
        n_features: int,
        hidden_layer_sizes: Sequence[int],
        n_outputs: int,
        activation: str,
        dropout: float,
    ) -> None:
        self.n_features, self.n_outputs = n_features, n_outputs
        self.hidden_layer_sizes = tuple(hidden_layer_sizes)
        self.activation, self.dropout = activation, dropout
        self._shapes = list(pairwise((n_features, *self.hidden_layer_sizes, n_outputs)))

    @classmethod
    def of(
        cls,
        weight: Tensor,
        bias: Tensor,
        *,
        n_features: int,
        hidden_layer_sizes: Sequence[int],
        n_outputs: int,
        activation: str,
        dropout: float,
    ) -> MLP:
        """Return a stack with this flat `weight` and `bias`; nothing is drawn.

        Examples
        --------
        >>> import torch
        >>> from skreg.modules import MLP
        >>> weight, bias = torch.tensor([[2.0, 3.0]]), torch.tensor([[1.0]])
        >>> linear = MLP.of(
        ...     weight, bias, n_features=2, hidden_layer_sizes=(), n_outputs=1,
        ...     activation="relu", dropout=0.0,
        ... )
        >>> linear(torch.tensor([[1.0, 1.0]])).item()
        6.0
        """
        module = cls.__new__(cls)
        nn.Module.__init__(module)
        module._describe(n_features, hidden_layer_sizes, n_outputs, activation, dropout)
        module.n_members = len(weight)
        module.weight, module.bias = nn.Parameter(weight), nn.Parameter(bias)
        return module

    @classmethod
    @torch.no_grad()
    def join(cls, members: Sequence[MLP]) -> MLP:
        """Return a stack of networks of one architecture, with copies of their weights.

        Examples
        --------
        >>> from skreg.modules import MLP
        >>> MLP.join([MLP(5, (8,), 1, random_state=seed) for seed in (0, 1)])
        MLP(5, (8,), 1, activation='relu', dropout=0.0, n_members=2)
        """
        weight = torch.cat([member.weight for member in members])
        bias = torch.cat([member.bias for member in members])
        return cls.of(weight, bias, **members[0].architecture)

    @property
    def architecture(self) -> dict[str, Any]:
        """What the members share, as :meth:`of` takes it."""
        names = ("n_features", "hidden_layer_sizes", "n_outputs", "activation", "dropout")
        return {name: getattr(self, name) for name in names}

    @property
    def weights(self) -> list[Tensor]:
        return self.split_weights(self.weight)

    @property
    def biases(self) -> list[Tensor]:
        return self.split_biases(self.bias)

    @property
    def widest(self) -> int:
        """Numbers that a row takes in the widest layer."""
        return max(*self.hidden_layer_sizes, self.n_outputs, 1)

    @property
    def largest(self) -> int:
        """Numbers in the largest weight matrix of a member."""
        return max(fan_in * fan_out for fan_in, fan_out in self._shapes)

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

    def layers_of(self, parameter: Tensor) -> list[tuple[int, int]]:
        """Shapes (fan_in, fan_out) of the layers in `weight`; the biases as a single column.

        What a penalty by groups needs to know: a group is a row of a layer.
        """
        if parameter is self.weight:
            return self._shapes
        return [(self.bias.shape[1], 1)]

    @torch.no_grad()
    def reset_parameters(
        self, random_state: int | np.random.RandomState | Sequence | None = None
    ) -> None:
        """Draw all weights and biases in scikit-learn's order, from numpy's generator.

        They are drawn in float64 on the host whatever the device and the dtype, so that a
        network starts the same everywhere.
        """
        if not isinstance(random_state, Sequence):
            # A seed restarts for each member; a RandomState is drawn from once and shared.
            random_state = [random_state]
        drawn = [self._draw(check_random_state(seed)) for seed in random_state]
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            weight.copy_(torch.from_numpy(np.stack([member[layer][0] for member in drawn])))
            bias.copy_(torch.from_numpy(np.stack([member[layer][1] for member in drawn])))

    def _draw(self, rng: np.random.RandomState) -> list[tuple[np.ndarray, np.ndarray]]:
        factor = ACTIVATIONS[self.activation].init_factor
        layers = []
        for fan_in, fan_out in self._shapes:
            bound = np.sqrt(factor / max(1, fan_in + fan_out))  # both are 0 after compact
            weight = rng.uniform(-bound, bound, (fan_in, fan_out))
            layers.append((weight, rng.uniform(-bound, bound, fan_out)))
        return layers

    def forward(self, x: Tensor, generators: Sequence[torch.Generator] | None = None) -> Tensor:
        """Return the raw outputs.

        Parameters
        ----------
        x : Tensor of shape (n_samples, n_features) or (n_members, n_samples, n_features)
            Rows shared by all members, or a table for each.
        generators : sequence of torch.Generator, one per member, default=None
            Source of the dropout masks in training; None takes torch's global generator.

        Returns
        -------
        Tensor of shape (n_members, n_samples, n_outputs)
        """
        activation = ACTIVATIONS[self.activation].function
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
