"""What the estimators share: from checked arrays to a trained net and back.

`fit` checks its input as scikit-learn does, turns it into tensors on the device, hands them
to the net and publishes what came of it. Nothing global is touched: initial weights, splits
and the order of the rows all come from a private generator.
"""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from operator import add
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import _fit_context, is_regressor
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils._tags import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from skreg._version import __version__
from skreg.estimators.callbacks import CallbackSupportMixin, fit_tasks
from skreg.estimators.checks import (
    ENDED_NOT_FINITE,
    check_finite,
    check_weights,
    densify,
    drop_weightless,
    private_random_state,
    resolve_device,
    to_numpy,
    validation_split,
    warn_not_optimal,
)
from skreg.estimators.parameters import NetworkParameters, parametrized
from skreg.estimators.resume import FitKeeper
from skreg.estimators.rollback import all_or_nothing
from skreg.estimators.solvers import SOLVERS, Solver, takes_batches
from skreg.losses import Loss
from skreg.penalties import L2
from skreg.training.data import FitJob, Shuffler, TensorData
from skreg.training.net import RegularizedNet
from skreg.training.progress import Progress
from skreg.training.runtime import threads_worth, warn_caller
from skreg.training.skorch_net import Decoder

_CURVES = ("data_loss_curve_", "penalty_curve_", "loss_curve_")


