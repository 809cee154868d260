"""The estimators that choose their own alpha, as ``LassoCV`` does for a linear model.

>>> from sklearn.datasets import load_diabetes
>>> from sklearn.preprocessing import scale
>>> from skreg import RegularizedMLPRegressorCV
>>> X, y = load_diabetes(return_X_y=True)
>>> lasso = RegularizedMLPRegressorCV(
...     (), penalty="l1", solver="fista", alphas=20, selection="1se"
... )
>>> lasso.fit(scale(X), scale(y)).selected_features_.sum()
np.int64(5)

How they do it stands in :mod:`skreg.path.cv` and :mod:`skreg.path.folds`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from torch import Tensor

from skreg.estimators.mlp_classifier import RegularizedMLPClassifier
from skreg.estimators.mlp_regressor import RegularizedMLPRegressor
from skreg.estimators.rollback import all_or_nothing
from skreg.losses import Loss
from skreg.path.cv import PathCV
from skreg.penalties import Penalty
from skreg.penalties.by_name import DEFAULT_L1_RATIO


class RegularizedMLPRegressorCV(PathCV, RegularizedMLPRegressor):
    """Multi-layer perceptron regressor that chooses the strength of its penalty.

    A path on all rows, from dense to nothing left, finds the alphas that matter. Every fold
    walks along the same alphas, all folds and l1_ratios as one stack, and is scored on the
    rows it left out. The estimator is the network of the path of all rows at the alpha (and
    l1_ratio) that was chosen; the objective is that of :class:`RegularizedMLPRegressor`.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int or int, default=(100,)
        Neurons of each hidden layer; ``()`` is a linear model.

    activation : {"identity", "logistic", "tanh", "relu"}, default="relu"
        Activation of the hidden layers.

    penalty : str or Penalty, default="group_mcp"
        As in the plain estimator, without a strength of its own. It is to give exact zeros,
        or `alphas` is to be an array. One that is not convex and whose `l2_ratio` is None has
        L2 beside it with hidden layers, of 4 · alpha: such a penalty alone does not shrink
        what it keeps, and scores on noisy rows would say little.

    l1_ratio : float or array-like of float, default=0.5
        Share of L1, for the penalties that have one. Of a list the best is chosen.

    alphas : int or array-like of shape (n_alphas,), default=100
        About how many alphas the path of all rows visits, where it decides by itself as
        :func:`skreg.regularization_path` does, with shorter stays; or the alphas to try.

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
        small networks stay on one, which is faster. The result is the same, to rounding.

    store_networks : bool, default=False
        Whether `path_` keeps the network at each alpha, for its `estimator_at`: as many
        networks as alphas, in memory and in a pickle.

    loss : str or callable, default="squared_error"
        As in the plain estimator.

    solver, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle, tol, \
            n_iter_no_change, early_stopping, validation_fraction, momentum, \
            nesterovs_momentum, beta_1, beta_2, epsilon, max_fun, penalize_bias, dropout, \
            device, verbose
        As in the plain estimator. `max_iter`, `n_iter_no_change` and `early_stopping` are
        those of the dense start of each path.

    random_state : int, RandomState instance or None, default=None
        Of every network: folds begin with the same weights.

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
        rows has lost a quarter more or less of them than those of the folds, their scores are
        not its own.

    best_score_ : float
        The mean score of the choice.

    path_ : RegularizationPath
        Of all rows, at the l1_ratio that was chosen. Its `estimator_at` wants
        `store_networks`.

    coefs_, intercepts_, sparsity_, feature_importances_, selected_features_, n_iter_, \
            loss_curve_, net_, n_features_in_, feature_names_in_
        As in the plain estimator, with all its other attributes. The curves are those of
        the path, one entry for each alpha.

    Raises
    ------
    ValueError
        If parameters or data are out of range or contradict each other, if `alphas` is a
        number and the penalty gives no exact zeros, if `cv` gives no folds or one without
        rows, if no alpha has finite scores, or if training diverges.
    KeyboardInterrupt
        If that ends the training. The estimator is as it was before.

    See Also
    --------
    RegularizedMLPRegressor : The same at one alpha.
    regularization_path : The path alone.
    sklearn.linear_model.ElasticNetCV : The same for linear models.

    References
    ----------
    Hastie, Tibshirani & Friedman, "The Elements of Statistical Learning", 2009, section 7.10
    (the one-standard-error rule).

    Examples
    --------
    >>> import numpy as np
    >>> from skreg import RegularizedMLPRegressorCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 10)).astype(np.float32)
    >>> y = np.maximum(X[:, 0], X[:, 1]) + 0.3 * rng.normal(size=200)
    >>> model = RegularizedMLPRegressorCV(
    ...     (20,), alphas=30, learning_rate_init=0.01, selection="1se", random_state=0
    ... ).fit(X, y)
    >>> np.flatnonzero(model.selected_features_)
    array([0, 1])
    """

    _of_one_alpha = RegularizedMLPRegressor
    _parameter_constraints: dict = {
        **PathCV._parameter_constraints,
        "loss": RegularizedMLPRegressor._parameter_constraints["loss"],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        penalty: str | Penalty = "group_mcp",
        l1_ratio: Any = DEFAULT_L1_RATIO,
        alphas: Any = 100,
        eps: float = 1e-3,
        cv: Any = None,
        scoring: Any = None,
        selection: str = "min",
        n_jobs: int | None = None,
        store_networks: bool = False,
        loss: str | Loss | Callable[[Tensor, Tensor], Tensor] = "squared_error",
        solver: str = "adam",
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        n_iter_no_change: float = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        max_fun: int = 15000,
        penalize_bias: bool = False,
        dropout: float = 0.0,
        device: str = "auto",
        verbose: bool | int = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.penalty = penalty
        self.l1_ratio = l1_ratio
        self.alphas = alphas
        self.eps = eps
        self.cv = cv
        self.scoring = scoring
        self.selection = selection
        self.n_jobs = n_jobs
        self.store_networks = store_networks
        self.loss = loss
        self.solver = solver
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.max_fun = max_fun
        self.penalize_bias = penalize_bias
        self.dropout = dropout
        self.device = device
        self.verbose = verbose

    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, **params: Any
    ) -> RegularizedMLPRegressorCV:
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
        self : RegularizedMLPRegressorCV
        """
        self._fit_path(X, y, sample_weight, params)
        return self


