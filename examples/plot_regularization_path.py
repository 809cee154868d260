"""
A regularization path
=====================

From a dense network to nothing left: the strength of the penalty rises step by step, each
step goes on from the weights of the one before, and features drop out one after another. The
order in which they go says which ones matter.
"""

# %%
# Wines again, with half of the rows held out, and group MCP: it drops whole features, and does
# not shrink those it keeps but for a little L2, which a path adds to it.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier, RegularizedMLPClassifierCV, regularization_path
from skreg.plotting import RegularizationPathDisplay

data = load_wine()
X_train, X_val, y_train, y_val = train_test_split(
    data.data, data.target, test_size=0.5, random_state=0, stratify=data.target
)
scaler = StandardScaler().fit(X_train)
X_train, X_val = (scaler.transform(X).astype(np.float32) for X in (X_train, X_val))
network = RegularizedMLPClassifier(
    (16,), penalty="group_mcp", learning_rate_init=0.01, max_iter=300, tol=1e-3, random_state=0
)
path = regularization_path(network, X_train, y_train, alphas=40, X_val=X_val, y_val=y_val)
print(f"{len(path)} strengths, {path.n_features[0]} features down to {path.n_features[-1]}")

# %%
# Features left, accuracy on the held-out rows and the objective, along λ.
RegularizationPathDisplay.from_path(path, score_name="accuracy, held out")
plt.show()

# %%
# Up to which λ each feature is kept.
figure, axis = plt.subplots(figsize=(6.8, 4.2), layout="constrained")
order = path.entry_alpha.argsort()
rows = np.arange(len(order))
axis.hlines(rows, path.alphas[0], path.entry_alpha[order], color="#0072B2", linewidth=2)
axis.plot(path.entry_alpha[order], rows, "o", color="#0072B2")
axis.set_yticks(rows, np.array(data.feature_names)[order])
axis.set(xscale="log", xlabel="λ (alpha): each feature is kept up to its dot")
axis.set_xlim(left=path.alphas[0])
axis.grid(axis="x", color="#dddddd")
plt.show()

# %%
# The network at any point of the path can be had.
index = np.flatnonzero(path.n_features <= 4)[0]
small = path.estimator_at(index)
names = np.array(data.feature_names)[small.selected_features_]
print(f"{', '.join(names)}: accuracy {small.score(X_val, y_val):.2f}")

# %%
# `RegularizedMLPClassifierCV` chooses λ along such a path by cross-validation, for which all
# rows can be used. The best mean score is partly luck: `selection="1se"` takes the largest λ,
# and with it the fewest features, whose mean is within one standard error of the best.
X = scaler.transform(data.data).astype(np.float32)
chooser = RegularizedMLPClassifierCV(
    (16,),
    penalty="group_mcp",
    alphas=30,
    cv=5,
    selection="1se",
    learning_rate_init=0.01,
    max_iter=300,
    tol=1e-3,
    random_state=0,
).fit(X, data.target)
print(f"λ = {chooser.alpha_:.2g}, {chooser.selected_features_.sum()} features")
RegularizationPathDisplay.from_estimator(chooser, score_name="accuracy, 5 folds")
plt.show()
