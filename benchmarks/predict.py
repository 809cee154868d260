"""Predicting, side by side: skreg, scikit-learn's MLP and a bare torch module; and compact.

All on the same rows in one process, float32, one hidden layer. The estimators check X as
scikit-learn does; the bare module does nothing but its products, on a tensor that is there.
The second table is one network before and after `compact`, on rows with 2,000 columns of
which 90% are set to zero in the first layer, as a penalty leaves them. Peers take turns in
each repeat; medians are shown, and medians of the ratios within a repeat.

    python benchmarks/predict.py [--quick] [--save]
"""

import argparse
import os
import statistics
import time
import warnings

import numpy as np
import torch
from fit import matrix_product_rate, ratio
from saving import report
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits
from torch import nn

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor

HIDDEN = 100
PEERS = ("skreg", "scikit-learn", "bare torch")


def make_data(n_samples, n_features):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, n_features)).astype(np.float32)
    return X, X[:, :5].sum(1)


def targets(y):
    return {
        "regressor": y,
        "2 classes": (y > 0).astype(np.int64),
        "5 classes": np.digitize(y, [-2.0, -1.0, 1.0, 2.0]),
    }


def fit_skreg(X, y, kind):
    estimator = RegularizedMLPRegressor if kind == "regressor" else RegularizedMLPClassifier
    return estimator((HIDDEN,), max_iter=2, random_state=0, device="cpu").fit(X, y)


def fit_sklearn(X, y, kind):
    estimator = MLPRegressor if kind == "regressor" else MLPClassifier
    return estimator(hidden_layer_sizes=(HIDDEN,), max_iter=2, random_state=0).fit(X, y)


def bare_torch(n_features, kind):
    n_outputs = 5 if kind == "5 classes" else 1
    net = nn.Sequential(
        nn.Linear(n_features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, n_outputs)
    ).eval()

    def predict(X):
        with torch.inference_mode():
            return net(X)

    return predict


def seconds_a_call(call, seconds):
    """Mean of as many calls as fit in about this time, one at least."""
    start = time.perf_counter()
    call()
    n_calls = max(1, int(seconds / (time.perf_counter() - start)))
    start = time.perf_counter()
    for _ in range(n_calls):
        call()
    return (time.perf_counter() - start) / n_calls


def race(calls, repeats, seconds):
    """Times of each call, a list with an entry per repeat; the first round is not counted."""
    times = {name: [] for name in calls}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            taken = seconds_a_call(call, seconds)
            if repeat:
                times[name].append(taken)
    return times


def compare_peers(n_threads, repeats, seconds):
    X, y = make_data(100_000, 50)
    print(f"{n_threads} thread(s), {X.shape[1]} features, hidden {HIDDEN}: microseconds a call")
    header = "".join(f"{name:>14}" for name in PEERS)
    print(f"{'':<24}{header}{'skreg/sklearn':>15}{'skreg/torch':>13}")
    for kind, target in targets(y).items():
        ours, theirs = (fit(X[:1000], target[:1000], kind) for fit in (fit_skreg, fit_sklearn))
        bare = bare_torch(X.shape[1], kind)
        for n_rows in (1, 1000, 100_000):
            rows = X[:n_rows]
            tensor = torch.from_numpy(rows)
            calls = {
                "skreg": lambda ours=ours, rows=rows: ours.predict(rows),
                "scikit-learn": lambda theirs=theirs, rows=rows: theirs.predict(rows),
                "bare torch": lambda bare=bare, tensor=tensor: bare(tensor),
            }
            times = race(calls, repeats, seconds)
            cells = "".join(f"{statistics.median(times[name]) * 1e6:>14.1f}" for name in PEERS)
            sklearn, torch_alone = (ratio(times, "skreg", peer) for peer in PEERS[1:])
            case = f"{kind}, {n_rows} row{'s' * (n_rows > 1)}"
            print(f"{case:<24}{cells}{sklearn:>14.2f}x{torch_alone:>12.2f}x", flush=True)
    print()


def compare_compact(n_threads, repeats, seconds):
    X, y = make_data(20_000, 2000)
    model = fit_skreg(X[:1000], y[:1000], "regressor")
    dead = np.random.default_rng(1).permutation(X.shape[1])[: X.shape[1] * 9 // 10]
    with torch.no_grad():
        model.net_.module_.weights[0][0, dead] = 0.0
    small = model.compact()
    difference = np.abs(model.predict(X) - small.predict(X)).max()
    print(
        f"{n_threads} thread(s), {X.shape[1]} features of which {len(dead)} dead, hidden "
        f"{HIDDEN}: microseconds a call; predictions differ by {difference:.1e} at most"
    )
    print(f"{'':<24}{'full':>14}{'compact':>14}{'speed-up':>15}")
    for n_rows in (1, 1000, 20_000):
        rows = X[:n_rows]
        calls = {
            "full": lambda rows=rows: model.predict(rows),
            "compact": lambda rows=rows: small.predict(rows),
        }
        times = race(calls, repeats, seconds)
        cells = "".join(f"{statistics.median(times[name]) * 1e6:>14.1f}" for name in calls)
        case = f"{n_rows} row{'s' * (n_rows > 1)}"
        print(f"{case:<24}{cells}{ratio(times, 'full', 'compact'):>14.1f}x", flush=True)
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats, shorter ones")
    parser.add_argument("--save", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    repeats, seconds = (3, 0.02) if arguments.quick else (9, 0.1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    with report(__file__, "Predicting", save=arguments.save):
        for n_threads in (1, 2) if (os.cpu_count() or 1) > 1 else (1,):
            torch.set_num_threads(n_threads)
            print(f"{matrix_product_rate():.0f} GFLOP/s in products")
            with threadpool_limits(n_threads):
                compare_peers(n_threads, repeats, seconds)
                compare_compact(n_threads, repeats, seconds)


if __name__ == "__main__":
    main()
