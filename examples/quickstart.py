"""Four networks for each of two data sets: no penalty, L2, L1 and elastic net.

Each is a `Pipeline` of a `StandardScaler` and a network with one hidden layer of 32 neurons.
`StackedGridSearchCV` chooses the strength λ (`alpha`) of the penalty: it trains the networks of
a grid side by side. The rows held out at the start show how well the chosen network does on
data it has not seen.

What one sees: L2 makes the weights small, L1 makes most of them exactly zero and drops
whole input features, elastic net does some of both. The table has the numbers, and
`quickstart.png`, written next to this file, the distributions of the weights.

    python examples/quickstart.py
"""

from pathlib import Path

import matplotlib
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor, StackedGridSearchCV

matplotlib.use("Agg")  # write the figure to a file, no window needed
import matplotlib.pyplot as plt

PENALTIES = {"none": None, "L2": "l2", "L1": "l1", "elastic net": "elasticnet"}
# From strong to weak: of values of λ that score alike, the search takes the first one.
ALPHAS = np.logspace(-0.5, -3, 6)
N_FOLDS = 5

FIGURE = Path(__file__).with_name("quickstart.png")
# Colours from Okabe and Ito's palette, which is safe for colour-blind readers.
NON_ZERO_COLOUR, ZERO_COLOUR = "#0072B2", "#D55E00"


def make_classifier(penalty):
    network = RegularizedMLPClassifier(
        (32,), penalty=penalty, learning_rate_init=0.01, max_iter=1000, random_state=0
    )
    return make_pipeline(StandardScaler(), network)


def make_regressor(penalty):
    network = RegularizedMLPRegressor(
        (32,), penalty=penalty, learning_rate_init=0.01, max_iter=1000, random_state=0
    )
    # The network sees y with mean 0 and variance 1: its losses are in those units.
    scaled = TransformedTargetRegressor(regressor=network, transformer=StandardScaler())
    return make_pipeline(StandardScaler(), scaled)


def fitted_network(search):
    """The network inside the pipeline that the search fitted to all training rows."""
    last = search.best_estimator_[-1]
    return getattr(last, "regressor_", last)


def search_alpha(pipeline, penalty, X, y, progress):
    """Choose λ by cross-validation, then fit to all of X and y."""

    def score_and_count(model, X_valid, y_valid):
        progress.update()
        return model.score(X_valid, y_valid)

    alpha_name = next(name for name in pipeline.get_params() if name.endswith("__alpha"))
    alphas = [0.0] if penalty is None else ALPHAS
    search = StackedGridSearchCV(
        pipeline, {alpha_name: alphas}, scoring=score_and_count, cv=N_FOLDS
    )
    return search.fit(X, y)


def fit_all_penalties(make_model, load_data, progress):
    """Fit one network for each penalty; return them, and a row of the table for each."""
    X, y = load_data(return_X_y=True)
    X = X.astype(np.float32)  # the precision of the network, faster than float64
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    networks, rows = {}, []
    for name, penalty in PENALTIES.items():
        search = search_alpha(make_model(penalty), penalty, X_train, y_train, progress)
        network = networks[name] = fitted_network(search)
        rows.append(
            {
                "penalty": name,
                "best λ": network.alpha,
                "test score": search.best_estimator_.score(X_test, y_test),
                "zero weights": network.sparsity_,
                "features": int(network.selected_features_.sum()),
                "of": network.n_features_in_,
                "data loss": network.data_loss_curve_[-1],
                "penalty value": network.penalty_curve_[-1],
                "total": network.loss_curve_[-1],
            }
        )
    return networks, rows


def print_table(title, score_name, rows):
    print(f"\n{title}\n")
    print(
        f"{'penalty':<12}{'best λ':>9}{'test ' + score_name:>15}{'weights = 0':>13}"
        f"{'features':>10}{'data loss':>11}{'+ penalty':>11}{'= total':>9}"
    )
    for row in rows:
        alpha = f"{row['best λ']:.2g}" if row["best λ"] else "-"
        features = f"{row['features']}/{row['of']}"
        print(
            f"{row['penalty']:<12}{alpha:>9}{row['test score']:>15.3f}"
            f"{row['zero weights']:>13.1%}{features:>10}{row['data loss']:>11.4f}"
            f"{row['penalty value']:>11.4f}{row['total']:>9.4f}"
        )


