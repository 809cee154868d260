"""Cross-validation of alpha along paths: what the two estimators share.

A path on all rows, one for each l1_ratio, finds the alphas that matter. Then every fold follows
them, and the scores on the rows that were left out choose. The network at that alpha, on the
path of all rows, is the answer: it was trained as those that were scored.
"""

from __future__ import annotations

from inspect import signature
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import _fit_context, is_classifier
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch, indexable
from sklearn.utils._metadata_requests import _raise_for_params, _routing_enabled
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, validate_data

from skreg.estimators.base import FitJob
from skreg.estimators.checks import densify, private_random_state
from skreg.estimators.mlp import BaseRegularizedMLP
from skreg.estimators.parameters import SHARE, SHARE_BETWEEN, parameter, parametrized
from skreg.estimators.rollback import all_or_nothing
from skreg.path.choice import alphas_of_rules, choose, comparable, finite_everywhere
from skreg.path.ends import check_zeros
from skreg.path.folds import (
    Fold,
    Rows,
    Scorer,
    check_splits,
    follower_of,
    knowing_labels,
    score_folds,
)
from skreg.path.networks import PathNetwork, PathPoint
from skreg.path.run import check_alphas, follow, summarize, train_dense
from skreg.penalties import Penalty
from skreg.penalties.by_name import DEFAULT_ALPHA, DEFAULT_L1_RATIO, make_penalty
from skreg.training.runtime import threads_worth, warn_caller

# Rounds at an alpha where nothing happens: fewer than on a path that is to be read. With the L2
# that a choice adds networks are soon where they go.
_MAX_ROUNDS = 3
# Parameters that an estimator of one alpha does not have.
_OF_CHOICE = ("alphas", "eps", "cv", "scoring", "selection", "n_jobs", "store_networks")


def _never(estimator: PathCV) -> bool:
    raise AttributeError(
        f"{type(estimator).__name__} has no partial_fit: fit chooses alpha from all rows."
    )


