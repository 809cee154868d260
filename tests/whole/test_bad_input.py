"""Bad input, tried by machine: a fit predicts finite numbers or its error names a culprit.

Hypothesis draws the parameters, right and wrong, and the arrays: their shapes, types, layouts
and contents, from ordinary to absurd. Each fit must either predict finite numbers or raise a
ValueError or TypeError whose text has the name of a parameter or of an array.

200 cases by default, 2,500 in the nightly profile::

    HYPOTHESIS_PROFILE=nightly pytest tests/whole/test_bad_input.py
"""

import os
import re
import warnings
from inspect import signature

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor
from skreg.losses import Huber, Quantile
from skreg.penalties import L1, ElasticNet
from skreg.training.fingerprint import fingerprint

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
N_CASES = 2500 if NIGHTLY else 200

REGRESSOR, CLASSIFIER = RegularizedMLPRegressor, RegularizedMLPClassifier

# ---------------------------------------------------------------------- parameters

RIGHT = {
    "hidden_layer_sizes": [(), (3,), (2, 2), 4, [3], np.array([2, 3])],
    "activation": ["identity", "logistic", "tanh", "relu"],
    "penalty": [None, "l1", "l2", "elasticnet", L1(), ElasticNet(alpha=0.1, l1_ratio=0.2)],
    "alpha": [0.0, 1e-300, 1e-4, 1, 1e10, 1e300, np.float32(0.1)],
    "l1_ratio": [0, 0.5, 1.0],
    "penalty_method": ["proximal", "subgradient", "decoupled"],
    "solver": ["adam", "sgd", "fista"],
    "batch_size": ["auto", 1, 3, 10**6],
    "learning_rate": ["constant", "invscaling", "adaptive"],
    "learning_rate_init": [1e-300, 1e-3, 0.1, 10.0, 1e10, 1e300],
    "power_t": [0, 0.5, 100.0],
    "max_iter": [1, 3],
    "shuffle": [True, False],
    "random_state": [None, 0, 2**32 - 1, np.random.RandomState(0)],
    "tol": [0.0, 1e-4, 1e300],
    "n_iter_no_change": [1, 10, np.inf],
    "early_stopping": [False, True],
    "validation_fraction": [1e-9, 0.1, 0.5, 0.999],
    "warm_start": [False, True],
    "momentum": [0.0, 0.9, 0.999999],
    "nesterovs_momentum": [True, False],
    "beta_1": [0.0, 0.9, 0.999999],
    "beta_2": [0.0, 0.999],
    "epsilon": [1e-300, 1e-8, 1.0, 1e300],
    "max_fun": [1, 100],
    "penalize_bias": [False, True],
    "dropout": [0.0, 0.5, 0.999],
    "device": ["cpu"],
    "checkpoint": [None],
    "checkpoint_interval": [0, 30.0, 1e300],
    "resume": [False],
    "callbacks": [None, []],
    "verbose": [False, 0],
    "loss": [
        *("squared_error", "absolute_error", "huber", "poisson", "quantile"),
        *(Huber(1e-3), Quantile(0.9), lambda y_pred, y_true: (y_pred - y_true) ** 4),
    ],
    "class_weight": [None, "balanced", {0: 2.0, 1: 0.5}, {0: 0.0}, {"a": 1e300}],
}
WRONG = {
    "hidden_layer_sizes": [0, -1, (3, 0), (2.5,), "3", None, ((1, 2), 3), (np.nan,), 2**70],
    "random_state": [-1, "0", 1.5, 2**70],
    "callbacks": ["callback", [3], [None], (None,)],
    "checkpoint": ["", ".", "no/such/directory", 3, __file__],
    "resume": [True],
    "device": ["gpu", "", "cuda:99", None, 0],
    "verbose": [-1, "yes", None],
    "batch_size": [0, -1, 2.5, "all", np.nan, None],
    "loss": ["log", None, 3, lambda y_pred, y_true: None, lambda y_pred: y_pred],
    "class_weight": [
        "equal",
        {0: -1.0},
        {0: np.nan},
        {0: "a"},
        {5: 1.0},
        [1.0],
        3,
        {0: np.inf},
    ],
    "penalty": ["l3", L1(alpha=-1.0), L1(alpha=np.nan), ElasticNet(l1_ratio=2.0), 3, L1],
}
NONSENSE = [None, "nonsense", -1, np.nan, np.inf, [], object(), -0.5, (1,)]
# Nonsense for one parameter is sense for another.
SENSE = {
    ("hidden_layer_sizes", "(1,)"),
    ("hidden_layer_sizes", "[]"),
    ("n_iter_no_change", "inf"),
    ("callbacks", "None"),
    ("checkpoint", "None"),
    ("checkpoint", "nonsense"),
    ("callbacks", "[]"),
    ("penalty", "None"),
    ("class_weight", "None"),
    ("random_state", "None"),
}


