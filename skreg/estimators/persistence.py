"""Estimators know which version of skreg saved them, and tell when it was another."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import InconsistentVersionWarning

from skreg._version import __version__


class VersionedMixin:
    """Writes the version into every pickle, and warns as scikit-learn does where it differs."""

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        assert isinstance(state, dict)
        if "_dtype" in state:
            # By its name: skops does not trust the type of numpy's types.
            state = {**state, "_dtype": np.dtype(state["_dtype"]).str}
        return {**state, "_skreg_version": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        version = state.get("_skreg_version", "unknown")
        if version != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=f"{__version__} of skreg",
                    original_sklearn_version=f"{version} of skreg",
                ),
                stacklevel=2,
            )
        own = {name: value for name, value in state.items() if name != "_skreg_version"}
        if "_dtype" in own:
            own["_dtype"] = np.dtype(own["_dtype"])
        super().__setstate__(own)  # type: ignore[misc]
