"""Regularization paths, from dense to sparse, and the choice of a strength along them.

A network is fitted with a small alpha, and goes on training while alpha rises until no feature
is left. The features that are left longest matter most:

>>> from sklearn.datasets import load_diabetes
>>> from sklearn.preprocessing import scale
>>> from skreg import RegularizedMLPRegressor, regularization_path
>>> X, y = load_diabetes(return_X_y=True)
>>> lasso = RegularizedMLPRegressor((), penalty="l1", solver="fista")
>>> path = regularization_path(lasso, scale(X), scale(y))
>>> path.n_features[[0, -1]].tolist()
[10, 0]
>>> sorted(path.entry_alpha.argsort()[-3:].tolist())   # the last three: bmi, bp and s5
[2, 3, 8]

``regularization_path`` returns a ``RegularizationPath``. ``RegularizedMLPRegressorCV`` and
``RegularizedMLPClassifierCV`` in :mod:`skreg` choose alpha along it by cross-validation.
"""

from skreg.path.result import RegularizationPath
from skreg.path.run import regularization_path

__all__ = ["RegularizationPath", "regularization_path"]
