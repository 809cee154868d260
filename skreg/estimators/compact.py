"""`compact` for the estimators: the same predictions from the same X, by a smaller network."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils.validation import check_is_fitted

from skreg.estimators.checks import torch_reads_faster
from skreg.modules import MLP
from skreg.modules.compact import compact_initial, compact_mlp
from skreg.training.net import RegularizedNet


class CompactMixin:
    """An estimator whose network may look at some of the columns of X only."""

    net_: RegularizedNet
    n_features_in_: int
    #: Columns of X that the network takes, in its order; None for all.
    _inputs: np.ndarray | None = None
    #: Sizes of the hidden layers before the first `compact`; None if there was none.
    _full_layer_sizes: tuple[int, ...] | None = None
    #: Weights and biases that an adaptive penalty adapts to.
    _pilots: tuple[np.ndarray, np.ndarray] | None = None

    def compact(self) -> Self:
        """Return a copy with a smaller network that predicts the same, and faster.

        Left out are the features that reach no output (those not in `selected_features_`)
        and the neurons that reach no output or are reached by no feature. What such a neuron
        adds to every prediction, the biases of the next layer take over. Predictions agree
        to rounding.

        The copy is used as the original: it takes the same X with all `n_features_in_`
        columns, and picks those that it needs by itself. `selected_features_` and
        `feature_importances_` still have an entry for every column, and the curves and
        counts of training stay. What shows the smaller network is

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
        compacted = copy.deepcopy(self)
        net = compacted.net_
        if self._full_layer_sizes is None:
            compacted._full_layer_sizes = net.module_.hidden_layer_sizes
        module, kept = compact_mlp(net.module_)
        for holder, name in ((compacted, "_pilots"), (net, "initial")):
            initial = getattr(holder, name)
            if initial is not None:
                setattr(holder, name, compact_initial(net.module_, initial))
        inputs = np.arange(self.n_features_in_) if self._inputs is None else self._inputs
        inputs = inputs[kept.cpu().numpy()]
        compacted._inputs = inputs if len(inputs) < self.n_features_in_ else None
        if net.columns is not None:
            net.columns = replace(net.columns, inputs=compacted._inputs)
        _exchange_module(net, module)
        return compacted

    def _pick_inputs(self, X: Any) -> Any:
        """The columns of X, an ndarray or a csr matrix, that the network takes."""
        if self._inputs is None:
            return X
        if issparse(X):
            return X[:, self._inputs]
        # Both leave rows in C order, as the network wants them.
        if not torch_reads_faster(X):
            return X.take(self._inputs, axis=1)
        columns = torch.from_numpy(self._inputs).expand(len(X), -1)
        return torch.from_numpy(X).gather(1, columns).numpy()

    def _pick_inputs_to_train_on(self, X: Any) -> Any:
        if not self.net_.module_.weight.numel():
            raise ValueError(
                f"This compacted {type(self).__name__} cannot be trained on: its network has "
                f"no weights left and predicts a constant. Set warm_start=False and call fit "
                f"to start from scratch, or train the estimator that it was made from."
            )
        return self._pick_inputs(X)

    def _by_feature(self, by_input: np.ndarray) -> np.ndarray:
        """Values of the network's inputs as values of all features, 0 for the rest."""
        if self._inputs is None:
            return by_input
        by_feature = np.zeros(self.n_features_in_, dtype=by_input.dtype)
        by_feature[self._inputs] = by_input
        return by_feature


def _exchange_module(net: RegularizedNet, module: MLP) -> None:
    """Put another module in the place of the net's, with an optimizer that steps on it."""
    optimizer = net.optimizer_
    net.module = net.module_ = module
    net.initialize_optimizer()
    groups = zip(net.optimizer_.param_groups, optimizer.param_groups, strict=True)
    for new, old in groups:
        # The new group's penalty is the same, and knows the layers of the new module.
        kept = {k: v for k, v in old.items() if k not in ("params", "penalty")}
        new.update(kept)
    # A scheduler among the callbacks holds the old one: that very object becomes the new.
    vars(optimizer).update(vars(net.optimizer_))
    net.optimizer_ = optimizer
