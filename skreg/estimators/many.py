"""From many unfitted estimators to fitted ones: which train together, where and when.

Estimators that may share a stack are cut into chunks: on a CPU small enough that a chunk's
weights and activations stay in the cache, and enough of them that every thread has work; on a
GPU as large as its memory allows. What cannot be stacked is fitted alone, as by `fit`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from traceback import format_exception
from typing import Any

import numpy as np
import torch

from skreg.estimators.base import BaseRegularizedNetwork, FitJob
from skreg.estimators.checks import check_hidden_layer_sizes, resolve_device
from skreg.estimators.solvers import SOLVERS, free_settings
from skreg.penalties import Penalty
from skreg.training.fingerprint import fingerprint
from skreg.training.runtime import Stopped, run_in_threads
from skreg.training.stack import joinable_key, train_together

# Parameters in which the members of a stack may differ, besides settings of the solver.
_FREE = {"alpha", "l1_ratio", "random_state", "tol"}

# Bytes of weights, and of one layer's activations, that a chunk is made for. Larger chunks
# take fewer calls for the same numbers, smaller ones keep closer to the caches. A step passes
# over the weights, their moments and what the prox needs some twenty times.
_BYTES_OF_WEIGHTS = 2**20
_BYTES_OF_ACTIVATIONS = 2**22

# Bytes of tables that are made ahead of the fits on them: several may train as one stack, but
# of large ones there is one at a time.
_BYTES_AHEAD = 2**26

# Tensors as large as the weights that training holds: weights, gradients, two moments, the
# best and the first of the epoch, those of the prox, and one for the allocator's rounding.
_COPIES_OF_WEIGHTS = 12
_COPIES_OF_ACTIVATIONS = 4
_SHARE_OF_FREE_MEMORY = 0.8


@dataclass(eq=False)
class Task:
    """One estimator to fit in place, and what came of it.

    Tasks on the same rows share the objects.
    """

    estimator: BaseRegularizedNetwork
    X: Any
    y: Any
    sample_weight: Any = None
    #: Of the columns of X, where X itself has none.
    names: np.ndarray | None = None
    #: The traceback, where fitting failed.
    error: str | None = None
    exception: Exception | None = None
    #: Seconds; those of a stack are shared out evenly.
    fit_time: float = 0.0
    #: Whose task it is; nothing is done with it here.
    label: Any = field(default=None, repr=False)

    def prepare(self) -> FitJob:
        return self.estimator._prepare(self.X, self.y, self.sample_weight, names=self.names)

    def fail(self, error: Exception) -> None:
        self.error, self.exception = "".join(format_exception(error)), error


def fit_all(
    windows: Iterable[Sequence[Task]],
    n_threads: int,
    on_progress: Callable[[float], None] = lambda fits: None,
    is_done: Callable[[Task], bool] = lambda task: False,
) -> Iterator[Task]:
    """Fit the estimators of all tasks; yield the tasks as they are done.

    Windows are drawn as work is needed; tasks of one window may train together. `on_progress`
    is called now and then, in any thread, with how many fits (or what share of one) are done
    since the last call. What `is_done` need not be fitted, but a stack is trained as long as
    one of its members is needed: with other neighbours a member differs in its last bits.
    """

    def work(chunk: Sequence[Task], check: Callable[[], None]) -> Sequence[Task]:
        so_far = 0.0

        def on_epoch(n_members: int) -> None:
            nonlocal so_far
            check()
            share = n_members / chunk[0].estimator.max_iter
            so_far += share
            on_progress(share)

        check()
        _fit_chunk(chunk, on_epoch)
        on_progress(len(chunk) - so_far)
        return chunk

    def wanted() -> Iterator[list[Task]]:
        for window in windows:
            for chunk in cut(window, n_threads):
                if all(is_done(task) for task in chunk):
                    on_progress(len(chunk))
                else:
                    yield chunk

    for chunk in run_in_threads(work, wanted(), n_threads):
        yield from chunk


def windows_of(tables: Iterable[Sequence[Task]]) -> Iterator[list[Task]]:
    """Put the tasks on one table each together, as long as the tables take little memory."""
    window: list[Task] = []
    waiting = 0
    for tasks in tables:
        size = getattr(tasks[0].X, "nbytes", 0)
        if window and waiting + size > _BYTES_AHEAD:
            yield window
            window, waiting = [], 0
        window, waiting = [*window, *tasks], waiting + size
    yield window


def threads_for(networks: Sequence[BaseRegularizedNetwork]) -> int:
    """How many threads to fit these with: a GPU is kept busy by one stack."""
    host = ("cpu",) if torch.cuda.is_available() else ("auto", "cpu")
    on_cpu = all(network.device in host for network in networks)
    return torch.get_num_threads() if on_cpu else 1


def cut(tasks: Sequence[Task], n_threads: int) -> list[list[Task]]:
    """Divide tasks into chunks that train together.

    Neighbours in a chunk share their rows where that can be, and their learning rate: both
    make a step cheaper.
    """
    alike: dict[Any, list[Task]] = {}
    chunks: list[list[Task]] = []
    for task in tasks:
        estimator = task.estimator
        alone = estimator.callbacks or not estimator._joinable or not hasattr(task.X, "shape")
        if alone:
            chunks.append([task])
        else:
            alike.setdefault(_coarse_key(task), []).append(task)
    for group in alike.values():
        places = {id(task): place for place, task in enumerate(group)}
        tables = {id(task.X): places[id(task)] for task in reversed(group)}
        group.sort(key=lambda t: (tables[id(t.X)], t.estimator.learning_rate_init))
        size = _members_at_once(group[0])
        n_chunks = -(-len(group) // size)
        if n_chunks > 1 or len(group) >= 2 * n_threads:
            # As many for each thread.
            n_chunks = min(-(-n_chunks // n_threads) * n_threads, len(group))
        chunks += [list(part) for part in np.array_split(np.array(group, object), n_chunks)]
    return chunks


def _coarse_key(task: Task) -> tuple:
    """What can be known of a stack before its data are looked at."""
    parameters = task.estimator.get_params(deep=False)
    penalty = parameters["penalty"]
    if isinstance(penalty, Penalty):
        settings = penalty.get_params(deep=False).items()
        shared = {k: v for k, v in settings if k not in penalty._per_member}
        parameters["penalty"] = type(penalty), shared
    free = _FREE | free_settings(parameters["solver"])
    fixed = [(k, repr(v)) for k, v in sorted(parameters.items()) if k not in free]
    return type(task.estimator), task.X.shape, tuple(fixed)


def _members_at_once(task: Task) -> int:
    """How many networks of this size a chunk may hold."""
    estimator, X = task.estimator, task.X
    try:
        hidden = check_hidden_layer_sizes(estimator.hidden_layer_sizes)
        device = resolve_device(estimator.device)
        full_batch = SOLVERS[estimator.solver].full_batch
    except (ValueError, TypeError, KeyError):
        return 1  # fitting it will say what is wrong
    batch = X.shape[0]
    if not full_batch:
        batch = min(batch, 200 if estimator.batch_size == "auto" else estimator.batch_size)
    n_outputs = np.shape(task.y)[1] if np.ndim(task.y) > 1 else 1
    itemsize = 4 if X.dtype == np.float32 else 8
    sizes = np.array([X.shape[1], *hidden, n_outputs])
    weights = itemsize * max(1, int((sizes[:-1] * sizes[1:]).sum()))
    activations = itemsize * batch * int(max(hidden, default=n_outputs))
    if device == "cpu":
        return max(1, min(_BYTES_OF_WEIGHTS // weights, _BYTES_OF_ACTIVATIONS // activations))
    needed = _COPIES_OF_WEIGHTS * weights + _COPIES_OF_ACTIVATIONS * activations
    free, _ = torch.cuda.mem_get_info(torch.device(device))
    return max(1, int(_SHARE_OF_FREE_MEMORY * free) // needed)


def _fit_chunk(chunk: Sequence[Task], on_epoch: Callable[[int], None]) -> None:
    start = time.perf_counter()
    _fit_initial(chunk)
    prepared: dict[Any, list[tuple[Task, FitJob]]] = {}
    for task in chunk:
        if task.exception is not None:
            continue
        try:
            task.estimator._validate_params()
            job = task.prepare()
        except Exception as error:
            task.fail(error)
            continue
        key = None
        if task.estimator._joinable:
            key = joinable_key(task.estimator.net_, job.train, job.valid)
        prepared.setdefault(id(task) if key is None else key, []).append((task, job))
    for members in prepared.values():
        _fit_stack(members, on_epoch)
    for task in chunk:
        task.fit_time = (time.perf_counter() - start) / len(chunk)


def _fit_initial(chunk: Sequence[Task]) -> None:
    """Make the initial fits of adaptive penalties as a stack, one where they are the same."""
    initial: dict[Any, Task] = {}
    adaptive: list[tuple[Task, Any]] = []
    for task in chunk:
        try:
            first = task.estimator._initial_estimator() if task.exception is None else None
        except Exception:
            continue  # fitting the estimator will say what is wrong
        if first is None:
            continue
        seeded = isinstance(first.random_state, Integral)
        rows = id(task.X), id(task.y), id(task.sample_weight)
        key = (rows, fingerprint(first)) if seeded else id(task)
        initial.setdefault(key, Task(first, task.X, task.y, task.sample_weight))
        adaptive.append((task, key))
    if initial:
        _fit_chunk(list(initial.values()), lambda n_members: None)
    for task, key in adaptive:
        if initial[key].exception is None:
            task.estimator._fitted_initial = initial[key].estimator


def _fit_stack(members: list[tuple[Task, FitJob]], on_epoch: Callable[[int], None]) -> None:
    if len(members) == 1:
        _fit_alone(*members[0])
        return
    try:
        endings = train_together(
            [task.estimator.net_ for task, _ in members],
            [job.train for _, job in members],
            [job.valid for _, job in members],
            on_epoch,
        )
    except torch.OutOfMemoryError:
        # The estimate of what fits was too bold: two halves, from scratch.
        for task, _ in members:
            task.prepare()
        half = len(members) // 2
        _fit_stack(members[:half], on_epoch)
        _fit_stack(members[half:], on_epoch)
        return
    for (task, job), ending in zip(members, endings, strict=True):
        if ending is None:
            _fit_alone(task, job)
            continue
        try:
            task.estimator._conclude(*ending)
        except Exception as error:  # a warning that is an error
            task.fail(error)


def _fit_alone(task: Task, job: FitJob) -> None:
    try:
        task.estimator._train(job)
    except Stopped:
        raise
    except Exception as error:
        task.fail(error)
