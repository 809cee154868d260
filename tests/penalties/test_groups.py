"""Which weights form a group: by layer, and by what the user says of the features."""

import copy
import pickle

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from strategies import tensors

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor, StackedGridSearchCV
from skreg.penalties import GroupLasso, GroupMCP, GroupSCAD, SparseGroupLasso
from skreg.penalties.base import Columns, Layout
from skreg.penalties.groups import Grouping, grouping_of, groups_of_features

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_rng = np.random.default_rng(0)
X = _rng.normal(size=(150, 6))
Y = 2 * X[:, 0] + X[:, 1] - 0.4 * X[:, 2] + 0.1 * _rng.normal(size=150)
FRAME = pd.DataFrame(X, columns=["city_a", "city_b", "age_x", "age_y", "sex", "size"])
KINDS = [GroupLasso, SparseGroupLasso, GroupMCP, GroupSCAD]


# Groups of 2, 2, 2 and 1, 1 and 4 weights.
LAYERS = [(3, 2), (2, 1), (1, 4)]
SIZES = [2, 2, 2, 1, 1, 4]


class TestGrouping:
    def test_torchs_own_layers(self):
        linear = torch.nn.Linear(3, 2)
        torch.testing.assert_close(
            grouping_of(linear.weight).norms(linear.weight)[0], linear.weight.norm(dim=0)
        )
        conv = torch.nn.Conv2d(3, 2, 5)
        torch.testing.assert_close(
            grouping_of(conv.weight).norms(conv.weight)[0],
            torch.linalg.vector_norm(conv.weight, dim=(0, 2, 3)),
        )
        assert grouping_of(conv.weight).sizes == [50, 50, 50]
        assert grouping_of(linear.bias).sizes == [1, 1]

    def test_steps_that_differ_within_a_group_are_an_error(self):
        weight, step = torch.ones(1, 2, 2), torch.tensor([[[1.0, 2.0], [1.0, 1.0]]])
        with pytest.raises(ValueError, match=r"differ within a group: give one step per group"):
            GroupLasso(0.1).prox(weight, step)
        same = torch.tensor([[[1.0, 1.0], [2.0, 2.0]]])
        torch.testing.assert_close(
            GroupLasso(0.1).prox(weight, same), GroupLasso(0.1).prox(weight, same[..., :1])
        )

    def test_rows_that_belong_together(self):
        grouping = Grouping([(3, 2), (2, 1)], row_groups=[1, 0, 1])
        assert grouping.sizes == [2, 4, 1, 1]
        weight = torch.tensor([[3.0, 0, 1, 1, 0, 4, 5, -6]], dtype=torch.float64)
        torch.testing.assert_close(
            grouping.norms(weight), torch.tensor([[2**0.5, 5, 5, 6]], dtype=torch.float64)
        )
        (_, first), (_, second) = grouping.spread(torch.tensor([[10.0, 20, 30, 40]]), weight)
        assert first.flatten().tolist() == [20, 10, 20]
        assert second.flatten().tolist() == [30, 40]

    def test_copies_and_pickles_leave_tensors_behind(self):
        grouping = Grouping(LAYERS)
        grouping.root_sizes(torch.zeros(1))
        for same in (copy.deepcopy(grouping), pickle.loads(pickle.dumps(grouping))):
            assert same.sizes == SIZES
            assert not same._tensors
            assert same == grouping
            assert hash(same) == hash(grouping)
        n_rows = LAYERS[0][0]
        assert grouping != Grouping(LAYERS, row_groups=[0] * n_rows)
        assert grouping != Grouping(LAYERS[:1])
        assert grouping != LAYERS


