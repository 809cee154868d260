"""How far a search is: in print, and told to scikit-learn's callbacks."""

import pytest
from callback_recorder import Recorder, progress_of
from searches import ALPHAS, X, Y, regressor
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPRegressor, StackedGridSearchCV

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training stopped after:sklearn.exceptions.ConvergenceWarning"
)


def small(**settings):
    settings = {"max_iter": 5, "random_state": 0, "learning_rate_init": 0.01, **settings}
    return RegularizedMLPRegressor((6,), **settings)


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


def test_verbose_says_how_far_it_is(capsys):
    StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=2, verbose=2).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Fitting 6 networks in stacks"
    assert lines[-1].startswith("Fitted 6 networks in ")
    assert sum(line.startswith("[CV ") and "alpha=" in line for line in lines) == 6


def test_verbose_says_when_it_will_end(capsys, monkeypatch):
    monkeypatch.setattr("skreg.model_selection.progress._SECONDS_BETWEEN_PRINTS", 0.0)
    StackedGridSearchCV(regressor(), {"alpha": ALPHAS}, cv=2, verbose=1).fit(X, Y)
    shown = [line for line in capsys.readouterr().out.splitlines() if "to go" in line]
    shares = [int(line.split("%")[0]) for line in shown]
    assert shares == sorted(shares)
    assert len(set(shares)) > 5
    assert shown[-1].startswith("100%")


@pytest.mark.parametrize("estimator", [small(), make_pipeline(StandardScaler(), small())])
def test_scikit_learns_progress_bar_on_a_stacked_search(estimator):
    pytest.importorskip("rich")
    pytest.importorskip("sklearn.callback")
    name = next(name for name in estimator.get_params() if name.endswith("alpha"))
    shown = progress_of(StackedGridSearchCV(estimator, {name: [0.1, 1]}, cv=2), X, Y)
    (line,) = (line for line in shown.splitlines() if "StackedGridSearchCV - search" in line)
    assert "100%" in line
    assert "refit-with-best-params" in shown


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_stacked_search_tells_of_every_per_cent_and_of_the_refit(n_jobs):
    pytest.importorskip("sklearn.callback")
    recorder = Recorder()
    search = StackedGridSearchCV(small(), {"alpha": [0.1, 1, 10]}, cv=3, n_jobs=n_jobs)
    search.set_callbacks(recorder).fit(X, Y)
    assert recorder.events.count(("end", "percent")) == 100
    assert recorder.events.count(("end", "refit-with-best-params")) == 1
    assert recorder.events[0] == ("setup", "fit")
    assert recorder.events[-1] == ("teardown", "fit")
    assert recorder.events[-2] == ("end", "fit")
    assert clone(search)._skl_callbacks == [recorder]
