"""The optimality residual is what it is known to be where that has a closed form."""

import hypothesis.strategies as st
import torch
from hypothesis import given
from strategies import tensors

from skreg.optim import optimality_residual
from skreg.penalties import L1


class TestOptimalityResidual:
    @given(gradient=tensors(shape=(2, 3)), alpha=st.floats(0, 5))
    def test_at_zero_under_l1_it_is_what_the_gradient_exceeds_alpha_by(self, gradient, alpha):
        residual = optimality_residual([torch.zeros(2, 3)], [gradient], [L1(alpha)])
        excess = (gradient.abs() - alpha).clamp(min=0).amax(1)
        torch.testing.assert_close(residual, excess)

    @given(weight=tensors(shape=(2, 3)), gradient=tensors(shape=(2, 3)))
    def test_without_a_penalty_it_is_the_largest_gradient(self, weight, gradient):
        residual = optimality_residual([weight], [gradient], [None], step=0.5)
        torch.testing.assert_close(residual, gradient.abs().amax(1))

    def test_the_worst_of_all_tensors_counts(self):
        weights = [torch.zeros(1, 2), torch.zeros(1, 3)]
        gradients = [torch.ones(1, 2), 3 * torch.ones(1, 3)]
        assert optimality_residual(weights, gradients, [None, L1(1.0)]).tolist() == [2.0]
