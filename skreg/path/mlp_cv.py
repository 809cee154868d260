"""The estimators that choose their alpha, as ``LassoCV`` does for a linear model.

>>> from sklearn.datasets import load_diabetes
>>> from sklearn.preprocessing import scale
>>> from skreg import RegularizedMLPRegressorCV
>>> X, y = load_diabetes(return_X_y=True)
>>> lasso = RegularizedMLPRegressorCV(
...     (), penalty="l1", solver="fista", alphas=20, selection="1se"
... )
>>> int(lasso.fit(scale(X), scale(y)).selected_features_.sum())
5

How they do it stands in :mod:`skreg.path.cv` and :mod:`skreg.path.folds`.
"""

from __future__ import annotations

from skreg.estimators.mlp import RegularizedMLPClassifier, RegularizedMLPRegressor
from skreg.estimators.parameters import parametrized
from skreg.path.cv import PathCV


@parametrized
class RegularizedMLPRegressorCV(PathCV, RegularizedMLPRegressor):
    """Multi-layer perceptron regressor that chooses the strength of its penalty.

    A path on all rows, from dense to nothing left, finds the alphas that matter. Every fold
    follows the same alphas, all folds and l1_ratios as one stack, and is scored on the
    rows it left out. The estimator is the network of the path of all rows at the alpha (and
    l1_ratio) that was chosen; the objective is that of :class:`RegularizedMLPRegressor`.

    See Also
    --------
    RegularizedMLPRegressor : The same at one alpha.
    regularization_path : The path alone.
    sklearn.linear_model.ElasticNetCV : The same for linear models.

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


@parametrized
class RegularizedMLPClassifierCV(PathCV, RegularizedMLPClassifier):
    """Multi-layer perceptron classifier that chooses the strength of its penalty.

    A path on all rows, from dense to nothing left, finds the alphas that matter. Every fold
    follows the same alphas, all folds and l1_ratios as one stack, and is scored on the
    rows it left out. The estimator is the network of the path of all rows at the alpha (and
    l1_ratio) that was chosen; the objective is that of :class:`RegularizedMLPClassifier`.

    See Also
    --------
    RegularizedMLPClassifier : The same at one alpha.
    regularization_path : The path alone.
    sklearn.linear_model.LogisticRegressionCV : The same for linear models.

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
