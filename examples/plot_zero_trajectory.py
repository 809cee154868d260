"""
A weight on its way to zero
===========================

The same lasso, trained by Adam in two ways. With the penalty in the loss, as in a
hand-written loop, a weight that should be zero jumps about it for ever. With proximal steps
it gets there and stays.
"""

# %%
# Ten features, five of which matter; the weights are looked at after every step.
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.linear_model import Lasso

from skreg.optim import ProximalAdam
from skreg.penalties import L1

rng = np.random.default_rng(0)
X = rng.normal(size=(100, 10))
y = X[:, :5] @ [2.0, -1.5, 1.0, -0.7, 0.5] + 0.5 * rng.normal(size=100)
ALPHA = 0.2
expected = Lasso(alpha=ALPHA, fit_intercept=False, tol=1e-12).fit(X, y).coef_
inputs, target = torch.tensor(X), torch.tensor(y)


def trajectory(method, n_steps=600):
    weight = torch.full((1, 10), 0.5, dtype=torch.float64, requires_grad=True)
    optimizer = ProximalAdam(
        [{"params": [weight], "penalty": L1(ALPHA)}], lr=0.02, penalty_method=method
    )
    steps = []
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss = 0.5 * (inputs @ weight.ravel() - target).square().mean()
        loss.backward()
        optimizer.step()
        steps.append(weight.detach().numpy().ravel().copy())
    return np.array(steps)


paths = {
    "proximal": trajectory("proximal"),
    "subgradient": trajectory("subgradient"),
}
for name, path in paths.items():
    print(
        f"{name:12} {np.sum(path[-1] == 0)} exact zeros (the lasso: {np.sum(expected == 0)}), "
        f"largest difference from it {np.abs(path[-1] - expected).max():.1e}"
    )

# %%
# Left, a weight that the lasso sets to zero, with its distance from zero on a logarithmic axis;
# an exact zero cannot be drawn there and is marked at the bottom. Right, all ten weights with
# proximal steps, and the lasso's as diamonds.
watched = np.flatnonzero(expected == 0)[0]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for (name, path), color in zip(paths.items(), ("#0072B2", "#E69F00"), strict=True):
    distance = np.abs(path[:, watched])
    nonzero = np.where(distance > 0, distance, np.nan)
    left.semilogy(np.arange(1, len(path) + 1), nonzero, color=color, label=name)
zero_at = np.flatnonzero(paths["proximal"][:, watched] == 0)
bottom = left.get_ylim()[0]
left.plot(
    zero_at + 1,
    np.full(len(zero_at), bottom),
    color="#D55E00",
    linewidth=5,
    label="proximal, exactly zero",
)
left.set(xlabel="step", ylabel="|weight|", title="a weight that should be zero")
left.legend(loc="upper right")
right.plot(paths["proximal"], color="#0072B2", linewidth=1.2)
right.plot(np.full(10, 600), expected, "D", color="#D55E00", markersize=6, label="lasso")
right.set(xlabel="step", ylabel="weight", title="all weights, proximal steps")
right.legend(loc="upper right", bbox_to_anchor=(1, 0.86))
plt.show()
