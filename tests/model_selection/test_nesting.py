"""Networks inside of pipelines and other estimators."""

import numpy as np
import pandas as pd
import pytest
from searches import ALPHAS, X, Y, check_against_grid_search, regressor
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from skreg import (
    RegularizedMLPRegressorCV,
    StackedGridSearchCV,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training stopped after:sklearn.exceptions.ConvergenceWarning"
)


def test_parameters_of_transformers_and_whole_steps_may_be_searched():
    pipeline = Pipeline([("scale", StandardScaler()), ("pca", PCA()), ("net", regressor())])
    grid = {
        "scale": [StandardScaler(), MinMaxScaler()],
        "pca__n_components": [3, 5],
        "net__alpha": ALPHAS[:2],
    }
    check_against_grid_search(pipeline, grid)
    check_against_grid_search(pipeline, {"net": [regressor(alpha=0.1), regressor(tol=1.0)]})
    check_against_grid_search(pipeline, {"pca": ["passthrough"], "net__alpha": ALPHAS[:2]})


def test_transformed_targets_and_nested_pipelines():
    scaled = TransformedTargetRegressor(regressor(), transformer=StandardScaler())
    pipeline = make_pipeline(StandardScaler(), scaled)
    name = "transformedtargetregressor__regressor__alpha"
    stacked, reference = check_against_grid_search(pipeline, {name: ALPHAS}, y=100 * Y)
    assert stacked.best_estimator_[-1].regressor.alpha == reference.best_params_[name]
    inner = make_pipeline(StandardScaler(), regressor())
    around = TransformedTargetRegressor(inner, func=np.arcsinh, inverse_func=np.sinh)
    grid = {"regressor__regularizedmlpregressor__alpha": ALPHAS}
    check_against_grid_search(around, grid, scoring="neg_median_absolute_error")


def test_frames_with_text_and_names():
    frame = pd.DataFrame(X[:, :3], columns=["age", "sex", "bmi"])
    frame["ward"] = np.where(X[:, 3] > 0, "north", "south")
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["age", "sex", "bmi"]),
            ("ward", OneHotEncoder(), ["ward"]),
        ]
    )
    pipeline = Pipeline([("columns", columns), ("net", regressor())])
    check_against_grid_search(pipeline, {"net__alpha": ALPHAS}, frame, pd.Series(Y))
    numbers = frame[["age", "sex", "bmi"]]
    stacked, reference = check_against_grid_search(
        regressor(), {"alpha": ALPHAS}, numbers, pd.Series(Y)
    )
    assert stacked.feature_names_in_.tolist() == reference.feature_names_in_.tolist()
    assert stacked.best_estimator_.feature_names_in_.tolist() == ["age", "sex", "bmi"]


@pytest.mark.parametrize(
    "estimator",
    [Ridge(), make_pipeline(StandardScaler(), Ridge()), TransformedTargetRegressor()],
)
def test_a_foreign_estimator_gets_an_error_that_says_what_to_do(estimator):
    name = next(iter(estimator.get_params()))
    with pytest.raises(TypeError, match=r"RegularizedMLPRegressor.*GridSearchCV"):
        StackedGridSearchCV(estimator, {name: [estimator.get_params()[name]]}).fit(X, Y)


def test_a_network_that_chooses_its_alpha_is_for_the_search_of_sklearn():
    network = RegularizedMLPRegressorCV(())
    for estimator in (network, make_pipeline(StandardScaler(), network)):
        with pytest.raises(TypeError, match=r"CV chooses its own.*scikit-learn's GridSearchCV"):
            StackedGridSearchCV(estimator, {}).fit(X, Y)
