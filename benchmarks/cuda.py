"""skreg on a GPU: is it right there, and how fast, in under eight minutes.

    python benchmarks/cuda.py FOLDER [--cpu]

Runs the CUDA tests, compares fits of the CPU and of CUDA, loads pickles from CUDA where there
is none, and times a fit, a stack of 1,000 networks and a large network, in float32 and TF32,
and step by step. After each section FOLDER/cuda.md has what it
printed, as docs/benchmarks.md would, and FOLDER/cuda.json the numbers. A section that fails or
takes too long is told of in both, the others run, and the exit status is 1.

With --cpu all of it runs on a CPU with small sizes, to show that it runs.

Operations (FLOP) are those of the products of the forward and backward pass: two for each
multiplication with its addition. A share is that of the rate of a large square product on
the same device in the same precision.

skreg is that of the folder above. It needs torch, numpy, scikit-learn, skorch, hypothesis and
pytest, and nothing from the network.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
import warnings
from functools import partial
from pathlib import Path

from limited import Outcome, run_limited

# torch looks for NVIDIA's package of this name, and in scripts of this folder finds this file.
# So there is no torch in it before it runs.
FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
PACKAGES = ("torch", "numpy", "sklearn", "skorch", "hypothesis", "pytest")
# For all sections: with imports, and what it takes to end one, under eight minutes.
SECONDS = 450


def run_sections(sections, folder, *, small, seconds=SECONDS):
    """Run them one after the other and write after each; return which failed.

    Parameters
    ----------
    sections : list of (str, callable, float)
        Title, what fills it, and the seconds that it may take. The first looks for the
        device: where it fails there are no others.
    folder : Path
    small : bool
        Whether to go without a GPU.
    seconds : float
        That all may take together.
    """
    from saving import machine, write_section

    end = time.monotonic() + seconds
    page, numbers = folder / "cuda.md", folder / "cuda.json"
    page.write_text("# On CUDA\n")
    results, failed, first_rows = {}, [], []
    for title, fill, own_seconds in sections:
        print(f"\n== {title}", flush=True)
        rates = {row["precision"]: row["tflops"] for row in first_rows if "precision" in row}
        left = min(own_seconds, end - time.monotonic())
        if left > 0:
            work = partial(_fill, fill, small, rates)
            outcome = run_limited(work, left, fresh=not small)
        else:
            outcome = Outcome(error="Left out: the time of all sections is over.\n")
        text = f"{outcome.text}\nin {outcome.seconds:.0f} s"
        if outcome.error is not None:
            failed.append(title)
            print(outcome.error, flush=True)
            text += f"\n\nFAILED\n{outcome.error}"
        results[title] = vars(outcome)
        first_rows = first_rows or outcome.rows
        where = ", ".join(
            [machine(), *(row["device"] for row in first_rows if "device" in row)]
        )
        write_section(page, __file__, title, text, where)
        numbers.write_text(json.dumps({"machine": where, "sections": results}, indent=1))
        if failed == [sections[0][0]]:
            break
    return failed


def _fill(fill, small, rates, record, deadline):
    from cuda_sections import Section
    from sklearn.exceptions import ConvergenceWarning

    warnings.simplefilter("ignore", ConvergenceWarning)
    device = "cpu" if small else "cuda"
    fill(Section(record, deadline, device=device, small=small, rates=rates))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write the results")
    parser.add_argument("--cpu", action="store_true", help="small sizes, without a GPU")
    parser.add_argument("--load", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"benchmarks/cuda.py needs packages that are not here: {', '.join(missing)}.")
    # For this process, and for those that it and the tests start; NVIDIA's package goes first.
    others = [path for path in sys.path if path != str(FOLDER)]
    sys.path[:] = [str(ROOT), *others, str(FOLDER)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    import cuda_sections

    if arguments.load:
        cuda_sections.load(arguments.folder)
        return
    if arguments.cpu:
        # What torch imports in the first step: once for all processes.
        importlib.import_module("torch._dynamo")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    failed = run_sections(cuda_sections.SECTIONS, arguments.folder, small=arguments.cpu)
    sys.exit(f"Failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
