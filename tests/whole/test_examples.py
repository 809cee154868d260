"""What the README shows and the examples do, run."""

import functools
import importlib.util
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
README_BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


# What each block prints, in the order of the page.
README_OUTPUTS = {
    "estimator": "of the weights are exactly zero",
    "cross-validation": "features [0, 1] of 10",
}


@pytest.mark.parametrize(
    ("block", "expected"),
    list(zip(README_BLOCKS, README_OUTPUTS.values(), strict=True)),
    ids=README_OUTPUTS,
)
def test_readme_block_runs_and_shows_what_it_says(block, expected, capsys):
    exec(compile(block, "README.md", "exec"), {})
    assert expected in capsys.readouterr().out


def test_the_first_block_of_the_readme_is_short():
    assert sum(bool(line) for line in README_BLOCKS[0].splitlines()) <= 15


def load(name):
    """A script as a module, without running its `main`."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"examples/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_quickstart_prints_its_table_and_draws_its_figure(tmp_path, monkeypatch, capsys):
    quickstart = load("quickstart")
    # The whole grid is for `make demo`; one strength and two folds show that all of it works.
    monkeypatch.setattr(quickstart, "ALPHAS", np.array([0.03]))
    monkeypatch.setattr(quickstart, "N_FOLDS", 2)
    monkeypatch.setattr(quickstart, "FIGURE", tmp_path / "quickstart.png")
    quickstart.main()
    shown = capsys.readouterr().out
    rows = re.findall(r"^(?:none|L2|L1|elastic net) .*%", shown, re.MULTILINE)
    zeros = [float(re.search(r"([\d.]+)%", row).group(1)) for row in rows]
    assert len(zeros) == 8
    for none, l2, l1, elastic_net in (zeros[:4], zeros[4:]):
        assert none == l2 == 0
        assert l1 > 50
        assert elastic_net > 50
    assert (tmp_path / "quickstart.png").stat().st_size > 10_000


def test_the_readme_figure_is_drawn_and_is_the_one_that_is_checked_in(
    tmp_path, monkeypatch, capsys
):
    figure = load("make_readme_figure")
    checked_in = figure.FIGURE
    monkeypatch.setattr(figure, "FIGURE", tmp_path / "static/readme.png")
    figure.main()
    none, l2, l1 = re.findall(r"(\d+)% of the weights exactly zero", capsys.readouterr().out)
    assert (none, l2) == ("0", "0")
    assert int(l1) > 50
    drawn, shown = (plt.imread(path) for path in (figure.FIGURE, checked_in))
    assert drawn.shape == shown.shape
    # Letters differ a little between versions of matplotlib; bars would differ by much more.
    recent = tuple(map(int, matplotlib.__version__.split(".")[:2])) >= (3, 9)
    assert np.abs(drawn - shown).mean() < (0.02 if recent else 0.021)


def test_no_example_is_left_without_a_test():
    # Every plot_*.py but the cluster's is run by tests/whole/test_docs.py, the others here.
    scripts = {path.stem for path in (ROOT / "examples").glob("*.py")}
    here = set(re.findall(r'load\("(\w+)"\)', Path(__file__).read_text()))
    gallery = {
        name for name in scripts if name.startswith("plot_") and "distributed" not in name
    }
    assert scripts == gallery | here


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # what Dask leaves open is its own
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_distributed_search_runs_on_a_cluster_and_draws_its_figure(
    tmp_path, monkeypatch, capsys
):
    example = load("plot_distributed_search")
    # Workers that are threads: those of tests/model_selection/test_search.py are processes.
    in_threads = functools.partial(example.LocalCluster, processes=False)
    monkeypatch.setattr(example, "LocalCluster", in_threads)
    monkeypatch.setattr(example, "ALPHAS", np.array([1.0, 0.03, 0.01]))
    monkeypatch.setattr(example, "FIGURE", tmp_path / "search.png")
    example.main()
    shown = capsys.readouterr().out
    assert "15 networks on 2 workers" in shown
    assert float(re.search(r"accuracy ([\d.]+)", shown).group(1)) > 0.95
    assert (tmp_path / "search.png").stat().st_size > 10_000
