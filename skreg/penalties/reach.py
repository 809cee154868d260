"""Which units of a network with zeros still have a path to an output.

It stands with the penalties, which make the zeros, so that networks, estimators, paths and
plots read one answer.

>>> import torch
>>> from skreg.penalties.reach import units_that_reach_outputs
>>> first = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
>>> last = torch.tensor([[1.0], [0.0]])                          # none leaves the second neuron
>>> units_that_reach_outputs([first, last])
[tensor([ True, False]), tensor([ True, False]), tensor([True])]
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def units_that_reach_outputs(weights: Sequence[Tensor]) -> list[Tensor]:
    """Return a mask by layer of units, inputs first; the outputs all count as reached.

    The weights have shape (fan_in, fan_out), or (n_members, fan_in, fan_out) in a stack.
    """
    last = weights[-1]
    masks = [last.new_ones((*last.shape[:-2], last.shape[-1]), dtype=torch.bool)]
    for weight in reversed(weights):
        linked = weight != 0
        masks.append(linked.logical_and_(masks[-1].unsqueeze(-2)).any(-1))
    return masks[::-1]


def units_that_inputs_reach(weights: Sequence[Tensor]) -> list[Tensor]:
    """Return a mask by layer of units, inputs first, which all count as reached."""
    return units_that_reach_outputs([weight.mT for weight in reversed(weights)])[::-1]
