"""Paths of all folds and l1_ratios side by side, and which alpha they speak for.

The full data have one path for each l1_ratio. Every fold follows the alphas that these
visited, all members that have as many rows in one stack, and each alpha is scored on the rows
that its fold left out. :func:`choose` reads the scores.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import is_regressor
from sklearn.metrics import check_scoring, r2_score, roc_auc_score
from sklearn.model_selection._validation import _score
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params

from skreg.estimators.base import FitJob
from skreg.estimators.mlp import BaseRegularizedMLP
from skreg.path.mlp import PathMLP, stack_of
from skreg.path.run import place, starts_dense, walk_from
from skreg.path.walk import Step, Walk, follow_alphas
from skreg.training.data import TensorData
from skreg.training.net import RegularizedNet
from skreg.training.passes import raw_outputs
from skreg.training.runtime import WORTH_MORE_THREADS, run_in_threads, warn_caller
from skreg.training.stack import join, joinable_key, train_together

Scorer = Callable[..., float]

# Steps of a path that are scored as one stack.
_AT_ONCE = 16
# Share of the rows of another fold from which on one is padded to have as many.
_ALIKE = 0.95
# Share of its features by which a network may differ from those of the folds at the same alpha.
_COMPARABLE = 0.25
# Metrics that are NaN on some rows whatever is predicted, each with one that is not.
_NAN_BY_ROWS = {r2_score: "neg_mean_squared_error", roc_auc_score: "neg_log_loss"}
# Alphas whose scores are not finite are named up to this many.
_MOST_NAMED = 5


@dataclass(frozen=True)
class Rows:
    """What is divided among the folds.

    Attributes
    ----------
    X, y, sample_weight
        Checked.
    names : ndarray of str or None
        Of the columns, which X has lost.
    X_to_score : array-like
        What a scorer is given rows of.
    scorer : callable or None
        None for the estimator's own `score`.
    score_params : dict
        What it is given beside them, of all rows.
    """

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None
    names: np.ndarray | None
    X_to_score: Any
    scorer: Scorer | None
    score_params: dict[str, Any]


@dataclass
class Fold:
    """What one fold trains on, and what it is scored on."""

    number: int
    template: BaseRegularizedMLP
    job: FitJob
    X_test: Any
    y_test: Any
    #: None for the estimator's own `score`.
    scorer: Scorer | None
    score_params: dict[str, Any]

    @classmethod
    def of(
        cls,
        number: int,
        template: BaseRegularizedMLP,
        data: Rows,
        split: tuple[np.ndarray, np.ndarray],
    ) -> Fold:
        train, test = split
        job = template._prepare(
            *(
                None if part is None else _safe_indexing(part, train)
                for part in (data.X, data.y, data.sample_weight)
            ),
            names=data.names,
        )
        X_test, y_test = (_safe_indexing(part, test) for part in (data.X_to_score, data.y))
        score_params = _check_method_params(data.X, data.score_params, indices=test)
        return cls(number, template, job, X_test, y_test, data.scorer, score_params)

    def check_defined(self) -> None:
        """Raise ValueError where the score would be NaN whatever the network predicts."""
        if not np.any(self.score_params.get("sample_weight", True)):
            raise ValueError(
                f"All rows that fold {self.number} of cv leaves out have a sample_weight of 0, "
                f"and there is nothing to score on. Leave them out of fit, or use another cv."
            )
        own = r2_score if is_regressor(self.template) else None
        metric: Any = getattr(self.scorer, "_score_func", None) if self.scorer else own
        if metric not in _NAN_BY_ROWS:
            return
        scorer = self.scorer or check_scoring(self.template)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score = _score(self.template, self.X_test, self.y_test, scorer, self.score_params)
        if np.isnan(score):
            raise ValueError(
                f"{metric.__name__} is not defined on the rows that fold {self.number} of cv "
                f"leaves out, and no alpha would have a mean score. Use another scoring, such "
                f"as {_NAN_BY_ROWS[metric]!r}, or another cv."
            )

    def scores(self, steps: Sequence[Step]) -> np.ndarray:
        """The score of each step on the rows left out; NaN, with a warning, where it fails."""
        if self.scorer is not None:
            numbers = []
            for step in steps:
                place(self.template, step)
                shown = self.template, self.X_test, self.y_test, self.scorer
                score = _score(*shown, self.score_params, error_score=np.nan)
                if isinstance(score, dict):
                    raise ValueError(
                        f"scoring must return a number to choose alpha by, got {score!r}. Give "
                        f"one metric."
                    )
                numbers.append(score)
            return np.array(numbers, dtype=float)
        net = self.template.net_
        rows, scores = TensorData(self.X_test, None), []
        for start in range(0, len(steps), _AT_ONCE):
            module = stack_of(net.module_, list(steps[start : start + _AT_ONCE]))
            raw = raw_outputs(module, rows, net.device)
            weights = self.score_params.get("sample_weight")
            scores.append(self.template._score_raw(self.y_test, weights, raw))
        return np.concatenate(scores)


def check_splits(splits: Sequence[tuple[Any, Any]]) -> None:
    """Raise ValueError where there are none, or rows are missing in one."""
    if not splits:
        raise ValueError("cv gives no splits to choose alpha by. Give at least one.")
    for number, split in enumerate(splits):
        for rows, use in zip(map(np.asarray, split), ("train", "score"), strict=True):
            if not (rows.any() if rows.dtype == bool else rows.size):
                raise ValueError(
                    f"Fold {number} of cv has no rows to {use} on. Leave it out, or give rows."
                )


def knowing_labels(scorer: Scorer | None, classes: np.ndarray) -> Scorer | None:
    """Return a scorer that knows all classes, where it takes a column for each of them.

    The rows left out may lack some. As in ``LogisticRegressionCV``.
    """
    metric: Any = getattr(scorer, "_score_func", None)
    names = signature(metric).parameters if metric is not None else ()
    knowing: Any = copy.copy(scorer)
    if "labels" not in names or knowing._response_method == "predict":
        return scorer
    labels = {"labels": classes}
    if len(classes) == 2 and "pos_label" in names:
        labels["pos_label"] = classes[1]
    knowing._kwargs = {**labels, **knowing._kwargs}
    return knowing


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
            member.set_penalty(copy.copy(other.penalty), initial=other.initial)
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
        endings = train_together(nets, train, valid, lambda n_members: None)
        alone = [number for number, ending in enumerate(endings) if ending is None]
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
                scores[ratio, :, fold.number] = fold.scores(steps)
                n_features[ratio, :, fold.number] = [step.selected.sum() for step in steps]
        return part

    for _ in run_in_threads(work, parts, min(n_threads, len(parts))):
        pass
    return scores, n_features


def finite_everywhere(alphas: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Where the scores of all folds are finite; warns where some are not.

    Parameters
    ----------
    alphas : ndarray of shape (n_ratios, n_alphas)
    scores : ndarray of shape (n_ratios, n_alphas, n_folds)

    Returns
    -------
    ndarray of bool of shape (n_ratios, n_alphas)

    Raises
    ------
    ValueError
        If that is nowhere.
    """
    finite = np.isfinite(scores).all(2)
    cells = np.argwhere(~finite)
    if not len(cells):
        return finite
    named = []
    for cell in map(tuple, cells[:_MOST_NAMED]):
        where = np.flatnonzero(~np.isfinite(scores[cell]))
        named.append(
            f"alpha={alphas[cell]:.3g} ({scores[cell][where[0]]} in fold {where[0]}"
            f"{f' and {len(where) - 1} more' if len(where) > 1 else ''})"
        )
    more = f" and {len(cells) - len(named)} more" if len(cells) > len(named) else ""
    which = f"{', '.join(named)}{more}"
    if not finite.any():
        raise ValueError(
            f"No alpha can be chosen, since each has a test score that is not finite: {which}. "
            f"Use another scoring, or another cv."
        )
    warn_caller(
        f"Test scores are not finite at {len(cells)} of {finite.size} alphas, which are not "
        f"chosen: {which}."
    )
    return finite


