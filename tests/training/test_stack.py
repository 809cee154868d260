"""Stacks: each member is the model it would be alone, whatever happens to the others."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning
from stacks import (
    ALPHAS,
    FOLDS,
    KINDS,
    TABLES,
    X,
    Y,
    assert_same_model,
    check_stack_against_single_fits,
    fit_in_stack,
    small,
)

from skreg.estimators.many import Task, cut
from skreg.penalties import L1, MCP, ElasticNet, GroupMCP, Penalty
from skreg.training.stack import joinable_key

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training stopped after:sklearn.exceptions.ConvergenceWarning"
)


@pytest.mark.parametrize(("estimator", "y"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("hidden", [(), (8,), (7, 5)])
@pytest.mark.parametrize("solver", ["adam", "sgd", "fista"])
def test_members_are_the_models_they_would_be_alone(estimator, y, hidden, solver):
    members = [
        ({"alpha": alpha, "random_state": seed}, TABLES[fold], y[FOLDS[fold]], None)
        for alpha in ALPHAS[:2]
        for seed, fold in ((0, 0), (1, 0), (0, 1))
    ]

    def make(**own):
        return small(estimator, hidden_layer_sizes=hidden, solver=solver, **own)

    check_stack_against_single_fits(make, members)


@pytest.mark.parametrize("penalty", ["l1", "l2", "group_lasso"])
def test_members_whose_gradients_differ_in_size(penalty):
    # With one alpha and one learning rate nothing but the net says that this is a stack.
    members = [({"penalty": penalty}, X, scale * Y, None) for scale in (1.0, 1e-3)]
    check_stack_against_single_fits(small, members)


def fourth_power(y_pred, y_true):
    return (y_pred - y_true) ** 4


@pytest.mark.parametrize(
    "settings",
    [
        {"penalty": "l2"},
        {"penalty": "elasticnet"},
        {"penalty": None},
        {"penalize_bias": True},
        {"penalty_method": "subgradient"},
        {"penalty": "l2", "penalty_method": "decoupled"},
        {"shuffle": False},
        {"batch_size": 80},
        {"early_stopping": True},
        {"early_stopping": True, "solver": "sgd"},
        {"dropout": 0.3},
        {"learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 0.05},
        {"learning_rate": "invscaling", "solver": "sgd"},
        {"loss": "huber"},
        {"loss": "quantile"},
        {"loss": fourth_power},
        {"activation": "tanh"},
        {"activation": "logistic", "nesterovs_momentum": False, "solver": "sgd"},
        {"penalty": L1()},
    ],
    ids=lambda settings: ",".join(settings),
)
def test_members_go_on_as_they_would_alone(settings):
    # partial_fit afterwards shows that optimizer, generators and counts came back as well.
    members = [
        ({"alpha": alpha, "random_state": seed}, TABLES[fold], Y[FOLDS[fold]], None)
        for alpha in ALPHAS
        for seed, fold in ((0, 0), (1, 1), (0, 1))
    ]
    check_stack_against_single_fits(
        lambda **own: small(**{**settings, **own}),
        members,
        goes_on=not settings.get("early_stopping"),
    )


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_members_may_differ_in_everything_that_is_promised(solver):
    own = [
        {"alpha": 0.01, "l1_ratio": 0.9, "learning_rate_init": 0.01, "tol": 1e-1},
        {"alpha": 0.1, "l1_ratio": 0.1, "learning_rate_init": 0.05, "momentum": 0.5},
        {"alpha": 0.2, "l1_ratio": 0.5, "random_state": 3, "momentum": 0.0},
        {"alpha": 0.2, "l1_ratio": 0.5, "random_state": 3},
    ]
    weights = [None, np.arange(1.0, 81.0), None, np.linspace(0.5, 2, 80)]
    members = [(s, TABLES[0], Y[FOLDS[0]], w) for s, w in zip(own, weights, strict=True)]
    check_stack_against_single_fits(
        lambda **own: small(solver=solver, penalty="elasticnet", n_iter_no_change=2, **own),
        members,
        goes_on=True,
    )
    tasks = [Task(small(penalty="elasticnet", **s), TABLES[0], Y[FOLDS[0]]) for s in own]
    assert [len(chunk) for chunk in cut(tasks, 1)] == [4], "they were not in one stack"


@pytest.mark.parametrize("kind", [MCP, GroupMCP])
def test_members_may_differ_in_l2_added_to_their_penalty(kind):
    members = [
        ({"penalty": kind(alpha=0.05, l2_ratio=l2_ratio)}, TABLES[0], Y[FOLDS[0]], None)
        for l2_ratio in (None, 0.5, 2.0)
    ]
    check_stack_against_single_fits(small, members)


class Tilted(L1):
    """A user's penalty: L1 that is `tilt` times as strong, or half of that without one."""

    _per_member = ("alpha", "tilt")

    def __init__(self, alpha=None, tilt=None, table=None, adaptive=False):
        super().__init__(alpha, adaptive)
        self.tilt = tilt
        self.table = table

    def _strengths(self, weight):
        tilt = 0.5 if self.tilt is None else self._along_members("tilt", weight)
        shift = 0.0 if self.table is None else float(self.table[-2])
        return super()._strengths(weight) * tilt + shift


