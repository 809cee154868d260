"""Estimators of anybody's torch module: sizes, penalties by name, equality with the MLPs."""

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn
from torch_modules import Categorical, FirstColumnBy, Perceptron, Residual, digits_cnn, linear

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    RegularizedNetClassifier,
    RegularizedNetRegressor,
    StackedGridSearchCV,
    StackedRandomizedSearchCV,
    regularization_path,
)
from skreg.losses import Quantile
from skreg.penalties import L1, L2
from skreg.training.checkpoint import Checkpoint

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training stopped after:sklearn.exceptions.ConvergenceWarning"
)

_rng = np.random.default_rng(0)
X = _rng.normal(size=(120, 6))
Y = X[:, 0] - 2 * X[:, 1] + 0.1 * _rng.normal(size=120)
TWO = np.column_stack([Y, -Y])
LABELS = np.where(Y > 0, "yes", "no")
KINDS = np.digitize(Y, [-1, 1])
MANY = (X[:, :3] > 0).astype(int)


def regressor(module=Perceptron, **settings):
    settings = {"learning_rate_init": 0.02, "batch_size": 40, "max_iter": 20, **settings}
    return RegularizedNetRegressor(module, **{"random_state": 0, **settings})


def classifier(module=Perceptron, **settings):
    settings = {"learning_rate_init": 0.02, "batch_size": 40, "max_iter": 20, **settings}
    return RegularizedNetClassifier(module, **{"random_state": 0, **settings})


# ------------------------------------------------------------ the linear limit

FISTA = {"solver": "fista", "tol": 1e-9, "max_iter": 5000, "random_state": 0}


@pytest.mark.parametrize("penalty", ["l1", "l2", "elasticnet"])
@pytest.mark.parametrize("y", [Y, TWO], ids=["one output", "two outputs"])
def test_a_linear_module_is_the_mlp_without_hidden_layers(penalty, y):
    ours = RegularizedNetRegressor(linear, penalty=penalty, alpha=0.1, **FISTA).fit(X, y)
    theirs = RegularizedMLPRegressor((), penalty=penalty, alpha=0.1, **FISTA).fit(X, y)
    weight = ours.module_.weight.detach().numpy().T
    assert_allclose(weight, theirs.coefs_[0], atol=1e-7)
    assert_allclose(ours.module_.bias.detach().numpy(), theirs.intercepts_[0], atol=1e-7)
    assert_array_equal(weight == 0, theirs.coefs_[0] == 0)
    assert ours.sparsity_ == theirs.sparsity_
    assert (ours.sparsity_ > 0) == (penalty != "l2")
    assert ours.predict(X).shape == y.shape


@pytest.mark.parametrize("y", [LABELS, KINDS, MANY], ids=["two", "many", "multilabel"])
def test_a_linear_module_is_the_mlp_classifier_too(y):
    settings = {"penalty": "l1", "alpha": 0.02, **FISTA}
    ours = RegularizedNetClassifier(linear, **settings).fit(X, y)
    theirs = RegularizedMLPClassifier((), **settings).fit(X, y)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    assert_array_equal(ours.predict(X), theirs.predict(X))


# ------------------------------------------------------------ three real networks


def test_a_cnn_reads_images_and_l1_empties_its_weights():
    images, digits = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 1, 8, 8).astype(np.float32)
    model = classifier(
        digits_cnn, penalty="l1", alpha=2e-3, learning_rate_init=0.01, max_iter=12, tol=0.0
    ).fit(images[:1000], digits[:1000])
    assert model.score(images[1000:], digits[1000:]) > 0.9
    assert model.penalized_parameters_ == ["0.weight", "3.weight"]
    assert model.module_[3].weight.dtype == torch.float32
    assert model.sparsity_ > 0.2
    assert (model.module_[3].weight == 0).float().mean() > 0.2
    with pytest.raises(ValueError, match=r"rows of shape \(1, 64\).*fitted on.*\(1, 8, 8\)"):
        model.predict(images.reshape(-1, 1, 64))


