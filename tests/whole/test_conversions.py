"""The table of alphas in docs/user_guide/coming_from.md, row by row.

Each peer's objective is written down as its documentation has it, in the peer's own scaling,
and must be least where skreg's estimator ends with the converted alpha.
"""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor

A, R, C = 0.13, 0.4, 0.7
N, N_OUTPUTS = 60, 3
TABLE = Path(__file__).parents[2] / "docs/user_guide/coming_from.md"

rng = np.random.default_rng(0)
X = rng.normal(size=(N, 4))
Y = X @ rng.normal(size=(4, N_OUTPUTS)) + rng.normal(size=(N, N_OUTPUTS))
y = Y[:, 0]
labels = (y > 0.2).astype(int)
many_labels = (Y > 0.2).astype(int)
classes = np.digitize(y, [-0.8, 0.8])


def half_square(raw, target):
    return 0.5 * (raw - target) ** 2


def mse(raw, target):
    """torch's MSELoss and Keras's "mse": the mean over rows and outputs."""
    return ((raw - target) ** 2).mean()


def gaussian(raw, target):
    """glmnet's: half the mean square."""
    return half_square(raw, target).mean()


def binomial(raw, target):
    """Mean log-loss: glmnet's binomial, BCEWithLogitsLoss, Keras's binary cross-entropy."""
    return (np.logaddexp(0, raw) - target[:, None] * raw).mean()


def binomial_mean_over_labels(raw, target):
    """torch's BCEWithLogitsLoss and Keras's binary cross-entropy of many labels."""
    return (np.logaddexp(0, raw) - target * raw).mean()


def softmax(raw, target):
    """Mean cross-entropy: torch's CrossEntropyLoss, Keras's categorical one."""
    return (np.logaddexp.reduce(raw, axis=1) - raw[np.arange(N), target]).mean()


def l1(w):
    return np.abs(w).sum()


def l2_square(w):
    """Keras's L2: no half."""
    return (w**2).sum()


def l2_half(w):
    """What `weight_decay` is the gradient of."""
    return 0.5 * (w**2).sum()


def glmnet(w):
    return (1 - R) / 2 * (w**2).sum() + R * np.abs(w).sum()


OBJECTIVES = {
    "torch L1, MSELoss": (mse, l1, Y, {"penalty": "l1", "alpha": A * N_OUTPUTS / 2}),
    "torch weight_decay, MSELoss": (
        mse,
        l2_half,
        Y,
        {"penalty": "l2", "alpha": A * N_OUTPUTS / 2},
    ),
    "torch L1, CrossEntropyLoss": (softmax, l1, classes, {"penalty": "l1", "alpha": A}),
    "torch L1, BCEWithLogitsLoss": (binomial, l1, labels, {"penalty": "l1", "alpha": A}),
    "torch L1, BCEWithLogitsLoss, labels": (
        binomial_mean_over_labels,
        lambda w: 0.2 * l1(w),  # of A itself nothing is left
        many_labels,
        {"penalty": "l1", "alpha": 0.2 * A * N_OUTPUTS},
    ),
    "torch weight_decay, CrossEntropyLoss": (
        softmax,
        l2_half,
        classes,
        {"penalty": "l2", "alpha": A},
    ),
    "Keras L1, mse": (mse, l1, Y, {"penalty": "l1", "alpha": A * N_OUTPUTS / 2}),
    "Keras L2, mse": (mse, l2_square, Y, {"penalty": "l2", "alpha": A * N_OUTPUTS}),
    "Keras L1, cross-entropy": (binomial, l1, labels, {"penalty": "l1", "alpha": A}),
    "Keras L2, cross-entropy": (softmax, l2_square, classes, {"penalty": "l2", "alpha": 2 * A}),
    "Keras L2, cross-entropy, labels": (
        binomial_mean_over_labels,
        l2_square,
        many_labels,
        {"penalty": "l2", "alpha": 2 * A * N_OUTPUTS},
    ),
    "glmnet gaussian": (
        gaussian,
        glmnet,
        y[:, None] / y.std(),  # it divides by this, and would say nothing of the L2 part
        {"penalty": "elasticnet", "alpha": A, "l1_ratio": R},
    ),
    "glmnet binomial": (
        binomial,
        glmnet,
        labels,
        {"penalty": "elasticnet", "alpha": A, "l1_ratio": R},
    ),
}


