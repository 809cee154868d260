"""scikit-learn's callbacks hear of fits and of their epochs."""

import numpy as np
import pytest
from callback_recorder import Recorder, progress_of
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor

pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 brought callbacks")


pytestmark = pytest.mark.filterwarnings(
    "ignore:Training stopped after:sklearn.exceptions.ConvergenceWarning"
)


X = np.random.default_rng(0).normal(size=(90, 4))
Y = X[:, 0] - X[:, 1]


def small(**settings):
    settings = {"max_iter": 5, "random_state": 0, "learning_rate_init": 0.01, **settings}
    return RegularizedMLPRegressor((6,), **settings)


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


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


def test_scikit_learns_progress_bar_on_a_fit_a_pipeline_and_a_search():
    pytest.importorskip("rich")
    assert "RegularizedMLPRegressor - fit" in progress_of(small(), X, Y)
    pipeline = make_pipeline(StandardScaler(), small())
    assert "RegularizedMLPRegressor - fit" in progress_of(pipeline, X, Y)
    assert "100%" in progress_of(GridSearchCV(small(), {"alpha": [0.1, 1]}, cv=2), X, Y)
