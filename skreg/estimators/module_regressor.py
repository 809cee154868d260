"""The regressor for anybody's torch module."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from skreg.estimators.module import BaseRegularizedNet
from skreg.estimators.regression import RegressionMixin
from skreg.losses import Loss
from skreg.modules.penalized import Penalized
from skreg.penalties import Penalty
from skreg.penalties.by_name import DEFAULT_ALPHA, DEFAULT_L1_RATIO


class RegularizedNetRegressor(RegressionMixin, BaseRegularizedNet):
    """Regressor of any torch module, with penalized weights.

    The objective, over the module's parameters, is ::

        sum_i s_i l(y_i, f(x_i)) / sum_i s_i  +  alpha * Omega(W)

    as in :class:`RegularizedMLPRegressor`, where f is the module and W what is `penalized`.

    Parameters
    ----------
    module : class, torch.nn.Module or callable
        The network.

        - A class of modules is called with the ``module__name`` parameters, and with
          `n_features` and `n_outputs` if it has parameters of these names.
        - An instance is copied, and trained from the weights that it has.
        - A function is called as ``module(n_features, n_outputs)``, with the ``module__name``
          parameters as keywords.

        It takes a tensor of the dtype of X, of shape (n_samples, n_features), or
        (n_samples, ...) where X has more axes, and returns one tensor, of shape
        (n_samples, n_outputs), or (n_samples,) where y has one dimension.

    penalty : str, Penalty, dict or None, default="l2"
        What is put on the weights: "l1", "l2", "elasticnet", "group_lasso",
        "sparse_group_lasso", "mcp", "scad", "group_mcp" or "group_scad"; or a
        dict of penalties by name pattern, as in
        ``{"embed.*": L2(1e-3), "*.weight": L1(1e-4)}``: of the penalized parameters each
        gets that of the first pattern that fits its name, and what fits none gets none. An
        object of :mod:`skreg.penalties` may bring its own strength, as in
        ``L1(alpha=0.01)``; what it leaves at None it takes from `alpha` and `l1_ratio`.
        None is the unpenalized network.

    alpha : float, default=1e-4
        Strength λ of the penalty. It is divided neither by the number of samples nor by the
        batch size: for the `alpha` of scikit-learn's ``MLP*`` on n samples in one batch,
        use ``alpha / n``.

    l1_ratio : float, default=0.5
        Share of L1 in the elastic net, between 0 (L2) and 1 (L1), and in the sparse group
        lasso. Only used with ``penalty="elasticnet"``, ``"sparse_group_lasso"`` or a penalty
        object that takes one.

    penalized : str, list of str, callable or None, default=None
        What is penalized. None is a rule: the weights of linear, convolution, embedding,
        recurrent and attention layers, never biases or what belongs to a normalization. A
        name pattern as ``"*.weight"`` or ``"encoder.*"``, several, or a function
        ``penalized(name, parameter)`` that says yes or no, are taken at their word. Where
        there is a penalty and nothing to put it on, `fit` raises ValueError.

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
          exact, and best on small data. Takes no learning rate, and no module with dropout
          or batch normalization. A minimum in a kink of "relu" has no small residual: there
          it ends with a ConvergenceWarning.

    batch_size : int or "auto", default="auto"
        Samples per step of "adam" and "sgd"; "auto" is ``min(200, n_samples)``.
        With batch normalization it is raised by what it takes to leave no last batch of one
        row.

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
        what the module draws in training. None draws fresh entropy. Torch's global
        generator is lent to the module, seeded from here, and put back after.

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
        Put the penalty on the biases too, where `penalized` is None.

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

    **module__parameters
        Parameters of the module, as ``module__name=value``.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained module.

    penalized_parameters_ : list of str
        Names of its parameters that the penalty is put on.

    sparsity_ : float
        Share of the penalized weights that are exactly zero.

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

    n_outputs_ : int
        Raw outputs of the network.

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
    RegularizedMLPRegressor : For multi-layer perceptrons, and much faster there.
    RegularizedNetClassifier : The same for classification.

    References
    ----------
    Parikh & Boyd, "Proximal Algorithms", 2014.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from skreg import RegularizedNetRegressor
    >>> class Residual(torch.nn.Module):
    ...     def __init__(self, n_features, hidden=8):
    ...         super().__init__()
    ...         self.skip = torch.nn.Linear(n_features, 1)
    ...         self.bend = torch.nn.Sequential(
    ...             torch.nn.Linear(n_features, hidden),
    ...             torch.nn.BatchNorm1d(hidden),
    ...             torch.nn.ReLU(),
    ...             torch.nn.Linear(hidden, 1),
    ...         )
    ...
    ...     def forward(self, x):
    ...         return self.skip(x) + self.bend(x)
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = RegularizedNetRegressor(
    ...     Residual, module__hidden=4, penalty="l1", alpha=0.05, learning_rate_init=0.02,
    ...     random_state=0,
    ... ).fit(scale(X), scale(y))
    >>> model.penalized_parameters_                     # the rule: no bias, no normalization
    ['skip.weight', 'bend.0.weight', 'bend.3.weight']
    >>> bool(model.sparsity_ > 0.3), bool(model.score(scale(X), scale(y)) > 0.45)
    (True, True)
    """

    _parameter_constraints: dict = {
        **BaseRegularizedNet._parameter_constraints,
        **RegressionMixin._parameter_constraints,
    }

    def __init__(
        self,
        module: Any,
        *,
        penalty: str | Penalty | dict | None = "l2",
        alpha: float = DEFAULT_ALPHA,
        l1_ratio: float = DEFAULT_L1_RATIO,
        penalized: Penalized = None,
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
        device: str = "auto",
        checkpoint: str | os.PathLike | None = None,
        checkpoint_interval: float = 30.0,
        resume: bool = False,
        callbacks: list | None = None,
        verbose: bool | int = False,
        **module__parameters: Any,
    ) -> None:
        super().__init__(
            module=module,
            penalty=penalty,
            alpha=alpha,
            l1_ratio=l1_ratio,
            penalized=penalized,
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
            device=device,
            checkpoint=checkpoint,
            checkpoint_interval=checkpoint_interval,
            resume=resume,
            callbacks=callbacks,
            verbose=verbose,
            module_parameters=module__parameters,
        )
        self.loss = loss
