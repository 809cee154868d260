"""The figure of the README and of the landing page: one network under three penalties.

Each network has one hidden layer of 20 neurons and is trained on the breast cancer data from
the same initial weights. The figure is checked in; run this to draw it again:

    python examples/make_readme_figure.py
"""

from pathlib import Path

import matplotlib
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

from skreg import RegularizedMLPClassifier
from skreg.plotting import WeightDistributionDisplay

matplotlib.use("Agg")  # write the figure to a file, no window needed
import matplotlib.pyplot as plt

FIGURE = Path(__file__).parent.parent / "docs/_static/readme.png"


def main():
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X).astype(np.float32)
    network = RegularizedMLPClassifier(
        (20,), alpha=0.01, learning_rate_init=0.01, max_iter=600, tol=1e-3, random_state=0
    )
    penalties = {"no penalty": None, "L2": "l2", "L1": "l1"}
    networks = [clone(network).set_params(penalty=p).fit(X, y) for p in penalties.values()]
    figure, axes = plt.subplots(
        1, 3, figsize=(9, 2.9), sharex=True, sharey=True, layout="constrained"
    )
    WeightDistributionDisplay.from_estimators(
        networks, names=list(penalties), per_layer=False, ax=axes, bins=27
    )
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=120)
    plt.close(figure)
    for name, fitted in zip(penalties, networks, strict=True):
        print(
            f"{name:10} {fitted.sparsity_:.0%} of the weights exactly zero, "
            f"{fitted.selected_features_.sum()} of 30 features used"
        )


if __name__ == "__main__":
    main()