def comparable(of_all: np.ndarray, of_folds: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Where networks of the folds have about as many features as that of all rows.

    Under a penalty that is not convex features may go one after the other at nearly the same
    alpha. There the network of all rows may have lost most of them and those of the folds
    none yet, and their scores are not its own.

    Parameters
    ----------
    of_all : ndarray of shape (n_ratios, n_alphas)
        How many features the network of all rows has.
    of_folds : ndarray of shape (n_ratios, n_alphas, n_folds)
    among : ndarray of bool of shape (n_ratios, n_alphas)
        Where it is asked.

    Returns
    -------
    ndarray of bool of shape (n_ratios, n_alphas)
        All of `among` if it would be nowhere.
    """
    mean = of_folds.mean(2)
    alike = np.abs(of_all - mean) <= np.maximum(1, _COMPARABLE * np.maximum(of_all, mean))
    alike &= among
    return alike if alike.any() else among


def choose(
    alphas: np.ndarray, scores: np.ndarray, selection: str, eligible: np.ndarray
) -> tuple[int, int]:
    """Return the indices (ratio, alpha) of the choice.

    Parameters
    ----------
    alphas : ndarray of shape (n_ratios, n_alphas)
        Ascending in each row.
    scores : ndarray of shape (n_ratios, n_alphas, n_folds)
        Finite where eligible.
    selection : {"min", "1se"}
        The best mean score (the largest alpha of several), or the largest alpha at the same
        l1_ratio whose mean score is at most one standard error of the best below it.
    eligible : ndarray of bool of shape (n_ratios, n_alphas)
        What may be chosen.
    """
    means = np.full(eligible.shape, -np.inf)
    means[eligible] = scores[eligible].mean(1)
    ratio, best = max(np.ndindex(means.shape), key=lambda cell: (means[cell], alphas[cell]))
    if selection == "min":
        return ratio, best
    n_folds = scores.shape[2]
    error = scores[ratio, best].std(ddof=1) / np.sqrt(n_folds) if n_folds > 1 else 0.0
    good = np.flatnonzero(means[ratio] >= means[ratio, best] - np.nan_to_num(error))
    return ratio, int(max(good, key=lambda number: (alphas[ratio, number], number)))
