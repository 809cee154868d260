"""The fitted network at the end of a pipeline, in a search or in another meta-estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


def wrapped(estimator: Any, *, fitted: bool) -> tuple[str, Any] | None:
    """Return the estimator within a meta-estimator, after its name there, or None.

    With `fitted` it is the one that `fit` left, which a search has too; otherwise that of the
    parameters.
    """
    if isinstance(estimator, Pipeline):
        return estimator.steps[-1]
    if isinstance(estimator, TransformedTargetRegressor):
        return "regressor", estimator.regressor_ if fitted else estimator.regressor
    if fitted and hasattr(estimator, "best_estimator_"):
        return "best_estimator_", estimator.best_estimator_
    return None


def fitted_network(
    estimator: Any,
    caller: str,
    kind: str = "a fitted network",
    attributes: tuple[str, ...] = ("coefs_", "penalized_parameters_"),
) -> tuple[Any, np.ndarray | None]:
    """Return the fitted network, and the names of the features that reach it if they have some.

    It has at least one of `attributes`. `caller` draws networks of this `kind`; errors say so.
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
