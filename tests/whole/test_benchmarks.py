"""The script for a GPU runs to its end without one, whatever becomes of its sections."""

import importlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from pretend_cuda import pretend_cuda

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

# What a copy of a process with threads is warned of; none of them does anything here.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture
def load(monkeypatch):
    """Import a script of the folder; its neighbours are found as when it runs."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    # torch's builds for CUDA import a package of NVIDIA's by the name of our script.
    monkeypatch.delitem(sys.modules, "cuda", raising=False)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if BENCHMARKS.samefile(
            Path(getattr(sys.modules[name], "__file__", None) or "/").parent
        ):
            del sys.modules[name]


def tables(page):
    """The text of each section of a page, by its title."""
    sections = re.split(r"^## ", page.read_text(), flags=re.MULTILINE)[1:]
    return {section.partition("\n")[0]: section for section in sections}


def test_all_of_it_runs_on_a_cpu(tmp_path):
    run = [
        sys.executable,
        "-W",
        "ignore",
        BENCHMARKS / "cuda.py",
        tmp_path / "results",
        "--cpu",
    ]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = tables(tmp_path / "results" / "cuda.md")
    numbers = json.loads((tmp_path / "results" / "cuda.json").read_text())["sections"]
    assert page.keys() == numbers.keys()
    assert len(page) == 7
    for title, text in page.items():
        assert "FAILED" not in text, text
        assert text.count("no CUDA device") >= 1, f"{title} does not say that it was on a CPU"
        assert "`benchmarks/cuda.py` on " in text
    assert len(re.findall(r"^TF32 .* TFLOP/s in", page["The device"], re.MULTILINE)) == 1
    assert numbers["CUDA tests"]["rows"] == [{"passed": 2}]
    assert len(re.findall(r" ok .* ok$", page["CPU and CUDA fits agree"], re.MULTILINE)) == 6
    loaded = numbers["Pickles from CUDA on a CPU"]["rows"]
    assert [row["trained_on"] for row in loaded] == ["yes"] * 8
    timed = numbers["Time and rate"]["rows"]
    assert len(timed) == 6
    # Operations by seconds, whatever the case.
    for row in timed:
        assert row["tflops"] > 0
        assert row["share"] == pytest.approx(row["tflops"] / rate_of(row, numbers))
    parts = numbers["A step, part by part"]["rows"]
    assert all(row[part] > 0 for row in parts for part in ("forward", "backward", "adam"))
    by_operation = numbers["A step, by operation"]["rows"]
    assert any("mm" in row.get("name", "") for row in by_operation)


def rate_of(row, numbers):
    (rate,) = (
        other["tflops"]
        for other in numbers["The device"]["rows"]
        if other.get("precision") == row["precision"]
    )
    return rate


def test_operations_are_two_a_multiplication(load):
    # Of the last layer both gradients, of the first not that of the rows.
    assert load("fit").operations(7, (5, 3, 2)) == 2 * 7 * (2 * 5 * 3 + 3 * 3 * 2)


@pytest.fixture
def call(load, monkeypatch, tmp_path, capsys):
    """Run the script in this process; what it sets for others is undone."""
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(sys, "argv", ["cuda.py", str(tmp_path)])
    return load("cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch finds CUDA")
def test_without_a_device_it_says_so_and_stops(call, tmp_path):
    # A process that begins from nothing, as on a GPU, looks for it.
    with pytest.raises(SystemExit, match="Failed: The device"):
        call.main()
    page = tables(tmp_path / "cuda.md")
    assert list(page) == ["The device"]
    assert "finds no CUDA device. Where there is one" in page["The device"]


def test_a_package_that_is_missing_is_named(call, monkeypatch):
    monkeypatch.setattr(call, "PACKAGES", ("torch", "no_such_package"))
    with pytest.raises(SystemExit, match="packages that are not here: no_such_package"):
        call.main()


def works(section):
    section.record(precision="float32", tflops=2.0)
    print("a line", section.rates)


def fails(section):
    print("a line before it fails")
    raise ValueError("of its own")


def hangs(section):
    print("a line before it hangs")
    section.record(last=True)
    time.sleep(60)


def dies(section):
    print("a line before it dies")
    importlib.import_module("os")._exit(7)


def test_a_section_that_fails_hangs_or_dies_takes_no_other_with_it(load, tmp_path, capsys):
    cuda = load("cuda")
    sections = [(f.__name__, f, 20) for f in (works, fails, dies)]
    sections += [("hangs", hangs, 1), ("works on", works, 20)]
    start = time.monotonic()
    failed = cuda.run_sections(sections, tmp_path, small=True)
    assert time.monotonic() - start < 15
    assert failed == ["fails", "dies", "hangs"]
    page = tables(tmp_path / "cuda.md")
    for title, message in (
        ("fails", "ValueError: of its own"),
        ("dies", "died with exit code 7"),
        ("hangs", "Ended after 1 seconds"),
    ):
        assert f"a line before it {title}" in page[title]
        assert f"FAILED\n{'Traceback' if title == 'fails' else ''}" in page[title]
        assert message in page[title]
    numbers = json.loads((tmp_path / "cuda.json").read_text())["sections"]
    assert numbers["hangs"]["rows"] == [{"last": True}]
    assert "a line {'float32': 2.0}" in page["works on"]


def test_what_the_time_does_not_suffice_for_is_left_out(load, tmp_path, capsys):
    sections = [("first", works, 20), ("hangs", hangs, 20), ("works", works, 20)]
    assert load("cuda").run_sections(sections, tmp_path, small=True, seconds=0.5)[-1] == "works"
    assert "Left out: the time of all sections is over" in tables(tmp_path / "cuda.md")["works"]


def test_sections_on_a_device_that_pretends(load, monkeypatch, capsys):
    sections, rows = load("cuda_sections"), []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(sections, "PRECISIONS", {"float32": "highest"})
    with pytest.MonkeyPatch.context() as patch, pretend_cuda(patch):
        section = sections.Section(
            lambda **row: rows.append(row),
            time.monotonic() + 60,
            device="cuda",
            small=True,
            rates={"float32": 1.0},
        )
        sections.compare_fits(section)
        assert len(rows) == 12
        assert all(row["agrees"] for row in rows)
        rows.clear()
        sections.time_fits(section)
        assert len(rows) == 3
        rows.clear()
        sections.time_parts(section)
        assert len(rows) == 3
    assert "no CUDA device" not in capsys.readouterr().out
