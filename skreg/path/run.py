"""Regularization paths: one network from dense to sparse, and which features stay longest.

>>> from sklearn.datasets import load_diabetes
>>> from sklearn.preprocessing import scale
>>> from skreg import RegularizedMLPRegressor, regularization_path
>>> X, y = load_diabetes(return_X_y=True)
>>> lasso = RegularizedMLPRegressor((), penalty="l1", solver="fista")
>>> path = regularization_path(lasso, scale(X), scale(y))
>>> path.n_features[0], path.n_features[-1]
(np.int64(10), np.int64(0))
>>> sorted(path.entry_alpha.argsort()[-3:].tolist())   # the last three: bmi, bp and s5
[2, 3, 8]

How the walk is done stands in :mod:`skreg.path.walk`, how alphas are found in
:mod:`skreg.path.ends`.
"""

from __future__ import annotations

import copy
import zlib
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import clone, is_regressor
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, validate_params
from sklearn.utils.validation import validate_data

from skreg.estimators.base import FitJob
from skreg.estimators.checks import check_takes_alpha, densify
from skreg.estimators.mlp import BaseRegularizedMLP
from skreg.estimators.module import BaseRegularizedNet
from skreg.modules.penalized import follows_alpha
from skreg.path.ends import alpha_max_of_linear, check_zeros, sweep_to_nothing
from skreg.path.mlp import PathMLP
from skreg.path.module import PathModule
from skreg.path.refit import refit_steps
from skreg.path.walk import Step, Walk, choose_alphas, follow_alphas
from skreg.penalties import Penalty
from skreg.penalties.by_name import PENALTIES
from skreg.training.data import TensorData
from skreg.training.net import RegularizedNet
from skreg.training.runtime import threads_worth

# Spells of 10 gradient steps at an alpha where nothing happens.
_LONGEST_STAY = 5
# A path begins at this fraction of the alpha at which a sweep lost its first feature.
_LATE = 4.0

Estimator = BaseRegularizedMLP | BaseRegularizedNet


