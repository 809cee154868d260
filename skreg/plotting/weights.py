"""Displays of weights: how large they are, and which inputs they join to which neurons.

Exact zeros are drawn apart in both. A histogram that counts them in its middle bin makes
L1 (zeros) look like L2 (many small weights), which is the one thing it should tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from skreg.penalties.reach import units_that_inputs_reach, units_that_reach_outputs
from skreg.plotting.fitted import fitted_network
from skreg.plotting.style import COLORS, ZERO_COLOR, check_finite, make_axes


@dataclass(eq=False, repr=False)
class WeightDistributionDisplay:
    """Histograms of weights by layer, with the exact zeros counted apart.

    One column of panels for each estimator and one row for each layer. The bar at zero, in
    another colour, holds the weights that are exactly zero and no others.

    It is recommended to use :meth:`from_estimator` or :meth:`from_estimators`.

    Parameters
    ----------
    weights : list of list of ndarray
        For each estimator the weights of its layers, arrays of any shape.
    names : list of str
        One for each estimator.
    layer_names : list of str, default=None
        One for each layer; None numbers them from 1.

    Attributes
    ----------
    ax_ : ndarray of matplotlib Axes of shape (n_layers, n_estimators)
        The panels; one row if layers are pooled.
    figure_ : matplotlib Figure
    n_zeros_ : ndarray of int of shape (n_layers, n_estimators)
        Exact zeros shown in each panel.

    See Also
    --------
    WeightMatrixDisplay : Which weights are zero.

    Examples
    --------
    >>> import numpy as np
    >>> from skreg import RegularizedMLPRegressor
    >>> from skreg.plotting import WeightDistributionDisplay
    >>> X = np.random.default_rng(0).normal(size=(100, 5))
    >>> network = RegularizedMLPRegressor(
    ...     (8,), penalty="l1", alpha=0.05, learning_rate_init=0.02, max_iter=1000,
    ...     random_state=0,
    ... ).fit(X, X[:, 0])
    >>> display = WeightDistributionDisplay.from_estimator(network)
    >>> bool(display.n_zeros_.sum() / 48 == network.sparsity_)
    True
    """

    weights: list[list[np.ndarray]]
    names: list[str]
    layer_names: list[str] | None = None

    def plot(
        self, *, ax: Any = None, bins: int = 41, per_layer: bool = True, log: bool = True
    ) -> Self:
        """Draw the histograms and return the display.

        Parameters
        ----------
        ax : Axes or array of Axes of shape (n_layers, n_estimators), default=None
            Where to draw; None makes a new figure.
        bins : int, default=41
            Bins of each panel; the panels of a row have the same ones. An odd number has a
            bin around zero.
        per_layer : bool, default=True
            Whether each layer has its row. False pools all weights of an estimator.
        log : bool, default=True
            Count on a logarithmic axis, so that a few large weights show next to many zeros.
        """
        rows = [[layer.ravel() for layer in layers] for layers in self._checked()]
        if bins < 1:
            raise ValueError(f"WeightDistributionDisplay: bins must be at least 1, got {bins}.")
        if not per_layer:
            rows = [[np.concatenate(layers)] for layers in rows]
        shape = (len(rows[0]), len(rows))
        # A page shows a figure of ten inches without making its letters smaller.
        size = (float(np.clip(9.6 / len(rows), 2.2, 3.2)), 2.6)
        caller = "WeightDistributionDisplay.plot"
        axes = make_axes(ax, shape, caller, size, sharex="row", sharey="row")
        self.n_zeros_ = np.zeros(shape, dtype=int)
        layer_names = self.layer_names or [f"layer {row + 1}" for row in range(shape[0])]
        for row in range(shape[0]):
            largest = max(np.abs(layers[row]).max(initial=0.0) for layers in rows) or 1.0
            edges = np.linspace(-largest, largest, bins + 1)
            for column, layers in enumerate(rows):
                n_zeros = _draw_histogram(axes[row, column], layers[row], edges, log)
                self.n_zeros_[row, column] = n_zeros
            label = f"{layer_names[row]}: weights" if per_layer else "weights"
            axes[row, 0].set_ylabel(label)
        for panel, last, name in zip(axes[0], axes[-1], self.names, strict=True):
            panel.set_title(name)
            last.set_xlabel("weight")
        self.ax_, self.figure_ = axes, axes.flat[0].figure
        return self

    def _checked(self) -> list[list[np.ndarray]]:
        if not len(self.weights):
            raise ValueError(
                "WeightDistributionDisplay has nothing to draw: give the weights of at least "
                "one estimator."
            )
        if len(self.weights) != len(self.names):
            raise ValueError(
                f"WeightDistributionDisplay needs one name for each estimator, got "
                f"{len(self.weights)} lists of weights and {len(self.names)} names."
            )
        n_layers = [len(layers) for layers in self.weights]
        if len(set(n_layers)) > 1:
            raise ValueError(
                f"The estimators have {n_layers} layers of weights. Panels stand side by side "
                f"by layer: draw estimators with the same number of layers."
            )
        if self.layer_names is not None and len(self.layer_names) != n_layers[0]:
            raise ValueError(
                f"WeightDistributionDisplay needs one name for each layer, got {n_layers[0]} "
                f"layers and layer_names={self.layer_names}."
            )
        return [
            [check_finite(layer, "WeightDistributionDisplay: weights") for layer in layers]
            for layers in self.weights
        ]

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        name: str | None = None,
        ax: Any = None,
        bins: int = 41,
        per_layer: bool = True,
        log: bool = True,
    ) -> Self:
        """Return the display of the weights of a fitted estimator, drawn.

        Parameters
        ----------
        estimator : fitted estimator
            As in :meth:`from_estimators`.
        name : str, default=None
            Title; None takes the name of the penalty.
        ax, bins, per_layer, log
            As in :meth:`plot`.
        """
        names = None if name is None else [name]
        return cls.from_estimators(
            [estimator], names=names, ax=ax, bins=bins, per_layer=per_layer, log=log
        )

    @classmethod
    def from_estimators(
        cls,
        estimators: Sequence[Any],
        *,
        names: Sequence[str] | None = None,
        ax: Any = None,
        bins: int = 41,
        per_layer: bool = True,
        log: bool = True,
    ) -> Self:
        """Return the display of several fitted estimators side by side, drawn.

        Parameters
        ----------
        estimators : list of fitted estimators
            With `coefs_`, as scikit-learn's ``MLP*`` have too; or of torch modules, as
            :class:`~skreg.RegularizedNetRegressor`, of which all parameters are drawn that
            the penalty of one of them is put on. Of a Pipeline, a TransformedTargetRegressor
            or a search, the network in it.
        names : list of str, default=None
            Titles; None takes the names of the penalties.
        ax, bins, per_layer, log
            As in :meth:`plot`.
        """
        # Some of these can be iterated over, a Pipeline by its steps.
        if hasattr(estimators, "fit"):
            raise TypeError(
                f"WeightDistributionDisplay.from_estimators takes a list of estimators, got "
                f"{type(estimators).__name__}. For a single one use from_estimator."
            )
        networks = [fitted_network(estimator, cls.__name__)[0] for estimator in estimators]
        if names is None:
            names = [_describe(network) for network in networks]
        weights, layer_names = _layers(networks)
        display = cls(weights=weights, names=list(names), layer_names=layer_names)
        return display.plot(ax=ax, bins=bins, per_layer=per_layer, log=log)


def _layers(estimators: Sequence[Any]) -> tuple[list[list[np.ndarray]], list[str] | None]:
    """The weights of each estimator by layer, and the layers' names if they have some."""
    if all(hasattr(estimator, "coefs_") for estimator in estimators):
        return [[np.asarray(w) for w in estimator.coefs_] for estimator in estimators], None
    if not all(hasattr(estimator, "penalized_parameters_") for estimator in estimators):
        kinds = ", ".join(type(estimator).__name__ for estimator in estimators)
        raise ValueError(
            f"Perceptrons have layers, networks of a torch module have parameters with names: "
            f"draw estimators of one kind side by side, got {kinds}."
        )
    parameters = [dict(estimator.module_.named_parameters()) for estimator in estimators]
    penalized = {name for estimator in estimators for name in estimator.penalized_parameters_}
    if not all(penalized <= named.keys() for named in parameters):
        raise ValueError(
            f"The modules have parameters of different names, "
            f"{' and '.join(str(sorted(named)) for named in parameters)}. Panels stand side by "
            f"side by name: draw networks of the same module."
        )
    if not penalized:
        raise ValueError("No parameter is under a penalty: there is nothing to draw.")
    names = [name for name in parameters[0] if name in penalized]
    weights = [[named[name].detach().cpu().numpy() for name in names] for named in parameters]
    return weights, names


