"""The table of solvers: which settings each takes from an estimator, and what it cannot do.

How a solver steps is said in :mod:`skreg.optim`, by a class of which a row here is made. The
class says too whether it steps on batches or on all rows at once (`full_batch`; then `max_fun`
bounds its evaluations of the loss and `tol` its optimality residual), and whether it has a
learning rate or a `line_search`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from skreg.losses import Loss
from skreg.optim import ProximalAdam, ProximalSGD
from skreg.optim.base import PENALTY_METHODS
from skreg.optim.fista import FISTA


@dataclass(frozen=True)
class Solver:
    """A solver as the estimators have it.

    Attributes
    ----------
    optimizer : class
        Of :mod:`skreg.optim`.
    settings : dict of str to str or tuple of str
        Of the optimizer, by which attributes of an estimator they are.
    penalty_methods : tuple of str
        Ways in which a penalty may enter its steps.
    needs_smooth_loss : bool
        Whether it cannot do with a loss that has kinks.
    needs_fixed_loss : bool
        Whether the loss must be the same whenever it is evaluated: without dropout or batch
        normalization.
    """

    optimizer: Any
    settings: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    penalty_methods: tuple[str, ...] = PENALTY_METHODS
    needs_smooth_loss: bool = False
    needs_fixed_loss: bool = False

    @property
    def full_batch(self) -> bool:
        """Whether each step is on all rows."""
        return self.optimizer.full_batch

    @property
    def line_search(self) -> bool:
        """Whether it finds its steps by itself, and has no learning rate."""
        return self.optimizer.line_search

    def make(self, estimator: Any) -> partial:
        """Return what makes the optimizer of parameter groups."""
        settings = {
            name: tuple(getattr(estimator, part) for part in source)
            if isinstance(source, tuple)
            else getattr(estimator, source)
            for name, source in self.settings.items()
        }
        return partial(self.optimizer, **settings)

    def check_penalty_method(self, method: str) -> None:
        """Raise ValueError where a penalty cannot enter the steps in this way."""
        if method not in self.penalty_methods:
            methods = " or ".join(map(repr, self.penalty_methods))
            others = _solvers(lambda solver: method in solver.penalty_methods)
            raise ValueError(
                f"solver={self.optimizer.name!r} takes a penalty by "
                f"penalty_method={methods}, but penalty_method={method!r}. Use that, or "
                f"solver={others}."
            )

    def check_loss(self, loss: Loss, varying: str) -> None:
        """Raise ValueError where it cannot minimize the loss; `varying`: why that varies."""
        if self.needs_smooth_loss and not loss.smooth:
            others = _solvers(lambda solver: not solver.needs_smooth_loss)
            raise ValueError(
                f"solver={self.optimizer.name!r} needs a smooth loss, and {loss} has kinks. "
                f"Use loss='huber' or solver={others}."
            )
        if self.needs_fixed_loss and varying:
            others = _solvers(lambda solver: not solver.needs_fixed_loss)
            raise ValueError(
                f"solver={self.optimizer.name!r} needs a loss that stays the same between "
                f"evaluations, but {varying}. Leave that out, or use solver={others}."
            )


_SHARED = {"lr": "learning_rate_init", "penalty_method": "penalty_method"}

SOLVERS = {
    "adam": Solver(
        ProximalAdam,
        {**_SHARED, "betas": ("beta_1", "beta_2"), "eps": "epsilon", "stacked": "_joinable"},
    ),
    "sgd": Solver(
        ProximalSGD, {**_SHARED, "momentum": "momentum", "nesterov": "nesterovs_momentum"}
    ),
    "fista": Solver(
        FISTA,
        penalty_methods=("proximal",),
        needs_smooth_loss=True,
        needs_fixed_loss=True,
    ),
}


def _solvers(suit: Callable[[Solver], bool]) -> str:
    """The names of those that suit, for a message."""
    return " or ".join(repr(name) for name, solver in SOLVERS.items() if suit(solver))


def free_settings(name: str) -> set[str]:
    """Return parameters of solvers in which the members of a stack under this one may differ.

    Those that it does not read are among them.

    Examples
    --------
    >>> from skreg.estimators.solvers import free_settings
    >>> [name for name in ("adam", "sgd") if "beta_1" in free_settings(name)]
    ['sgd']
    """
    solver = SOLVERS.get(name)
    if solver is None:
        return set()
    fixed = {k: v for k, v in solver.settings.items() if k not in solver.optimizer.per_member}
    return _sources(*(each.settings for each in SOLVERS.values())) - _sources(fixed)


def _sources(*settings: Mapping[str, str | tuple[str, ...]]) -> set[str]:
    values = [value for each in settings for value in each.values()]
    return {part for v in values for part in (v if isinstance(v, tuple) else (v,))}


def takes_batches(estimator: Any) -> bool:
    """Whether the solver trains on a part of the rows; AttributeError where it does not."""
    solver = SOLVERS.get(estimator.solver)
    if solver is None or solver.full_batch:
        raise AttributeError(
            f"partial_fit takes one pass of stochastic steps, but solver={estimator.solver!r} "
            f"needs all data at once. Use solver={_solvers(lambda row: not row.full_batch)}."
        )
    return True
