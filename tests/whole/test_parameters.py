"""Every parameter does something, what theory says; combinations that cannot work say so.

A knob that silently does nothing is the most common bug of this field: each is turned here,
and a test counts that none is forgotten.
"""

import pickle
import re
from inspect import getdoc, signature
from zlib import crc32

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from skorch.callbacks import LRScheduler

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPRegressor,
    RegularizedMLPRegressorCV,
    RegularizedNetClassifier,
    RegularizedNetRegressor,
    to_onnx,
)
from skreg.losses import Quantile
from skreg.penalties import L1, L2, ElasticNet
from skreg.plotting import RegularizationPathDisplay
from skreg.training.checkpoint import Checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_rng = np.random.default_rng(0)
X = _rng.normal(size=(120, 6))
Y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0) + 0.1 * _rng.normal(size=120)
BOTH = {
    "regressor": (RegularizedMLPRegressor, Y),
    "classifier": (RegularizedMLPClassifier, (Y > 0).astype(int)),
}
both_estimators = pytest.mark.parametrize(("estimator", "y"), BOTH.values(), ids=BOTH)

BASE = {
    "hidden_layer_sizes": (8,),
    "learning_rate_init": 0.02,
    "batch_size": 30,
    "max_iter": 30,
    "random_state": 0,
    "alpha": 0.02,
    "tol": 0.0,
}


def size(model):
    return sum((w**2).sum() for w in model.coefs_)


def bias_size(model):
    return sum(np.abs(b).sum() for b in model.intercepts_)


def differs(base, changed):
    return not np.array_equal(base.coefs_[0], changed.coefs_[0])


def device_of(model):
    return model.net_.module_.weights[0].device.type


SGD, FISTA, L1_PENALTY = {"solver": "sgd"}, {"solver": "fista"}, {"penalty": "l1"}
# Nothing counts as a gain: patience alone decides.
IMPATIENT = {"tol": 1e6, "n_iter_no_change": 2}

