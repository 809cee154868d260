"""What scikit-learn's callbacks are told, and what its progress bar prints."""

import io
from contextlib import redirect_stdout

import pytest


class Recorder:
    """Writes down what it is told, and may ask to stop."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.events, self.scores = [], []

    def setup(self, estimator, context):
        self.events.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.events.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.events.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.events.append(("end", context.task_name))
        if fitted_estimator is not None:
            self.scores.append(fitted_estimator.score(X, y))
        ended = sum(event == ("end", "epoch") for event in self.events)
        return self.stop_after is not None and ended >= self.stop_after


def progress_of(estimator, *fit_arguments):
    callback = pytest.importorskip("sklearn.callback")
    shown = io.StringIO()
    with redirect_stdout(shown):
        estimator.set_callbacks(callback.ProgressBar(max_propagation_depth=None))
        estimator.fit(*fit_arguments)
    return shown.getvalue()
