"""The cells of a search, candidate by split: fitted in stacks, scored one by one.

:class:`Evaluation` has all that takes, and travels to other processes as a whole. The parts
that fit and score are scikit-learn's where it has them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import Any

from sklearn.base import clone
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection._validation import _score
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params, _num_samples

from skreg.estimators.many import Task, fit_all, threads_for, windows_of
from skreg.estimators.resume import SearchKeeper
from skreg.model_selection.nesting import Recorder, find_network, replace_network


@dataclass(frozen=True)
class _Label:
    """Which cell of the results a task fills, and what to score its network in."""

    candidate: int
    split: int
    #: The whole estimator, fitted, with the recorder in the network's place.
    outer: Any
    recorder: Recorder
    #: What fitting that took.
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """Everything it takes to fit and score candidates, here or in another process."""

    estimator: Any
    X: Any
    y: Any
    scorer: Any
    fit_params: dict
    score_params: dict
    candidates: list[dict]
    splits: list[tuple[Any, Any]]
    error_score: Any
    return_train_score: bool
    verbose: int

    def identity(self) -> dict[str, Any]:
        """By name, all that the results depend on except for the scoring."""
        _, network = find_network(self.estimator)
        # These only say how a fit is shown or where its checkpoint is.
        ignored = {"checkpoint_interval": 0.0, "resume": False, "verbose": False}
        network = clone(network).set_params(checkpoint=None, **ignored)
        estimator = replace_network(clone(self.estimator), network, fitted=False)
        parameters = estimator.get_params().items()
        names = ("candidates", "splits", "X", "y", "fit_params", "score_params", "error_score")
        return {
            "estimator": estimator,
            # By name too, so that an error says which of them differ.
            **{f"estimator__{k}": v for k, v in parameters if not hasattr(v, "get_params")},
            **{name: getattr(self, name) for name in (*names, "return_train_score")},
        }

    def run(
        self,
        cells: Sequence[tuple[int, int]],
        on_progress: Callable[[float], None] = lambda fits: None,
        keeper: SearchKeeper | None = None,
    ) -> list[tuple[tuple[int, int], dict]]:
        """Fit and score these (candidate, split) cells, but for what the keeper has."""
        networks = [find_network(self._configured(index))[1] for index in {c for c, _ in cells}]
        done = {} if keeper is None else dict(keeper.done)
        tasks = fit_all(
            windows_of(self._tables(cells)),
            threads_for(networks),
            on_progress,
            lambda task: (task.label.candidate, task.label.split) in done,
        )
        rows = lru_cache(maxsize=16)(self._rows)
        for task in tasks:
            cell, result = self._finish(task, rows)
            done[cell] = result
            if keeper is not None:
                keeper.keep([(cell, result)])
        return list(done.items())

    def _configured(self, candidate: int) -> Any:
        # Parameters may be estimators themselves, and are cloned as in scikit-learn's search.
        parameters = clone(self.candidates[candidate], safe=False)
        configured = clone(self.estimator).set_params(**parameters)
        # One file cannot serve many fits: a network's checkpoint is for the refit.
        find_network(configured)[1].set_params(checkpoint=None, resume=False)
        return configured

    def _rows(self, split: int, part: int) -> tuple[Any, Any]:
        rows = self.splits[split]
        return _safe_split(self.estimator, self.X, self.y, rows[part], rows[0])

    def _tables(self, cells: Sequence[tuple[int, int]]) -> Iterator[list[Task]]:
        """Tasks of candidates on a split that share all but the network, and so its rows."""
        keys = {candidate: self._key_outside(candidate) for candidate in {c for c, _ in cells}}
        groups: dict[tuple, list[int]] = {}
        for candidate, split in cells:
            groups.setdefault((keys[candidate], split), []).append(candidate)
        for (_, split), candidates in groups.items():
            yield self._tasks(split, candidates)

    def _key_outside(self, candidate: int) -> tuple:
        """What tells apart candidates that differ in parameters outside the network."""
        prefix, _ = find_network(self._configured(candidate))
        outside = [
            # Equal numbers of two types (1 and 1.0) may mean different things.
            (name, type(value), value if isinstance(value, str | Real | None) else id(value))
            for name, value in sorted(self.candidates[candidate].items())
            if not f"{name}__".startswith(prefix)
        ]
        return prefix, *outside

    def _tasks(self, split: int, candidates: list[int]) -> list[Task]:
        """Fit all but the networks of candidates that share the rest; return their tasks."""
        start = time.perf_counter()
        configured = [self._configured(candidate) for candidate in candidates]
        networks = [find_network(estimator)[1] for estimator in configured]
        recorder = Recorder(networks[0])
        outer = replace_network(configured[0], recorder, fitted=False)
        X, y = self._rows(split, 0)
        params = _check_method_params(self.X, self.fit_params, indices=self.splits[split][0])
        error: Exception | None = None
        try:
            outer.fit(X, y, **params)
        except Exception as failure:
            error = failure
        seconds = (time.perf_counter() - start) / len(candidates)
        tasks = []
        for candidate, network in zip(candidates, networks, strict=True):
            label = _Label(candidate, split, outer, recorder, seconds)
            task = Task(network, None, None, label=label)
            if error is None:
                task.X, task.y, task.names = recorder.X_, recorder.y_, recorder.names_
                task.sample_weight = recorder.sample_weight_
            else:
                task.fail(error)
            tasks.append(task)
        return tasks

    def _finish(
        self, task: Task, rows: Callable[[int, int], Any]
    ) -> tuple[tuple[int, int], dict]:
        """Score a fitted task as scikit-learn's ``_fit_and_score``; let go of the network."""
        label: _Label = task.label
        X_test, y_test = rows(label.split, 1)
        result: dict[str, Any] = {
            "fit_error": task.error,
            "n_test_samples": _num_samples(X_test),
            "fit_time": task.fit_time + label.seconds,
            "score_time": 0.0,
        }
        names = ["test_scores"] + ["train_scores"] * self.return_train_score
        if task.exception is not None:
            if self.error_score == "raise":
                raise task.exception
            scores = self.error_score
            if isinstance(self.scorer, _MultimetricScorer):
                scores = dict.fromkeys(self.scorer._scorers, self.error_score)
            result.update(dict.fromkeys(names, scores))
        else:
            if label.recorder.names_ is not None:
                task.estimator.feature_names_in_ = label.recorder.names_
            fitted = replace_network(label.outer, task.estimator, fitted=True)
            start = time.perf_counter()
            result["test_scores"] = self._score(fitted, X_test, y_test, label.split, 1)
            result["score_time"] = time.perf_counter() - start
            if self.return_train_score:
                X_train, y_train = rows(label.split, 0)
                result["train_scores"] = self._score(fitted, X_train, y_train, label.split, 0)
        cell = (label.candidate, label.split)
        if self.verbose > 1:
            chosen = ", ".join(f"{k}={v}" for k, v in self.candidates[cell[0]].items())
            print(f"[CV {cell[1] + 1}/{len(self.splits)}] {chosen}: {result['test_scores']}")
        task.estimator = None  # type: ignore[assignment]
        return cell, result

    def _score(self, fitted: Any, X: Any, y: Any, split: int, part: int) -> Any:
        indices = self.splits[split][part]
        params = _check_method_params(self.X, self.score_params, indices=indices)
        return _score(fitted, X, y, self.scorer, params, self.error_score)