def test_a_residual_network_with_batch_normalization():
    # 121 rows in batches of 40: a last batch of one row would be none to normalize.
    rows = np.vstack([X, X[:1]])
    y = np.abs(rows[:, 0]) - rows[:, 1]
    model = regressor(Residual, penalty="l1", alpha=3e-3, max_iter=150).fit(rows, y)
    assert model.net_.batch_size == 41
    assert model.score(rows, y) > 0.9
    assert not [name for name in model.penalized_parameters_ if name.startswith("blocks.0.0")]
    assert model.sparsity_ > 0
    # Predicting uses what was learned of the columns, not the batch it is asked with.
    assert_allclose(model.predict(rows)[:3], model.predict(rows[:3]), rtol=1e-10)
    with pytest.raises(ValueError, match="the module has batch normalization"):
        regressor(Residual, solver="fista").fit(rows, y)


def test_an_embedding_model_with_one_penalty_for_the_codes_and_one_for_the_rest():
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.integers(0, 5, 200), rng.integers(0, 3, 200)])
    numbers = rng.normal(size=(200, 4))
    y = np.array([3.0, -1.0, 0.0, 1.0, -3.0])[codes[:, 0]] + numbers[:, 0]
    model = regressor(
        Categorical,
        penalty={"embed.*": L2(1e-3), "*.weight": L1(0.05)},
        learning_rate_init=0.03,
        max_iter=200,
    ).fit(np.hstack([codes, numbers]), y)
    assert model.score(np.hstack([codes, numbers]), y) > 0.9
    assert model.penalized_parameters_ == ["embed.0.weight", "embed.1.weight", "body.weight"]
    # L1 drops the numbers that are noise; L2 leaves no zero in the embedding.
    assert (model.module_.body.weight[0, -3:] == 0).all()
    assert (model.module_.embed[0].weight != 0).all()
    by_hand = (
        0.5e-3
        * sum((layer.weight.detach().numpy() ** 2).sum() for layer in model.module_.embed)
        + 0.05 * np.abs(model.module_.body.weight.detach().numpy()).sum()
    )
    assert_allclose(float(model.net_.penalty_values()), by_hand, rtol=1e-9)


# ------------------------------------------------------------ which are penalized


def test_penalized_by_rule_by_pattern_and_by_function():
    settings = {"module__norm": True, "penalty": "l1", "alpha": 0.05, "max_iter": 60}

    def zeros(**more):
        module = regressor(**{**settings, **more}).fit(X, Y).module_
        return {name for name, p in module.named_parameters() if (p == 0).any()}

    assert zeros() == {"hidden.weight", "out.weight"}
    assert zeros(penalized="hidden.*") == {"hidden.weight", "hidden.bias"}
    assert zeros(penalized=["out.weight"]) == {"out.weight"}
    assert "norm.weight" in zeros(penalized=lambda name, p: name == "norm.weight", alpha=0.5)


