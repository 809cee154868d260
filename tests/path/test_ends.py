"""The alpha at which nothing is left: by formula where there is one, and bracketed."""

import numpy as np
import pytest
from path_data import LINEAR, Interrupt, linear_data
from sklearn.base import clone

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    regularization_path,
)


@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
def test_alpha_max_of_a_linear_model_is_the_formula_and_no_larger(l1_ratio):
    X, y = linear_data()
    estimator = RegularizedMLPRegressor(penalty="elasticnet", l1_ratio=l1_ratio, **LINEAR)
    alpha_max = regularization_path(estimator, X, y, alphas=3).alphas[-1]
    formula = np.abs(X.T @ (y - y.mean())).max() / (len(X) * l1_ratio)
    assert alpha_max == pytest.approx(formula, rel=1e-7)
    # Bracketed both ways.
    above, below = (
        clone(estimator).set_params(alpha=alpha_max * factor).fit(X, y)
        for factor in (1.001, 0.99)
    )
    assert above.selected_features_.sum() == 0
    assert below.selected_features_.sum() == 1


def test_alpha_max_with_weights_classes_and_groups():
    X, y = linear_data()
    weights = np.random.default_rng(1).uniform(0.5, 2, len(X))
    labels = np.digitize(y, np.quantile(y, [0.3, 0.6]))
    estimator = RegularizedMLPClassifier(penalty="group_lasso", **LINEAR)
    path = regularization_path(estimator, X, labels, alphas=3, sample_weight=weights)
    shares = np.array([weights[labels == c].sum() for c in range(3)]) / weights.sum()
    residual = (labels[:, None] == np.arange(3)) - shares
    gradient = X.T @ (weights[:, None] * residual) / weights.sum()
    formula = np.linalg.norm(gradient, axis=1).max() / np.sqrt(3)
    assert path.alphas[-1] == pytest.approx(formula, rel=1e-5)


def test_a_penalty_that_selects_nothing_has_no_end():
    X, y = linear_data()
    for sizes in ((), (4,)):
        with pytest.raises(ValueError, match=r"^penalty='l2' removes no.*Give alphas as an ar"):
            regularization_path(
                RegularizedMLPRegressor(sizes, penalty="l2", callbacks=[Interrupt(0)]), X, y
            )
    path = regularization_path(
        RegularizedMLPRegressor((4,), penalty="l2", max_iter=5, random_state=0),
        X, y, alphas=[0.1, 1.0],
    )  # fmt: skip
    assert path.n_features.tolist() == [8, 8]
