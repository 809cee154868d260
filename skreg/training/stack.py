"""Many fits as one: nets of one architecture are trained as a stack and handed back.

A fit of a small network spends its time on everything but arithmetic: dozens of calls for a
batch, each over a few thousand numbers. Side by side, a hundred such networks take the same
calls over a hundred times the numbers. :func:`join` makes one net of many. The state of a
member (:class:`~skreg.training.state.TrainingState`) is handed back to the net it came from, or
moves to a smaller stack when others have left.

Members do not influence each other. They may differ in penalty strength, learning rate,
momentum, seed, tolerance, rows and sample weights, and each comes out as the model it would be
alone, to rounding. A member that is done leaves; so does one whose training diverges, to be
fitted alone with all the care that takes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skreg.penalties import Penalty
from skreg.training.data import TensorData
from skreg.training.fingerprint import fingerprint
from skreg.training.net import RegularizedNet
from skreg.training.state import TrainingState, restore_generators


def joinable_key(net: RegularizedNet, train: TensorData, valid: TensorData | None) -> Hashable:
    """Return what nets must have in common to be joined; None if this one is better alone."""
    penalty = net.penalty
    if net.callbacks or net.verbose:
        # Each shows its epochs as they come.
        return None
    if penalty and not all(
        np.ndim(getattr(penalty, name, 0.0)) == 0 for name in penalty._per_member
    ):
        return None
    module = net.module_
    kind: Any = getattr(net.optimizer, "func", net.optimizer)
    settings = getattr(net.optimizer, "keywords", {})
    settings = {k: v for k, v in settings.items() if k not in kind.per_member}
    return (
        (module.n_features, module.hidden_layer_sizes, module.n_outputs),
        (module.activation, module.dropout, module.weight.dtype, str(net.device)),
        (net.criterion, kind, repr(sorted(settings.items()))),
        (net.progress.learning_rate, net.progress.power_t, net.progress.n_iter_no_change),
        (type(penalty), penalty and _apart_from_strengths(penalty), net.penalize_bias),
        (_columns_key(net), net.initial is None),
        (net.batch_size, net.shuffle, net.max_epochs, net.max_fun),
        (len(train), None if valid is None else len(valid), train.is_sparse),
    )


def train_together(
    nets: Sequence[RegularizedNet],
    train: Sequence[TensorData],
    valid: Sequence[TensorData | None],
    on_epoch: Callable[[int], None],
) -> list[tuple[float, float] | None]:
    """Train initialized nets of one :func:`joinable_key` as a stack, each on its rows.

    `on_epoch` is called after each epoch with the number of members that took part in it.
    Returns the `closing_residual` of each net, or None where its training diverged: that net
    is as it was given.
    """
    present = list(range(len(nets)))
    endings: list[tuple[float, float] | None] = [None] * len(nets)
    rows = join_rows(nets, train)
    scored = [data for data in valid if data is not None]
    held_out = TensorData.join(scored, None) if scored else None
    stack = join(nets, rows)
    stack.begin(rows, held_out, keep_best=False)
    while stack.n_epochs_ < stack.max_epochs:
        blew_up, rose = stack.run_epoch()
        on_epoch(len(present))
        diverged = blew_up | rose
        leaving = diverged | stack.done_
        if not leaving.any():
            continue
        state = TrainingState.of(stack)
        for place in np.flatnonzero(leaving & ~diverged).tolist():
            member = present[place]
            _hand_back(state.select([place]), nets[member])
            endings[member] = nets[member].closing_residual(train[member])
        staying = np.flatnonzero(~leaving).tolist()
        present = [present[place] for place in staying]
        if not present:
            return endings
        rows = stack._train.select(staying)
        held_out = stack._valid and stack._valid.select(staying)
        stack = join([nets[member] for member in present], rows)
        stack.begin(rows, held_out, keep_best=False)
        state.select(staying).put(stack)
    if stack.validates_:
        stack.module_.load_state_dict(stack._best_state)
    stack.let_go()
    last = stack.optimality_residual(stack._train).tolist()
    state = TrainingState.of(stack)
    for place, member in enumerate(present):
        _hand_back(state.select([place]), nets[member])
        endings[member] = (last[place], float(nets[member].progress.tol[0]))
    return endings


def join_rows(nets: Sequence[RegularizedNet], tables: Sequence[TensorData]) -> TensorData:
    """Return the rows of nets that are to be joined; those are shared that come alike."""
    shuffles = nets[0].shuffles(len(tables[0]))
    return TensorData.join(tables, [net.shufflers[0] for net in nets] if shuffles else None)


def join(nets: Sequence[RegularizedNet], rows: TensorData) -> RegularizedNet:
    """Return one net of many, to be trained on their joined rows."""
    first = nets[0]
    # One generator serves all that read a stream; those of the nets do not change.
    memo: dict = {}
    leaders = [rows.stream_of.index(stream) for stream in rows.stream_of]
    if not first.shuffles(len(rows)):
        leaders = list(range(len(nets)))
    joined = first.on_module(
        type(first.module_).join([net.module_ for net in nets]),
        optimizer=_join_optimizers(nets),
        penalty=_join_penalties(nets),
        initial=_join_initial(nets),
        progress=type(first.progress).join([net.progress for net in nets]),
        shufflers=(),
    )
    joined.shufflers = [copy.deepcopy(nets[leader].shufflers[0], memo) for leader in leaders]
    states = [generator.get_state() for net in nets for generator in net._generators]
    joined._generators = restore_generators(states, first.device)
    if first.scorer is not None:
        joined.scorer = partial(_score_each, [net.scorer for net in nets])
    return joined


def _score_each(scorers: Sequence[Any], raw: Tensor) -> np.ndarray:
    return np.concatenate(
        [scorer(raw[member : member + 1]) for member, scorer in enumerate(scorers)]
    )


def _join_optimizers(nets: Sequence[RegularizedNet]) -> Callable[..., torch.optim.Optimizer]:
    optimizer, weight = nets[0].optimizer, nets[0].module_.weight
    kind: Any = getattr(optimizer, "func", optimizer)
    settings: dict[str, Tensor] = {}
    for name in kind.per_member:
        values = [getattr(net.optimizer, "keywords", {}).get(name) for net in nets]
        # Learning rates are the business of `progress`.
        if name != "lr" and len(set(values)) > 1:
            settings[name] = weight.new_tensor(values)
    return partial(optimizer, **settings) if settings else optimizer


def _join_penalties(nets: Sequence[RegularizedNet]) -> Penalty | None:
    joined = copy.copy(nets[0].penalty)
    for name in joined._per_member if joined else ():
        values = [getattr(net.penalty, name, None) for net in nets]
        if len(set(values)) > 1:
            setattr(joined, name, nets[0].module_.weight.new_tensor(values))
    return joined


def _join_initial(nets: Sequence[RegularizedNet]) -> tuple[np.ndarray, np.ndarray] | None:
    initial = [net.initial for net in nets if net.initial is not None]
    if not initial:
        return None
    weights, biases = zip(*initial, strict=True)
    return np.concatenate(weights), np.concatenate(biases)


def _columns_key(net: RegularizedNet) -> Hashable:
    """What a penalty may read from the columns, where it is another once it is bound."""
    columns = net.columns
    bound = [group["penalty"] for group in net.optimizer_.param_groups]
    if columns is None or bound[0] is net.penalty:
        return None
    each = columns.names, columns.inputs
    return columns.n_features, *(None if values is None else tuple(values) for values in each)


def _apart_from_strengths(penalty: Penalty) -> str:
    """What a penalty is apart from its strengths, and which of them it does not have."""
    parameters = penalty.get_params(deep=False)
    strengths = {name: parameters.pop(name, None) for name in penalty._per_member}
    lacking = [name for name, value in strengths.items() if value is None]
    return fingerprint([parameters, lacking])


def _hand_back(state: TrainingState, net: RegularizedNet) -> None:
    """Give the state of a member to the net it came from, as if that had been trained alone."""
    replace(
        state, weights=state.best_weights or state.weights, best_weights={}, training=False
    ).put(net)
