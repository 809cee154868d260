"""Every kind of layer computes the same products, and reads the weights as they are now."""

import pytest
import torch

from skreg.modules.layers import (
    NarrowLayer,
    Pass,
    SingleLayer,
    SingleOutputLayer,
    StackedLayer,
    WideLayer,
    kind_of_layer,
)

N_ROWS, N_INPUTS = 7, 4
# Kind, members, outputs, and whether the members read the same rows.
CASES = [
    (SingleLayer, 1, 3, False),
    (SingleLayer, 1, 1, True),
    (StackedLayer, 2, 17, False),
    (WideLayer, 2, 3, True),
    (WideLayer, 2, 17, True),
    (NarrowLayer, 2, 3, False),
    (SingleOutputLayer, 2, 1, False),
    (SingleOutputLayer, 2, 1, True),
]
each = pytest.mark.parametrize(("kind", "n_members", "n_outputs", "shares_rows"), CASES)


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def as_stack(tensor):
    return tensor if tensor.ndim == 3 else tensor.unsqueeze(0)


@each
def test_is_the_kind_that_is_chosen(kind, n_members, n_outputs, shares_rows):
    weight = torch.empty(n_members, N_INPUTS, n_outputs)
    assert kind_of_layer(weight, shares_rows=shares_rows) is kind


@each
def test_computes_outputs_and_gradients(kind, n_members, n_outputs, shares_rows):
    weight, bias = random(n_members, N_INPUTS, n_outputs), random(n_members, n_outputs, seed=1)
    gradients = torch.empty_like(weight), torch.empty_like(bias)
    layer = kind(weight, bias, *gradients)
    x = random(n_members, N_ROWS, N_INPUTS, seed=2)
    rows = x[0] if shares_rows or n_members == 1 else x
    out = layer.new_output(N_ROWS)
    forward = layer.forward(out)
    # The first layer passes nothing below it.
    delta = random(*out.shape, seed=3)
    delta = out.clone().copy_(delta) if kind is WideLayer else delta
    backward, bias_backward = layer.backward(delta), layer.bias_backward(delta)
    passes_down = not shares_rows
    if passes_down:
        below = torch.empty_like(rows)
        pass_down = layer.pass_down(delta, below)
    for step in range(2):
        weight.add_(step)  # what an optimizer does between the calls
        forward(rows)
        expected = rows @ weight + bias.unsqueeze(1)
        torch.testing.assert_close(as_stack(out), expected)
        if passes_down:
            pass_down()
            expected = as_stack(delta) @ weight.mT
            torch.testing.assert_close(as_stack(below), expected)
        backward(rows, rows.mT)
        bias_backward()
        expected = rows.mT @ as_stack(delta)
        torch.testing.assert_close(gradients[0], expected)
        torch.testing.assert_close(gradients[1], as_stack(delta).sum(1))


def test_a_pass_writes_to_the_same_memory_every_time():
    weights, biases = [random(1, 4, 5), random(1, 5, 2)], [random(1, 5), random(1, 2)]
    layers = [SingleLayer(w, b) for w, b in zip(weights, biases, strict=True)]
    pass_ = Pass(layers, N_ROWS, "tanh")
    where = pass_.raw.data_ptr()
    for seed in (0, 1):
        x = random(N_ROWS, 4, seed=seed)
        pass_.forward(x)
        hidden = torch.tanh(x @ weights[0] + biases[0].unsqueeze(1))
        expected = hidden @ weights[1] + biases[1].unsqueeze(1)
        torch.testing.assert_close(pass_.raw, expected)
        assert pass_.raw.data_ptr() == where
