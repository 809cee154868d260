"""The sections of `benchmarks/cuda.py`: what is asked of skreg on a GPU.

Each is a function that is told what it may use and prints a table. It runs in a process of its
own and is ended when its time is over; by then it should have left out the rest by itself.
"""

import collections
import contextlib
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from fit import HIDDEN, fit_skreg, make_data, matrix_product_rate, operations, wait_for
from grid import N_FOLDS, search_skreg
from profile_steps import profiled
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    RegularizedMLPRegressorCV,
    RegularizedNetRegressor,
    StackedGridSearchCV,
)
from skreg.modules.backprop import Backprop
from skreg.modules.layers import Pass
from skreg.optim import ProximalAdam
from skreg.penalties.by_name import PENALTIES
from skreg.penalties.curves import ElasticNetCurve as Curve
from skreg.training.net import RegularizedNet

ROOT = Path(__file__).resolve().parent.parent
NO_CUDA = "no CUDA device"
PRECISIONS = {"float32": "highest", "TF32": "high"}
# Largest difference between a CPU's and CUDA's weights: relative, absolute.
TOLERANCES = {"float32": (1e-3, 1e-4), "float64": (1e-8, 1e-10)}


class Section:
    """What a section is told, and where its rows go.

    Attributes
    ----------
    device : str
        "cuda", or "cpu" with --cpu.
    small : bool
        Whether to take small sizes, as with --cpu.
    rates : dict of str to float
        TFLOP/s of products by precision; empty in the first section.
    """

    def __init__(self, record, deadline, *, device, small, rates):
        self.record, self.deadline = record, deadline
        self.device, self.small, self.rates = device, small, rates

    def has_cuda(self):
        return self.device != "cpu"

    def is_over(self):
        return time.monotonic() > self.deadline

    def leave_out(self, what):
        print(f"{what}: left out, time is over", flush=True)


# ------------------------------------------------------------------------------ the device


def describe(section):
    """The device, and what its products reach: without a device there is nothing to do."""
    if not section.has_cuda():
        name = f"{NO_CUDA} (--cpu)"
    elif not torch.cuda.is_available():
        raise RuntimeError(
            f"torch {torch.__version__} finds {NO_CUDA}. Where there is one, install a build "
            f"of torch with CUDA; --cpu shows that the script runs."
        )
    else:
        properties = torch.cuda.get_device_properties(0)
        name = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
        name = f"{name}, CUDA {torch.version.cuda}"
    section.record(device=name)
    print(name)
    for precision in PRECISIONS:
        with products_in(precision):
            size = 256 if section.small else 8192
            rate = matrix_product_rate(size, device=section.device) / 1e3
        section.record(precision=precision, tflops=rate)
        print(f"{precision:<8}{rate:>8.2f} TFLOP/s in products of {size} x {size}", flush=True)
    if not section.has_cuda():
        print(f"TF32: {NO_CUDA}, float32 again")


@contextlib.contextmanager
def products_in(precision):
    """Products of float32 as they are, or in TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(PRECISIONS[precision])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


# ------------------------------------------------------------------------- is it right there


class _Reports:
    """A pytest plugin that counts what became of the tests."""

    def __init__(self, section):
        self.section, self.counts = section, collections.Counter()

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            self.counts[report.outcome] += 1
        if report.failed:
            self.section.record(failed=report.nodeid)


def run_tests(section):
    """The tests of CUDA, by pytest."""
    names = ("whole/test_cuda.py", "whole/test_pretended_cuda.py")
    files = [str(ROOT / "tests" / name) for name in names]
    chosen = files
    if not section.has_cuda():
        print(f"{NO_CUDA}: the tests of what a CPU does in its place alone")
        chosen = [files[0], "-k", "auto_is"]
    reports = _Reports(section)
    options = ["-q", "--no-header", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
    status = pytest.main([*options, "-c", str(ROOT / "pyproject.toml"), *chosen], [reports])
    section.record(**reports.counts)
    assert status == pytest.ExitCode.OK, f"pytest ended with {status!r}"


def compare_fits(section):
    """Every solver and penalty, on a CPU and on the device, in both precisions."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 10))
    y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0)
    if not section.has_cuda():
        print(f"{NO_CUDA}: the CPU against itself\n")
    tolerances = ", ".join(f"{k}: {r:g} and {a:g}" for k, (r, a) in TOLERANCES.items())
    print(
        f"largest difference of the weights; tolerances relative and absolute, {tolerances}\n"
    )
    print(f"{'':<28}" + "".join(f"{name:>20}" for name in TOLERANCES))
    differing = []
    for solver in ("adam", "sgd", "fista"):
        for penalty in ("l1", "group_lasso") if section.small else (None, *PENALTIES):
            if section.is_over():
                return section.leave_out(f"{solver}, {penalty}")
            cells = ""
            for dtype, (relative, absolute) in TOLERANCES.items():
                network = RegularizedMLPRegressor(
                    (8, 4), solver=solver, penalty=penalty, alpha=0.01, batch_size=50,
                    max_iter=10, learning_rate_init=0.01, random_state=0,
                )  # fmt: skip
                first, other = (
                    weights_of(network.set_params(device=device).fit(X.astype(dtype), y))
                    for device in (section.device, "cpu")
                )
                difference = float(np.abs(first - other).max())
                agrees = np.allclose(first, other, rtol=relative, atol=absolute)
                section.record(
                    solver=solver, penalty=penalty, dtype=dtype, difference=difference,
                    agrees=bool(agrees),
                )  # fmt: skip
                cells += f"{difference:>12.1e}{'ok' if agrees else 'DIFFERS':>8}"
                if not agrees:
                    differing.append(f"{solver}, {penalty}, {dtype}")
            print(f"{f'{solver}, {penalty}':<28}{cells}", flush=True)
    assert not differing, f"CPU and CUDA fits differ: {'; '.join(differing)}"
    return None


