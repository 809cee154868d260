"""
A network of your own, a penalty for each of its parts
======================================================

`RegularizedNetClassifier` trains any `torch.nn.Module` under a penalty, or under several: one
for each pattern of parameter names. Here is a convolutional network with a residual block. L1
zeroes single weights wherever they are; a group lasso on the block alone takes channels away
as a whole.
"""

# %%
# Digits as pictures, and a module. The estimator calls it with `n_outputs`, the number of
# classes, because it has a parameter of that name.
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from skreg import RegularizedNetClassifier
from skreg.penalties import L1, L2, GroupLasso

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)


class Residual(nn.Module):
    def __init__(self, n_outputs, n_channels=8):
        super().__init__()
        self.stem = nn.Conv2d(1, n_channels, 3, padding=1)
        self.block = nn.Sequential(
            nn.Conv2d(n_channels, n_channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(n_channels, n_channels, 3, padding=1),
        )
        self.head = nn.Linear(16 * n_channels, n_outputs)

    def forward(self, pictures):
        hidden = nn.functional.max_pool2d(torch.relu(self.stem(pictures)), 2)
        hidden = torch.relu(hidden + self.block(hidden))
        return self.head(hidden.flatten(1))


# %%
# Three fits of it. In a dict of penalties a parameter gets that of the first pattern that
# fits its name. Biases are left out by themselves.
network = RegularizedNetClassifier(
    Residual,
    module__n_channels=8,
    learning_rate_init=0.01,
    batch_size=100,
    max_iter=40,
    tol=2e-2,
    n_iter_no_change=2,
    random_state=0,
)
penalties = {
    "no penalty": None,
    "L1": L1(1e-3),
    "by name": {"stem.*": L2(1e-3), "block.*": GroupLasso(1e-3), "head.*": L1(1e-3)},
}
fits = {}
for name, penalty in penalties.items():
    fits[name] = clone(network).set_params(penalty=penalty).fit(X_train, y_train)
    print(
        f"{name:10} accuracy {fits[name].score(X_test, y_test):.2f}, "
        f"{fits[name].sparsity_:.0%} of the weights exactly zero"
    )

# %%
# The second convolution of the block: a square of 3 x 3 weights for each pair of an input
# channel (rows) and a filter (columns). Grey is exactly zero. Under L1 single weights go, and
# a channel only when all of them have gone. A group is all that one channel sends on: under
# the group lasso a row is kept as a whole or goes as a whole.
figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.5), layout="constrained")
colors = plt.get_cmap("PuOr_r").with_extremes(bad="#d9d9d9")
filters = {name: net.module_.block[2].weight.detach().numpy() for name, net in fits.items()}
limit = max(np.abs(weights).max() for weights in filters.values())
for axis, (name, weights) in zip(axes, filters.items(), strict=True):
    picture = np.ma.masked_equal(weights.transpose(1, 2, 0, 3).reshape(24, 24), 0)
    image = axis.imshow(picture, cmap=colors, vmin=-limit, vmax=limit)
    axis.set(title=name, xlabel="filter", ylabel="channel")
    axis.set_xticks(np.arange(1, 24, 3), range(8))
    axis.set_yticks(np.arange(1, 24, 3), range(8))
    axis.hlines(np.arange(2.5, 23, 3), -0.5, 23.5, color="white", linewidth=1)
    axis.vlines(np.arange(2.5, 23, 3), -0.5, 23.5, color="white", linewidth=1)
figure.colorbar(image, ax=axes, label="weight (grey: exactly zero)", shrink=0.8)
plt.show()

# %%
# What is left of each parameter that is under a penalty. L2 alone gives no zeros; those of
# the stem are a filter whose ReLU fires for no picture, so that nothing but the penalty moves
# it.
names = fits["L1"].penalized_parameters_
rows = np.arange(len(names))
figure, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
styles = {"no penalty": "#56B4E9", "L1": "#0072B2", "by name": "#E69F00"}
for offset, (name, color) in zip((-0.27, 0, 0.27), styles.items(), strict=True):
    parameters = dict(fits[name].module_.named_parameters())
    left = [(parameters[key] != 0).float().mean().item() for key in names]
    bars = axis.barh(rows + offset, left, height=0.25, color=color, label=name)
    axis.bar_label(bars, [f"{share:.0%}" for share in left], padding=3, fontsize="small")
axis.set_yticks(rows, names)
axis.invert_yaxis()
axis.set(xlabel="share of the weights that are not zero", xlim=(0, 1.12))
axis.legend(loc="upper center", bbox_to_anchor=(0.45, 1.18), ncols=3, frameon=False)
plt.show()
