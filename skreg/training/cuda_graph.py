"""Steps recorded as a CUDA graph and replayed: one launch in place of dozens.

On a GPU a step of a small network takes less time than Python and the driver take to launch
its operations one by one. A graph is launched as a whole. It repeats on the same memory what
was recorded, and runs no Python: batches are copied to where the recorded ones were, and what
changes from step to step lives on the device (the optimizer is made *capturable*).

:class:`GraphedSteps` knows when to record and when to replay. The few lines that call
torch.cuda stand in :class:`CudaRecorder`; the tests put in its place one that records and
replays on a CPU (``tests/pretend_cuda.py``), and train by it.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from skreg.modules.backprop import Backprop
from skreg.optim import ProximalAdam, ProximalSGD
from skreg.training.runtime import warn_caller

Step = Callable[[], None]

# torch allows one recording at a time in a process.
_recording = threading.Lock()


class CudaRecorder:
    """Records what is launched on a device, and launches it again.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream()

    def rehearse(self, step: Step) -> bool:
        """Take a step where it will be recorded; return whether the host waited for it.

        On a stream aside, as torch asks for before a recording. A step in which the host
        waits for the device, to read a number, cannot be recorded: an attempt to would leave
        the driver in a state that is hard to recover from.
        """
        mode = torch.cuda.get_sync_debug_mode()
        with self._aside(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                step()
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        # The rest of those that tell of waiting say that the debug mode is a prototype.
        others = [w for w in caught if "synchroniz" not in str(w.message).lower()]
        for warning in others:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
        return any("called a synchronizing" in str(w.message) for w in caught)

    def record(self, step: Step) -> Step:
        """Record a step without taking it; return what takes it.

        Raises
        ------
        RuntimeError
            Where that cannot be done. No part of the step has been taken then.
        """
        graph = torch.cuda.CUDAGraph()
        with _recording, torch.cuda.device(self._device):
            current = torch.cuda.current_stream()
            try:
                # Other threads may have other work for the device.
                with torch.cuda.graph(
                    graph, stream=self._stream, capture_error_mode="thread_local"
                ):
                    step()
            finally:
                # torch leaves its own stream in place where a recording fails.
                torch.cuda.set_stream(current)
        return graph.replay

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """On the recording stream, after what was launched before and before what will be."""
        with torch.cuda.device(self._device):
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            try:
                with torch.cuda.stream(self._stream):
                    yield
            finally:
                current.wait_stream(self._stream)


class _OfOneSize:
    """What is known of the steps on batches of one size."""

    def __init__(self) -> None:
        self.n_steps = 0
        self.replay: Step | None = None
        self.inputs: list[Tensor | None] = []
        self.raw: Tensor | None = None


class GraphedSteps:
    """Steps of training: gradients by hand, then the optimizer's step.

    A call is one step, as calling `backprop` and then the optimizer's planned step is. The
    first `n_eager` on batches of a size are just that, and the last of these is the rehearsal;
    then one is recorded, and it and all after it are replays. What is recorded is good until
    something changes that it has burnt in (``PenalizedOptimizer.fixtures``).

    A step that cannot be recorded is taken as ever, with a warning.

    Parameters
    ----------
    backprop : Backprop
    """

    #: A recording takes as long as several steps, and does not pay where what it has burnt in
    #: changes soon: every few dozen steps along a path, which go with a penalty each.
    n_eager = 20

    def __init__(self, backprop: Backprop) -> None:
        self._backprop = backprop
        self._recorder = CudaRecorder(backprop.module.weight.device)
        self._optimizer: ProximalAdam | ProximalSGD | None = None
        self._take_step: Step
        self._fixtures: list[Any] = []
        self._sizes: dict[torch.Size, _OfOneSize] = {}
        self._records = True

    @staticmethod
    def suit(parameter: Tensor, optimizer: Any) -> bool:
        """Whether steps of this optimizer on such parameters can be recorded."""
        return parameter.is_cuda and type(optimizer) in (ProximalAdam, ProximalSGD)

    def begin_epoch(self, optimizer: ProximalAdam | ProximalSGD) -> None:
        """Find out what has changed since the last step; gradients are attached by now."""
        if optimizer is not self._optimizer:
            optimizer.set_capturable(True)
            self._optimizer, self._fixtures = optimizer, []
        optimizer.write_rates()
        if not _are_the_same(self._fixtures, optimizer.fixtures()):
            # Recordings first: they hold memory.
            self._sizes.clear()
            self._take_step = optimizer.plan_steps()
            # After planning, which makes the state there is to be.
            self._fixtures = optimizer.fixtures()

    def end(self) -> None:
        """Let go of what was recorded; the optimizer is as it was before."""
        if self._optimizer is not None:
            self._optimizer.set_capturable(False)
        self._sizes.clear()

    def __call__(self, X: Tensor, y: Tensor, sample_weight: Tensor | None, raw: Tensor) -> None:
        """Take a step on a batch, and write its raw outputs to `raw`."""
        batch = X, y, sample_weight
        known = self._sizes.get(X.shape)
        if known is None:
            known = self._sizes[X.shape] = _OfOneSize()
        if known.replay is None and self._records and known.n_steps >= self.n_eager:
            self._record(known, *batch)
        if known.replay is not None:
            assert known.raw is not None
            for own, given in zip(known.inputs, batch, strict=True):
                if own is not None and given is not None:
                    own.copy_(given)
            known.replay()
            raw.copy_(known.raw)
            return
        known.n_steps += 1
        if self._records and known.n_steps == self.n_eager:
            if self._recorder.rehearse(lambda: self._eager(*batch, raw)):
                self._give_up("in it the host waits for the device")
        else:
            self._eager(*batch, raw)

    def _eager(self, X: Tensor, y: Tensor, sample_weight: Tensor | None, raw: Tensor) -> None:
        self._backprop(X, y, sample_weight, raw)
        self._take_step()

    def _record(
        self, known: _OfOneSize, X: Tensor, y: Tensor, sample_weight: Tensor | None
    ) -> None:
        """Record the step on copies of a batch, for others to be copied over them."""
        X, y = _copy(X), _copy(y)
        sample_weight = None if sample_weight is None else _copy(sample_weight)
        raw = self._backprop.new_outputs(X)
        known.inputs, known.raw = [X, y, sample_weight], raw
        try:
            known.replay = self._recorder.record(lambda: self._eager(X, y, sample_weight, raw))
        except RuntimeError as error:
            self._give_up(str(error).partition("\n")[0])

    def _give_up(self, reason: str) -> None:
        self._records = False
        warn_caller(
            f"A training step cannot be recorded as a CUDA graph ({reason}), and its "
            f"operations go on being launched one by one: the result is the same, but comes "
            f"later. If the penalty or the loss is your own, let it compute with tensors on "
            f"the device alone, without .item(), .cpu() or an `if` on their values."
        )


def _copy(part: Tensor) -> Tensor:
    return part.clone(memory_format=torch.contiguous_format)


def _are_the_same(before: Sequence[Any], now: Sequence[Any]) -> bool:
    # Numbers by value, all that is larger by identity.
    return len(before) == len(now) and all(
        a is b or (not isinstance(a, Tensor) and type(a) is type(b) and a == b)
        for a, b in zip(before, now, strict=True)
    )
