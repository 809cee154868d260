"""Stopping rules and learning-rate schedules, counted as scikit-learn does."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given
from sklearn.neural_network import MLPRegressor

from skreg.training.progress import MAX_RESCUES, Progress

losses_of_a_fit = st.lists(st.floats(0, 1).map(lambda x: round(x, 2)), min_size=1, max_size=30)


def progress(n_members=1, **settings):
    settings = {
        "learning_rate_init": 0.1,
        "tol": 0.05,
        "n_iter_no_change": 2,
        **settings,
    }
    return Progress(n_members, **settings)


@given(losses=losses_of_a_fit)
def test_counts_as_scikit_learn_does(losses):
    theirs = MLPRegressor(tol=0.05)
    theirs.loss_curve_, theirs.best_loss_, theirs._no_improvement_count = [], np.inf, 0
    ours = progress(n_iter_no_change=np.inf)
    for loss in losses:
        theirs.loss_curve_.append(loss)
        theirs._update_no_improvement_count(False, None, None, None)
        ours.update([-loss], n_samples=1)
        # −loss + tol and loss − tol may round apart by a bit when exactly equal.
        if not np.isclose(loss, theirs.best_loss_ + 0.05):
            assert ours.stalled[0] == theirs._no_improvement_count
        else:
            theirs._no_improvement_count = int(ours.stalled[0])
        assert ours.best[0] == -theirs.best_loss_


@given(first=losses_of_a_fit, second=losses_of_a_fit)
def test_members_do_not_see_each_other(first, second):
    together, alone = progress(2, learning_rate="adaptive"), progress(learning_rate="adaptive")
    for a, b in zip(first, second, strict=False):
        together.update([-a, -b], n_samples=1)
        alone.update([-a], n_samples=1)
        assert together.stalled[0] == alone.stalled[0]
        assert together.running[0] == alone.running[0]
        assert together.learning_rates[0] == alone.learning_rates[0]


def test_stops_after_more_than_n_iter_no_change_epochs_without_a_gain():
    p = progress()
    stopped_after = [
        p.update([-1.0], n_samples=1) is not None and p.running[0] for _ in range(4)
    ]
    assert stopped_after == [True, True, True, False]


def test_infinite_patience_never_stops():
    p = progress(n_iter_no_change=np.inf)
    for _ in range(1000):
        p.update([-1.0], n_samples=1)
    assert p.running.all()


def test_adaptive_divides_by_five_down_to_a_millionth_and_then_stops():
    p = progress(learning_rate="adaptive", learning_rate_init=1e-5)
    rates = []
    while p.running[0]:
        p.update([-1.0], n_samples=1)
        rates.append(p.learning_rates[0])
    np.testing.assert_allclose(sorted(set(rates)), [4e-7, 2e-6, 1e-5])


def test_invscaling_follows_the_samples_seen():
    p = progress(learning_rate="invscaling", power_t=0.5)
    p.update([-1.0], n_samples=99)
    np.testing.assert_allclose(p.learning_rates, 0.1 / 10)
    assert p.samples_seen == 99


def test_reports_which_members_are_better_than_ever():
    p = progress(2)
    assert p.update([-1.0, -1.0], n_samples=1).tolist() == [True, True]
    # A gain below tol is a gain, though no reason for more patience.
    assert p.update([-0.99, -1.0], n_samples=1).tolist() == [True, False]
    assert p.stalled.tolist() == [1, 1]


def test_a_rescue_slows_down_and_gives_patience_again():
    for schedule in ("constant", "adaptive"):
        p = progress(learning_rate=schedule)
        for _ in range(2):
            p.update([-1.0], n_samples=1)
        p.rescue()
        assert p.learning_rates[0] == 0.1 / 5
        assert p.stalled[0] == 0
        assert p.rescues == 1 <= MAX_RESCUES


def test_invscaling_stays_slow_after_a_rescue():
    p = progress(learning_rate="invscaling")
    p.rescue()
    p.update([-1.0], n_samples=99)
    np.testing.assert_allclose(p.learning_rates, 0.1 / 5 / 10)
