"""Networks as torch modules: stacks of multi-layer perceptrons, and anybody's own."""

from skreg.modules.mlp import MLP
from skreg.modules.penalized import penalized_parameters

__all__ = ["MLP", "penalized_parameters"]