def wrong_values(name):
    return WRONG.get(name, []) + [v for v in NONSENSE if (name, str(v)) not in SENSE]


@st.composite
def parameters(draw, estimator):
    """Parameters of which none or one is wrong; and the name of that one."""
    names = list(signature(estimator).parameters)
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=8))
    settings = {"max_iter": 2, "hidden_layer_sizes": (3,), "device": "cpu"}
    settings |= {name: draw(st.sampled_from(RIGHT[name])) for name in chosen}
    if draw(st.integers(0, 3)):
        return settings, None
    wrong = draw(st.sampled_from(names))
    return {**settings, wrong: draw(st.sampled_from(wrong_values(wrong)))}, wrong


# ---------------------------------------------------------------------- arrays

SCALES = [1e-310, 1e-160, 1e-30, 1.0, 1e5, 1e30, 1e38, 1e160, 1e300]
DTYPES = ["float64", "float32", "float16", "int64", "uint8", "bool", "object", "complex128"]


@st.composite
def tables(draw, n_samples):
    """An X, more or less."""
    n_features = draw(st.sampled_from([3, 3, 1, 2, 0]))
    rng = np.random.default_rng(draw(st.integers(0, 5)))
    X = rng.normal(size=(n_samples, n_features)) * draw(st.sampled_from([1.0, *SCALES]))
    flaw = draw(
        st.sampled_from(["none"] * 3 + ["constant", "twice", "zero", "column", "nan", "inf"])
    )
    if X.size and flaw != "none":
        column = X[:, -1]
        if flaw == "zero":
            X[:] = 0
        elif flaw == "column":
            column *= 1e100 if np.abs(column).max() < 1e200 else 1.0
        elif flaw == "twice":
            column[:] = X[:, 0]
        else:
            place = {"constant": slice(None)}.get(flaw, 0)
            column[place] = {"constant": 7.0, "nan": np.nan, "inf": -np.inf}[flaw]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X = X.astype(draw(st.sampled_from(["float64", "float32", *DTYPES])))
    return draw(st.sampled_from([as_is, *LAYOUTS]))(X)


def as_is(X):
    return X


def read_only(X):
    X.flags.writeable = False
    return X


def with_a_string(X):
    X = X.astype(object)
    X[:1, :1] = "a"
    return X


def with_none(X):
    X = X.astype(object)
    X[:1, :1] = None
    return X


def in_sparse_form(X):
    numbers = X.dtype.kind in "fiu" and X.dtype != np.float16
    return sp.csc_matrix(X) if numbers else X


LAYOUTS = [
    read_only,
    np.asfortranarray,
    lambda X: np.repeat(X, 2, axis=0)[::2],
    lambda X: X[:, ::-1],
    lambda X: X.astype(X.dtype.newbyteorder()),
    lambda X: X.tolist(),
    lambda X: X[:, None],
    lambda X: X.ravel(),
    lambda X: None,
    lambda X: "X",
    pd.DataFrame,
    lambda X: pd.DataFrame(X).rename(columns=str),
    in_sparse_form,
    with_a_string,
    with_none,
    np.ma.masked_array,
]


@st.composite
def targets(draw, estimator, n_samples):
    """A y, more or less."""
    rng = np.random.default_rng(draw(st.integers(0, 5)))
    kinds = ["numbers", "scaled", "labels", "labels", "constant", "strings", "nan"]
    kinds += ["two columns", "column", "None", "objects", "floats", "rare", "bool"]
    if estimator is CLASSIFIER:
        kinds += ["labels", "three", "multilabel", "strings"]
    kind = draw(st.sampled_from(kinds))
    numbers = rng.normal(size=n_samples)
    labels = (numbers > 0).astype(int)
    return {
        "numbers": lambda: numbers,
        "scaled": lambda: np.float64(draw(st.sampled_from(SCALES))) * numbers,
        "labels": lambda: labels,
        "constant": lambda: np.full(n_samples, 1),
        "strings": lambda: np.array(["a", "b"])[labels],
        "nan": lambda: np.where(labels, np.nan, 0.0),
        "two columns": lambda: np.column_stack([numbers, -numbers]),
        "column": lambda: labels[:, None],
        "None": lambda: None,
        "objects": lambda: np.array([None, "a"], object)[labels],
        "floats": lambda: labels.astype(np.float16),
        "rare": lambda: (np.arange(n_samples) == 0).astype(int),
        "three": lambda: np.arange(n_samples) % 3,
        "multilabel": lambda: np.column_stack([labels, 1 - labels]),
        "bool": lambda: labels.astype(bool),
    }[kind]()


