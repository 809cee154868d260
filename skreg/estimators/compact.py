"""The same predictions from the same X by a smaller network, for an estimator."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from scipy.sparse import issparse

from skreg.estimators.checks import torch_reads_faster
from skreg.modules import MLP
from skreg.modules.compact import compact_initial, compact_mlp
from skreg.training.net import RegularizedNet

Estimator = TypeVar("Estimator", bound=Any)


def compacted(estimator: Estimator) -> Estimator:
    """A copy of a fitted estimator, with a network that has no more than its outputs need."""
    compacted: Any = copy.deepcopy(estimator)
    net = compacted.net_
    if estimator._full_layer_sizes is None:
        compacted._full_layer_sizes = net.module_.hidden_layer_sizes
    module, kept = compact_mlp(net.module_)
    for holder, name in ((compacted, "_initial_weights"), (net, "initial")):
        initial = getattr(holder, name)
        if initial is not None:
            setattr(holder, name, compact_initial(net.module_, initial))
    inputs, n_features = estimator._inputs, estimator.n_features_in_
    inputs = (np.arange(n_features) if inputs is None else inputs)[kept.cpu().numpy()]
    compacted._inputs = inputs if len(inputs) < n_features else None
    if net.columns is not None:
        net.columns = replace(net.columns, inputs=compacted._inputs)
    _exchange_module(net, module)
    return compacted


def pick_columns(X: Any, columns: np.ndarray | None) -> Any:
    """These columns of an ndarray or a csr matrix; all for None."""
    if columns is None:
        return X
    if issparse(X):
        return X[:, columns]
    # Both leave rows in C order, as the network wants them.
    if not torch_reads_faster(X):
        return X.take(columns, axis=1)
    wanted = torch.from_numpy(columns).expand(len(X), -1)
    return torch.from_numpy(X).gather(1, wanted).numpy()


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
