"""What a benchmark prints, kept as its section of docs/benchmarks.md."""

import contextlib
import io
import platform
import re
import sys
from pathlib import Path

import numpy as np
import sklearn
import skorch
import torch

import skreg

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
INTRODUCTION = """# Benchmarks

What the scripts in `benchmarks/` printed with `--save`; `make bench` runs them all, but for the
paths over five seeds, λ by cross-validation over 50 alphas and the known supports, which
`benchmarks/paths.py` has options for. The times are those of one machine on one day. The ratios
are what to look at: all sides of a table ran by turns, on the same cores.
"""


class _Tee(io.TextIOBase):
    """A stream that also remembers."""

    def __init__(self, stream):
        self.stream, self.written = stream, []

    def write(self, text):
        self.written.append(text)
        return self.stream.write(text)

    def flush(self):
        self.stream.flush()


def machine():
    """The processor and the versions that the times are of."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        model = found[1] if found else model
    packages = (skreg, sklearn, skorch, torch, np)
    versions = ", ".join(f"{p.__name__} {p.__version__}" for p in packages)
    threads, python = torch.get_num_threads(), platform.python_version()
    return f"{model}, {threads} threads; Python {python}, {versions}"


@contextlib.contextmanager
def report(script, title, *, save):
    """Print as usual in here; with `save`, put it all in a section of the page."""
    tee = _Tee(sys.stdout)
    with contextlib.redirect_stdout(tee):
        yield
    if save:
        write_section(PAGE, script, title, "".join(tee.written))


def write_section(page, script, title, text, where=None):
    """Put what a script printed in the section of a page that has this title."""
    where = where or machine()
    name, text = Path(script).name, text.strip("\n")
    section = f"## {title}\n\n`benchmarks/{name}` on {where}:\n\n```text\n{text}\n```\n"
    whole = page.read_text() if page.exists() else INTRODUCTION
    head, *sections = re.split(r"^(?=## )", whole, flags=re.MULTILINE)
    # In its place, and a new one at the end.
    places = [s.startswith(f"## {title}\n") for s in sections]
    place = places.index(True) if True in places else len(sections)
    sections[place : place + 1] = [section]
    page.write_text("\n".join(part.strip("\n") + "\n" for part in [head, *sections]))
