"""
A search over λ on the workers of a Dask cluster
================================================

`StackedGridSearchCV` divides its stacks of networks among the workers of a joblib backend.
With `joblib.parallel_config("dask")` these are the workers of a Dask cluster: here two
processes on this machine, elsewhere as many as you like. Each is sent the data once, and a
worker that dies is made up for by the others.

The figure, written to the current directory, shows the choice: accuracy on held-out rows
against λ::

    pip install "skreg[distributed,plot]"
    python examples/plot_distributed_search.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier, StackedGridSearchCV

ALPHAS = np.logspace(-0.5, -3.5, 12)
FIGURE = Path("plot_distributed_search.png")


def search_on(client):
    """Fit 12 values of λ on 5 folds, 60 networks, on the workers of a cluster."""
    X, y = load_breast_cancer(return_X_y=True)
    network = RegularizedMLPClassifier(
        (32,), penalty="l1", learning_rate_init=0.01, max_iter=300, random_state=0, tol=1e-3
    )
    search = StackedGridSearchCV(
        make_pipeline(StandardScaler(), network),
        {"regularizedmlpclassifier__alpha": ALPHAS},
        cv=5,
    )
    workers = client.scheduler_info()["workers"]
    with parallel_config("dask"):
        search.fit(X.astype(np.float32), y)
    print(f"{len(ALPHAS) * 5} networks on {len(workers)} workers")
    return search


def draw(search, path):
    mean, spread = (search.cv_results_[f"{kind}_test_score"] for kind in ("mean", "std"))
    figure, axis = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    axis.errorbar(
        ALPHAS,
        mean,
        spread,
        marker="o",
        capsize=3,
        color="#0072B2",
        label="mean ± std, 5 folds",
    )
    best = ALPHAS[search.best_index_]
    axis.axvline(best, color="#D55E00", linestyle="--", label=f"chosen, λ = {best:.2g}")
    axis.set(xscale="log", xlabel="λ (alpha)", ylabel="accuracy on held-out rows")
    axis.set_title("Too large underfits, too small does nothing")
    axis.legend(loc="lower left")
    figure.savefig(path, dpi=120)


def main():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        search = search_on(client)
    network = search.best_estimator_[-1]
    print(f"accuracy {search.best_score_:.3f} with λ = {network.alpha:.2g}")
    print(
        f"{network.sparsity_:.0%} of the weights are exactly zero, "
        f"{network.selected_features_.sum()} of {network.n_features_in_} features are used"
    )
    draw(search, FIGURE)
    print(f"The choice is drawn in {FIGURE}.")


if __name__ == "__main__":
    main()
