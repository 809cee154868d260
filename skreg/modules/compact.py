"""What a network with zeros computes, by a smaller one.

A neuron is alive if some input reaches it and it reaches some output, all by weights that are
not zero. The rest can go. One that reaches no output is simply left out; one that no input
reaches has the same value on every row, which the biases of the next layer take over. An
input that reaches no output is not looked at.

>>> import torch
>>> from skreg.modules.compact import compact_layers
>>> first = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]])      # none enters the second
>>> last = torch.tensor([[1.0], [10.0], [0.0]])                   # none leaves the third
>>> biases = [torch.tensor([0.5, 0.25, 0.125]), torch.tensor([7.0])]
>>> inputs, weights, biases = compact_layers([first, last], biases, "relu")
>>> inputs, [tuple(weight.shape) for weight in weights]
(tensor([0]), [(1, 1), (1, 1)])
>>> biases[-1]                                                    # 7 + 10 relu(0.25)
tensor([9.5000])

The number of layers stays. If no input reaches any output, all that is left is the biases of
the last layer: every layer below it has size 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from skreg.modules.activations import ACTIVATIONS
from skreg.modules.mlp import MLP
from skreg.penalties.reach import units_that_inputs_reach, units_that_reach_outputs


def _units(weights: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Masks of the units of each layer: those that an input reaches, and those alive."""
    reached, reaching = units_that_inputs_reach(weights), units_that_reach_outputs(weights)
    alive = [a & b for a, b in zip(reached, reaching, strict=True)]
    # The outputs all stay, reached or not.
    return reached, [*alive[:-1], reaching[-1]]


def compact_initial(
    module: MLP, initial: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Of an initial fit's flat weights and biases those that :func:`compact_mlp` leaves."""
    _, alive = _units([weight[0].detach() for weight in module.weights])
    masks = [mask.cpu() for mask in alive]
    weights, biases = map(torch.as_tensor, initial)
    layers = zip(module.split_weights(weights), masks[:-1], masks[1:], strict=True)
    left = [layer[:, rows][:, :, columns].flatten(1) for layer, rows, columns in layers]
    units = zip(module.split_biases(biases), masks[1:], strict=True)
    biases = torch.cat([layer[:, columns] for layer, columns in units], 1)
    return torch.cat(left, 1).numpy(), biases.numpy()


@torch.no_grad()
def compact_layers(
    weights: Sequence[Tensor], biases: Sequence[Tensor], activation: str
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Leave out the dead inputs and neurons of a single network.

    Returns the indices of the inputs that are left, in ascending order, and the weights and
    biases of the layers, as new tensors.
    """
    reached, alive = _units(weights)
    # In float64, so that what is folded is rounded once.
    activate = ACTIVATIONS[activation].function
    small_weights, small_biases = [], []
    constant = weights[0].new_zeros(len(weights[0]), dtype=torch.float64)
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        folded = bias.double() + constant @ weight.double()
        small_weights.append(weight[alive[layer]][:, alive[layer + 1]])
        small_biases.append(folded[alive[layer + 1]].to(bias.dtype))
        constant = activate(folded).where(~reached[layer + 1], 0.0)
    return alive[0].nonzero().ravel(), small_weights, small_biases


@torch.no_grad()
def compact_mlp(module: MLP) -> tuple[MLP, Tensor]:
    """Return a smaller module with the same output on its inputs, and which inputs those are.

    The module has a single member. The smaller one is in evaluation mode, on the same device.
    """
    inputs, weights, biases = compact_layers(
        [weight[0] for weight in module.weights],
        [bias[0] for bias in module.biases],
        module.activation,
    )
    weight = torch.cat([weight.flatten() for weight in weights]).unsqueeze(0)
    sizes = module.architecture | {
        "n_features": len(inputs),
        "hidden_layer_sizes": [len(bias) for bias in biases[:-1]],
    }
    return MLP.of(weight, torch.cat(biases).unsqueeze(0), **sizes).eval(), inputs
