"""What a path leaves: its curves, and a fitted estimator at each alpha."""

from __future__ import annotations

import copy
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.base import clone

from skreg.estimators.checks import name_of_alpha
from skreg.estimators.mlp import BaseRegularizedMLP
from skreg.estimators.module import BaseRegularizedModule
from skreg.path.networks import PathPoint, place
from skreg.penalties.by_name import PENALTIES

Estimator = BaseRegularizedMLP | BaseRegularizedModule


@dataclass(frozen=True)
class RegularizationPath:
    """A path from dense to sparse.

    Attributes
    ----------
    alphas : ndarray of shape (n_alphas,)
        Strengths that the path visited, ascending.
    n_features : ndarray of int of shape (n_alphas,)
        How many features reach an output. Of a torch module, how many are in by the rule of
        :func:`regularization_path`; or how many units, where that counts units.
    selected : ndarray of bool of shape (n_alphas, n_features_in)
        Which; of shape (n_alphas, n_units) where units are counted.
    sparsity : ndarray of shape (n_alphas,)
        Share of the penalized weights that are exactly zero.
    data_loss : ndarray of shape (n_alphas,)
        Mean loss over the training rows, without the penalty.
    penalty : ndarray of shape (n_alphas,)
        alpha·Ω of the weights. The objective is the sum of both.
    scores : ndarray of shape (n_alphas,) or None
        What the estimator's `score` gives on (X_val, y_val); None without them.
    entry_alpha : ndarray of shape (n_features_in,) or (n_units,)
        The largest alpha at which each feature, or unit, is still in; 0 where it never was.
    refitted : RegularizationPath or None
        With ``refit=True`` the same alphas and supports, each support retrained without the
        penalty.
    unit_parameters : ndarray of str of shape (n_units,), or None
        Where units are counted, the name of the parameter that each is of; None where
        features are.
    """

    alphas: np.ndarray
    n_features: np.ndarray
    selected: np.ndarray
    sparsity: np.ndarray
    data_loss: np.ndarray
    penalty: np.ndarray
    scores: np.ndarray | None
    entry_alpha: np.ndarray
    refitted: RegularizationPath | None
    unit_parameters: np.ndarray | None
    # The networks: None where only the rest is kept.
    _template: Estimator | None = field(repr=False)
    _points: list[PathPoint] | None = field(repr=False)

    def __len__(self) -> int:
        return len(self.alphas)

    def __getstate__(self) -> dict[str, Any]:
        # Of a wide linear model the mask would be larger than all else: packed, it is a byte
        # where a feature goes.
        packed = zlib.compress(np.packbits(self.selected).tobytes())
        state = {**vars(self), "selected": np.frombuffer(packed, np.uint8)}
        state["shape"] = self.selected.shape
        del state["entry_alpha"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        shape = state.pop("shape")
        bits = np.frombuffer(zlib.decompress(state["selected"].tobytes()), np.uint8)
        flat = np.unpackbits(bits, count=int(np.prod(shape)))
        selected = flat.astype(bool).reshape(shape)
        entry_alpha = entry_alphas(state["alphas"], selected)
        vars(self).update(state, selected=selected, entry_alpha=entry_alpha)

    def estimator_at(self, index: int) -> Estimator:
        """Return the fitted estimator at ``alphas[index]``.

        Parameters
        ----------
        index : int
            Negative ones count from the end.

        Returns
        -------
        estimator : estimator of the class that the path was made of
            Its `alpha` is the path's (in a refitted path its penalty is None), and its loss
            curves are the path's up to here. Where the path had made a non-convex penalty
            more convex, or added L2 to it, its penalty is an object that says so. It is
            independent of the path.

        Raises
        ------
        ValueError
            If the path is that of an estimator that does not keep its networks.
        """
        number = range(len(self))[index]
        if self._points is None:
            raise ValueError(
                f"This path keeps its curves and not its networks, so that there is no "
                f"estimator at alpha={self.alphas[number]:.3g}. Set store_networks=True before "
                f"fit, or call regularization_path."
            )
        point = self._points[number]
        estimator: Any = copy.deepcopy(self._template)
        net = estimator.net_
        if estimator.penalty is not None:
            estimator.set_params(**{name_of_alpha(estimator): point.alpha})
            _set_convexity(estimator, point.convexity)
        place(net.module_, point)
        net.set_penalty(estimator._make_penalty(), **estimator._bound_to(net.module_))
        net.data_losses_ = list(self.data_loss[: number + 1, None])
        net.penalties_ = list(self.penalty[: number + 1, None])
        net.n_epochs_ = number + 1
        net.validates_ = False
        net.rewrite_history()
        estimator._publish()
        return estimator

    def without_networks(self) -> RegularizationPath:
        """Return the curves alone, which take little memory.

        Returns
        -------
        path : RegularizationPath
            One whose `estimator_at` raises.
        """
        refitted = self.refitted and self.refitted.without_networks()
        return replace(self, refitted=refitted, _template=None, _points=None)


def _set_convexity(estimator: Estimator, convexity: dict[str, float]) -> None:
    """Make the penalty an object with these parameters, where it has others."""
    penalty = estimator._make_penalty()
    changed = {k: v for k, v in convexity.items() if getattr(penalty, k) != v}
    if changed:
        given = estimator.penalty
        given = PENALTIES[given]() if isinstance(given, str) else clone(given)
        estimator.penalty = given.set_params(**changed)


def entry_alphas(alphas: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """The largest alpha at which each feature, or unit, is still in; 0 where it never was."""
    return np.where(selected, alphas[:, None], 0.0).max(0)
