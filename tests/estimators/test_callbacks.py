"""scikit-learn's callbacks hear of fits, of their epochs and of searches."""

import io
from contextlib import redirect_stdout

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor, StackedGridSearchCV

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 brought callbacks")
pytestmark = pytest.mark.filterwarnings(
    "ignore:Training stopped after:sklearn.exceptions.ConvergenceWarning"
)

X = np.random.default_rng(0).normal(size=(90, 4))
Y = X[:, 0] - X[:, 1]


def small(**settings):
    settings = {"max_iter": 5, "random_state": 0, "learning_rate_init": 0.01, **settings}
    return RegularizedMLPRegressor((6,), **settings)


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


def test_a_fit_tells_of_its_epochs_and_shows_a_fitted_estimator():
    recorder = Recorder()
    model = small().set_callbacks(recorder).fit(X, Y)
    names = [event for event in recorder.events if event[0] in ("setup", "teardown")]
    assert names == [("setup", "fit"), ("teardown", "fit")]
    assert recorder.events.count(("end", "epoch")) == model.n_iter_ == 5
    assert recorder.events[1] == ("begin", "fit")
    assert recorder.events[-2] == ("end", "fit")
    assert recorder.scores[-1] == pytest.approx(model.score(X, Y))
    assert recorder.scores[0] < recorder.scores[-1]
    np.testing.assert_array_equal(model.coefs_[0], small().fit(X, Y).coefs_[0])


def test_a_callback_ends_the_training():
    model = small(max_iter=50).set_callbacks(Recorder(stop_after=3)).fit(X, Y)
    assert model.n_iter_ == 3


def test_a_classifier_and_partial_fit_tell_too():
    recorder = Recorder()
    model = RegularizedMLPClassifier((6,)).set_callbacks(recorder)
    model.partial_fit(X, Y > 0, classes=[False, True])
    assert recorder.events.count(("end", "epoch")) == 1


def test_a_fit_that_fails_is_torn_down():
    recorder = Recorder()
    with pytest.raises(ValueError, match="NaN"):
        small().set_callbacks(recorder).fit(np.full_like(X, np.nan), Y)
    assert recorder.events[-1] == ("teardown", "fit")


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


def progress_of(estimator, *fit_arguments):
    shown = io.StringIO()
    with redirect_stdout(shown):
        estimator.set_callbacks(callback.ProgressBar(max_propagation_depth=None))
        estimator.fit(*fit_arguments)
    return shown.getvalue()


def test_scikit_learns_progress_bar_on_a_fit_a_pipeline_and_a_search():
    pytest.importorskip("rich")
    assert "RegularizedMLPRegressor - fit" in progress_of(small(), X, Y)
    pipeline = make_pipeline(StandardScaler(), small())
    assert "RegularizedMLPRegressor - fit" in progress_of(pipeline, X, Y)
    assert "100%" in progress_of(GridSearchCV(small(), {"alpha": [0.1, 1]}, cv=2), X, Y)


@pytest.mark.parametrize("estimator", [small(), make_pipeline(StandardScaler(), small())])
def test_scikit_learns_progress_bar_on_a_stacked_search(estimator):
    pytest.importorskip("rich")
    name = next(name for name in estimator.get_params() if name.endswith("alpha"))
    shown = progress_of(StackedGridSearchCV(estimator, {name: [0.1, 1]}, cv=2), X, Y)
    (line,) = (line for line in shown.splitlines() if "StackedGridSearchCV - search" in line)
    assert "100%" in line
    assert "refit-with-best-params" in shown


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_stacked_search_tells_of_every_per_cent_and_of_the_refit(n_jobs):
    recorder = Recorder()
    search = StackedGridSearchCV(small(), {"alpha": [0.1, 1, 10]}, cv=3, n_jobs=n_jobs)
    search.set_callbacks(recorder).fit(X, Y)
    assert recorder.events.count(("end", "percent")) == 100
    assert recorder.events.count(("end", "refit-with-best-params")) == 1
    assert recorder.events[0] == ("setup", "fit")
    assert recorder.events[-1] == ("teardown", "fit")
    assert recorder.events[-2] == ("end", "fit")
    assert clone(search)._skl_callbacks == [recorder]
