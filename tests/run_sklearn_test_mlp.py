"""scikit-learn's own tests of its MLPs, run against ours.

`python tests/run_sklearn_test_mlp.py`

The file is read from the installed scikit-learn, and only its import is changed. What comes
out is printed by test, and compared with what is expected: all pass but those in `DIFFERENT`,
each with the deliberate difference behind it. `tests/test_sklearn_test_mlp.py` asserts it.
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

#: Tests that do not pass, and why they are not meant to.
DIFFERENT: dict[str, str] = {}


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


def run():
    """Run them; return the names that passed, and what the others raised by name."""
    outcomes = Outcomes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test_mlp_of_sklearn.py"
        path.write_text(source())
        options = ["-q", "-p", "no:cacheprovider", "--no-header", "-W", "ignore"]
        pytest.main(
            [str(path), *options, "--rootdir", folder, "-c", "/dev/null", "--tb=short"],
            plugins=[outcomes],
        )
    return outcomes.passed, outcomes.failed


def main():
    passed, failed = run()
    print("\nPassed:")
    for name in passed:
        print(f"  {name}")
    print("\nDifferent on purpose:")
    for name in sorted(failed):
        reason = DIFFERENT.get(name.split("[")[0], "NOT EXPECTED: " + failed[name])
        print(f"  {name}: {reason}")
    expected = {name for name in (*passed, *failed) if name.split("[")[0] in DIFFERENT}
    print(f"\n{len(passed)} passed, {len(failed)} different")
    return 0 if set(failed) == expected else 1


if __name__ == "__main__":
    sys.exit(main())
