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
>>> int(model[-1].selected_features_.sum())           # of ten: a lasso, exact zeros and all
7
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from skreg.estimators.base import BaseRegularizedNetwork
from skreg.estimators.checks import check_hidden_layer_sizes, to_numpy
from skreg.estimators.compact import compacted, pick_columns
from skreg.estimators.initial_fit import initial_estimator, parameters_of, start_from
from skreg.estimators.parameters import COUNT, SHARE_BELOW_1, parameter, parametrized
from skreg.estimators.targets import Classification, Regression
from skreg.modules import MLP
from skreg.modules.activations import ACTIVATIONS
from skreg.modules.adapter import torch_dtype
from skreg.penalties import Penalty
from skreg.penalties.base import Columns, Layout
from skreg.penalties.by_name import adapts, make_penalty
from skreg.penalties.reach import units_that_reach_outputs


@parametrized
class BaseRegularizedMLP(BaseRegularizedNetwork):
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
        How much the outputs can change with each feature: the sum over all paths from the
        feature to an output of the products of ``|weight|`` along the path, ``|coef|`` for a
        linear model. With "relu", "tanh" and "identity" no output changes faster with the
        feature than this. In units of raw output per unit of the feature: scale the features
        to compare them.
    selected_features_ : ndarray of bool of shape (`n_features_in_`,)
        Which features reach an output. False where every path to an output has a weight that
        is exactly zero: the predictions do not depend on that feature at all.
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

    def _make_penalty(self) -> Penalty | None:
        return make_penalty(self.penalty, self.alpha, self.l1_ratio)

    def _make_module(self, X: Any, given: tuple[Any, Any, Any], incremental: bool) -> MLP:
        # Columns of X that the network takes, in its order, and the sizes of the hidden layers
        # before: where it was compacted.
        self._inputs: np.ndarray | None = None
        self._full_layer_sizes: tuple[int, ...] | None = None
        # Weights and biases that an adaptive penalty adapts to.
        self._initial_weights: tuple[np.ndarray, np.ndarray] | None = None
        module = MLP(
            X.shape[1],
            check_hidden_layer_sizes(self.hidden_layer_sizes),
            self.n_outputs_,
            activation=self.activation,
            dropout=self.dropout,
            random_state=self._random_state,
            dtype=torch_dtype(self._dtype),
        )
        penalty = self._make_penalty()
        if penalty is None:
            return module
        # What it says of features is checked before the initial fit.
        penalty.bind(Layout(module.layers_of(module.weight), self._columns()))
        initial, self._fitted_initial = self._fitted_initial, None
        initial = self._initial_estimator() if initial is None else initial
        if initial is not None:
            self._initial_weights = start_from(initial, self, module, *given)
        if self.penalty_method == "proximal" and not incremental:
            zero_empty_inputs(module, X)
        return module

    def _initial_estimator(self) -> Any:
        return initial_estimator(self)

    def _columns(self) -> Columns:
        names = getattr(self, "feature_names_in_", None)
        return Columns(self.n_features_in_, names, self._inputs)

    def _bound_to(self, module: MLP) -> dict[str, Any]:
        initial = None
        if adapts(self._make_penalty()):
            # Training goes on from a fitted network: its weights are the initial ones.
            initial = self._initial_weights or parameters_of(module)
        return {"columns": self._columns(), "initial": initial}

    def _check_combinations(self, incremental: bool) -> None:
        check_hidden_layer_sizes(self.hidden_layer_sizes)
        super()._check_combinations(incremental)
        first = incremental and not self.__sklearn_is_fitted__()
        if first and adapts(self._make_penalty()):
            raise ValueError(
                f"{self.penalty} takes its strengths from an initial fit on all data, which "
                f"partial_fit does not see. Call fit first, or set adaptive=False."
            )

    def _pick_inputs(self, X: Any) -> Any:
        return pick_columns(X, self._inputs)

    def _varying(self, module: MLP) -> str:
        return f"dropout={self.dropout}" if self.dropout else ""

    def _check_continues(self, n_outputs: int) -> None:
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

        if not module.weight.numel():
            raise ValueError(
                f"This compacted {type(self).__name__} cannot be trained on: its network has "
                f"no weights left and predicts a constant. Set warm_start=False and call fit "
                f"to start from scratch, or train the estimator that it was made from."
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
        """How much the outputs can change with each feature, shape (`n_features_in_`,)."""
        reach = 1.0
        for weight in reversed(self.coefs_):
            reach = np.abs(weight.astype(np.float64)) @ (reach * np.ones(weight.shape[1]))
        return self._by_feature(np.asarray(reach))

    @property
    def selected_features_(self) -> np.ndarray:
        """Mask of the features that reach an output, shape (`n_features_in_`,)."""
        weights = [weight[0] for weight in self._fitted_module().weights]
        return self._by_feature(to_numpy(units_that_reach_outputs(weights)[0]))

    def _fitted_module(self) -> MLP:
        return self._fitted_net().module_

    def _by_feature(self, by_input: np.ndarray) -> np.ndarray:
        """Values of the network's inputs as values of all features, 0 for the rest."""
        if self._inputs is None:
            return by_input
        by_feature = np.zeros(self.n_features_in_, dtype=by_input.dtype)
        by_feature[self._inputs] = by_input
        return by_feature

    def compact(self) -> Self:
        """Return a copy with a smaller network that predicts the same, and faster.

        Left out are the features that reach no output (those not in `selected_features_`)
        and the neurons that reach no output or are reached by no feature. What such a neuron
        adds to every prediction, the biases of the next layer take over. Predictions agree
        to rounding.

        The copy is used as the original: it takes the same X with all `n_features_in_`
        columns, and picks those that it needs by itself. `selected_features_` and
        `feature_importances_` still have an entry for every column, and the curves and
        counts of training are kept. What shows the smaller network is

        - `coefs_` and `intercepts_`: the rows of ``coefs_[0]`` belong to the features in
          ``np.flatnonzero(selected_features_)``, and layers that reach nothing have size 0;
        - `sparsity_`, which counts the weights that are left;
        - `net_`, whose methods take the columns that are left.

        Training can go on from it, by `partial_fit` or by `fit` with ``warm_start=True``.
        That trains the smaller network; what was left out does not come back, and the
        optimizer goes on at its learning rate but without its momentum. A network of which
        nothing is left cannot be trained. Otherwise `fit`, and `sklearn.base.clone`, start
        from scratch with all features and `hidden_layer_sizes`.

        Returns
        -------
        compacted : estimator of the same class
            Fitted, and independent of this one.

        Examples
        --------
        >>> import numpy as np
        >>> from skreg import RegularizedMLPRegressor
        >>> X = np.random.default_rng(0).normal(size=(200, 10))
        >>> y = np.maximum(X[:, 0], X[:, 1])                # eight of ten inputs are noise
        >>> model = RegularizedMLPRegressor(
        ...     (20,), penalty="l1", alpha=0.01, learning_rate_init=0.02, max_iter=1000,
        ...     random_state=0,
        ... ).fit(X, y)
        >>> small = model.compact()
        >>> np.allclose(model.predict(X), small.predict(X))
        True
        >>> small.coefs_[0].shape[0], np.flatnonzero(small.selected_features_)
        (2, array([0, 1]))
        """
        check_is_fitted(self)
        return compacted(self)


@torch.no_grad()
def zero_empty_inputs(module: MLP, X: Any) -> None:
    """Zero the weights of columns that are 0 in all rows.

    The loss does not depend on them, so that under a penalty 0 is where they belong. They
    have no gradient that leads there, nor has a penalty that is flat for large weights.
    """
    empty = np.ones(X.shape[1], dtype=bool)
    empty[X.indices[X.data != 0] if issparse(X) else X.any(axis=0)] = False
    module.weights[0][:, torch.from_numpy(empty)] = 0.0


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
