"""
Choosing λ with the validation curve
====================================

Too small a λ lets the network learn the noise of its training rows, too large a one keeps it
from learning anything. The curve of training and test score shows both, and the range between
them.
"""

# %%
# A network that is too large for 442 patients, and twelve values of λ on five folds: 60
# networks, trained side by side.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPRegressor, StackedGridSearchCV

X, y = load_diabetes(return_X_y=True)
X = StandardScaler().fit_transform(X).astype(np.float32)
network = RegularizedMLPRegressor(
    (30,), penalty="l1", learning_rate_init=0.01, max_iter=400, tol=1e-3, random_state=0
)
model = TransformedTargetRegressor(network, transformer=StandardScaler())
alphas = np.logspace(0, -4, 12)
folds = KFold(5, shuffle=True, random_state=0)
search = StackedGridSearchCV(
    model, {"regressor__alpha": alphas}, cv=folds, return_train_score=True
).fit(X, y)

# %%
# The best λ, and the largest one whose score is within one standard error of it.
results = search.cv_results_
mean, train = results["mean_test_score"], results["mean_train_score"]
error = results["std_test_score"] / np.sqrt(4)  # five folds; std divides by 5, the error by 4
best = mean.argmax()
within = alphas[mean >= mean[best] - error[best]].max()
network = search.best_estimator_.regressor_
print(f"best: λ = {alphas[best]:.2g}, R² = {mean[best]:.2f} ± {error[best]:.2f}")
print(f"largest within one standard error: λ = {within:.2g}")
print(
    f"{network.sparsity_:.0%} of the weights zero, {network.selected_features_.sum()} features"
)

# %%
figure, axis = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
axis.plot(alphas, train, "--s", color="#E69F00", markersize=4, label="training rows")
axis.plot(alphas, mean, "-o", color="#0072B2", markersize=4, label="held-out rows")
axis.fill_between(alphas, mean - error, mean + error, color="#0072B2", alpha=0.25)
axis.axvline(alphas[best], color="#009E73", linestyle="--", label=f"best, {alphas[best]:.2g}")
axis.axvline(
    within, color="#D55E00", linestyle=":", label=f"within one standard error, {within:.2g}"
)
low = min(mean.min(), 0) - 0.15
axis.annotate("overfitting:\nthe curves part", (2.5e-4, low + 0.04), ha="center")
axis.annotate("underfitting:\nboth are low", (0.45, low + 0.04), ha="center")
axis.set(xscale="log", xlabel="λ (alpha)", ylabel="R²", ylim=(low, 1.02))
axis.legend(loc="upper right", fontsize="small")
plt.show()
