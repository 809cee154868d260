"""The site: its code blocks run, its gallery runs, every public name is in its reference."""

import importlib
import re
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BUILT = {"_build", "auto_examples", "generated"}
PAGES = sorted(
    page
    for page in DOCS.rglob("*.md")
    if not BUILT & set(page.parts) and "```python" in page.read_text()
)
# The cluster's script runs in another process, in tests/whole/test_examples.py.
FENCES = {"python", "text", "{toctree", "{image", "{seealso", "{include", "{literalinclude"}
GALLERY = sorted(
    script
    for script in (ROOT / "examples").glob("plot_*.py")
    if "distributed" not in script.name
)
#: The package, its rooms and its files that are public: all whose names are listed.
PUBLIC_MODULES = [
    "skreg",
    *(
        f"skreg.{path.stem}"
        for path in (ROOT / "skreg").iterdir()
        if (path.is_dir() or path.suffix == ".py") and not path.stem.startswith("_")
    ),
]


def blocks_of(page):
    """The Python blocks of a page, each at its own line, as one program."""
    source = page.read_text()
    program = [""] * (source.count("\n") + 1)
    for block in re.finditer(r"^```python\n(.*?)^```", source, re.DOTALL | re.MULTILINE):
        first = source[: block.start(1)].count("\n")
        for offset, line in enumerate(block[1].splitlines()):
            program[first + offset] = line
    return "\n".join(program)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_of_the_guide_runs(page):
    exec(compile(blocks_of(page), str(page), "exec"), {"__name__": "page"})


def test_no_page_and_no_block_is_left_out():
    pages = {page for page in DOCS.rglob("*.md") if not BUILT & set(page.parts)}
    assert len(PAGES) >= 15
    fences = re.compile(r"^ *(?:```|~~~|:::)[ \t]*(\{?[\w-]*)", re.MULTILINE)
    for page in {*pages, *ROOT.glob("*.md")}:
        source = page.read_text()
        # Python is shown in one way only: the tests of pages, README and recipes find it.
        kinds = {kind for kind in fences.findall(source) if kind}
        assert kinds <= FENCES, page
        n_blocks = len(re.findall(r"^```python\n", source, re.MULTILINE))
        assert source.count("```python") == n_blocks, page
        tested = page in PAGES or page.name in {"README.md", "CONTRIBUTING.md"}
        assert (n_blocks > 0) == tested, page
    for page in DOCS.rglob("*.rst"):
        if not BUILT & set(page.parts):
            assert not re.search(r">>> |code(-block)?::|::\n\n +\w", page.read_text()), page


def test_readme_and_landing_page_compare_alike():
    table = re.compile(r"## Compared with other tools\n(.+?\nAs of [^\n]+\n)", re.DOTALL)
    readme, landing_page = (ROOT / "README.md").read_text(), (DOCS / "index.md").read_text()
    assert table.search(readme)[1] == table.search(landing_page)[1]


def test_files_that_the_pages_name_are_there():
    for page in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]:
        if BUILT & set(page.parts):
            continue
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        named = re.findall(r"\b(?:examples|benchmarks|tests|skreg)/[\w/]+\.py", text)
        assert [name for name in named if not (ROOT / name).exists()] == [], page


@pytest.mark.parametrize("script", GALLERY, ids=lambda script: script.stem)
def test_gallery_runs_and_draws(script, monkeypatch, capsys):
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.close("all")
    try:
        runpy.run_path(str(script), run_name="__main__")
        figures = [plt.figure(number) for number in plt.get_fignums()]
        assert figures
        for figure in figures:
            assert figure.axes
            for axis in figure.axes:  # every panel can be read without its text
                assert axis.get_xlabel() or axis.get_ylabel() or axis.get_title()
    finally:
        plt.close("all")
    assert re.match(r'"""\n.+\n=+\n', script.read_text())  # sphinx-gallery's title


def test_every_public_name_is_in_the_reference():
    reference = (DOCS / "api/index.rst").read_text()
    listed = set()
    for section in re.split(r"^\.\. currentmodule:: ", reference, flags=re.MULTILINE)[1:]:
        module, *lines = section.splitlines()
        names = (line.strip() for line in lines if re.match(r"   \w+$", line))
        listed |= {f"{module}.{name}" for name in names}
    public = {
        f"{module}.{name}"
        for module in PUBLIC_MODULES
        for name in getattr(importlib.import_module(module), "__all__", [])
        if not name.startswith("__")
    }
    # A name that is public twice (skreg, and skreg.model_selection) is listed once.
    objects = {name: attribute(name) for name in public | listed}
    shown = {id(objects[name]) for name in listed}
    assert {name for name in public if id(objects[name]) not in shown} == set()


def attribute(name):
    module, _, name = name.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_pictures_of_the_guide_come_from_the_gallery():
    scripts = {script.stem for script in (ROOT / "examples").glob("plot_*.py")}
    for page in DOCS.rglob("*.md"):
        if BUILT & set(page.parts):
            continue
        source = page.read_text()
        pictures = re.findall(r"images/sphx_glr_(\w+)_\d{3}\.png", source)
        references = re.findall(r"sphx_glr_auto_examples_(\w+)\.py", source)
        assert {*pictures, *references} <= scripts, page


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "api/generated").mkdir(parents=True)
    page = '<a href="there.html#no">x</a> <a href="gone.html">y</a> <a href="#top">z</a>'
    (tmp_path / "index.html").write_text(page)
    (tmp_path / "there.html").write_text('<p id="yes"></p>')
    (tmp_path / "api/generated/empty.html").write_text("<p></p>")
    command = [sys.executable, str(DOCS / "check_links.py"), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    assert "gone.html leads nowhere" in run.stdout
    assert "there.html#no has no such anchor" in run.stdout
    assert "empty.html: an empty API page" in run.stdout
    assert "3 pages, 3 problems" in run.stdout