def describe(title, rows):
    """Say in words what the table of one data set shows."""
    by_name = {row["penalty"]: row for row in rows}
    none = by_name["none"]
    best = max(rows, key=lambda row: row["test score"])
    print(f"{title}:")
    for name in ("L2", "L1", "elastic net"):
        row = by_name[name]
        print(
            f"- {name}: {row['zero weights']:.0%} of the weights are exactly zero, and the "
            f"network uses {row['features']} of {row['of']} features."
        )
    print(
        f"- Best score on the test rows: {best['test score']:.3f} ({best['penalty']}). "
        f"Without a penalty: {none['test score']:.3f}."
    )
    l1 = by_name["L1"]
    print(
        f"- Loss on the training rows: {none['data loss']:.4f} without a penalty, "
        f"{l1['data loss']:.4f} with L1. Fitting closely and predicting well are two things."
    )


def print_shares_of_copies():
    """Two copies of one feature: L1 lets chance share out the weight, elastic net halves it."""
    X, y = load_diabetes(return_X_y=True)
    bmi = X[:, [2]]
    X, y = StandardScaler().fit_transform(np.hstack([X, bmi])), (y - y.mean()) / y.std()
    print("Two copies of one feature (diabetes, body mass index), in a model without hidden")
    print("layers and with λ = 0.1. Weights of the copies, from three random starts:")
    for name in ("L1", "elastic net"):
        shares = []
        for seed in range(3):
            model = RegularizedMLPRegressor(
                (),
                penalty=PENALTIES[name],
                alpha=0.1,
                solver="fista",
                tol=1e-6,
                max_iter=2000,
                random_state=seed,
            ).fit(X, y)
            weights = model.coefs_[0][:, 0]
            shares.append(f"{weights[2]:.3f} and {weights[-1]:.3f}")
        print(f"  {name:<12}" + "    ".join(shares))
    print("To L1 every way to share the weight costs the same; elastic net's square term makes")
    print("equal shares the cheapest.")


def draw_weights(fits, path):
    """One histogram of all weights per network; the exact zeros have a separate bar."""
    figure, axes = plt.subplots(
        len(fits),
        len(PENALTIES),
        figsize=(13, 7),
        layout="constrained",
        sharex="row",
        sharey="row",
    )
    for row, (title, networks) in zip(axes, fits.items(), strict=True):
        weights = {
            name: np.concatenate([layer.ravel() for layer in network.coefs_])
            for name, network in networks.items()
        }
        limit = max(np.abs(w).max() for w in weights.values())
        for axis, (name, network) in zip(row, networks.items(), strict=True):
            draw_histogram(axis, weights[name], np.linspace(-limit, limit, 41))
            title_line = f"{name}, λ = {network.alpha:.2g}" if network.alpha else "no penalty"
            axis.set_title(f"{title_line}\n{network.sparsity_:.0%} exactly zero")
            axis.set_xlabel("weight")
        row[0].set_ylabel(f"{title}\nnumber of weights (log scale)")
    figure.suptitle("Weights of each network after training", fontsize=14)
    figure.legend(*axes[0, -1].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_histogram(axis, weights, edges):
    n_zeros, width = np.sum(weights == 0), edges[1] - edges[0]
    axis.hist(weights[weights != 0], bins=edges, color=NON_ZERO_COLOUR, label="not zero")
    axis.bar(0, n_zeros, width=width / 2, color=ZERO_COLOUR, label="exactly zero")
    axis.set_yscale("log")


def main():
    n_fits = 2 * N_FOLDS * (1 + (len(PENALTIES) - 1) * len(ALPHAS))
    with tqdm(total=n_fits, desc="grid search", unit="fit") as progress:
        cancer, cancer_rows = fit_all_penalties(make_classifier, load_breast_cancer, progress)
        diabetes, diabetes_rows = fit_all_penalties(make_regressor, load_diabetes, progress)

    print_table("Breast cancer (classification)", "accuracy", cancer_rows)
    print_table("Diabetes (regression; losses for y of variance 1)", "R²", diabetes_rows)
    print("\nWhat to see\n")
    describe("Breast cancer", cancer_rows)
    describe("Diabetes", diabetes_rows)
    print()
    print_shares_of_copies()

    draw_weights({"Breast cancer": cancer, "Diabetes": diabetes}, FIGURE)
    print(f"\nThe distributions of the weights are drawn in {FIGURE}.")


if __name__ == "__main__":
    main()
