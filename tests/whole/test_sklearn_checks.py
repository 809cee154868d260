"""scikit-learn's conformance suite: nothing fails, and no failure is declared expected."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPRegressor,
    RegularizedMLPRegressorCV,
)

SETTINGS = [
    {},
    {"penalty": "elasticnet", "solver": "sgd", "learning_rate_init": 0.1, "max_iter": 50},
    {"penalty": "l1", "solver": "fista", "max_iter": 20},
]


# Few alphas, folds and epochs: what is checked is the same with more.
CV_SETTINGS = {
    "hidden_layer_sizes": (10,),
    "alphas": [0.001, 0.01],
    "cv": 2,
    "learning_rate_init": 0.02,
    "max_iter": 20,
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        estimator(**settings)
        for estimator in (RegularizedMLPRegressor, RegularizedMLPClassifier)
        for settings in SETTINGS
    ]
    + [
        estimator(**CV_SETTINGS)
        for estimator in (RegularizedMLPRegressorCV, RegularizedMLPClassifierCV)
    ]
)
def test_sklearn_conformance(estimator, check):
    check(estimator)