@st.composite
def weights(draw, n_samples):
    kinds = [None] * 6 + ["ones", "zeros", "one", "some", "negative", "nan", "huge", "tiny"]
    kind = draw(st.sampled_from([*kinds, "mixed", "short", "string", "number"]))
    rng = np.random.default_rng(0)
    some = rng.uniform(size=n_samples) * (np.arange(n_samples) % 2)
    return {
        None: None,
        "ones": np.ones(n_samples),
        "zeros": np.zeros(n_samples),
        "one": (np.arange(n_samples) == 0) * 1.0,
        "some": some,
        "negative": some - 0.5,
        "nan": np.full(n_samples, np.nan),
        "huge": some * 1e308,
        "tiny": some * 1e-310,
        "mixed": np.where(np.arange(n_samples) % 2, 1e-300, 1e300),
        "short": np.ones(n_samples + 1),
        "string": "weights",
        "number": 2,
    }[kind]


@st.composite
def cases(draw):
    estimator = draw(st.sampled_from([REGRESSOR, CLASSIFIER]))
    settings, wrong = draw(parameters(estimator))
    n_samples = draw(st.sampled_from([12, 12, 12, 5, 2, 1, 0]))
    X = draw(tables(n_samples))
    y = draw(targets(estimator, n_samples if draw(st.integers(0, 15)) else n_samples + 1))
    return estimator, settings, wrong, X, y, draw(weights(n_samples))


# ---------------------------------------------------------------------- the law

# scikit-learn's texts about X and y that do not name them.
OF_SCIKIT_LEARN = (
    r"Found array with|Expected 2D|Expected a 2-dimensional|inconsistent numbers? of samples|"
    r"could not convert string to float|dtype='numeric' is not compatible|Complex data|"
    r"Unknown label type|should be a 1d array|Singleton array|Expected sequence or array-like|"
    r"float\(\) argument must be|label.*mix|setting an array element|with dim \d|"
    r"number of classes has to be greater|Pandas|Sample weights|at least one array or dtype"
)


# What pandas 3 says of casts that pandas 4 will refuse; pandas 2 knows no such warning.
PANDAS_WARNING = "Pandas4Warning" if hasattr(pd.errors, "Pandas4Warning") else "DtypeWarning"


def names_a_culprit(message, estimator):
    names = {"X", "y", "sample_weight", *signature(estimator).parameters}
    words = set(re.findall(r"\w+", message))
    return bool(words & names) or re.search(OF_SCIKIT_LEARN, message) is not None


@pytest.mark.filterwarnings(f"ignore::pandas.errors.{PANDAS_WARNING}")
@settings(max_examples=N_CASES)
@given(cases())
def test_every_fit_ends_in_finite_predictions_or_in_an_error_that_names_a_culprit(case):
    estimator, parameters, wrong, X, y, sample_weight = case
    before = [fingerprint(part) for part in (X, y, sample_weight)]
    model = estimator(**parameters)
    with warnings.catch_warnings():
        # What a user is told; a RuntimeWarning of numpy is no way to tell it.
        for told in (ConvergenceWarning, DataConversionWarning):
            warnings.simplefilter("ignore", told)
        warnings.filterwarnings("ignore", r"batch_size=\d+ is larger", UserWarning)
        warnings.filterwarnings("ignore", r"The number of unique classes", UserWarning)
        message = None
        try:
            model.fit(X, y, sample_weight)
        except (ValueError, TypeError) as error:
            message = str(error)
        if message is None:
            assert wrong is None, f"{wrong}={parameters[wrong]!r} was taken"
            assert_predicts_finite_numbers(model, X)
        else:
            assert names_a_culprit(message, estimator), message
            assert not model.__sklearn_is_fitted__()
    assert [fingerprint(part) for part in (X, y, sample_weight)] == before


def assert_predicts_finite_numbers(model, X):
    predictions = model.predict(X)
    assert len(predictions) == (X.shape[0] if hasattr(X, "shape") else len(X))
    if isinstance(model, REGRESSOR):
        assert np.isfinite(predictions).all(), predictions
        return
    assert np.isin(predictions, [0, 1] if predictions.ndim == 2 else model.classes_).all()
    proba = model.predict_proba(X)
    assert np.isfinite(proba).all(), proba
    assert (proba >= 0).all()
    if predictions.ndim == 1:
        np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-5)
