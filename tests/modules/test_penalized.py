"""Which parameters are penalized, and by what."""

import pytest
from torch import nn
from torch_modules import Perceptron

from skreg.modules import MLP, penalized_parameters
from skreg.modules.penalized import assign_penalties, make_penalties
from skreg.penalties import L1, L2, ElasticNet, GroupLasso


class TestPenalizedParameters:
    def names(self, module, **settings):
        return [name for name, _ in penalized_parameters(module, **settings)]

    def test_weights_of_an_mlp_and_biases_when_asked_for(self):
        mlp = MLP(4, (5,), 1)
        assert self.names(mlp) == ["weight"]
        assert self.names(mlp, penalize_bias=True) == ["weight", "bias"]
        nested = nn.Sequential(mlp, nn.Linear(1, 1))
        assert self.names(nested) == ["0.weight", "1.weight"]

    @pytest.mark.parametrize(
        "norm", [nn.BatchNorm1d(8), nn.LayerNorm(8), nn.GroupNorm(2, 8), nn.InstanceNorm1d(8)]
    )
    def test_normalization_layers_never(self, norm):
        net = nn.Sequential(nn.Linear(4, 8), norm, nn.Linear(8, 1))
        assert self.names(net) == ["0.weight", "2.weight"]
        assert self.names(net, penalize_bias=True) == [
            "0.weight",
            "0.bias",
            "2.weight",
            "2.bias",
        ]

    def test_convolutions_embeddings_and_recurrent_layers(self):
        net = nn.ModuleDict(
            {"conv": nn.Conv2d(1, 2, 3), "embed": nn.Embedding(5, 2), "rnn": nn.GRU(2, 2)}
        )
        assert self.names(net) == [
            "conv.weight",
            "embed.weight",
            "rnn.weight_ih_l0",
            "rnn.weight_hh_l0",
        ]

    def test_a_parameter_shared_by_two_layers_counts_once(self):
        first, second = nn.Linear(3, 3), nn.Linear(3, 3)
        second.weight = first.weight
        assert self.names(nn.Sequential(first, second)) == ["0.weight"]


def test_assign_penalties_takes_the_first_pattern_that_fits():
    module = Perceptron(6, 1, norm=True)
    l1, l2 = L1(0.1), L2(0.1)
    assert assign_penalties(module, {"hidden.*": None, "*": l2}) == {
        "hidden.weight": None,
        "out.weight": l2,
    }
    assert assign_penalties(module, {"out.*": l1}, "*.weight") == {"out.weight": l1}
    assert list(assign_penalties(module, l1, penalize_bias=True)) == [
        "hidden.weight",
        "hidden.bias",
        "out.weight",
        "out.bias",
    ]
    # A whole module that is one layer has no dot in its names.
    assert list(assign_penalties(nn.Linear(2, 1), l1, "*.weight")) == ["weight"]
    with pytest.raises(
        ValueError, match=r"penalized: the pattern 'conv\.\*' fits no param.*'out"
    ):
        assign_penalties(module, l1, "conv.*")
    with pytest.raises(ValueError, match=r"penalty: the pattern 'norm\.\*' fits no parameter"):
        assign_penalties(module, {"norm.*": l1})


def test_penalties_in_a_dict_have_their_strength_or_take_the_estimators():
    made = make_penalties({"a": L1(), "b": ElasticNet(l1_ratio=0.2), "c": L2(1.0)}, 0.3, 0.5)
    assert {k: v.alpha for k, v in made.items()} == {"a": 0.3, "b": 0.3, "c": 1.0}
    assert made["b"].l1_ratio == 0.2
    with pytest.raises(ValueError, match=r"alpha=0.3 is not used: each penalty.*has its own"):
        make_penalties({"a": L1(0.1)}, 0.3, 0.5)
    with pytest.raises(ValueError, match=r"penalty\['a'\] must be the name of a penalty"):
        make_penalties({"a": 3}, 0.3, 0.5)


@pytest.mark.parametrize(
    "penalty", [L1(adaptive=True), {"*": L1(adaptive=True)}, GroupLasso(groups=[[0, 1]])]
)
def test_what_only_a_multi_layer_perceptron_has_is_refused(penalty):
    with pytest.raises(ValueError, match="are for multi-layer perceptrons"):
        make_penalties(penalty, 0.1, 0.5)


def test_a_penalty_on_nothing_is_an_error_unless_it_is_zero():
    module = nn.BatchNorm1d(3)
    with pytest.raises(
        ValueError, match="No parameter of the module BatchNorm1d gets a penalty"
    ):
        assign_penalties(module, L1(0.1))
    assert assign_penalties(module, L1(0.0)) == {}
    assert assign_penalties(module, None) == {}
