"""Networks as torch modules: stacks of multi-layer perceptrons, and any other module.

A λ grid, the folds of a cross-validation and an ensemble of seeds are K networks of one
architecture. ``MLP`` holds them as one module, a single network being the stack with K = 1:

>>> import torch
>>> from skreg.modules import MLP, penalized_parameters
>>> grid = MLP(5, (8,), 1, n_members=3, random_state=[0, 1, 2])
>>> grid(torch.ones(4, 5)).shape                  # 3 networks on the same 4 rows
torch.Size([3, 4, 1])
>>> grid(torch.ones(3, 4, 5)).shape               # and a table for each
torch.Size([3, 4, 1])

``penalized_parameters`` yields the parameters of any module that a penalty acts on by default,
the weights of its layers, not biases or normalization:

>>> net = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.LayerNorm(8))
>>> [name for name, _ in penalized_parameters(net)]
['0.weight']
"""

from skreg.modules.mlp import MLP
from skreg.modules.penalized import penalized_parameters

__all__ = ["MLP", "penalized_parameters"]
