"""Every public name is where 0.1.0 had it."""

import importlib

import pytest

NAMES = {
    "skreg": [
        "RegularizationPath",
        "RegularizedMLPClassifier",
        "RegularizedMLPClassifierCV",
        "RegularizedMLPRegressor",
        "RegularizedMLPRegressorCV",
        "RegularizedNetClassifier",
        "RegularizedNetRegressor",
        "StabilitySelection",
        "StackedGridSearchCV",
        "StackedRandomizedSearchCV",
        "__version__",
        "regularization_path",
        "to_onnx",
    ],
    "skreg.datasets": ["make_sparse_classification", "make_sparse_regression"],
    "skreg.losses": [
        "AbsoluteError",
        "CallableLoss",
        "Huber",
        "Logistic",
        "Loss",
        "Multinomial",
        "Poisson",
        "Quantile",
        "SquaredError",
    ],
    "skreg.model_selection": ["StackedGridSearchCV", "StackedRandomizedSearchCV"],
    "skreg.modules": ["MLP", "penalized_parameters"],
    "skreg.optim": ["ProximalAdam", "ProximalSGD", "optimality_residual"],
    "skreg.path": ["RegularizationPath", "regularization_path"],
    "skreg.penalties": [
        "L1",
        "L2",
        "MCP",
        "SCAD",
        "ElasticNet",
        "GroupLasso",
        "GroupMCP",
        "GroupSCAD",
        "Penalty",
        "SparseGroupLasso",
    ],
    "skreg.plotting": [
        "LossCurveDisplay",
        "PenaltyGeometryDisplay",
        "RegularizationPathDisplay",
        "WeightDistributionDisplay",
        "WeightMatrixDisplay",
    ],
    "skreg.stability": ["StabilitySelection"],
}


@pytest.mark.parametrize("module", NAMES)
def test_names_are_where_they_were(module):
    found = importlib.import_module(module)
    assert set(NAMES[module]) <= set(found.__all__)
    assert [name for name in NAMES[module] if not hasattr(found, name)] == []


@pytest.mark.parametrize("module", NAMES)
def test_a_star_brings_what_is_listed(module):
    namespace = {}
    exec(f"from {module} import *", namespace)
    assert set(NAMES[module]) <= set(namespace)
