"""Paths of all folds and l1_ratios side by side, and which alpha they speak for.

The full data have one path for each l1_ratio. Every fold follows the alphas that these
visited, all members that have as many rows in one stack, and each alpha is scored on the rows
that its fold left out. :func:`choose` reads the scores.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from skreg._base import FitJob
from skreg._base_mlp import BaseRegularizedMLP
from skreg._data import TensorData
from skreg._parallel import WORTH_MORE_THREADS, run_in_threads
from skreg._passes import raw_outputs
from skreg._path_mlp import PathMLP, stack_of
from skreg._stack import join, joinable_key, train_together
from skreg._walk import Step, Walk, follow_alphas
from skreg.net import RegularizedNet
from skreg.path import place, starts_dense, walk_from

__all__ = ["Fold", "choose", "comparable", "score_folds", "stack_walk"]

# Steps of a path that are scored as one stack.
_AT_ONCE = 16
# Share of the rows of another fold from which on one is padded to have as many.
_ALIKE = 0.95
# Share of its features by which a network may differ from those of the folds at the same alpha.
_COMPARABLE = 0.25


@dataclass
class Fold:
    """What one fold trains on, and what it is scored on."""

    number: int
    template: BaseRegularizedMLP
    job: FitJob
    X_test: Any
    y_test: Any
    weight_test: Any

    @classmethod
    def of(
        cls,
        number: int,
        template: BaseRegularizedMLP,
        data: tuple[Any, Any, Any],
        split: tuple[np.ndarray, np.ndarray],
    ) -> Fold:
        train, test = (
            [None if part is None else _safe_indexing(part, rows) for part in data]
            for rows in split
        )
        return cls(number, template, template._prepare(*train), *test)

    def scores(self, steps: Sequence[Step], scorer: Callable[..., float] | None) -> np.ndarray:
        """The score of each step on the rows that were left out."""
        if scorer is not None:
            weights = {} if self.weight_test is None else {"sample_weight": self.weight_test}
            numbers = []
            for step in steps:
                place(self.template, step)
                numbers.append(scorer(self.template, self.X_test, self.y_test, **weights))
            return np.array(numbers, dtype=float)
        net = self.template.net_
        rows, scores = TensorData(self.X_test, None), []
        for start in range(0, len(steps), _AT_ONCE):
            module = stack_of(net.module_, list(steps[start : start + _AT_ONCE]))
            raw = raw_outputs(module, rows, net.device)
            scores.append(self.template._score_raw(self.y_test, self.weight_test, raw))
        return np.concatenate(scores)


def stack_walk(
    nets: Sequence[RegularizedNet],
    rows: Sequence[TensorData],
    ratios: Sequence[RegularizedNet],
    template: BaseRegularizedMLP,
) -> tuple[Walk, TensorData]:
    """Return a walk of trained nets, each once for every penalty in `ratios`.

    Member i·len(ratios) + j is net i with the penalty of ``ratios[j]``.
    """
    members, tables = [], []
    for net, data in zip(nets, rows, strict=True):
        for other in ratios:
            member = copy.deepcopy(net)
            member.set_penalty(copy.copy(other.penalty))
            members.append(member)
            tables.append(data)
    if len(members) == 1:
        return walk_from(PathMLP(members[0]), tables[0], template), tables[0]
    joined, data, _ = join(members, tables, [None] * len(members))
    joined.data_losses_ = (
        [np.concatenate([m.data_losses_[0] for m in members])]
        if all(m.data_losses_ for m in members)
        else []
    )
    return walk_from(PathMLP(joined), data, template), data


def train_dense_folds(folds: Sequence[Fold]) -> None:
    """Train the net of every fold without its penalty, side by side."""
    nets = [fold.template.net_ for fold in folds]
    penalties = [net.penalty for net in nets]
    for net in nets:
        net.set_penalty(None)
    train = [fold.job.train for fold in folds]
    valid = [fold.job.valid for fold in folds]
    keys = {joinable_key(n, t, v) for n, t, v in zip(nets, train, valid, strict=True)}
    alone = list(range(len(nets)))
    if len(nets) > 1 and len(keys) == 1 and None not in keys:
        residuals = train_together(nets, train, valid, lambda n_members: None)
        alone = [number for number, left in enumerate(residuals) if left is None]
    for number in alone:
        nets[number].train_on(train[number], valid[number])
    for net, penalty in zip(nets, penalties, strict=True):
        net.set_penalty(penalty)


def _alike_in_size(folds: Sequence[Fold]) -> list[list[Fold]]:
    """Groups of folds with as many rows each, padded where they have nearly as many.

    Folds differ by a row where the rows cannot be divided evenly, and two stacks take twice as
    long as one.
    """
    groups: list[list[Fold]] = []
    for fold in sorted(folds, key=lambda fold: -len(fold.job.train)):
        if not groups or len(fold.job.train) < _ALIKE * len(groups[-1][0].job.train):
            groups.append([])
        groups[-1].append(fold)
        n_rows, train = len(groups[-1][0].job.train), fold.job.train
        net = fold.template.net_
        if net.batch_size == len(train):
            net.batch_size = n_rows
        fold.job = replace(fold.job, train=train.padded(n_rows))
    return groups


def score_folds(
    folds: Sequence[Fold],
    ratios: Sequence[RegularizedNet],
    alphas: np.ndarray,
    stays: Sequence[int],
    scorer: Callable[..., float] | None,
    n_threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Walk every fold along alphas of shape (n_ratios, n_alphas), and stay as long at each.

    The folds are divided among threads where their steps are large enough to gain from that.

    Returns
    -------
    scores, n_features : ndarray of shape (n_ratios, n_alphas, n_folds)
    """
    parts = []
    for group in _alike_in_size(folds):
        net, n_rows = group[0].template.net_, len(group[0].job.train)
        in_step = net.multiplications(n_rows) * len(group) * len(ratios)
        n_parts = max(1, min(n_threads, len(group), in_step // WORTH_MORE_THREADS))
        parts += [
            [group[i] for i in numbers]
            for numbers in np.array_split(range(len(group)), n_parts)
        ]
    scores, n_features = (np.empty((*alphas.shape, len(folds))) for _ in range(2))

    def work(part: list[Fold], check: Callable[[], None]) -> list[Fold]:
        template = part[0].template
        if starts_dense(PathMLP(template.net_), template.solver):
            train_dense_folds(part)
        check()
        walk, _ = stack_walk(
            [fold.template.net_ for fold in part],
            [fold.job.train for fold in part],
            ratios,
            template,
        )
        paths = follow_alphas(walk, np.tile(alphas.T, (1, len(part))), stays, check)
        walk.end()
        for place_, fold in enumerate(part):
            for ratio in range(len(ratios)):
                steps = paths[place_ * len(ratios) + ratio]
                scores[ratio, :, fold.number] = fold.scores(steps, scorer)
                n_features[ratio, :, fold.number] = [step.selected.sum() for step in steps]
        return part

    for _ in run_in_threads(work, parts, min(n_threads, len(parts))):
        pass
    return scores, n_features


def comparable(of_all: np.ndarray, of_folds: np.ndarray) -> np.ndarray:
    """Where networks of the folds have about as many features as that of all rows.

    Under a penalty that is not convex features may go one after the other at nearly the same
    alpha. There the network of all rows may have lost most of them and those of the folds
    none yet, and their scores are not its own.

    Parameters
    ----------
    of_all : ndarray of shape (n_ratios, n_alphas)
        How many features the network of all rows has.
    of_folds : ndarray of shape (n_ratios, n_alphas, n_folds)

    Returns
    -------
    ndarray of bool of shape (n_ratios, n_alphas)
        Everywhere if it would be nowhere.
    """
    mean = of_folds.mean(2)
    alike = np.abs(of_all - mean) <= np.maximum(1, _COMPARABLE * np.maximum(of_all, mean))
    return alike if alike.any() else ~alike


def choose(
    alphas: np.ndarray, scores: np.ndarray, selection: str, eligible: np.ndarray
) -> tuple[int, int]:
    """Return the indices (ratio, alpha) of the choice.

    Parameters
    ----------
    alphas : ndarray of shape (n_ratios, n_alphas)
        Ascending in each row.
    scores : ndarray of shape (n_ratios, n_alphas, n_folds)
    selection : {"min", "1se"}
        The best mean score (the largest alpha of several), or the largest alpha at the same
        l1_ratio whose mean score is at most one standard error of the best below it.
    eligible : ndarray of bool of shape (n_ratios, n_alphas)
        What may be chosen.
    """
    means = scores.mean(2)
    means = np.where(np.isnan(means) | ~eligible, -np.inf, means)
    ratio, best = max(np.ndindex(means.shape), key=lambda cell: (means[cell], alphas[cell]))
    if selection == "min":
        return ratio, best
    n_folds = scores.shape[2]
    error = scores[ratio, best].std(ddof=1) / np.sqrt(n_folds) if n_folds > 1 else 0.0
    good = np.flatnonzero(means[ratio] >= means[ratio, best] - np.nan_to_num(error))
    return ratio, int(max(good, key=lambda number: (alphas[ratio, number], number)))
