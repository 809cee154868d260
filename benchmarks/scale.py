"""How the time and the memory of one fit grow with rows, features and hidden neurons.

Each line is a fresh process on one thread: imports and a fit of a few rows first, so that
what torch and skorch load on their first use is not counted; then the data, made in place;
then the fit. "peak" is the most memory the process ever held (ru_maxrss) less what it held
before the data were made, as a multiple of the size of X and y: 1 is the data themselves.
Adam with an L1 penalty, batches of 200, float32.

Then ``partial_fit`` over a file larger than the memory the process may have: it maps the file
a chunk at a time, under a limit on its address space (what ``ulimit -v`` sets). Last,
``import skreg`` and the imports of what it depends on, by turns in fresh processes.

    python benchmarks/scale.py [--epochs 2] [--float64] [--save]
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from fit import matrix_product_rate
from saving import report

ROWS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
# Below this many rows what a fit costs whatever the data is still to be seen.
PAST_OVERHEAD = 10_000
# Of the file that is learned from chunk by chunk, and the bytes the process may take for that.
CHUNKS, CHUNK, COLUMNS = 60, 20_000, 100
ALLOWED = 2**28
IMPORTS = ("import torch, skorch, sklearn.linear_model", "import skreg")


def measure(n_samples, n_features, hidden, epochs, dtype, early_stopping):
    """Time and memory of a fit in this process, printed as JSON."""
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning

    from skreg import RegularizedMLPRegressor

    warnings.simplefilter("ignore", ConvergenceWarning)
    rng = np.random.default_rng(0)

    def make_data(n):
        X = rng.standard_normal((n, n_features), dtype=dtype)
        y = X[:, 0].copy()
        y += X[:, 1]
        return X, y

    def fit(X, y):
        model = RegularizedMLPRegressor(
            (hidden,),
            penalty="l1",
            max_iter=epochs,
            n_iter_no_change=np.inf,
            early_stopping=early_stopping,
            random_state=0,
            device="cpu",
        )
        start = time.perf_counter()
        model.fit(X, y)
        return time.perf_counter() - start

    fit(*make_data(200))
    before = peak_bytes()
    X, y = make_data(n_samples)
    times = [fit(X, y)]
    peak = peak_bytes() - before
    while len(times) < 9 and sum(times) < 0.5:
        times.append(fit(X, y))
    size = X.nbytes + y.nbytes
    print(json.dumps({"seconds": statistics.median(times), "peak": peak, "data": size}))


def peak_bytes():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def run(n_samples, n_features, hidden, epochs, dtype, early_stopping=False):
    sizes = map(str, (n_samples, n_features, hidden))
    command = [sys.executable, __file__, "--one", *sizes, "--epochs", str(epochs)]
    command += ["--float64"] * (dtype == "float64") + ["--early-stopping"] * early_stopping
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    output = subprocess.run(command, check=True, capture_output=True, env=environment).stdout
    result = json.loads(output)
    seconds, data, peak = result["seconds"], result["data"], result["peak"]
    # A peak of a few megabytes is the allocator's, not the data's.
    multiple = f"{peak / data:>11.2f}x" if data > 2**23 else f"{'-':>12}"
    print(
        f"{n_samples:>10,} {n_features:>9,} {hidden:>7,} {seconds * 1e3 / epochs:>15.1f}"
        f" {data / 2**20:>10.1f} {peak / 2**20:>10.1f}{multiple}"
        + ("  early stopping" if early_stopping else ""),
        flush=True,
    )
    return seconds


def slope(xs, ys):
    """Of the least-squares line through the logarithms."""
    xs, ys = [math.log(x) for x in xs], [math.log(y) for y in ys]
    return statistics.linear_regression(xs, ys).slope


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--float64", action="store_true", help="in place of float32")
    parser.add_argument("--save", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--early-stopping", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--file", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--one", type=int, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    epochs = arguments.epochs
    dtype = "float64" if arguments.float64 else "float32"
    if arguments.one:
        measure(*arguments.one, epochs, dtype, arguments.early_stopping)
        return
    if arguments.file:
        learn_from_file(arguments.file[0], int(arguments.file[1]))
        return
    with report(__file__, "How a fit grows", save=arguments.save):
        print(f"{matrix_product_rate():.0f} GFLOP/s in products on all cores")
        print_growth(epochs, dtype)
        print_out_of_core()
        print_imports()


def print_growth(epochs, dtype):
    print(f"{dtype}, {epochs} epochs, one thread\n")
    print(
        f"{'rows':>10} {'features':>9} {'hidden':>7} {'ms an epoch':>15} {'data MiB':>10}"
        f" {'peak MiB':>10}{'peak/data':>12}"
    )
    seconds = [run(n, 20, 50, epochs, dtype) for n in ROWS]
    run(ROWS[-1], 20, 50, epochs, dtype, early_stopping=True)
    print()
    for n_features in (10, 100, 1_000, 5_000):
        run(20_000, n_features, 50, epochs, dtype)
    print()
    for hidden in (10, 100, 1_000, 5_000):
        run(20_000, 100, hidden, epochs, dtype)

    past = [(n, s) for n, s in zip(ROWS, seconds, strict=True) if n >= PAST_OVERHEAD]
    print(
        f"\nslope of log time against log rows from {PAST_OVERHEAD:,} rows: "
        f"{slope(*zip(*past, strict=True)):.2f} (linear is 1)"
    )


def print_out_of_core():
    """One pass over a file of which less than half would fit."""
    import numpy as np

    if not Path("/proc/self/statm").exists():
        return  # what a process has mapped is read there
    rng = np.random.default_rng(0)
    with tempfile.NamedTemporaryFile(suffix=".f32") as file:
        for _ in range(CHUNKS):
            file.write(rng.standard_normal((CHUNK, COLUMNS), dtype=np.float32).tobytes())
        file.flush()
        command = [sys.executable, __file__, "--file", file.name, str(ALLOWED)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        ran = subprocess.run(command, capture_output=True, env=environment, text=True)
        if ran.returncode:
            raise RuntimeError(ran.stderr)
        size = os.path.getsize(file.name)
    print(
        f"\npartial_fit over a file of {size / 2**20:.0f} MiB in a process that may have "
        f"{ALLOWED / 2**20:.0f} MiB more than its imports: "
        f"{ran.stdout.strip()}"
    )


def print_imports(repeats=5):
    times = {statement: [] for statement in IMPORTS}
    for repeat in range(repeats + 1):
        for statement, durations in times.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            if repeat:  # the first finds the files on disk
                durations.append(time.perf_counter() - start)
    peers, ours = times.values()
    ratio = statistics.median(b / a for a, b in zip(peers, ours, strict=True))
    print(
        f"\n{IMPORTS[1]!r} takes {statistics.median(ours):.2f} s, {IMPORTS[0]!r} "
        f"{statistics.median(peers):.2f} s: {ratio:.2f} times as long"
    )


def learn_from_file(path, allowed):
    """Learn from all rows, of which no more are mapped than a chunk."""
    import numpy as np

    from skreg import RegularizedMLPRegressor

    model = RegularizedMLPRegressor((50,), penalty="l1", random_state=0, device="cpu")
    rows = np.zeros((200, COLUMNS), dtype=np.float32)
    model.partial_fit(rows, rows[:, 0])  # imports and first allocations
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + allowed
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        np.memmap(path, np.float32, "r")
    except OSError:
        pass
    else:
        raise RuntimeError("the whole file fits: the limit is not one")
    for number in range(CHUNKS):
        offset = number * CHUNK * COLUMNS * 4
        X = np.memmap(path, np.float32, "r", offset, (CHUNK, COLUMNS))
        model.partial_fit(X, X[:, 0] + X[:, 1])
    print(f"R² on the last chunk {model.score(X, X[:, 0] + X[:, 1]):.3f}")


if __name__ == "__main__":
    main()
