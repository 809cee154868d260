"""Stability selection: what it counts, its bound, and scikit-learn's checks."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    RegularizedMLPRegressorCV,
    StabilitySelection,
)
from skreg.penalties import L1, GroupLasso

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_rng = np.random.default_rng(0)
X = _rng.normal(size=(121, 20))
Y = X[:, 2] - X[:, 5] + 0.8 * X[:, 11] + _rng.normal(size=121)
LASSO = RegularizedMLPRegressor((), penalty="l1", alpha=0.25, solver="fista", tol=1e-3)
NETWORK = RegularizedMLPRegressor(
    (6,), penalty="group_lasso", alpha=0.07, learning_rate_init=0.02, max_iter=60, batch_size=30
)


@parametrize_with_checks(
    [
        StabilitySelection(
            RegularizedMLPRegressor((2,), penalty="group_lasso", alpha=0.01, max_iter=3),
            n_subsamples=4,
            random_state=0,
        )
    ]
)
def test_sklearn_conformance(estimator, check):
    check(estimator)


@pytest.mark.parametrize("network", [LASSO, NETWORK], ids=["lasso", "network"])
def test_it_finds_what_matters(network):
    selection = StabilitySelection(network, n_subsamples=30, threshold=0.9, random_state=0).fit(
        X, Y
    )
    assert selection.get_support(indices=True).tolist() == [2, 5, 11]
    probabilities = selection.selection_probabilities_
    assert probabilities.shape == (20,)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    # Some of the rest are picked now and then: there was something to tell apart.
    assert 0 < np.delete(probabilities, [2, 5, 11]).max() < 0.9
    assert selection.transform(X).shape == (121, 3)


def test_probabilities_are_those_of_fits_one_by_one():
    exact = clone(LASSO).set_params(tol=1e-7, max_iter=2000)
    selection = StabilitySelection(
        exact, alphas=[0.1, 0.3], n_subsamples=6, random_state=3
    ).fit(X, Y)
    rng = np.random.RandomState(3)
    counts, union = np.zeros((2, 20)), []
    for rows in _halves(rng, 6):
        masks = [
            clone(exact).set_params(alpha=alpha).fit(X[rows], Y[rows]).selected_features_
            for alpha in (0.1, 0.3)
        ]
        counts += masks
        union.append(np.logical_or(*masks).sum())
    np.testing.assert_allclose(selection.stability_path_, counts / 6)
    np.testing.assert_allclose(selection.selection_probabilities_, (counts / 6).max(axis=0))
    assert selection.n_selected_ == pytest.approx(np.mean(union))
    assert selection.alphas_.tolist() == [0.1, 0.3]


def _halves(rng, n_subsamples):
    # As they are drawn: a permutation for each pair, a seed after each subsample.
    for subsample in range(n_subsamples):
        if subsample % 2 == 0:
            order = rng.permutation(121)
        yield np.sort(order[:60] if subsample % 2 == 0 else order[60:120])
        rng.randint(2**31 - 1)


def test_the_bound_is_meinshausens_and_buehlmanns_at_the_current_threshold():
    selection = StabilitySelection(LASSO, n_subsamples=10, threshold=0.6, random_state=0)
    assert not hasattr(selection, "error_bound_")
    selection.fit(X, Y)
    q = selection.n_selected_
    assert selection.error_bound_ == pytest.approx(q**2 / (0.2 * 20))
    before = selection.get_support().sum()
    selection.set_params(threshold=1.0)
    assert selection.error_bound_ == pytest.approx(q**2 / 20)
    assert selection.get_support().sum() <= before


def test_under_noise_alone_the_bound_holds():
    rng = np.random.default_rng(0)
    false, bounds = [], []
    for seed in range(4):
        noise = rng.normal(size=(80, 30))
        selection = StabilitySelection(
            clone(LASSO).set_params(alpha=0.3),
            n_subsamples=20,
            threshold=0.7,
            random_state=seed,
        ).fit(noise, rng.normal(size=80))
        false.append(selection.get_support().sum())
        bounds.append(selection.error_bound_)
    assert np.mean(bounds) > 0
    assert np.mean(false) <= np.mean(bounds)


def test_pairs_share_no_row_and_classes_are_halved():
    labels = np.repeat(["a", "b", "c"], [60, 41, 20])
    model = StabilitySelection(
        RegularizedMLPClassifier((), penalty="l1", alpha=0.1), n_subsamples=5
    )
    halves = list(model._subsamples(labels, np.random.RandomState(0)))
    assert [len(half) for half in halves] == 5 * [60]
    assert not set(halves[0]) & set(halves[1])
    assert set(halves[0]) != set(halves[2])
    for half in halves:
        assert np.unique(labels[half], return_counts=True)[1] == pytest.approx(
            [30, 20.5, 10], abs=1
        )


def test_the_seed_fixes_the_outcome_and_no_generator_is_touched():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second, other = (
        StabilitySelection(NETWORK, n_subsamples=6, random_state=seed).fit(X, Y)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.stability_path_, second.stability_path_)
    assert not np.array_equal(first.stability_path_, other.stability_path_)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_frames_groups_by_prefix_weights_and_sparse_tables():
    frame = pd.DataFrame(X, columns=[f"pair{j // 2}_{j % 2}" for j in range(20)])
    network = clone(LASSO).set_params(
        penalty=GroupLasso(0.15, groups=["pair1_", "pair2_", "pair5_"]), alpha=1e-4
    )
    selection = StabilitySelection(network, n_subsamples=10, random_state=0).fit(frame, Y)
    names = selection.get_feature_names_out().tolist()
    assert names == ["pair1_0", "pair1_1", "pair2_0", "pair2_1", "pair5_0", "pair5_1"]
    dense = StabilitySelection(LASSO, n_subsamples=6, random_state=0).fit(X, Y)
    sparse = clone(dense).fit(scipy.sparse.csr_matrix(X), Y)
    np.testing.assert_array_equal(dense.stability_path_, sparse.stability_path_)
    only_first = np.r_[np.ones(60), np.full(61, 1e-9)]
    weighted = clone(dense).fit(X, Y, sample_weight=only_first)
    assert not np.array_equal(dense.stability_path_, weighted.stability_path_)


def test_in_a_pipeline_before_another_model():
    model = make_pipeline(
        StandardScaler(),
        StabilitySelection(LASSO, n_subsamples=10, random_state=0),
        LinearRegression(),
    ).fit(X, Y)
    assert model[-1].coef_.shape == (3,)


def test_alphas_of_a_penalty_object():
    fixed = clone(LASSO).set_params(penalty=L1(alpha=0.25), alpha=1e-4)
    ours = StabilitySelection(fixed, alphas=[0.2, 0.25], n_subsamples=4, random_state=0)
    named = StabilitySelection(LASSO, alphas=[0.2, 0.25], n_subsamples=4, random_state=0)
    np.testing.assert_array_equal(
        ours.fit(X, Y).stability_path_, named.fit(X, Y).stability_path_
    )
    assert StabilitySelection(fixed, n_subsamples=2).fit(X, Y).alphas_.tolist() == [0.25]


@pytest.mark.parametrize(
    ("estimator", "settings", "error", "message"),
    [
        (LinearRegression(), {}, TypeError, "estimator is LinearRegression.*StandardScaler"),
        (
            RegularizedMLPRegressor(),
            {},
            ValueError,
            "penalty='l2'.*gives no zeros.*group_lasso",
        ),
        (
            RegularizedMLPRegressor(penalty="l1", penalty_method="subgradient"),
            {},
            ValueError,
            "subgradient'.*gives no zeros",
        ),
        (LASSO, {"alphas": [0.1, -1.0]}, ValueError, r"a list of positive .* \[0.1, -1.0\]"),
        (
            clone(LASSO).set_params(alpha=0.0),
            {},
            ValueError,
            r"alphas must .* got the network's own, 0.0",
        ),
        (
            RegularizedMLPRegressorCV(),
            {},
            TypeError,
            r"RegressorCV chooses its own.*Give a RegularizedMLPRegressor or.*alphas",
        ),
        (LASSO, {"threshold": 0.5}, ValueError, "threshold"),
    ],
)
def test_errors_say_the_way_out(estimator, settings, error, message):
    with pytest.raises(error, match=message):
        StabilitySelection(estimator, **settings).fit(X, Y)


@pytest.mark.parametrize("class_weight", [{2: 4.0}, {0: 1.0, 1: 1.0, 2: 4.0}])
@pytest.mark.parametrize("penalty", ["l1", L1(adaptive=True)])
def test_a_class_that_a_half_lacks_may_have_a_weight(class_weight, penalty):
    labels = np.where(Y > 0, 1, 0)
    labels[7] = 2  # alone: in one half of each pair
    network = RegularizedMLPClassifier(
        (), penalty=penalty, alpha=0.05, solver="fista", tol=1e-4, class_weight=class_weight
    )
    ours = StabilitySelection(network, n_subsamples=4, random_state=0).fit(X, labels)
    assert 0 < ours.stability_path_.sum() < 20
    if penalty == "l1":
        weights = np.where(labels == 2, 4.0, 1.0)
        weighted = clone(ours).set_params(estimator__class_weight=None).fit(X, labels, weights)
        np.testing.assert_array_equal(ours.stability_path_, weighted.stability_path_)
    unknown = clone(ours).set_params(estimator__class_weight={**class_weight, 3: 1.0})
    with pytest.raises(ValueError, match=r"class_weight has labels \[3\]"):
        unknown.fit(X, labels)


def test_groups_by_name_are_those_by_index():
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(20)])
    by_name, by_index = (
        StabilitySelection(
            clone(LASSO).set_params(penalty=GroupLasso(groups=groups)),
            n_subsamples=4,
            random_state=0,
        ).fit(table, Y)
        for table, groups in ((frame, [["x2", "x3"]]), (X, [[2, 3]]))
    )
    np.testing.assert_array_equal(by_name.stability_path_, by_index.stability_path_)


def test_a_failing_fit_is_not_hidden():
    network = clone(LASSO).set_params(penalty=GroupLasso(0.1, groups=[[0, 99]]))
    with pytest.raises(ValueError, match="index 99, but X has 20 features"):
        StabilitySelection(network.set_params(alpha=1e-4), n_subsamples=4).fit(X, Y)


def test_a_fit_that_fails_leaves_the_last_one():
    selection = StabilitySelection(clone(LASSO), n_subsamples=4, random_state=0).fit(X, Y)
    before = dict(vars(selection))
    selection.estimator.set_params(loss="poisson")
    with pytest.raises(ValueError, match="poisson"):
        selection.fit(pd.DataFrame(X[:, :3], columns=["a", "b", "c"]), Y)
    assert vars(selection).keys() == before.keys()
    assert all(vars(selection)[name] is value for name, value in before.items())
    assert selection.transform(X).shape[0] == 121