class Bare(nn.Module):
    """Weights that belong to no layer."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_features, n_outputs))
        self.shift = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, x):
        return x @ self.weight + self.shift


def frozen():
    module = Perceptron(6, 1)
    module.hidden.requires_grad_(False)
    module.out.weight.requires_grad_(False)
    return module


NOTHING = {
    "a rule": {"module": Bare},
    "no pattern": {"module": Bare, "penalized": []},
    "a function": {"penalized": lambda name, parameter: False},
    "a dict": {"module": Bare, "penalty": {"*": L1()}},
    "a dict in the wrong order": {"penalty": {"*": None, "hidden.*": L1()}},
    "all frozen": {"module": frozen()},
}


@pytest.mark.parametrize("estimator", [regressor, classifier])
@pytest.mark.parametrize("settings", NOTHING.values(), ids=NOTHING)
def test_a_penalty_that_is_put_on_nothing_is_an_error(estimator, settings):
    y = Y if estimator is regressor else LABELS
    with pytest.raises(
        ValueError, match=r"gets a penalty from .*L[12].*penalized='\*'"
    ) as caught:
        estimator(**settings).fit(X, y)
    if settings.get("module") is Bare:
        assert "trained, 'weight', 'shift'," in str(caught.value)
    penalty = settings.get("penalty", "l1")
    with pytest.raises(ValueError, match="gets a penalty from"):
        regularization_path(estimator(**{**settings, "penalty": penalty}), X, y)
    # Where none is asked for, none is missed.
    for none in ({"penalty": None}, {"penalty": {"*": None}}, {"penalty": L1(0.0)}):
        assert np.isfinite(estimator(**{**settings, **none}).fit(X, y).loss_)


def test_a_partial_fit_that_asks_for_a_penalty_on_nothing_changes_nothing():
    model = regressor(Bare, alpha=0.0).partial_fit(X, Y)
    before = model.predict(X)
    with pytest.raises(ValueError, match="No parameter of the module Bare gets a penalty"):
        model.set_params(alpha=0.1).partial_fit(X, Y)
    assert_array_equal(model.predict(X), before)
    model = model.set_params(penalized="weight", penalty="l1").fit(X, Y)
    assert model.penalized_parameters_ == ["weight"]


def test_decoupled_penalties_in_a_dict_are_l2():
    with pytest.raises(ValueError, match="weight decay, an L2 penalty only"):
        regressor(penalty={"*": "l1"}, penalty_method="decoupled").fit(X, Y)
    regressor(penalty={"*": "l2"}, penalty_method="decoupled", max_iter=1).fit(X, Y)


@pytest.mark.parametrize("penalty", ["group_lasso", "sparse_group_lasso", "group_mcp", "scad"])
def test_group_penalties_group_what_an_input_sends_out(penalty):
    settings = {"penalty": penalty, "alpha": 0.2, **FISTA, "tol": 1e-7}
    ours = RegularizedNetRegressor(linear, **settings).fit(X, TWO)
    theirs = RegularizedMLPRegressor((), **settings).fit(X, TWO)
    weight = ours.module_.weight.detach().numpy().T
    assert_allclose(weight, theirs.coefs_[0], atol=1e-4)
    settings = {"penalty": penalty, "alpha": 0.2, "max_iter": 300, "tol": 0.0}
    by_adam = regressor(linear, **settings).fit(X, TWO).module_.weight
    assert_array_equal(by_adam.detach().numpy().T == 0, theirs.coefs_[0] == 0)
    assert (by_adam == 0).any()


def test_group_penalties_empty_the_channels_of_a_convolution():
    images = X.reshape(120, 2, 3)
    with_noise = np.concatenate([images, _rng.normal(size=(120, 1, 3))], 1)[..., None]
    cnn = nn.Sequential(nn.Conv2d(3, 4, (2, 1)), nn.Flatten(), nn.LazyLinear(1))
    penalty = {"0.weight": "group_lasso"}
    for solver in ("adam", "fista"):
        model = regressor(cnn, penalty=penalty, alpha=0.1, solver=solver, max_iter=100, tol=0.0)
        weight = model.fit(with_noise, images[:, 0, :2].sum(1)).module_[0].weight
        empty = (weight == 0).all(dim=(0, 2, 3))
        assert not empty[0]
        assert empty[2]


def test_what_a_penalty_needs_of_an_mlp_is_refused():
    from skreg.penalties import GroupLasso

    for penalty in (L1(adaptive=True), GroupLasso(groups=[[0, 1]]), {"*": L1(adaptive=True)}):
        with pytest.raises(ValueError, match="for multi-layer perceptrons"):
            regressor(penalty=penalty).fit(X, Y)
    one_axis_more = nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Conv1d(2, 1, 3), nn.Flatten())
    with pytest.raises(ValueError, match=r"^GroupLasso does .* groups of '1.weight', a w"):
        regressor(one_axis_more, penalty="group_lasso").fit(X, Y)


# ------------------------------------------------------------ class, instance, function


def test_an_instance_is_copied_and_trained_from_the_weights_it_has():
    module = Perceptron(6, 1)
    before = copy.deepcopy(module.state_dict())
    model = regressor(module, learning_rate_init=1e-9, max_iter=1).fit(X, Y)
    for name, value in model.module_.state_dict().items():
        assert_allclose(value.numpy(), before[name].numpy(), atol=1e-6)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert module.out.weight.dtype == torch.float32
    assert model.module_.out.weight.dtype == torch.float64
    with pytest.raises(ValueError, match=r"is an instance of Perceptron.*module__hidden=3"):
        regressor(module, module__hidden=3).fit(X, Y)


def test_lazy_layers_find_their_sizes():
    lazy = nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.LazyLinear(1))
    model = regressor(lazy).fit(X, Y)
    assert model.module_[0].weight.shape == (5, 6)
    again = clone(model).fit(X, Y)
    assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("module", "settings", "error", "message"),
    [
        (
            Perceptron,
            {"module__depth": 3},
            TypeError,
            r"cannot be called with.*module__depth=3",
        ),
        (lambda p, k: "net", {}, TypeError, r"gave a str, not a torch.nn.Module"),
        (lambda p, k: nn.Linear(p, 3), {}, ValueError, r"shape \(40, 3\).*needs \(40, 1\)"),
        (nn.Linear(5, 1), {}, RuntimeError, "shapes cannot be multiplied"),
        (lambda p, k: nn.LSTM(p, k), {}, TypeError, "LSTM returned a tuple"),
        (3, {}, ValueError, "'module' parameter.*must be a callable"),
    ],
    ids=["parameter", "no module", "outputs", "inputs", "no tensor", "number"],
)
def test_a_module_that_does_not_fit_is_told_so(module, settings, error, message):
    model = regressor(module, **settings)
    with pytest.raises(error, match=f"(?s){message}") as caught:
        model.fit(X, Y)
    if error is RuntimeError:
        assert "rows of shape (40, 6)" in caught.value.__notes__[0]
    assert not hasattr(model, "net_")


def test_unknown_parameters_are_refused_as_python_would():
    with pytest.raises(TypeError, match=r"no parameter 'hidden'.*given as module__hidden"):
        regressor(hidden=3)
    with pytest.raises(ValueError, match="Invalid parameter 'hidden'"):
        regressor().set_params(hidden=3)


def test_a_module_without_layers_and_without_a_trailing_axis():
    model = regressor(FirstColumnBy(), penalty=None, max_iter=200, tol=0.0)
    model.fit(X, 2 * X[:, 0])
    assert_allclose(model.module_.scale.item(), 2.0, rtol=1e-2)
    assert model.penalized_parameters_ == []
    assert model.sparsity_ == 0


# ------------------------------------------------------------ parameters of the module


def test_parameters_of_the_module_are_parameters_of_the_estimator():
    model = regressor(module__hidden=5)
    assert model.get_params()["module__hidden"] == 5
    assert "module__hidden=5" in repr(model)
    assert clone(model).get_params()["module__hidden"] == 5
    assert clone(model).set_params(module__hidden=7).fit(X, Y).module_.hidden.out_features == 7
    search = GridSearchCV(
        regressor(max_iter=2), {"module__hidden": [2, 9], "alpha": [1e-4, 1e-3]}, cv=2
    ).fit(X, Y)
    assert search.cv_results_["param_module__hidden"].tolist() == [2, 9, 2, 9]
    best = search.best_estimator_
    assert best.module_.hidden.out_features == best.get_params()["module__hidden"]


def _as_rows(images):
    return images.reshape(len(images), -1) - 0.5


SEARCHES = {
    "penalties of their own": (
        regressor(penalty={"hidden.*": "l1", "*": L2(1e-3)}, max_iter=3),
        {"alpha": [1e-4, 0.1], "module__hidden": [2, 9], "penalty": [{"*": "l1"}, "l2"]},
        X,
        Y,
    ),
    "dropout and batch norm": (
        classifier(module__norm=True, module__dropout=0.2, max_iter=3, early_stopping=True),
        {"alpha": [1e-4, 0.1], "solver": ["adam", "sgd"]},
        X,
        LABELS,
    ),
    "images": (
        classifier(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), max_iter=3),
        {"alpha": [1e-4, 0.1]},
        X.reshape(-1, 2, 3),
        KINDS,
    ),
    "pipeline": (
        make_pipeline(StandardScaler(), classifier(penalty="l1", max_iter=3)),
        {
            "regularizednetclassifier__alpha": [1e-4, 0.1],
            "regularizednetclassifier__module__hidden": [2, 9],
            "standardscaler__with_mean": [True, False],
        },
        X,
        LABELS,
    ),
    "pipeline of images": (
        make_pipeline(FunctionTransformer(_as_rows), regressor(penalty="l1", max_iter=3)),
        {"regularizednetregressor__alpha": [1e-4, 0.1]},
        X.reshape(-1, 2, 3),
        Y,
    ),
    "target": (
        TransformedTargetRegressor(regressor(max_iter=3), transformer=StandardScaler()),
        {"regressor__alpha": [1e-4, 0.1]},
        X,
        Y,
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_stacked_search_over_nets_is_a_grid_search(name):
    model, grid, rows, y = SEARCHES[name]
    settings = {"cv": 2, "return_train_score": True}
    ours = StackedGridSearchCV(model, grid, **settings).fit(rows, y)
    theirs = GridSearchCV(model, grid, **settings).fit(rows, y)
    for score in ("split0_test_score", "split1_test_score", "mean_train_score"):
        assert_array_equal(ours.cv_results_[score], theirs.cv_results_[score])
    assert ours.best_params_ == theirs.best_params_
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    assert_array_equal(ours.predict(rows), theirs.predict(rows))


def test_a_stacked_randomized_search_over_nets_is_scikit_learns(tmp_path):
    model = regressor(penalty="l1", max_iter=3, module__dropout=0.2)
    drawn = {"alpha": loguniform(1e-4, 1), "module__hidden": [2, 9]}
    settings = {"n_iter": 3, "cv": 2, "random_state": 0}
    theirs = RandomizedSearchCV(model, drawn, **settings).fit(X, Y)
    kept = {"checkpoint": tmp_path / "search", "checkpoint_interval": 0, "resume": True}
    for _ in range(2):  # trained, and then taken from the file
        ours = StackedRandomizedSearchCV(model, drawn, **settings, **kept).fit(X, Y)
        scores = [s.cv_results_["mean_test_score"] for s in (ours, theirs)]
        assert_array_equal(*scores)
        assert ours.best_params_ == theirs.best_params_


def test_a_search_over_what_is_no_network_says_which_would_be():
    with pytest.raises(TypeError, match=r"RegularizedNetRegressor.*GridSearchCV"):
        StackedGridSearchCV(Ridge(), {"alpha": [1.0]}).fit(X, Y)


# ------------------------------------------------------------ outputs


def test_two_scores_for_two_classes_are_a_softmax():
    one = RegularizedNetClassifier(linear, penalty=None, **FISTA).fit(X[:, 2:], LABELS)
    two = RegularizedNetClassifier(lambda p, k: nn.Linear(p, 2), penalty=None, **FISTA)
    two.fit(X[:, 2:], LABELS)
    assert_allclose(one.predict_proba(X[:, 2:]), two.predict_proba(X[:, 2:]), atol=1e-6)
    direct = two.module_(torch.from_numpy(X[:, 2:])).softmax(1).detach().numpy()
    assert_allclose(two.predict_proba(X[:, 2:]), direct, rtol=1e-9)


def test_other_losses():
    model = regressor(loss=Quantile(0.9), max_iter=100).fit(X, Y)
    assert 0.8 < (model.predict(X) > Y).mean() < 0.98
    counts = np.exp(X[:, 0]).round()
    assert (regressor(loss="poisson").fit(X, counts).predict(X) > 0).all()


# ------------------------------------------------------------ seeds, copies, more fits


@pytest.mark.parametrize("settings", [{}, {"module__dropout": 0.3, "module__norm": True}])
def test_the_seed_decides_and_torchs_generator_is_left_alone(settings):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = regressor(**settings).fit(X, Y).predict(X)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert_array_equal(regressor(**settings).fit(X, Y).predict(X), first)
    assert (regressor(**settings, random_state=1).fit(X, Y).predict(X) != first).any()


def test_dropout_of_the_module_is_at_work_in_training_alone():
    settings = {"max_iter": 1, "shuffle": False}
    dropped = regressor(module__dropout=0.9, **settings).fit(X, Y)
    assert dropped.loss_ != regressor(**settings).fit(X, Y).loss_
    assert_array_equal(dropped.predict(X), dropped.predict(X))
    with pytest.raises(ValueError, match="the module has dropout"):
        regressor(module__dropout=0.9, solver="fista").fit(X, Y)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_goes_on_in_a_copy(copied, solver):
    model = regressor(
        penalty={"hidden.*": "l1", "*": "l2"},
        alpha=0.01,
        module__dropout=0.2,
        solver=solver,
        learning_rate_init=0.005,
    )
    for _ in range(3):
        model.partial_fit(X, Y)
    copied_model = copied(model)
    model.partial_fit(X, Y)
    assert (copied_model.predict(X) != model.predict(X)).any()
    copied_model.partial_fit(X, Y)
    assert_array_equal(copied_model.predict(X), model.predict(X))
    assert len(model.loss_curve_) == 4


def test_partial_fit_takes_another_strength_and_another_penalty():
    model = regressor(penalty="l1", alpha=1e-4).partial_fit(X, Y)
    assert model.sparsity_ == 0
    model.set_params(alpha=5.0)
    for _ in range(20):
        model.partial_fit(X, Y)
    assert model.sparsity_ == 1
    model.set_params(penalty={"out.*": "l1"}, alpha=1e-4).partial_fit(X, Y)
    assert model.penalized_parameters_ == ["out.weight"]


def test_warm_start_goes_on_and_refuses_another_architecture():
    model = regressor(warm_start=True, max_iter=5).fit(X, Y)
    first = model.loss_
    assert model.fit(X, Y).loss_curve_[5] < first
    with pytest.raises(ValueError, match=r"architecture changed \(its parameters\)"):
        model.set_params(module__hidden=3).fit(X, Y)


def test_early_stopping_ends_with_the_best_weights_and_running_averages():
    model = regressor(
        module__norm=True, early_stopping=True, max_iter=40, n_iter_no_change=5, alpha=0.01
    ).fit(X, Y)
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.n_iter_ <= 40
    assert len(model.validation_scores_) == model.n_iter_


def test_weight_zero_is_leaving_out_and_doubling_changes_nothing():
    weights = np.repeat([1.0, 0.0], 60)
    kept = regressor().fit(X[:60], Y[:60]).predict(X)
    assert_array_equal(regressor().fit(X, Y, weights).predict(X), kept)
    assert_allclose(regressor().fit(X, Y, 2 * weights).predict(X), kept, rtol=1e-9)


def test_class_weight_moves_the_predictions():
    many = classifier(class_weight={"yes": 50.0}).fit(X, LABELS)
    assert (many.predict(X) == "yes").sum() > (LABELS == "yes").sum()


def test_cross_validation_over_rows_of_images():
    images = X.reshape(120, 2, 3)
    flat = nn.Sequential(nn.Flatten(), nn.LazyLinear(1))
    model = RegularizedNetRegressor(flat, penalty="l1", alpha=0.01, **FISTA)
    assert cross_val_score(model, images, Y, cv=3).min() > 0.9


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        RegularizedNetRegressor(Perceptron, penalty="l1", learning_rate_init=0.05, max_iter=60),
        RegularizedNetClassifier(
            linear, penalty="elasticnet", solver="sgd", learning_rate_init=0.1, max_iter=50
        ),
    ]
)
def test_sklearn_conformance(estimator, check):
    check(estimator)


# ---------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize(
    ("estimator", "y", "settings"),
    [
        (RegularizedNetRegressor, Y, {"penalty": "group_lasso", "module__dropout": 0.3}),
        (RegularizedNetRegressor, TWO, {"solver": "fista", "penalty": "l1", "alpha": 0.02}),
        (RegularizedNetClassifier, LABELS, {"solver": "sgd", "module__norm": True}),
        (RegularizedNetClassifier, KINDS, {"early_stopping": True, "random_state": None}),
    ],
    ids=["dropout", "fista", "batch norm", "early stopping"],
)
def test_a_killed_fit_goes_on_bit_for_bit(estimator, y, settings, tmp_path, monkeypatch):
    path, half = tmp_path / "fit.checkpoint", tmp_path / "half.checkpoint"
    settings = {"batch_size": 30, "max_iter": 6, "random_state": 0, "tol": 0.0, **settings}
    write, written = Checkpoint.write, []

    def write_and_copy(self, state):
        write(self, state)
        written.append(state["net"]["counts"]["n_epochs_"])
        if len(written) == 3:
            half.write_bytes(path.read_bytes())

    monkeypatch.setattr(Checkpoint, "write", write_and_copy)
    model = estimator(Perceptron, checkpoint=path, checkpoint_interval=0, **settings)
    whole = clone(model).fit(X, y)
    assert written == [1, 2, 3, 4, 5, 6, 6]
    path.write_bytes(half.read_bytes())
    resumed = clone(model).set_params(resume=True).fit(X, y)
    assert written[7:] == [4, 5, 6, 6]
    assert resumed.loss_curve_ == whole.loss_curve_
    assert resumed.net_.history == whole.net_.history
    assert_array_equal(resumed.predict(X), whole.predict(X))
    for ours, theirs in zip(
        resumed.module_.state_dict().values(), whole.module_.state_dict().values(), strict=True
    ):
        assert_array_equal(ours, theirs)
    # Of another module it is not.
    other = clone(model).set_params(resume=True, module__hidden=3)
    with pytest.raises(ValueError, match="from another fit: module__hidden differs"):
        other.fit(X, y)
