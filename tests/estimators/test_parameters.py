"""Parameters: declared once, whole in the signatures and docstrings of the estimators."""

import inspect
import re
from dataclasses import fields

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.utils._param_validation import InvalidParameterError

import skreg
from skreg.estimators.parameters import COUNT, NON_NEGATIVE, parameter, parametrized
from skreg.losses import REGRESSION_LOSSES
from skreg.modules.activations import ACTIVATIONS

# Names and defaults as of 0.1.0, in any order but for the positional ones.
TRAINING = {
    "solver": "adam",
    "batch_size": "auto",
    "learning_rate": "constant",
    "learning_rate_init": 0.001,
    "power_t": 0.5,
    "max_iter": 200,
    "shuffle": True,
    "random_state": None,
    "tol": 1e-4,
    "n_iter_no_change": 10,
    "early_stopping": False,
    "validation_fraction": 0.1,
    "momentum": 0.9,
    "nesterovs_momentum": True,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-8,
    "max_fun": 15000,
    "penalize_bias": False,
    "device": "auto",
    "verbose": False,
}
FIXED_ALPHA = {
    "penalty": "l2",
    "alpha": 1e-4,
    "l1_ratio": 0.5,
    "penalty_method": "proximal",
    "warm_start": False,
    "callbacks": None,
    "checkpoint": None,
    "checkpoint_interval": 30.0,
    "resume": False,
}
CHOSEN_ALPHA = {
    "penalty": "group_mcp",
    "l1_ratio": 0.5,
    "alphas": 100,
    "eps": 1e-3,
    "cv": None,
    "scoring": None,
    "selection": "min",
    "n_jobs": None,
    "store_networks": False,
}
MLP = {"hidden_layer_sizes": (100,), "activation": "relu", "dropout": 0.0}
MODULE = {"module": inspect.Parameter.empty, "penalized": None}
REGRESSOR, CLASSIFIER = {"loss": "squared_error"}, {"class_weight": None}
SIGNATURES = {
    "RegularizedMLPRegressor": {**MLP, **TRAINING, **FIXED_ALPHA, **REGRESSOR},
    "RegularizedMLPClassifier": {**MLP, **TRAINING, **FIXED_ALPHA, **CLASSIFIER},
    "RegularizedNetRegressor": {**MODULE, **TRAINING, **FIXED_ALPHA, **REGRESSOR},
    "RegularizedNetClassifier": {**MODULE, **TRAINING, **FIXED_ALPHA, **CLASSIFIER},
    "RegularizedMLPRegressorCV": {**MLP, **TRAINING, **CHOSEN_ALPHA, **REGRESSOR},
    "RegularizedMLPClassifierCV": {**MLP, **TRAINING, **CHOSEN_ALPHA, **CLASSIFIER},
}
POSITIONAL = {"hidden_layer_sizes", "activation", "module"}

# Attributes that were documented in 0.1.0.
FITTED = "sparsity_ n_iter_ loss_curve_ net_ n_features_in_ feature_names_in_"
FITTED_ALONE = (
    "data_loss_curve_ penalty_curve_ loss_ best_loss_ validation_scores_ "
    "best_validation_score_ t_ n_outputs_ out_activation_"
)
FITTED_MODULE = "module_ penalized_parameters_"
FITTED_MLP = "coefs_ intercepts_ feature_importances_ selected_features_"
CHOSEN = "alpha_ l1_ratio_ l1_ratios_ alphas_ score_path_ eligible_ best_score_ path_"
ATTRIBUTES = {
    "RegularizedMLPRegressor": f"{FITTED} {FITTED_ALONE} {FITTED_MLP} n_layers_",
    "RegularizedMLPClassifier": f"{FITTED} {FITTED_ALONE} {FITTED_MLP} n_layers_ classes_",
    "RegularizedNetRegressor": f"{FITTED} {FITTED_ALONE} {FITTED_MODULE}",
    "RegularizedNetClassifier": f"{FITTED} {FITTED_ALONE} {FITTED_MODULE} classes_",
    "RegularizedMLPRegressorCV": f"{FITTED} {FITTED_MLP} {CHOSEN}",
    "RegularizedMLPClassifierCV": f"{FITTED} {FITTED_MLP} {CHOSEN} classes_",
}

every_estimator = pytest.mark.parametrize("name", SIGNATURES)


def documented(estimator, section):
    """Names in a section of a numpydoc docstring, in order."""
    text = re.split(rf"^{section}\n-+\n", inspect.getdoc(estimator), flags=re.MULTILINE)[1]
    text = re.split(r"\n\n[A-Z][\w ]+\n---", text)[0]
    heads = re.findall(r"^(\S.*?)(?: : |$)", text, flags=re.MULTILINE)
    return [name for head in heads for name in head.split(", ")]


