"""Optimizers that pair a gradient step with a penalty's proximal step, in one metric."""

from skreg.optim.adam import ProximalAdam
from skreg.optim.optimality import optimality_residual
from skreg.optim.sgd import ProximalSGD

__all__ = ["ProximalAdam", "ProximalSGD", "optimality_residual"]
