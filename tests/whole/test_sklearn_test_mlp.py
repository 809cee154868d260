"""scikit-learn's tests of its MLPs: which pass with ours, and why the others are not to."""

import os

import pytest
import sklearn
from run_sklearn_test_mlp import DIFFERENT, SLOW, is_different, run, source

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


@pytest.fixture(scope="module")
def outcomes():
    return run() if NIGHTLY else run("-k", " and ".join(f"not {name}" for name in SLOW))


def test_those_that_fail_are_those_that_differ_on_purpose(outcomes):
    passed, failed = outcomes
    assert {name: why for name, why in failed.items() if not is_different(name)} == {}
    assert [name for name in passed if is_different(name)] == []
    # scikit-learn 1.9 has one more than 1.8.
    n_fewer = int(sklearn.__version__.startswith("1.8"))
    assert len(passed) >= (33 if NIGHTLY else 30) - n_fewer


def test_every_difference_is_in_the_file_and_has_its_reason():
    text = source()
    for name, reason in DIFFERENT.items():
        assert f"def {name.split('[')[0]}(" in text, f"{name} is gone from scikit-learn"
        assert reason.endswith(".")
