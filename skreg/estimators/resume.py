"""A fit or a search that survives: the same call goes on from what it kept in a checkpoint.

For a search those are the results it has. For a fit the state of training alone would not do:
initial weights and the rows held out for validation come from the random state that the fit
began with, so that is saved as well, and a fit that goes on begins from it even if
`random_state` is None.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval

from skreg.training.checkpoint import Checkpoint
from skreg.training.data import TensorData
from skreg.training.fingerprint import fingerprint, network_fingerprint
from skreg.training.net import RegularizedNet
from skreg.training.state import TrainingState, random_state_from, random_state_to

RESUME_CONSTRAINTS: dict = {
    "checkpoint": [str, os.PathLike, None],
    "checkpoint_interval": [Interval(Real, 0, None, closed="left")],
    "resume": ["boolean"],
}

# Parameters that do not change the steps that are taken, or only how many.
_FREE = {*RESUME_CONSTRAINTS, "callbacks", "verbose", "device"}
_FREE |= {"max_iter", "max_fun", "warm_start"}


def _open(estimator: Any) -> Checkpoint | None:
    if estimator.checkpoint is None:
        if estimator.resume:
            raise ValueError(
                "resume=True needs a file to go on from: set checkpoint to its path, or "
                "resume=False."
            )
        return None
    return Checkpoint(
        estimator.checkpoint,
        interval=estimator.checkpoint_interval,
        resume=estimator.resume,
    )


class FitKeeper:
    """Keeps the state of the fit of one estimator in a file."""

    def __init__(self, checkpoint: Checkpoint, estimator: Any) -> None:
        if estimator.callbacks:
            raise ValueError(
                f"checkpoint={str(estimator.checkpoint)!r} cannot save what callbacks hold, so "
                f"that a fit with callbacks={estimator.callbacks!r} would not go on as it was. "
                f"Set checkpoint=None, or callbacks=None."
            )
        self._checkpoint = checkpoint
        self._max_iter = estimator.max_iter
        self._begin: list[Any] = []
        parameters = estimator.get_params(deep=False)
        # The state of an instance is put back; of None there is nothing to compare.
        if not isinstance(parameters["random_state"], Integral):
            parameters["random_state"] = "drawn"
        named = {k: fingerprint(v) for k, v in parameters.items() if k not in _FREE}
        checkpoint.belong_to({"estimator": type(estimator).__name__, **named})

    @classmethod
    def of(cls, estimator: Any) -> FitKeeper | None:
        """Return the keeper of an estimator's fit; None if it asks for none."""
        checkpoint = _open(estimator)
        return None if checkpoint is None else cls(checkpoint, estimator)

    def seed(self, random_state: np.random.RandomState) -> None:
        """Let a generator nothing was drawn from yet give what it gave the first time."""
        if self._checkpoint.state is not None:
            random_state_to(random_state, self._checkpoint.state["begin"])
        self._begin = random_state_from(random_state)

    def recognize(self, train: TensorData, estimator: Any, *, resume: bool) -> None:
        """Raise ValueError if the file is of other rows, or of a network of another kind.

        The estimator has the net that is to be trained; with `resume` that goes on from the
        weights of an earlier fit.
        """
        (stream,) = train.streams
        module = estimator.net_.module_
        classes = getattr(estimator, "classes_", None)
        self._checkpoint.belong_to(
            {
                "X": fingerprint(stream.X),
                "y": fingerprint((fingerprint(stream.y), classes)),
                "sample_weight": fingerprint(stream.sample_weight),
                # Penalties may name columns.
                "feature_names_in_": fingerprint(getattr(estimator, "feature_names_in_", None)),
                # What a function builds may depend on more than its code.
                "the network": network_fingerprint(module),
                "initial weights": fingerprint(dict(module.state_dict()) if resume else None),
            }
        )
        state = self._checkpoint.state
        n_epochs = 0 if state is None else state["net"]["counts"]["n_epochs_"]
        if n_epochs > self._max_iter:
            raise ValueError(
                f"checkpoint={str(self._checkpoint.path)!r} holds a fit of {n_epochs} epochs, "
                f"more than max_iter={self._max_iter}. Raise max_iter, or set resume=False to "
                f"begin from scratch and overwrite it."
            )

    def restore(self, net: RegularizedNet) -> None:
        """Put a net that has begun where it stood, if there is something to go on from."""
        if self._checkpoint.state is not None:
            TrainingState.from_arrays(self._checkpoint.state["net"]).put(net)

    def keep(self, net: RegularizedNet, *, last: bool = False) -> None:
        """Write where the net stands, if it is time."""
        self._checkpoint.keep(
            lambda: {"begin": self._begin, "net": TrainingState.of(net).to_arrays()}, last=last
        )


class SearchKeeper:
    """Keeps the results of a search, cell by cell, in a file.

    `identity` says by name what the results depend on.
    """

    def __init__(self, checkpoint: Checkpoint, identity: dict[str, Any]) -> None:
        self._checkpoint = checkpoint
        checkpoint.belong_to({name: fingerprint(value) for name, value in identity.items()})
        saved = checkpoint.state or []
        #: Result by (candidate, split).
        self.done: dict[tuple[int, int], dict] = {(c, s): result for c, s, result in saved}

    @classmethod
    def of(cls, search: Any, identity: dict[str, Any]) -> SearchKeeper | None:
        """Return the keeper of a search; None if it asks for none."""
        checkpoint = _open(search)
        return None if checkpoint is None else cls(checkpoint, identity)

    def keep(
        self, results: Iterable[tuple[tuple[int, int], dict]], *, last: bool = False
    ) -> None:
        """Take in results, and write all there are, if it is time."""
        self.done.update(results)
        self._checkpoint.keep(
            lambda: [(*cell, result) for cell, result in self.done.items()], last=last
        )
