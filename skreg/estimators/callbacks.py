"""scikit-learn's callbacks: who is told how far a fit or a search is.

scikit-learn 1.9 brought ``set_callbacks`` and a ``ProgressBar``. Older releases do without.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to support."""


@contextmanager
def fit_tasks(
    estimator: Any, X: Any, y: Any, max_epochs: int
) -> Iterator[Callable[[], bool] | None]:
    """Tell the estimator's callbacks that a fit begins and ends, and of its epochs.

    Yields what is to be called after every epoch. It returns whether a callback wants
    training to end. Without callbacks it is None, and an epoch pays nothing for them.
    """
    if not getattr(estimator, "_skl_callbacks", None):
        yield None
        return
    root = estimator._init_callback_context(max_subtasks=max_epochs)
    root.call_on_fit_task_begin(estimator=estimator, X=X, y=y)

    def fitted_so_far() -> dict[str, Any]:
        net = copy.copy(estimator.net_)
        net.module_ = copy.deepcopy(net.module_)
        return {"net_": net}

    def next_epoch() -> bool:
        task = root.subcontext(task_name="epoch")
        task.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
        return task.call_on_fit_task_end(
            estimator=estimator, X=X, y=y, reconstruction_attributes=fitted_so_far
        )

    yield next_epoch
    root.call_on_fit_task_end(
        estimator=estimator, X=X, y=y, reconstruction_attributes=fitted_so_far
    )
