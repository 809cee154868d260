"""When a member slows down and when it is done: scikit-learn's rules, one state per member.

After every epoch a member has one number, its merit: minus the training loss, or the
validation score under early stopping. A merit that has not grown by `tol` for more than
`n_iter_no_change` epochs ends the training, or with an adaptive learning rate cuts the rate
to a fifth. So does a loss that is no longer finite, a few times, before it is an error.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

# scikit-learn's: an adaptive rate below this one stops instead of slowing down further.
_SLOWEST = 1e-6
_SLOW_DOWN = 5.0

# A rate 5⁵ = 3,125 times too large is no slip: then the data or the loss is at fault.
MAX_RESCUES = 5


class Progress:
    """Learning rates, best merits and patience of the members of a stack.

    `learning_rate_init` and `tol` may be one for each member. ``"invscaling"`` divides the
    initial rate by (samples seen + 1)^power_t; ``"adaptive"`` divides it by 5 where training
    would stop.

    Each member has its rate now (`learning_rates`), its `best` merit so far, the number of
    epochs that this has `stalled`, and whether it is `running`. `rescues` counts how often
    training diverged and went on at a lower rate.

    >>> progress = Progress(2, learning_rate_init=0.1, tol=0.01, n_iter_no_change=1)
    >>> for merits in ([-1.0, -1.0], [-1.0, -0.9], [-1.0, -0.8]):
    ...     improved = progress.update(merits, n_samples=10)
    >>> progress.running                      # the first has stood still for two epochs
    array([False,  True])
    """

    _PER_MEMBER = ("learning_rate_init", "tol", "learning_rates", "best", "stalled", "running")

    def __init__(
        self,
        n_members: int,
        *,
        learning_rate_init: float | np.ndarray,
        tol: float | np.ndarray,
        n_iter_no_change: float,
        learning_rate: str = "constant",
        power_t: float = 0.5,
    ) -> None:
        self.learning_rate_init = np.full(n_members, learning_rate_init, dtype=float)
        self.learning_rate = learning_rate
        self.power_t = power_t
        self.tol = np.full(n_members, tol, dtype=float)
        self.n_iter_no_change = n_iter_no_change
        self.learning_rates = self.learning_rate_init.copy()
        self.best = np.full(n_members, -np.inf)
        self.stalled = np.zeros(n_members, dtype=int)
        self.running = np.ones(n_members, dtype=bool)
        self.samples_seen = 0
        self.rescues = 0

    def update(self, merits: np.ndarray | list[float], n_samples: int) -> np.ndarray:
        """Take in the merits of one epoch over `n_samples` rows.

        Returns which members are better than ever, bool of shape (n_members,).
        """
        merits = np.asarray(merits, dtype=float)
        self.samples_seen += n_samples
        # As scikit-learn counts: any gain moves the best, only a gain of `tol` resets patience.
        self.stalled = np.where(merits < self.best + self.tol, self.stalled + 1, 0)
        improved = merits > self.best
        self.best = np.where(improved, merits, self.best)

        if self.learning_rate == "invscaling":
            decay = (self.samples_seen + 1.0) ** self.power_t
            self.learning_rates = self.learning_rate_init / _SLOW_DOWN**self.rescues / decay
        out_of_patience = self.stalled > self.n_iter_no_change
        if self.learning_rate == "adaptive":
            slower = out_of_patience & (self.learning_rates > _SLOWEST)
            self.learning_rates = np.where(
                slower, self.learning_rates / _SLOW_DOWN, self.learning_rates
            )
            self.stalled = np.where(slower, 0, self.stalled)
            out_of_patience &= ~slower
        self.running &= ~out_of_patience
        return improved

    @classmethod
    def join(cls, members: Sequence[Progress]) -> Progress:
        """Return the progress of a stack of members that have not begun yet."""
        joined = copy.copy(members[0])
        for name in cls._PER_MEMBER:
            setattr(joined, name, np.concatenate([getattr(m, name) for m in members]))
        return joined

    def select(self, members: Sequence[int]) -> Progress:
        """Return the progress of some of the members, from where they stand."""
        selected = copy.copy(self)
        for name in self._PER_MEMBER:
            setattr(selected, name, getattr(self, name)[list(members)])
        return selected

    def rescue(self) -> None:
        """Slow down after training diverged, and be patient again."""
        self.rescues += 1
        self.learning_rates = self.learning_rates / _SLOW_DOWN
        self.stalled[:] = 0
