"""What the regressor and the classifier share that train multi-layer perceptrons."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils._param_validation import Interval, StrOptions

from skreg.estimators.base import BaseRegularizedNetwork
from skreg.estimators.checks import check_hidden_layer_sizes
from skreg.estimators.fitted import FittedMLP
from skreg.estimators.pilot import PilotMixin, parameters_of
from skreg.modules import MLP
from skreg.modules.activations import ACTIVATIONS
from skreg.penalties import Penalty
from skreg.penalties.base import Columns, Layout
from skreg.penalties.by_name import adapts


class BaseRegularizedMLP(FittedMLP, PilotMixin, BaseRegularizedNetwork):
    """An estimator whose network is an :class:`~skreg.modules.MLP`."""

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        **BaseRegularizedNetwork._parameter_constraints,
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }

    _joinable = True

    def __init__(
        self, *, hidden_layer_sizes: Any, activation: str, dropout: float, **common: Any
    ) -> None:
        # The estimators name every parameter, and scikit-learn reads theirs.
        super().__init__(**common)
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout

    def _make_module(self, X: Any) -> MLP:
        return MLP(
            X.shape[1],
            check_hidden_layer_sizes(self.hidden_layer_sizes),
            self.n_outputs_,
            activation=self.activation,
            dropout=self.dropout,
            random_state=self._random_state,
            dtype=torch.float32 if self._dtype == np.float32 else torch.float64,
        )

    def _start_elsewhere(self, module: MLP, X: Any, y: Any, sample_weight: Any) -> None:
        penalty: Penalty | None = self._make_penalty()
        if penalty is not None:  # what it says of features is looked at before a pilot trains
            penalty.bind(Layout(module.layers_of(module.weight), self._columns(module)))
        self._pilots = self._start_from_pilot(module, X, y, sample_weight)

    @torch.no_grad()
    def _drop_empty_inputs(self, module: MLP, X: Any) -> None:
        empty = np.ones(X.shape[1], dtype=bool)
        empty[X.indices[X.data != 0] if issparse(X) else X.any(axis=0)] = False
        module.weights[0][:, torch.from_numpy(empty)] = 0.0

    def _columns(self, module: MLP) -> Columns:
        names = getattr(self, "feature_names_in_", None)
        compacted = self._inputs is not None and module.n_features < self.n_features_in_
        return Columns(self.n_features_in_, names, self._inputs if compacted else None)

    def _bound_to(self, module: MLP) -> dict[str, Any]:
        initial = None
        if adapts(self._make_penalty()):
            # A fitted network that training goes on from is as good as a pilot.
            initial = self._pilots or parameters_of(module)
        return {"columns": self._columns(module), "initial": initial}

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._inputs = self._full_layer_sizes = None

    def _check_combinations(self, incremental: bool) -> None:
        check_hidden_layer_sizes(self.hidden_layer_sizes)
        super()._check_combinations(incremental)
        first = incremental and not self.__sklearn_is_fitted__()
        if first and adapts(self._make_penalty()):
            raise ValueError(
                f"{self.penalty} takes its strengths from a pilot fit on all data, which "
                f"partial_fit does not see. Call fit first, or set adaptive=False."
            )

    def _varying(self, module: MLP) -> str:
        return f"dropout={self.dropout}" if self.dropout else ""

    def _check_same_architecture(self, n_outputs: int) -> None:
        module = self.net_.module_
        hidden_layer_sizes = check_hidden_layer_sizes(self.hidden_layer_sizes)
        wanted = (hidden_layer_sizes, n_outputs, self.activation, self.dropout)
        sizes = self._full_layer_sizes or module.hidden_layer_sizes
        have = (sizes, module.n_outputs, module.activation, module.dropout)
        if wanted != have:
            names = ("hidden_layer_sizes", "outputs", "activation", "dropout")
            changed = ", ".join(
                f"{name} {old} to {new}"
                for name, old, new in zip(names, have, wanted, strict=True)
                if old != new
            )
            raise ValueError(
                f"The fitted network cannot be trained on: its architecture changed "
                f"({changed}). Set warm_start=False and call fit to start anew."
            )

    def _publish(self) -> None:
        super()._publish()
        self.n_layers_ = len(self.net_.module_.weights) + 1
