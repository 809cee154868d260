"""Where the time of a fit and of a stacked search goes, on one thread.

Each line is one run under torch's profiler: the share of the wall time that the matrix products
took, the passes over activations, the optimizer's passes over the weights (Adam and the prox of
the penalty), copies, and the rest: Python, and what the profiler itself costs, a lot where
operations are small. "products alone" is the share that they would take at the rate of a
large square one: what no arrangement of the same arithmetic can be quicker than.

    python benchmarks/profile_steps.py [--save]
"""

import argparse
import time
import warnings

import numpy as np
import torch
from fit import HIDDEN, fit_skreg, make_data, matrix_product_rate, wait_for
from grid import N_FOLDS, search_skreg
from saving import report
from sklearn.exceptions import ConvergenceWarning
from torch.profiler import ProfilerActivity, profile

KINDS = {
    "products": ("mm", "addmm", "bmm", "baddbmm"),
    "activations": ("relu_", "threshold_backward", "sum", "mul", "mul_", "sub_"),
    "weights": ("_fused_adam_", "sqrt", "div", "neg", "clamp", "sub", "add_"),
    "copies": ("copy_", "index_select", "clone", "stack", "cat"),
}


def profiled(run, device="cpu"):
    """All operations that a run launched, with their times, and the wall time."""
    run()  # imports and first allocations
    on_device = [] if device == "cpu" else [ProfilerActivity.CUDA]
    with profile(activities=[ProfilerActivity.CPU, *on_device]) as profiler:
        start = time.perf_counter()
        run()
        wait_for(device)
        seconds = time.perf_counter() - start
    return profiler.key_averages(), seconds


def shares(run):
    """Share of the wall time of each kind of operation, and the wall time."""
    events, seconds = profiled(run)
    spent = dict.fromkeys(KINDS, 0.0)
    for event in events:
        for kind, names in KINDS.items():
            if event.key.removeprefix("aten::") in names:
                spent[kind] += event.self_cpu_time_total / 1e6
    return {kind: s / seconds for kind, s in spent.items()}, seconds


def print_shares(title, run, products, rate):
    spent, seconds = shares(run)
    rest = 1 - sum(spent.values())
    cells = "".join(f"{share:>13.0%}" for share in (*spent.values(), rest))
    print(f"{title:<36}{cells}{products / rate / 1e9 / seconds:>17.0%}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    with report(__file__, "Where the time goes", save=arguments.save):
        rate = matrix_product_rate()
        print(f"1 thread, {rate:.0f} GFLOP/s in products\n")
        header = "".join(f"{kind:>13}" for kind in (*KINDS, "rest"))
        print(f"{'':<36}{header}{'products alone':>17}")
        X, y = make_data(10_000, 50)
        for batch_size in (32, 200, 1000):
            title = f"fit, 10,000 x 50, 100, batch {batch_size}"
            products = 4 * X.size * HIDDEN * 5
            print_shares(
                title, lambda b=batch_size: fit_skreg(X, y, b, 5, False), products, rate
            )
        alphas = np.logspace(-4, 0, 20)
        for n_samples, n_features, hidden, batch_size, epochs in (
            (442, 10, HIDDEN, 200, 100),
            (5000, 50, HIDDEN, 32, 2),
            (5000, 50, HIDDEN, 200, 5),
            (2000, 300, 256, 200, 4),
            (2000, 300, 256, 1000, 4),
        ):
            X, y = make_data(n_samples, n_features)
            title = f"grid, {n_samples:,} x {n_features}, {hidden}, batch {batch_size}"
            products = 4 * X.size * hidden * epochs * len(alphas) * (N_FOLDS - 1)
            run = (X, y, hidden, batch_size, epochs, alphas)
            print_shares(title, lambda run=run: search_skreg(*run), products, rate)


if __name__ == "__main__":
    main()
