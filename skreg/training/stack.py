"""Many fits as one: nets of one architecture are trained as a stack and handed back.

A fit of a small network spends its time on everything but arithmetic: dozens of calls for a
batch, each over a few thousand numbers. Side by side, a hundred such networks take the same
calls over a hundred times the numbers. :func:`join` makes one net of many, and
:func:`copy_members` is its inverse: it hands members back, or moves them to a smaller stack
when others have left.

The members stay strangers. They may differ in penalty strength, learning rate, momentum, seed,
tolerance, rows and sample weights, and each comes out as the model it would be alone, to
rounding. A member that is done leaves; so does one whose training diverges, to be fitted
alone with all the care that takes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skreg.penalties import Penalty
from skreg.training.checkpoint import fingerprint
from skreg.training.data import TensorData
from skreg.training.net import RegularizedNet


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
    """Train nets of one :func:`joinable_key` as a stack.

    Parameters
    ----------
    nets : sequence of RegularizedNet
        Initialized and not trained yet.
    train, valid : sequence of TensorData
        The rows of each.
    on_epoch : callable
        Called after each epoch with the number of members that took part in it.

    Returns
    -------
    list of (float, float) or None, one per net
        Its `closing_residual`. None where its training diverged: that net is as it was given.
    """
    present = list(range(len(nets)))
    endings: list[tuple[float, float] | None] = [None] * len(nets)
    stack, rows, held_out = join(nets, train, valid)
    stack.begin(rows, held_out, keep_best=False)
    while stack.n_epochs_ < stack.max_epochs:
        blew_up, rose = stack.run_epoch()
        on_epoch(len(present))
        diverged = blew_up | rose
        leaving = diverged | stack.done_
        if not leaving.any():
            continue
        for place in np.flatnonzero(leaving & ~diverged).tolist():
            member = present[place]
            hand_back(stack, place, nets[member])
            endings[member] = nets[member].closing_residual(train[member])
        staying = np.flatnonzero(~leaving).tolist()
        present = [present[place] for place in staying]
        if not present:
            return endings
        larger = stack
        stack, _, _ = join(
            [nets[member] for member in present],
            [train[member] for member in present],
            [valid[member] for member in present],
        )
        copy_members(stack, larger, staying)
        stack._train = larger._train.select(staying)
        stack._valid = larger._valid and larger._valid.select(staying)
        stack.prepare_steps()
    if stack.validates_:
        stack.module_.load_state_dict(stack._best_state)
    stack._best_state = {}
    stack.let_go()
    last = stack.optimality_residual(stack._train).tolist()
    for place, member in enumerate(present):
        hand_back(stack, place, nets[member])
        endings[member] = (last[place], float(nets[member].progress.tol[0]))
    return endings


def join(
    nets: Sequence[RegularizedNet],
    train: Sequence[TensorData],
    valid: Sequence[TensorData | None],
) -> tuple[RegularizedNet, TensorData, TensorData | None]:
    """Return one net of many that were not trained yet, and its rows."""
    first = nets[0]
    shuffles = first.shuffles(len(train[0]))
    shufflers = [net.shufflers[0] for net in nets]
    rows = TensorData.join(train, shufflers if shuffles else None)
    held_out = [data for data in valid if data is not None]
    # One generator serves all that read a stream; the nets' own stay as they are.
    memo: dict = {}
    leaders = [rows.stream_of.index(stream) for stream in rows.stream_of]
    if not shuffles:
        leaders = list(range(len(nets)))
    joined = first.on_module(
        type(first.module_).join([net.module_ for net in nets]),
        optimizer=_join_optimizers(nets),
        penalty=_join_penalties(nets),
        initial=_join_initial(nets),
        progress=type(first.progress).join([net.progress for net in nets]),
        shufflers=(),
    )
    joined.shufflers = [copy.deepcopy(shufflers[leader], memo) for leader in leaders]
    joined._generators = [_copy_generator(g) for net in nets for g in net._generators]
    if first.scorer is not None:
        joined.scorer = partial(_score_each, [net.scorer for net in nets])
    return joined, rows, TensorData.join(held_out, None) if held_out else None


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
    """What a penalty is beside its strengths, and which of them it does not have."""
    parameters = penalty.get_params(deep=False)
    strengths = {name: parameters.pop(name, None) for name in penalty._per_member}
    lacking = [name for name, value in strengths.items() if value is None]
    return fingerprint([parameters, lacking])


def _copy_generator(generator: torch.Generator) -> torch.Generator:
    twin = torch.Generator(generator.device)
    return twin.set_state(generator.get_state())


def hand_back(stack: RegularizedNet, place: int, net: RegularizedNet) -> None:
    """Give a member back to the net it came from, as if that had been trained alone."""
    copy_members(net, stack, [place])
    if stack.validates_ and stack._best_state:
        net.module_.load_state_dict(net._best_state)
    net._best_state = {}
    net.module_.eval()
    net.rewrite_history()


@torch.no_grad()
def copy_members(
    target: RegularizedNet, source: RegularizedNet, members: Sequence[int]
) -> None:
    """Make the members of `target` what some members of `source` are: weights and all."""
    chosen = [int(member) for member in members]
    weights = zip(target.module_.parameters(), source.module_.parameters(), strict=True)
    for own, theirs in weights:
        own.copy_(theirs[chosen])
    target.optimizer_.copy_members(source.optimizer_, chosen)
    target.progress = source.progress.select(chosen)
    target.set_learning_rates()
    target.data_losses_ = [losses[chosen] for losses in source.data_losses_]
    target.penalties_ = [penalties[chosen] for penalties in source.penalties_]
    target.scores_ = [scores[chosen] for scores in source.scores_]
    target._best_state = {name: best[chosen] for name, best in source._best_state.items()}
    target.converged_ = source.converged_[chosen]
    target.n_epochs_, target._first_epoch = source.n_epochs_, source._first_epoch
    target.validates_, target.interrupted_ = source.validates_, False
    target._per_batch, target._keeps_best = False, source._keeps_best
    for shuffler, member in zip(target.shufflers, chosen, strict=True):
        shuffler.go_on_from(source.shufflers[member])
    if source._generators:
        target._generators = [_copy_generator(source._generators[m]) for m in chosen]
