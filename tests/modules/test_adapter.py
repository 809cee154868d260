"""A module of the user's as a stack of one, made from a class, an instance or a function."""

import pytest
import torch
from torch import nn
from torch_modules import Perceptron, linear

from skreg.modules.adapter import SingleNetwork, build_network, torch_draws_from

X = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))


def build(module, seed=0, dtype=torch.float32, sample_shape=(6,), **parameters):
    return build_network(
        module, parameters, sample_shape=sample_shape, n_outputs=2, seed=seed, dtype=dtype
    )


class TestTheGlobalGenerator:
    def test_goes_on_where_the_other_stands_and_is_put_back(self):
        generator, same = (torch.Generator().manual_seed(3) for _ in range(2))
        before = torch.get_rng_state()
        with torch_draws_from(generator):
            drawn = torch.rand(2)
        with torch_draws_from(generator):
            more = torch.rand(2)
        assert torch.equal(torch.cat([drawn, more]), torch.rand(4, generator=same))
        assert torch.equal(torch.get_rng_state(), before)

    def test_is_put_back_after_an_error(self):
        before = torch.get_rng_state()
        with pytest.raises(KeyError), torch_draws_from(torch.Generator()):
            {}[torch.rand(1)]
        assert torch.equal(torch.get_rng_state(), before)


class TestBuilding:
    def test_a_class_is_told_the_sizes_that_it_asks_for(self):
        network = build(Perceptron, hidden=3)
        assert network.hidden.weight.shape == (3, 6)
        assert network.out.weight.shape == (2, 3)
        layer = build(nn.Linear, in_features=6, out_features=2)
        assert layer.weight.shape == (2, 6)

    def test_a_function_is_given_the_sizes(self):
        assert build(linear).weight.shape == (2, 6)
        shapes = []

        def images(shape, n_outputs):
            shapes.append((shape, n_outputs))
            return nn.Identity()

        build(images, sample_shape=(1, 8, 8))
        assert shapes == [((1, 8, 8), 2)]

    def test_an_instance_is_copied(self):
        module = nn.Linear(6, 2)
        network = build(module, dtype=torch.float64)
        assert network is not module
        assert torch.equal(network.weight.float(), module.weight)
        assert module.weight.dtype == torch.float32
        with pytest.raises(ValueError, match=r"an instance of Linear .*module__bias=True"):
            build(module, bias=True)

    def test_the_seed_decides(self):
        first, again, other = (build(linear, seed=seed).weight for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_lazy_layers_are_drawn_from_the_seed_too(self):
        first, again = (build(lambda p, k: nn.LazyLinear(k)).weight for _ in range(2))
        assert first.shape == (2, 6)
        assert torch.equal(first, again)

    def test_what_does_not_fit_is_told_so(self):
        with pytest.raises(TypeError, match=r"cannot be called with .*module__depth=3"):
            build(Perceptron, depth=3)
        with pytest.raises(TypeError, match="gave a str, not a torch"):
            build(lambda p, k: "net")


class TestSingleNetwork:
    def test_is_a_stack_of_one_with_the_same_names(self):
        stack = SingleNetwork(nn.Linear(3, 2), 2)
        assert stack(torch.zeros(4, 3)).shape == (1, 4, 2)
        assert stack.n_members == 1
        assert stack.widest == 2

    def test_gives_rows_their_shape_and_outputs_theirs(self):
        seen = []

        class Sums(nn.Module):
            def forward(self, x):
                seen.append(tuple(x.shape))
                return x.flatten(1).sum(1)

        raw = SingleNetwork(Sums(), 1, sample_shape=(2, 3))(X)
        assert seen == [(5, 2, 3)]
        torch.testing.assert_close(raw, X.sum(1).reshape(1, 5, 1))

    def test_two_scores_are_taken_as_their_difference_where_one_is_wanted(self):
        network = nn.Linear(6, 2)
        raw = SingleNetwork(network, 1, two_scores_as_one=True)(X)
        scores = network(X)
        torch.testing.assert_close(raw[0, :, 0], scores[:, 1] - scores[:, 0])
        with pytest.raises(ValueError, match=r"shape \(5, 2\) for 5 rows.*needs \(5, 1\)"):
            SingleNetwork(network, 1)(X)

    def test_an_error_of_the_module_says_what_it_was_given(self):
        with pytest.raises(RuntimeError, match="cannot be multiplied") as caught:
            SingleNetwork(nn.Linear(5, 1), 1)(X)
        assert "rows of shape (5, 6)" in caught.value.__notes__[0]
        with pytest.raises(TypeError, match="LSTM returned a tuple"):
            SingleNetwork(nn.LSTM(6, 1), 1)(X)

    def test_draws_from_the_generator_in_training_alone(self):
        network = SingleNetwork(nn.Dropout(0.5), 6)
        before = torch.get_rng_state()
        first, again = (network(X, [torch.Generator().manual_seed(0)]) for _ in range(2))
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.equal(first, again)
        assert (first == 0).any()
        assert torch.equal(network.eval()(X)[0], X)

    def test_knows_what_makes_a_loss_random_or_joint(self):
        kinds = [nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.1), nn.Dropout(0.0)]
        wrapped = [SingleNetwork(kind, 6) for kind in kinds]
        assert [network.mixes_rows() for network in wrapped] == [False, True, False, False]
        assert [network.draws() for network in wrapped] == [False, False, True, False]
