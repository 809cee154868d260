"""
Implicit feature selection: noise features added
================================================

As many columns of pure noise as there are real ones are added to a table. L2 uses them all. L1
drops most of them while it fits, without a separate selection step.
"""

# %%
# 13 chemical measurements of wines, and 13 columns of random numbers.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import scale

from skreg import RegularizedMLPClassifier

data = load_wine()
rng = np.random.default_rng(0)
real = scale(data.data)
X = np.hstack([real, rng.normal(size=real.shape)]).astype(np.float32)
names = [*data.feature_names, *(f"noise {i}" for i in range(1, 14))]
is_noise = np.arange(26) >= 13

# %%
# One network with either penalty.
network = RegularizedMLPClassifier(
    (16,), learning_rate_init=0.02, max_iter=600, tol=1e-3, random_state=0
)
l2 = clone(network).set_params(penalty="l2", alpha=0.02).fit(X, data.target)
l1 = clone(network).set_params(penalty="l1", alpha=0.02).fit(X, data.target)
for name, fitted in (("L2", l2), ("L1", l1)):
    used = fitted.selected_features_
    accuracy = cross_val_score(clone(fitted), X, data.target, cv=3).mean()
    print(
        f"{name}: uses {used[~is_noise].sum()} of 13 real features and "
        f"{used[is_noise].sum()} of 13 noise features; accuracy {accuracy:.2f} in 3 folds"
    )

# %%
# How much the outputs can change with each feature. A cross marks a feature that is not used at
# all: the prediction does not depend on it.
figure, axes = plt.subplots(1, 2, figsize=(9, 6.2), sharey=True, layout="constrained")
rows = np.arange(26)
for axis, name, fitted in zip(axes, ("L2", "L1"), (l2, l1), strict=True):
    importances = fitted.feature_importances_ / fitted.feature_importances_.max()
    colors = np.where(is_noise, "#E69F00", "#0072B2")
    axis.barh(rows, importances, color=colors)
    dropped = ~fitted.selected_features_
    axis.plot(np.full(dropped.sum(), 0.02), rows[dropped], "x", color="#D55E00", markersize=7)
    axis.set(
        xlabel="importance, largest = 1", title=f"{name}: {dropped.sum()} features dropped"
    )
axes[0].set_yticks(rows, names)
axes[0].invert_yaxis()
plt.show()
