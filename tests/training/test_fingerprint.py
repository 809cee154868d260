"""Fingerprints: another for whatever differs, the same in every process."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso, Ridge
from sklearn.preprocessing import FunctionTransformer

from skreg.penalties import L1
from skreg.training.fingerprint import fingerprint


def power_of(exponent, scale=1.0):
    """A function of which another exponent makes another, by the same name."""

    def power(x):
        return scale * x**exponent

    return power


class Twice:
    def __init__(self, function=None):
        self.function = function

    def __call__(self, x):
        return 2 * self.function(x)


def another_twice():
    class Twice(globals()["Twice"]):
        def __call__(self, x):
            return 3 * self.function(x)

    Twice.__qualname__ = "Twice"
    return Twice


def layers(activation):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(2, 3), activation, torch.nn.Linear(3, 1))


UNLIKE = {
    "functions": [lambda x: x, lambda x: -x, lambda y: y + 1, lambda x: x + 2, abs, np.abs],
    "what a function encloses": [power_of(2), power_of(3), power_of(2, scale=2.0)],
    "defaults": [lambda x, n=1: n * x, lambda x, n=2: n * x],
    "partials": [partial(power_of, 2), partial(power_of, 3), partial(power_of, scale=2)],
    "classes": [Twice, another_twice(), object],
    "what does not pickle": [Twice(lambda x: x), Twice(lambda x: -x), another_twice()(abs)],
    "estimators": [Ridge(), Ridge(2.0), Lasso(), FunctionTransformer(lambda x: -x)],
    "penalties": [L1(0.1), L1(0.2), L1(0.1, adaptive=True), {"*": L1(0.1)}, {"0.*": L1(0.1)}],
    "modules": [layers(torch.nn.ReLU()), layers(torch.nn.Tanh()), layers(torch.nn.ELU(0.5))],
    "lists": [[1, power_of(2)], [1, power_of(3)], (1, power_of(2)), {"a": power_of(2)}],
    "arrays of objects": [np.array([f, "a"], object) for f in (power_of(2), power_of(3))],
    "sets": [{"a", "b"}, {"a", "c"}, frozenset({"a", "b"})],
}


@pytest.mark.parametrize("values", UNLIKE.values(), ids=UNLIKE)
def test_fingerprints_tell_apart_what_differs(values):
    assert len({fingerprint(value) for value in values}) == len(values)


def test_fingerprints_are_those_of_the_value_whatever_holds_it():
    X = np.arange(6.0).reshape(2, 3)
    values = [X, X + 1, X.astype(np.float32), X.T, 1, 1.0, "1", None, np.mean, np.sum, max]
    assert len({fingerprint(value) for value in values}) == len(values)
    assert fingerprint(X) == fingerprint(X.copy()) == fingerprint(torch.from_numpy(X))
    assert fingerprint(power_of(2)) == fingerprint(power_of(2))
    assert fingerprint(np.float64(0.5)) == fingerprint(0.5)
    assert fingerprint(layers(torch.nn.ReLU())) == fingerprint(layers(torch.nn.ReLU()))
    itself = Twice(lambda x: x)
    itself.me = [itself]
    assert fingerprint(itself) != fingerprint(Twice(lambda x: x))
    assert fingerprint(x for x in X) == fingerprint(x for x in X)


def test_fingerprints_are_the_same_in_another_process():
    script = """
import sys
sys.path.insert(0, sys.argv[1])
import test_fingerprint
from skreg.training.fingerprint import fingerprint
print([fingerprint(v) for values in test_fingerprint.UNLIKE.values() for v in values])
"""
    folder = os.path.dirname(__file__)
    prints = [
        subprocess.run(
            [sys.executable, "-c", script, folder],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert prints[0] == prints[1] != ""
