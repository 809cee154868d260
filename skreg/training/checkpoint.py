"""Checkpoint files: written whole or not at all, and told apart from everything else.

A long fit writes what it would need to go on from, again and again, to one file. After
``kill -9`` that file is the last one that was written in full: a new one is written beside
it, forced to disk and only then put in its place. A file begins with a line that says whose
it is and with the checksum of the rest, so that one that is foreign, cut off or damaged is
refused, and one from other parameters or data names what differs. Nothing in a file is ever
run: it holds tensors, numbers and text, and is read with ``weights_only=True``.

What a network's state is says :mod:`skreg.training.state`; this module knows files alone.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from types import CodeType, FunctionType, MethodType, NoneType
from typing import Any

import joblib
import numpy as np
import torch

_MAGIC = b"skreg checkpoint 2\n"
_DIGEST = hashlib.sha256().digest_size
_SCALARS = {NoneType, bool, int, float, complex, str, bytes}
_LIBRARIES = {"builtins", "numpy", "scipy", "sklearn", "skreg", "torch"}


class Checkpoint:
    """A file that holds how far some work is, for the work that it belongs to.

    Parameters
    ----------
    path : str or path-like
    interval : float
        Least number of seconds between two writes; 0 writes at every occasion.
    resume : bool
        Whether to go on from the file, where there is one.

    Raises
    ------
    ValueError
        If the directory does not exist, or the file is there and is none of skreg's; with
        `resume` also if it is damaged.

    Examples
    --------
    >>> import os, tempfile
    >>> from skreg.training.checkpoint import Checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "work.checkpoint")
    ...     first = Checkpoint(path, interval=0, resume=True)
    ...     first.belong_to({"alpha": "0.1"})
    ...     first.write({"done": 3})
    ...     Checkpoint(path, interval=0, resume=True).state
    {'done': 3}
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
        self._saved = _read(self.path) if resume else None
        if not resume:
            _check_overwritable(self.path)

    @property
    def state(self) -> Any:
        """What was saved last, by an earlier run; None if there is nothing to go on from."""
        return None if self._saved is None else self._saved["state"]

    def belong_to(self, identity: dict[str, str]) -> None:
        """Say whose work this is, by fingerprints of all it depends on.

        May be called again when more is known.

        Raises
        ------
        ValueError
            If what was read belongs to other work.
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
                    f"resume=False to begin anew and overwrite it."
                )
        self._identity |= identity

    def keep(self, state: Callable[[], Any], *, last: bool = False) -> None:
        """Write what `state` returns, if it is time or this is the `last` occasion."""
        if last or time.monotonic() - self._last_write >= self.interval:
            self.write(state())

    def write(self, state: Any) -> None:
        """Put `state` in the place of whatever the file held."""
        buffer = io.BytesIO()
        torch.save({"identity": self._identity, "state": _plain(state)}, buffer)
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
    if not path.exists():
        return None
    _check_overwritable(path)
    content = path.read_bytes()
    checksum = content[len(_MAGIC) : len(_MAGIC) + _DIGEST]
    payload = memoryview(content)[len(_MAGIC) + _DIGEST :]
    if hashlib.sha256(payload).digest() != checksum:
        raise ValueError(
            f"checkpoint={str(path)!r} is damaged: its {len(content)} bytes do not have the "
            f"checksum they were written with, and may have been cut off. It was left as it "
            f"is. Restore the file, or set resume=False to begin anew and overwrite it."
        )
    return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)


def fingerprint(value: Any) -> str:
    """Return a text that is the same in every process, and another for another value.

    Functions and classes go by their names and by what they do: the code, the defaults and
    what is enclosed of a function, the methods of a class. Those of the libraries that skreg
    stands on go by their names alone, and do not differ where a library was upgraded.
    """
    return str(joblib.hash(_described(value, frozenset())))


def network_fingerprint(network: torch.nn.Module) -> str:
    """Return a fingerprint of what a module computes, whatever its weights are."""
    return fingerprint(_layers_of(network))


def _layers_of(network: torch.nn.Module) -> list[Any]:
    def settings(layer: torch.nn.Module) -> dict[str, Any]:
        named = vars(layer).items()
        return {k: v for k, v in named if not k.startswith("_") and k != "training"}

    return [[name, type(layer), settings(layer)] for name, layer in network.named_modules()]


def _described(value: Any, inside: frozenset[int]) -> Any:
    """The same in types that pickle by their values, in any process alike.

    `inside` has the ids of what is being described: a value may hold itself.
    """
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in _SCALARS:
        return value
    if isinstance(value, np.ndarray):
        return _described(value.tolist(), inside) if value.dtype == object else value
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, list | tuple) and all(type(part) in _SCALARS for part in value):
        return value
    if id(value) in inside:
        return "itself"
    inside |= {id(value)}

    def described(*parts: Any) -> list[Any]:
        return [_described(part, inside) for part in parts]

    if isinstance(value, dict):
        return described(type(value), *chain.from_iterable(value.items()))
    if isinstance(value, list | tuple):
        return described(type(value), *value)
    if isinstance(value, set | frozenset):
        return described(type(value), *sorted(value, key=fingerprint))
    if isinstance(value, type):
        if _is_of_a_library(value):
            return _name_of(value)
        own = [c for c in value.__mro__ if not _is_of_a_library(c)]
        members = chain.from_iterable(sorted(vars(c).items()) for c in own)
        methods = [pair for pair in members if isinstance(pair[1], FunctionType)]
        return [_name_of(value), *described(*methods)]
    if isinstance(value, FunctionType) and not _is_of_a_library(value):
        enclosed = [cell.cell_contents for cell in value.__closure__ or ()]
        settings = (value.__defaults__, value.__kwdefaults__, enclosed)
        return [_name_of(value), *described(value.__code__, *settings)]
    if isinstance(value, CodeType):
        return [value.co_code, value.co_names, *described(*value.co_consts)]
    if isinstance(value, MethodType):
        return described(value.__func__, value.__self__)
    if isinstance(value, partial):
        return described(partial, value.func, value.args, value.keywords)
    if hasattr(value, "__qualname__"):
        return _name_of(value)
    if isinstance(value, torch.nn.Module):
        return described(_layers_of(value), dict(value.state_dict()))
    if hasattr(value, "get_params"):
        # An estimator or a penalty may hold what does not pickle.
        return described(type(value), dict(sorted(vars(value).items())))
    try:
        return [*described(type(value)), joblib.hash(value)]
    except Exception:  # what cannot be pickled
        return described(type(value), getattr(value, "__dict__", None))


def _name_of(value: Any) -> str:
    return f"{getattr(value, '__module__', None)}.{value.__qualname__}"


def _is_of_a_library(value: Any) -> bool:
    return str(value.__module__).split(".")[0] in _LIBRARIES


def _plain(value: Any) -> Any:
    """The same in types that are read with ``weights_only=True``: arrays become tensors."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(entry) for entry in value)
    if isinstance(value, np.ndarray):
        # numpy's random states are the only unsigned numbers, and torch knows few of those.
        return torch.as_tensor(value.astype(np.int64) if value.dtype.kind == "u" else value)
    if isinstance(value, np.generic):
        return value.item()
    return value
