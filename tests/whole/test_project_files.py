"""The files around the package agree with each other: commands, versions and checks."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import skreg

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/ci.yml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()

# They are not in the sdist, whose tests run as well.
of_the_repository = pytest.mark.skipif(not WORKFLOW.exists(), reason="not a checkout")


def commands_of(target):
    """The lines that a target of the Makefile runs."""
    return re.search(rf"^{target}:.*\n((?:\t.+\n)+)", MAKEFILE, re.MULTILINE)[1].splitlines()


@of_the_repository
def test_workflow_runs_make_targets_alone():
    commands = re.findall(r"- run: (.+)", WORKFLOW.read_text())
    assert [command.split()[:2] for command in commands] == [
        ["make", "lint"],
        ["make", "test-python"],
        ["make", "test-oldest"],
        ["make", "docs"],
        ["make", "dist"],
    ]
    assert all(commands_of(command.split()[1]) for command in commands)


@of_the_repository
def test_workflow_runs_the_declared_pythons():
    matrix = re.search(r"python: \[(.+)\]", WORKFLOW.read_text())[1]
    declared = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    assert re.findall(r"[\d.]+", matrix) == declared
    assert PROJECT["requires-python"] == f">={declared[0]}"


@of_the_repository
def test_commits_are_checked_as_make_lint_checks():
    hooks = re.findall(
        r"entry: \.venv/bin/(.+)", (ROOT / ".pre-commit-config.yaml").read_text()
    )
    lint = [command.partition("$(BIN)/")[2] for command in commands_of("lint")]

    def tool(command):
        return " ".join(word for word in command.split() if word[0] not in "-.")

    assert [tool(hook) for hook in hooks] == [tool(command) for command in lint]


def test_every_target_of_the_makefile_is_phony_or_a_stamp():
    phony = set(re.search(r"^\.PHONY: (.+)", MAKEFILE, re.MULTILINE)[1].split())
    targets = set(re.findall(r"^([a-z-]+):(?!=)", MAKEFILE, re.MULTILINE))
    assert targets == phony


def test_contributing_names_commands_that_exist():
    named = re.findall(r"`make ([a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text())
    assert {"test", "lint", "docs", "dist", "test-oldest", "test-python"} <= set(named)
    assert all(commands_of(target) for target in named)


def test_citation_has_the_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.+)", citation, re.MULTILINE)[1] == skreg.__version__
    assert re.search(r"^license: (.+)", citation, re.MULTILINE)[1] == PROJECT["license"]


def test_every_requirement_has_a_minimum_that_make_test_oldest_installs():
    command = [sys.executable, ROOT / ".ci/minimums.py", "torch==2.99"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    pins = dict(line.split("==") for line in run.stdout.splitlines())
    declared = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
    names = {re.split(r"[>=\[]", requirement)[0] for requirement in declared} - {"skreg"}
    assert names <= set(pins)
    assert pins["torch"] == "2.99"
