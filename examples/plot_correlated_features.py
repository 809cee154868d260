"""
Correlated features: L1 leaves one to chance, elastic net keeps all
===================================================================

Three features say nearly the same, and the target depends on what they share. L1 gives most of
the weight to one of them, and which one changes from sample to sample. Elastic net divides the
weight among the three.
"""

# %%
# The feature "bmi" of the diabetes data, measured three times with a little error each time.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from skreg import RegularizedMLPRegressor

data = load_diabetes()
rng = np.random.default_rng(0)
bmi = scale(data.data)[:, data.feature_names.index("bmi")]
y = scale(data.target)

# %%
# A linear model (no hidden layer), fitted to 12 samples of half the rows.
model = RegularizedMLPRegressor((), alpha=0.1, solver="fista", tol=1e-6, max_iter=5000)
penalties = {
    "L1": {"penalty": "l1"},
    "elastic net": {"penalty": "elasticnet", "l1_ratio": 0.2, "alpha": 0.3},
}
coefs = {name: [] for name in penalties}
for _ in range(12):
    rows = rng.permutation(len(y))[: len(y) // 2]
    X = bmi[rows, None] + 0.15 * rng.normal(size=(len(rows), 3))
    for name, settings in penalties.items():
        fitted = clone(model).set_params(**settings).fit(X, y[rows])
        coefs[name].append(fitted.coefs_[0].ravel())

# %%
# Each line is one sample, each point one copy; a diamond is exactly zero.
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.8), sharey=True, layout="constrained")
for axis, (name, values) in zip(axes, coefs.items(), strict=True):
    values = np.array(values)
    axis.plot([1, 2, 3], values.T, "-o", color="#0072B2", alpha=0.45, markersize=4)
    sample, copy = np.nonzero(values == 0)
    axis.plot(
        copy + 1, values[sample, copy], "D", color="#D55E00", markersize=7, label="exactly zero"
    )
    axis.set(title=f"{name}: spread {values.std(axis=0).mean():.2f}", xlabel="copy of bmi")
    axis.set_xticks([1, 2, 3])
axes[0].set_ylabel("weight")
axes[0].legend(loc="upper left", bbox_to_anchor=(0.08, 1))
plt.show()

for name, values in coefs.items():
    print(f"{name:12} {np.mean(np.array(values) == 0):.0%} of the weights exactly zero")
