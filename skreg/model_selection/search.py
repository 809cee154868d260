"""Searches over parameters that train the whole grid as a few large networks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from sklearn import model_selection
from sklearn.base import _fit_context, clone, is_classifier
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection import _validation
from sklearn.utils import gen_even_slices, indexable
from sklearn.utils.validation import _check_method_params

from skreg.estimators.resume import RESUME_CONSTRAINTS, SearchKeeper
from skreg.estimators.rollback import all_or_nothing
from skreg.model_selection.evaluation import Evaluation
from skreg.model_selection.nesting import find_network
from skreg.model_selection.progress import SearchProgress

# Into how many parts each process's share of a search with a checkpoint is cut.
_SHARDS_PER_JOB = 8


@dataclass(kw_only=True, eq=False, repr=False)
class _StackedSearch:
    """Parameters and `fit` of both searches, of scikit-learn's parts where it has them."""

    scoring: Any = None
    n_jobs: int | None = None
    refit: Any = True
    cv: Any = None
    verbose: int = 0
    pre_dispatch: int | str = "2*n_jobs"
    error_score: Any = np.nan
    return_train_score: bool = False
    checkpoint: str | os.PathLike | None = None
    checkpoint_interval: float = 30.0
    resume: bool = False

    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self: Any, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit all candidates on all splits as stacks, then the best one on all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        **params : dict of str -> object
            Passed on to the estimator's `fit`, the scorer and the splitter, as in
            scikit-learn's searches: `sample_weight`, `groups` and, with metadata routing,
            whatever is requested.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If the estimator does not end in a network of skreg.
        ValueError
            If all fits failed.
        """
        candidates = list(self._candidates())
        for candidate in candidates:
            find_network(clone(self.estimator).set_params(**clone(candidate, safe=False)))
        scorers, refit_metric = self._get_scorers()
        X, y = indexable(X, y)
        params = _check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        cv = model_selection.check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = list(cv.split(X, y, **routed.splitter.split))
        evaluation = Evaluation(
            estimator=clone(self.estimator),
            X=X,
            y=y,
            scorer=scorers,
            fit_params=routed.estimator.fit,
            score_params=routed.scorer.score,
            candidates=candidates,
            splits=splits,
            error_score=self.error_score,
            return_train_score=self.return_train_score,
            verbose=self.verbose,
        )
        keeper = SearchKeeper.of(self, {**evaluation.identity(), "scoring": self.scoring})
        n_fits = len(candidates) * len(splits)
        with SearchProgress(self, X, y, n_fits, refits=bool(self.refit)) as progress:
            with progress.search():
                out = self._evaluate(evaluation, progress.report, keeper)
            _validation._warn_or_raise_about_fit_failures(out, self.error_score)
            if callable(self.scoring):
                _validation._insert_error_scores(out, self.error_score)
            results = self._format_results(candidates, len(splits), out)
            self.multimetric_ = isinstance(out[0]["test_scores"], dict)
            if callable(self.scoring) and self.multimetric_:
                self._check_refit_for_multimetric(out[0]["test_scores"])
                refit_metric = self.refit
            if self.refit or not self.multimetric_:
                self.best_index_ = self._select_best_index(self.refit, refit_metric, results)
                if not callable(self.refit):
                    self.best_score_ = results[f"mean_test_{refit_metric}"][self.best_index_]
                self.best_params_ = results["params"][self.best_index_]
            if self.refit:
                self.best_estimator_ = clone(evaluation.estimator).set_params(
                    **clone(self.best_params_, safe=False)
                )
                start = time.time()
                with progress.refit(self.best_estimator_):
                    self.best_estimator_.fit(X, y, **routed.estimator.fit)
                self.refit_time_ = time.time() - start
                if hasattr(self.best_estimator_, "feature_names_in_"):
                    self.feature_names_in_ = self.best_estimator_.feature_names_in_
        self.scorer_ = scorers._scorers if isinstance(scorers, _MultimetricScorer) else scorers
        self.cv_results_ = results
        self.n_splits_ = len(splits)
        return self

    def _evaluate(
        self: Any,
        evaluation: Evaluation,
        report: Callable[[float], None],
        keeper: SearchKeeper | None,
    ) -> list[dict]:
        """Results of all cells, by candidate and then by split."""
        n_candidates, n_splits = len(evaluation.candidates), len(evaluation.splits)
        cells = [(c, s) for c in range(n_candidates) for s in range(n_splits)]
        if not cells:
            raise ValueError(
                f"No fits were performed: there are {n_candidates} candidates and {n_splits} "
                f"splits. Give at least one of each."
            )
        n_shards = min(effective_n_jobs(self.n_jobs), len(cells))
        if n_shards == 1:
            done = dict(evaluation.run(cells, report, keeper))
        else:
            # Cells of one split are kept together: the fewer splits a shard has, the fewer
            # transformers it fits and the more its networks share.
            cells.sort(key=lambda cell: cell[1])
            parallel = Parallel(n_jobs=self.n_jobs, pre_dispatch=self.pre_dispatch)
            done = {}
            if keeper is not None:
                # Smaller shards, so that there is something to keep before the end.
                n_shards = min(_SHARDS_PER_JOB * n_shards, len(cells))
                done = dict(keeper.done)
                if parallel._backend.supports_return_generator:
                    parallel.return_generator, parallel.return_ordered = True, False
            shards = [cells[k] for k in gen_even_slices(len(cells), n_shards)]
            missing = [shard for shard in shards if not done.keys() >= set(shard)]
            report(sum(map(len, shards)) - sum(map(len, missing)))
            for part in parallel(delayed(evaluation.run)(shard) for shard in missing):
                done.update(part)
                report(len(part))
                if keeper is not None:
                    keeper.keep(part)
        if keeper is not None:
            keeper.keep((), last=True)
        return [done[cell] for cell in sorted(done)]


@dataclass(eq=False, repr=False)
class StackedGridSearchCV(_StackedSearch, model_selection.GridSearchCV):
    """``GridSearchCV`` for the networks of skreg, the grid trained as a few large networks.

    Parameters, attributes and methods are those of
    :class:`sklearn.model_selection.GridSearchCV`, and so are the results, to rounding. Every
    candidate is trained on every split as it would be alone, with the same batches and the
    same stopping, but together with others: candidates that share an architecture form a
    stack, whose members may differ in `alpha`, `l1_ratio`, `learning_rate_init`,
    `momentum`, `random_state` and `tol` and in their rows. Parameters that change the
    architecture or the way of training make separate stacks.

    Parameters
    ----------
    estimator : estimator object
        A :class:`~skreg.RegularizedMLPRegressor` or
        :class:`~skreg.RegularizedMLPClassifier`; a ``Pipeline`` that ends in one; or a
        ``TransformedTargetRegressor`` around either. Transformers are fitted once per split
        and setting of their parameters. A :class:`~skreg.RegularizedNetRegressor` or
        :class:`~skreg.RegularizedNetClassifier` may take their place: such networks are
        fitted one by one, as in scikit-learn's search.
    param_grid : dict or list of dicts
        Lists of values by parameter name.
    scoring : str, callable, list, tuple, dict or None, default=None
        How to score on the held-out rows; several metrics need `refit`.
    n_jobs : int or None, default=None
        None trains in this process, with as many threads as torch has
        (``torch.get_num_threads()``). A number divides the stacks among that many processes
        of joblib's backend, each sent the data once: with
        ``joblib.parallel_config("dask")`` they run on the workers of a Dask cluster.
    refit : bool, str or callable, default=True
        Whether, by which metric or by which rule to fit the best candidate on all rows.
    cv : int, cross-validation generator or iterable, default=None
        The splits; None is five folds.
    verbose : int, default=0
        1 prints how far the search is and when it will end, 2 every score too.
    pre_dispatch : int or str, default="2*n_jobs"
        How many shards joblib is given at once.
    error_score : "raise" or numeric, default=np.nan
        The score where a fit fails.
    return_train_score : bool, default=False
        Whether to score on the training rows too.
    checkpoint : str, path-like or None, default=None
        File that the search keeps its results in, so that it survives being killed. It is
        replaced as a whole, and nothing in it is ever run (``weights_only=True``). The refit
        is not part of it: give the network itself a `checkpoint` for that.
    checkpoint_interval : float, default=30.0
        Least number of seconds between two writes of `checkpoint`.
    resume : bool, default=False
        Whether to go on from `checkpoint`, where that file exists. Stacks that were done are
        not trained again, and the same call on the same data ends with the results of a
        search that was never interrupted: on a CPU, and with the same `n_jobs` and number of
        threads, to the last bit. Candidates with ``random_state=None`` are drawn again.

    Attributes
    ----------
    cv_results_ : dict of ndarray
        As in ``GridSearchCV``. The fit times of a stack's members are its time, shared out
        evenly.
    best_estimator_ : estimator
        Fitted on all rows, if `refit`.
    best_score_ : float
        Mean score of the best candidate.
    best_params_ : dict
        Its parameters.
    best_index_ : int
        Its place in `cv_results_`.
    scorer_ : function or dict
        What scored.
    n_splits_ : int
        Number of splits.
    refit_time_ : float
        Seconds, if `refit`.
    multimetric_ : bool
        Whether there are several metrics.
    classes_, n_features_in_, feature_names_in_
        Those of `best_estimator_`.

    See Also
    --------
    StackedRandomizedSearchCV : The same for candidates drawn at random.
    sklearn.model_selection.GridSearchCV : For any estimator, one fit at a time.

    Notes
    -----
    A member that has converged leaves its stack; one whose training diverges is fitted
    alone, with the warning or error that its `fit` would give. Estimators with skorch
    `callbacks`, or that print (`verbose`), are fitted alone as well.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import scale
    >>> from skreg import RegularizedMLPClassifier, StackedGridSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> network = RegularizedMLPClassifier(
    ...     (16,), penalty="l1", learning_rate_init=0.02, max_iter=500, random_state=0
    ... )
    >>> grid = {"alpha": [0.001, 0.01, 0.1], "random_state": [0, 1]}
    >>> search = StackedGridSearchCV(network, grid).fit(scale(X), y)
    >>> search.best_params_["alpha"], round(float(search.best_score_), 2)
    (0.001, 0.97)
    """

    _parameter_constraints: ClassVar[dict] = (
        model_selection.GridSearchCV._parameter_constraints | RESUME_CONSTRAINTS
    )

    estimator: Any
    param_grid: Any

    def _candidates(self) -> Iterable[dict]:
        return model_selection.ParameterGrid(self.param_grid)


@dataclass(eq=False, repr=False)
class StackedRandomizedSearchCV(_StackedSearch, model_selection.RandomizedSearchCV):
    """``RandomizedSearchCV`` for the networks of skreg, trained as a few large networks.

    Parameters, attributes and methods are those of
    :class:`sklearn.model_selection.RandomizedSearchCV`; how candidates are trained, what
    `estimator`, `n_jobs` and `verbose` mean, and what makes a stack is as in
    :class:`StackedGridSearchCV`.

    Parameters
    ----------
    estimator : estimator object
        As in :class:`StackedGridSearchCV`.
    param_distributions : dict or list of dicts
        Distributions to draw from (objects with ``rvs``), or lists, by parameter name.
    n_iter : int, default=10
        Candidates to draw.
    scoring, n_jobs, refit, cv, verbose, pre_dispatch, error_score, return_train_score
        As in :class:`StackedGridSearchCV`.
    random_state : int, RandomState instance or None, default=None
        Draws the candidates.
    checkpoint, checkpoint_interval, resume
        As in :class:`StackedGridSearchCV`. With ``random_state=None`` other candidates are
        drawn in each call, and there is nothing to resume.

    See Also
    --------
    StackedGridSearchCV : The same for all combinations of given values.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import scale
    >>> from skreg import RegularizedMLPClassifier, StackedRandomizedSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> network = RegularizedMLPClassifier(
    ...     (16,), penalty="l1", learning_rate_init=0.02, max_iter=500, random_state=0
    ... )
    >>> search = StackedRandomizedSearchCV(
    ...     network, {"alpha": loguniform(1e-4, 1)}, n_iter=8, random_state=0
    ... ).fit(scale(X), y)
    >>> bool(search.best_score_ > 0.95)
    True
    """

    _parameter_constraints: ClassVar[dict] = (
        model_selection.RandomizedSearchCV._parameter_constraints | RESUME_CONSTRAINTS
    )

    estimator: Any
    param_distributions: Any
    n_iter: int = field(default=10, kw_only=True)
    random_state: Any = field(default=None, kw_only=True)

    def _candidates(self) -> Iterable[dict]:
        return model_selection.ParameterSampler(
            self.param_distributions, self.n_iter, random_state=self.random_state
        )
