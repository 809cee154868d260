"""
A grid trained as one network, timed
====================================

`GridSearchCV` fits each candidate on each fold by itself. `StackedGridSearchCV` trains them
side by side: the weights of all networks stand in one tensor, and one batched product serves
them all. The results are the same.

The times are those of the machine that built this page, with one process on either side;
``benchmarks/grid.py`` measures with several processes and other libraries.
"""

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skreg import RegularizedMLPClassifier, StackedGridSearchCV

X, y = load_digits(return_X_y=True)
X, y = (X[:600] / 16).astype(np.float32), y[:600]
network = RegularizedMLPClassifier(
    (24,), penalty="l1", learning_rate_init=0.01, max_iter=100, tol=1e-2, random_state=0
)
grid = {"alpha": np.logspace(-2, -4, 8)}

# %%
searches = {"GridSearchCV": GridSearchCV, "StackedGridSearchCV": StackedGridSearchCV}
seconds, scores = {}, {}
for name, kind in searches.items():
    start = time.perf_counter()
    search = kind(network, grid, cv=4, refit=False).fit(X, y)
    seconds[name] = time.perf_counter() - start
    scores[name] = search.cv_results_["mean_test_score"]
    print(f"{name:20} {seconds[name]:5.1f} s, best accuracy {scores[name].max():.3f}")
print("largest difference of a score:", np.ptp(list(scores.values()), axis=0).max())

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
bars = left.barh(list(seconds), list(seconds.values()), color=["#E69F00", "#0072B2"])
left.bar_label(bars, fmt="%.1f s", padding=3)
left.invert_yaxis()
left.set(xlabel="seconds for 32 networks", xlim=(0, 1.25 * max(seconds.values())))
right.plot(grid["alpha"], scores["GridSearchCV"], "s", color="#E69F00", markersize=9)
right.plot(grid["alpha"], scores["StackedGridSearchCV"], "o-", color="#0072B2", markersize=4)
right.set(xscale="log", xlabel="λ (alpha)", ylabel="accuracy, mean of 4 folds")
right.legend(searches)
plt.show()
