"""The classifier: log-loss for two classes, many classes or many labels, with the penalty."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils._param_validation import StrOptions
from sklearn.utils._tags import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
    type_of_target,
)
from torch import Tensor

from skreg._base import BaseRegularizedMLP, solver_is_stochastic
from skreg.losses import Logistic, Loss, Multinomial
from skreg.penalties import DEFAULT_ALPHA, DEFAULT_L1_RATIO, Penalty

__all__ = ["RegularizedMLPClassifier"]


def _sorted_labels(y: np.ndarray) -> np.ndarray:
    try:
        return np.unique(y)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in y.tolist()})
        raise TypeError(
            f"y mixes labels of types that have no order, {', '.join(kinds)}. Make them all "
            f"texts or all numbers."
        ) from error


class RegularizedMLPClassifier(ClassifierMixin, BaseRegularizedMLP):
    """Multi-layer perceptron classifier with L1, L2 or elastic-net penalized weights.

    The objective, over weights W and biases, is ::

        sum_i s_i l(y_i, f(x_i)) / sum_i s_i  +  alpha * Omega(W)

    with sample weights s_i (times class weights), 1 by default; l the log-loss: logistic for
    two classes, softmax for more, and the sum over labels for multilabel targets; and ::

        Omega(W) = l1_ratio * sum |w| + (1 - l1_ratio) / 2 * sum w^2

    for the elastic net, of which L1 (`l1_ratio=1`) and L2 (`l1_ratio=0`) are the ends. With
    ``hidden_layer_sizes=()`` it is ``LogisticRegression(C=1 / (n_samples * alpha))``.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int or int, default=(100,)
        Neurons of each hidden layer; ``()`` is a linear model.

    activation : {"identity", "logistic", "tanh", "relu"}, default="relu"
        Activation of the hidden layers.

    penalty : {"l1", "l2", "elasticnet"}, Penalty or None, default="l2"
        What is put on the weights. An object of :mod:`skreg.penalties` may bring its own
        strength, as in ``L1(alpha=0.01)``; what it leaves at None it takes from `alpha` and
        `l1_ratio`. None is the unpenalized network.

    alpha : float, default=1e-4
        Strength λ of the penalty. It is divided neither by the number of samples nor by the
        batch size: for the `alpha` of scikit-learn's ``MLP*`` on n samples in one batch,
        use ``alpha / n``.

    l1_ratio : float, default=0.5
        Share of L1 in the elastic net, between 0 (L2) and 1 (L1). Only used with
        ``penalty="elasticnet"`` or a penalty object that takes one.

    penalty_method : {"proximal", "subgradient", "decoupled"}, default="proximal"
        How the penalty enters a step.

        - "proximal": a gradient step on the data loss, then the penalty's proximal operator
          in the optimizer's own metric. Gives exact zeros and solves the objective above.
        - "subgradient": the penalty's gradient (sign(0) = 0) is added to that of the loss,
          as in a hand-written loop. Gives no exact zeros. With L2 and Adam this is torch's
          ``Adam(weight_decay=alpha)`` on the weights.
        - "decoupled": weights are scaled by 1 − learning rate · alpha, as in ``AdamW``; L2
          only. It is another problem than the objective above.

    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes, multiplied with `sample_weight`: by label; inversely
        proportional to their frequency; or, for multilabel targets, one dict per label.

    solver : {"adam", "sgd", "fista"}, default="adam"
        - "adam" and "sgd": stochastic steps on mini-batches.
        - "fista": accelerated proximal gradient on all samples at once, with a line search;
          exact, and best on small data. Takes no learning rate. A minimum in a kink of
          "relu" has no small residual: there it ends with a ConvergenceWarning.

    batch_size : int or "auto", default="auto"
        Samples per step of "adam" and "sgd"; "auto" is ``min(200, n_samples)``.

    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        Schedule of the learning rate, for "adam" and "sgd" alike.

        - "constant": `learning_rate_init` throughout.
        - "invscaling": `learning_rate_init` / (samples seen + 1)^`power_t`.
        - "adaptive": divided by 5 whenever `n_iter_no_change` epochs bring no gain, and
          training stops below 1e-6.

    learning_rate_init : float, default=0.001
        Initial learning rate of "adam" and "sgd".

    power_t : float, default=0.5
        Exponent of "invscaling".

    max_iter : int, default=200
        Most epochs (of "fista", iterations).

    shuffle : bool, default=True
        Whether to shuffle the samples in each epoch.

    random_state : int, RandomState instance or None, default=None
        Source of the initial weights, the validation split, the order of the samples and
        dropout. None draws fresh entropy; no global generator is touched. With the same
        seed a network starts from the weights of scikit-learn's ``MLP*``, and sees the same
        batches.

    tol : float, default=1e-4
        "adam" and "sgd" stop when the loss (or the validation score) has not improved by
        `tol` for more than `n_iter_no_change` epochs; "fista" when the optimality residual
        ‖w − prox(w − ∇L(w))‖∞ is at most `tol`.

    n_iter_no_change : int or inf, default=10
        Epochs without improvement that are put up with.

    early_stopping : bool, default=False
        Hold out `validation_fraction` of the samples, stop by their score, and end with the
        weights that scored best.

    validation_fraction : float, default=0.1
        Share held out by early stopping.

    warm_start : bool, default=False
        Begin the next `fit` from the weights of the last.

    momentum : float, default=0.9
        Momentum of "sgd".

    nesterovs_momentum : bool, default=True
        Nesterov's form of it.

    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay rates of the moment estimates of "adam".

    epsilon : float, default=1e-8
        Numerical stability of "adam".

    max_fun : int, default=15000
        Most evaluations of the loss by "fista".

    penalize_bias : bool, default=False
        Put the penalty on the biases too.

    dropout : float, default=0.0
        Share of each hidden layer's neurons zeroed at random in training.

    device : str, default="auto"
        Where to train and predict: "auto" takes CUDA when present, else the CPU.

    checkpoint : str, path-like or None, default=None
        File that `fit` keeps its state in while it trains, so that it survives being killed.
        It is replaced as a whole, and holds the state at the end when `fit` returns. Nothing
        in it is ever run (``weights_only=True``). Not with skorch `callbacks`, whose state
        cannot be saved; `partial_fit` and stacked searches leave it alone.

    checkpoint_interval : float, default=30.0
        Least number of seconds between two writes of `checkpoint`; 0 writes after every
        epoch.

    resume : bool, default=False
        Whether `fit` goes on from `checkpoint`, where that file exists; else it begins anew
        and overwrites it. The same call on the same data ends, on a CPU, with the very bits
        of a fit that was never interrupted. Only `max_iter`, `max_fun`, `device` and
        `verbose` may differ from those that the file was written with.

    callbacks : list of skorch callbacks or None, default=None
        They are copied, and see `net_`.

    verbose : bool or int, default=False
        Print loss and penalty of every epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; for multilabel targets the indices of the labels.

    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer; after `compact` those that are left.

    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer; after `compact` those that are left.

    sparsity_ : float
        Share of the penalized weights that are exactly zero.

    feature_importances_ : ndarray of shape (n_features_in_,)
        Sum over all paths from a feature to an output of the products of abs(weight).

    selected_features_ : ndarray of bool of shape (n_features_in_,)
        Which features reach an output at all.

    n_iter_ : int
        Epochs of the last call to `fit`.

    loss_curve_, data_loss_curve_, penalty_curve_ : list of float
        Objective, data loss and penalty by epoch; the first is the sum of the others. The
        data loss is the mean over the epoch's batches, the penalty that of the weights the
        epoch began with.

    loss_, best_loss_ : float
        Last and smallest entry of `loss_curve_`; `best_loss_` is None under early stopping.

    validation_scores_ : list of float or None
        Score on the held-out samples by epoch, under early stopping.

    best_validation_score_ : float or None
        The largest of them.

    t_ : int
        Samples seen in training, repeats counted.

    net_ : skorch.NeuralNet
        The trained net, with its module, optimizer and history.

    n_outputs_, n_layers_ : int
        Raw outputs and layers (input and output counted) of the network.

    out_activation_ : str
        Link of the output: "logistic" or "softmax".

    n_features_in_ : int
        Features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has names that are all strings.

    Raises
    ------
    ValueError
        If parameters or data are out of range or contradict each other, or if training
        diverges.

    See Also
    --------
    RegularizedMLPRegressor : The same for regression.
    sklearn.neural_network.MLPClassifier : L2 only, without exact zeros.

    References
    ----------
    Parikh & Boyd, "Proximal Algorithms", 2014. Zou & Hastie, "Regularization and variable
    selection via the elastic net", 2005.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skreg import RegularizedMLPClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = RegularizedMLPClassifier(
    ...     (20,), penalty="l1", alpha=0.01, learning_rate_init=0.01, random_state=0
    ... ).fit(scale(X), y)
    >>> print(f"{model.score(scale(X), y):.2f} with {model.selected_features_.sum()} of 30")
    0.98 with 16 of 30
    """

    _parameter_constraints: dict = {
        **BaseRegularizedMLP._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }

    _declared_classes: np.ndarray | None = None  # all there will be, if partial_fit was told

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        penalty: str | Penalty | None = "l2",
        alpha: float = DEFAULT_ALPHA,
        l1_ratio: float = DEFAULT_L1_RATIO,
        penalty_method: str = "proximal",
        class_weight: dict | list | str | None = None,
        solver: str = "adam",
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        n_iter_no_change: float = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        max_fun: int = 15000,
        penalize_bias: bool = False,
        dropout: float = 0.0,
        device: str = "auto",
        checkpoint: str | os.PathLike | None = None,
        checkpoint_interval: float = 30.0,
        resume: bool = False,
        callbacks: list | None = None,
        verbose: bool | int = False,
    ) -> None:
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            penalty=penalty,
            alpha=alpha,
            l1_ratio=l1_ratio,
            penalty_method=penalty_method,
            solver=solver,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            max_fun=max_fun,
            penalize_bias=penalize_bias,
            dropout=dropout,
            device=device,
            checkpoint=checkpoint,
            checkpoint_interval=checkpoint_interval,
            resume=resume,
            callbacks=callbacks,
            verbose=verbose,
        )
        self.class_weight = class_weight

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> RegularizedMLPClassifier:
        """Fit the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            float32 and float64 are kept, and are the precision of the network; other types
            become float64. Sparse rows are made dense a batch at a time.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or a 0/1 indicator matrix for multilabel targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative. Only their ratios matter; weight 0 is the same as leaving out.

        Returns
        -------
        self : RegularizedMLPClassifier
        """
        self._declared_classes = None
        self._fit(X, y, sample_weight)
        return self

    @available_if(solver_is_stochastic)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> RegularizedMLPClassifier:
        """Train for one epoch on these samples, going on from where training stands.

        Between two calls `penalty`, `alpha`, `l1_ratio`, `batch_size`, `shuffle` and `device`
        may change; the other parameters count as they were in the first call.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        sample_weight : array-like of shape (n_samples,), default=None
            Relative to the other samples of the same call.
        classes : array-like of shape (n_classes,), default=None
            All classes there will ever be; required in the first call and optional after.

        Returns
        -------
        self : RegularizedMLPClassifier
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit sees a part of the data at a time, and class_weight='balanced' "
                "needs all of it. Give the weights as a dict: sklearn.utils.class_weight."
                "compute_class_weight finds them."
            )
        if _check_partial_fit_first_call(self, classes):
            self._declared_classes = self.classes_
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        return self._decode(self._raw_predict(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            One column per entry of `classes_`; for multilabel targets the probability of
            each label.
        """
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict log-probabilities, accurate where the probability itself rounds to 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        raw = self._raw_predict(X)
        loss: Any = self.net_.criterion_
        if self._multilabel or isinstance(loss, Multinomial):
            return loss.log_predict(raw).numpy()
        if len(self.classes_) == 1:
            return np.zeros((len(raw), 1), dtype=self._dtype)
        return np.hstack([loss.log_predict(-raw).numpy(), loss.log_predict(raw).numpy()])

    def _make_loss(self) -> Loss:
        return Multinomial() if len(self.classes_) > 2 and not self._multilabel else Logistic()

    def _encode_target(self, y: np.ndarray, dtype: np.dtype, *, resume: bool) -> np.ndarray:
        # Numbers too large for integers are no labels, which is said without numpy's warning.
        with np.errstate(invalid="ignore"):
            check_classification_targets(y)
        multilabel = type_of_target(y, input_name="y") == "multilabel-indicator"
        if not multilabel:
            y = column_or_1d(y, warn=True)
        if not resume:
            self._multilabel = multilabel
            if self._declared_classes is None:
                self.classes_ = np.arange(y.shape[1]) if multilabel else _sorted_labels(y)
        elif multilabel != self._multilabel:
            raise ValueError(
                "y changed between multilabel and single labels since the first fit. Set "
                "warm_start=False and call fit to start anew."
            )
        if multilabel:
            return y.astype(dtype, copy=False)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y has classes {unknown} that are not in classes_={self.classes_}. Name all "
                f"classes in the first call of partial_fit, or set warm_start=False and call "
                f"fit to start anew."
            )
        codes = np.searchsorted(self.classes_, y).reshape(-1, 1)
        return codes if len(self.classes_) > 2 else codes.astype(dtype)

    def _count_outputs(self, target: np.ndarray) -> int:
        if self._multilabel:
            return target.shape[1]
        return len(self.classes_) if len(self.classes_) > 2 else 1

    def _weigh_samples(
        self, y: np.ndarray, sample_weight: np.ndarray | None
    ) -> np.ndarray | None:
        if self.class_weight is None:
            return sample_weight
        if isinstance(self.class_weight, dict) and not self._multilabel:
            # Of all classes, not of those in y: a batch of partial_fit may lack some.
            unknown = set(self.class_weight).difference(self.classes_.tolist())
            if unknown:
                raise ValueError(
                    f"class_weight has labels {sorted(unknown, key=str)} that are not in "
                    f"classes_={self.classes_}. Leave them out."
                )
            weights = np.array([self.class_weight.get(c, 1.0) for c in self.classes_.tolist()])
            by_class = weights[np.searchsorted(self.classes_, np.ravel(y))]
        else:
            by_class = compute_sample_weight(self.class_weight, y)
        return by_class if sample_weight is None else by_class * sample_weight

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        return None if self._multilabel else y

    def _decode(self, raw: Tensor) -> np.ndarray:
        if self._multilabel:
            return (raw > 0).long().cpu().numpy()
        if raw.shape[1] > 1:
            codes = raw.argmax(1).cpu().numpy()
        else:
            # With a single class the network has nothing to choose from.
            codes = np.minimum((raw[:, 0] > 0).long().cpu().numpy(), len(self.classes_) - 1)
        return self.classes_[codes]

    def _score_predictions(
        self, y: np.ndarray, predictions: np.ndarray, sample_weight: np.ndarray | None
    ) -> float:
        return accuracy_score(y, predictions, sample_weight=sample_weight)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
