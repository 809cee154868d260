"""The recipes of CONTRIBUTING.md: each is followed in a copy of the package, and then checked.

The first line of a block is a comment that names a file of `skreg/`. The block is appended to
that file in the copy; a file that does not exist is made. Then a function of this file,
`check_<recipe>`, runs in another process, which imports the copy.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import skreg

ROOT = Path(__file__).parents[2]
PACKAGE = Path(skreg.__file__).parent
#: How many files of the package each recipe may touch.
MOST_FILES = {"penalty": 3, "loss": 1, "activation": 1, "solver": 2}
BLOCK = re.compile(r"^```python\n# (skreg/[\w/]+\.py)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def section_of(recipe):
    """The text under a recipe's heading."""
    recipes = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Recipes\n")[2]
    recipes = re.split(r"^## ", recipes, flags=re.MULTILINE)[0]
    sections = re.split(r"^### An? (\w+)\n", recipes, flags=re.MULTILINE)[1:]
    return dict(zip(sections[::2], sections[1::2], strict=True))[recipe]


def blocks_of(recipe):
    """Pairs of a file and the code that the recipe appends to it."""
    section = section_of(recipe)
    blocks = BLOCK.findall(section)
    assert len(blocks) == section.count("```python"), "a block does not name its file"
    assert blocks
    return blocks


def follow(blocks, folder):
    """Do in a copy of the package what the blocks of a recipe say."""
    shutil.copytree(PACKAGE, folder / "skreg", ignore=shutil.ignore_patterns("__pycache__"))
    for name, code in blocks:
        with open(folder / name, "a") as file:
            file.write(f"\n\n{code}")


@pytest.mark.parametrize("recipe", MOST_FILES)
def test_recipe_does_what_it_promises(recipe, tmp_path):
    follow(blocks_of(recipe), tmp_path)
    paths = [tmp_path, Path(__file__).parent, ROOT / "tests"]
    run = subprocess.run(
        [sys.executable, "-c", f"import test_recipes; test_recipes.check_{recipe}()"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(("recipe", "most"), MOST_FILES.items())
def test_recipe_touches_few_files(recipe, most):
    blocks = blocks_of(recipe)
    assert len({name for name, _ in blocks}) <= most
    # It names in its text no file to change beyond those.
    assert len(set(re.findall(r"skreg/[\w/]+\.py", section_of(recipe)))) <= most


def check_penalty():
    """The log-sum penalty: its prox is the argmin, and it gives exact zeros by every way."""
    from skreg import RegularizedMLPRegressor, StackedGridSearchCV
    from skreg.penalties.by_name import PENALTIES

    log_sum = PENALTIES["log_sum"]
    grid = torch.linspace(-6, 6, 24001, dtype=torch.float64).unsqueeze(1)
    points = torch.linspace(-5, 5, 41, dtype=torch.float64)
    for alpha, eps in ((0.3, 0.1), (2.0, 1.0), (1.0, 3.0)):
        penalty = log_sum(alpha, eps)
        for steps in (0.0, 0.7, torch.linspace(0.1, 4.0, 41, dtype=torch.float64)):
            costs = 0.5 * (grid - points) ** 2 + steps * penalty._curve(grid).value(grid.abs())
            moved = penalty.prox(points, steps)
            at_moved = 0.5 * (moved - points) ** 2
            at_moved += steps * penalty._curve(moved).value(moved.abs())
            assert (at_moved <= costs.amin(0) + 1e-9).all()
        leaf = points[points != 0].clone().requires_grad_()
        penalty.value([leaf.unsqueeze(0)]).backward()
        torch.testing.assert_close(penalty.subgradient(leaf.detach()), leaf.grad)

    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 8))
    y = 2 * X[:, 0] - X[:, 1] + 0.1 * rng.normal(size=90)
    settings = {"learning_rate_init": 0.02, "max_iter": 300, "random_state": 0}
    model = RegularizedMLPRegressor((), penalty="log_sum", alpha=0.02, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
        np.testing.assert_array_equal(model.coefs_[0][:, 0] == 0, [False] * 2 + [True] * 6)
        base = clone(model).set_params(penalty=log_sum(), max_iter=30, batch_size=30)
        search = StackedGridSearchCV(base, {"penalty__eps": [0.05, 0.5]}, cv=3).fit(X, y)
        for eps, score in zip(
            [0.05, 0.5], search.cv_results_["split0_test_score"], strict=True
        ):
            alone = clone(base).set_params(penalty__eps=eps).fit(X[30:], y[30:])
            np.testing.assert_allclose(score, alone.score(X[:30], y[:30]), rtol=1e-6)
    with pytest.raises(ValueError, match=r"LogSum\(eps=-1.0\): eps must be finite and above 0"):
        clone(model).set_params(penalty=log_sum(eps=-1.0)).fit(X, y)


def check_loss():
    """The Gamma deviance: autograd's gradient, and scikit-learn's coefficients."""
    from sklearn.linear_model import GammaRegressor
    from sklearn.metrics import mean_gamma_deviance

    from skreg import RegularizedMLPRegressor
    from skreg.losses import REGRESSION_LOSSES

    gamma = REGRESSION_LOSSES["gamma"]()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4))
    y = np.exp(X @ [0.5, -0.3, 0.0, 0.0]) * rng.gamma(5.0, 0.2, size=100)
    raw = torch.from_numpy(rng.normal(size=(1, 100, 1))).requires_grad_()
    target = torch.from_numpy(y).unsqueeze(1)
    losses = gamma.value(raw, target)
    losses.sum().backward()
    torch.testing.assert_close(gamma.gradient(raw.detach(), target), raw.grad)
    deviance = mean_gamma_deviance(y, raw.detach().exp().flatten().numpy())
    np.testing.assert_allclose(2 * losses.mean().item(), deviance)

    settings = {"solver": "fista", "tol": 1e-9, "max_iter": 2000, "random_state": 0}
    model = RegularizedMLPRegressor((), loss="gamma", penalty="l2", alpha=0.1, **settings)
    theirs = GammaRegressor(alpha=0.1, tol=1e-10, max_iter=1000).fit(X, y)
    model.fit(X, y)
    np.testing.assert_allclose(model.coefs_[0][:, 0], theirs.coef_, rtol=1e-6)
    np.testing.assert_allclose(model.predict(X), theirs.predict(X), rtol=1e-6)
    with pytest.raises(ValueError, match="needs y > 0"):
        model.fit(X, y - y.min())


