"""The initial fit of an adaptive penalty: its weights set the strengths of the next fit.

An adaptive penalty is strong on what the initial fit found small and weak on what it found
large (Zou, "The adaptive lasso and its oracle properties", 2006). Weight by weight, that
compares two networks, and in a network the neurons could as well stand in another order: so
the fit starts from the initial weights, where each neuron is the one that it was.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from skreg.modules import MLP
from skreg.penalties.by_name import DEFAULT_ALPHA, DEFAULT_L1_RATIO, adapts, make_penalty


def parameters_of(module: MLP) -> tuple[np.ndarray, np.ndarray]:
    """Copies of the flat weights and biases, in arrays: no tensor is to be in a pickle."""
    weight, bias = (p.detach().cpu().numpy().copy() for p in (module.weight, module.bias))
    return weight, bias


def initial_estimator(estimator: Any) -> Any:
    """The unfitted estimator whose weights the penalty of another adapts to, if it does."""
    if not adapts(make_penalty(estimator.penalty, estimator.alpha, estimator.l1_ratio)):
        return None
    initial = clone(estimator).set_params(
        penalty="l2",
        alpha=DEFAULT_ALPHA,
        l1_ratio=DEFAULT_L1_RATIO,
        penalty_method="proximal",
        checkpoint=None,
        resume=False,
        callbacks=None,
        verbose=False,
        warm_start=False,
    )
    initial._is_initial = True
    if getattr(estimator, "_declared_classes", None) is not None:
        initial._declare_classes(estimator._declared_classes)
    return initial


def start_from(
    initial: Any, estimator: Any, module: MLP, X: Any, y: Any, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Give a module the weights of the initial fit, and return them.

    `initial` is fitted already, or is :func:`initial_estimator` of the estimator.
    """
    if not initial.__sklearn_is_fitted__():
        if not isinstance(estimator.random_state, Integral):
            # As a fit that is resumed has it: what it draws is put back with the rest.
            initial.random_state = int(estimator._random_state.randint(2**31 - 1))
        initial._train(initial._prepare(X, y, sample_weight))
    weights, biases = parameters_of(initial.net_.module_)
    with torch.no_grad():
        module.weight.copy_(torch.as_tensor(weights))
        module.bias.copy_(torch.as_tensor(biases))
    return weights, biases