@dataclass(frozen=True)
class RegularizationPath:
    """A path from dense to sparse.

    Attributes
    ----------
    alphas : ndarray of shape (n_alphas,)
        Strengths that the path visited, ascending.
    n_features : ndarray of int of shape (n_alphas,)
        How many features reach an output. Of a torch module, how many are in by the rule of
        :func:`regularization_path`; or how many units, where that counts units.
    selected : ndarray of bool of shape (n_alphas, n_features_in)
        Which; of shape (n_alphas, n_units) where units are counted.
    sparsity : ndarray of shape (n_alphas,)
        Share of the penalized weights that are exactly zero.
    data_loss : ndarray of shape (n_alphas,)
        Mean loss over the training rows, without the penalty.
    penalty : ndarray of shape (n_alphas,)
        alpha·Ω of the weights. The objective is the sum of both.
    scores : ndarray of shape (n_alphas,) or None
        What the estimator's `score` gives on (X_val, y_val); None without them.
    entry_alpha : ndarray of shape (n_features_in,) or (n_units,)
        The largest alpha at which each feature, or unit, is still in; 0 where it never was.
    refitted : RegularizationPath or None
        With ``refit=True`` the same alphas and supports, each support retrained without the
        penalty.
    unit_parameters : ndarray of str of shape (n_units,), or None
        Where units are counted, the name of the parameter that each is of; None where
        features are.
    """

    alphas: np.ndarray
    n_features: np.ndarray
    selected: np.ndarray
    sparsity: np.ndarray
    data_loss: np.ndarray
    penalty: np.ndarray
    scores: np.ndarray | None
    entry_alpha: np.ndarray
    refitted: RegularizationPath | None
    unit_parameters: np.ndarray | None
    # The networks: None where only the rest is kept.
    _template: Estimator | None = field(repr=False)
    _steps: list[Step] | None = field(repr=False)

    def __len__(self) -> int:
        return len(self.alphas)

    def __getstate__(self) -> dict[str, Any]:
        # Of a wide linear model the mask would be larger than all else: packed, it is a byte
        # where a feature goes.
        packed = zlib.compress(np.packbits(self.selected).tobytes())
        state = {**vars(self), "selected": np.frombuffer(packed, np.uint8)}
        state["shape"] = self.selected.shape
        del state["entry_alpha"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        shape = state.pop("shape")
        bits = np.frombuffer(zlib.decompress(state["selected"].tobytes()), np.uint8)
        flat = np.unpackbits(bits, count=int(np.prod(shape)))
        selected = flat.astype(bool).reshape(shape)
        entry_alpha = entry_alphas(state["alphas"], selected)
        vars(self).update(state, selected=selected, entry_alpha=entry_alpha)

    def estimator_at(self, index: int) -> Estimator:
        """Return the fitted estimator at ``alphas[index]``.

        Parameters
        ----------
        index : int
            Negative ones count from the end.

        Returns
        -------
        estimator : estimator of the class that the path was made of
            Its `alpha` is the path's (in a refitted path its penalty is None), and its loss
            curves are the path's up to here. Where the path had made a non-convex penalty
            more convex, or put L2 beside it, its penalty is an object that says so. It is
            independent of the path.

        Raises
        ------
        ValueError
            If the path is that of an estimator that does not keep its networks.
        """
        number = range(len(self))[index]
        if self._steps is None:
            raise ValueError(
                f"This path keeps its curves and not its networks, so that there is no "
                f"estimator at alpha={self.alphas[number]:.3g}. Set store_networks=True before "
                f"fit, or call regularization_path."
            )
        step = self._steps[number]
        estimator: Any = copy.deepcopy(self._template)
        net = estimator.net_
        if estimator.penalty is not None:
            set_alpha(estimator, step.alpha)
            set_convexity(estimator, step.convexity)
        place(estimator, step)
        net.set_penalty(estimator._make_penalty(), **estimator._bound_to(net.module_))
        net.data_losses_ = list(self.data_loss[: number + 1, None])
        net.penalties_ = list(self.penalty[: number + 1, None])
        net.n_epochs_ = number + 1
        net.validates_ = False
        net.rewrite_history()
        estimator._publish()
        return estimator

    def without_networks(self) -> RegularizationPath:
        """Return the curves alone, which take little memory.

        Returns
        -------
        path : RegularizationPath
            One whose `estimator_at` raises.
        """
        refitted = self.refitted and self.refitted.without_networks()
        return replace(self, refitted=refitted, _template=None, _steps=None)


@validate_params(
    {
        "estimator": [BaseRegularizedMLP, BaseRegularizedNet],
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

    The network is trained without the penalty first, by the estimator's own rules. Each
    alpha goes on from the weights of the one before. With "adam" and "sgd" it trains for as
    many epochs as take 50 gradient steps, but stops when a feature is lost; "fista" stops when
    its residual is at most the estimator's `tol`, after `max_iter` iterations at the latest.

    A penalty that is not convex begins nearly convex where there are many features to a row:
    with hidden layers its `gamma` (of SCAD, `a`) is multiplied by
    (10 · n_features / n_rows)**1.5 where that is above 1, and falls as features go. n_rows are
    the rows that differ, so that a weight of 2 is the row twice. Nor does such a penalty shrink
    what it keeps, which then fits the noise of the rows: with hidden layers, where its
    `l2_ratio` is None, it has L2 beside it, of 0.3 · alpha, and with many features to a row
    of 0.3 · alpha · 10 · n_features / n_rows, up to alpha. A dict of penalties, or a module
    whose units are counted (below), keeps its `gamma` and its `l2_ratio`.

    Parameters
    ----------
    estimator : estimator
        A :class:`RegularizedMLPRegressor`, :class:`RegularizedMLPClassifier`,
        :class:`RegularizedNetRegressor` or :class:`RegularizedNetClassifier`. Not changed.
        Its penalty is to give exact zeros; "group_mcp" selects features best. Its `alpha` is
        not used. In a dict of penalties those with an alpha of their own keep it, and the
        others follow the path's.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Of a torch module also (n_samples, ...), such as images.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    alphas : int or array-like of shape (n_alphas,), default=100
        An array is visited in ascending order, all of it. A number is about how many to
        visit between ``eps * alpha_max`` and alpha_max, where the last feature goes. Where
        between, the path finds out: it steps back and goes on in smaller steps where more
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
        If the estimator chooses its own alpha.
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

    Running averages of batch normalization and all other buffers belong to a step of the path.

    References
    ----------
    Friedman, Hastie & Tibshirani, "Regularization paths for generalized linear models via
    coordinate descent", 2010 (warm starts, eps). Huang, Breheny, Lee, Ma & Zhang, "The Mnet
    method for variable selection", 2016 (MCP with L2 beside it). Lemhadri, Ruan, Abraham &
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
    grid = None if isinstance(alphas, Integral) else check_alphas(alphas)
    template, job = prepare(estimator, X, y, sample_weight)
    held_out, y_val = check_held_out(template, X_val, y_val)
    net, rows = template.net_, job.train
    with threads_worth(net.multiplications(len(rows))):
        network = network_of(template, rows)
        if grid is None:
            check_zeros(network, estimator.penalty)
        if starts_dense(network, template.solver):
            train_dense(net, job)
        walk = walk_from(network, rows, template)
        if grid is None:
            steps = visit(walk, rows, int(alphas), eps)[0]
        else:
            steps = follow_alphas(walk, grid[:, None])[0]
        walk.end()
        path = summarize(template, steps, rows, held_out, y_val)
        path = replace(path, unit_parameters=network.unit_parameters)
        if refit:
            path = replace(path, refitted=refit_path(path, rows, held_out, y_val))
    return path


def check_alphas(alphas: Any) -> np.ndarray:
    """Return the alphas of an array, ascending and distinct."""
    given = check_array(alphas, ensure_2d=False, dtype=np.float64, input_name="alphas")
    if given.ndim != 1 or (given < 0).any():
        raise ValueError(f"alphas must be numbers of at least 0, got {alphas!r}.")
    return np.unique(given)


def prepare(
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
    set_alpha(template, 1.0)  # whatever it is: a path has its own
    template._validate_params()
    return template, template._prepare(X, y, sample_weight)


def check_held_out(
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


def visit(walk: Walk, rows: TensorData, n_alphas: int, eps: float) -> list[list[Step]]:
    """Walk every member of a stack along about `n_alphas` alphas, to nothing left."""
    net = walk.net
    rows = rows.to(net.device)
    if walk.network.is_linear:
        # Nothing goes all at once here: the grid of a lasso's path does.
        weights = walk.weights()
        alpha_max = alpha_max_of_linear(walk, rows)
        # Which leaves the constant, the answer at alpha_max itself.
        selected = walk.selected()
        ends = [walk.step(m, alpha_max[m], selected[m], 1) for m in range(walk.n_members)]
        walk.restart(weights)
        paths = follow_alphas(walk, np.geomspace(eps * alpha_max, alpha_max, n_alphas)[:-1])
        return [[*path, end] for path, end in zip(paths, ends, strict=True)]
    alpha_first, alpha_max = sweep_to_nothing(walk, loss_of_constant(net))
    # Not from where nothing goes for long. The sweep was in a hurry, and late.
    return choose_alphas(walk, np.maximum(eps * alpha_max, alpha_first / _LATE), n_alphas)


def network_of(template: Estimator, rows: TensorData) -> PathMLP | PathModule:
    """Return the net of an estimator as a path sees it."""
    if isinstance(template, BaseRegularizedMLP):
        return PathMLP(template.net_)
    following = None
    if isinstance(template.penalty, dict):
        following = {name for name, own in template.penalty.items() if follows_alpha(own)}
    return PathModule(template.net_, rows, following)


def starts_dense(network: PathMLP | PathModule, solver: str) -> bool:
    """Whether a path begins with the network without its penalty.

    A convex problem that is solved to a tolerance has one answer, wherever it begins.
    """
    return not network.is_linear or solver != "fista"


def train_dense(net: RegularizedNet, job: FitJob) -> None:
    """Train the net without its penalty, by the estimator's own rules."""
    penalty = net.penalty
    net.set_penalty(None)
    net.train_on(job.train, job.valid)
    net.set_penalty(penalty)


def walk_from(network: PathMLP | PathModule, rows: TensorData, template: Estimator) -> Walk:
    """Return a walk of trained networks, by the rules of the estimator."""
    return Walk(network, rows, longest_stay=_LONGEST_STAY, max_iter=template.max_iter)


def loss_of_constant(net: RegularizedNet) -> np.ndarray:
    """About what a constant prediction costs: the loss that training began with."""
    return np.maximum(net.data_losses_[0], np.finfo(float).tiny)


def set_alpha(estimator: Estimator, alpha: float) -> None:
    """Set the strength, wherever it stands: on the estimator or on its penalty object."""
    if isinstance(estimator.penalty, Penalty) and estimator.penalty.alpha is not None:
        estimator.set_params(penalty__alpha=alpha)
    else:
        estimator.set_params(alpha=alpha)


def set_convexity(estimator: Estimator, convexity: dict[str, float]) -> None:
    """Make the penalty an object with these parameters, where they are not its own."""
    penalty = estimator._make_penalty()
    changed = {k: v for k, v in convexity.items() if getattr(penalty, k) != v}
    if changed:
        given = estimator.penalty
        given = PENALTIES[given]() if isinstance(given, str) else clone(given)
        estimator.penalty = given.set_params(**changed)


@torch.no_grad()
def place(estimator: Estimator, step: Step) -> None:
    """Put the weights of a step, and what else belongs to it, into the estimator's net."""
    module = estimator.net_.module_
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name, value in step.state.items():
        tensors[name].copy_(value)


@torch.no_grad()
def summarize(
    template: Estimator,
    steps: list[Step],
    rows: TensorData,
    held_out: TensorData | None,
    y_val: np.ndarray | None,
) -> RegularizationPath:
    """Measure every step of a path, many at a time."""
    net = template.net_
    network = network_of(template, rows)
    net.module_.eval()
    rows = rows.to(net.device)
    data_losses, penalties, zeros, scores = [], [], [], []
    for start in range(0, len(steps), network.measured_at_once):
        part = steps[start : start + network.measured_at_once]
        losses, raw = network.measure(part, rows, held_out)
        data_losses.append(losses.double().cpu().numpy())
        if raw is not None:
            assert y_val is not None
            scores.append(template._score_raw(y_val, None, raw))
    for step in steps:
        strengths = {"alpha": step.alpha, **step.convexity}
        network.set_strengths(**{name: np.array([value]) for name, value in strengths.items()})
        place(template, step)
        penalties.append(net.penalty_values().double().cpu().numpy()[0])
        zeros.append(template.sparsity_)
    alphas = np.array([step.alpha for step in steps])
    selected = np.array([step.selected for step in steps])
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
        unit_parameters=None,
        _template=template,
        _steps=steps,
    )


def entry_alphas(alphas: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """The largest alpha at which each feature, or unit, is still in; 0 where it never was."""
    return np.where(selected, alphas[:, None], 0.0).max(0)


def refit_path(
    path: RegularizationPath,
    rows: TensorData,
    held_out: TensorData | None,
    y_val: np.ndarray | None,
) -> RegularizationPath:
    """Return the path with every support trained without the penalty."""
    template: Any = copy.deepcopy(path._template)
    network = network_of(template, rows)
    steps = refit_steps(network, path._steps or [], rows)
    template.penalty = None
    template.net_.set_penalty(None)
    summary = summarize(template, steps, rows, held_out, y_val)
    return replace(summary, unit_parameters=path.unit_parameters)
