"""Fingerprints: short texts by which values are compared across processes and files."""

from __future__ import annotations

from functools import partial
from itertools import chain
from types import CodeType, FunctionType, MethodType, NoneType
from typing import Any

import joblib
import numpy as np
import torch

_SCALARS = {NoneType, bool, int, float, complex, str, bytes}
_LIBRARIES = {"builtins", "numpy", "scipy", "sklearn", "skreg", "torch"}


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
        users = [c for c in value.__mro__ if not _is_of_a_library(c)]
        members = chain.from_iterable(sorted(vars(c).items()) for c in users)
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
