"""Fitted networks as ONNX graphs, for runtimes without Python.

The graph is built from the weights, a product, a sum and an activation a layer, without
torch's exporter and what that needs. It takes rows as they are given to `predict`, all columns
of them, and gives what `predict` and `predict_proba` do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skreg._version import __version__
from skreg.estimators.mlp import BaseRegularizedMLP
from skreg.losses import Logistic, Loss, Multinomial
from skreg.modules.activations import ACTIVATIONS

# Both are years old, so that old runtimes read the graph.
_OPSET, _IR_VERSION = 17, 8
_INT64 = 7  # TensorProto.INT64
#: Operators of a regressor's inverse links.
_INVERSE_LINKS = {"identity": None, "exp": "Exp"}


def to_onnx(estimator: Any) -> Any:
    """Return a fitted network as an ONNX model.

    Needs the package onnx: ``pip install "skreg[onnx]"``. A runtime computes in the precision
    of the network, that of X in `fit`; predictions agree to rounding.

    Parameters
    ----------
    estimator : RegularizedMLPRegressor or RegularizedMLPClassifier
        Fitted. Of what `compact` returned the graph is as small as its network.

    Returns
    -------
    onnx.ModelProto
        Its input is ``X``, of shape (n_samples, `n_features_in_`) and the precision of the
        network, float or double. A regressor's output is ``prediction``, in the shape that y
        had. A classifier's are ``label`` and ``probabilities``, of shape (n_samples,
        n_classes), or for multilabel targets both of shape (n_samples, n_labels).

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no network of skreg, such as a pipeline.
    ValueError
        If its loss has a link, or its classes a type, that a graph cannot express.

    References
    ----------
    "Open Neural Network Exchange: operators", opset 17.

    Examples
    --------
    >>> import numpy as np
    >>> from skreg import RegularizedMLPRegressor, to_onnx
    >>> X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    >>> model = RegularizedMLPRegressor((4,), max_iter=5, tol=10.0).fit(X, X[:, 0])
    >>> graph = to_onnx(model).graph
    >>> [node.op_type for node in graph.node]
    ['MatMul', 'Add', 'Relu', 'MatMul', 'Add', 'Squeeze']

    ``onnx.save(to_onnx(model), "model.onnx")`` writes it to a file.
    """
    if not isinstance(estimator, BaseRegularizedMLP):
        raise TypeError(
            f"to_onnx takes a RegularizedMLPRegressor or RegularizedMLPClassifier, got "
            f"{type(estimator).__name__}. Export what stands around the network by other means."
        )
    check_is_fitted(estimator)
    try:
        from onnx import checker
    except ImportError as error:
        raise ImportError(
            'to_onnx needs the package onnx: pip install "skreg[onnx]".'
        ) from error
    graph = _Graph(np.dtype(estimator._dtype))
    raw = _network(graph, estimator)
    if hasattr(estimator, "classes_"):
        _classify(graph, estimator, raw)
    else:
        _regress(graph, estimator, raw)
    model = graph.model(estimator)
    checker.check_model(model)
    return model


class _Graph:
    """Nodes, constants and outputs of a graph in the making."""

    def __init__(self, dtype: np.dtype) -> None:
        from onnx import helper, numpy_helper

        self.dtype = dtype
        self._helper, self._numpy_helper = helper, numpy_helper
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._outputs: list[Any] = []

    def constant(self, value: Any) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, operator: str, *inputs: str, out: str | None = None, **settings: Any) -> str:
        """Add a node; return the name of its output."""
        out = out or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(operator, list(inputs), [out], **settings))
        return out

    def output(self, name: str, dtype: Any, width: int | None) -> None:
        """Declare an output of shape (n_samples,) or (n_samples, width)."""
        shape = ["n_samples"] if width is None else ["n_samples", width]
        self._outputs.append(self._value(name, dtype, shape))

    def _value(self, name: str, dtype: Any, shape: list) -> Any:
        kind = self._helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self._helper.make_tensor_value_info(name, kind, shape)

    def model(self, estimator: BaseRegularizedMLP) -> Any:
        rows = self._value("X", self.dtype, ["n_samples", estimator.n_features_in_])
        graph = self._helper.make_graph(
            self._nodes, type(estimator).__name__, [rows], self._outputs, self._constants
        )
        return self._helper.make_model(
            graph,
            producer_name="skreg",
            producer_version=__version__,
            opset_imports=[self._helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
        )


def _network(graph: _Graph, estimator: BaseRegularizedMLP) -> str:
    """Add the layers; return the name of the raw outputs, (n_samples, n_outputs)."""
    layers = list(zip(estimator.coefs_, estimator.intercepts_, strict=True))
    # Of the network: the estimator's parameter may have been set since.
    activation = ACTIVATIONS[estimator.net_.module_.activation].onnx
    hidden = "X"
    if estimator._inputs is not None:
        hidden = graph.node("Gather", hidden, graph.constant(estimator._inputs), axis=1)
    # A layer that no input reaches gives its biases on every row: what is below is not asked.
    cut_off = [number for number, (weight, _) in enumerate(layers) if not len(weight)]
    first = max(cut_off, default=0)
    for number, (weight, bias) in enumerate(layers[first:], first):
        if len(weight):
            product = graph.node("MatMul", hidden, graph.constant(weight))
            hidden = graph.node("Add", product, graph.constant(bias))
        else:
            hidden = graph.node("Expand", graph.constant(bias), _shape(graph, len(bias)))
        if number < len(layers) - 1 and activation is not None:
            hidden = graph.node(activation, hidden)
    return hidden


def _shape(graph: _Graph, *widths: int) -> str:
    """A tensor that holds (n_samples, *widths)."""
    n_samples = graph.node("Shape", "X", start=0, end=1)
    if not widths:
        return n_samples
    return graph.node("Concat", n_samples, graph.constant(np.array(widths)), axis=0)


def _regress(graph: _Graph, estimator: Any, raw: str) -> None:
    loss = estimator.net_.criterion_
    flat = estimator._y_ndim == 1
    if type(loss).predict is not Loss.predict or loss.out_activation not in _INVERSE_LINKS:
        raise ValueError(
            f"to_onnx knows no graph for the predictions of {loss}. Use one of skreg's losses, "
            f"or compute the predictions from coefs_ and intercepts_."
        )
    if operator := _INVERSE_LINKS[loss.out_activation]:
        raw = graph.node(operator, raw)
    if flat:
        graph.node("Squeeze", raw, graph.constant(np.array([1])), out="prediction")
    else:
        graph.node("Identity", raw, out="prediction")
    graph.output("prediction", graph.dtype, None if flat else estimator.n_outputs_)


def _classify(graph: _Graph, estimator: Any, raw: str) -> None:
    loss, n_classes = estimator.net_.criterion_, len(estimator.classes_)
    zero = graph.constant(np.zeros((), graph.dtype))
    if estimator._multilabel:
        chosen = graph.node("Greater", raw, zero)
        graph.node("Cast", chosen, out="label", to=_INT64)
        graph.node("Sigmoid", raw, out="probabilities")
        graph.output("label", np.int64, n_classes)
        graph.output("probabilities", graph.dtype, n_classes)
        return
    if isinstance(loss, Multinomial):
        graph.node("Softmax", raw, axis=1, out="probabilities")
        code = graph.node("ArgMax", raw, axis=1, keepdims=0)
    elif isinstance(loss, Logistic) and n_classes == 2:
        both = graph.node("Concat", graph.node("Neg", raw), raw, axis=1)
        graph.node("Sigmoid", both, out="probabilities")
        above = graph.node("Squeeze", raw, graph.constant(np.array([1])))
        chosen = graph.node("Greater", above, zero)
        code = graph.node("Cast", chosen, to=_INT64)
    else:  # a single class, which the network has no say in
        one = graph.constant(np.ones((1, 1), graph.dtype))
        graph.node("Expand", one, _shape(graph, 1), out="probabilities")
        code = graph.node("Expand", graph.constant(np.array([0])), _shape(graph))
    labels = _labels(estimator.classes_)
    graph.node("Gather", graph.constant(labels), code, axis=0, out="label")
    graph.output("label", labels.dtype, None)
    graph.output("probabilities", graph.dtype, n_classes)


def _labels(classes: np.ndarray) -> np.ndarray:
    """The classes in a type that a graph can hold."""
    if classes.dtype.kind in "iu":
        return classes.astype(np.int64)
    if classes.dtype.kind in "bf":
        return classes.astype(bool if classes.dtype.kind == "b" else np.float64)
    if all(isinstance(label, str) for label in classes.tolist()):
        return classes.astype(object)
    raise ValueError(
        f"to_onnx can name classes that are numbers, booleans or texts, and classes_="
        f"{classes!r} are not all of one of these. Encode y with LabelEncoder before fit."
    )
