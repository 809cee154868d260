"""Work on several threads of one process, each with one thread of arithmetic.

Torch's threads split every operation and meet after each, which on small operations
costs more than it gains. Independent pieces of work on a thread each need not meet at all:
torch lets go of Python's lock while it computes.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

# Waking a second thread and waiting for it takes some microseconds, and milliseconds where
# other processes want the core. A product of this many multiplications takes 0.1 ms.
WORTH_MORE_THREADS = 2**23

_lock = threading.Lock()
_users, _threads_before = 0, 0


class Stopped(Exception):  # noqa: N818 - not an error
    """Raised in a worker that is asked to stop, because the caller was interrupted."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread in here; torch's number of threads is afterwards what it was.

    Torch keeps a number for each thread and one for the threads to come, and sets both at
    once. So the last of several that are in here at a time sets back what the first found.
    """
    global _users, _threads_before
    before = torch.get_num_threads()
    with _lock:
        if not _users:
            _threads_before = before
        _users += 1
    torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            torch.set_num_threads(before if _users else _threads_before)


@contextmanager
def threads_worth(multiplications: int) -> Iterator[None]:
    """Compute on one thread in here if products of this size gain nothing from more."""
    enough = multiplications >= WORTH_MORE_THREADS or torch.get_num_threads() == 1
    with nullcontext() if enough else one_thread():
        yield


def run_in_threads(
    function: Callable[[Item, Callable[[], None]], Result],
    items: Iterable[Item],
    n_threads: int,
) -> Iterator[Result]:
    """Yield ``function(item, check)`` for all items, in the order in which they finish.

    `items` is drawn from as threads become free, a few ahead, so that it may make large
    things lazily. The function calls ``check()`` now and then: it raises when the caller is
    gone. No thread outlives this generator, and torch's number of threads is afterwards what
    it was.

    >>> sorted(run_in_threads(lambda item, check: item**2, range(4), n_threads=2))
    [0, 1, 4, 9]
    """
    if n_threads == 1:
        for item in items:
            yield function(item, lambda: None)
        return
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise Stopped

    with (
        one_thread(),
        ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        running: set[Future[Result]] = set()
        try:
            for item in items:
                if len(running) > n_threads:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
                running.add(pool.submit(function, item, check))
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            stop.set()
            for future in running:
                future.cancel()


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside of the libraries that led here."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in _LIBRARIES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


_LIBRARIES = {"skreg", "sklearn", "torch"}