def _describe(estimator: Any) -> str:
    penalty = getattr(estimator, "penalty", type(estimator).__name__)
    if isinstance(penalty, dict):
        return "a penalty by name"
    if penalty is None or getattr(estimator, "alpha", 1.0) == 0:
        return "no penalty"
    return str(penalty)


def _draw_histogram(panel: Any, weights: np.ndarray, edges: np.ndarray, log: bool) -> int:
    is_zero = weights == 0
    n_zeros = int(is_zero.sum())
    # A layer of a compacted network may be empty, and has no logarithm then.
    panel.hist(weights[~is_zero], bins=edges, color=COLORS[0], log=log and weights.size > 0)
    color, text = "black", "none exactly zero"
    if n_zeros:
        color, text = ZERO_COLOR, f"{n_zeros / weights.size:.0%} exactly zero"
        # Narrower than a bin, which is still visible behind it.
        width = 0.75 * (edges[1] - edges[0])
        panel.bar(0.0, n_zeros, width, color=color, edgecolor="black", linewidth=0.6)
    place = {"transform": panel.transAxes, "ha": "right", "va": "top"}
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
    panel.text(0.97, 0.95, text, **place, color=color, bbox=box)
    # Room for the text above the highest bar.
    top = max(panel.dataLim.y1, 1.0)
    low, high = panel.get_ylim()
    panel.set_ylim(0.7 if log else low, max(high, top * (4.0 if log else 1.25)))
    return n_zeros


