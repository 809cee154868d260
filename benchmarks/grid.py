"""A grid over λ, side by side: a stacked search, and GridSearchCV over the peers.

All search values of alpha on 5 folds, with the same rows, epochs, batches, optimizer (Adam) and
hidden layer, in float32, and without the final refit. Each side has both cores: scikit-learn
and skorch as two processes (``n_jobs=2``), skreg as two threads of one process. Peers take
turns in each repeat; medians are shown. Then how the cost of a stacked search grows, and its
memory.

    python benchmarks/grid.py [--quick] [--save]
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
from saving import report
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from skorch import NeuralNetRegressor
from torch import nn

import skreg.estimators.many
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


def search_skreg(X, y, hidden, batch_size, epochs, alphas, device="cpu"):
    net = RegularizedMLPRegressor(
        (hidden,),
        penalty="l1",
        batch_size=batch_size,
        max_iter=epochs,
        n_iter_no_change=np.inf,
        random_state=0,
        device=device,
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


def compare(peer, case, alphas_of_peer, epochs, epochs_of_peer, repeats):
    """Median seconds per network and epoch of either side."""
    n_samples, n_features, hidden, batch_size = case
    X, y = make_data(n_samples, n_features)
    sides = {peer: (alphas_of_peer, epochs_of_peer), search_skreg: (20, epochs)}
    times = {search: [] for search in sides}
    for search in sides:  # the first turn is for imports, processes and caches
        search(X, y, hidden, batch_size, 1, [1e-3, 1e-2])
    for _ in range(repeats):
        for search, (n_alphas, own_epochs) in sides.items():
            alphas = np.logspace(-4, 0, n_alphas)
            seconds = time_of(search, X, y, hidden, batch_size, own_epochs, alphas)
            times[search].append(seconds / (n_alphas * N_FOLDS * own_epochs))
    return statistics.median(times[peer]), statistics.median(times[search_skreg])


# Rows, features, hidden, batch; epochs of skreg, of scikit-learn and of skorch.
CASES = [
    ((442, 10, HIDDEN, 200), 200, 200, 40),
    ((5000, 50, HIDDEN, 32), 10, 10, 2),
    ((5000, 50, HIDDEN, 200), 20, 20, 5),
    ((2000, 300, 256, 200), 10, 10, None),
    ((2000, 300, 256, 1000), 20, 20, None),
]


def print_peers(quick, rate):
    repeats = 1 if quick else 3
    print("milliseconds for one network and epoch; skreg and MLPRegressor search 20 values of")
    print("alpha, skorch 4 in fewer epochs: what it takes does not depend on that\n")
    columns = f"{'MLPRegressor':>14}{'skorch + L1':>13}{'skreg':>8}{'ratios':>16}{'of rate':>9}"
    print(f"{'rows x features, hidden, batch':<32}{columns}")
    for case, epochs, epochs_of_sklearn, epochs_of_skorch in CASES:
        n_samples, n_features, hidden, batch_size = case
        theirs, ours = compare(search_sklearn, case, 20, epochs, epochs_of_sklearn, repeats)
        skorch = ratio = ""
        if epochs_of_skorch is not None:
            slow, _ = compare(search_skorch, case, 4, epochs, epochs_of_skorch, repeats)
            skorch, ratio = f"{slow * 1e3:.2f}", f"{slow / ours:.1f}x"
        rate = max(rate, matrix_product_rate())  # the machine is not always at its best
        # The two products of the first layer; those of the second are 1% of them.
        products = 4 * n_samples * (N_FOLDS - 1) / N_FOLDS * n_features * hidden
        title = f"{n_samples:,} x {n_features}, {hidden}, {batch_size}"
        print(
            f"{title:<32}{theirs * 1e3:>14.2f}{skorch:>13}{ours * 1e3:>8.3f}"
            f"{theirs / ours:>8.1f}x{ratio:>7}{products / ours / 1e9 / rate:>9.0%}",
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
    """Peak memory of one large chunk, in a separate process."""
    command = [sys.executable, __file__, "--memory"]
    print("\nPeak memory of one chunk of 50 networks, 500 features, 256 neurons")
    print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


def measure_memory():
    torch.set_num_threads(1)
    X, y = make_data(2000, 500)
    search_skreg(X[:100], y[:100], 8, 50, 1, [0.1])  # imports and first allocations
    skreg.estimators.many._BYTES_OF_WEIGHTS = 2**40  # all in one chunk
    skreg.estimators.many._BYTES_OF_ACTIVATIONS = 2**40
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    search_skreg(X, y, 256, 200, 2, np.logspace(-4, 0, 10))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    parameters = 50 * (500 * 256 + 256 + 257) * 4
    data = X.nbytes * (N_FOLDS - 1)  # the copies of the folds
    print(
        f"  {peak / 1e6:.0f} MB more than before: the folds' {data / 1e6:.0f} MB and "
        f"{(peak - data) / parameters:.1f} times the {parameters / 1e6:.0f} MB of parameters"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--save", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if arguments.memory:
        measure_memory()
        return
    with report(__file__, "A grid over λ", save=arguments.save):
        rate = matrix_product_rate()
        print(f"{torch.get_num_threads()} threads, {rate:.0f} GFLOP/s in products")
        print_peers(arguments.quick, rate)
        print_growth(arguments.quick)
        print_memory()


if __name__ == "__main__":
    main()
