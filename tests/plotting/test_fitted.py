"""Displays find the fitted network in pipelines, searches and the like."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from skreg import RegularizedMLPRegressor, RegularizedMLPRegressorCV
from skreg.plotting import (
    LossCurveDisplay,
    RegularizationPathDisplay,
    WeightDistributionDisplay,
    WeightMatrixDisplay,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


EVERY_DISPLAY = pytest.mark.parametrize(
    "display",
    [
        WeightDistributionDisplay,
        WeightMatrixDisplay,
        LossCurveDisplay,
        RegularizationPathDisplay,
    ],
)


def drawn(display):
    """The numbers that a display shows."""
    return {name: value for name, value in vars(display).items() if name[-1] != "_"}


def wrappers_of(network):
    """A network in each of the meta-estimators that are searched for it."""

    def scaled(network):
        return make_pipeline(StandardScaler(with_std=False, with_mean=False), network)

    name = type(network).__name__.lower()
    return {
        "Pipeline": scaled(network),
        "nested": make_pipeline("passthrough", TransformedTargetRegressor(scaled(network))),
        "target": TransformedTargetRegressor(network),
        "search": GridSearchCV(scaled(network), {f"{name}__verbose": [False]}, cv=2),
    }


@EVERY_DISPLAY
@pytest.mark.parametrize("kind", wrappers_of(RegularizedMLPRegressor()))
def test_displays_take_the_network_within(display, kind, data):
    X = pd.DataFrame(data[0], columns=list("abcdef"))
    network = RegularizedMLPRegressorCV(
        (), penalty="l1", solver="fista", alphas=[0.01, 0.1], cv=2, random_state=0
    )
    alone = drawn(display.from_estimator(clone(network).fit(X, data[1])))
    within = drawn(display.from_estimator(wrappers_of(network)[kind].fit(X, data[1])))
    assert alone.keys() == within.keys()
    for name, expected in alone.items():
        np.testing.assert_equal(within[name], expected)


def test_estimators_side_by_side_may_be_pipelines_but_not_one_of_them(fits):
    pipeline = make_pipeline("passthrough", fits[1])
    display = WeightDistributionDisplay.from_estimators([fits[0], pipeline])
    assert display.names == ["l2", "l1"]
    np.testing.assert_equal(display.weights[1], fits[1].coefs_)
    # A Pipeline has a length and items: its steps.
    with pytest.raises(
        TypeError, match=r"a list of estimators, got Pipeline\. For a single one"
    ):
        WeightDistributionDisplay.from_estimators(pipeline)


@pytest.mark.parametrize(
    ("before", "names"),
    [
        (PolynomialFeatures(2, interaction_only=True, include_bias=False), ["a", "b", "a b"]),
        (PCA(1), ["pca0"]),
        (make_pipeline(StandardScaler(), "passthrough"), ["a", "b"]),
        (FunctionTransformer(np.tanh).set_output(transform="pandas"), ["a", "b"]),
        # Where a step gives no names: numbers.
        (FunctionTransformer(lambda X: X.to_numpy()), ["0", "1"]),
    ],
)
def test_the_inputs_are_called_as_the_features_that_reach_the_network(data, before, names):
    X = pd.DataFrame(data[0][:, :2], columns=["a", "b"])
    network = RegularizedMLPRegressor((3,), max_iter=2)
    inner = make_pipeline("passthrough", network)
    display = WeightMatrixDisplay.from_estimator(make_pipeline(before, inner).fit(X, data[1]))
    assert display.input_names == names
    given = WeightMatrixDisplay.from_estimator(
        make_pipeline(before, network), feature_names=[name.upper() for name in names]
    )
    assert given.input_names == [name.upper() for name in names]


@EVERY_DISPLAY
def test_displays_say_what_they_found_in_the_place_of_a_network(display, data):
    scaler, linear = StandardScaler(), LinearRegression()
    bagging = BaggingRegressor(RegularizedMLPRegressor((2,), max_iter=2), n_estimators=1)
    search = GridSearchCV(linear, {}, cv=2, refit=False)
    for estimator, got in (
        (make_pipeline(scaler, linear), "Pipeline around LinearRegression"),
        (make_pipeline(scaler, "passthrough"), "Pipeline around 'passthrough'"),
        (TransformedTargetRegressor(linear), "TransformedTargetRegressor around LinearR"),
        (linear, "LinearRegression"),
        (bagging, r"BaggingRegressor\. .* such as in its estimators_"),
        (search, "GridSearchCV that keeps no network: fit it with refit=True"),
    ):
        with pytest.raises(TypeError, match=f"{display.__name__} draws a.*, and got {got}"):
            display.from_estimator(estimator.fit(*data))
    for other, got in ((None, "None"), (data[0], "ndarray"), ("net", "'net'")):
        with pytest.raises(TypeError, match=f"{display.__name__} draws a.*, and got {got}"):
            display.from_estimator(other)
    unfitted = RegularizedMLPRegressorCV()
    for estimator in (*wrappers_of(unfitted).values(), unfitted):
        with pytest.raises(
            NotFittedError, match=f"{type(estimator).__name__} .* not fitted yet"
        ):
            display.from_estimator(estimator)
