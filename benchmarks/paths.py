"""Paths from dense to sparse beside LassoNet: time, and the score with few features.

Both sides get the same rows, a hidden layer of 64 and one thread, and both run at their
defaults. What is compared is the score–features curve: for k features the best test score of
any model on the path with at most k. It is averaged over k from 1 to all, evenly in log k, so
that the small models count. The first is the path's own models, "refit" the same supports
trained once more without the penalty.

    python benchmarks/paths.py [--quick] [--seeds N] [--sets NAME ...] [--mice FILE]
"""

import time
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skreg.datasets import make_sparse_regression

HIDDEN = 64


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


def load(name, seed, mice=None):
    classification = name not in ("diabetes", "sparse")
    if name == "sparse":
        X, y, _ = make_sparse_regression(1100, 2000, random_state=seed)
        test_size = 1000
    elif name == "mice":
        table = np.load(mice)
        X, y, test_size = table["X"], np.unique(table["y"], return_inverse=True)[1], 0.3
    else:
        loaders = {
            "digits": load_digits,
            "cancer": load_breast_cancer,
            "wine": load_wine,
            "diabetes": load_diabetes,
        }
        (X, y), test_size = loaders[name](return_X_y=True), 0.3
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
        warnings.simplefilter("ignore")
        path = model.path(split.X_train, split.y_train, return_state_dicts=True)
    seconds = time.perf_counter() - start
    curve = Curve(seconds, [], [])
    for item in path:
        model.load(item.state_dict)
        predictions = np.asarray(model.predict(split.X_test)).reshape(len(split.y_test), -1)[
            :, 0
        ]
        curve.n_features.append(int(item.selected.sum()))
        curve.scores.append(split.score(predictions))
    return curve


def averaged_score(curve, split):
    """The score–features curve, averaged over log-spaced k."""
    n_features = np.array([0, *curve.n_features])
    scores = np.array([split.score_of_nothing, *curve.scores])
    ks = np.geomspace(1, split.X_train.shape[1], 200)
    return float(np.mean([scores[n_features <= k].max() for k in ks]))
