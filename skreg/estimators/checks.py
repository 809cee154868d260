"""What scikit-learn's checks leave open: sizes, devices, generators, weights of zero.

And warnings that point where a user can do something about them.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import assert_all_finite, check_random_state
from sklearn.utils.validation import _check_sample_weight

from skreg.penalties import Penalty
from skreg.training.runtime import warn_caller

# The loss of an epoch is measured before its steps: of the last one's, nobody knows yet.
ENDED_NOT_FINITE = (
    "Training diverged in its last epoch: the loss is not finite. To cure it, lower "
    "learning_rate_init, scale the columns of X (StandardScaler) and y "
    "(TransformedTargetRegressor), or look for extreme values in them."
)

# Numbers that take longer to read than a second thread to wake.
_LONG_TO_READ = 2**20

# The weights of two such layers are more than an index of 64 bits counts.
_MOST_NEURONS = 2**31


def check_hidden_layer_sizes(sizes: Any) -> tuple[int, ...]:
    sizes = tuple(sizes) if np.ndim(sizes) else (sizes,)
    if not all(isinstance(size, Integral) and int(size) > 0 for size in sizes):
        raise ValueError(
            f"hidden_layer_sizes must be positive integers, got {sizes}. Use () for a linear "
            f"model."
        )
    if any(int(size) > _MOST_NEURONS for size in sizes):
        raise ValueError(
            f"hidden_layer_sizes must not exceed {_MOST_NEURONS} neurons a layer, got {sizes}."
        )
    return tuple(int(size) for size in sizes)


def check_takes_alpha(estimator: Any, caller: str, instead: str) -> None:
    """Raise TypeError where a network chooses its alpha itself, and cannot be given one."""
    if "alpha" not in estimator.get_params(deep=False):
        name = type(estimator).__name__
        raise TypeError(
            f"{caller} sets the alpha of a network, and {name} chooses its own. Give a "
            f"RegularizedMLPRegressor or RegularizedMLPClassifier. {instead}"
        )


def name_of_alpha(estimator: Any) -> str:
    """The parameter that holds the strength: the estimator's, or that of its penalty object."""
    penalty = estimator.penalty
    is_given = isinstance(penalty, Penalty) and penalty.alpha is not None
    return "penalty__alpha" if is_given else "alpha"


def resolve_device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(
            f"device={device!r} is none that torch knows. Use 'auto', 'cpu' or 'cuda'."
        ) from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device={device!r}, but torch finds no CUDA. Use device='auto' to take a GPU "
            f"where there is one."
        )
    return device


def private_random_state(random_state: Any) -> np.random.RandomState:
    # Unlike scikit-learn's, None is fresh entropy: numpy's global generator is left alone.
    return np.random.RandomState() if random_state is None else check_random_state(random_state)


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def densify(y: Any) -> np.ndarray:
    return y.toarray() if hasattr(y, "toarray") else y


def check_finite(estimator: Any, X: Any) -> None:
    """Raise ValueError as scikit-learn does where X, checked but for that, is not finite.

    Where only a tenth of many columns are read, scikit-learn's pass over X takes a third of
    ``predict``.
    """
    values = X.data if issparse(X) else X
    if values.dtype.kind != "f":
        return
    if torch_reads_faster(values):
        total = torch.from_numpy(values).sum().item()
    else:
        with np.errstate(over="ignore"):
            total = values.sum()
    if not np.isfinite(total):
        assert_all_finite(X, estimator_name=type(estimator).__name__, input_name="X")


def torch_reads_faster(array: np.ndarray) -> bool:
    """Whether it is worth to read an array on as many threads as torch has, and possible.

    It warns of memory that is read-only, and cannot read backwards.
    """
    readable = array.flags.writeable and min(array.strides, default=0) >= 0
    return readable and array.size >= _LONG_TO_READ


def check_weights(sample_weight: Any, X: Any) -> np.ndarray:
    """Return sample weights in float64, the largest of them between 1/2 and 1."""
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    # Only their ratios matter, and so their sum cannot overflow. A power of two changes no bit.
    _, exponent = np.frexp(weights.max(initial=0.0))
    return np.ldexp(weights, -exponent)


def validation_split(
    n_samples: int,
    fraction: float,
    random_state: np.random.RandomState,
    stratify: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train on, and those that early stopping holds out to validate on."""
    too_few = (
        f"validation_fraction={fraction} of {n_samples} samples leaves too few to validate on. "
        f"Increase it, give more data, or set early_stopping=False."
    )
    try:
        train, valid = train_test_split(
            np.arange(n_samples),
            test_size=fraction,
            random_state=random_state,
            stratify=stratify,
        )
    except ValueError as error:
        raise ValueError(f"{too_few} ({error})") from error
    if len(valid) < 2:
        raise ValueError(too_few)
    return train, valid


def drop_weightless(
    X: Any, y: np.ndarray, target: np.ndarray, sample_weight: np.ndarray | None
) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray | None]:
    """Leave out rows of weight 0, so that they are exactly as good as removed."""
    if sample_weight is None or sample_weight.all():
        return X, y, target, sample_weight
    rows = np.flatnonzero(sample_weight)
    if not len(rows):
        raise ValueError(
            "sample_weight (times class_weight) is zero for every sample: nothing is left to "
            "train on. Give at least one sample a positive weight."
        )
    return X[rows], y[rows], target[rows], sample_weight[rows]


def cast_target(y: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return `y` in the precision of the network, (n_samples, n_outputs)."""
    with np.errstate(over="ignore"):
        target = y.reshape(len(y), -1).astype(dtype, copy=False)
    if not np.isfinite(target).all():
        raise ValueError(
            f"y has values beyond the range of {np.dtype(dtype).name}, the precision of X and "
            f"so of the network. Scale y, or give X as float64."
        )
    return target


def warn_not_optimal(estimator: Any, residual: float, allowed: float) -> None:
    """Warn where training ended this far from optimal, and say what helps."""
    net = estimator.net_
    if net.converged_.all():
        warn_caller(
            f"Training stopped in epoch {net.n_epochs_}, where the loss no longer "
            f"improved, but far from the optimum: the optimality residual is "
            f"{residual:.2g}, and columns of unit size would have at most {allowed:.2g}. "
            f"Scale the columns of X (StandardScaler).",
            ConvergenceWarning,
        )
        return
    limit = f"max_iter={estimator.max_iter} epochs"
    if net.n_epochs_ < estimator.max_iter:
        limit = f"max_fun={estimator.max_fun} evaluations"
    faster = "" if estimator._solver.line_search else ", raise learning_rate_init"
    warn_caller(
        f"Training stopped after {limit} without having converged: the optimality "
        f"residual is {residual:.2g}, tol={estimator.tol:.2g}. Increase the limit{faster}, or "
        f"scale the data.",
        ConvergenceWarning,
    )
