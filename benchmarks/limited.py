"""Work in a separate process, for so many seconds at most.

What it prints and the rows that it hands over arrive one by one: they are there when it fails,
when it hangs and is ended, and when its process dies, as one does after an error on a GPU.
"""

import contextlib
import io
import multiprocessing
import os
import signal
import time
import traceback
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What came of it: the text printed, the rows, and the error if there was one."""

    text: str = ""
    rows: list = field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0


class _Wire(io.TextIOBase):
    def __init__(self, sender):
        self._sender = sender

    def write(self, text):
        self._sender.send(("text", text))
        return len(text)


def _work(work, sender, deadline):
    os.setsid()  # to be ended with all that it starts
    error = None
    with contextlib.redirect_stdout(_Wire(sender)):
        try:
            work(lambda **row: sender.send(("row", row)), deadline)
        except BaseException:
            error = traceback.format_exc()
    sender.send(("end", error))


def run_limited(work, seconds, *, fresh):
    """Call ``work(record, deadline)`` in a separate process; return its Outcome.

    Parameters
    ----------
    work : callable
        ``record(**row)`` hands over a row; `deadline`, of `time.monotonic`, is that by which
        it should leave out what is left, some time before it is ended.
    seconds : float
    fresh : bool
        Whether the process begins from nothing, as it has to where CUDA is used; `work` is
        pickled then. False makes a copy of this one, which has everything imported.
    """
    context = multiprocessing.get_context("spawn" if fresh else "fork")
    receiver, sender = context.Pipe(duplex=False)
    start, outcome = time.monotonic(), Outcome()
    process = context.Process(target=_work, args=(work, sender, start + 0.9 * seconds))
    process.start()
    sender.close()
    try:
        while receiver.poll(max(0.0, start + seconds - time.monotonic())):
            kind, value = receiver.recv()
            if kind == "end":
                outcome.error = value
                break
            if kind == "row":
                outcome.rows.append(value)
            else:
                outcome.text += value
                print(value, end="", flush=True)
        else:
            outcome.error = f"Ended after {seconds:.0f} seconds.\n"
    except EOFError:
        process.join()
        outcome.error = f"The process died with exit code {process.exitcode}.\n"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    outcome.seconds = time.monotonic() - start
    return outcome
