"""The pilot of an adaptive penalty: a fit by whose weights the strengths of the next are set.

An adaptive penalty is strong on what the pilot found small and weak on what it found large
(Zou, "The adaptive lasso and its oracle properties", 2006). Weight by weight, that compares
two networks, and in a network the neurons could as well stand in another order: so the fit
starts from the pilot's weights, where each neuron is the one that the pilot had.
"""

from __future__ import annotations

from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor

from skreg.modules import MLP
from skreg.penalties import DEFAULT_ALPHA, DEFAULT_L1_RATIO, adapts, make_penalty

__all__ = ["PilotMixin", "parameters_of"]


def parameters_of(module: MLP) -> tuple[Tensor, Tensor]:
    """Copies of the flat weights and biases, on the host."""
    return module.weight.detach().cpu().clone(), module.bias.detach().cpu().clone()


class PilotMixin:
    """For an estimator whose penalty may be adaptive."""

    penalty: Any
    alpha: float
    l1_ratio: float

    #: Weights and biases that an adaptive penalty adapts to.
    _pilots: tuple[Tensor, Tensor] | None = None
    #: The fitted pilot, where a stack has fitted it before this estimator's turn.
    _pilot: Any = None
    _is_pilot = False

    def make_pilot(self) -> Any:
        """Return the unfitted estimator whose weights an adaptive penalty adapts to, if any."""
        if not adapts(make_penalty(self.penalty, self.alpha, self.l1_ratio)):
            return None
        pilot = clone(self).set_params(
            penalty="l2",
            alpha=DEFAULT_ALPHA,
            l1_ratio=DEFAULT_L1_RATIO,
            penalty_method="proximal",
            callbacks=None,
            verbose=False,
            warm_start=False,
        )
        pilot._is_pilot = True
        return pilot

    def _start_from_pilot(
        self, module: MLP, X: Any, y: Any, sample_weight: Any
    ) -> tuple[Tensor, Tensor] | None:
        """Give a module the weights of the pilot, fitted if it is not there; return them."""
        pilot, self._pilot = self._pilot, None
        if pilot is None:
            pilot = self.make_pilot()
            if pilot is None:
                return None
            pilot._train(pilot._prepare(X, y, sample_weight))
        pilots = parameters_of(pilot.net_.module_)
        with torch.no_grad():
            module.weight.copy_(pilots[0])
            module.bias.copy_(pilots[1])
        return pilots
