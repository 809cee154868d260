"""Outputs and gradients by hand are those of the module and of autograd."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from skreg.losses import (
    AbsoluteError,
    CallableLoss,
    Huber,
    Logistic,
    Multinomial,
    Poisson,
    Quantile,
    SquaredError,
)
from skreg.modules import MLP
from skreg.modules.activations import ACTIVATIONS
from skreg.modules.backprop import Backprop, Forward, outputs_at_once

LOSSES = {
    "squared_error": SquaredError(),
    "absolute_error": AbsoluteError(),
    "huber": Huber(0.5),
    "poisson": Poisson(),
    "quantile": Quantile(0.8),
    "logistic": Logistic(),
    "callable": CallableLoss(lambda f, y: (f - y).cosh().log()),
    "multinomial": Multinomial(),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(), (5,), (5, 3)])
@pytest.mark.parametrize("n_members", [1, 3])
def test_forward_computes_what_the_module_does(n_members, sizes, activation):
    mlp = MLP(
        4,
        sizes,
        2,
        activation=activation,
        n_members=n_members,
        random_state=[0] * n_members,
        dtype=torch.float64,
    )
    x = torch.randn(
        n_members, 9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    before = x.clone()
    apart, shared = Forward(mlp, [1] * n_members), Forward(mlp)
    # Buffers are used again, and what was returned from them stays as it was.
    batches = [x[:, :4], x[:, 4:8], x[:, 8:], x[0], x[0, :0]]
    outputs = [(apart if b.ndim == 3 else shared).outputs(b) for b in batches]
    for batch, raw in zip(batches, outputs, strict=True):
        torch.testing.assert_close(raw, mlp(batch).detach())
        if n_members == 1 and batch.ndim == 2:
            torch.testing.assert_close(raw, outputs_at_once(mlp, batch))
    assert torch.equal(x, before)


class TestBackprop:
    """The gradient by hand is autograd's, whatever the shape of the problem."""

    @pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
    @given(
        depth=st.integers(0, 3),
        readers=st.lists(st.integers(1, 3), min_size=1, max_size=4),
        n_outputs=st.sampled_from([1, 3, 17]),
        activation=st.sampled_from(sorted(ACTIVATIONS)),
        weighted=st.booleans(),
        seed=st.integers(0, 100),
    )
    def test_equals_autograd(self, loss, depth, readers, n_outputs, activation, weighted, seed):
        rng = np.random.default_rng(seed)
        n_members = sum(readers)
        module = MLP(
            4,
            (5, 2, 3)[:depth],
            n_outputs,
            activation=activation,
            n_members=n_members,
            random_state=list(range(seed, seed + n_members)),
            dtype=torch.float64,
        )
        # A table for each number of readers; targets and weights for each member.
        shared = len(readers) == 1
        lead = () if shared else (n_members,)
        X = torch.from_numpy(rng.normal(size=(7, 4) if shared else (len(readers), 7, 4)))
        if isinstance(loss, Multinomial):
            y = torch.from_numpy(rng.integers(0, n_outputs, size=(*lead, 7, 1)))
        else:
            y = torch.from_numpy(rng.integers(0, 2, size=(*lead, 7, n_outputs)).astype(float))
        weights = torch.from_numpy(rng.uniform(0, 2, size=(*lead, 7))) if weighted else None
        rows = X if shared else X.repeat_interleave(torch.tensor(readers), 0)

        backprop = Backprop(module, loss, readers)
        raw = backprop(X, y, weights)
        expected = module(rows)
        per_sample = loss.value(expected, y)
        if weighted:
            per_sample = per_sample * weights
        per_sample.mean(1).sum().backward()
        torch.testing.assert_close(raw, expected.detach())
        for gradient, parameter in zip(backprop.gradients, module.parameters(), strict=True):
            torch.testing.assert_close(gradient, parameter.grad)

    def test_batches_of_different_sizes_take_turns(self):
        module = MLP(4, (5,), 1, random_state=0, dtype=torch.float64)
        backprop = Backprop(module, SquaredError())
        X = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        y = X[:, :1]
        first = backprop(X, y, None)
        gradient = backprop.gradients[0].clone()
        backprop(X[:4], y[:4], None)
        assert torch.equal(backprop(X, y, None), first)
        assert torch.equal(backprop.gradients[0], gradient)
        torch.testing.assert_close(first, module(X).detach())
