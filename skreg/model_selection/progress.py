"""How far a search is: for scikit-learn's callbacks and, with `verbose`, in print."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SECONDS_BETWEEN_PRINTS = 2.0


class SearchProgress:
    """Tells of a search of `n_fits` fits, and of the fit of the best if it `refits`."""

    def __init__(self, search: Any, X: Any, y: Any, n_fits: int, *, refits: bool) -> None:
        self._search, self._rows, self._n_fits = search, {"X": X, "y": y}, n_fits
        self._done, self._shown = 0.0, 0
        self._lock = threading.Lock()
        self._root: Any = None
        self._percents: Any = None
        if getattr(search, "_skl_callbacks", None):
            self._root = search._init_callback_context(max_subtasks=1 + refits)

    def __enter__(self) -> SearchProgress:
        if self._root is not None:
            self._root.call_on_fit_task_begin(estimator=self._search, **self._rows)
        return self

    def __exit__(self, kind: Any, *error: Any) -> None:
        if self._root is not None and kind is None:
            self._root.call_on_fit_task_end(estimator=self._search, **self._rows)

    @contextmanager
    def search(self) -> Iterator[None]:
        """While the candidates are fitted."""
        self._start = self._last_print = time.monotonic()
        if self._root is not None:
            # One task per cent of the search: members of a stack are done at the same time,
            # so that whole fits would come in bursts.
            self._percents = self._root.subcontext(task_name="search", max_subtasks=100)
            self._percents.call_on_fit_task_begin(estimator=self._search, **self._rows)
        if self._search.verbose:
            print(f"Fitting {self._n_fits} networks in stacks")
        yield
        if self._percents is not None:
            self._percents.call_on_fit_task_end(estimator=self._search, **self._rows)
        if self._search.verbose:
            print(f"Fitted {self._n_fits} networks in {time.monotonic() - self._start:.1f} s")

    def report(self, fits: float) -> None:
        """Count fits, or parts of one, as done. May be called from any thread."""
        with self._lock:
            self._done += fits
            share = min(self._done / self._n_fits, 1.0)
            if self._percents is not None:
                while self._shown < int(100 * share + 1e-9):
                    self._shown += 1
                    task = self._percents.subcontext(task_name="percent")
                    task.call_on_fit_task_begin(estimator=self._search, **self._rows)
                    task.call_on_fit_task_end(estimator=self._search, **self._rows)
            now = time.monotonic()
            if self._search.verbose and now - self._last_print > _SECONDS_BETWEEN_PRINTS:
                self._last_print = now
                elapsed = now - self._start
                print(
                    f"{share:4.0%} done in {elapsed:.0f} s, about "
                    f"{elapsed * (1 - share) / max(share, 1e-9):.0f} s to go"
                )

    @contextmanager
    def refit(self, best: Any) -> Iterator[None]:
        """While the best candidate is fitted on all rows."""
        if self._root is None:
            yield
            return
        task = self._root.subcontext(task_name="refit-with-best-params")
        with task.propagate_callback_context(best):
            task.call_on_fit_task_begin(estimator=self._search, **self._rows)
            yield
        task.call_on_fit_task_end(estimator=self._search, **self._rows)