def weights_of(network):
    return np.concatenate([part.ravel() for part in network.coefs_ + network.intercepts_])


def estimators(device):
    """One of each kind that is pickled differently."""
    common = {"max_iter": 5, "random_state": 0, "device": device}
    regressor = RegularizedMLPRegressor((8,), penalty="l1", alpha=0.01, **common)
    module = torch.nn.Sequential(torch.nn.Linear(10, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    return {
        "adam, l1": regressor,
        "sgd, group_lasso": RegularizedMLPRegressor(
            (8,), penalty="group_lasso", solver="sgd", **common
        ),
        "fista": RegularizedMLPRegressor((8,), penalty="l1", solver="fista", **common),
        "dropout": RegularizedMLPRegressor((8,), dropout=0.3, **common),
        "classifier": RegularizedMLPClassifier((8,), **common),
        "torch module": RegularizedNetRegressor(module, **common),
        "chosen by cross-validation": RegularizedMLPRegressorCV(
            (), penalty="l1", alphas=[0.1, 0.01], cv=2, **common
        ),
        "search over a pipeline": StackedGridSearchCV(
            make_pipeline(StandardScaler(), regressor),
            {"regularizedmlpregressor__alpha": [0.01, 0.1]},
            cv=2,
        ),
    }


def outputs(estimator, X):
    # Classes may differ where probabilities are equal to rounding.
    return getattr(estimator, "predict_proba", estimator.predict)(X)


def load_pickles(section):
    """Fits pickled here, loaded by a process that sees no CUDA device."""
    X, y = make_data(200, 10)
    if not section.has_cuda():
        print(f"{NO_CUDA}: pickles from a CPU\n")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, estimator) in enumerate(estimators(section.device).items()):
            target = (y > 0).astype(int) if name == "classifier" else y
            estimator.fit(X, target)
            pickled = {"name": name, "estimator": pickle.dumps(estimator), "X": X, "y": target}
            pickled["expected"] = outputs(estimator, X)
            Path(folder, f"{number}.pickle").write_bytes(pickle.dumps(pickled))
        subprocess.run(
            [sys.executable, str(ROOT / "benchmarks" / "cuda.py"), folder, "--load"],
            check=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
        rows = json.loads(Path(folder, "loaded.json").read_text())
    print(f"{'':<28}{'loaded':>8}{'predictions off by':>20}{'trained on':>12}")
    for row in rows:
        section.record(**row)
        cells = f"{row['loaded']:>8}{row['difference']:>20.1e}{row['trained_on']:>12}"
        print(f"{row['name']:<28}{cells}")
    failed = [row for row in rows if row["error"] or row["difference"] > 1e-3]
    assert not failed, "\n".join(f"{row['name']}:\n{row['error']}" for row in failed)


def load(folder):
    """What the other process does: load, predict, and train on."""
    assert not torch.cuda.is_available()
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = []
    for path in sorted(folder.glob("*.pickle")):
        pickled = pickle.loads(path.read_bytes())
        row = {"name": pickled["name"], "loaded": "no", "difference": np.inf}
        row |= {"trained_on": "no", "error": None}
        try:
            estimator, X = pickle.loads(pickled["estimator"]), pickled["X"]
            row["loaded"] = "yes"
            difference = np.abs(outputs(estimator, X) - pickled["expected"])
            row["difference"] = float(difference.max())
            network = getattr(estimator, "best_estimator_", [estimator])[-1]
            network.set_params(device="auto")
            getattr(network, "partial_fit", network.fit)(X, pickled["y"])
            row["trained_on"] = "yes"
        except Exception as error:
            row["error"] = repr(error)
        rows.append(row)
    (folder / "loaded.json").write_text(json.dumps(rows))


# ------------------------------------------------------------------------------ how fast


class Case:
    """Something to train: its name, a call that takes epochs and a device, and its size."""

    def __init__(self, name, train, *, n_rows, sizes, batch_size, epochs, n_members=1):
        self.name, self.train, self.epochs = name, train, epochs
        self.steps = -(-n_rows // batch_size)
        self.operations = n_members * operations(n_rows, sizes)


def cases(small):
    """One fit, a large network, and a stack over alphas and folds; made one by one."""
    n_rows = 1_000 if small else 10_000
    X, y = make_data(n_rows, 50)
    yield Case(
        f"one fit, {n_rows:,} x 50, {HIDDEN}, batch 200",
        lambda epochs, device: fit_skreg(X, y, 200, epochs, False, device=device),
        n_rows=n_rows, sizes=(50, HIDDEN, 1), batch_size=200, epochs=5 if small else 40,
    )  # fmt: skip

    n_rows, n_features, width = (1_000, 50, 64) if small else (200_000, 500, 2048)
    X, y = make_data(n_rows, n_features)
    hidden = (width,) * 3
    yield Case(
        f"large, {n_rows:,} x {n_features}, 3 x {width:,}, batch 1,000",
        lambda epochs, device: fit_skreg(X, y, 1000, epochs, False, hidden, device),
        n_rows=n_rows, sizes=(n_features, *hidden, 1), batch_size=1000, epochs=5,
    )  # fmt: skip

    n_rows, n_alphas = (500, 2) if small else (20_000, 200)
    X, y = make_data(n_rows, 50)
    alphas = np.logspace(-4, 0, n_alphas)
    n_members = n_alphas * N_FOLDS
    yield Case(
        f"{n_members:,} fits, {n_rows:,} x 50, {HIDDEN}, batch 200",
        lambda epochs, device: search_skreg(X, y, HIDDEN, 200, epochs, alphas, device),
        n_rows=n_rows * (N_FOLDS - 1) // N_FOLDS, sizes=(50, HIDDEN, 1), batch_size=200,
        epochs=3 if small else 10, n_members=n_members,
    )  # fmt: skip


@contextlib.contextmanager
def timed_epochs():
    """Seconds of each epoch trained meanwhile; at the end of one its losses are read."""
    run_epoch, seconds = RegularizedNet.run_epoch, []

    def timed(self):
        start = time.perf_counter()
        result = run_epoch(self)
        seconds.append(time.perf_counter() - start)
        return result

    with patch.object(RegularizedNet, "run_epoch", timed):
        yield seconds


def time_fits(section):
    """Each case in float32 and in TF32, by turns."""
    print(
        "medians: seconds for the whole fit or search, and of its epochs milliseconds a step,"
    )
    print("TFLOP/s (forward and backward products, 2 FLOP a multiplication with its addition)")
    print("and their share of the rate of a large square product in that precision\n")
    if not section.has_cuda():
        print(f"TF32: {NO_CUDA}, float32 again\n")
    head = f"{'s':>8}{'ms a step':>11}{'TFLOP/s':>9}{'of rate':>9}"
    print(f"{'':<46}{'':<8}{head}")
    end = section.deadline
    for n_left, case in zip((3, 2, 1), cases(section.small), strict=True):
        # What a case leaves of its share is for those after it.
        section.deadline = time.monotonic() + (end - time.monotonic()) / n_left
        case.train(1, section.device)  # imports, libraries and first allocations
        times = {precision: [] for precision in PRECISIONS}
        for _ in range(1 if section.small else 3):
            for precision, runs in times.items():
                if not section.is_over():
                    runs.append(time_once(case, precision, section.device))
        for precision, runs in times.items():
            if runs:
                print_time(section, case, precision, runs)
            else:
                section.leave_out(f"{case.name}, {precision}")


def time_once(case, precision, device):
    """Seconds of a fit and of its median epoch."""
    with products_in(precision), timed_epochs() as epochs:
        start = time.perf_counter()
        case.train(case.epochs, device)
        wait_for(device)
        return time.perf_counter() - start, statistics.median(epochs)


def print_time(section, case, precision, runs):
    total, epoch = (statistics.median(column) for column in zip(*runs, strict=True))
    tflops = case.operations / epoch / 1e12
    share = tflops / section.rates[precision]
    section.record(
        case=case.name, precision=precision, seconds=total,
        ms_a_step=epoch / case.steps * 1e3, tflops=tflops, share=share, runs=len(runs),
    )  # fmt: skip
    cells = f"{total:>8.2f}{epoch / case.steps * 1e3:>11.3f}{tflops:>9.3f}{share:>9.1%}"
    print(f"{case.name:<46}{precision:<8}{cells}", flush=True)


class Stopwatch:
    """Seconds that the parts of each step took, the device waited for around each."""

    PARTS = ("forward", "loss", "backward", "adam", "prox")

    def __init__(self, device):
        self._device, self._steps = device, [collections.Counter()]

    def timed(self, part, call):
        def measured(*args, **kwargs):
            if part == "gradient":
                self._steps.append(collections.Counter())
            wait_for(self._device)
            start = time.perf_counter()
            result = call(*args, **kwargs)
            wait_for(self._device)
            self._steps[-1][part] += time.perf_counter() - start
            return result

        return measured

    @contextlib.contextmanager
    def measures(self):
        plan, timed = ProximalAdam.plan_steps, self.timed
        with (
            patch.object(Backprop, "__call__", timed("gradient", Backprop.__call__)),
            patch.object(Pass, "forward", timed("forward", Pass.forward)),
            patch.object(Pass, "backward", timed("backward", Pass.backward)),
            patch.object(
                ProximalAdam, "plan_steps", lambda optimizer: timed("step", plan(optimizer))
            ),
            patch.object(Curve, "prox_in_metric_", timed("prox", Curve.prox_in_metric_)),
        ):
            yield

    def medians(self):
        """Seconds by part: the loss is what is left of the gradient, Adam of the step."""
        # Those without a step of the optimizer are passes over the rows.
        steps = [step for step in self._steps if step["step"]]
        for step in steps:
            step["loss"] = step["gradient"] - step["forward"] - step["backward"]
            step["adam"] = step["step"] - step["prox"]
        return {part: statistics.median(s[part] for s in steps) for part in self.PARTS}


def time_parts(section):
    """The same steps with a stop after each part."""
    print("milliseconds, medians over steps; the device is waited for around each part,")
    print("which the steps of a fit do without\n")
    header = "".join(f"{part:>11}" for part in (*Stopwatch.PARTS, "sum"))
    print(f"{'':<46}{header}")
    for case in cases(section.small):
        if section.is_over():
            section.leave_out(case.name)
            continue
        case.train(1, section.device)
        stopwatch = Stopwatch(section.device)
        with stopwatch.measures():
            case.train(1 if case.steps > 20 else 3, section.device)
        medians = stopwatch.medians()
        section.record(case=case.name, **medians)
        cells = (*medians.values(), sum(medians.values()))
        print(f"{case.name:<46}" + "".join(f"{s * 1e3:>11.3f}" for s in cells), flush=True)


def profile_operations(section, n_shown=8):
    """What the device spends its time on, by torch's profiler."""
    print("of a fit of one epoch\n")
    column = "self_device_time_total" if section.has_cuda() else "self_cpu_time_total"
    for case in cases(section.small):
        if section.is_over():
            section.leave_out(case.name)
            continue
        events, seconds = profiled(partial(case.train, 1, section.device), section.device)
        # Kernels are listed too, with the time that the operations have which launched them.
        spent = [
            (getattr(event, column) / 1e6, event)
            for event in events
            if event.device_type == torch.autograd.DeviceType.CPU
        ]
        busy = sum(took for took, _ in spent)
        section.record(case=case.name, seconds=seconds, busy=busy)
        print(f"{case.name}: busy for {busy / seconds:.0%} of the fit")
        print(f"  {'':<44}{'calls a step':>14}{'µs a step':>12}{'of busy':>9}")
        for took, event in sorted(spent, key=lambda pair: -pair[0])[:n_shown]:
            section.record(case=case.name, name=event.key, calls=event.count, seconds=took)
            cells = f"{event.count / case.steps:>14.1f}{took / case.steps * 1e6:>12.1f}"
            print(f"  {event.key[:42]:<44}{cells}{took / busy:>9.0%}", flush=True)


# Title, what fills it, and the seconds that it may take.
SECTIONS = [
    ("The device", describe, 30),
    ("CUDA tests", run_tests, 130),
    ("CPU and CUDA fits agree", compare_fits, 45),
    ("Pickles from CUDA on a CPU", load_pickles, 40),
    ("Time and rate", time_fits, 140),
    ("A step, part by part", time_parts, 35),
    ("A step, by operation", profile_operations, 30),
]
