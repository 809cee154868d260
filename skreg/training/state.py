"""All that the training of a net goes on from, in one place.

Checkpoints, pickles, stacks and fits that are undone take a :class:`TrainingState` from one
net and put it into another, or into the same one later. The other net then takes, on a CPU,
the very steps that the first would have taken, bit for bit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from skreg.training.data import Shuffler
from skreg.training.progress import Progress

#: What a net records of each epoch, one list each.
CURVES = ("data_losses_", "penalties_", "scores_")
# What it counts and concludes; some of it is there only once the net has been trained.
_COUNTS = (
    *("n_epochs_", "_first_epoch", "epochs_before_", "scores_before_"),
    *("converged_", "validates_", "interrupted_"),
)
_OF_TENSORS = ("weights", "best_weights", "optimizer", "generators")


@dataclass
class TrainingState:
    """The state of a net between two epochs.

    Examples
    --------
    Networks trained as a stack go on each by itself::

        stacked = TrainingState.of(stack)
        for member, net in enumerate(nets):
            stacked.select([member]).put(net)
    """

    #: What the module holds, by name; likewise at the best epoch so far, if that is kept.
    weights: dict[str, Tensor]
    best_weights: dict[str, Tensor]
    #: Whether the module is in training mode.
    training: bool
    #: The optimizer's `state_dict`. Without "param_groups" a net keeps the settings it has.
    optimizer: dict[str, Any]
    progress: Progress
    shufflers: list[Shuffler]
    #: States of the generators that dropout draws from, one for each member or none.
    generators: list[Tensor]
    curves: dict[str, list[np.ndarray]]
    counts: dict[str, Any]

    @classmethod
    def of(cls, net: Any, *, copied: bool = False) -> Self:
        """Return the state of a net.

        It shares the net's memory and changes with it, unless it is `copied`: then shared are
        only the curves, which grow, and the shufflers' random states. A copy is for a net with
        the same settings of the optimizer, which it leaves out.
        """
        progress, shufflers = net.progress, list(net.shufflers)
        optimizer = net.optimizer_.state_dict()
        if copied:
            optimizer = select_members(_without_settings(optimizer))
            progress = progress.select(range(len(progress.running)))
            shufflers = [copy.copy(shuffler) for shuffler in shufflers]
        return cls(
            weights=net.copy_state() if copied else net.module_.state_dict(),
            best_weights=net._best_state,
            training=net.module_.training,
            optimizer=optimizer,
            progress=progress,
            shufflers=shufflers,
            generators=[generator.get_state() for generator in net._generators],
            curves={name: getattr(net, name) for name in CURVES},
            counts={name: getattr(net, name) for name in _COUNTS if hasattr(net, name)},
        )

    def put(self, net: Any) -> None:
        """Make a net go on from here that has the same module, optimizer and members."""
        net.module_.load_state_dict(self.weights)
        net.module_.train(self.training)
        net._best_state = {
            name: best.to(net.device) for name, best in self.best_weights.items()
        }
        net.optimizer_.load_state_dict({**net.optimizer_.state_dict(), **self.optimizer})
        net.progress = self.progress
        for shuffler, other in zip(net.shufflers, self.shufflers, strict=True):
            shuffler.go_on_from(other)
        net._generators = restore_generators(self.generators, net.device)
        for name, curve in self.curves.items():
            setattr(net, name, list(curve))
        for name, count in self.counts.items():
            setattr(net, name, count)
        net.set_learning_rates()

    def select(self, members: Sequence[int]) -> Self:
        """Return a copy of the state of some members, to be put into another net."""
        n_members = len(self.progress.running)
        optimizer = select_members(_without_settings(self.optimizer), members, n_members)
        converged = self.counts["converged_"][list(members)]
        return replace(
            self,
            weights=select_members(self.weights, members, n_members),
            best_weights=select_members(self.best_weights, members, n_members),
            optimizer=optimizer,
            progress=self.progress.select(members),
            shufflers=[self.shufflers[member] for member in members],
            generators=[self.generators[m] for m in members] if self.generators else [],
            curves={k: [e[list(members)] for e in curve] for k, curve in self.curves.items()},
            counts={**self.counts, "converged_": converged},
        )

    def to_arrays(self) -> dict[str, Any]:
        """Return the same in tensors, arrays, numbers and text."""
        return {
            **vars(self),
            # Each as one array: a file of many small ones takes long to write.
            "curves": {k: np.array(curve, dtype=float) for k, curve in self.curves.items()},
            "progress": vars(self.progress),
            "shufflers": [
                [random_state_from(each.random_state), each._order] for each in self.shufflers
            ],
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> Self:
        """Return the state that :meth:`to_arrays` gave, of arrays, tensors or both."""
        numbers = {k: to_numpy(v) for k, v in arrays.items() if k not in _OF_TENSORS}
        shufflers = []
        for drawn, order in numbers["shufflers"]:
            shuffler = Shuffler(np.random.RandomState())
            random_state_to(shuffler.random_state, drawn)
            shuffler._order = order
            shufflers.append(shuffler)
        progress = Progress.__new__(Progress)
        vars(progress).update(numbers["progress"])
        return cls(
            **{name: _to_tensors(arrays[name]) for name in _OF_TENSORS},
            **{
                **numbers,
                "progress": progress,
                "shufflers": shufflers,
                "curves": {name: list(curve) for name, curve in numbers["curves"].items()},
            },
        )


def _without_settings(state_dict: dict[str, Any]) -> dict[str, Any]:
    return {name: state for name, state in state_dict.items() if name != "param_groups"}


def select_members(value: Any, members: Sequence[int] | None = None, n_members: int = 0) -> Any:
    """Copy what `value` holds of some members; all of it if it has no axis of members."""

    def select(entry: Any) -> Any:
        if not isinstance(entry, Tensor):
            return entry
        if members is None or entry.ndim == 0 or len(entry) != n_members:
            return entry.clone()
        return entry[list(members)]

    return _each(select, value)


def to_numpy(value: Any) -> Any:
    """Return the same with copies of tensors as arrays."""
    return _each(lambda v: v.cpu().numpy().copy() if isinstance(v, Tensor) else v, value)


def _to_tensors(value: Any) -> Any:
    # Copied, to memory aligned as torch has it: products may round by that.
    return _each(lambda v: torch.tensor(v) if isinstance(v, np.ndarray) else v, value)


def _each(change: Callable[[Any], Any], value: Any) -> Any:
    """The same dicts, lists and tuples of changed values."""
    if isinstance(value, dict):
        return {name: _each(change, entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_each(change, entry) for entry in value)
    return change(value)


def random_state_from(random_state: np.random.RandomState) -> list[Any]:
    """Return the state of numpy's generator, to be written to a file."""
    return list(random_state.get_state())


def random_state_to(random_state: np.random.RandomState, saved: list[Any]) -> None:
    """Give numpy's generator the state that was read from a file."""
    kind, keys, *rest = to_numpy(saved)
    random_state.set_state((kind, keys.astype(np.uint32), *rest))


def restore_generators(states: list[Tensor], device: str) -> list[torch.Generator]:
    """Return generators in these states, which may come from another kind of device."""
    generators = []
    for saved in states:
        generator = torch.Generator(device)
        if saved.shape == generator.get_state().shape:
            generator.set_state(saved)
        else:
            # The states of two kinds of device do not fit each other. Dropout goes on with
            # other masks, the same ones each time.
            generator.manual_seed(int(saved.sum()))
        generators.append(generator)
    return generators


def move(module: nn.Module, optimizer: torch.optim.Optimizer, device: str) -> None:
    """Move what has been trained to another device."""
    module.to(device)
    for state in optimizer.state.values():
        for key, value in state.items():
            # A count of steps that is on the host stays there: reading it waits for nothing.
            if isinstance(value, Tensor) and (key != "step" or not value.is_cpu):
                state[key] = value.to(device)
