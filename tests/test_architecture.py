"""The layers of the package, read from its source: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skreg

PACKAGE = Path(skreg.__file__).parent
TESTS = Path(__file__).parent

# Each row may import the rows above it, and nothing beside or below.
LAYERS = [
    {
        "_prox",
        "_data",
        "_progress",
        "_validation",
        "_parallel",
        "_layers",
        "_device",
        "_callbacks",
        "_checkpoint",
        "_version",
    },
    {"_plot_style", "_wrapped"},
    {"_groups", "_penalty", "losses", "_persistence"},
    {"_concave"},
    {"_elementwise_penalties", "_optimality", "_support"},
    {"_group_penalties"},
    {"penalties"},
    {"_penalized_optimizer"},
    {"_floor"},
    {"_group_step"},
    {"modules", "_network"},
    {"_backprop", "optim", "_compact", "_penalized"},
    {"_passes", "_fista", "_cuda_graph"},
    {"_loop", "_plain", "_skorch_side"},
    {"net"},
    {"_compact_mixin", "_stack", "_pilot", "_module_net", "_snapshot", "_rollback"},
    {"_fitted", "_resume", "_hold_out"},
    {"_base"},
    {"_base_mlp", "_base_net", "_regression", "_classification", "_nesting", "_schedule"},
    {"_regressor", "_classifier", "_net_regressor", "_net_classifier", "_onnx"},
    {"_evaluation", "stability", "_walk", "datasets"},
    {"_path_mlp", "_path_module"},
    {"model_selection"},
    {"_alpha_max", "_refit"},
    {"path"},
    {"_folds"},
    {"_cv"},
    {"_mlp_cv"},
    {"_plot_curves", "_plot_geometry", "_plot_weights"},
    {"plotting"},
    {"__init__"},
]
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def imports_of(module, *, everywhere=True):
    """Dotted names a module imports, inside functions too unless told otherwise."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            yield node.module


def test_every_module_has_its_place():
    assert set(MODULES) == set().union(*LAYERS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_only_upward(module):
    level = next(i for i, layer in enumerate(LAYERS) if module in layer)
    allowed = set().union(*LAYERS[:level])
    for name in imports_of(module):
        if name.split(".")[0] == "skreg":
            assert name.removeprefix("skreg.") in allowed, f"{module} imports {name}"


def test_only_the_net_imports_skorch():
    importing = [m for m in MODULES if any(n.startswith("skorch") for n in imports_of(m))]
    assert importing == ["_skorch_side", "net"]


def test_displays_read_results_and_train_nothing():
    for module in ("_plot_style", "_plot_curves", "_plot_geometry", "_plot_weights"):
        inside = {name for name in imports_of(module) if name.startswith("skreg")}
        assert inside <= {"skreg._plot_style", "skreg._wrapped", "skreg.penalties"}


def test_the_maths_does_without_the_rest():
    # Penalties and optimizers go in anybody's torch loop: neither skorch nor pandas is theirs.
    for module in (
        *("_prox", "_groups", "_penalty", "_elementwise_penalties", "_group_penalties"),
        *("_floor", "_group_step", "_optimality", "_penalized_optimizer"),
        *("penalties", "losses", "modules", "optim"),
    ):
        roots = {name.split(".")[0] for name in imports_of(module)}
        assert roots - set(sys.stdlib_module_names) <= {"torch", "numpy", "sklearn", "skreg"}


def test_importing_the_package_does_not_import_matplotlib():
    code = "import skreg, skreg.plotting, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("module", MODULES)
def test_files_are_small_and_say_what_they_are_for(module):
    source = (PACKAGE / f"{module}.py").read_text()
    assert ast.get_docstring(ast.parse(source))
    assert source.count("\n") <= 560


@pytest.mark.parametrize("module", [m for m in MODULES if m not in {"__init__"}])
def test_every_module_is_tested(module):
    names = [f"test_{module.lstrip('_')}.py"]
    # These are tested by what stands on them.
    names += {
        "_base": ["test_estimators.py"],
        "_base_mlp": ["test_estimators.py"],
        "_regression": ["test_estimators.py"],
        "_classification": ["test_estimators.py"],
        "_groups": ["test_group_penalties.py", "test_feature_groups.py"],
        "_group_step": ["test_optim.py", "test_group_penalties.py"],
        "_optimality": ["test_optim.py"],
        "_pilot": ["test_adaptive.py"],
        "_penalized_optimizer": ["test_optim.py"],
        "_penalty": ["test_penalties.py"],
        "_elementwise_penalties": ["test_penalties.py"],
        "_fitted": ["test_estimators.py"],
        "_regressor": ["test_estimators.py", "test_linear_limit.py"],
        "_classifier": ["test_estimators.py", "test_linear_limit.py"],
        "_validation": ["test_estimators.py"],
        "_base_net": ["test_nets.py"],
        "_module_net": ["test_nets.py"],
        "_net_classifier": ["test_nets.py"],
        "_net_regressor": ["test_nets.py"],
        "_network": ["test_nets.py"],
        "_penalized": ["test_nets.py"],
        "_concave": ["test_penalties.py", "test_group_penalties.py"],
        "_fista": ["test_optim.py"],
        "_backprop": ["test_modules.py"],
        "_layers": ["test_modules.py"],
        "_hold_out": ["test_training.py", "test_estimators.py"],
        "_compact_mixin": ["test_compact.py"],
        "_rollback": ["test_training.py"],
        "_passes": ["test_net.py"],
        "_loop": ["test_net.py", "test_training.py"],
        "_device": ["test_net.py"],
        "_schedule": ["test_stack.py"],
        "_snapshot": ["test_resume.py"],
        "_plain": ["test_persistence.py"],
        "_skorch_side": ["test_skorch.py"],
        "_version": ["test_persistence.py"],
        "_evaluation": ["test_model_selection.py"],
        "_nesting": ["test_model_selection.py"],
        "_wrapped": ["test_plotting.py", "test_model_selection.py"],
        "_plot_style": ["test_plotting.py"],
        "_plot_curves": ["test_plotting.py"],
        "_plot_geometry": ["test_plotting.py"],
        "_plot_weights": ["test_plotting.py"],
        "_walk": ["test_path.py"],
        "_alpha_max": ["test_path.py"],
        "_refit": ["test_path.py"],
        "_support": ["test_path.py"],
        "_path_mlp": ["test_path.py"],
        "_path_module": ["test_net_path.py"],
        "_folds": ["test_path_cv.py"],
        "_cv": ["test_path_cv.py"],
        "_mlp_cv": ["test_path_cv.py"],
    }.get(module, [])
    assert any((TESTS / name).exists() for name in names)
