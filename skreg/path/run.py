"""Regularization paths: one network from dense to sparse, and which features are left longest.

:mod:`skreg.path.follow` says how a path is followed, :mod:`skreg.path.ends` how its ends are
found.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import clone, is_regressor
from sklearn.utils import check_array, gen_batches
from sklearn.utils._param_validation import Interval, validate_params
from sklearn.utils.validation import validate_data

from skreg.estimators.base import FitJob
from skreg.estimators.checks import check_takes_alpha, densify, name_of_alpha
from skreg.estimators.mlp import BaseRegularizedMLP
from skreg.estimators.module import BaseRegularizedModule
from skreg.modules.penalized import follows_alpha
from skreg.path.ends import alpha_max_of_linear, check_zeros, sweep_to_nothing
from skreg.path.follow import PathFollower, choose_alphas, follow_alphas
from skreg.path.networks import PathModule, PathNetwork, PathPoint, place
from skreg.path.refit import refit_supports
from skreg.path.result import Estimator, RegularizationPath, entry_alphas
from skreg.training.data import TensorData
from skreg.training.runtime import threads_worth
from skreg.training.stack import joinable_key, train_together

# A path begins at this fraction of the alpha at which a sweep lost its first feature.
_LATE = 4.0


@validate_params(
    {
        "estimator": [BaseRegularizedMLP, BaseRegularizedModule],
        "alphas": [Interval(Integral, 2, None, closed="left"), "array-like"],
        "eps": [Interval(Real, 0, 1, closed="neither")],
        "refit": ["boolean"],
    },
    prefer_skip_nested_validation=False,
)
def regularization_path(
    estimator: Estimator,
    X: Any,
    y: Any,
    *,
    alphas: Any = 100,
    eps: float = 1e-3,
    sample_weight: Any = None,
    X_val: Any = None,
    y_val: Any = None,
    refit: bool = False,
) -> RegularizationPath:
    """Train a network along rising strengths of its penalty, from dense to nothing left.

    The network is trained without the penalty first, by the estimator's rules. Each
    alpha goes on from the weights of the one before. With "adam" and "sgd" it trains for as
    many epochs as take 50 gradient steps, but stops when a feature is lost; "fista" stops when
    its residual is at most the estimator's `tol`, after `max_iter` iterations at the latest.

    A penalty that is not convex begins nearly convex where there are many features to a row:
    with hidden layers its `gamma` (of SCAD, `a`) is multiplied by
    (10 · n_features / n_rows)**1.5 where that is above 1, and falls as features go. n_rows are
    the rows that differ, so that a weight of 2 is the row twice. Nor does such a penalty shrink
    what it keeps, which then fits the noise of the rows: with hidden layers, where its
    `l2_ratio` is None, L2 of 0.3 · alpha is added to it, and with many features to a row
    of 0.3 · alpha · 10 · n_features / n_rows, up to alpha. A dict of penalties, or a module
    whose units are counted (below), keeps its `gamma` and its `l2_ratio`.

    Parameters
    ----------
    estimator : estimator
        A :class:`RegularizedMLPRegressor`, :class:`RegularizedMLPClassifier`,
        :class:`RegularizedNetRegressor` or :class:`RegularizedNetClassifier`. Not changed.
        Its penalty is to give exact zeros; "group_mcp" selects features best. Its `alpha` is
        not used. In a dict of penalties those with an alpha keep it, and the
        others follow the path's.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Of a torch module also (n_samples, ...), such as images.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    alphas : int or array-like of shape (n_alphas,), default=100
        An array is visited in ascending order, all of it. A number is about how many to
        visit between ``eps * alpha_max`` and alpha_max, where the last feature goes. Where
        between, the path finds out: it goes back and on in smaller increments where more
        than a tenth of the features go at once, and in larger ones where none do.
    eps : float, default=1e-3
        Where the path begins, as a share of alpha_max. Not used with an array.
    sample_weight : array-like of shape (n_samples,), default=None
    X_val, y_val : array-like, default=None
        Rows to score every alpha on.
    refit : bool, default=False
        Retrain each distinct support without the penalty, which shrinks what it keeps. Of a
        dict of penalties all are left out.

    Returns
    -------
    path : RegularizationPath

    Raises
    ------
    TypeError
        If the estimator chooses its alpha.
    ValueError
        If `alphas` is a number and the penalty gives no exact zeros, if no penalty follows
        the path's alpha, if only one of `X_val` and `y_val` is given or they are not like `X`
        and `y`, or if training diverges. Only the last comes after training has begun.

    Notes
    -----
    A multi-layer perceptron loses a feature when that reaches no output any more. Of a torch
    module this is known where the first of its layers with weights is an ``nn.Linear`` that
    takes the whole row (after a normalization layer, say), and its weight is under a penalty
    that follows the path: a feature is a column of that weight, one number of the row, and is
    in as long as any of the column is not zero. Other ``nn.Linear`` that take the same numbers
    count with it.

    Of any other module (with convolutions or embeddings, say) units are counted in place of
    features: a unit is the outgoing weights of one input or input channel of one parameter,
    what a group penalty takes as a group, and is in as long as any of them is not zero. They
    stand in the order of the estimator's `penalized_parameters_`; those parameters count whose
    penalty follows the path and leaves zeros, biases left aside.

    Running averages of batch normalization and all other buffers are kept with the weights.

    References
    ----------
    Friedman, Hastie & Tibshirani, "Regularization paths for generalized linear models via
    coordinate descent", 2010 (warm starts, eps). Huang, Breheny, Lee, Ma & Zhang, "The Mnet
    method for variable selection", 2016 (MCP with L2 added). Lemhadri, Ruan, Abraham &
    Tibshirani, "LassoNet: a neural network with feature sparsity", 2021 (dense to sparse).

    Examples
    --------
    >>> import numpy as np
    >>> from skreg import RegularizedMLPRegressor, regularization_path
    >>> X = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)
    >>> y = np.maximum(X[:, 0], X[:, 1])                    # eight of ten inputs are noise
    >>> net = RegularizedMLPRegressor((20,), penalty="l1", random_state=0)
    >>> path = regularization_path(net, X, y, alphas=50)
    >>> sorted(path.entry_alpha.argsort()[-2:].tolist())
    [0, 1]
    """
    if (X_val is None) != (y_val is None):
        raise ValueError(
            "X_val and y_val go together, and only one of them is given. Give both, or none."
        )
    alphas = check_alphas(alphas)
    template, job = _prepare(estimator, X, y, sample_weight)
    held_out, y_val = _check_held_out(template, X_val, y_val)
    rows = job.train
    with threads_worth(template.net_.multiplications(len(rows))):
        network = network_of(template, rows)
        if isinstance(alphas, Integral):
            check_zeros(network, estimator.penalty)
        train_dense([template], [job], network)
        follower = PathFollower(network, rows, max_iter=template.max_iter)
        points = follow(follower, rows, alphas, eps)[0]
        follower.net.end()
        path = summarize(template, network, points, rows, held_out, y_val)
        if refit:
            template = copy.deepcopy(template)
            network = network_of(template, rows)
            points = refit_supports(network, points, rows)
            template.penalty = None
            template.net_.set_penalty(None)
            refitted = summarize(template, network, points, rows, held_out, y_val)
            path = replace(path, refitted=refitted)
    return path


def check_alphas(alphas: Any) -> Any:
    """Return the alphas of an array, ascending and distinct; a number of them as it is."""
    if isinstance(alphas, Integral):
        return alphas
    given = check_array(alphas, ensure_2d=False, dtype=np.float64, input_name="alphas")
    if given.ndim != 1 or (given < 0).any():
        raise ValueError(f"alphas must be numbers of at least 0, got {alphas!r}.")
    return np.unique(given)


def network_of(template: Estimator, rows: TensorData) -> PathNetwork:
    """Return the net of an estimator as a path sees it."""
    if isinstance(template, BaseRegularizedMLP):
        return PathNetwork(template.net_)
    following = None
    if isinstance(template.penalty, dict):
        following = {name for name, each in template.penalty.items() if follows_alpha(each)}
    return PathModule(template.net_, rows, following)


def train_dense(
    templates: Sequence[Estimator], jobs: Sequence[FitJob], network: PathNetwork
) -> None:
    """Train the nets of alike estimators without their penalty, if possible as one stack.

    A convex problem that is solved to a tolerance has one answer, wherever training begins:
    a path of such networks, of which `network` is one, needs no dense start.
    """
    if network.is_linear and network.net.optimizer_.full_batch:
        return
    nets = [template.net_ for template in templates]
    penalties = [net.penalty for net in nets]
    for net in nets:
        net.set_penalty(None)
    train, valid = [job.train for job in jobs], [job.valid for job in jobs]
    alone = list(range(len(nets)))
    if len(nets) > 1:
        keys = {joinable_key(n, t, v) for n, t, v in zip(nets, train, valid, strict=True)}
        if len(keys) == 1 and None not in keys:
            endings = train_together(nets, train, valid, lambda n_members: None)
            alone = [number for number, ending in enumerate(endings) if ending is None]
    for number in alone:
        nets[number].train_on(train[number], valid[number])
    for net, penalty in zip(nets, penalties, strict=True):
        net.set_penalty(penalty)


def follow(
    follower: PathFollower, rows: TensorData, alphas: Any, eps: float
) -> list[list[PathPoint]]:
    """Follow the path of every member: along given alphas, or about so many to the end."""
    if not isinstance(alphas, Integral):
        return follow_alphas(follower, np.tile(alphas[:, None], follower.n_members))
    net, n_alphas = follower.net, int(alphas)
    if follower.network.is_linear:
        # Nothing goes all at once here: the grid of a lasso's path does.
        saved = follower.save()
        alpha_max = alpha_max_of_linear(follower, rows.to(net.device))
        # Which leaves the constant, the answer at alpha_max itself.
        selected = follower.network.selected()
        ends = [follower.point(m, alpha_max[m], selected[m], 1) for m in range(len(alpha_max))]
        follower.restart(saved)
        grid = np.geomspace(eps * alpha_max, alpha_max, n_alphas)[:-1]
        paths = follow_alphas(follower, grid)
        return [[*path, end] for path, end in zip(paths, ends, strict=True)]
    # About what a constant prediction costs: the loss that training began with.
    loss_of_constant = np.maximum(net.data_losses_[0], np.finfo(float).tiny)
    alpha_first, alpha_max = sweep_to_nothing(follower, loss_of_constant)
    # Not from where nothing goes for long. The sweep was in a hurry, and late.
    return choose_alphas(follower, np.maximum(eps * alpha_max, alpha_first / _LATE), n_alphas)


@torch.no_grad()
def summarize(
    template: Estimator,
    network: PathNetwork,
    points: list[PathPoint],
    rows: TensorData,
    held_out: TensorData | None = None,
    y_val: np.ndarray | None = None,
) -> RegularizationPath:
    """Measure every point of a path, many at a time."""
    net = template.net_
    net.module_.eval()
    rows = rows.to(net.device)
    data_losses, penalties, zeros, scores = [], [], [], []
    for batch in gen_batches(len(points), network.points_at_once):
        losses = network.losses(points[batch], rows)
        data_losses.append(losses.double().cpu().numpy())
        if held_out is not None and y_val is not None:
            raw = network.raw_outputs(points[batch], held_out)
            scores.append(template._score_raw(y_val, None, raw))
    for point in points:
        strengths = {"alpha": point.alpha, **point.convexity}
        network.set_strengths(**{name: np.array([value]) for name, value in strengths.items()})
        place(net.module_, point)
        penalties.append(net.penalty_values().double().cpu().numpy()[0])
        zeros.append(template.sparsity_)
    alphas = np.array([point.alpha for point in points])
    selected = np.array([point.selected for point in points])
    return RegularizationPath(
        alphas=alphas,
        n_features=selected.sum(1),
        selected=selected,
        sparsity=np.array(zeros),
        data_loss=np.concatenate(data_losses),
        penalty=np.array(penalties),
        scores=np.concatenate(scores) if scores else None,
        entry_alpha=entry_alphas(alphas, selected),
        refitted=None,
        unit_parameters=network.unit_parameters,
        _template=template,
        _points=points,
    )


def _prepare(
    estimator: Estimator, X: Any, y: Any, sample_weight: Any = None
) -> tuple[Estimator, FitJob]:
    """Return an untrained copy of the estimator with its net, and the rows to train on."""
    check_takes_alpha(
        estimator, "regularization_path", "Once fitted it has its path in `path_`."
    )
    penalty = estimator.penalty
    if penalty is None:
        raise ValueError(
            "penalty=None has no strength that a path could raise. Give a penalty that "
            "selects: 'l1', 'elasticnet', 'group_mcp'."
        )
    if isinstance(penalty, dict) and not any(map(follows_alpha, penalty.values())):
        raise ValueError(
            f"A path raises the alpha of the estimator, but each penalty in {penalty} has its "
            f"own. Leave alpha out of those that are to follow the path, as in L1()."
        )
    template = clone(estimator)
    template.warm_start = False
    # Whatever it is: a path sets it.
    template.set_params(**{name_of_alpha(template): 1.0})
    template._validate_params()
    return template, template._prepare(X, y, sample_weight)


def _check_held_out(
    template: Estimator, X_val: Any, y_val: Any
) -> tuple[TensorData | None, np.ndarray | None]:
    """Return the rows to score a prepared estimator on, and their targets."""
    if X_val is None:
        return None, None
    try:
        X_val, y_val = validate_data(
            template,
            X_val,
            y_val,
            accept_sparse="csr",
            dtype=template._dtype,
            multi_output=True,
            allow_nd=template._allow_nd,
            y_numeric=is_regressor(template),
            # R² of a single row is not defined.
            ensure_min_samples=2 if is_regressor(template) else 1,
            reset=False,
        )
        y_val = densify(y_val)
        target = template._encode_target(y_val, template._dtype, resume=True)
        n_outputs = template._count_outputs(target)
        if n_outputs != template.n_outputs_:
            raise ValueError(
                f"y has {n_outputs} outputs, and {template.n_outputs_} in training. Give the "
                f"same."
            )
        return TensorData(template._pick_inputs(X_val), None), y_val
    except (ValueError, TypeError) as error:
        raise ValueError(f"X_val and y_val are not like X and y: {error}") from error
