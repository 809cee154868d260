"""Fits and searches killed by ``kill -9`` at random moments, resumed, and compared.

Each line is one fit in separate processes. They are killed one after another, at moments
drawn at random from the time that the whole fit takes, until one comes to its end; the last
line counts the fits whose weights, curves and scores have the very bits of the fit that
nobody killed. Needs an operating system with ``fork``.

    python benchmarks/kill.py --fits 24
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor, StackedGridSearchCV

_rng = np.random.default_rng(0)
X = _rng.normal(size=(1000, 20))
Y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0) + 0.1 * _rng.normal(size=1000)
LABELS = (Y > 0).astype(int)
KILLS = 3


def network(estimator: Any, **settings: Any) -> Any:
    return estimator(
        (40,), max_iter=60, tol=0.0, n_iter_no_change=1000, batch_size=50, **settings
    )


def search(**settings: Any) -> Any:
    grid = {"alpha": [1e-4, 1e-3, 1e-2], "hidden_layer_sizes": [(10,), (20,), (30,)]}
    estimator = RegularizedMLPRegressor(max_iter=20, penalty="l1", random_state=0)
    return StackedGridSearchCV(estimator, grid, cv=3, refit=False, **settings)


FITS: dict[str, Callable[..., Any]] = {
    "adam, dropout, early stopping": lambda **s: network(
        RegularizedMLPRegressor, dropout=0.2, early_stopping=True, random_state=0, **s
    ).fit(X, Y),
    "sgd, l1": lambda **s: network(
        RegularizedMLPClassifier, solver="sgd", penalty="l1", random_state=1, **s
    ).fit(X, LABELS),
    "fista": lambda **s: network(
        RegularizedMLPRegressor, solver="fista", penalty="l1", alpha=0.01, random_state=2, **s
    ).fit(X, Y),
    "stacked search": lambda **s: search(**s).fit(X, Y),
}


def digest(fitted: Any) -> str:
    """Of every bit that a fit gives."""
    if isinstance(fitted, StackedGridSearchCV):
        scores = [v for k, v in sorted(fitted.cv_results_.items()) if k.startswith("split")]
        parts = [np.array(score) for score in scores]
    else:
        parts = [*fitted.coefs_, *fitted.intercepts_, np.array(fitted.loss_curve_)]
        parts.append(np.array(fitted.validation_scores_ or []))
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def fit_in_a_child(fit: Callable[..., Any], path: Path, result: Path) -> int:
    """Fork; return the child's process id."""
    child = os.fork()
    if child:
        return child
    try:
        result.write_text(digest(fit(checkpoint=path, checkpoint_interval=0, resume=True)))
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fits", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    # Threads do not survive a fork.
    torch.set_num_threads(1)
    rng = np.random.default_rng(arguments.seed)
    wanted, seconds = {}, {}
    for name, fit in FITS.items():
        fit()
        start = time.perf_counter()
        wanted[name] = digest(fit())
        seconds[name] = time.perf_counter() - start
    equal = 0
    for number in range(arguments.fits):
        name = list(FITS)[number % len(FITS)]
        with tempfile.TemporaryDirectory() as folder:
            path, result = Path(folder, "fit.checkpoint"), Path(folder, "result")
            kills = 0
            while not result.exists():
                child = fit_in_a_child(FITS[name], path, result)
                if kills < KILLS:
                    latest = 1.2 if kills else 0.8  # the first comes before the end
                    time.sleep(rng.uniform(0, latest * seconds[name]))
                    os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
                kills += os.WIFSIGNALED(status)
                if not (os.WIFSIGNALED(status) or result.exists()):
                    break
            same = result.exists() and result.read_text() == wanted[name]
            left = set(os.listdir(folder)) - {"fit.checkpoint", "result"}
            equal += same and not left
        print(
            f"{name:30} killed {kills} times: {'equal' if same else 'DIFFERENT'}, left {left}"
        )
    print(f"{equal} of {arguments.fits} equal the uninterrupted one")
    return 0 if equal == arguments.fits else 1


if __name__ == "__main__":
    sys.exit(main())
