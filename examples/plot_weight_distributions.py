"""
Weights without a penalty, with L2, L1 and elastic net
======================================================

One network, four times, on the same rows and from the same initial weights; only the penalty
differs. L2 makes all weights small. L1 makes most of them exactly zero and leaves a few large.
Elastic net does some of both.
"""

# %%
# The data: 30 measurements of cells, scaled, and whether the tumour is benign.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier
from skreg.plotting import WeightDistributionDisplay, WeightMatrixDisplay

data = load_breast_cancer()
X_train, X_test, y_train, y_test = train_test_split(data.data, data.target, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_test = (scaler.transform(X).astype(np.float32) for X in (X_train, X_test))

# %%
# The same network under four penalties.
network = RegularizedMLPClassifier(
    (20,), alpha=0.01, learning_rate_init=0.01, max_iter=600, tol=1e-3, random_state=0
)
penalties = {"no penalty": None, "L2": "l2", "L1": "l1", "elastic net": "elasticnet"}
networks = [
    clone(network).set_params(penalty=penalty).fit(X_train, y_train)
    for penalty in penalties.values()
]
for name, fitted in zip(penalties, networks, strict=True):
    print(
        f"{name:12} test accuracy {fitted.score(X_test, y_test):.2f}, "
        f"{fitted.sparsity_:4.0%} of the weights zero, "
        f"{fitted.selected_features_.sum():2} of 30 features used"
    )

# %%
# Histograms of the weights, one row for each layer. Counts are on a logarithmic axis. The
# orange bar holds the weights that are exactly zero and no others.
WeightDistributionDisplay.from_estimators(networks, names=list(penalties))
plt.show()

# %%
# Which weights L1 leaves: a row for each feature, a column for each neuron. Grey is exactly
# zero, grey names are features that reach no output.
WeightMatrixDisplay.from_estimator(networks[2], feature_names=data.feature_names)
plt.show()
