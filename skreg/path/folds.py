"""What the folds of a cross-validation train on, and how their paths are scored.

The full data have one path for each l1_ratio. Every fold follows the alphas that these
visited, all members that have as many rows in one stack, and each alpha is scored on the rows
that its fold left out. :mod:`skreg.path.choice` reads the scores.
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
from sklearn.utils import _safe_indexing, gen_batches
from sklearn.utils.validation import _check_method_params

from skreg.estimators.base import FitJob
from skreg.estimators.mlp import BaseRegularizedMLP
from skreg.path.follow import PathFollower, follow_alphas
from skreg.path.networks import PathNetwork, PathPoint, place
from skreg.path.run import train_dense
from skreg.training.data import TensorData
from skreg.training.net import RegularizedNet
from skreg.training.runtime import WORTH_MORE_THREADS, run_in_threads
from skreg.training.stack import join, join_rows

Scorer = Callable[..., float]

# Share of the rows of another fold from which on one is padded to have as many.
_ALIKE = 0.95
# Metrics that are NaN on some rows whatever is predicted, each with one that is not.
_NAN_BY_ROWS = {r2_score: "neg_mean_squared_error", roc_auc_score: "neg_log_loss"}
# L2 that is added where a penalty that is not convex leaves that open, as a multiple of alpha.
# A path has less of it, so that small networks score as high as they can. Here one network is
# chosen for its predictions, of whatever size, and those of noisy data take more.
_L2_RATIOS = (4.0, 4.0)


@dataclass(frozen=True)
class Rows:
    """All rows of `fit`, checked, to be divided among the folds."""

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None
    #: Of the columns, which X has lost.
    names: np.ndarray | None
    #: What a scorer is given rows of.
    X_to_score: Any
    #: None for the estimator's `score`.
    scorer: Scorer | None
    #: What else the scorer is given, of all rows.
    score_params: dict[str, Any]


@dataclass
class Fold:
    """What one fold trains on, and what it is scored on."""

    number: int
    template: BaseRegularizedMLP
    job: FitJob
    X_test: Any
    y_test: Any
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
        given = data.X, data.y, data.sample_weight
        parts = (None if part is None else _safe_indexing(part, train) for part in given)
        job = template._prepare(*parts, names=data.names)
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
        default = r2_score if is_regressor(self.template) else None
        metric: Any = getattr(self.scorer, "_score_func", None) if self.scorer else default
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

    def scores(self, points: Sequence[PathPoint]) -> np.ndarray:
        """The score of each point on the rows left out; NaN, with a warning, where it fails."""
        if self.scorer is not None:
            return np.array([self._score_by(self.scorer, point) for point in points])
        network, rows = PathNetwork(self.template.net_), TensorData(self.X_test, None)
        weights, scores = self.score_params.get("sample_weight"), []
        for batch in gen_batches(len(points), network.points_at_once):
            raw = network.raw_outputs(points[batch], rows)
            scores.append(self.template._score_raw(self.y_test, weights, raw))
        return np.concatenate(scores)

    def _score_by(self, scorer: Scorer, point: PathPoint) -> float:
        place(self.template.net_.module_, point)
        shown = self.template, self.X_test, self.y_test, scorer, self.score_params
        score = _score(*shown, error_score=np.nan)
        if isinstance(score, dict):
            raise ValueError(
                f"scoring must return a number to choose alpha by, got {score!r}. Give one "
                f"metric."
            )
        return float(score)


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


def follower_of(
    nets: Sequence[RegularizedNet],
    rows: Sequence[TensorData],
    ratios: Sequence[RegularizedNet],
    max_iter: int,
) -> tuple[PathFollower, TensorData]:
    """Return a follower of trained nets, each once for every penalty in `ratios`.

    Member i·len(ratios) + j is net i with the penalty of ``ratios[j]``.
    """
    members, tables = [], []
    for net, data in zip(nets, rows, strict=True):
        for other in ratios:
            member = copy.deepcopy(net)
            member.set_penalty(copy.copy(other.penalty), initial=other.initial)
            members.append(member)
            tables.append(data)
    joined, table = members[0], tables[0]
    if len(members) > 1:
        table = join_rows(members, tables)
        joined = join(members, table)
        if all(member.data_losses_ for member in members):
            firsts = [member.data_losses_[0] for member in members]
            joined.data_losses_ = [np.concatenate(firsts)]
    follower = PathFollower(PathNetwork(joined), table, max_iter=max_iter, l2_ratios=_L2_RATIOS)
    return follower, table


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
    rounds: Sequence[int],
    n_threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Train every fold along alphas of shape (n_ratios, n_alphas), for these rounds at each.

    The folds are divided among threads where their steps are large enough to gain from that.
    Returns scores and numbers of features, of shape (n_ratios, n_alphas, n_folds).
    """
    parts = []
    for group in _alike_in_size(folds):
        net, n_rows = group[0].template.net_, len(group[0].job.train)
        in_step = net.multiplications(n_rows) * len(group) * len(ratios)
        n_parts = max(1, min(n_threads, len(group), in_step // WORTH_MORE_THREADS))
        divided = np.array_split(range(len(group)), n_parts)
        parts += [[group[i] for i in numbers] for numbers in divided]
    scores, n_features = (np.empty((*alphas.shape, len(folds))) for _ in range(2))

    def work(part: list[Fold], check: Callable[[], None]) -> list[Fold]:
        templates, jobs = [fold.template for fold in part], [fold.job for fold in part]
        nets = [template.net_ for template in templates]
        train_dense(templates, jobs, PathNetwork(nets[0]))
        check()
        tables = [job.train for job in jobs]
        follower, _ = follower_of(nets, tables, ratios, templates[0].max_iter)
        paths = follow_alphas(follower, np.tile(alphas.T, (1, len(part))), rounds, check)
        follower.net.end()
        for member, points in enumerate(paths):
            fold, ratio = part[member // len(ratios)], member % len(ratios)
            scores[ratio, :, fold.number] = fold.scores(points)
            n_features[ratio, :, fold.number] = [point.selected.sum() for point in points]
        return part

    for _ in run_in_threads(work, parts, min(n_threads, len(parts))):
        pass
    return scores, n_features
