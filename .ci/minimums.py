"""Prints the oldest versions that pyproject.toml declares, as a constraints file.

`python .ci/minimums.py torch==2.13.0` puts another version in the place of a declared one.
"""

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
# What an old version needs of its time: matplotlib 3.8 calls what pyparsing 3.3 deprecates.
OF_THAT_TIME = {"pyparsing": "3.1"}


def minimums(extras=("plot", "onnx", "parallel", "distributed", "test")):
    """Name and version of each requirement that has a lower bound."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    declared = [*project["dependencies"]]
    for extra in extras:
        declared += project["optional-dependencies"][extra]
    pairs = (re.fullmatch(r"([\w-]+)>=([\w.]+)", requirement) for requirement in declared)
    return {pair[1]: pair[2] for pair in pairs if pair}


if __name__ == "__main__":
    replaced = dict(pin.split("==") for pin in sys.argv[1:])
    for name, version in {**minimums(), **OF_THAT_TIME, **replaced}.items():
        print(f"{name}=={version}")