@parametrized
class PathCV(BaseRegularizedMLP):
    """Parameters and fitting of the estimators that choose alpha.

    Parameters
    ----------
    penalty : str or Penalty, default="group_mcp"
        What is put on the weights: "l1", "elasticnet", "group_lasso", "sparse_group_lasso",
        "mcp", "scad", "group_mcp" or "group_scad", or an object of :mod:`skreg.penalties`
        without an `alpha`. It has to give exact zeros, or `alphas` has to be an array. With
        hidden layers, a penalty that is not convex and whose `l2_ratio` is None is combined
        with L2 of strength 4 · alpha: alone it does not shrink what it keeps, and scores on
        noisy rows would say little.
    l1_ratio : float or array-like of float, default=0.5
        Share of L1, for the penalties that have one. Of a list the best is chosen.
    alphas : int or array-like of shape (n_alphas,), default=100
        About how many alphas the path of all rows visits, where it decides by itself as
        :func:`skreg.regularization_path` does, in fewer rounds; or the alphas to try.
    eps : float, default=1e-3
        Where a path begins, as a share of the alpha that leaves nothing; with hidden layers
        later, if no feature goes before. Not used with an array of alphas.
    cv : int, cross-validation generator or iterable, default=None
        None is 5 folds (stratified for a classifier).
    scoring : str or callable, default=None
        Larger is better. None is the estimator's `score`. Where it raises, the score is NaN,
        with a warning. Alphas at which the score of a fold is not finite are not chosen, with
        a warning that names them.
    selection : {"min", "1se"}, default="min"
        - "min": the alpha of the best mean score.
        - "1se": the largest alpha, at the same l1_ratio, whose mean score is at most one
          standard error of the best below it: fewer features for about the same score.
    n_jobs : int or None, default=None
        Threads that the folds may be divided among; None is 1, -1 all cores. The folds of
        small networks are trained on one, which is faster. The result is the same, to rounding.
    store_networks : bool, default=False
        Whether `path_` keeps the network at each alpha, for its `estimator_at`: as many
        networks as alphas, in memory and in a pickle.
    max_iter : int, default=200
        Most epochs (of "fista", iterations) of the dense start of each path.
    n_iter_no_change : int or inf, default=10
        Epochs without improvement that are put up with in the dense start of each path.
    early_stopping : bool, default=False
        In the dense start of each path, hold out `validation_fraction` of the samples, stop
        by their score, and end with the weights that scored best.
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights, which all folds share, the validation split, the order
        of the samples and dropout. None draws fresh entropy.

    Attributes
    ----------
    alpha_ : float
        The strength that was chosen.
    l1_ratio_ : float
        The l1_ratio that was chosen.
    l1_ratios_ : ndarray of shape (n_l1_ratios,)
        Those it was chosen from.
    alphas_ : ndarray of shape (n_alphas,) or (n_l1_ratios, n_alphas)
        Ascending; of two axes if `l1_ratio` is a list.
    score_path_ : ndarray of shape (n_alphas, n_folds) or (n_l1_ratios, n_alphas, n_folds)
        Scores on the rows that each fold left out.
    eligible_ : ndarray of bool of the shape of `alphas_`
        What may be chosen: where the scores of all folds are finite. With hidden layers
        features may go one after the other at nearly the same alpha; where the network of all
        rows has lost a quarter more or less of them than those of the folds, their scores
        say nothing of it.
    best_score_ : float
        The mean score of the choice.
    path_ : RegularizationPath
        Of all rows, at the l1_ratio that was chosen. Its `estimator_at` wants
        `store_networks`.
    loss_curve_, data_loss_curve_, penalty_curve_ : list of float
        Objective, data loss and penalty at each alpha of the path; the first is the sum of
        the others.

    Raises
    ------
    ValueError
        If parameters or data are out of range or contradict each other, if `alphas` is a
        number and the penalty gives no exact zeros, if `cv` gives no folds or one without
        rows, if no alpha has finite scores, or if training diverges.
    KeyboardInterrupt
        If that ends the training. The estimator is as it was before.

    References
    ----------
    Hastie, Tibshirani & Friedman, "The Elements of Statistical Learning", 2009, section 7.10
    (the one-standard-error rule).
    """

    penalty: Any = parameter(
        *BaseRegularizedMLP._parameter_constraints["penalty"], default="group_mcp"
    )
    l1_ratio: Any = parameter(SHARE, "array-like", default=DEFAULT_L1_RATIO)
    alphas: Any = parameter(
        Interval(Integral, 2, None, closed="left"), "array-like", default=100
    )
    eps: float = parameter(SHARE_BETWEEN, default=1e-3)
    cv: Any = parameter("cv_object", default=None)
    scoring: Any = parameter(StrOptions(set(get_scorer_names())), callable, None, default=None)
    selection: str = parameter(StrOptions({"min", "1se"}), default="min")
    n_jobs: int | None = parameter(Integral, None, default=None)
    store_networks: bool = parameter("boolean", default=False)

    # What estimators of one alpha let one choose, and a path does not.
    _fixed = (
        *("alpha", "penalty_method", "warm_start"),
        *("checkpoint", "checkpoint_interval", "resume", "callbacks"),
    )
    #: The estimator of one alpha.
    _of_one_alpha: ClassVar[type[BaseRegularizedMLP]]

    @property  # type: ignore[misc]
    def alpha(self) -> float:  # type: ignore[override]
        """The alpha that was chosen, which estimators of one alpha have as a parameter."""
        return vars(self).get("alpha_", DEFAULT_ALPHA)

    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Self:
        """Find alpha, and fit the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            Used in training, and in scoring where the scorer takes it. With metadata routing
            the scorer has to say so (``set_score_request``).
        **params : dict of str -> object
            Passed on to the splitter and the scorer, as in
            :class:`sklearn.model_selection.GridSearchCV`: `groups`, and with metadata routing
            (``sklearn.set_config(enable_metadata_routing=True)``) whatever is requested.

        Returns
        -------
        self : object
        """
        self._fit_path(X, y, sample_weight, params)
        return self

    @available_if(_never)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Not here: `fit` chooses alpha from all rows."""

    def compact(self) -> Self:
        """Return a copy with a smaller network that predicts the same, and faster.

        What :meth:`RegularizedMLPRegressor.compact` says. The networks that `path_` keeps with
        ``store_networks=True`` are left out.

        Returns
        -------
        compacted : estimator of the same class
            Fitted, and independent of this one.
        """
        compacted = super().compact()
        compacted.path_ = compacted.path_.without_networks()
        return compacted

    def _make_penalty(self) -> Penalty | None:
        l1_ratio = vars(self).get("l1_ratio_", DEFAULT_L1_RATIO)
        return make_penalty(self.penalty, self.alpha, l1_ratio)

    def _ratios(self) -> list[float]:
        ratios = np.atleast_1d(np.asarray(self.l1_ratio, dtype=float)).tolist()
        if not ratios or not all(0 <= ratio <= 1 for ratio in ratios):
            raise ValueError(
                f"l1_ratio must be a number between 0 and 1 or a list of such, got "
                f"{self.l1_ratio!r}."
            )
        return ratios

    def _make_template(self, l1_ratio: float, seed: int) -> BaseRegularizedMLP:
        """The estimator of one alpha with these parameters."""
        if self.penalty is None or getattr(self.penalty, "alpha", None) is not None:
            raise ValueError(
                f"{type(self).__name__} chooses alpha, but penalty={self.penalty!r} leaves "
                f"nothing to choose. Use a penalty by name, or an object without an alpha."
            )
        parameters = self.get_params(deep=False)
        parameters.update(alpha=1.0, l1_ratio=l1_ratio, random_state=seed)
        template = self._of_one_alpha(
            **{name: value for name, value in parameters.items() if name not in _OF_CHOICE}
        )
        if len(self._ratios()) > 1 and not hasattr(template._make_penalty(), "l1_ratio"):
            raise ValueError(
                f"l1_ratio is a list, but penalty={self.penalty!r} has no l1_ratio. Give one "
                f"number, or use penalty='elasticnet' or 'sparse_group_lasso'."
            )
        return template

    def get_metadata_routing(self) -> MetadataRouter:
        """Say what `fit` hands on: to the scorer and to the splitter `cv`.

        Returns
        -------
        MetadataRouter
        """
        # Where the estimator's `score` scores, its request says what it is given.
        scorer = self._scorer() or self._get_metadata_request()
        splits = MethodMapping().add(caller="fit", callee="split")
        scores = MethodMapping().add(caller="fit", callee="score")
        router = MetadataRouter(owner=self).add_self_request(self)
        router.add(splitter=self.cv, method_mapping=splits)
        return router.add(scorer=scorer, method_mapping=scores)

    def _scorer(self) -> Scorer | None:
        """What scores the folds; None for the estimator's `score`."""
        return None if self.scoring is None else check_scoring(self, scoring=self.scoring)

    def _route(self, scorer: Scorer | None, sample_weight: Any, params: dict[str, Any]) -> Any:
        """What the splitter and the scorer are given, as in ``GridSearchCV``."""
        _raise_for_params(params, self, "fit", allow=["groups"])
        if _routing_enabled():
            return process_routing(self, "fit", sample_weight=sample_weight, **params)
        weights = {}
        if sample_weight is not None:
            if scorer is None or _takes_weights(scorer):
                weights["sample_weight"] = sample_weight
            else:
                warn_caller(
                    f"scoring={self.scoring!r} does not support sample_weight: networks are "
                    f"trained with the weights, and folds are scored without."
                )
        return Bunch(splitter=Bunch(split=params), scorer=Bunch(score=weights))

    def _fit_path(self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any]) -> None:
        ratios = self._ratios()
        scorer = self._scorer()
        routed = self._route(scorer, sample_weight, params)
        seed = _seed_of(self.random_state)
        templates = [self._make_template(ratio, seed) for ratio in ratios]
        jobs = [template._prepare(X, y, sample_weight) for template in templates]
        first, rows, nets = templates[0], jobs[0].train, [t.net_ for t in templates]
        if isinstance(self.alphas, Integral):
            for net in nets:
                check_zeros(PathNetwork(net), self.penalty)
        grid = check_alphas(self.alphas)
        data = _checked(first, X, y, sample_weight, scorer, routed.scorer.score)
        folds = self._make_folds(first, data, routed.splitter.split, seed)
        with threads_worth(first.net_.multiplications(len(rows))):
            is_linear = PathNetwork(first.net_).is_linear
            paths = self._follow_all_rows(templates, jobs[0], grid, is_linear)
            alphas = np.array([[point.alpha for point in path] for path in paths])
            rounds = [max(p.n_rounds for p in points) for points in zip(*paths, strict=True)]
            n_threads = effective_n_jobs(self.n_jobs)
            scores, n_features = score_folds(folds, nets, alphas, rounds, n_threads)
            eligible = finite_everywhere(alphas, scores)
            if not is_linear:
                of_all = np.array([[point.selected.sum() for point in path] for path in paths])
                eligible = comparable(of_all, n_features, eligible)
            ratio, number = choose(alphas, scores, self.selection, eligible)
            chosen = summarize(templates[ratio], PathNetwork(nets[ratio]), paths[ratio], rows)
        self._become(chosen.estimator_at(number))
        single = np.ndim(self.l1_ratio) == 0
        self.path_ = chosen if self.store_networks else chosen.without_networks()
        self.alpha_ = float(alphas[ratio, number])
        self.l1_ratio_ = ratios[ratio]
        self.l1_ratios_ = np.array(ratios)
        self.alphas_ = alphas[0] if single else alphas
        self.score_path_ = scores[0] if single else scores
        self.eligible_ = eligible[0] if single else eligible
        self.best_score_ = float(scores[ratio, number].mean())

    def _follow_all_rows(
        self, templates: list[BaseRegularizedMLP], job: FitJob, grid: Any, is_linear: bool
    ) -> list[list[PathPoint]]:
        """The path of all rows for each l1_ratio, equally long."""
        nets, max_iter = [template.net_ for template in templates], templates[0].max_iter
        train_dense(templates[:1], [job], PathNetwork(nets[0]))
        follower, table = follower_of(nets[:1], [job.train], nets, max_iter)
        if isinstance(grid, Integral) and not is_linear:
            follower.max_rounds = _MAX_ROUNDS
        paths = follow(follower, table, grid, self.eps)
        follower.net.end()
        longest = max(len(path) for path in paths)
        # Where nothing is left more of the penalty changes nothing.
        return [path + [path[-1]] * (longest - len(path)) for path in paths]

    def _make_folds(
        self, full: BaseRegularizedMLP, data: Rows, params: dict[str, Any], seed: int
    ) -> list[Fold]:
        """The folds of the rows, prepared and checked; each knows all classes there are."""
        cv = check_cv(self.cv, data.y, classifier=is_classifier(self))
        splits = list(cv.split(data.X, data.y, **params))
        check_splits(splits)
        folds = []
        for number, split in enumerate(splits):
            template = self._make_template(full.l1_ratio, seed)
            if is_classifier(full):
                template._declare_classes(full.classes_)
            folds.append(Fold.of(number, template, data, split))
        for fold in folds:
            fold.check_defined()
        return folds

    def _scores_along_path(self) -> tuple[np.ndarray, float | None, float | None]:
        """Scores of the folds at the chosen l1_ratio, and the choices of both rules there."""
        scores, eligible = np.asarray(self.score_path_), np.asarray(self.eligible_)
        if scores.ndim == 3:
            ratio = int(np.argmax(np.asarray(self.l1_ratios_) == self.l1_ratio_))
            scores, eligible = scores[ratio], eligible[ratio]
        return scores, *alphas_of_rules(self.path_.alphas, scores, eligible)

    def _become(self, fitted: BaseRegularizedMLP) -> None:
        """Take over what an estimator of one alpha has learned; forget an earlier fit."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        for name, value in vars(fitted).items():
            if name not in fitted.get_params(deep=False):
                setattr(self, name, value)


def _seed_of(random_state: Any) -> int:
    """A seed that folds and l1_ratios share, so that they begin alike."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(private_random_state(random_state).randint(2**31 - 1))


