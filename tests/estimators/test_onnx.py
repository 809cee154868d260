"""ONNX graphs give, in another runtime, what the estimators predict."""

import builtins

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor, to_onnx
from skreg.losses import Loss, SquaredError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_rng = np.random.default_rng(0)
X = _rng.normal(size=(120, 6))
Y = X[:, 0] - 2 * X[:, 1] + np.maximum(X[:, 2], 0)
NEW = _rng.normal(scale=3, size=(37, 6))
REGRESSOR, CLASSIFIER = RegularizedMLPRegressor, RegularizedMLPClassifier
TARGETS = {
    "flat": (REGRESSOR, Y),
    "column": (REGRESSOR, Y[:, None]),
    "two outputs": (REGRESSOR, np.column_stack([Y, X[:, 3]])),
    "integers": (CLASSIFIER, np.digitize(Y, [-1, 1]) + 5),
    "bytes": (CLASSIFIER, (Y > 0).astype(np.uint8)),
    "texts": (CLASSIFIER, np.array(["no", "yes", "perhaps"])[np.digitize(Y, [-1, 1])]),
    "objects": (CLASSIFIER, np.where(Y > 0, "a", "ä").astype(object)),
    "booleans": (CLASSIFIER, Y > 0),
    "floats": (CLASSIFIER, np.where(Y > 0, 1.0, -1.0)),
    "multilabel": (CLASSIFIER, (X[:, :3] > 0).astype(int)),
    "one class": (CLASSIFIER, np.full(120, 3)),
}
every_target = pytest.mark.parametrize(("estimator", "y"), TARGETS.values(), ids=TARGETS)


def fitted(estimator=REGRESSOR, y=Y, dtype=np.float32, **settings):
    settings = {"hidden_layer_sizes": (8,), "learning_rate_init": 0.02, **settings}
    settings = {"max_iter": 40, "random_state": 0, "batch_size": 40, **settings}
    return estimator(**settings).fit(X.astype(dtype), y)


def run(model, rows=NEW):
    graph = to_onnx(model)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    rows = rows.astype(model._dtype)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": rows}), strict=True)), rows


def assert_agrees(model, rows=NEW):
    got, rows = run(model, rows)
    predictions = model.predict(rows)
    if isinstance(model, REGRESSOR):
        assert list(got) == ["prediction"]
        assert got["prediction"].shape == predictions.shape
        assert got["prediction"].dtype == predictions.dtype
        assert_allclose(got["prediction"], predictions, rtol=1e-5, atol=1e-5)
        return
    assert list(got) == ["label", "probabilities"]
    probabilities = model.predict_proba(rows)
    assert got["probabilities"].shape == probabilities.shape
    assert got["probabilities"].dtype == model._dtype
    assert_allclose(got["probabilities"], probabilities, rtol=0, atol=1e-5)
    assert_array_equal(got["label"], predictions)


@every_target
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("hidden_layer_sizes", [(), (8,), (6, 5)])
def test_the_runtime_gives_predictions_and_probabilities(
    estimator, y, dtype, hidden_layer_sizes
):
    model = fitted(estimator, y, dtype, hidden_layer_sizes=hidden_layer_sizes)
    assert_agrees(model)
    assert_agrees(model, NEW[:1])


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_every_activation(activation):
    assert_agrees(fitted(activation=activation))


def test_parameters_that_were_set_after_fit_are_none_of_the_graphs():
    model = fitted()
    predictions = model.predict(NEW.astype(np.float32))
    got, _ = run(model.set_params(activation="tanh", hidden_layer_sizes=()))
    assert_allclose(got["prediction"], predictions, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", ["poisson", "absolute_error", "quantile", "huber"])
def test_every_link(loss):
    assert_agrees(fitted(y=np.abs(Y), loss=loss))


def test_the_link_of_a_custom_loss():
    class LogSquaredError(Loss):
        out_activation = "exp"

        def value(self, raw, target):
            return (raw - (1 + target).log()).square().sum(-1)

        def gradient(self, raw, target):
            return 2 * (raw - (1 + target).log())

    model = fitted(y=np.abs(Y), loss=LogSquaredError())
    assert model.out_activation_ == "exp"
    assert (model.predict(X[:5]) > 0).all()
    assert_agrees(model)


def test_a_callable_loss_predicts_its_raw_output():
    assert_agrees(fitted(loss=lambda y_pred, y_true: torch.cosh(y_pred - y_true), max_iter=3))


@every_target
@pytest.mark.parametrize("alpha", [0.02, 0.1])
def test_compacted_networks(estimator, y, alpha):
    model = fitted(estimator, y, np.float64, penalty="l1", alpha=alpha, solver="fista")
    small = model.compact()
    assert_agrees(small)
    if estimator is REGRESSOR and alpha == 0.1:
        assert small.coefs_[0].shape[0] < 6
    assert to_onnx(small).ByteSize() <= to_onnx(model).ByteSize() + 200


@every_target
@pytest.mark.parametrize("hidden_layer_sizes", [(), (8,), (6, 5)])
def test_networks_of_which_nothing_is_left(estimator, y, hidden_layer_sizes):
    model = fitted(
        estimator, y, np.float64, penalty="l1", alpha=100.0, solver="fista",
        hidden_layer_sizes=hidden_layer_sizes, activation="tanh",
    )  # fmt: skip
    assert model.sparsity_ == 1
    assert_agrees(model)
    small = model.compact()
    assert small.coefs_[-1].size == 0
    assert_agrees(small)


def test_the_graph_keeps_where_it_came_from_and_needs_no_new_runtime():
    model = to_onnx(fitted())
    assert model.producer_name == "skreg"
    assert model.ir_version <= 8
    assert model.opset_import[0].version <= 17
    onnx.checker.check_model(model, full_check=True)


def test_what_cannot_be_exported_says_so(monkeypatch):
    with pytest.raises(NotFittedError, match="RegularizedMLPRegressor"):
        to_onnx(REGRESSOR())
    with pytest.raises(TypeError, match="got Pipeline"):
        to_onnx(make_pipeline(StandardScaler(), fitted()))

    class TwiceSquaredError(SquaredError):
        def predict(self, raw):
            return 2 * raw

    with pytest.raises(ValueError, match="no graph for the predictions of"):
        to_onnx(fitted(loss=TwiceSquaredError(), max_iter=2))
    model = fitted(CLASSIFIER, Y > 0)
    model.classes_ = np.array([(1, 2), None], dtype=object)
    with pytest.raises(ValueError, match=r"classes_=.*LabelEncoder"):
        to_onnx(model)
    monkeypatch.setattr(builtins, "__import__", without_onnx(builtins.__import__))
    with pytest.raises(ImportError, match=r'pip install "skreg\[onnx\]"'):
        to_onnx(fitted())


def without_onnx(original):
    def imported(name, *rest):
        if name.split(".")[0] == "onnx":
            raise ImportError(name)
        return original(name, *rest)

    return imported