# parameter: (settings added to BASE, changed value, what theory says of the two fits)
KNOBS = [
    ("hidden_layer_sizes", {}, (9,), lambda a, b: b.coefs_[0].shape == (6, 9)),
    ("hidden_layer_sizes", {}, 3, lambda a, b: b.coefs_[0].shape == (6, 3)),
    ("hidden_layer_sizes", {}, [4, 3], lambda a, b: len(b.coefs_) == 3),
    ("activation", {}, "tanh", differs),
    ("activation", {}, "logistic", differs),
    ("activation", {}, "identity", differs),
    ("penalty", {}, "l1", lambda a, b: a.sparsity_ == 0 < b.sparsity_),
    ("penalty", {}, None, lambda a, b: size(a) < size(b) and b.penalty_curve_[-1] == 0),
    ("penalty", {}, "elasticnet", lambda a, b: a.sparsity_ == 0 < b.sparsity_),
    ("alpha", {}, 0.5, lambda a, b: size(b) < size(a)),
    ("alpha", L1_PENALTY, 0.1, lambda a, b: b.sparsity_ > a.sparsity_),
    ("alpha", FISTA, 0.5, lambda a, b: size(b) < size(a)),
    ("l1_ratio", {"penalty": "elasticnet"}, 1.0, lambda a, b: b.sparsity_ > a.sparsity_),
    ("l1_ratio", {"penalty": ElasticNet()}, 0.0, lambda a, b: a.sparsity_ > b.sparsity_ == 0),
    ("penalty_method", L1_PENALTY, "subgradient", lambda a, b: a.sparsity_ > b.sparsity_ == 0),
    ("penalty_method", {}, "decoupled", differs),
    ("solver", {}, "sgd", differs),
    # The exact solver goes lower.
    ("solver", {}, "fista", lambda a, b: b.loss_ < a.loss_),
    ("batch_size", {}, 20, differs),
    ("batch_size", {}, "auto", differs),
    ("learning_rate", {}, "invscaling", differs),
    ("learning_rate", {**IMPATIENT, "max_iter": 300}, "adaptive", lambda a, b: b.n_iter_ > 12),
    ("learning_rate", SGD, "invscaling", differs),
    # A tiny rate stays near the start: the loss hardly falls.
    ("learning_rate_init", {}, 1e-9, lambda a, b: b.loss_ > 0.9 * b.loss_curve_[0] > a.loss_),
    ("learning_rate_init", SGD, 1e-9, lambda a, b: b.loss_ > 0.9 * b.loss_curve_[0] > a.loss_),
    ("power_t", {"learning_rate": "invscaling"}, 0.0, lambda a, b: b.loss_ < a.loss_),
    ("max_iter", {}, 33, lambda a, b: (a.n_iter_, b.n_iter_) == (30, 33) and differs(a, b)),
    ("max_iter", FISTA, 33, lambda a, b: (a.n_iter_, b.n_iter_) == (30, 33) and differs(a, b)),
    ("shuffle", {}, False, differs),
    ("random_state", {}, 1, differs),
    # A fit stops after more than 2 (4) epochs without a gain over the first.
    ("tol", {"n_iter_no_change": 2}, 1e6, lambda a, b: b.n_iter_ == 4 < a.n_iter_),
    ("tol", {**FISTA, "max_iter": 300}, 0.01, lambda a, b: b.n_iter_ < a.n_iter_),
    ("n_iter_no_change", IMPATIENT, 4, lambda a, b: (a.n_iter_, b.n_iter_) == (4, 6)),
    ("n_iter_no_change", IMPATIENT, np.inf, lambda a, b: (a.n_iter_, b.n_iter_) == (4, 30)),
    ("early_stopping", {}, True, lambda a, b: len(b.validation_scores_) == b.n_iter_),
    (
        "validation_fraction",
        {"early_stopping": True},
        0.5,
        lambda a, b: a.t_ == 108 * a.n_iter_ and b.t_ == 60 * b.n_iter_,
    ),
    ("warm_start", {}, True, lambda a, b: b.loss_ < a.loss_ and len(b.loss_curve_) == 60),
    ("momentum", SGD, 0.0, lambda a, b: b.loss_ > a.loss_),
    ("nesterovs_momentum", SGD, False, differs),
    ("beta_1", {}, 0.5, differs),
    ("beta_2", {}, 0.9, differs),
    # So large an epsilon leaves next to no step.
    ("epsilon", {}, 1e6, lambda a, b: b.loss_ > 0.9 * b.loss_curve_[0] > a.loss_),
    ("max_fun", FISTA, 9, lambda a, b: b.n_iter_ < 9 < a.n_iter_),
    ("penalize_bias", {"alpha": 0.5}, True, lambda a, b: bias_size(b) < bias_size(a)),
    ("penalize_bias", {"alpha": 0.5, **FISTA}, True, lambda a, b: bias_size(b) < bias_size(a)),
    ("dropout", {}, 0.5, lambda a, b: b.loss_ > a.loss_ and differs(a, b)),
    ("device", {}, "cpu", lambda a, b: device_of(b) == "cpu"),
    ("checkpoint", {}, "file", lambda a, b: a.n_writes == 0 < b.n_writes and not differs(a, b)),
    (
        "checkpoint_interval",
        {"checkpoint": "file"},
        0.0,
        # At the end alone, or after every epoch too.
        lambda a, b: (a.n_writes, b.n_writes) == (1, 31),
    ),
    # What was trained to its end already is not trained again.
    (
        "resume",
        {"checkpoint": "file", "verbose": True},
        True,
        lambda a, b: a.printed and not b.printed and not differs(a, b),
    ),
    ("callbacks", {}, [LRScheduler("StepLR", step_size=1, gamma=0.1)], differs),
    ("verbose", {}, True, lambda a, b: b.printed and not a.printed),
]
OF_ONE = {
    "regressor": [
        ("loss", {}, "huber", differs),
        ("loss", {}, "absolute_error", differs),
        (
            "loss",
            {"loss": Quantile(0.9)},
            Quantile(0.1),
            lambda a, b: (b.predict(X) < a.predict(X)).mean() > 0.9,
        ),
    ],
    "classifier": [
        (
            "class_weight",
            {},
            {0: 5.0, 1: 1.0},
            lambda a, b: b.predict_proba(X)[:, 0].mean() > a.predict_proba(X)[:, 0].mean(),
        ),
        ("class_weight", {"class_weight": {0: 5.0}}, "balanced", differs),
    ],
}


@pytest.fixture(autouse=True)
def writes(monkeypatch, tmp_path):
    """Checkpoints go to a new folder, and a list counts them."""
    monkeypatch.chdir(tmp_path)
    write, written = Checkpoint.write, []

    def write_and_count(self, state):
        written.append(self.path)
        write(self, state)

    monkeypatch.setattr(Checkpoint, "write", write_and_count)
    return written


def fitted(estimator, y, settings, capsys, writes):
    capsys.readouterr()
    writes.clear()
    model = estimator(**{**BASE, **settings}).fit(X, y)
    model.printed, model.n_writes = capsys.readouterr().out, len(writes)
    return model.fit(X, y)


