"""What stands around a network: a pipeline that ends in it, a search that found it best."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


def wrapped(estimator: Any, *, fitted: bool) -> tuple[str, Any] | None:
    """Return the estimator that does the work in another, after its name there.

    Parameters
    ----------
    estimator : estimator
    fitted : bool
        Whether to look for what `fit` left, which a search has too, or for the parameter.

    Returns
    -------
    tuple of (str, estimator), or None
        None if `estimator` is no pipeline and the like.
    """
    if isinstance(estimator, Pipeline):
        return estimator.steps[-1]
    if isinstance(estimator, TransformedTargetRegressor):
        return "regressor", estimator.regressor_ if fitted else estimator.regressor
    if fitted and hasattr(estimator, "best_estimator_"):
        return "best_estimator_", estimator.best_estimator_
    return None


def fitted_network(
    estimator: Any, *, attributes: tuple[str, ...], caller: str, kind: str
) -> tuple[Any, np.ndarray | None]:
    """Return the fitted network, and the names of the features that reach it if they have some.

    Parameters
    ----------
    estimator : estimator
        The network, or what stands around it.
    attributes : tuple of str
        One of them the network has to have.
    caller, kind : str
        Who looks for it and what it should be, for errors.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If there is no such network.
    """
    outer, names = estimator, None
    if hasattr(estimator, "fit"):
        check_is_fitted(estimator)
        names = getattr(estimator, "feature_names_in_", None)
    while (found := wrapped(estimator, fitted=True)) is not None:
        if isinstance(estimator, Pipeline):
            names = _names_out(estimator, names)
        estimator = found[1]
    if not any(hasattr(estimator, name) for name in attributes):
        got = "None" if estimator is None else type(estimator).__name__
        if isinstance(estimator, str):  # "passthrough"
            got = repr(estimator)
        if estimator is not outer:
            got = f"{type(outer).__name__} around {got}"
        elif hasattr(estimator, "cv_results_"):
            got = f"{got} that keeps no network: fit it with refit=True"
        raise TypeError(
            f"{caller} draws {kind}, which may be at the end of a Pipeline, in a "
            f"TransformedTargetRegressor or the best of a search, and got {got}. If that holds "
            f"one elsewhere, such as in its estimators_, pass what it holds."
        )
    return estimator, getattr(estimator, "feature_names_in_", names)


def _names_out(pipeline: Pipeline, names: np.ndarray | None) -> np.ndarray | None:
    """Names of what reaches the last step, None where a step before it gives none."""
    if len(pipeline.steps) == 1:
        return names
    try:
        return pipeline[:-1].get_feature_names_out(names)
    except (AttributeError, ValueError):
        return None
