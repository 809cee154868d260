"""Paths from dense to sparse and LassoNet's, and what they and their CV select.

Both sides get the same rows, a hidden layer of 64 and one thread, and both run at their
defaults, on all sets. What is compared is the score–features curve: for k features the best
test score of any model on the path with at most k. It is averaged over k from 1 to all, evenly
in log k, so that the small models count. "refit" are the supports of skreg's path trained once
more without the penalty, which takes the time in a separate column.

``--support`` measures which features the CV estimators find where that is known, as do
LassoNet and ``LassoCV``; ``--cv`` times the CV estimators and ``GridSearchCV`` over
scikit-learn's networks, with as many alphas and folds.

    python benchmarks/paths.py [--quick] [--save] [--seeds N] [--sets NAME ...] [--mice FILE]
                               [--support] [--cv]

By default there is one seed, LassoNet's CV is left out and ``--cv`` has 10 alphas: about five
minutes. Alone ``--support`` runs LassoNet's CV and 1,000 features too, and ``--cv`` has 50
alphas. Figures to quote are those of ``--seeds 5``.

LassoNet comes with ``pip install "skreg[bench]"``. Its models are scored outside of the time.
"""

import argparse
import time
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from fit import matrix_product_rate
from saving import report
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.linear_model import LassoCV
from sklearn.metrics import accuracy_score, f1_score, r2_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPRegressor,
    RegularizedMLPRegressorCV,
    regularization_path,
)
from skreg.datasets import make_sparse_regression

HIDDEN = 64
LOADERS = {
    "wine": load_wine,
    "cancer": load_breast_cancer,
    "diabetes": load_diabetes,
    "digits": load_digits,
}
SETS = [*LOADERS, "sparse"]


@dataclass
class Split:
    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray
    classification: bool

    def score(self, predictions):
        measure = accuracy_score if self.classification else r2_score
        return measure(self.y_test, predictions)

    @property
    def score_of_nothing(self):
        """Of a model without features: the largest class, or the mean."""
        values, counts = np.unique(self.y_train, return_counts=True)
        constant = values[counts.argmax()] if self.classification else self.y_train.mean()
        return self.score(np.full(len(self.y_test), constant))


@dataclass
class Curve:
    seconds: float
    n_features: list
    scores: list

    def averaged(self, split):
        """The score–features curve, averaged over log-spaced k."""
        n_features = np.array([0, *self.n_features])
        scores = np.array([split.score_of_nothing, *self.scores])
        ks = np.geomspace(1, split.X_train.shape[1], 200)
        return float(np.mean([scores[n_features <= k].max() for k in ks]))


def load(name, seed, mice=None):
    """Scaled rows of one split; the target of a regression is scaled too."""
    classification = name not in ("diabetes", "sparse")
    if name == "sparse":
        X, y, _ = make_sparse_regression(1100, 2000, random_state=seed)
        test_size = 1000
    elif name == "mice":
        table = np.load(mice)
        X, y, test_size = table["X"], np.unique(table["y"], return_inverse=True)[1], 0.3
    else:
        (X, y), test_size = LOADERS[name](return_X_y=True), 0.3
    return prepare(X, y, test_size, seed, classification)


def prepare(X, y, test_size, seed, classification):
    parts = train_test_split(
        X.astype(np.float32),
        y,
        test_size=test_size,
        random_state=seed,
        stratify=y if classification else None,
    )
    scaler = StandardScaler().fit(parts[0])
    X_train, X_test = (scaler.transform(part) for part in parts[:2])
    y_train, y_test = parts[2:]
    if not classification:
        mean, scale = y_train.mean(), y_train.std()
        y_train, y_test = (((y - mean) / scale).astype(np.float32) for y in (y_train, y_test))
    return Split(X_train, X_test, y_train, y_test, classification)


