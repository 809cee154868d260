"""
The textbook loop, step by step, and what it misses
===================================================

A linear layer of 50 inputs and 20 outputs on 64 random rows, mean squared error, Adam. L2 by
``weight_decay``, L1 by adding λ Σ|θ| to the loss: the example that most introductions to
regularization in PyTorch have. skreg follows it to rounding. Then one word is changed, and the
zeros are real.
"""

# %%
# The loop as it is usually written. Note that both penalize the biases as well.
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch

from skreg import RegularizedMLPRegressor
from skreg.plotting import WeightDistributionDisplay

torch.manual_seed(0)
X, Y = torch.randn(64, 50).double(), torch.randn(64, 20).double()
LAMBDA = {"L1": 1e-5, "L2": 1e-4}
N_STEPS = 200


def textbook(penalty, weight, bias, strength):
    layer = torch.nn.Linear(50, 20).double()
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    decay = strength if penalty == "L2" else 0.0
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3, weight_decay=decay)
    for _ in range(N_STEPS):
        base = torch.nn.functional.mse_loss(layer(X), Y)
        norms = [
            p.abs().sum() if penalty == "L1" else p.square().sum() / 2
            for p in layer.parameters()
        ]
        term = strength * sum(norms)
        optimizer.zero_grad()
        (base + term if penalty == "L1" else base).backward()
        optimizer.step()
    return layer, base.item(), term.item()


# %%
# The same with skreg. Its squared error is ½‖y − f‖² summed over the 20 outputs, 20/2 times
# PyTorch's mean, and so are its alpha and the epsilon that Adam adds to the size of a gradient.
def skregs(penalty, strength, **settings):
    return RegularizedMLPRegressor(
        (),
        penalty=penalty.lower(),
        alpha=strength * 20 / 2,
        epsilon=1e-8 * 20 / 2,
        penalize_bias=True,
        batch_size=64,
        shuffle=False,
        tol=0.0,
        n_iter_no_change=np.inf,
        random_state=0,
        **{"penalty_method": "subgradient", "max_iter": N_STEPS, **settings},
    )


def start():
    """The weights that skreg's network starts from."""
    network = skregs("L2", 0.0, max_iter=1, learning_rate_init=1e-300).fit(X.numpy(), Y.numpy())
    return torch.tensor(network.coefs_[0].T), torch.tensor(network.intercepts_[0])


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # few epochs on purpose: not converged
    weight, bias = start()
    print("      base loss   penalty     total     (skreg's, times 2/20)")
    for penalty, strength in LAMBDA.items():
        layer, base, term = textbook(penalty, weight, bias, strength)
        network = skregs(penalty, strength).fit(X.numpy(), Y.numpy())
        ours = network.data_loss_curve_[-1] / 10, network.penalty_curve_[-1] / 10
        print(f"{penalty} loop   {base:.6f}  {term:.6f}  {base + term:.6f}")
        print(f"{penalty} skreg  {ours[0]:.6f}  {ours[1]:.6f}  {sum(ours):.6f}")
        np.testing.assert_allclose(network.coefs_[0].T, layer.weight.detach(), atol=1e-8)

# %%
# At λ = 1e-5 there is nothing to see yet. At a strength that matters, the loop's L1 gives no
# zero, and the proximal step does.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    networks = [
        skregs("L1", 0.003, penalty_method=method, max_iter=1000).fit(X.numpy(), Y.numpy())
        for method in ("subgradient", "proximal")
    ]
WeightDistributionDisplay.from_estimators(
    networks, names=["penalty in the loss", "proximal step"], per_layer=False
)
plt.show()
