"""skreg: scikit-learn estimators that train regularized PyTorch networks.

>>> import numpy as np
>>> from skreg import RegularizedMLPRegressor
>>> X, y = np.eye(4), np.arange(4.0)
>>> RegularizedMLPRegressor((8,), penalty="l1", max_iter=500, random_state=0).fit(X, y).n_iter_
500
"""

from skreg._classifier import RegularizedMLPClassifier
from skreg._regressor import RegularizedMLPRegressor

__all__ = ["RegularizedMLPClassifier", "RegularizedMLPRegressor", "__version__"]

__version__ = "0.1.0"
