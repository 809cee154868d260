"""Adaptive penalties: strengths from an initial fit, alone, in stacks and in later fits."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_regression
from sklearn.linear_model import Lasso, MultiTaskLasso, Ridge

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor, StackedGridSearchCV
from skreg.estimators.many import Task, fit_all
from skreg.penalties import L1, ElasticNet, GroupLasso, SparseGroupLasso
from skreg.penalties.base import Layout
from skreg.penalties.groupwise import GroupPenalty
from skreg.training.net import RegularizedNet

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_regression(100, 10, n_informative=4, n_targets=2, noise=60.0, random_state=0)
Y = Y / Y.std()
y = Y[:, 0]
KINDS = {
    "l1": L1(0.02, adaptive=True),
    "elasticnet": ElasticNet(0.02, 0.7, adaptive=True),
    "group_lasso": GroupLasso(0.02, adaptive=True),
    "sparse_group_lasso": SparseGroupLasso(0.02, 0.5, adaptive=True),
}
every_kind = pytest.mark.parametrize("penalty", KINDS.values(), ids=KINDS)
EXACT = {"solver": "fista", "tol": 1e-9, "max_iter": 5000, "random_state": 0}
SMALL = {"learning_rate_init": 0.02, "max_iter": 40, "random_state": 0, "tol": 0.0}


def initial_coefficients(targets):
    # The initial fit: L2 at the default strength.
    return Ridge(len(X) * 1e-4, tol=1e-12).fit(X, targets).coef_


def test_without_a_hidden_layer_it_is_the_adaptive_lasso():
    # By hand: the lasso on columns that are scaled by the initial coefficients.
    scale = np.abs(initial_coefficients(y))
    theirs = Lasso(0.02, tol=1e-14, max_iter=100_000).fit(X * scale, y).coef_ * scale
    ours = RegularizedMLPRegressor((), penalty=KINDS["l1"], **EXACT).fit(X, y).coefs_[0][:, 0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ours == 0, theirs == 0)
    fixed = RegularizedMLPRegressor((), penalty="l1", alpha=0.02, **EXACT).fit(X, y)
    assert (fixed.coefs_[0] == 0).sum() < (ours == 0).sum() < 10


def test_without_a_hidden_layer_it_is_the_adaptive_group_lasso():
    norms = np.linalg.norm(initial_coefficients(Y), axis=0)
    theirs = MultiTaskLasso(0.1 * 2**0.5, tol=1e-14, max_iter=100_000).fit(X * norms, Y)
    ours = RegularizedMLPRegressor((), penalty=GroupLasso(0.1, adaptive=True), **EXACT)
    coef = ours.fit(X, Y).coefs_[0].T
    np.testing.assert_allclose(coef, theirs.coef_ * norms, rtol=1e-5, atol=1e-6)
    assert 0 < (~ours.selected_features_).sum() < 10


@every_kind
def test_what_the_initial_fit_found_large_is_shrunk_less(penalty):
    settings = {"hidden_layer_sizes": (6,), **SMALL, "max_iter": 300}
    adaptive = RegularizedMLPRegressor(penalty=penalty, **settings).fit(X, Y)
    fixed = clone(penalty).set_params(adaptive=False)
    fixed = RegularizedMLPRegressor(penalty=fixed, **settings).fit(X, Y)
    assert not np.allclose(adaptive.coefs_[0], fixed.coefs_[0])
    initial = RegularizedMLPRegressor(penalty="l2", **settings).fit(X, Y)
    strengths = adaptive.net_.optimizer_.param_groups[0]["penalty"]._factors
    sizes = (
        torch.from_numpy(np.concatenate([np.linalg.norm(w, axis=1) for w in initial.coefs_]))
        if isinstance(penalty, GroupPenalty)
        else initial.net_.module_.weight.detach()[0].abs()
    )
    torch.testing.assert_close(strengths[0] * sizes, torch.ones_like(sizes))


@every_kind
def test_the_fit_goes_on_from_the_initial_fit(penalty):
    model = RegularizedMLPRegressor((6,), penalty=penalty, **SMALL).fit(X, y)
    initial = RegularizedMLPRegressor((6,), penalty="l2", **SMALL).fit(X, y)
    assert model.data_loss_curve_[0] < 0.5 * initial.data_loss_curve_[0]
    assert len(model.loss_curve_) == model.n_iter_ == 40
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(model.coefs_[0], again.coefs_[0])


@every_kind
def test_initial_zeros_stay_and_nothing_is_nan(penalty):
    constant = np.c_[X, np.zeros(len(X))]
    model = RegularizedMLPRegressor((6,), penalty=penalty, **SMALL).fit(constant, y)
    assert np.isfinite(model.loss_curve_).all()
    assert np.isfinite(model.coefs_[0]).all()
    # An initial fit that is zero all over.
    bound = penalty.bind(Layout([(2, 2)], initial=torch.zeros(1, 4)))
    weight = torch.tensor([[1.0, 2.0, 0.0, 3.0]])
    assert torch.isfinite(bound.prox(weight, 0.1)).all()
    assert torch.isfinite(bound.value([torch.zeros(1, 4)])).all()


@every_kind
def test_a_stack_is_each_member_alone_and_shares_initial_fits(penalty, monkeypatch):
    estimators = [
        RegularizedMLPRegressor(
            (6,),
            penalty=clone(penalty).set_params(alpha=alpha),
            batch_size=30,
            **{**SMALL, "random_state": seed},
        )
        for alpha in (0.005, 0.02, 0.1)
        for seed in (0, 1)
    ]
    initial_fits = []
    make = RegularizedMLPRegressor._train

    def counted(self, job, **settings):
        initial_fits.append(self)
        return make(self, job, **settings)

    table, target = X.copy(), y.copy()
    tasks = [Task(clone(estimator), table, target) for estimator in estimators]
    list(fit_all([tasks], 1))
    assert not any(task.error for task in tasks)
    monkeypatch.setattr(RegularizedMLPRegressor, "_train", counted)
    for task, estimator in zip(tasks, estimators, strict=True):
        alone = estimator.fit(X, y)
        np.testing.assert_allclose(task.estimator.coefs_[0], alone.coefs_[0], atol=1e-6)
        np.testing.assert_array_equal(task.estimator.coefs_[0] == 0, alone.coefs_[0] == 0)
    # Alone each has an initial fit.
    assert len(initial_fits) == 12


def test_a_search_over_alpha_and_adaptive():
    base = RegularizedMLPClassifier((4,), penalty=L1(), batch_size=40, **SMALL)
    grid = {"penalty__alpha": [0.003, 0.03], "penalty__adaptive": [False, True]}
    labels = (y > 0).astype(int)
    search = StackedGridSearchCV(base, grid, cv=2).fit(X, labels)
    scores = search.cv_results_["split0_test_score"]
    assert np.isfinite(scores).all()
    for score, params in zip(scores, search.cv_results_["params"], strict=True):
        train, test = next(search_splits(labels))
        alone = clone(base).set_params(**params).fit(X[train], labels[train])
        assert score == pytest.approx(alone.score(X[test], labels[test]))


def search_splits(labels):
    from sklearn.model_selection import StratifiedKFold

    return StratifiedKFold(2).split(X, labels)


@every_kind
def test_copies_warm_starts_and_partial_fit_keep_the_strengths(penalty):
    model = RegularizedMLPRegressor((6,), penalty=penalty, warm_start=True, **SMALL).fit(X, y)
    factors = model.net_.optimizer_.param_groups[0]["penalty"]._factors
    for copied_model in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        for goes_on in (copied_model.fit, copied_model.partial_fit):
            goes_on(X, y)
            kept = copied_model.net_.optimizer_.param_groups[0]["penalty"]._factors
            assert torch.equal(kept, factors)
    small = model.compact()
    np.testing.assert_allclose(small.predict(X), model.predict(X), atol=1e-10)
    small.partial_fit(X, y)
    assert len(small.loss_curve_) == 41
    assert small.net_.module_.weight.numel() < model.net_.module_.weight.numel()


def test_training_that_goes_on_adapts_to_the_fitted_weights():
    model = RegularizedMLPRegressor((6,), penalty="l2", warm_start=True, **SMALL).fit(X, y)
    size = np.abs(model.coefs_[0])
    model.set_params(penalty=L1(0.02, adaptive=True)).fit(X, y)
    factors = model.net_.optimizer_.param_groups[0]["penalty"]._factors.numpy()
    np.testing.assert_allclose(factors[0, :60].reshape(10, 6) * size, 1.0)


@every_kind
def test_a_network_that_adapts_to_its_fitted_weights_is_compacted(penalty):
    settings = {**SMALL, "max_iter": 200, "warm_start": True}
    model = RegularizedMLPRegressor((6,), penalty="l1", alpha=0.1, **settings).fit(X, y)
    model.set_params(penalty=penalty, alpha=1e-4).fit(X, y)
    assert model.sparsity_ > 0
    small = model.compact()
    assert small.net_.module_.weight.numel() < model.net_.module_.weight.numel()
    np.testing.assert_allclose(small.predict(X), model.predict(X), atol=1e-10)
    small.partial_fit(X, y)
    assert np.isfinite(small.coefs_[0]).all()


def test_the_penalized_biases_adapt_too():
    model = RegularizedMLPRegressor(
        (6,), penalty=L1(0.05, adaptive=True), penalize_bias=True, **SMALL
    ).fit(X, y)
    of_bias = model.net_.optimizer_.param_groups[1]["penalty"]
    assert of_bias._factors.shape == (1, 7)


@every_kind
def test_errors_say_what_an_initial_fit_needs(penalty):
    kind = type(penalty).__name__
    with pytest.raises(ValueError, match=rf"{kind}\(adaptive=True\) takes.*an estimator does"):
        penalty.prox(torch.ones(1, 2, 2), 0.1)
    adaptive = type(penalty)(adaptive=True)
    with pytest.raises(ValueError, match=r"initial fit on all data.*Call fit first") as raised:
        RegularizedMLPRegressor((6,), penalty=adaptive, **SMALL).partial_fit(X, y)
    # As it was given: the alpha is the estimator's.
    assert str(raised.value).startswith(f"{adaptive!r} takes")


def test_an_interrupt_of_the_initial_fit_leaves_nothing_fitted(monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(RegularizedNet, "run_epoch", interrupted)
    model = RegularizedMLPRegressor((6,), penalty=L1(adaptive=True), **SMALL)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert not hasattr(model, "net_")