@dataclass(eq=False, repr=False)
class WeightMatrixDisplay:
    """The weights of one layer as a picture: which inputs reach which neurons.

    Rows are inputs, columns are neurons. Negative and positive weights have two colours,
    exact zeros are grey, and so are the labels of inputs and neurons that are dead: a dead
    input has no weight left that reaches an output, a dead neuron has no weight left on its
    way in or out. Weights that are left on a dead one lead nowhere and are hatched.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    weights : ndarray of shape (n_inputs, n_neurons)
    input_names : list of str of length n_inputs
    dead_inputs : ndarray of bool of shape (n_inputs,)
    dead_neurons : ndarray of bool of shape (n_neurons,)

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    image_ : matplotlib AxesImage
    neurons_ : ndarray of int of shape (n_neurons,)
        Which neuron each column shows.

    See Also
    --------
    WeightDistributionDisplay : How large the weights are.

    Examples
    --------
    >>> import numpy as np
    >>> from skreg import RegularizedMLPRegressor
    >>> from skreg.plotting import WeightMatrixDisplay
    >>> X = np.random.default_rng(0).normal(size=(100, 5))
    >>> network = RegularizedMLPRegressor(
    ...     (8,), penalty="l1", alpha=0.05, learning_rate_init=0.02, max_iter=1000,
    ...     random_state=0,
    ... ).fit(X, X[:, 0])
    >>> display = WeightMatrixDisplay.from_estimator(network)
    >>> display.dead_inputs
    array([False,  True,  True,  True,  True])
    """

    weights: np.ndarray
    input_names: Sequence[str]
    dead_inputs: np.ndarray
    dead_neurons: np.ndarray

    def plot(self, *, ax: Any = None, sort: bool = True, colorbar: bool = True) -> Self:
        """Draw the picture and return the display.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw; None makes a new figure.
        sort : bool, default=True
            Living neurons first, those with the largest weights leading.
        colorbar : bool, default=True
            Whether to draw the scale of colours.
        """
        weights, dead_inputs, dead_neurons = self._checked()
        n_inputs, n_neurons = weights.shape
        size = (float(np.clip(0.22 * n_neurons + 2.6, 4.8, 12)), 0.22 * min(n_inputs, 40) + 1.6)
        axes = make_axes(ax, (1, 1), "WeightMatrixDisplay.plot", size)[0, 0]
        by_size = np.lexsort((-np.abs(weights).sum(axis=0), dead_neurons))
        self.neurons_ = by_size if sort else np.arange(n_neurons)
        weights, dead_neurons = weights[:, self.neurons_], dead_neurons[self.neurons_]
        self.image_ = _draw_matrix(axes, weights)
        # What is dead may have weights left that lead nowhere.
        unused = (dead_inputs[:, None] | dead_neurons) & (weights != 0)
        _hatch(axes, unused)
        self._label(axes, dead_inputs, dead_neurons)
        if colorbar:
            bar = axes.figure.colorbar(self.image_, ax=axes)
            hatched = ", hatched: leads nowhere" if unused.any() else ""
            bar.set_label(f"weight (grey: exactly zero{hatched})")
        self.ax_, self.figure_ = axes, axes.figure
        return self

    def _checked(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        weights = check_finite(self.weights, "WeightMatrixDisplay: weights")
        if weights.ndim != 2 or not weights.size:
            raise ValueError(
                f"WeightMatrixDisplay draws a matrix from inputs to neurons, got weights of "
                f"shape {weights.shape}: there is nothing to draw."
            )
        for name, length in (
            ("input_names", weights.shape[0]),
            ("dead_inputs", weights.shape[0]),
            ("dead_neurons", weights.shape[1]),
        ):
            if len(getattr(self, name)) != length:
                raise ValueError(
                    f"WeightMatrixDisplay needs an entry of {name} for each of {length}, got "
                    f"{len(getattr(self, name))} for weights of shape {weights.shape}."
                )
        dead_inputs = np.asarray(self.dead_inputs, dtype=bool)
        return weights, dead_inputs, np.asarray(self.dead_neurons, dtype=bool)

    def _label(self, axes: Any, dead_inputs: np.ndarray, dead_neurons: np.ndarray) -> None:
        for axis, kind, dead, labels, most in (
            (axes.yaxis, "input", dead_inputs, self.input_names, 40),
            (axes.xaxis, "neuron", dead_neurons, self.neurons_, 24),
        ):
            axis.set_label_text(f"{kind} ({(~dead).sum()} of {len(dead)} alive)")
            if len(dead) <= most:
                axis.set_ticks(np.arange(len(dead)), labels)
                for label, is_dead in zip(axis.get_ticklabels(), dead, strict=True):
                    label.set_color("#999999" if is_dead else "black")
        if len(dead_neurons) <= 24:
            rotation = 90 if len(dead_neurons) > 10 else 0
            axes.tick_params("x", labelsize="small", labelrotation=rotation)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        layer: int = 0,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        sort: bool = True,
        colorbar: bool = True,
    ) -> Self:
        """Return the display of one layer of a fitted estimator, drawn.

        Parameters
        ----------
        estimator : fitted estimator with `coefs_`
            Of a Pipeline, a TransformedTargetRegressor or a search, the network in it.
        layer : int, default=0
            Which of `coefs_`; 0 is the layer on the features.
        feature_names : list of str, default=None
            Names of the inputs of layer 0; None takes those of the features that reach the
            network (`feature_names_in_`, or what the steps of a Pipeline before it name by
            `get_feature_names_out`), or numbers.
        ax, sort, colorbar
            As in :meth:`plot`.
        """
        network, names = fitted_network(estimator, cls.__name__)
        if not hasattr(network, "coefs_"):
            raise ValueError(
                f"WeightMatrixDisplay draws a layer from inputs to neurons, and "
                f"{type(network).__name__} has no coefs_ to say what is a layer of it. Draw "
                f"the sizes of its weights by WeightDistributionDisplay."
            )
        coefs = [np.asarray(weight) for weight in network.coefs_]
        if not -len(coefs) <= layer < len(coefs):
            raise ValueError(
                f"layer={layer}, but this {type(network).__name__} has {len(coefs)} layers "
                f"of weights, numbered from 0."
            )
        layer %= len(coefs)
        weights = coefs[layer]
        linked = [torch.from_numpy(weight != 0) for weight in coefs]
        ways = units_that_inputs_reach(linked), units_that_reach_outputs(linked)
        dead = [~(reached & reaching).numpy() for reached, reaching in zip(*ways, strict=True)]
        input_names = _input_names(network, names, layer, len(weights), feature_names)
        display = cls(weights, input_names, dead[layer], dead[layer + 1])
        return display.plot(ax=ax, sort=sort, colorbar=colorbar)