def path_lassonet(split, seed=0):
    from lassonet import LassoNetClassifier, LassoNetRegressor

    kind = LassoNetClassifier if split.classification else LassoNetRegressor
    model = kind(
        hidden_dims=(HIDDEN,), verbose=0, random_state=seed, torch_seed=seed, device="cpu"
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its first lambda may be too large
        path = model.path(split.X_train, split.y_train, return_state_dicts=True)
    curve = Curve(time.perf_counter() - start, [], [])
    for item in path:
        model.load(item.state_dict)
        predictions = np.asarray(model.predict(split.X_test)).reshape(len(split.y_test), -1)
        curve.n_features.append(int(item.selected.sum()))
        curve.scores.append(split.score(predictions[:, 0]))
    return curve


def path_skreg(split, seed=0):
    """The curve of the path, and that of the refitted supports."""
    kind = RegularizedMLPClassifier if split.classification else RegularizedMLPRegressor
    network = kind((HIDDEN,), penalty="group_mcp", random_state=seed, device="cpu")
    curves = []
    for refit in (False, True):
        start = time.perf_counter()
        path = regularization_path(network, split.X_train, split.y_train, refit=refit)
        seconds = time.perf_counter() - start
        source = path.refitted if refit else path
        scores = [
            split.score(source.estimator_at(index).predict(split.X_test))
            for index in range(len(path))
        ]
        curves.append(Curve(seconds, path.n_features.tolist(), scores))
    return curves


def print_paths(names, n_seeds, mice):
    print(f"{n_seeds} seed(s): seconds for a path, averaged score (R² or accuracy); means\n")
    columns = f"{'LassoNet':>10}{'skreg':>8}{'ratio':>8}{'refit':>8}"
    print(f"{'set':<10}{columns}{'LassoNet':>12}{'skreg':>8}{'gain':>8}{'refit':>8}")
    rows = []
    for name in names:
        results = []
        for seed in range(n_seeds):
            split = load(name, seed, mice)
            curves = [path_lassonet(split, seed), *path_skreg(split, seed)]
            results.append([*(c.seconds for c in curves), *(c.averaged(split) for c in curves)])
        rows.append(np.mean(results, 0))
        print_row(name, rows[-1])
    sums, means = np.sum(rows, 0), np.mean(rows, 0)
    print_row("sum, mean", np.r_[sums[:3], means[3:]])


def print_row(name, row):
    theirs, ours, with_refit, their_score, score, refitted = row
    print(
        f"{name:<10}{theirs:>10.1f}{ours:>8.2f}{theirs / ours:>7.1f}x{with_refit:>8.2f}"
        f"{their_score:>12.3f}{score:>8.3f}{score - their_score:>+8.3f}{refitted:>8.3f}",
        flush=True,
    )


def support_of_lassonet(X, y, seed):
    from lassonet import LassoNetRegressorCV

    model = LassoNetRegressorCV(
        hidden_dims=(HIDDEN,), verbose=0, random_state=seed, torch_seed=seed, device="cpu"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    return model.best_selected_.numpy()


def support_of_skreg(X, y, seed, selection="1se"):
    model = RegularizedMLPRegressorCV((HIDDEN,), selection=selection, random_state=seed)
    return model.fit(X, y).selected_features_


def support_of_lasso(X, y, seed):
    return LassoCV(random_state=seed).fit(X, y).coef_ != 0


def print_support(n_seeds, n_features_list, with_lassonet):
    print(
        "\nF1 of the selected features, n = 500, nonlinear, correlation 0.5 (features chosen)"
    )
    sides = {"LassoCV": support_of_lasso, "skreg": support_of_skreg}
    if with_lassonet:
        sides = {"LassoNet": support_of_lassonet, **sides}
    print(f"{'features':<10}" + "".join(f"{name:>16}" for name in sides))
    for n_features in n_features_list:
        cells = []
        for select in sides.values():
            results = []
            for seed in range(n_seeds):
                X, y, support = make_sparse_regression(
                    500, n_features, correlation=0.5, noise=0.3, random_state=seed
                )
                X, y = X.astype(np.float32), y.astype(np.float32)
                chosen = select(X, y, seed)
                results.append((f1_score(support, chosen), chosen.sum()))
            f1, size = np.mean(results, 0)
            cells.append(f"{f1:>10.2f} ({size:.0f})".rjust(16))
        print(f"{n_features:<10}" + "".join(cells), flush=True)


def searches(classification, n_alphas, seed):
    """scikit-learn's search and ours, over as many alphas and 5 folds, on two cores."""
    theirs = MLPClassifier if classification else MLPRegressor
    ours = RegularizedMLPClassifierCV if classification else RegularizedMLPRegressorCV
    search = GridSearchCV(
        theirs(hidden_layer_sizes=(HIDDEN,), random_state=seed),
        {"alpha": np.geomspace(1e-5, 10, n_alphas)},
        n_jobs=2,
    )
    return search, ours((HIDDEN,), alphas=n_alphas, random_state=seed, n_jobs=2)


def print_cv(names, n_seeds, n_alphas):
    print(f"\nCV over {n_alphas} alphas and 5 folds: seconds and test score, means over seeds")
    print(f"{'set':<10}{'GridSearchCV':>14}{'skreg':>8}{'ratio':>8}{'score':>10}{'skreg':>8}")
    split = load("wine", 0)
    for side in searches(True, 2, 0):
        side.fit(split.X_train, split.y_train)  # processes started, everything imported
    rows = []
    for name in names:
        results = []
        for seed in range(n_seeds):
            split = load(name, seed)
            row = []
            sides = searches(split.classification, n_alphas, seed)
            for side in sides:
                start = time.perf_counter()
                side.fit(split.X_train, split.y_train)
                row.append(time.perf_counter() - start)
            row += [split.score(side.predict(split.X_test)) for side in sides]
            results.append(row)
        rows.append(np.mean(results, 0))
        print_cv_row(name, rows[-1])
    print_cv_row("sum, mean", np.r_[np.sum(rows, 0)[:2], np.mean(rows, 0)[2:]])


def print_cv_row(name, row):
    theirs, ours, score, own_score = row
    print(
        f"{name:<10}{theirs:>14.1f}{ours:>8.2f}{theirs / ours:>7.1f}x{score:>10.3f}"
        f"{own_score:>8.3f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, the smallest set")
    parser.add_argument("--save", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--seeds", type=int, default=1, help="5 for figures to quote")
    parser.add_argument("--sets", nargs="+", choices=[*SETS, "mice"], metavar="NAME")
    parser.add_argument("--mice", metavar="FILE", help="mice protein as .npz with X and y")
    parser.add_argument("--support", action="store_true", help="known supports alone")
    parser.add_argument("--cv", action="store_true", help="cross-validation alone")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # neither side's convergence is the matter here
    with report(__file__, title(arguments), save=arguments.save):
        print_all(arguments)


def title(arguments):
    """Of the page's section: what takes long has another, which `make bench` leaves alone."""
    if arguments.support:
        return "Supports that are known"
    if arguments.cv:
        return "λ by cross-validation, 50 alphas"
    seeds = "" if arguments.seeds == 1 else f", {arguments.seeds} seeds"
    return "Paths, one set" if arguments.quick else f"Paths{seeds}"


def print_all(arguments):
    quick = arguments.quick
    n_seeds = 1 if quick else arguments.seeds
    everything = not (arguments.support or arguments.cv)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    print(f"1 thread, {matrix_product_rate():.0f} GFLOP/s in products")
    if everything or arguments.sets:
        names = arguments.sets or (SETS[:1] if quick else SETS)
        if arguments.mice and "mice" not in names:
            names = [*names, "mice"]
        if "mice" in names and not arguments.mice:
            raise SystemExit("--sets mice needs --mice FILE.")
        print_paths(names, n_seeds, arguments.mice)
    if everything or arguments.support:
        sizes = [100] if everything else [100, 1000]
        print_support(n_seeds, sizes, with_lassonet=arguments.support and not quick)
    torch.set_num_threads(threads)
    if everything or arguments.cv:
        names = list(LOADERS)[:1] if quick else list(LOADERS)
        print_cv(names, n_seeds, 50 if arguments.cv and not quick else 10)


if __name__ == "__main__":
    main()