@pytest.mark.parametrize(
    ("kind", "name", "settings", "value", "theory"),
    [(kind, *knob) for kind in BOTH for knob in KNOBS + OF_ONE[kind]],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_turning_a_knob_changes_the_fit_as_theory_says(
    kind, name, settings, value, theory, capsys, writes
):
    estimator, y = BOTH[kind]
    base = fitted(estimator, y, settings, capsys, writes)
    assert repr(base.get_params()[name]) != repr(value), "the knob is not turned"
    assert theory(base, fitted(estimator, y, {**settings, name: value}, capsys, writes))


@pytest.mark.parametrize("kind", BOTH)
def test_every_parameter_is_turned_above(kind):
    estimator, _ = BOTH[kind]
    assert {knob[0] for knob in KNOBS + OF_ONE[kind]} == set(estimator().get_params())


# ---------------------------------------------------------------------- once it is fitted


class Nonsense:
    """What no parameter may be: whoever looks at it fails."""


def two_layers(n_features, n_outputs):
    return torch.nn.Sequential(torch.nn.Linear(n_features, 4), torch.nn.Linear(4, n_outputs))


def _shown(model):
    """All that can be read off a fitted estimator, in arrays, numbers and bytes."""
    outputs = [model, pickle.loads(pickle.dumps(model))]
    if hasattr(model, "compact"):
        outputs.append(model.compact())
        yield crc32(to_onnx(model).SerializeToString())
    for each in outputs:
        yield each.predict(X)
        if hasattr(each, "classes_"):
            yield from (each.predict_proba(X), each.predict_log_proba(X))
        yield from (each.sparsity_, each.loss_, each.n_iter_, each.out_activation_)
        if hasattr(each, "compact"):
            yield from (*each.coefs_, *each.intercepts_)
            yield from (each.selected_features_, each.feature_importances_)
        else:
            yield each.penalized_parameters_
    if hasattr(model, "path_"):
        display = RegularizationPathDisplay.from_estimator(model)
        plt.close(display.figure_)
        yield from (display.alpha_min, display.alpha_1se, display.scores)


LABELS = (Y > 0).astype(int)
FITTED = {
    "regressor": (RegularizedMLPRegressor, Y, {"early_stopping": True}),
    "classifier": (RegularizedMLPClassifier, LABELS, {"penalty": L1()}),
    "net regressor": (RegularizedNetRegressor, Y, {"module": two_layers, "penalty": "l1"}),
    "net classifier": (RegularizedNetClassifier, LABELS, {"module": two_layers}),
    "choice of a regressor": (
        *(RegularizedMLPRegressorCV, Y),
        {"penalty": "elasticnet", "l1_ratio": [0.2, 0.9], "alphas": [0.01, 0.1], "cv": 2},
    ),
    "choice of a classifier": (RegularizedMLPClassifierCV, LABELS, {"alphas": 3, "cv": 2}),
}


@pytest.mark.parametrize(("estimator", "y", "settings"), FITTED.values(), ids=FITTED)
def test_what_reads_a_fitted_estimator_reads_what_was_trained(estimator, y, settings):
    base = {k: v for k, v in BASE.items() if k in signature(estimator).parameters}
    model = estimator(**{**base, "max_iter": 5, **settings}).fit(X, y)
    before, score = list(_shown(model)), model.score(X, y)
    for name, value in model.get_params(deep=False).items():
        model.set_params(**{name: Nonsense()})
        try:
            for was, now in zip(before, _shown(model), strict=True):
                np.testing.assert_array_equal(now, was)
            assert model.score(X, y) == score
        except Exception as error:
            raise AssertionError(f"{name} is looked at: {error}") from error
        setattr(model, name, value)


@pytest.mark.parametrize("kind", BOTH)
def test_every_parameter_is_constrained_documented_and_keyword_only_after_two(kind):
    estimator, _ = BOTH[kind]
    parameters = signature(estimator).parameters
    assert set(estimator._parameter_constraints) == set(parameters)
    positional = [n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == ["hidden_layer_sizes", "activation"]
    section = getdoc(estimator).split("Parameters\n")[1].split("Attributes\n")[0]
    documented = re.findall(r"^([a-z_0-9, ]+) : ", section, flags=re.MULTILINE)
    assert {n for names in documented for n in names.split(", ")} == set(parameters)


def test_defaults_are_those_of_scikit_learn_where_the_names_are():
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    for ours, theirs in (
        (RegularizedMLPRegressor(), MLPRegressor()),
        (RegularizedMLPClassifier(), MLPClassifier()),
    ):
        parameters = ours.get_params()
        missing = set(theirs.get_params()) - set(parameters)
        assert not missing
        for name, value in theirs.get_params().items():
            assert parameters[name] == value, name


# ---------------------------------------------------------------------- contradictions


CONTRADICTIONS = {
    "decoupled with l1": (
        {"penalty_method": "decoupled", "penalty": "l1"},
        ("penalty_method", "penalty='l1'", "L2"),
    ),
    "decoupled with an object": (
        {"penalty_method": "decoupled", "penalty": ElasticNet(l1_ratio=0.0)},
        ("penalty_method", "penalty=ElasticNet", "L2"),
    ),
    "fista with subgradient": (
        {"solver": "fista", "penalty_method": "subgradient"},
        ("solver='fista'", "penalty_method='subgradient'"),
    ),
    "fista with decoupled": (
        {"solver": "fista", "penalty_method": "decoupled"},
        ("solver='fista'", "penalty_method='decoupled'"),
    ),
    "fista with dropout": (
        {"solver": "fista", "dropout": 0.5},
        ("solver='fista'", "dropout=0.5"),
    ),
    "alpha twice": (
        {"penalty": L1(0.1), "alpha": 0.5},
        ("alpha is given twice", "alpha=0.5", "L1(alpha=0.1)"),
    ),
    "l1_ratio twice": (
        {"penalty": ElasticNet(l1_ratio=0.1), "l1_ratio": 0.9},
        ("l1_ratio is given twice", "l1_ratio=0.9", "l1_ratio=0.1)"),
    ),
    "negative alpha of an object": ({"penalty": L2(-1.0)}, ("L2(alpha=-1.0)", "at least 0")),
    "l1_ratio of an object out of range": (
        {"penalty": ElasticNet(l1_ratio=1.5)},
        ("l1_ratio", "between 0 and 1"),
    ),
    "no neurons": ({"hidden_layer_sizes": (5, 0)}, ("hidden_layer_sizes", "(5, 0)")),
    "part of a neuron": ({"hidden_layer_sizes": (2.5,)}, ("hidden_layer_sizes", "2.5")),
    "a device that is none": ({"device": "nonsense"}, ("device='nonsense'", "'auto'")),
    "stopping early on two rows": (
        {"early_stopping": True, "validation_fraction": 0.001},
        ("validation_fraction=0.001", "early_stopping"),
    ),
}


@both_estimators
@pytest.mark.parametrize(
    ("settings", "named"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys()
)
def test_parameters_that_contradict_each_other_are_named(estimator, y, settings, named):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is checked below
        estimator(**settings).fit(X, y)
    for part in named:
        assert part in str(caught.value)


@pytest.mark.parametrize("loss", ["absolute_error", "quantile", Quantile(0.9)])
def test_fista_refuses_a_loss_with_kinks_and_names_both(loss):
    with pytest.raises(ValueError, match=r"solver='fista'.*smooth") as caught:
        RegularizedMLPRegressor(loss=loss, solver="fista").fit(X, Y)
    assert str(loss if isinstance(loss, Quantile) else loss.split("_")[0]) in str(
        caught.value
    ).replace("AbsoluteError", "absolute").replace("Quantile(quantile=0.5)", "quantile")
    assert "solver='adam'" in str(caught.value)


@both_estimators
def test_decoupled_without_a_penalty_is_the_unpenalized_network(estimator, y):
    unpenalized = estimator(**{**BASE, "alpha": 0.0}).fit(X, y)
    for settings in ({"penalty": None}, {"penalty": "l1", "alpha": 0.0}):
        for method in ("decoupled", "subgradient", "proximal"):
            model = estimator(**{**BASE, **settings, "penalty_method": method}).fit(X, y)
            assert not differs(unpenalized, model)


@both_estimators
def test_a_batch_size_beyond_the_data_is_clipped_with_a_warning_that_names_it(estimator, y):
    with pytest.warns(UserWarning, match="batch_size=500 is larger than the 120 samples"):
        clipped = estimator(**{**BASE, "batch_size": 500}).fit(X, y)
    assert not differs(clipped, estimator(**{**BASE, "batch_size": 120}).fit(X, y))


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks what happens without CUDA")
@both_estimators
def test_asking_for_cuda_where_there_is_none_raises_an_error_that_names_device(estimator, y):
    for device in ("cuda", "cuda:1"):
        with pytest.raises(ValueError, match=f"device='{device}'.*device='auto'"):
            estimator(device=device).fit(X, y)


@both_estimators
def test_parameters_out_of_range_are_named(estimator, y):
    for name, value in (
        ("alpha", -1.0),
        ("l1_ratio", 1.1),
        ("penalty", "l3"),
        ("solver", "lbfgs"),
        ("penalty_method", "hope"),
        ("dropout", 1.0),
        ("callbacks", LRScheduler()),
        ("device", None),
    ):
        with pytest.raises(ValueError, match=f"'{name}' parameter of {estimator.__name__}"):
            estimator(**{name: value}).fit(X, y)


@both_estimators
def test_numpy_numbers_and_lists_are_taken_as_pythons(estimator, y):
    expected = estimator(**BASE).fit(X, y)
    model = estimator(
        **{
            **BASE,
            "hidden_layer_sizes": np.array([8]),
            "alpha": np.float32(0.02),
            "max_iter": np.int64(30),
            "batch_size": np.int32(30),
            "learning_rate_init": np.float64(0.02),
        }
    ).fit(X, y)
    np.testing.assert_allclose(model.coefs_[0], expected.coefs_[0], rtol=1e-5, atol=1e-7)
