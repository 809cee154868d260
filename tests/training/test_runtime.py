"""Work on threads: all of it is done, nothing is left behind, torch's threads are back."""

import threading
import time

import pytest
import torch

from skreg import RegularizedMLPRegressor
from skreg.training.runtime import Stopped, one_thread, run_in_threads, threads_worth


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2, "the number of threads was not set back"
    torch.set_num_threads(before)


def threads_of_a_new_thread():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return seen[0]


def test_all_items_are_worked_on_with_one_thread_of_arithmetic_each():
    def work(item, check):
        check()
        time.sleep(0.01)
        return item, torch.get_num_threads(), threading.get_ident()

    results = list(run_in_threads(work, range(8), 2))
    assert sorted(item for item, _, _ in results) == list(range(8))
    assert {threads for _, threads, _ in results} == {1}
    assert len({thread for _, _, thread in results}) == 2
    assert threads_of_a_new_thread() == 2


def test_items_are_drawn_as_they_are_needed():
    drawn = []

    def items():
        for item in range(100):
            drawn.append(item)
            yield item

    results = run_in_threads(lambda item, check: item, items(), 2)
    next(results)
    assert len(drawn) < 10
    results.close()
    assert len(drawn) < 10


def test_an_error_comes_out_and_the_other_threads_stop():
    stopped = []

    def work(item, check):
        if item == 0:
            raise ZeroDivisionError
        try:
            for _ in range(1000):
                check()
                time.sleep(0.01)
        except Stopped:
            stopped.append(item)
            raise

    before = threading.active_count()
    start = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        list(run_in_threads(work, range(3), 2))
    assert time.monotonic() - start < 5
    assert stopped
    assert threading.active_count() <= before
    assert threads_of_a_new_thread() == 2


def test_a_caller_that_leaves_stops_the_work():
    running = threading.Event()

    def work(item, check):
        while item:
            running.set()
            check()
            time.sleep(0.01)

    results = run_in_threads(work, [0, 1, 1, 1], 2)
    next(results)
    running.wait()
    results.close()  # joins the threads, or hangs here


def test_one_thread_nests_and_overlaps():
    with one_thread():
        assert torch.get_num_threads() == 1
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    inside, leave = threading.Event(), threading.Event()

    def first():
        with one_thread():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait()
    with one_thread():
        leave.set()
        thread.join()
    assert threads_of_a_new_thread() == 2


def test_large_products_keep_their_threads():
    with threads_worth(2**30):
        assert torch.get_num_threads() == 2
    with threads_worth(1000):
        assert torch.get_num_threads() == 1


def test_a_fit_computes_on_one_thread_where_more_gain_nothing():
    seen = []

    def loss(y_pred, y_true):
        seen.append(torch.get_num_threads())
        return (y_pred - y_true) ** 2

    X = torch.randn(64, 4).numpy()
    RegularizedMLPRegressor((8,), loss=loss, max_iter=2, n_iter_no_change=1, tol=1e9).fit(
        X, X[:, 0]
    )
    assert set(seen) == {1}
