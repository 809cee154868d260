"""The recipes of CONTRIBUTING.md: each is followed in a copy of the package, and then checked.

The first line of a block is a comment that names a file of `skreg/`. The block is appended to
that file in the copy; a file that does not exist is made. Then a function of this file,
`check_<recipe>`, runs in another process, which imports the copy.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import skreg

ROOT = Path(__file__).parents[2]
PACKAGE = Path(skreg.__file__).parent
#: How many files of the package each recipe may touch.
MOST_FILES = {"penalty": 3, "loss": 1, "activation": 1, "solver": 2}
BLOCK = re.compile(r"^```python\n# (skreg/[\w/]+\.py)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def section_of(recipe):
    """The text under a recipe's heading."""
    recipes = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Recipes\n")[2]
    recipes = re.split(r"^## ", recipes, flags=re.MULTILINE)[0]
    sections = re.split(r"^### An? (\w+)\n", recipes, flags=re.MULTILINE)[1:]
    return dict(zip(sections[::2], sections[1::2], strict=True))[recipe]


def blocks_of(recipe):
    """Pairs of a file and the code that the recipe appends to it."""
    section = section_of(recipe)
    blocks = BLOCK.findall(section)
    assert len(blocks) == section.count("```python"), "a block does not name its file"
    if not blocks:
        pytest.skip("the recipe is not written yet")
    return blocks


def follow(blocks, folder):
    """Do in a copy of the package what the blocks of a recipe say."""
    shutil.copytree(PACKAGE, folder / "skreg", ignore=shutil.ignore_patterns("__pycache__"))
    for name, code in blocks:
        with open(folder / name, "a") as file:
            file.write(f"\n\n{code}")


@pytest.mark.parametrize("recipe", MOST_FILES)
def test_recipe_does_what_it_promises(recipe, tmp_path):
    follow(blocks_of(recipe), tmp_path)
    paths = [tmp_path, Path(__file__).parent, ROOT / "tests"]
    run = subprocess.run(
        [sys.executable, "-c", f"import test_recipes; test_recipes.check_{recipe}()"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(("recipe", "most"), MOST_FILES.items())
def test_recipe_touches_few_files(recipe, most):
    blocks = blocks_of(recipe)
    assert len({name for name, _ in blocks}) <= most
    # It names in its text no file to change beyond those.
    assert len(set(re.findall(r"skreg/[\w/]+\.py", section_of(recipe)))) <= most


def check_penalty():
    """The log-sum penalty."""


def check_loss():
    """The Gamma deviance."""


def check_activation():
    """softplus."""


def check_solver():
    """A solver of a few lines."""