def _takes_weights(scorer: Any) -> bool:
    if hasattr(scorer, "_accept_sample_weight"):
        return scorer._accept_sample_weight()
    return "sample_weight" in signature(scorer).parameters


def _checked(
    fitted: BaseRegularizedMLP,
    X: Any,
    y: Any,
    sample_weight: Any,
    scorer: Scorer | None,
    score_params: dict[str, Any],
) -> Rows:
    """The data of `fit` as arrays, ready to be divided, and what scores them."""
    (given,) = indexable(X)
    X = validate_data(fitted, X, accept_sparse="csr", dtype=fitted._dtype, reset=False)
    y = np.asarray(densify(y))
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if sample_weight is not None:
        sample_weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
    if "sample_weight" in score_params:
        weights = _check_sample_weight(score_params["sample_weight"], X, dtype=X.dtype)
        score_params = {**score_params, "sample_weight": weights}
    if is_classifier(fitted) and not fitted._multilabel:
        scorer = knowing_labels(scorer, fitted.classes_)
    return Rows(
        X,
        y,
        sample_weight,
        names=getattr(fitted, "feature_names_in_", None),
        # A scorer is shown the rows as they came: with their names.
        X_to_score=X if scorer is None else given,
        scorer=scorer,
        score_params=score_params,
    )