class TestGroupsOfFeatures:
    def test_indices_names_and_prefixes_say_the_same(self):
        expected = (0, 0, 1, 1, 2, 3)
        names = list(FRAME.columns)
        assert groups_of_features([[0, 1], [3, 2]], 6, None) == expected
        assert groups_of_features([np.array([0, 1]), (2, 3)], 6, names) == expected
        assert groups_of_features(["city_", "age_"], 6, names) == expected
        assert groups_of_features([["city_b", "city_a"], "age"], 6, names) == expected

    @given(st.permutations(range(7)), st.integers(1, 6), st.integers(0, 7))
    def test_every_feature_is_in_one_group(self, order, cut, n_named):
        named = [group for group in (order[:n_named][:cut], order[:n_named][cut:]) if group]
        numbers = groups_of_features(named, 7, None)
        assert sorted(set(numbers)) == list(range(len(named) + 7 - n_named))
        for group in named:
            assert len({numbers[j] for j in group}) == 1

    @pytest.mark.parametrize(
        ("groups", "names", "message"),
        [
            ("city_", True, r"must be a list of groups.*got 'city_'"),
            (3, True, r"must be a list of groups.*got 3"),
            ([[0, 1], [1, 2]], False, r"feature 1 is in \[0, 1\] and in \[1, 2\]"),
            (["city_", [0]], True, r"feature 'city_a' is in 'city_' and in \[0\]"),
            ([[0, 0]], False, r"feature 0 is twice in \[0, 0\]"),
            ([[]], False, "empty group"),
            ([[0, 6]], False, r"index 6, but X has 6 features.*from 0 to 5"),
            ([[-1]], False, r"index -1, but"),
            ([[0.5]], False, r"indices or names, but \[0.5\] has 0.5"),
            ([[True, False]], False, r"has True"),
            (["town_"], True, r"prefix 'town_', but no column of X begins.*'city_a'"),
            (["city_"], False, r"'city_', but X has no column names.*data frame.*indices"),
            ([["city"]], True, r"'city', which is no column.*begin with it, give the string"),
        ],
    )
    def test_errors_name_the_group_and_the_way_out(self, groups, names, message):
        table = FRAME if names else X
        model = RegularizedMLPRegressor((4,), penalty=GroupLasso(0.1, groups=groups))
        with pytest.raises(ValueError, match=message):
            model.fit(table, Y)
        assert not hasattr(model, "net_")


@pytest.mark.parametrize("kind", KINDS)
@given(weight=tensors(shape=(1, 11)), alpha=st.floats(0.01, 2), step=st.floats(0.01, 4))
def test_the_prox_of_rows_that_belong_together_is_that_of_one_longer_row(
    kind, weight, alpha, step
):
    # Rows 0 and 2 of three, and a second layer.
    penalty = kind(alpha, groups=[[0, 2]])
    if kind is SparseGroupLasso:
        penalty.l1_ratio = 0.3
    bound = penalty.bind(Layout([(3, 3), (2, 1)], Columns(3)))
    order = torch.tensor([0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10])
    rows = [(slice(0, 6), (1, 6)), (slice(6, 9), (1, 3)), (slice(9, 11), (2, 1))]
    sorted_weight = weight[:, order]
    expected = [
        penalty.bind(Layout([layer])).prox(sorted_weight[:, part], step) for part, layer in rows
    ]
    result = bound.prox(weight, step)[:, order]
    torch.testing.assert_close(result, torch.cat(expected, 1))
    values = [
        penalty.bind(Layout([layer])).value([sorted_weight[:, part]]) for part, layer in rows
    ]
    torch.testing.assert_close(bound.value([weight]), sum(values))


@pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
@pytest.mark.parametrize("hidden", [(), (8,)])
def test_features_of_a_group_stay_or_go_together(hidden, solver):
    # Alone the second of a pair of features would go: age_x is weak, age_y is noise.
    model = RegularizedMLPRegressor(
        hidden,
        penalty=GroupLasso(0.05, groups=["city_", "age_"]),
        solver=solver,
        learning_rate_init=0.02,
        max_iter=300,
        random_state=0,
    ).fit(FRAME, Y)
    assert model.selected_features_.tolist() == [True, True, True, True, False, False]
    alone = clone(model).set_params(penalty=GroupLasso(0.05)).fit(FRAME, Y)
    assert not alone.selected_features_[3]


