"""The activations, one row each: all that networks, gradients and exports know of them.

>>> import torch
>>> from skreg.modules.activations import ACTIVATIONS
>>> tanh = ACTIVATIONS["tanh"]
>>> output, delta = tanh.function(torch.zeros(2)), torch.tensor([3.0, 5.0])
>>> tanh.chain(delta, output)                    # times 1 - tanh², in place
tensor([3., 5.])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten
_sigmoid_backward = _aten.sigmoid_backward.grad_input
_tanh_backward = _aten.tanh_backward.grad_input
_threshold_backward = _aten.threshold_backward.grad_input


@dataclass(frozen=True, kw_only=True)
class Activation:
    """An activation of hidden layers, elementwise."""

    #: The function, which autograd can differentiate.
    function: Callable[[Tensor], Tensor]
    #: The same, over its input; None where there is nothing to do.
    in_place: Callable[[Tensor], Any] | None
    #: ``chain(delta, output)`` multiplies `delta` in place by the derivative, in terms of the
    #: function's output; None where that is 1.
    chain: Callable[[Tensor, Tensor], Any] | None
    #: The operator in ONNX graphs, if one is needed.
    onnx: str | None
    #: Initial weights are uniform up to √(init_factor / (fan_in + fan_out)).
    init_factor: float = 6.0


ACTIVATIONS = {
    "identity": Activation(function=lambda x: x, in_place=None, chain=None, onnx=None),
    "logistic": Activation(
        function=torch.sigmoid,
        in_place=torch.sigmoid_,
        chain=lambda delta, output: _sigmoid_backward(delta, output, grad_input=delta),
        onnx="Sigmoid",
        init_factor=2.0,
    ),
    "tanh": Activation(
        function=torch.tanh,
        in_place=torch.tanh_,
        chain=lambda delta, output: _tanh_backward(delta, output, grad_input=delta),
        onnx="Tanh",
    ),
    "relu": Activation(
        function=torch.relu,
        in_place=torch.relu_,
        chain=lambda delta, output: _threshold_backward(delta, output, 0, grad_input=delta),
        onnx="Relu",
    ),
}
