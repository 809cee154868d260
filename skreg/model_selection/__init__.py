"""Searches that train their candidates as a few large networks."""

from skreg.model_selection.search import StackedGridSearchCV, StackedRandomizedSearchCV

__all__ = ["StackedGridSearchCV", "StackedRandomizedSearchCV"]