def test_neurons_have_groups_of_their_own_as_ever():
    model = RegularizedMLPRegressor(
        (5, 4), penalty=GroupLasso(0.1, groups=[[0, 1, 2]]), max_iter=1, random_state=0
    ).fit(X, Y)
    grouping = model.net_.optimizer_.param_groups[0]["penalty"].grouping(
        model.net_.module_.weight
    )
    assert isinstance(grouping, Grouping)
    assert grouping.sizes == [15, 5, 5, 5] + 5 * [4] + 4 * [1]


def test_one_hot_columns_in_a_pipeline():
    table = pd.DataFrame(
        {"city": _rng.choice(list("abc"), 200), "noise": _rng.choice(list("xyz"), 200)}
    )
    y = table["city"].map({"a": 0.0, "b": 1.0, "c": 3.0}).to_numpy()
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["city", "noise"]), verbose_feature_names_out=False
    ).set_output(transform="pandas")
    model = make_pipeline(
        encode,
        RegularizedMLPRegressor(
            (8,),
            penalty=GroupLasso(0.02, groups=["city_", "noise_"]),
            learning_rate_init=0.02,
            random_state=0,
        ),
    ).fit(table, y)
    assert model[-1].selected_features_.tolist() == 3 * [True] + 3 * [False]


def test_a_stack_is_each_member_alone():
    base = RegularizedMLPRegressor(
        (6,),
        penalty=GroupMCP(groups=["city_", "age_"]),
        learning_rate_init=0.02,
        max_iter=30,
        random_state=0,
    )
    grid = {
        "penalty__alpha": [0.01, 0.1],
        "penalty__gamma": [2.0, 5.0],
        "penalty__groups": [["city_", "age_"], [["sex", "size"]]],
    }
    search = StackedGridSearchCV(base, grid, cv=3, refit=False).fit(FRAME, Y)
    for place, params in enumerate(search.cv_results_["params"]):
        rows = np.arange(50, 150)
        alone = clone(base).set_params(**params).fit(FRAME.iloc[rows], Y[rows])
        assert search.cv_results_["split0_test_score"][place] == pytest.approx(
            alone.score(FRAME.iloc[:50], Y[:50]), abs=1e-5
        )


def test_compact_warm_starts_and_partial_fit_keep_the_groups():
    y = (Y > 0).astype(int)
    model = RegularizedMLPClassifier(
        (8,),
        penalty=GroupLasso(0.02, groups=[[4, 0], [3, 1]]),
        learning_rate_init=0.02,
        warm_start=True,
        random_state=0,
        max_iter=60,
    ).fit(X, y)
    selected = model.selected_features_
    assert selected[4]
    assert selected[0]
    assert not selected.all()
    small = model.compact()
    grouping = small.net_.optimizer_.param_groups[0]["penalty"].grouping(
        small.net_.module_.weight
    )
    assert grouping.norms(small.net_.module_.weight).shape[1] == len(grouping.sizes)
    for goes_on in (small.fit, small.partial_fit):
        goes_on(X, y)
        weight, penalty = small.net_.module_.weight, small.net_.optimizer_.param_groups[0]
        sizes = penalty["penalty"].grouping(weight).sizes
        n_groups = 2 if selected[3] else 1
        n_inputs, n_hidden = small.coefs_[0].shape
        assert sum(sizes[:-n_hidden]) == n_inputs * n_hidden
        assert max(sizes) == 2 * n_hidden
        assert len(sizes) == n_hidden + n_inputs - n_groups


@pytest.mark.parametrize("kind", KINDS)
def test_groups_are_a_parameter(kind):
    penalty = kind(0.1, groups=["city_"])
    assert clone(penalty).groups == ["city_"]
    assert "groups=['city_']" in repr(penalty)
