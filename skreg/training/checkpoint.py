"""Checkpoint files: written whole or not at all, and told apart from everything else.

A long fit writes what it would need to go on from, again and again, to one file. After
``kill -9`` that file is the last one that was written in full: a new one is written under
another name, forced to disk and only then put in its place. A file begins with a line that says
whose it is and with the checksum of the rest, so that one that is foreign, cut off or damaged
is refused, and one from other parameters or data names what differs. Nothing in a file is ever
run: it holds tensors, numbers and text, and is read with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

_MAGIC = b"skreg checkpoint 2\n"
_DIGEST = hashlib.sha256().digest_size


class Checkpoint:
    """A file that holds how far some work is, for the work that it belongs to.

    It is written at most once in `interval` seconds, and with `resume` read first. ValueError
    is raised if the directory does not exist, or the file is there and is not one of skreg's;
    with `resume` also if it is damaged.
    """

    def __init__(self, path: Any, *, interval: float, resume: bool) -> None:
        self.path = Path(os.fspath(path))
        self.interval = interval
        self._identity: dict[str, str] = {}
        self._last_write = time.monotonic()
        if not self.path.parent.is_dir():
            raise ValueError(
                f"checkpoint={str(path)!r}: there is no directory {str(self.path.parent)!r}. "
                f"Make it first."
            )
        _check_overwritable(self.path)
        self._saved = _read(self.path) if resume and self.path.exists() else None

    @property
    def state(self) -> Any:
        """What was saved last, by an earlier run; None if there is nothing to go on from."""
        return None if self._saved is None else self._saved["state"]

    def belong_to(self, identity: dict[str, str]) -> None:
        """Say whose work this is, by fingerprints of all it depends on.

        May be called again when more is known. Raises ValueError if what was read belongs to
        other work.
        """
        if self._saved is not None:
            saved = self._saved["identity"]
            differing = [name for name in identity if identity[name] != saved.get(name)]
            if differing:
                verb = "differs" if len(differing) == 1 else "differ"
                raise ValueError(
                    f"checkpoint={str(self.path)!r} is from another fit: "
                    f"{', '.join(differing)} {verb}. It was left as it is. Give the "
                    f"parameters and data it was written with, give another path, or set "
                    f"resume=False to begin from scratch and overwrite it."
                )
        self._identity |= identity

    def keep(self, state: Callable[[], Any], *, last: bool = False) -> None:
        """Write what `state` returns, if it is time or this is the `last` occasion."""
        if last or time.monotonic() - self._last_write >= self.interval:
            self.write(state())

    def write(self, state: Any) -> None:
        """Put `state` in the place of whatever the file held."""
        buffer = io.BytesIO()
        torch.save({"identity": self._identity, "state": _as_tensors(state)}, buffer)
        payload = buffer.getbuffer()
        # One name, so that a kill while it is written leaves nothing that the next write
        # does not take away.
        part = self.path.with_name(self.path.name + ".part")
        with open(part, "wb") as file:
            file.write(_MAGIC)
            file.write(hashlib.sha256(payload).digest())
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.path)
        self._last_write = time.monotonic()


def _check_overwritable(path: Path) -> None:
    if not path.exists():
        return
    head = b""
    if path.is_file():
        with open(path, "rb") as file:
            head = file.read(len(_MAGIC))
    if head != _MAGIC:
        raise ValueError(
            f"checkpoint={str(path)!r} is there already and is not a checkpoint of this "
            f"version of skreg. It was left as it is. Give another path."
        )


def _read(path: Path) -> Any:
    content = path.read_bytes()
    checksum = content[len(_MAGIC) : len(_MAGIC) + _DIGEST]
    payload = memoryview(content)[len(_MAGIC) + _DIGEST :]
    if hashlib.sha256(payload).digest() != checksum:
        raise ValueError(
            f"checkpoint={str(path)!r} is damaged: its {len(content)} bytes do not have the "
            f"checksum they were written with, and may have been cut off. It was left as it "
            f"is. Restore the file, or set resume=False to begin from scratch and overwrite it."
        )
    return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)


def _as_tensors(value: Any) -> Any:
    """The same in types that are read with ``weights_only=True``: arrays become tensors."""
    if isinstance(value, dict):
        return {name: _as_tensors(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_as_tensors(entry) for entry in value)
    if isinstance(value, np.ndarray):
        # numpy's random states are the only unsigned numbers, and torch knows few of those.
        return torch.as_tensor(value.astype(np.int64) if value.dtype.kind == "u" else value)
    if isinstance(value, np.generic):
        return value.item()
    return value
