"""Each row of the table says the same thing in its several ways."""

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from sklearn.neural_network._base import ACTIVATIONS as THEIRS

from skreg.modules.activations import ACTIVATIONS

X = torch.linspace(-4, 4, 41, dtype=torch.float64)
each = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_is_scikit_learns_of_that_name(name):
    theirs = X.numpy().copy()
    THEIRS[name](theirs)
    np.testing.assert_allclose(ACTIVATIONS[name].function(X).numpy(), theirs, rtol=1e-12)


@each
def test_in_place_is_the_function(activation):
    x = X.clone()
    if activation.in_place is not None:
        activation.in_place(x)
    torch.testing.assert_close(x, activation.function(X), rtol=0, atol=0)


@each
def test_chain_multiplies_by_autograds_derivative(activation):
    x = X.clone().requires_grad_()
    output = activation.function(x)
    delta = torch.linspace(-1, 2, 41, dtype=torch.float64)
    (expected,) = torch.autograd.grad(output, x, delta)
    if activation.chain is not None:
        activation.chain(delta, output.detach())
    torch.testing.assert_close(delta, expected)


@each
def test_the_operator_computes_the_function(activation):
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node(activation.onnx or "Identity", ["x"], ["y"])
    kinds = [value(name, onnx.TensorProto.DOUBLE, [None]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "activation", kinds[:1], kinds[1:])
    (output,) = ReferenceEvaluator(onnx.helper.make_model(graph)).run(None, {"x": X.numpy()})
    np.testing.assert_allclose(output, activation.function(X), rtol=1e-12)
