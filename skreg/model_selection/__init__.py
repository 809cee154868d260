"""Searches over parameters that train the whole grid as a few large networks.

``StackedGridSearchCV`` and ``StackedRandomizedSearchCV`` take the place of scikit-learn's
``GridSearchCV`` and ``RandomizedSearchCV`` and give the same results, several times sooner:
instead of hundreds of small fits one after another they train stacks, in which one matrix
product serves many candidates.
"""

from skreg.model_selection.search import StackedGridSearchCV, StackedRandomizedSearchCV

__all__ = ["StackedGridSearchCV", "StackedRandomizedSearchCV"]