def _draw_matrix(axes: Any, weights: np.ndarray) -> Any:
    """Draw the weights from orange to purple, exact zeros in grey."""
    from matplotlib import colormaps

    colors = colormaps["PuOr_r"].with_extremes(bad="#d9d9d9")
    limit = np.abs(weights).max(initial=0.0) or 1.0
    shown = np.ma.masked_equal(weights, 0.0)
    style = {"aspect": "auto", "interpolation": "nearest"}
    return axes.imshow(shown, colors, vmin=-limit, vmax=limit, **style)


def _hatch(axes: Any, cells: np.ndarray) -> None:
    """Veil the cells: the weights there lead nowhere."""
    from matplotlib.collections import PolyCollection

    corners = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5)])
    squares = np.argwhere(cells)[:, None, ::-1] + corners
    veil = PolyCollection(squares, facecolor="#d9d9d9b0", edgecolor="#777777", linewidth=0)
    veil.set_hatch("////")
    axes.add_collection(veil, autolim=False)


def _input_names(
    network: Any,
    names: np.ndarray | None,
    layer: int,
    n_inputs: int,
    feature_names: Sequence[str] | None,
) -> list[str]:
    if layer:
        return [str(index) for index in range(n_inputs)]
    given: Any = feature_names
    if given is None:
        n_features = getattr(network, "n_features_in_", n_inputs)
        if names is None or len(names) != n_features:
            names = np.arange(n_features)
        # A compacted network takes fewer inputs than there are features.
        inputs = getattr(network, "_inputs", None)
        given = names if inputs is None else names[inputs]
    if len(given) != n_inputs:
        raise ValueError(
            f"feature_names has {len(given)} names, but layer 0 has {n_inputs} inputs."
        )
    return [str(name) for name in given]
