"""The estimators that train multi-layer perceptrons.

>>> from sklearn.datasets import load_diabetes
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> from skreg import RegularizedMLPRegressor
>>> X, y = load_diabetes(return_X_y=True)
>>> model = make_pipeline(
...     StandardScaler(),
...     RegularizedMLPRegressor((), penalty="l1", alpha=2.0, solver="fista"),
... ).fit(X, y)
>>> model[-1].selected_features_.sum()           # of ten: a lasso, exact zeros and all
np.int64(7)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils._param_validation import StrOptions

from skreg.estimators.base import BaseRegularizedNetwork, to_numpy
from skreg.estimators.checks import check_hidden_layer_sizes
from skreg.estimators.compact import CompactMixin
from skreg.estimators.initial_fit import initial_estimator, parameters_of, start_from
from skreg.estimators.parameters import COUNT, SHARE_BELOW_1, parameter, parametrized
from skreg.estimators.targets import Classification, Regression
from skreg.modules import MLP
from skreg.modules.activations import ACTIVATIONS
from skreg.penalties import Penalty
from skreg.penalties.base import Columns, Layout
from skreg.penalties.by_name import adapts
from skreg.penalties.reach import units_that_reach_outputs


@parametrized
class BaseRegularizedMLP(CompactMixin, BaseRegularizedNetwork):
    """An estimator whose network is an :class:`~skreg.modules.MLP`.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int or int, default=(100,)
        Neurons of each hidden layer; ``()`` is a linear model.

    activation : {...}, default="relu"
        Activation of the hidden layers.

    dropout : float, default=0.0
        Share of each hidden layer's neurons zeroed at random in training.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer; after `compact` those that are left.

    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer; after `compact` those that are left.

    feature_importances_ : ndarray of shape (`n_features_in_`,)
        Sum over all paths from a feature to an output of the products of abs(weight).

    selected_features_ : ndarray of bool of shape (`n_features_in_`,)
        Which features reach an output at all.

    n_layers_ : int
        Layers of the network, input and output counted.

    References
    ----------
    Parikh & Boyd, "Proximal Algorithms", 2014. Zou & Hastie, "Regularization and variable
    selection via the elastic net", 2005.

    """

    hidden_layer_sizes: Any = parameter("array-like", COUNT, default=(100,), kw_only=False)
    activation: str = parameter(StrOptions(set(ACTIVATIONS)), default="relu", kw_only=False)
    dropout: float = parameter(SHARE_BELOW_1, default=0.0)

    _joinable = True
    #: The fitted initial estimator, where a stack has fitted it before this estimator's turn.
    _fitted_initial = None

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

    def _initial_estimator(self) -> Any:
        return initial_estimator(self)

    def _set_initial_weights(self, module: MLP, X: Any, y: Any, sample_weight: Any) -> None:
        penalty: Penalty | None = self._make_penalty()
        if penalty is not None:  # what it says of features is checked before the initial fit
            penalty.bind(Layout(module.layers_of(module.weight), self._columns(module)))
        initial, self._fitted_initial = self._fitted_initial, None
        initial = self._initial_estimator() if initial is None else initial
        self._pilots = None
        if initial is not None:
            self._pilots = start_from(initial, self, module, X, y, sample_weight)

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
            # Training goes on from a fitted network: its weights are the initial ones.
            initial = self._pilots or parameters_of(module)
        return {"columns": self._columns(module), "initial": initial}

    def _forget_previous_fit(self) -> None:
        super()._forget_previous_fit()
        self._inputs = self._full_layer_sizes = None

    def _check_combinations(self, incremental: bool) -> None:
        check_hidden_layer_sizes(self.hidden_layer_sizes)
        super()._check_combinations(incremental)
        first = incremental and not self.__sklearn_is_fitted__()
        if first and adapts(self._make_penalty()):
            raise ValueError(
                f"{self.penalty} takes its strengths from an initial fit on all data, which "
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
                f"({changed}). Set warm_start=False and call fit to start from scratch."
            )

    def _publish(self) -> None:
        super()._publish()
        self.n_layers_ = len(self.net_.module_.weights) + 1

    # ------------------------------------------------------------------ fitted attributes

    @property
    def coefs_(self) -> list[np.ndarray]:
        """Weights of each layer, arrays of shape (fan_in, fan_out)."""
        return [to_numpy(weight[0]) for weight in self._fitted_module().weights]

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """Biases of each layer, arrays of shape (fan_out,)."""
        return [to_numpy(bias[0]) for bias in self._fitted_module().biases]

    @property
    def feature_importances_(self) -> np.ndarray:
        """How much the outputs can change with each feature, shape (`n_features_in_`,).

        The sum over all paths from the feature to an output of the products of ``|weight|``
        along the path: ``|coef|`` for a linear model. With ``"relu"``, ``"tanh"`` and
        ``"identity"`` no output changes faster with the feature than this. In units of raw
        output per unit of the feature: scale the features to compare them.
        """
        reach = 1.0
        for weight in reversed(self.coefs_):
            reach = np.abs(weight.astype(np.float64)) @ (reach * np.ones(weight.shape[1]))
        return self._by_feature(np.asarray(reach))

    @property
    def selected_features_(self) -> np.ndarray:
        """Mask of the features that reach an output, shape (`n_features_in_`,).

        False where every path to an output has a weight that is exactly zero: the
        predictions do not depend on that feature at all.
        """
        weights = [weight[0] for weight in self._fitted_module().weights]
        return self._by_feature(to_numpy(units_that_reach_outputs(weights)[0]))

    def _fitted_module(self) -> MLP:
        return self._fitted_net().module_


@parametrized
class RegularizedMLPRegressor(BaseRegularizedMLP, Regression):
    """Multi-layer perceptron regressor with L1, L2 or elastic-net penalized weights.

    The objective, over weights W and biases, is ::

        sum_i s_i l(y_i, f(x_i)) / sum_i s_i  +  alpha * Omega(W)

    with sample weights s_i, 1 by default; l the `loss`, for squared error
    ``1/2 ||y - f||^2`` summed over outputs; and ::

        Omega(W) = l1_ratio * sum |w| + (1 - l1_ratio) / 2 * sum w^2

    for the elastic net, of which L1 (`l1_ratio=1`) and L2 (`l1_ratio=0`) are the ends. With
    ``hidden_layer_sizes=()`` it is ``Lasso(alpha)``, ``ElasticNet(alpha, l1_ratio)`` or
    ``Ridge(n_samples * alpha)``.

    See Also
    --------
    RegularizedMLPClassifier : The same for classification.
    sklearn.neural_network.MLPRegressor : L2 only, without exact zeros.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.base import clone
    >>> from skreg import RegularizedMLPRegressor
    >>> X = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)
    >>> y = np.maximum(X[:, 0], X[:, 1])                    # eight of ten inputs are noise
    >>> model = RegularizedMLPRegressor(
    ...     (20,), penalty="l2", learning_rate_init=0.02, max_iter=1000, random_state=0
    ... )
    >>> dense = model.fit(X, y)
    >>> sparse = clone(model).set_params(penalty="l1", alpha=0.01).fit(X, y)
    >>> dense.sparsity_
    0.0
    >>> sparse.selected_features_
    array([ True,  True, False, False, False, False, False, False, False,
           False])
    """


@parametrized
class RegularizedMLPClassifier(BaseRegularizedMLP, Classification):
    """Multi-layer perceptron classifier with L1, L2 or elastic-net penalized weights.

    The objective, over weights W and biases, is ::

        sum_i s_i l(y_i, f(x_i)) / sum_i s_i  +  alpha * Omega(W)

    with sample weights s_i (times class weights), 1 by default; l the log-loss: logistic for
    two classes, softmax for more, and the sum over labels for multilabel targets; and ::

        Omega(W) = l1_ratio * sum |w| + (1 - l1_ratio) / 2 * sum w^2

    for the elastic net, of which L1 (`l1_ratio=1`) and L2 (`l1_ratio=0`) are the ends. With
    ``hidden_layer_sizes=()`` it is ``LogisticRegression(C=1 / (n_samples * alpha))``.

    See Also
    --------
    RegularizedMLPRegressor : The same for regression.
    sklearn.neural_network.MLPClassifier : L2 only, without exact zeros.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skreg import RegularizedMLPClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = RegularizedMLPClassifier(
    ...     (20,), penalty="l1", alpha=0.01, learning_rate_init=0.01, random_state=0
    ... ).fit(scale(X), y)
    >>> print(f"accuracy {model.score(scale(X), y):.2f}")
    accuracy 0.98
    >>> bool(model.selected_features_.sum() < 20)          # of 30
    True
    """
