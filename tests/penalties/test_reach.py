"""Which units are linked to inputs and outputs, by products of the weights."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skreg.penalties.reach import units_that_inputs_reach, units_that_reach_outputs


def sparse_weights(seed, n_members=2):
    rng = np.random.default_rng(seed)
    shapes = [(n_members, *shape) for shape in ((5, 4), (4, 3), (3, 2))]
    return [
        torch.from_numpy(rng.normal(size=shape) * (rng.random(shape) < 0.3)) for shape in shapes
    ]


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_reaching_is_what_products_of_weights_say(seed):
    weights = sparse_weights(seed)
    to_outputs = units_that_reach_outputs(weights)
    from_inputs = units_that_inputs_reach(weights)
    assert to_outputs[-1].all()
    assert from_inputs[0].all()
    sizes = [weight.abs() for weight in weights]
    for layer in range(len(weights)):
        down = sizes[layer]
        for size in sizes[layer + 1 :]:
            down = down @ size
        assert torch.equal(to_outputs[layer], (down > 0).any(2))
        up = sizes[0]
        for size in sizes[1 : layer + 1]:
            up = up @ size
        assert torch.equal(from_inputs[layer + 1], (up > 0).any(1))


def test_a_network_is_a_stack_without_its_axis():
    weights = sparse_weights(0, n_members=1)
    single = units_that_reach_outputs([weight[0] for weight in weights])
    for mask, stacked in zip(single, units_that_reach_outputs(weights), strict=True):
        assert torch.equal(mask, stacked[0])


def test_an_empty_layer_reaches_nothing_and_is_not_reached():
    weights = [torch.ones(3, 0), torch.ones(0, 2)]
    assert not units_that_reach_outputs(weights)[0].any()
    assert not units_that_inputs_reach(weights)[-1].any()