def fitted(target, **settings):
    regression = target.dtype.kind == "f"
    kind = RegularizedMLPRegressor if regression else RegularizedMLPClassifier
    target = target.ravel() if target.shape[-1] == 1 else target
    return kind((), solver="fista", tol=1e-9, max_iter=20_000, **settings).fit(X, target)


@pytest.mark.parametrize("row", OBJECTIVES)
def test_the_converted_alpha_minimizes_the_peers_objective(row):
    loss, penalty, target, settings = OBJECTIVES[row]
    model = fitted(target, **settings)
    coef, intercept = model.coefs_[0].astype(float), model.intercepts_[0].astype(float)
    shape, n_coef = coef.shape, coef.size
    smallest = 1e-12  # |w| as the difference of two positive parts is smooth for L-BFGS-B

    def peers(parameters):
        up, down = parameters[: 2 * n_coef].reshape(2, *shape)
        raw = X @ (up - down) + parameters[2 * n_coef :]
        return loss(raw, target) + A * penalty(up - down)

    positive, negative = np.maximum(coef, 0), np.maximum(-coef, 0)
    ours = np.concatenate([positive.ravel(), negative.ravel(), intercept])
    bounds = [(0, None)] * (2 * n_coef) + [(None, None)] * len(intercept)
    best = minimize(
        peers, ours + smallest, bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10}
    )
    assert peers(ours) <= best.fun + 1e-8
    # And it could have been otherwise: half and double that alpha do worse.
    for factor in (0.5, 2.0):
        other = fitted(target, **{**settings, "alpha": factor * settings["alpha"]})
        w, b = other.coefs_[0], other.intercepts_[0]
        parameters = np.concatenate([np.maximum(w, 0).ravel(), np.maximum(-w, 0).ravel(), b])
        assert peers(parameters) > peers(ours) + 1e-5


LINEAR = {
    "Lasso": (Lasso(alpha=A, tol=1e-12), y, {"penalty": "l1", "alpha": A}),
    "ElasticNet": (
        ElasticNet(alpha=A, l1_ratio=R, tol=1e-12),
        y,
        {"penalty": "elasticnet", "alpha": A, "l1_ratio": R},
    ),
    "Ridge": (Ridge(alpha=A), y, {"penalty": "l2", "alpha": A / N}),
    "LogisticRegression": (
        LogisticRegression(C=C, tol=1e-10, max_iter=1000),
        labels,
        {"penalty": "l2", "alpha": 1 / (N * C)},
    ),
}


@pytest.mark.parametrize("row", LINEAR)
def test_linear_models_have_the_same_coefficients(row):
    theirs, target, settings = LINEAR[row]
    ours = fitted(target, **settings)
    expected = theirs.fit(X, target).coef_.ravel()
    np.testing.assert_allclose(ours.coefs_[0].ravel(), expected, atol=1e-6)


def test_no_row_of_the_table_is_without_a_test():
    # test_textbook.py has the optimizers step by step, test_reproducibility.py MLPRegressor's;
    # the page itself runs MLPRegressor's conversion.
    table = TABLE.read_text().split("## From")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "`" in line]
    known = (
        *("Lasso(", "ElasticNet(", "Ridge(", "LogisticRegression(", "MLPRegressor("),
        *("MSELoss`", "CrossEntropyLoss`", "BCEWithLogitsLoss`", "AdamW("),
        *('loss `"mse"`', "Keras `L1(a)`", "glmnet", "LassoNet"),
    )
    unknown = [row for row in rows if not any(name in row for name in known)]
    assert unknown == []
    assert len(rows) == 16
