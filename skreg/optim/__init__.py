"""Optimizers that pair a gradient step with a penalty's proximal step, in one metric.

A proximal step is right only in the metric of the gradient step it follows. Stochastic
gradient descent moves every weight by lr·gradient, so its prox has the step lr. Heavy-ball
momentum β moves on for 1 + β + β² + … = 1/(1 − β) times as far, and Adam moves each weight by
lr/(√v̂ + ε): thresholding either by lr·λ solves another problem (with Adam, on a lasso of ten
features, one with ten non-zeros where the lasso has five).

``ProximalSGD`` and ``ProximalAdam`` take the place of ``torch.optim.SGD`` and ``Adam``:

>>> import torch
>>> from skreg.optim import ProximalAdam
>>> from skreg.penalties import L1
>>> layer = torch.nn.Linear(3, 1)
>>> optimizer = ProximalAdam(
...     [{"params": [layer.weight], "penalty": L1(alpha=0.1)}, {"params": [layer.bias]}], lr=0.1
... )
>>> x = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
>>> for _ in range(200):
...     optimizer.zero_grad()
...     loss = 0.5 * (layer(x).squeeze(1) - 2 * x[:, 0]).square().mean()
...     loss.backward()
...     optimizer.step()
>>> layer.weight[0, 1:].tolist()
[0.0, 0.0]

``optimality_residual`` says how far from optimal a point is, whoever produced it.
"""

from skreg.optim.adam import ProximalAdam
from skreg.optim.optimality import optimality_residual
from skreg.optim.sgd import ProximalSGD

__all__ = ["ProximalAdam", "ProximalSGD", "optimality_residual"]
