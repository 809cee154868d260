"""
A network of your own with a penalty
====================================

The proximal optimizers work on any `torch.nn.Module`. Here is a convolutional network whose
filters are under an L1 penalty, trained by skorch: what is not needed becomes exactly zero,
whole filters among it.
"""

# %%
# Digits as pictures, and two layers of convolutions.
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from skorch import NeuralNetClassifier
from torch import nn

from skreg.optim import ProximalAdam
from skreg.penalties import L1

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 12, 3, padding=1)
        self.second = nn.Conv2d(12, 12, 3, padding=1)
        self.output = nn.Linear(12 * 4, 10)

    def forward(self, pictures):
        hidden = torch.relu(self.first(pictures))
        hidden = torch.max_pool2d(hidden, 2)
        hidden = torch.max_pool2d(torch.relu(self.second(hidden)), 2)
        return self.output(hidden.flatten(1))


# %%
# skorch hands the penalty to the optimizer: weights whose names match the pattern are
# penalized, the biases are not.
def train(alpha):
    torch.manual_seed(0)
    return NeuralNetClassifier(
        Digits,
        criterion=nn.CrossEntropyLoss,
        optimizer=ProximalAdam,
        optimizer__param_groups=[("*.weight", {"penalty": L1(alpha)})],
        lr=0.01,
        max_epochs=12,
        batch_size=100,
        train_split=None,
        verbose=0,
    ).fit(X_train, y_train)


nets = {"no penalty": train(0.0), "L1": train(0.001)}
for name, net in nets.items():
    weights = torch.cat(
        [p.flatten() for n, p in net.module_.named_parameters() if "weight" in n]
    )
    print(
        f"{name:10} accuracy {net.score(X_test, y_test):.2f}, "
        f"{(weights == 0).float().mean():.0%} of the weights exactly zero"
    )

# %%
# The second layer: a square of 3 x 3 weights for each pair of an input channel (rows) and a
# filter (columns). Grey is exactly zero.
figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
colors = plt.get_cmap("PuOr_r").with_extremes(bad="#d9d9d9")
for axis, (name, net) in zip(axes, nets.items(), strict=True):
    filters = net.module_.second.weight.detach().numpy()
    picture = filters.transpose(1, 2, 0, 3).reshape(36, 36)
    limit = np.abs(picture).max()
    image = axis.imshow(np.ma.masked_equal(picture, 0), cmap=colors, vmin=-limit, vmax=limit)
    axis.set(title=name, xlabel="filter", ylabel="channel")
    ticks = np.arange(1, 36, 3)
    axis.set_xticks(ticks, range(12))
    axis.set_yticks(ticks, range(12))
    axis.hlines(np.arange(2.5, 35, 3), -0.5, 35.5, color="white", linewidth=0.6)
    axis.vlines(np.arange(2.5, 35, 3), -0.5, 35.5, color="white", linewidth=0.6)
figure.colorbar(image, ax=axes, label="weight (grey: exactly zero)", shrink=0.75)
plt.show()