def test_members_may_differ_in_a_parameter_of_a_users_penalty():
    def key(penalty):
        net = small(penalty=penalty)
        job = net._prepare(TABLES[0], Y[FOLDS[0]])
        return joinable_key(net.net_, job.train, job.valid)

    # Of more numbers than numpy prints, and different in one that it leaves out.
    tables = np.zeros((2, 2000))
    tables[1, -5:-1] = 0.05
    kinds = [Tilted(0.03, 0.5), Tilted(0.03, 4.0), Tilted(0.03), Tilted(0.05)]
    kinds += [Tilted(0.03, 0.5, table) for table in tables]
    members = [({"penalty": kind}, TABLES[0], Y[FOLDS[0]], None) for kind in kinds]
    check_stack_against_single_fits(small, members)
    one, two, lacking, lacking_too, *with_tables = (key(kind) for kind in kinds)
    assert one == two
    assert lacking == lacking_too
    assert len({one, lacking, *with_tables}) == 4


def test_members_leave_when_they_are_done_and_the_rest_go_on():
    tolerances = [10.0, 1.0, 1e-2, 1e-9, 1.0]
    members = [
        ({"alpha": 0.01, "tol": tol, "random_state": seed}, TABLES[seed], Y[FOLDS[seed]], None)
        for tol, seed in zip(tolerances, (0, 1, 2, 0, 0), strict=True)
    ]
    check_stack_against_single_fits(
        lambda **own: small(n_iter_no_change=2, max_iter=60, **own), members, goes_on=True
    )
    stacked = [small(n_iter_no_change=2, max_iter=60, **member[0]) for member in members]
    fit_in_stack(stacked, TABLES[:1] * 5, [Y[FOLDS[0]]] * 5)
    assert len({model.n_iter_ for model in stacked}) > 2
    assert stacked[3].n_iter_ == 60


@pytest.mark.parametrize("make_sparse", [scipy.sparse.csr_matrix, scipy.sparse.csr_array])
def test_sparse_rows_are_stacked_too(make_sparse):
    tables = [make_sparse(np.where(table > 0.5, table, 0)) for table in TABLES]
    members = [({"alpha": a}, tables[f], Y[FOLDS[f]], None) for a in ALPHAS[:2] for f in (0, 1)]
    check_stack_against_single_fits(small, members)


def test_float32_stays_float32():
    tables = [table.astype(np.float32) for table in TABLES]
    stacked = [small(alpha=alpha) for alpha in ALPHAS]
    fit_in_stack(stacked, tables[:1] * 3, [Y[FOLDS[0]]] * 3)
    alone = small(alpha=ALPHAS[1]).fit(tables[0], Y[FOLDS[0]])
    assert stacked[1].coefs_[0].dtype == np.float32
    assert_allclose(stacked[1].coefs_[0], alone.coefs_[0], atol=1e-5)


def test_a_member_that_diverges_is_fitted_alone_with_its_warning():
    rates = [0.01, 30.0, 0.02]
    stacked = [small(hidden_layer_sizes=(), solver="sgd", learning_rate_init=r) for r in rates]
    with pytest.warns(ConvergenceWarning, match="diverged"):
        tasks = fit_in_stack(stacked, TABLES[:1] * 3, [Y[FOLDS[0]]] * 3)
    assert all(task.error is None for task in tasks)
    for rate, model in zip(rates, stacked, strict=True):
        alone = small(hidden_layer_sizes=(), solver="sgd", learning_rate_init=rate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alone.fit(TABLES[0], Y[FOLDS[0]])
        assert_same_model(model, alone)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_members_that_ran_out_of_epochs_warn_as_they_would_alone(early_stopping):
    stacked = [small(alpha=a, max_iter=3, early_stopping=early_stopping) for a in ALPHAS]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_in_stack(stacked, TABLES[:1] * 3, [Y[FOLDS[0]]] * 3)
        in_stack = sorted(str(w.message) for w in caught)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for alpha in ALPHAS:
            small(alpha=alpha, max_iter=3, early_stopping=early_stopping).fit(
                TABLES[0], Y[FOLDS[0]]
            )
    assert in_stack == sorted(str(w.message) for w in caught)
    assert len(in_stack) == 3


class Bent(Penalty):
    """A user's own: L1 with a factor."""

    def __init__(self, alpha=None, factor=1.0):
        self.alpha = alpha
        self.factor = factor

    def _inner(self):
        return L1(self.alpha * self.factor)

    def value(self, weights):
        return self._inner().value(weights)

    def subgradient(self, weight):
        return self._inner().subgradient(weight)

    def prox(self, weight, step):
        return self._inner().prox(weight, step)


def test_a_users_own_penalty_is_stacked_by_its_other_parameters():
    members = [
        ({"alpha": alpha, "penalty": Bent(factor=factor)}, TABLES[0], Y[FOLDS[0]], None)
        for alpha in ALPHAS
        for factor in (1.0, 2.0)
    ]
    check_stack_against_single_fits(small, members)


class TestKey:
    def test_estimators_that_show_their_epochs_are_alone(self):
        net = small(verbose=1)
        job = net._prepare(X, Y)
        assert joinable_key(net.net_, job.train, job.valid) is None

    def test_strengths_that_are_arrays_are_alone(self):
        net = small(penalty=ElasticNet(l1_ratio=np.array([0.3])))
        job = net._prepare(X, Y)
        assert joinable_key(net.net_, job.train, job.valid) is None
