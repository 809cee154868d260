"""What the floor of Adam's second moment takes and gives, for several sizes of it.

The floor (``skreg/optim/floor.py``) adds shares of the mean squared gradient and of alpha² to
what Adam averages. With little of it a proximal step wipes what has had no gradient yet; with
much of it a penalty that selects moves too slowly to select.

- embedding: what rows of an ``nn.Embedding`` that no batch holds lose in an epoch under L2 of
  the default strength, as a multiple of what they lose under ``torch.optim.Adam`` with that
  ``weight_decay``;
- rare: the effect, learned as 5, of a column that is 1 in ten of 2,000 rows, after an epoch
  that begins with a new optimizer;
- dead: how many of 50 neurons are wiped by ``partial_fit``, row by row;
- paths: the score-features curve of `benchmarks/paths.py` on the wine data, mean over 20 seeds;
- stuck: how many of 12 features group MCP keeps at one alpha, where two carry the signal; mean
  over 5 seeds.

    python benchmarks/floor.py [--quick] [--save]

Three minutes; with --quick there are 3 seeds.
"""

import argparse
import copy
import warnings

import numpy as np
import torch
from paths import Curve, load
from saving import report
from torch import nn

import skreg.optim.floor as floor
from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    RegularizedNetRegressor,
    regularization_path,
)

SHARES = [(0.0, 0.0), (0.01, 0.01), (0.03, 0.01), (0.05, 0.01), (0.1, 0.01), (0.05, 0.1)]


class Embedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(2000, 16)
        self.out = nn.Linear(16, 1)

    def forward(self, rows):
        return self.out(self.table(rows[:, 0].long()))


def embedding():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 1500, size=(10_000, 1)).astype(np.float32)
    y = rng.normal(size=2000)[ids[:, 0].astype(int)].astype(np.float32)
    settings = {"penalized": "table.weight", "max_iter": 1, "random_state": 0}
    ours = RegularizedNetRegressor(Embedding, **settings).fit(ids, y).module_
    settings["penalized"] = None
    start = RegularizedNetRegressor(Embedding, **settings, penalty=None).fit(ids, y).module_
    theirs = copy.deepcopy(start)
    optimizer = torch.optim.Adam(theirs.table.parameters(), lr=1e-3, weight_decay=1e-4)
    for rows, target in zip(*(torch.from_numpy(a).split(200) for a in (ids, y)), strict=True):
        optimizer.zero_grad()
        (0.5 * (theirs(rows)[:, 0] - target).square().mean()).backward()
        optimizer.step()
    norms = [m.table.weight.detach()[1500:].norm().item() for m in (start, ours, theirs)]
    return (norms[0] - norms[1]) / (norms[0] - norms[2])


def rare():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 6))
    X[:, 5] = 0.0
    X[rng.choice(2000, 10, replace=False), 5] = 1.0
    y = X[:, 0] + 5 * X[:, 5] + 0.1 * rng.normal(size=2000)
    model = RegularizedMLPRegressor(
        (50,), penalty=None, learning_rate_init=0.01, max_iter=300, random_state=0
    ).fit(X, y)
    model.set_params(penalty="l2", warm_start=True, max_iter=1, learning_rate_init=1e-3)
    model.fit(X, y)
    there = X[X[:, 5] == 1]
    return np.mean(model.predict(there) - model.predict(there * [1, 1, 1, 1, 1, 0]))


def dead():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 10))
    y = X[:, 0] + np.sin(X[:, 1])
    model = RegularizedMLPRegressor((50,), random_state=0)
    for row in range(len(X)):
        model.partial_fit(X[row : row + 1], y[row : row + 1])
    first, last = model.coefs_
    return int(((np.abs(first).max(0) < 1e-3) & (np.abs(last).max(1) < 1e-3)).sum())


def paths(n_seeds):
    scores = []
    for seed in range(n_seeds):
        split = load("wine", seed)
        network = RegularizedMLPClassifier((64,), penalty="group_mcp", random_state=seed)
        path = regularization_path(network, split.X_train, split.y_train)
        of_path = [
            split.score(path.estimator_at(number).predict(split.X_test))
            for number in range(len(path))
        ]
        scores.append(Curve(0.0, path.n_features.tolist(), of_path).averaged(split))
    return np.mean(scores)


def stuck(n_seeds):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 12))
    y = np.maximum(X[:, 0], X[:, 1]) + 0.05 * rng.normal(size=200)
    counts = [
        RegularizedMLPRegressor(
            (20,), penalty="group_mcp", alpha=0.065, learning_rate_init=0.02, max_iter=400,
            random_state=seed,
        ).fit(X, y).selected_features_.sum()
        for seed in range(n_seeds)
    ]  # fmt: skip
    return np.mean(counts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 seeds")
    parser.add_argument("--save", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    n_seeds = 3 if arguments.quick else 20
    defaults = floor.OF_GRADIENT, floor.OF_ALPHA
    with report(__file__, "The floor of Adam's second moment", save=arguments.save):
        print("share of the gradients, of alpha; the default is marked\n")
        print(f"{'':<16}{'embedding':>12}{'rare':>8}{'dead':>8}{'paths':>9}{'stuck':>8}")
        for shares in SHARES:
            floor.OF_GRADIENT, floor.OF_ALPHA = shares
            mark = "*" if shares == defaults else " "
            print(
                f"{shares[0]:>6.2f}{shares[1]:>7.2f} {mark} {embedding():>11.1f}x{rare():>8.2f}"
                f"{dead():>8d}{paths(n_seeds):>9.3f}{stuck(min(n_seeds, 5)):>8.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