@parametrized
class BaseRegularizedNetwork(CallbackSupportMixin, NetworkParameters, ABC):
    """Fitting of a network, whatever it is and whatever it predicts.

    Attributes
    ----------
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
    n_features_in_ : int
        Features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where X has names that are all strings.

    Raises
    ------
    ValueError
        If parameters or data are out of range or contradict each other, or if training
        diverges. A call that fails, in whatever way, leaves the estimator as it was.

    References
    ----------
    Parikh & Boyd, "Proximal Algorithms", 2014.
    """

    #: Whether this fit gives an adaptive penalty its initial weights.
    _is_initial = False
    #: Whether several fits of one architecture can be trained as one stack.
    _joinable = False
    #: Whether a row may have more axes than one.
    _allow_nd = False

    # ------------------------------------------------------------------ of each network

    @abstractmethod
    def _make_module(self, X: Any, given: tuple[Any, Any, Any], incremental: bool) -> Any:
        """A new network for these rows, with initial weights; `given` is what `fit` was."""

    @abstractmethod
    def _check_continues(self, n_outputs: int) -> None:
        """Raise ValueError where training cannot go on from the fitted network."""

    @abstractmethod
    def _varying(self, module: Any) -> str:
        """Why the loss varies between evaluations, in words; empty where it does not."""

    @abstractmethod
    def _pick_inputs(self, X: Any) -> Any:
        """The columns of X that the network takes, as it takes them."""

    @abstractmethod
    def _make_penalty(self) -> Any:
        """The penalty that the parameters ask for, not bound to a network yet."""

    def _bound_to(self, module: Any) -> dict[str, Any]:
        """What a net needs to know to bind the penalty to the module."""
        return {}

    def _net_class(self) -> Callable[..., RegularizedNet]:
        return RegularizedNet

    def _initial_estimator(self) -> Any:
        """The unfitted estimator whose weights an adaptive penalty adapts to, if any."""
        return None

    # ------------------------------------------------------------------ of each target

    @abstractmethod
    def _make_loss(self) -> Loss:
        """The loss that the parameters and the targets ask for."""

    @abstractmethod
    def _encode_target(self, y: np.ndarray, dtype: np.dtype, *, resume: bool) -> np.ndarray:
        """Targets as the loss takes them, (n_samples, n_outputs); sets what `predict` needs."""

    @abstractmethod
    def _count_outputs(self, target: np.ndarray) -> int:
        """How many raw outputs the network has."""

    @abstractmethod
    def _decode(self, raw: Tensor) -> np.ndarray:
        """Predictions, in the shape and type that y came in, for raw outputs of one member."""

    @abstractmethod
    def _decode_target(self, target: Tensor) -> np.ndarray:
        """Targets as `_encode_target` gave them, as y was."""

    @abstractmethod
    def _score_predictions(
        self, y: np.ndarray, predictions: np.ndarray, sample_weight: np.ndarray | None
    ) -> float:
        """What `score` computes, from predictions."""

    def _weigh_samples(self, y: np.ndarray, sample_weight: Any) -> Any:
        """Sample weights, times those that the target adds."""
        return sample_weight

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        """Classes whose shares the validation split keeps, if any."""
        return None

    # ------------------------------------------------------------------ fitting

    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            float32 and float64 are kept, and are the precision of the network; other types
            become float64. Sparse rows are made dense a batch at a time.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Of a regressor, targets: `predict` gives back their shape. Of a classifier, class
            labels, or for multilabel targets an indicator matrix: 0, and 1 or another
            positive number for the labels that are there.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative. Only their ratios matter; weight 0 is the same as leaving out.

        Returns
        -------
        self : object
        """
        return self._fit(X, y, sample_weight)

    @available_if(takes_batches)
    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on these samples, going on from where training stands.

        Between two calls `penalty`, `alpha`, `l1_ratio`, `batch_size`, `shuffle` and `device`
        may change; the other parameters count as they were in the first call.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            Relative to the other samples of the same call.

        Returns
        -------
        self : object
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def _fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, incremental: bool = False
    ) -> Self:
        keeper = None if incremental else FitKeeper.of(self)
        with fit_tasks(self, X, y, 1 if incremental else self.max_iter) as next_task:
            job = self._prepare(X, y, sample_weight, incremental=incremental, keeper=keeper)
            self.net_.on_epoch, self.net_.keeper = next_task, keeper
            self.net_.decoder = Decoder(
                self._decode, self._decode_target, self._score_predictions
            )
            self._train(job, interruptible=True)
            self.net_.on_epoch = self.net_.decoder = self.net_.keeper = None
        return self

    def _prepare(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        incremental: bool = False,
        keeper: FitKeeper | None = None,
        names: np.ndarray | None = None,
    ) -> FitJob:
        """Check everything and make the net, ready to be trained alone or in a stack."""
        given = X, y, sample_weight
        resume = self.__sklearn_is_fitted__() and (incremental or self.warm_start)
        self._check_combinations(incremental)
        device = resolve_device(self.device)
        X, y, target, sample_weight = self._check_rows(*given, names, resume=resume)
        loss = self._make_loss()
        if not (resume and incremental):
            self._random_state = private_random_state(self.random_state)
        if keeper is not None:
            keeper.seed(self._random_state)
        if resume:
            self._check_continues(self._count_outputs(target))
            X = self._pick_inputs(X)
        else:
            self._dtype: np.dtype = X.dtype
            self.n_outputs_ = self._count_outputs(target)
            module = self._make_module(X, given, incremental)
        if resume and incremental:
            self.net_.move_to(device)
            self.net_.set_penalty(self._make_penalty(), **self._bound_to(self.net_.module_))
            self.net_.batch_size = self._batch_size(X.shape[0])
            self.net_.shuffle = self.shuffle
        else:
            previous = self.net_ if resume else None
            self.net_: RegularizedNet = self._make_net(
                previous.module_ if previous else module, loss, X.shape[0], device
            )
            if previous:
                self.net_.continue_curves(previous)
            for name in _CURVES:  # the curves of the last fit remain as they are
                setattr(self, name, list(getattr(self, name)) if previous else [])
        train, valid = self._split(X, y, target, sample_weight)
        if keeper is not None:
            keeper.recognize(train, self, resume=resume)
        return FitJob(train, valid, incremental=incremental)

    def _check_rows(
        self, X: Any, y: Any, sample_weight: Any, names: np.ndarray | None, *, resume: bool
    ) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray | None]:
        """Rows of positive weight, their targets as given and encoded, and their weights."""
        # Infinities of both signs are an error there; numpy would warn too.
        with np.errstate(invalid="ignore"):
            X, y = validate_data(
                self,
                X,
                y,
                accept_sparse="csr",
                dtype=self._dtype if resume else (np.float64, np.float32),
                multi_output=True,
                allow_nd=self._allow_nd,
                y_numeric=is_regressor(self),
                reset=not resume,
            )
        if names is not None:  # X has lost them on its way
            self.feature_names_in_ = names
        if sample_weight is not None:
            sample_weight = check_weights(sample_weight, X)
        y = densify(y)
        target = self._encode_target(y, X.dtype, resume=resume)
        self._make_loss().check_target(target)
        return drop_weightless(X, y, target, self._weigh_samples(y, sample_weight))

    def _train(self, job: FitJob, *, interruptible: bool = False) -> None:
        """Train the net that was prepared, and publish what came of it.

        Where it is `interruptible`, a KeyboardInterrupt leaves the best weights so far, with
        a warning; elsewhere it is raised.
        """
        with threads_worth(self.net_.multiplications(len(job.train))):
            try:
                self.net_.train_on(job.train, job.valid, epochs=1 if job.incremental else None)
            except KeyboardInterrupt:
                if not (interruptible and self.net_.interrupted_):
                    raise
            ending = (0.0, np.inf)
            if not (job.incremental or self.net_.interrupted_):
                ending = self.net_.closing_residual(job.train)
        if self.net_.interrupted_:
            warn_caller(
                f"Training was interrupted in epoch {len(self.net_.data_losses_) + 1}; the "
                f"estimator holds the best weights so far."
            )
        self._conclude(*ending)

    def _check_combinations(self, incremental: bool) -> None:
        """Raise ValueError where two parameters that are fine alone contradict each other."""
        made: Any = self._make_penalty()
        penalties = made.values() if isinstance(made, dict) else [made]
        all_l2 = all(isinstance(penalty, L2 | None) for penalty in penalties)
        if self.penalty_method == "decoupled" and not all_l2:
            raise ValueError(
                f"penalty_method='decoupled' is weight decay, an L2 penalty only, but "
                f"penalty={self.penalty!r}. Use penalty='l2' or penalty_method='proximal'."
            )
        if self.early_stopping and incremental:
            raise ValueError(
                "partial_fit does not support early_stopping=True: it sees a part of the data "
                "at a time. Set early_stopping=False or use fit."
            )
        self._solver.check_penalty_method(self.penalty_method)

    @property
    def _solver(self) -> Solver:
        return SOLVERS[self.solver]

    def _make_net(self, module: Any, loss: Loss, n_samples: int, device: str) -> RegularizedNet:
        solver = self._solver
        solver.check_loss(loss, self._varying(module))
        progress = Progress(
            module.n_members,
            learning_rate_init=self.learning_rate_init,
            learning_rate=self.learning_rate,
            power_t=self.power_t,
            tol=self.tol,
            # A full-batch solver stops at its optimality residual; with early stopping
            # patience is what ends the training there too.
            n_iter_no_change=np.inf
            if solver.full_batch and not self.early_stopping
            else self.n_iter_no_change,
        )
        return self._net_class()(
            module,
            loss,
            solver.make(self),
            penalty=self._make_penalty(),
            **self._bound_to(module),
            penalize_bias=self.penalize_bias,
            progress=progress,
            shufflers=[Shuffler(self._random_state)],
            batch_size=self._batch_size(n_samples),
            shuffle=self.shuffle,
            max_epochs=self.max_iter,
            max_fun=self.max_fun,
            callbacks=copy.deepcopy(self.callbacks),
            verbose=int(self.verbose),
            device=device,
        ).initialize()

    def _batch_size(self, n_samples: int) -> int:
        if self._solver.full_batch:
            return n_samples
        if isinstance(self.batch_size, str):
            return min(200, n_samples)
        if self.batch_size > n_samples:
            warn_caller(
                f"batch_size={self.batch_size} is larger than the {n_samples} samples there "
                f"are to train on, and is clipped to that."
            )
        return min(int(self.batch_size), n_samples)

    def _conclude(self, residual: float, allowed: float) -> None:
        """Publish what came of training that ended this far from optimal."""
        if np.isnan(residual):
            raise ValueError(ENDED_NOT_FINITE)
        if residual > allowed and not self._is_initial:
            warn_not_optimal(self, residual, allowed)
        self._publish()

    # ------------------------------------------------------------------ validation

    def _split(
        self, X: Any, y: np.ndarray, target: np.ndarray, sample_weight: np.ndarray | None
    ) -> tuple[TensorData, TensorData | None]:
        """Rows to train on, and under early stopping those to validate on."""
        if not self.early_stopping:
            return TensorData(X, target, sample_weight), None
        train, valid = validation_split(
            X.shape[0], self.validation_fraction, self._random_state, self._stratify(y)
        )
        weights = None if sample_weight is None else sample_weight[valid]
        self.net_.scorer = partial(self._score_raw, y[valid], weights)
        self.net_.batch_size = min(self.net_.batch_size, len(train))
        return (
            TensorData(X, target, sample_weight, rows=train),
            TensorData(X, target, sample_weight, rows=valid),
        )

    def _score_raw(
        self, y: np.ndarray, sample_weight: np.ndarray | None, raw: Tensor
    ) -> np.ndarray:
        """Validation scores of all members; minus infinity where predictions are not finite."""

        def score(member: Tensor) -> float:
            if not torch.isfinite(member).all():
                return -np.inf
            return self._score_predictions(y, self._decode(member), sample_weight)

        return np.array([score(member) for member in raw])

    # ------------------------------------------------------------------ fitted attributes

    def _publish(self) -> None:
        net = self.net_
        self.n_iter_ = net.n_epochs_
        self.out_activation_ = net.criterion_.out_activation
        self.t_ = net.progress.samples_seen
        n_known = len(self.loss_curve_)
        self._publish_curves()
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else np.nan
        early = self.early_stopping
        scores, best_score = [float(score[0]) for score in net.scores_], net.progress.best[0]
        self.validation_scores_ = scores if early else None
        self.best_validation_score_ = float(best_score) if early else None
        best = self.best_loss_ if n_known else None
        since = self.loss_curve_ if best is None else [best, *self.loss_curve_[n_known:]]
        self.best_loss_: float | None = None if early else min(since, default=np.nan)

    def _publish_curves(self) -> None:
        """Add the epochs since the last call to the curves."""
        first = len(self.loss_curve_)
        data_losses = [float(loss[0]) for loss in self.net_.data_losses_[first:]]
        penalties = [float(penalty[0]) for penalty in self.net_.penalties_[first:]]
        self.data_loss_curve_ += data_losses
        self.penalty_curve_ += penalties
        self.loss_curve_ += map(add, data_losses, penalties)

    @property
    def sparsity_(self) -> float:
        """Share of the penalized weights that are exactly zero."""
        penalized = [to_numpy(weight) for weight in self._fitted_net().penalized_weights()]
        zeros = sum(int((weight == 0).sum()) for weight in penalized)
        return zeros / max(1, sum(weight.size for weight in penalized))

    def __sklearn_is_fitted__(self) -> bool:
        return "net_" in vars(self)

    def _fitted_net(self) -> RegularizedNet:
        if not self.__sklearn_is_fitted__():
            # An AttributeError, so that hasattr tells fitted from unfitted.
            name = type(self).__name__
            raise AttributeError(f"This {name} is not fitted yet: call fit first.")
        return self.net_

    def __getstate__(self) -> dict[str, Any]:
        # The net has the curves, in fewer bytes.
        state = super().__getstate__() | {k: [] for k in _CURVES if k in vars(self)}
        if "_dtype" in state:
            # By its name: skops does not trust the type of numpy's types.
            state["_dtype"] = np.dtype(self._dtype).str
        return state | {"_skreg_version": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        version = state.pop("_skreg_version", "unknown")
        if version != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=f"{__version__} of skreg",
                    original_sklearn_version=f"{version} of skreg",
                ),
                stacklevel=2,
            )
        if "_dtype" in state:
            state["_dtype"] = np.dtype(state["_dtype"])
        super().__setstate__(state)
        if "loss_" in state:
            self._publish_curves()

    # ------------------------------------------------------------------ predicting

    def predict(self, X: Any) -> np.ndarray:
        """Predict the targets of a regressor, the class labels of a classifier.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of the shape that `y` had in `fit`
        """
        return self._decode(self._raw_predict(X))

    def _raw_predict(self, X: Any) -> Tensor:
        """Raw outputs on the host, shape (n_samples, n_outputs)."""
        check_is_fitted(self)
        X = validate_data(
            self,
            X,
            accept_sparse="csr",
            dtype=self._dtype,
            allow_nd=self._allow_nd,
            ensure_all_finite=False,
            reset=False,
        )
        check_finite(self, X)
        # Rows move to the device a batch at a time: predicting on more than the device
        # holds is no reason to fail.
        return self.net_.raw_outputs(TensorData(self._pick_inputs(X), None))[0].cpu()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
