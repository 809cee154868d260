"""
Whole features and neurons: group sparsity, and a compacted network
===================================================================

L1 zeroes single weights, wherever they are. A group penalty zeroes all outgoing weights of a
feature or a neuron at once, and what is left is a smaller network: `compact` cuts it out.
"""

# %%
# Handwritten digits of 8 x 8 pixels; the features are the pixels.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skreg import RegularizedMLPClassifier
from skreg.plotting import WeightMatrixDisplay

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
network = RegularizedMLPClassifier(
    (24,), learning_rate_init=0.01, max_iter=150, tol=3e-3, random_state=0
)
fits = {
    "L1": clone(network).set_params(penalty="l1", alpha=0.003),
    "group lasso": clone(network).set_params(penalty="group_lasso", alpha=0.003),
}
for name, fitted in fits.items():
    fitted.fit(X_train, y_train)
    small = fitted.compact()
    sizes = [weight.shape[0] for weight in small.coefs_]
    same = np.abs(small.predict_proba(X_test) - fitted.predict_proba(X_test)).max()
    print(
        f"{name:11} accuracy {fitted.score(X_test, y_test):.2f}, {fitted.sparsity_:.0%} of the "
        f"weights zero; compacted: {sizes[0]} of 64 pixels, {sizes[1]} of 24 neurons, "
        f"probabilities within {same:.0e}"
    )

# %%
# The weights of the first layer. With L1 the zeros (grey) are scattered, with the group lasso
# they are rows.
figure, axes = plt.subplots(1, 2, figsize=(9, 5.6), layout="constrained")
for axis, (name, fitted) in zip(axes, fits.items(), strict=True):
    WeightMatrixDisplay.from_estimator(fitted, ax=axis)
    axis.set_title(name)
plt.show()

# %%
# The pixels that the group lasso looks at.
figure, axes = plt.subplots(1, 2, figsize=(6.2, 3.2), layout="constrained")
axes[0].imshow(X_train[y_train == 3][0].reshape(8, 8), cmap="gray_r")
axes[0].set_title("a three")
seen = fits["group lasso"].selected_features_.reshape(8, 8)
axes[1].imshow(np.where(seen, 0.0, np.nan), cmap="Blues_r", vmin=0, vmax=1)
axes[1].set_facecolor("#d9d9d9")
axes[1].set_title(f"{seen.sum()} pixels used (blue)")
for axis in axes:
    axis.set(xticks=[], yticks=[])
plt.show()
