"""Hypothesis strategies shared by the tests of the maths."""

import hypothesis.strategies as st
import torch


@st.composite
def tensors(draw, shape=None, min_value=-10.0, max_value=10.0):
    """float64 tensors with zeros, repeats, tiny and large entries among the rest."""
    if shape is None:
        shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)))
    ordinary = st.floats(min_value, max_value)
    special = st.sampled_from([min_value, max_value]) | st.just(max(0.0, min_value))
    size = int(torch.tensor(shape).prod())
    entries = draw(st.lists(ordinary | special, min_size=size, max_size=size))
    return torch.tensor(entries, dtype=torch.float64).reshape(shape)
