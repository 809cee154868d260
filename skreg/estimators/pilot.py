"""The pilot of an adaptive penalty: a fit by whose weights the strengths of the next are set.

An adaptive penalty is strong on what the pilot found small and weak on what it found large
(Zou, "The adaptive lasso and its oracle properties", 2006). Weight by weight, that compares
two networks, and in a network the neurons could as well stand in another order: so the fit
starts from the pilot's weights, where each neuron is the one that the pilot had.
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


class PilotMixin:
    """For an estimator whose penalty may be adaptive."""

    penalty: Any
    alpha: float
    l1_ratio: float
    random_state: Any

    #: Weights and biases that an adaptive penalty adapts to.
    _pilots: tuple[np.ndarray, np.ndarray] | None = None
    #: The fitted pilot, where a stack has fitted it before this estimator's turn.
    _pilot: Any = None
    _is_pilot = False
    #: Of a classifier that knows them beforehand.
    _declared_classes: np.ndarray | None = None
    _random_state: np.random.RandomState

    def make_pilot(self) -> Any:
        """Return the unfitted estimator whose weights an adaptive penalty adapts to, if any."""
        if not adapts(make_penalty(self.penalty, self.alpha, self.l1_ratio)):
            return None
        pilot = clone(self).set_params(
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
        pilot._is_pilot = True
        if self._declared_classes is not None:
            pilot._declare_classes(self._declared_classes)
        return pilot

    def _start_from_pilot(
        self, module: MLP, X: Any, y: Any, sample_weight: Any
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Give a module the weights of the pilot, fitted if it is not there; return them."""
        pilot, self._pilot = self._pilot, None
        if pilot is None:
            pilot = self.make_pilot()
            if pilot is None:
                return None
            if not isinstance(self.random_state, Integral):
                # As a fit that is resumed has it: what it draws is put back with the rest.
                pilot.random_state = int(self._random_state.randint(2**31 - 1))
            pilot._train(pilot._prepare(X, y, sample_weight))
        pilots = parameters_of(pilot.net_.module_)
        with torch.no_grad():
            module.weight.copy_(torch.as_tensor(pilots[0]))
            module.bias.copy_(torch.as_tensor(pilots[1]))
        return pilots
