"""The regressor: squared error and its robust, count and quantile kin, with the penalty.

>>> from sklearn.datasets import load_diabetes
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> from skreg import RegularizedMLPRegressor
>>> X, y = load_diabetes(return_X_y=True)
>>> model = make_pipeline(
...     StandardScaler(),
...     RegularizedMLPRegressor((), penalty="l1", alpha=2.0, solver="fista"),
... ).fit(X, y)
>>> model[-1].selected_features_.sum()           # of ten: a lasso, exact zeros and all
np.int64(7)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from skreg.estimators.mlp import BaseRegularizedMLP
from skreg.estimators.regression import RegressionMixin
from skreg.losses import Loss
from skreg.penalties import Penalty
from skreg.penalties.by_name import DEFAULT_ALPHA, DEFAULT_L1_RATIO


class RegularizedMLPRegressor(RegressionMixin, BaseRegularizedMLP):
    """Multi-layer perceptron regressor with L1, L2 or elastic-net penalized weights.

    The objective, over weights W and biases, is ::

        sum_i s_i l(y_i, f(x_i)) / sum_i s_i  +  alpha * Omega(W)

    with sample weights s_i, 1 by default; l the `loss`, for squared error
    ``1/2 ||y - f||^2`` summed over outputs; and ::

        Omega(W) = l1_ratio * sum |w| + (1 - l1_ratio) / 2 * sum w^2

    for the elastic net, of which L1 (`l1_ratio=1`) and L2 (`l1_ratio=0`) are the ends. With
    ``hidden_layer_sizes=()`` it is ``Lasso(alpha)``, ``ElasticNet(alpha, l1_ratio)`` or
    ``Ridge(n_samples * alpha)``.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int or int, default=(100,)
        Neurons of each hidden layer; ``()`` is a linear model.

    activation : {"identity", "logistic", "tanh", "relu"}, default="relu"
        Activation of the hidden layers.

    penalty : str, Penalty or None, default="l2"
        What is put on the weights: "l1", "l2", "elasticnet", "group_lasso",
        "sparse_group_lasso", "mcp", "scad", "group_mcp" or "group_scad". An object of
        :mod:`skreg.penalties` may bring its own strength, as in ``L1(alpha=0.01)``; what it
        leaves at None it takes from `alpha` and `l1_ratio`. None is the unpenalized network.

    alpha : float, default=1e-4
        Strength λ of the penalty. It is divided neither by the number of samples nor by the
        batch size: for the `alpha` of scikit-learn's ``MLP*`` on n samples in one batch,
        use ``alpha / n``.

    l1_ratio : float, default=0.5
        Share of L1 in the elastic net, between 0 (L2) and 1 (L1), and in the sparse group
        lasso. Only used with ``penalty="elasticnet"``, ``"sparse_group_lasso"`` or a penalty
        object that takes one.

    penalty_method : {"proximal", "subgradient", "decoupled"}, default="proximal"
        How the penalty enters a step.

        - "proximal": a gradient step on the data loss, then the penalty's proximal operator
          in the optimizer's own metric. Gives exact zeros and solves the objective above.
        - "subgradient": the penalty's gradient (sign(0) = 0) is added to that of the loss,
          as in a hand-written loop. Gives no exact zeros. With L2 and Adam this is torch's
          ``Adam(weight_decay=alpha)`` on the weights.
        - "decoupled": weights are scaled by 1 − learning rate · alpha, as in ``AdamW``; L2
          only. It is another problem than the objective above.

    loss : {"squared_error", "absolute_error", "huber", "poisson", "quantile"} or callable, \
            default="squared_error"
        Loss per sample. :class:`skreg.losses.Huber` and :class:`skreg.losses.Quantile` take
        their parameter as objects, as in ``loss=Quantile(0.9)``. "poisson" predicts exp(f).
        A callable ``loss(y_pred, y_true)`` takes tensors of shape (n_samples, n_outputs)
        and returns one value per sample.

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
        - "invscaling": `learning_rate_init` / (samples seen + 1) to the power of `power_t`.
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
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer; after `compact` those that are left.

    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer; after `compact` those that are left.

    sparsity_ : float
        Share of the penalized weights that are exactly zero.

    feature_importances_ : ndarray of shape (`n_features_in_`,)
        Sum over all paths from a feature to an output of the products of abs(weight).

    selected_features_ : ndarray of bool of shape (`n_features_in_`,)
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
        Link of the output: "identity", or "exp" for Poisson.

    n_features_in_ : int
        Features seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where X has names that are all strings.

    Raises
    ------
    ValueError
        If parameters or data are out of range or contradict each other, or if training
        diverges. A call that fails, in whatever way, leaves the estimator as it was.

    See Also
    --------
    RegularizedMLPClassifier : The same for classification.
    sklearn.neural_network.MLPRegressor : L2 only, without exact zeros.

    References
    ----------
    Parikh & Boyd, "Proximal Algorithms", 2014. Zou & Hastie, "Regularization and variable
    selection via the elastic net", 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.base import clone
    >>> from skreg import RegularizedMLPRegressor
    >>> X = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)
    >>> y = np.maximum(X[:, 0], X[:, 1])                    # eight of ten inputs are noise
    >>> model = RegularizedMLPRegressor(
    ...     (20,), penalty="l2", learning_rate_init=0.02, max_iter=1000, random_state=0
    ... )
    >>> dense = model.fit(X, y)
    >>> sparse = clone(model).set_params(penalty="l1", alpha=0.01).fit(X, y)
    >>> dense.sparsity_
    0.0
    >>> sparse.selected_features_
    array([ True,  True, False, False, False, False, False, False, False,
           False])
    """

    _parameter_constraints: dict = {
        **BaseRegularizedMLP._parameter_constraints,
        **RegressionMixin._parameter_constraints,
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        penalty: str | Penalty | None = "l2",
        alpha: float = DEFAULT_ALPHA,
        l1_ratio: float = DEFAULT_L1_RATIO,
        penalty_method: str = "proximal",
        loss: str | Loss | Callable[[Tensor, Tensor], Tensor] = "squared_error",
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
        self.loss = loss