class RegularizedMLPClassifierCV(PathCV, RegularizedMLPClassifier):
    """Multi-layer perceptron classifier that chooses the strength of its penalty.

    A path on all rows, from dense to nothing left, finds the alphas that matter. Every fold
    walks along the same alphas, all folds and l1_ratios as one stack, and is scored on the
    rows it left out. The estimator is the network of the path of all rows at the alpha (and
    l1_ratio) that was chosen; the objective is that of :class:`RegularizedMLPClassifier`.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int or int, default=(100,)
        Neurons of each hidden layer; ``()`` is a linear model.

    activation : {"identity", "logistic", "tanh", "relu"}, default="relu"
        Activation of the hidden layers.

    penalty : str or Penalty, default="group_mcp"
        As in the plain estimator, without a strength of its own. It is to give exact zeros,
        or `alphas` is to be an array. One that is not convex and whose `l2_ratio` is None has
        L2 beside it with hidden layers, of 4 · alpha: such a penalty alone does not shrink
        what it keeps, and scores on noisy rows would say little.

    l1_ratio : float or array-like of float, default=0.5
        Share of L1, for the penalties that have one. Of a list the best is chosen.

    alphas : int or array-like of shape (n_alphas,), default=100
        About how many alphas the path of all rows visits, where it decides by itself as
        :func:`skreg.regularization_path` does, with shorter stays; or the alphas to try.

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
        small networks stay on one, which is faster. The result is the same, to rounding.

    store_networks : bool, default=False
        Whether `path_` keeps the network at each alpha, for its `estimator_at`: as many
        networks as alphas, in memory and in a pickle.

    class_weight : dict, list of dict, "balanced" or None, default=None
        As in the plain estimator.

    solver, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle, tol, \
            n_iter_no_change, early_stopping, validation_fraction, momentum, \
            nesterovs_momentum, beta_1, beta_2, epsilon, max_fun, penalize_bias, dropout, \
            device, verbose
        As in the plain estimator. `max_iter`, `n_iter_no_change` and `early_stopping` are
        those of the dense start of each path.

    random_state : int, RandomState instance or None, default=None
        Of every network: folds begin with the same weights.

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
        rows has lost a quarter more or less of them than those of the folds, their scores are
        not its own.

    best_score_ : float
        The mean score of the choice.

    path_ : RegularizationPath
        Of all rows, at the l1_ratio that was chosen. Its `estimator_at` wants
        `store_networks`.

    coefs_, intercepts_, sparsity_, feature_importances_, selected_features_, n_iter_, \
            loss_curve_, net_, n_features_in_, feature_names_in_
        As in the plain estimator, with all its other attributes. The curves are those of
        the path, one entry for each alpha.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    Raises
    ------
    ValueError
        If parameters or data are out of range or contradict each other, if `alphas` is a
        number and the penalty gives no exact zeros, if `cv` gives no folds or one without
        rows, if no alpha has finite scores, or if training diverges.
    KeyboardInterrupt
        If that ends the training. The estimator is as it was before.

    See Also
    --------
    RegularizedMLPClassifier : The same at one alpha.
    regularization_path : The path alone.
    sklearn.linear_model.LogisticRegressionCV : The same for linear models.

    References
    ----------
    Hastie, Tibshirani & Friedman, "The Elements of Statistical Learning", 2009, section 7.10
    (the one-standard-error rule).

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.preprocessing import scale
    >>> from skreg import RegularizedMLPClassifierCV
    >>> X, y = load_wine(return_X_y=True)
    >>> model = RegularizedMLPClassifierCV(
    ...     (20,), alphas=30, selection="1se", cv=3, random_state=0
    ... ).fit(scale(X), y)
    >>> bool(model.selected_features_.sum() < 13), model.score_path_.shape[1]
    (True, 3)
    """

    _of_one_alpha = RegularizedMLPClassifier
    _parameter_constraints: dict = {
        **PathCV._parameter_constraints,
        "class_weight": RegularizedMLPClassifier._parameter_constraints["class_weight"],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        penalty: str | Penalty = "group_mcp",
        l1_ratio: Any = DEFAULT_L1_RATIO,
        alphas: Any = 100,
        eps: float = 1e-3,
        cv: Any = None,
        scoring: Any = None,
        selection: str = "min",
        n_jobs: int | None = None,
        store_networks: bool = False,
        class_weight: dict | list | str | None = None,
        solver: str = "adam",
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        n_iter_no_change: float = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        max_fun: int = 15000,
        penalize_bias: bool = False,
        dropout: float = 0.0,
        device: str = "auto",
        verbose: bool | int = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.penalty = penalty
        self.l1_ratio = l1_ratio
        self.alphas = alphas
        self.eps = eps
        self.cv = cv
        self.scoring = scoring
        self.selection = selection
        self.n_jobs = n_jobs
        self.store_networks = store_networks
        self.class_weight = class_weight
        self.solver = solver
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.max_fun = max_fun
        self.penalize_bias = penalize_bias
        self.dropout = dropout
        self.device = device
        self.verbose = verbose

    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, **params: Any
    ) -> RegularizedMLPClassifierCV:
        """Find alpha, and fit the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        sample_weight : array-like of shape (n_samples,), default=None
            Used in training, and in scoring where the scorer takes it. With metadata routing
            the scorer has to say so (``set_score_request``).
        **params : dict of str -> object
            Passed on to the splitter and the scorer, as in
            :class:`sklearn.model_selection.GridSearchCV`: `groups`, and with metadata routing
            (``sklearn.set_config(enable_metadata_routing=True)``) whatever is requested.

        Returns
        -------
        self : RegularizedMLPClassifierCV
        """
        self._fit_path(X, y, sample_weight, params)
        return self
