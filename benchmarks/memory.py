"""Memory of many fits in one process: after the first few it no longer grows.

Prints the resident memory of the process as fits of several kinds go by, each forgotten when
the next begins, and by how much the last tenth is above the tenth after the warm-up.

    python benchmarks/memory.py --fits 200
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import warnings

import numpy as np

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor, StackedGridSearchCV

LIMIT = 0.05


def resident() -> float:
    """Megabytes of memory that the process has (Linux)."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fits", type=int, default=200)
    n_fits = parser.parse_args().fits
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 50)).astype(np.float32)
    y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0)
    settings = {"hidden_layer_sizes": (100,), "max_iter": 3}
    kinds = [
        lambda seed: RegularizedMLPRegressor(random_state=seed, **settings).fit(X, y),
        lambda seed: RegularizedMLPClassifier(
            random_state=seed, penalty="l1", early_stopping=True, dropout=0.1, **settings
        ).fit(X, y > 0),
        lambda seed: RegularizedMLPRegressor(solver="fista", **settings).fit(X, y),
        lambda seed: StackedGridSearchCV(
            RegularizedMLPRegressor(random_state=seed, **settings), {"alpha": [0.1, 1.0]}, cv=2
        ).fit(X, y),
    ]
    tenth = max(1, n_fits // 10)
    seen = []
    for number in range(n_fits):
        kinds[number % len(kinds)](number)
        gc.collect()
        seen.append(resident())
        if number % tenth == tenth - 1:
            print(f"{number + 1:4} fits: {np.mean(seen[-tenth:]):7.1f} MB", flush=True)
    first, last = np.mean(seen[tenth : 2 * tenth]), np.mean(seen[-tenth:])
    print(f"growth: {last / first - 1:+.1%}, at most {LIMIT:.0%} is flat")
    return 0 if last <= (1 + LIMIT) * first else 1


if __name__ == "__main__":
    sys.exit(main())
