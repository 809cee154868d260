"""A grid over λ, side by side: a stacked search, and GridSearchCV over the peers.

All search values of alpha on 5 folds, with the same rows, epochs, batches, optimizer (Adam) and
hidden layer, in float32, and without the final refit. Each side has both cores: scikit-learn
and skorch as two processes (``n_jobs=2``), skreg as two threads of one process. Peers take
turns in each repeat; medians are shown. Then how the cost of a stacked search grows, and its
memory.

    python benchmarks/grid.py [--quick]
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
import warnings

import numpy as np
import torch
from fit import HIDDEN, make_data, matrix_product_rate, network
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from skorch import NeuralNetRegressor
from torch import nn

import skreg._schedule
from skreg import RegularizedMLPRegressor, StackedGridSearchCV

N_FOLDS = 5


class L1Net(NeuralNetRegressor):
    """The usual recipe: the penalty added to the loss, over all parameters."""

    def __init__(self, *args, alpha=1e-4, **kwargs):
        super().__init__(*args, **kwargs)
        self.alpha = alpha

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        loss = super().get_loss(y_pred, y_true, *args, **kwargs)
        return loss + self.alpha * sum(w.abs().sum() for w in self.module_.parameters())


def search_skreg(X, y, hidden, batch_size, epochs, alphas):
    net = RegularizedMLPRegressor(
        (hidden,),
        penalty="l1",
        batch_size=batch_size,
        max_iter=epochs,
        n_iter_no_change=np.inf,
        random_state=0,
        device="cpu",
    )
    StackedGridSearchCV(net, {"alpha": alphas}, cv=N_FOLDS, refit=False).fit(X, y)


def search_sklearn(X, y, hidden, batch_size, epochs, alphas):
    net = MLPRegressor(
        hidden_layer_sizes=(hidden,),
        batch_size=batch_size,
        max_iter=epochs,
        n_iter_no_change=np.inf,
        random_state=0,
    )
    GridSearchCV(net, {"alpha": alphas}, cv=N_FOLDS, n_jobs=2, refit=False).fit(X, y)


def search_skorch(X, y, hidden, batch_size, epochs, alphas):
    assert hidden == HIDDEN
    net = L1Net(
        network(X.shape[1], 1),
        optimizer=torch.optim.Adam,
        criterion=nn.MSELoss,
        lr=1e-3,
        batch_size=batch_size,
        max_epochs=epochs,
        train_split=None,
        verbose=0,
        iterator_train__shuffle=True,
    )
    search = GridSearchCV(net, {"alpha": alphas}, cv=N_FOLDS, n_jobs=2, refit=False)
    search.fit(X, y[:, None])


def time_of(search, *arguments):
    start = time.perf_counter()
    search(*arguments)
    return time.perf_counter() - start


def compare(peer, case, n_alphas, epochs, repeats):
    """Median seconds of either side; the first turn of each is for imports and caches."""
    n_samples, n_features, hidden, batch_size = case
    X, y = make_data(n_samples, n_features)
    alphas = np.logspace(-4, 0, n_alphas)
    times = {peer: [], search_skreg: []}
    for search in times:
        search(X, y, hidden, batch_size, 1, alphas[:2])
    for _ in range(repeats):
        for search, own in times.items():
            own.append(time_of(search, X, y, hidden, batch_size, epochs, alphas))
    return statistics.median(times[peer]), statistics.median(times[search_skreg])


def print_peers(quick, rate):
    repeats = 1 if quick else 3
    print("milliseconds for one network and epoch\n")
    columns = f"{'peer':>10}{'skreg':>8}{'ratio':>8}{'of rate':>9}"
    print(f"{'rows x features, hidden, batch':<36}{columns}")
    for name, peer, n_alphas, cases in (
        (
            "MLPRegressor",
            search_sklearn,
            20,
            [
                ((442, 10, HIDDEN, 200), 100),
                ((5000, 50, HIDDEN, 32), 8),
                ((5000, 50, HIDDEN, 200), 20),
                ((2000, 300, 256, 200), 10),
                ((2000, 300, 256, 1000), 10),
            ],
        ),
        (
            "skorch + L1",
            search_skorch,
            4,
            [
                ((442, 10, HIDDEN, 200), 40),
                ((5000, 50, HIDDEN, 32), 2),
                ((5000, 50, HIDDEN, 200), 6),
            ],
        ),
    ):
        print(name)
        for case, epochs in cases:
            theirs, ours = compare(peer, case, n_alphas, epochs, repeats)
            n_samples, n_features, hidden, batch_size = case
            n_epochs = n_alphas * N_FOLDS * epochs
            # The two products of the first layer; those of the second are 1% of them.
            products = 4 * n_samples * (N_FOLDS - 1) / N_FOLDS * n_features * hidden
            share = products * n_epochs / ours / 1e9 / rate
            title = f"  {n_samples:,} x {n_features}, {hidden}, {batch_size}"
            print(
                f"{title:<36}{theirs / n_epochs * 1e3:>10.2f}{ours / n_epochs * 1e3:>8.2f}"
                f"{theirs / ours:>7.1f}x{share:>9.0%}",
                flush=True,
            )


def print_growth(quick):
    print("\nHow a stacked search grows: seconds, and the slope of log time")
    base = {"rows": 5000, "members": 20, "epochs": 10}
    for what, values in (
        ("members", [10, 20, 40, 80]),
        ("rows", [2500, 5000, 10_000, 20_000]),
        ("epochs", [10, 20, 40, 80]),
    ):
        times = []
        for value in values:
            size = {**base, what: value}
            X, y = make_data(size["rows"], 50)
            alphas = np.logspace(-4, 0, size["members"])
            arguments = (X, y, HIDDEN, 200, size["epochs"], alphas)
            repeats = 1 if quick else 3
            times.append(
                statistics.median(time_of(search_skreg, *arguments) for _ in range(repeats))
            )
        slope = np.polyfit(np.log(values), np.log(times), 1)[0]
        cells = ", ".join(f"{v:,}: {t:.2f}" for v, t in zip(values, times, strict=True))
        print(f"  {what:<9}{cells}   slope {slope:.2f}", flush=True)


def print_memory():
    """Peak memory of one large chunk, in a process of its own."""
    command = [sys.executable, __file__, "--memory"]
    print("\nPeak memory of one chunk of 50 networks, 500 features, 256 neurons")
    print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


def measure_memory():
    torch.set_num_threads(1)
    X, y = make_data(2000, 500)
    search_skreg(X[:100], y[:100], 8, 50, 1, [0.1])  # imports and first allocations
    skreg._schedule._CACHE_BYTES = 2**40  # all in one chunk
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    search_skreg(X, y, 256, 200, 2, np.logspace(-4, 0, 10))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    parameters = 50 * (500 * 256 + 256 + 257) * 4
    data = X.nbytes * (N_FOLDS - 1)  # the folds' own copies
    print(
        f"  {peak / 1e6:.0f} MB more than before: the folds' {data / 1e6:.0f} MB and "
        f"{(peak - data) / parameters:.1f} times the {parameters / 1e6:.0f} MB of parameters"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if arguments.memory:
        measure_memory()
        return
    rate = matrix_product_rate()
    print(f"{torch.get_num_threads()} threads, {rate:.0f} GFLOP/s in products")
    print_peers(arguments.quick, rate)
    print_growth(arguments.quick)
    print_memory()


if __name__ == "__main__":
    main()