def check_activation():
    """softplus: gradients are autograd's, and estimators fit, compact and export it."""
    from skreg import RegularizedMLPClassifier, to_onnx
    from skreg.losses import SquaredError
    from skreg.modules import MLP
    from skreg.modules.backprop import Backprop

    X = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = X[:, :2] * 2
    for n_members in (1, 2):
        settings = {"n_members": n_members, "random_state": 0, "dtype": torch.float64}
        module = MLP(3, (5, 4), 2, activation="softplus", **settings)
        backprop = Backprop(module, SquaredError())
        backprop(X, y, None)
        SquaredError().value(module(X), y).mean(1).sum().backward()
        for gradient, parameter in zip(backprop.gradients, module.parameters(), strict=True):
            torch.testing.assert_close(gradient, parameter.grad)

    labels = (X[:, 0] > 0).numpy()
    settings = {"penalty": "l1", "alpha": 0.005, "learning_rate_init": 0.05, "tol": 0.0}
    model = RegularizedMLPClassifier((5, 4), activation="softplus", random_state=0, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X.numpy(), labels)
    assert model.loss_curve_[-1] < model.loss_curve_[0] / 2
    assert 0 < model.sparsity_ < 1
    expected = model.predict_proba(X.numpy())
    np.testing.assert_allclose(model.compact().predict_proba(X.numpy()), expected, rtol=1e-10)
    if importlib.util.find_spec("onnx"):
        from onnx.reference import ReferenceEvaluator

        outputs = ReferenceEvaluator(to_onnx(model)).run(None, {"X": X.numpy()})
        np.testing.assert_allclose(outputs[1], expected, rtol=1e-10)


def check_solver():
    """Proximal gradient descent: the lasso's answer, alone, in a stack and along a path."""
    from sklearn.linear_model import Lasso
    from skorch.callbacks import BatchScoring

    from skreg import RegularizedMLPRegressor, StackedGridSearchCV, regularization_path

    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5))
    y = X @ [3.0, -2.0, 0.0, 0.0, 0.1] + 0.1 * rng.normal(size=60)
    settings = {"solver": "descent", "penalty": "l1", "learning_rate_init": 0.5, "tol": 1e-8}
    model = RegularizedMLPRegressor((), alpha=0.1, max_iter=500, random_state=0, **settings)
    linear = Lasso(0.1, tol=1e-12)
    coef = linear.fit(X, y).coef_
    model.fit(X, y)
    assert model.n_iter_ < 500
    np.testing.assert_allclose(model.coefs_[0][:, 0], coef, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(model.coefs_[0][:, 0] == 0, coef == 0)

    grid = {"alpha": [0.03, 0.1], "learning_rate_init": [0.3, 0.6]}
    halves = [(slice(30, 60), slice(0, 30)), (slice(0, 30), slice(30, 60))]
    search = StackedGridSearchCV(model, grid, cv=2).fit(X, y)
    for parameters, score in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        linear.set_params(alpha=parameters["alpha"])
        scores = [linear.fit(X[a], y[a]).score(X[b], y[b]) for a, b in halves]
        np.testing.assert_allclose(score, np.mean(scores), rtol=1e-6)
    path = regularization_path(model, X, y, alphas=[0.1, 0.5])
    for alpha, selected in zip(path.alphas, path.selected, strict=True):
        coef = linear.set_params(alpha=alpha).fit(X, y).coef_
        np.testing.assert_array_equal(selected, coef != 0)

    assert not hasattr(model, "partial_fit")
    for parameters, named in (
        ({"loss": "absolute_error"}, "smooth"),
        ({"hidden_layer_sizes": (2,), "dropout": 0.5}, "dropout=0.5"),
        ({"penalty_method": "subgradient"}, "penalty_method='subgradient'"),
        ({"callbacks": [BatchScoring(None)]}, "there are no batches"),
    ):
        refused = clone(model).set_params(**parameters)
        with pytest.raises(ValueError, match=f"solver='descent'.*{named}"):
            refused.fit(X, y)
