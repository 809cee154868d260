"""Synthetic data of which it is known which features matter, and how.

On real data nobody can say whether a selection of features is right. Here the first
`n_informative` columns (shuffled among the others) make the target and the rest is noise that
may be correlated with them. The target is not linear: a linear model finds some of the
features, and has no way to fit the others.
"""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params

__all__ = ["make_sparse_classification", "make_sparse_regression"]

_CONSTRAINTS: dict = {
    "n_samples": [Interval(Integral, 1, None, closed="left")],
    "n_features": [Interval(Integral, 1, None, closed="left")],
    "n_informative": [Interval(Integral, 1, None, closed="left")],
    "noise": [Interval(Real, 0, None, closed="left")],
    "correlation": [Interval(Real, 0, 1, closed="left")],
    "random_state": ["random_state"],
}


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def make_sparse_regression(
    n_samples: int = 100,
    n_features: int = 100,
    *,
    n_informative: int = 10,
    noise: float = 0.1,
    correlation: float = 0.0,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Make a nonlinear regression problem in which few features matter.

    The target is, over the informative features z in turn, a sum of :math:`z`,
    :math:`\max(z, 0)`, :math:`|z|`, :math:`\tanh 2z`, each with a random sign and a scale
    between 1 and 2, and of products of neighbouring pairs, half as large; centred, divided
    by its standard deviation, with noise added.

    Parameters
    ----------
    n_samples, n_features : int, default=100
        Size of the table.
    n_informative : int, default=10
        Features that the target depends on.
    noise : float, default=0.1
        Standard deviation of the noise, where that of the target without it is 1.
    correlation : float, default=0.0
        Correlation ρ of neighbouring columns; columns j apart have ρʲ. In [0, 1).
    random_state : int, RandomState instance or None, default=None
        Source of the data.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Columns of mean 0 and variance 1.
    y : ndarray of shape (n_samples,)
    support : ndarray of bool of shape (n_features,)
        Which features the target depends on.

    Raises
    ------
    ValueError
        If there are more informative features than features.

    Examples
    --------
    >>> from skreg.datasets import make_sparse_regression
    >>> X, y, support = make_sparse_regression(100, 2000, correlation=0.5, random_state=0)
    >>> X.shape, int(support.sum())
    ((100, 2000), 10)
    """
    if n_informative > n_features:
        raise ValueError(
            f"n_informative={n_informative} is more than n_features={n_features}. Lower it, or "
            f"make more features."
        )
    rng = check_random_state(random_state)
    X = rng.normal(size=(n_samples, n_features))
    for column in range(1, n_features if correlation else 0):
        X[:, column] *= np.sqrt(1 - correlation**2)
        X[:, column] += correlation * X[:, column - 1]
    support = np.zeros(n_features, dtype=bool)
    support[rng.permutation(n_features)[:n_informative]] = True
    signal = _signal(X[:, support], rng)
    return X, signal + noise * rng.normal(size=n_samples), support


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def make_sparse_classification(
    n_samples: int = 100,
    n_features: int = 100,
    *,
    n_informative: int = 10,
    noise: float = 0.1,
    correlation: float = 0.0,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make a nonlinear problem of two classes in which few features matter.

    The classes are the signs of what :func:`make_sparse_regression` makes.

    Parameters
    ----------
    n_samples, n_features, n_informative, noise, correlation, random_state
        As in :func:`make_sparse_regression`.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
        0 or 1.
    support : ndarray of bool of shape (n_features,)
        Which features the classes depend on.

    Raises
    ------
    ValueError
        If there are more informative features than features.

    Examples
    --------
    >>> from skreg.datasets import make_sparse_classification
    >>> X, y, support = make_sparse_classification(random_state=0)
    >>> sorted(set(y.tolist()))
    [0, 1]
    """
    X, target, support = make_sparse_regression(
        n_samples,
        n_features,
        n_informative=n_informative,
        noise=noise,
        correlation=correlation,
        random_state=random_state,
    )
    return X, (target > 0).astype(int), support


def _signal(Z: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    shapes = (
        lambda z: z,
        lambda z: np.maximum(z, 0),
        np.abs,
        lambda z: np.tanh(2 * z),
    )
    signal = np.zeros(len(Z))
    for number, z in enumerate(Z.T):
        scale = rng.uniform(1, 2) * rng.choice([-1, 1])
        signal += scale * shapes[number % len(shapes)](z)
    for left, right in zip(Z.T[:-1:2], Z.T[1::2], strict=True):
        signal += 0.5 * left * right
    signal -= signal.mean()
    return signal / max(signal.std(), np.finfo(float).tiny)
