"""scikit-learn's own conformance suite: nothing fails, and no failure is declared expected."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor

SETTINGS = [
    {},
    {"penalty": "l1"},
    {"penalty": "elasticnet", "solver": "sgd", "learning_rate_init": 0.05, "max_iter": 100},
    {"penalty": "l1", "solver": "fista"},
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        estimator(**settings)
        for estimator in (RegularizedMLPRegressor, RegularizedMLPClassifier)
        for settings in SETTINGS
    ]
)
def test_sklearn_conformance(estimator, check):
    check(estimator)
