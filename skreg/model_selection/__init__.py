"""Searches over parameters that train the whole grid as a few large networks.

``StackedGridSearchCV`` and ``StackedRandomizedSearchCV`` take the place of scikit-learn's
``GridSearchCV`` and ``RandomizedSearchCV`` and give the same results, several times sooner:
instead of hundreds of small fits one after another they train stacks, in which one matrix
product serves many candidates.

>>> from sklearn.datasets import load_diabetes
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> from skreg import RegularizedMLPRegressor, StackedGridSearchCV
>>> X, y = load_diabetes(return_X_y=True)
>>> network = RegularizedMLPRegressor(
...     (), penalty="l1", solver="fista", max_iter=1000, tol=1e-3
... )
>>> search = StackedGridSearchCV(
...     make_pipeline(StandardScaler(), network),
...     {"regularizedmlpregressor__alpha": [1.0, 10.0, 100.0]},
... ).fit(X, y)
>>> search.best_params_
{'regularizedmlpregressor__alpha': 1.0}
"""

from skreg.model_selection.search import StackedGridSearchCV, StackedRandomizedSearchCV

__all__ = ["StackedGridSearchCV", "StackedRandomizedSearchCV"]
