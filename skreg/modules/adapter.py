"""A user's torch module in the place of a stack of networks.

The rest of the package trains stacks: rows come flat, raw outputs have the shape
(n_members, n_samples, n_outputs). :func:`build_network` makes the module from what a user
gives, and :class:`SingleNetwork` makes it a stack of one.

>>> import torch
>>> from skreg.modules.adapter import SingleNetwork
>>> network = SingleNetwork(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1)), 1)
>>> network(torch.ones(3, 4)).shape
torch.Size([1, 3, 1])
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import is_lazy

# Layers of torch draw from its global generator alone: one thread at a time sets its state.
_lock = threading.RLock()


@contextmanager
def torch_draws_from(generator: torch.Generator) -> Iterator[None]:
    """Let torch's global generator go on where `generator` stands; it is put back after."""
    with _lock:
        ours = torch.default_generator
        if generator.device.type == "cuda":
            ours = torch.cuda.default_generators[generator.device.index or 0]
        before = ours.get_state()
        ours.set_state(generator.get_state())
        try:
            yield
        finally:
            generator.set_state(ours.get_state())
            ours.set_state(before)


def build_network(
    module: Any,
    parameters: dict[str, Any],
    *,
    sample_shape: Sequence[int],
    n_outputs: int,
    seed: int,
    dtype: torch.dtype,
) -> nn.Module:
    """Return a new module, of `dtype` and on the CPU.

    A class is called with `parameters`, and with `n_features` and `n_outputs` where it has
    parameters of these names. An instance is copied. Anything else is called with the number
    of features, the number of outputs and `parameters`. Where a row has several axes the
    number of features is its shape, a tuple. `seed` is of what the module draws from torch's
    global generator.
    """
    sample_shape = tuple(sample_shape)
    sizes = {
        "n_features": sample_shape[0] if len(sample_shape) == 1 else sample_shape,
        "n_outputs": n_outputs,
    }
    with torch_draws_from(torch.Generator().manual_seed(seed)):
        if isinstance(module, nn.Module):
            if parameters:
                raise ValueError(
                    f"module is an instance of {type(module).__name__} and is taken as it is, "
                    f"but there are parameters for it: {_named(parameters)}. Give its class."
                )
            network: Any = copy.deepcopy(module)
        elif isinstance(module, type):
            wanted = inspect.signature(module).parameters
            told = {k: v for k, v in sizes.items() if k in wanted and k not in parameters}
            network = _call(module, (), {**told, **parameters})
        else:
            network = _call(module, tuple(sizes.values()), parameters)
        if not isinstance(network, nn.Module):
            raise TypeError(
                f"module={module!r} gave a {type(network).__name__}, not a torch.nn.Module. "
                f"Give a class of modules, an instance, or a function "
                f"module(n_features, n_outputs) that returns one."
            )
        if any(is_lazy(parameter) for parameter in network.parameters()):
            # What is lazy finds its sizes, and draws its weights, when it first sees rows.
            with torch.no_grad():
                network.eval()(torch.zeros(1, *sample_shape))
    return network.to(device="cpu", dtype=dtype).train()


def _call(module: Callable, sizes: tuple, parameters: dict[str, Any]) -> Any:
    try:
        inspect.signature(module).bind(*sizes, **parameters)
    except ValueError:  # something that has no signature to be asked for
        pass
    except TypeError as error:
        raise TypeError(
            f"module={module!r} cannot be called with {sizes} and {_named(parameters)}: "
            f"{error}. Parameters of the module are given as module__name=value."
        ) from error
    return module(*sizes, **parameters)


def _named(parameters: dict[str, Any]) -> str:
    named = (f"module__{name}={value!r}" for name, value in parameters.items())
    return ", ".join(named) or "no parameters"


class SingleNetwork(nn.Module):
    """A module as a stack of one network.

    The module takes rows of `sample_shape`, or with ``()`` as they come, and returns
    (n_samples, n_outputs), or (n_samples,) where there is one output. `two_scores_as_one`
    takes two outputs for one as well, as their difference: the scores of two classes under a
    softmax are the logistic loss of it.
    """

    n_members = 1
    #: The stack's dropout; a layer of the module may have another.
    dropout = 0.0

    def __init__(
        self,
        network: nn.Module,
        n_outputs: int,
        *,
        sample_shape: tuple[int, ...] = (),
        two_scores_as_one: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.n_outputs = n_outputs
        self.sample_shape = sample_shape
        self.two_scores_as_one = two_scores_as_one

    def forward(self, x: Tensor, generators: Sequence[torch.Generator] | None = None) -> Tensor:
        """Return raw outputs, shape (1, n_samples, n_outputs).

        In training the module draws from the one of `generators`, in the place of torch's
        global generator.
        """
        if self.training and generators:
            with torch_draws_from(generators[0]):
                return self._raw(x)
        return self._raw(x)

    def _raw(self, x: Tensor) -> Tensor:
        rows = x.reshape(len(x), *self.sample_shape) if self.sample_shape else x
        try:
            raw = self.network(rows)
        except RuntimeError as error:
            error.add_note(
                f"This came from the module {type(self.network).__name__} on rows of shape "
                f"{tuple(rows.shape)}. A class of modules is told n_features where it has a "
                f"parameter of that name, and so is a function module(n_features, n_outputs)."
            )
            raise
        if not isinstance(raw, Tensor):
            raise TypeError(
                f"The module {type(self.network).__name__} returned a {type(raw).__name__}. "
                f"Return one tensor of raw outputs from its forward."
            )
        if raw.ndim == 1:
            raw = raw.unsqueeze(1)
        if self.two_scores_as_one and raw.shape == (len(x), 2):
            raw = raw[:, 1:] - raw[:, :1]
        if raw.shape != (len(x), self.n_outputs):
            raise ValueError(
                f"The module {type(self.network).__name__} returned the shape "
                f"{tuple(raw.shape)} for {len(x)} rows, and this y needs "
                f"({len(x)}, {self.n_outputs}). Give its last layer {self.n_outputs} outputs; "
                f"classes take raw scores, one each, without a softmax."
            )
        return raw.unsqueeze(0)

    @property
    def widest(self) -> int:
        """About how many numbers a row takes in the widest layer."""
        return max((p.shape[0] for p in self.parameters() if p.ndim), default=1)

    def mixes_rows(self) -> bool:
        """Whether in training the output for a row depends on the other rows of its batch."""
        return any(isinstance(layer, _BatchNorm) for layer in self.modules())

    def draws(self) -> bool:
        """Whether there is a layer that is known to draw at random in training."""
        return any(isinstance(layer, _DropoutNd) and layer.p for layer in self.modules())


def torch_dtype(dtype: np.dtype) -> torch.dtype:
    return torch.float32 if dtype == np.float32 else torch.float64
