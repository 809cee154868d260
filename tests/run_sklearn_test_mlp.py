"""scikit-learn's tests of its MLPs, run against ours.

`python tests/run_sklearn_test_mlp.py`

The file is read from the installed scikit-learn, and only its import is changed. What comes
out is printed by test, and compared with what is expected: all pass but those in `DIFFERENT`,
each with the deliberate difference behind it. `tests/whole/test_sklearn_test_mlp.py` asserts
it.
"""

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor"
OURS = (
    "from skreg import RegularizedMLPClassifier as MLPClassifier\n"
    "from skreg import RegularizedMLPRegressor as MLPRegressor"
)

_FISTA = (
    "solver='lbfgs' is none of ours: an L1 penalty has kinks, in which it does not work. The "
    "solver for all samples at once is 'fista'."
)
_PRIVATE = "Reads a private attribute of scikit-learn's estimators; ours is in net_."
_CURED = (
    "Training that diverges goes back to the best weights and on at a lower rate, and is an "
    "error in words of its own where that does not help."
)

#: Tests that do not pass, and why they are not meant to.
DIFFERENT = {
    "test_gradient": _FISTA,
    "test_lbfgs_classification": _FISTA,
    "test_lbfgs_classification_maxfun": _FISTA,
    "test_lbfgs_regression": _FISTA,
    "test_lbfgs_regression_maxfun": _FISTA,
    "test_mlp_vs_poisson_glm_equivalent": _FISTA,
    "test_mlp_warm_start_no_convergence[lbfgs": _FISTA,
    "test_multilabel_classification": _FISTA,
    "test_multioutput_regression": _FISTA,
    "test_predict_proba_multilabel": _FISTA,
    "test_sparse_matrices": _FISTA,
    "test_warm_start": _FISTA,
    "test_adaptive_learning_rate": _PRIVATE,
    "test_learning_rate_warmstart": _PRIVATE,
    "test_n_iter_no_change": _PRIVATE,
    "test_n_iter_no_change_inf": _PRIVATE,
    "test_fit": "Sets coefs_ by hand; ours are read off the network, net_.module_.",
    "test_nonfinite_params": _CURED,
    "test_mlp_diverging_loss": _CURED,
    "test_early_stopping_stratified": "The error names the classes as y has them, no codes.",
    "test_minimum_input_sample_size": "The error names validation_fraction, and the way out.",
    "test_verbose_sgd": "What is printed begins with 'Epoch' and shows the penalty by itself.",
}

#: These take three quarters of the time.
SLOW = (
    "test_n_iter_no_change_inf",
    "test_alpha",
    "test_partial_fit_classification",
    "test_partial_fit_regression",
)


def is_different(name):
    """Whether a test (with its parameters) is expected not to pass."""
    return any(name.split("[")[0] == key or name.startswith(key + "-") for key in DIFFERENT)


def source():
    """The test file of the installed scikit-learn, with our estimators in place of its own."""
    package = find_spec("sklearn").submodule_search_locations[0]
    text = (Path(package) / "neural_network/tests/test_mlp.py").read_text()
    assert text.count(IMPORT) == 1, "scikit-learn's tests import otherwise than they did"
    return text.replace(IMPORT, OURS)


class Outcomes:
    """Collects what came of each test, by its name without parameters' reprs."""

    def __init__(self):
        self.passed, self.failed = [], {}

    @pytest.fixture
    def global_random_seed(self):
        return 42  # scikit-learn's default

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.split("::")[-1]
        if report.failed:
            lines = str(report.longrepr).splitlines()
            self.failed[name] = next((x for x in reversed(lines) if x.startswith("E ")), "?")
        elif report.when == "call":
            self.passed.append(name)


def run(*more_options):
    """Run them; return the names that passed, and what the others raised by name."""
    outcomes = Outcomes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test_mlp_of_sklearn.py"
        path.write_text(source())
        options = ["-q", "-p", "no:cacheprovider", "--no-header", "-W", "ignore", *more_options]
        pytest.main(
            [str(path), *options, "--rootdir", folder, "-c", "/dev/null", "--tb=short"],
            plugins=[outcomes],
        )
    return outcomes.passed, outcomes.failed


def main():
    passed, failed = run("--durations=20")
    print("\nPassed:")
    for name in passed:
        print(f"  {name}")
    print("\nDifferent on purpose:")
    for name in sorted(failed):
        reasons = (why for key, why in DIFFERENT.items() if is_different(name) and key in name)
        print(f"  {name}: {next(reasons, 'NOT EXPECTED: ' + failed[name])}")
    print(f"\n{len(passed)} passed, {len(failed)} different")
    return 0 if all(is_different(name) for name in failed) else 1


if __name__ == "__main__":
    sys.exit(main())