@every_estimator
def test_signatures_are_those_of_the_first_release(name):
    parameters = inspect.signature(getattr(skreg, name)).parameters
    listed = {k: p for k, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
    assert {k: p.default for k, p in listed.items()} == SIGNATURES[name]
    positional = {k for k, p in listed.items() if p.kind is p.POSITIONAL_OR_KEYWORD}
    assert positional == POSITIONAL & set(listed)
    assert ("module__parameters" in parameters) == ("module" in parameters)


@every_estimator
def test_the_docstring_has_every_parameter_in_the_order_of_the_signature(name):
    estimator = getattr(skreg, name)
    parameters = inspect.signature(estimator).parameters.values()
    stars = {inspect.Parameter.VAR_KEYWORD: "**"}
    assert documented(estimator, "Parameters") == [
        stars.get(p.kind, "") + p.name for p in parameters
    ]


@every_estimator
def test_the_docstring_has_every_attribute_and_every_section_once(name):
    estimator = getattr(skreg, name)
    attributes = documented(estimator, "Attributes")
    assert set(ATTRIBUTES[name].split()) <= set(attributes)
    assert len(attributes) == len(set(attributes))
    sections = re.findall(r"^(.+)\n---+\n", inspect.getdoc(estimator), flags=re.MULTILINE)
    expected = ["Parameters", "Attributes", "Raises", "See Also", "References", "Examples"]
    assert sections == expected


@every_estimator
def test_documented_defaults_are_those_of_the_signature(name):
    estimator = getattr(skreg, name)
    for each in inspect.signature(estimator).parameters.values():
        pattern = rf"^{each.name} : .*?default=(.+)$"
        said = re.search(pattern, inspect.getdoc(estimator), re.MULTILINE)
        if said:
            assert eval(said[1]) == each.default


@every_estimator
def test_copies_and_representations_show_what_was_set(name):
    given = {"module": np.abs} if "module" in SIGNATURES[name] else {}
    estimator = getattr(skreg, name)(**given, tol=0.5)
    copy = clone(estimator)
    assert (
        copy.get_params() == estimator.get_params() == {**SIGNATURES[name], **given, "tol": 0.5}
    )
    assert "tol=0.5" in repr(copy)
    assert estimator != copy  # as of any estimator
    assert len({estimator, copy}) == 2


@parametrized
class Linear(BaseEstimator):
    """Linear regression.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty.

    tol, eps : float, default=0.1 and 0.2
        When to stop.

    Attributes
    ----------
    coef_ : ndarray
        Coefficients.

    References
    ----------
    Tikhonov, 1943.

    Examples
    --------
    None are inherited.
    """

    alpha: float = parameter(NON_NEGATIVE, default=1.0)
    tol: float = parameter(NON_NEGATIVE, default=0.1)
    eps: float = parameter(NON_NEGATIVE, default=0.2)


@parametrized
class Chosen(Linear):
    """Linear regression that chooses `alpha`.

    Parameters
    ----------
    n_folds : int
        How many.

    Attributes
    ----------
    alpha_ : float
        What was chosen.

    coef_ : ndarray
        Those at `alpha_`.
    """

    n_folds: int = parameter(COUNT, kw_only=False)
    _fixed = ("alpha",)


def test_a_docstring_is_assembled_from_those_of_the_bases():
    assert (
        Chosen.__doc__
        == inspect.cleandoc("""
        Linear regression that chooses `alpha`.

        Parameters
        ----------
        n_folds : int
            How many.

        tol, eps : float, default=0.1 and 0.2
            When to stop.

        Attributes
        ----------
        alpha_ : float
            What was chosen.

        coef_ : ndarray
            Those at `alpha_`.

        References
        ----------
        Tikhonov, 1943.
    """)
        + "\n"
    )


def test_a_fixed_parameter_is_none_of_the_signature_and_keeps_its_value():
    model = Chosen(3, tol=0.0)
    assert model.get_params() == {"n_folds": 3, "tol": 0.0, "eps": 0.2}
    assert model.alpha == 1.0
    assert [each.name for each in fields(model)] == ["tol", "eps", "n_folds"]
    with pytest.raises(TypeError, match="alpha"):
        Chosen(3, alpha=2.0)


def test_constraints_are_checked():
    Chosen(3)._validate_params()
    with pytest.raises(InvalidParameterError, match="'n_folds'"):
        Chosen(0)._validate_params()


def test_a_subclass_of_a_user_needs_no_decorator():
    class Wider(skreg.RegularizedMLPRegressor):
        """One more parameter, in scikit-learn's way."""

        def __init__(self, width=1, *, alpha=0.5):
            super().__init__((width,), alpha=alpha)
            self.width = width

    model = clone(Wider(3))
    assert model.get_params() == {"width": 3, "alpha": 0.5}
    assert model.hidden_layer_sizes == (3,)


def test_without_a_docstring_there_is_none():
    # As under ``python -OO``.
    @parametrized
    class Bare(Linear):
        pass

    assert Bare.__doc__ is None
    assert Bare(alpha=2.0).alpha == 2.0


def test_names_that_a_parameter_may_be_are_documented_from_its_constraint():
    doc = inspect.getdoc(skreg.RegularizedMLPRegressor)
    assert "{...}" not in doc
    for name, options in (("loss", REGRESSION_LOSSES), ("activation", ACTIVATIONS)):
        (entry,) = re.findall(rf"^{name} : .+$", doc, re.MULTILINE)
        assert re.findall(r'"(\w+)"', entry.split("default")[0]) == sorted(options)
