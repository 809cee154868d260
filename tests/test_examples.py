"""What the README shows and the examples do, run."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
# A script that runs elsewhere imports this skreg too, and opens no window.
ENVIRONMENT = {
    **os.environ,
    "MPLBACKEND": "Agg",
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
}
README_BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


# What each block prints, in the order of the page.
README_OUTPUTS = {
    "estimator": "of the weights are exactly zero",
    "cross-validation": "features [0, 1] of 10",
    "grid": "accuracy 0.9",
    "own module": "of the weights are exactly zero",
    "own loop": "features left: [0, 1]",
    "onnx": "True",
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


def test_quickstart_prints_its_table_and_draws_its_figure(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("quickstart", ROOT / "examples/quickstart.py")
    quickstart = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(quickstart)
    # The whole grid is for `make demo`; two strengths and folds show that all of it works.
    monkeypatch.setattr(quickstart, "ALPHAS", np.array([0.03, 0.01]))
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


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # what Dask leaves open is its own
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_distributed_search_runs_on_a_cluster_and_draws_its_figure(tmp_path):
    # As a script, in a process of its own: its workers import it anew.
    script = tmp_path / "plot_distributed_search.py"
    shutil.copy(ROOT / "examples" / script.name, script)
    command = [sys.executable, str(script)]
    # The whole grid is for readers; three strengths show that all of it works.
    environment = {**ENVIRONMENT, "SKREG_N_ALPHAS": "3"}
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    shown = run.stdout
    assert "15 networks on 2 workers" in shown
    assert float(re.search(r"accuracy ([\d.]+)", shown).group(1)) > 0.95
    assert script.with_suffix(".png").stat().st_size > 10_000
