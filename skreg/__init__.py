"""skreg: scikit-learn estimators that train regularized PyTorch networks.

>>> from sklearn.datasets import load_iris
>>> from sklearn.preprocessing import scale
>>> from skreg import RegularizedMLPClassifier
>>> X, y = load_iris(return_X_y=True)
>>> model = RegularizedMLPClassifier((), penalty="l1", alpha=0.2, solver="fista")
>>> model.fit(scale(X), y).selected_features_       # petals tell irises apart, sepals do not
array([False, False,  True,  True])
"""

from skreg._version import __version__
from skreg.estimators.mlp import RegularizedMLPClassifier, RegularizedMLPRegressor
from skreg.estimators.module import RegularizedNetClassifier, RegularizedNetRegressor
from skreg.estimators.onnx import to_onnx
from skreg.model_selection import StackedGridSearchCV, StackedRandomizedSearchCV
from skreg.path import RegularizationPath, regularization_path
from skreg.path.mlp_cv import RegularizedMLPClassifierCV, RegularizedMLPRegressorCV
from skreg.stability import StabilitySelection

__all__ = [
    "RegularizationPath",
    "RegularizedMLPClassifier",
    "RegularizedMLPClassifierCV",
    "RegularizedMLPRegressor",
    "RegularizedMLPRegressorCV",
    "RegularizedNetClassifier",
    "RegularizedNetRegressor",
    "StabilitySelection",
    "StackedGridSearchCV",
    "StackedRandomizedSearchCV",
    "__version__",
    "regularization_path",
    "to_onnx",
]
