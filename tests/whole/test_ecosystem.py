"""The estimators among scikit-learn's tools, skorch's callbacks and Python's copies.

Each test names the tool and shows that it gets from skreg what it gets from scikit-learn's
estimators: the same numbers where they can be computed by hand, the same protocol else.
"""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    BaggingRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback, EarlyStopping, LRScheduler

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor
from skreg.penalties import L1, ElasticNet

# Fits here are short on purpose, where it is not their quality that is shown.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_rng = np.random.default_rng(0)
X = _rng.normal(size=(120, 6))
Y = X[:, 0] - 2 * X[:, 1] + 0.1 * _rng.normal(size=120)
LABELS = np.where(Y > 0, "yes", "no")
NAMES = [f"feature_{j}" for j in range(6)]
KINDS = {
    "regressor": (RegularizedMLPRegressor, Y),
    "two outputs": (RegularizedMLPRegressor, np.column_stack([Y, -Y])),
    "binary": (RegularizedMLPClassifier, LABELS),
    "multiclass": (RegularizedMLPClassifier, np.digitize(Y, [-1, 1])),
    "multilabel": (RegularizedMLPClassifier, (X[:, :3] > 0).astype(int)),
}
every_kind = pytest.mark.parametrize(("estimator", "y"), KINDS.values(), ids=KINDS)
ESTIMATORS = {kind: KINDS[kind] for kind in ("regressor", "binary")}
both_estimators = pytest.mark.parametrize(
    ("estimator", "y"), ESTIMATORS.values(), ids=ESTIMATORS
)


def small(estimator=RegularizedMLPRegressor, **settings):
    """A network that trains in a hundredth of a second."""
    settings = {
        "hidden_layer_sizes": (8,),
        "learning_rate_init": 0.02,
        "batch_size": 40,
        "max_iter": 20,
        "random_state": 0,
        **settings,
    }
    return estimator(**settings)


def lasso(**settings):
    """An exact sparse linear model."""
    settings = {"penalty": "l1", "alpha": 0.3, "solver": "fista", "tol": 1e-8, **settings}
    return RegularizedMLPRegressor((), max_iter=2000, random_state=0, **settings)


# ---------------------------------------------------------------------- searches


def test_grid_search_over_alpha_in_a_pipeline_refits_its_best_and_too_large_loses():
    pipeline = Pipeline([("scale", StandardScaler()), ("mlp", lasso())])
    search = GridSearchCV(pipeline, {"mlp__alpha": [0.01, 100.0]}, cv=3).fit(X, Y)
    assert search.best_params_ == {"mlp__alpha": 0.01}
    # With everything shrunk away the model is the mean of the training fold: R² ≤ 0.
    assert search.cv_results_["mean_test_score"][1] <= 0
    assert search.cv_results_["mean_test_score"][0] > 0.9
    by_hand = clone(pipeline).set_params(mlp__alpha=0.01).fit(X, Y)
    assert_array_equal(search.predict(X), by_hand.predict(X))


def test_grid_search_reaches_the_parameters_of_a_penalty_object_in_a_pipeline():
    pipeline = Pipeline([("scale", StandardScaler()), ("mlp", lasso(penalty=L1(), alpha=1e-4))])
    grid = {"mlp__penalty__alpha": [0.01, 0.5, 100.0]}
    by_object = GridSearchCV(pipeline, grid, cv=3).fit(X, Y)
    by_name = GridSearchCV(
        Pipeline([("scale", StandardScaler()), ("mlp", lasso())]),
        {"mlp__alpha": grid["mlp__penalty__alpha"]},
        cv=3,
    ).fit(X, Y)
    scores = by_object.cv_results_["mean_test_score"]
    assert_array_equal(scores, by_name.cv_results_["mean_test_score"])
    assert len(set(scores)) == 3
    assert by_object.best_estimator_["mlp"].penalty.alpha == 0.01
    assert pipeline["mlp"].penalty.alpha is None, "the search changed the user's object"


def test_grid_search_takes_whole_penalties_as_candidates():
    grid = {"penalty": ["l2", L1(), ElasticNet(l1_ratio=0.5)]}
    search = GridSearchCV(lasso(alpha=0.5), grid, cv=3, error_score="raise").fit(X, Y)
    assert len(set(search.cv_results_["mean_test_score"])) == 3


def test_randomized_search_finds_what_it_drew():
    search = RandomizedSearchCV(
        lasso(), {"alpha": [1e-3, 10.0, 100.0]}, n_iter=3, cv=3, random_state=0
    ).fit(X, Y)
    assert search.best_params_ == {"alpha": 1e-3}
    assert search.score(X, Y) > 0.9


@both_estimators
def test_halving_grid_search_ends_with_the_best_candidate(estimator, y):
    search = HalvingGridSearchCV(
        small(estimator, penalty="l1", batch_size="auto"),
        {"alpha": [1e-3, 10.0, 20.0, 30.0]},
        cv=2,
        min_resources=40,
        factor=2,
        random_state=0,
    ).fit(X, y)
    assert search.best_params_ == {"alpha": 1e-3}
    assert search.n_iterations_ == 2


def test_halving_grid_search_takes_max_iter_for_its_resource():
    search = HalvingGridSearchCV(
        small(),
        {"alpha": [1e-3, 100.0]},
        resource="max_iter",
        min_resources=5,
        max_resources=10,
        factor=2,
        cv=2,
        random_state=0,
    ).fit(X, Y)
    assert search.best_estimator_.n_iter_ == 10


@every_kind
def test_cross_val_score_is_score_on_each_fold(estimator, y):
    model, folds = small(estimator), KFold(3)
    scores = cross_val_score(model, X, y, cv=folds, error_score="raise")
    by_hand = [
        clone(model).fit(X[train], y[train]).score(X[test], y[test])
        for train, test in folds.split(X)
    ]
    assert_allclose(scores, by_hand, rtol=1e-12)


def test_cross_validate_returns_estimators_fitted_on_their_folds():
    result = cross_validate(small(), X, Y, cv=KFold(3), return_estimator=True)
    for model, (train, _) in zip(result["estimator"], KFold(3).split(X), strict=True):
        assert_array_equal(model.predict(X), small().fit(X[train], Y[train]).predict(X))


def test_learning_curve_scores_grow_with_the_rows():
    sizes, _, scores = learning_curve(
        lasso(alpha=0.01), X, Y, train_sizes=[5, 80], cv=3, error_score="raise"
    )
    assert sizes.tolist() == [5, 80]
    assert scores[1].mean() > scores[0].mean()


def test_validation_curve_falls_when_alpha_underfits():
    _, scores = validation_curve(
        lasso(), X, Y, param_name="alpha", param_range=[0.01, 1.0, 100.0], cv=3
    )
    assert (np.diff(scores.mean(1)) < 0).all()


# ---------------------------------------------------------------------- clone and copies


@both_estimators
def test_clone_has_the_same_parameters_and_is_not_fitted(estimator, y):
    model = small(estimator, penalty=ElasticNet(l1_ratio=0.3), alpha=0.01).fit(X, y)
    copied = clone(model)
    params, original = copied.get_params(), model.get_params()
    assert params.keys() == original.keys()
    assert isinstance(params["penalty"], ElasticNet)
    assert params["penalty"] is not original["penalty"]
    assert repr(params.pop("penalty")) == repr(original.pop("penalty"))
    assert params == original
    with pytest.raises(NotFittedError):
        check_is_fitted(copied)
    assert not hasattr(copied, "net_")
    assert not hasattr(copied, "coefs_")


@both_estimators
def test_fit_changes_no_parameter(estimator, y):
    model = small(estimator, penalty=L1(), alpha=0.01, callbacks=[EpochCounter()])
    before = {name: id(value) for name, value in model.get_params(deep=False).items()}
    penalty = repr(model.penalty)
    model.fit(X, y)
    assert {n: id(v) for n, v in model.get_params(deep=False).items()} == before
    assert repr(model.penalty) == penalty


def _through_joblib(model, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib")


COPIES = {
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "joblib": _through_joblib,
    "deepcopy": lambda model, _: copy.deepcopy(model),
}
every_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


@every_copy
@every_kind
@pytest.mark.parametrize(
    "settings",
    [{}, {"early_stopping": True}, {"solver": "fista"}, {"solver": "sgd", "dropout": 0.2}],
    ids=repr,
)
def test_a_copy_predicts_the_same_bits_and_can_be_fitted_again(
    estimator, y, settings, copied, tmp_path
):
    model = small(estimator, **settings).fit(X, y)
    again = copied(model, tmp_path)
    assert_array_equal(again.predict(X), model.predict(X))
    for ours, theirs in zip(again.coefs_, model.coefs_, strict=True):
        assert_array_equal(ours, theirs)
    assert again.loss_curve_ == model.loss_curve_
    refitted = again.fit(X, y)
    assert_array_equal(refitted.predict(X), model.predict(X))


@every_copy
@both_estimators
@pytest.mark.parametrize(
    "settings",
    [{}, {"solver": "sgd"}, {"penalty": "l1", "dropout": 0.3}, {"learning_rate": "invscaling"}],
    ids=repr,
)
def test_partial_fit_goes_on_in_a_copy_as_in_the_original(
    estimator, y, settings, copied, tmp_path
):
    classes = {} if estimator is RegularizedMLPRegressor else {"classes": np.unique(y)}
    model = small(estimator, **settings).partial_fit(X, y, **classes).partial_fit(X, y)
    again = copied(model, tmp_path)
    for _ in range(3):
        model.partial_fit(X, y)
    at_copying = again.coefs_[0].copy()
    for _ in range(3):
        again.partial_fit(X, y)
    assert not np.array_equal(again.coefs_[0], at_copying)
    for ours, theirs in zip(again.coefs_, model.coefs_, strict=True):
        assert_array_equal(ours, theirs)
    assert again.t_ == model.t_


@every_copy
def test_a_copy_shares_nothing_with_the_original(copied, tmp_path):
    model = small().fit(X, Y)
    before = model.predict(X)
    copied(model, tmp_path).partial_fit(X, Y)
    assert_array_equal(model.predict(X), before)


@every_copy
def test_warm_start_goes_on_in_a_copy_as_in_the_original(copied, tmp_path):
    model = small(warm_start=True).fit(X, Y)
    again = copied(model, tmp_path)
    assert_array_equal(again.fit(X, Y).predict(X), model.fit(X, Y).predict(X))


# ---------------------------------------------------------------------- feature selection


def test_select_from_model_keeps_the_selected_features_and_their_names():
    frame = pd.DataFrame(X, columns=NAMES)
    selector = SelectFromModel(lasso()).fit(frame, Y)
    mask = selector.estimator_.selected_features_
    assert mask.tolist() == [True, True, False, False, False, False]
    assert_array_equal(selector.get_support(), mask)
    assert selector.get_feature_names_out().tolist() == ["feature_0", "feature_1"]
    out = selector.set_output(transform="pandas").transform(frame)
    assert out.columns.tolist() == ["feature_0", "feature_1"]


def test_select_from_model_with_a_hidden_layer_keeps_the_selected_features():
    model = small(penalty="l1", alpha=0.05, max_iter=300, batch_size=120)
    selector = SelectFromModel(model).fit(X, Y)
    mask = selector.estimator_.selected_features_
    assert 0 < mask.sum() < 6
    assert_array_equal(selector.get_support(), mask)


def test_permutation_importance_of_unselected_features_is_exactly_zero():
    model = lasso().fit(X, Y)
    result = permutation_importance(model, X, Y, n_repeats=3, random_state=0)
    assert not model.selected_features_.all()
    assert (result.importances[~model.selected_features_] == 0).all()
    assert (result.importances_mean[model.selected_features_] > 0).all()


# ---------------------------------------------------------------------- meta-estimators


def test_transformed_target_regressor_predicts_in_the_units_of_y():
    model = lasso(alpha=0.01)
    scaled = TransformedTargetRegressor(model, transformer=StandardScaler()).fit(
        X, 1000 * Y + 5000
    )
    by_hand = clone(model).fit(X, (Y - Y.mean()) / Y.std()).predict(X)
    by_hand = by_hand * 1000 * Y.std() + 1000 * Y.mean() + 5000
    assert_allclose(scaled.predict(X), by_hand, rtol=1e-6)


def test_voting_regressor_averages():
    members = [("a", small(random_state=1)), ("b", small(random_state=2))]
    voted = VotingRegressor(members).fit(X, Y).predict(X)
    alone = [clone(model).fit(X, Y).predict(X) for _, model in members]
    assert_allclose(voted, np.mean(alone, 0), rtol=1e-12)


def test_soft_voting_classifier_averages_probabilities():
    members = [(str(s), small(RegularizedMLPClassifier, random_state=s)) for s in (1, 2)]
    voted = VotingClassifier(members, voting="soft").fit(X, LABELS).predict_proba(X)
    alone = [clone(model).fit(X, LABELS).predict_proba(X) for _, model in members]
    assert_allclose(voted, np.mean(alone, 0), rtol=1e-12)


def test_stacking_classifier_learns_from_our_probabilities():
    stack = StackingClassifier(
        [("mlp", small(RegularizedMLPClassifier))], LogisticRegression(), cv=3
    ).fit(X, LABELS)
    assert stack.score(X, LABELS) > 0.9
    probability = stack.named_estimators_["mlp"].predict_proba(X)[:, 1:]
    assert_array_equal(stack.transform(X), probability)


def test_bagging_regressor_averages_members_that_differ():
    bag = BaggingRegressor(small(random_state=None), n_estimators=3, random_state=0)
    bag.fit(X, Y)
    alone = [
        m.predict(X[:, f])
        for m, f in zip(bag.estimators_, bag.estimators_features_, strict=True)
    ]
    assert not np.array_equal(alone[0], alone[1])
    assert_allclose(bag.predict(X), np.mean(alone, 0), rtol=1e-12)
    repeated = clone(bag).fit(X, Y)
    assert_array_equal(repeated.predict(X), bag.predict(X))


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibrated_classifier_gives_probabilities(method):
    calibrated = CalibratedClassifierCV(
        small(RegularizedMLPClassifier), method=method, cv=3
    ).fit(X, LABELS)
    probability = calibrated.predict_proba(X)
    assert_allclose(probability.sum(1), 1, rtol=1e-12)
    assert calibrated.score(X, LABELS) > 0.85


def test_multi_output_regressor_is_one_fit_per_output():
    targets = np.column_stack([Y, X[:, 2]])
    wrapped = MultiOutputRegressor(small()).fit(X, targets)
    alone = [small().fit(X, target).predict(X) for target in targets.T]
    assert_array_equal(wrapped.predict(X), np.column_stack(alone))


# ---------------------------------------------------------------------- metadata routing

WEIGHTS = np.where(X[:, 2] > 0, 10.0, 0.1)
# Labels that no line separates: there weights matter.
BENT = np.where(X[:, 0] * X[:, 1] > 0, "yes", "no")
WEIGHED = {
    "regressor": (lasso(alpha=0.01), Y + X[:, 2] ** 2, "predict"),
    "classifier": (small(RegularizedMLPClassifier), BENT, "predict_proba"),
}
weighed = pytest.mark.parametrize(("model", "y", "method"), WEIGHED.values(), ids=WEIGHED)


@weighed
def test_routed_sample_weight_arrives_through_a_pipeline(model, y, method):
    Z = StandardScaler().fit_transform(X)
    with_weights = getattr(clone(model).fit(Z, y, sample_weight=WEIGHTS), method)(Z)
    without = getattr(clone(model).fit(Z, y), method)(Z)
    assert np.abs(with_weights - without).max() > 0.01, "the weights must matter"
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False),
            clone(model).set_fit_request(sample_weight=True),
        ).fit(X, y, sample_weight=WEIGHTS)
        assert_array_equal(getattr(pipeline, method)(X), with_weights)
        deaf = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=True),
            clone(model).set_fit_request(sample_weight=False),
        ).fit(X, y, sample_weight=np.ones(len(X)))
        assert_allclose(getattr(deaf, method)(X), without, rtol=1e-9)


@weighed
def test_routed_sample_weight_arrives_through_a_grid_search(model, y, method):
    with sklearn.config_context(enable_metadata_routing=True):
        routed = clone(model).set_fit_request(sample_weight=True)
        routed.set_score_request(sample_weight=True)
        grid = {"alpha": [model.alpha]}
        search = GridSearchCV(routed, grid, cv=KFold(3)).fit(X, y, sample_weight=WEIGHTS)
    direct = clone(model).fit(X, y, sample_weight=WEIGHTS)
    assert_array_equal(getattr(search, method)(X), getattr(direct, method)(X))
    by_hand = [
        clone(model)
        .fit(X[train], y[train], sample_weight=WEIGHTS[train])
        .score(X[test], y[test], sample_weight=WEIGHTS[test])
        for train, test in KFold(3).split(X)
    ]
    assert_allclose(search.best_score_, np.mean(by_hand), rtol=1e-12)


def test_partial_fit_takes_routed_sample_weight():
    with sklearn.config_context(enable_metadata_routing=True):
        model = small().set_partial_fit_request(sample_weight=True)
        assert model.get_metadata_routing().partial_fit.requests["sample_weight"] is True


# ---------------------------------------------------------------------- frames and repr


def test_a_pandas_pipeline_hands_names_on_to_the_network():
    frame = pd.DataFrame(X, columns=NAMES)
    pipeline = make_pipeline(StandardScaler(), small()).set_output(transform="pandas")
    pipeline.fit(frame, pd.Series(Y))
    assert pipeline[-1].feature_names_in_.tolist() == NAMES
    expected = make_pipeline(StandardScaler(), small()).fit(X, Y)
    assert_allclose(pipeline.predict(frame), expected.predict(X), rtol=1e-9)


@both_estimators
def test_html_repr_shows_estimator_and_penalty_before_and_after_fit(estimator, y):
    model = small(estimator, penalty=L1(), alpha=0.01)
    for shown in (model, model.fit(X, y)):
        html = estimator_html_repr(shown)
        assert estimator.__name__ in html
        assert "L1()" in html


def test_repr_is_the_call_that_makes_it():
    model = RegularizedMLPRegressor((5,), penalty=L1(alpha=0.1), solver="sgd")
    assert repr(model).split() == [
        "RegularizedMLPRegressor(hidden_layer_sizes=(5,),",
        "penalty=L1(alpha=0.1),",
        "solver='sgd')",
    ]


# ---------------------------------------------------------------------- skorch callbacks


class EpochCounter(Callback):
    """Writes down the events of epochs; what it saw stands on the net's copy of it."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.events_ = [("begin", X is not None and y is not None)]

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.events_.append(("epoch", net.history[-1, "train_loss"]))

    def on_train_end(self, net, X=None, y=None, **kwargs):
        self.events_.append(("end", X is not None and y is not None))


class BatchCounter(Callback):
    """Counts batches and rows."""

    def on_train_begin(self, net, **kwargs):
        self.n_batches_, self.n_rows_, self.n_epochs_ = 0, 0, 0
        self.begun_, self.gradients_ = 0, 0

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self.begun_ += 1

    def on_grad_computed(self, net, named_parameters, batch=None, **kwargs):
        self.gradients_ += all(p.grad is not None for _, p in named_parameters)

    def on_batch_end(self, net, batch=None, training=None, loss=None, **kwargs):
        assert training
        assert loss is not None
        self.n_batches_ += 1
        self.n_rows_ += len(batch[0])

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs_ += 1


class BatchEndOnly(Callback):
    """Listens to one batch event alone."""

    def on_train_begin(self, net, **kwargs):
        self.calls_ = 0

    def on_batch_end(self, net, **kwargs):
        self.calls_ += 1


class WithState(Callback):
    """Sets up its state in `__init__`, which skorch's nets put up with in `fit`."""

    def __init__(self):
        self.epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1


def callback_of(model, kind):
    return next(c for _, c in model.net_.callbacks_ if isinstance(c, kind))


@both_estimators
def test_an_epoch_callback_hears_begin_every_epoch_and_end(estimator, y):
    model = small(estimator, callbacks=[EpochCounter()], max_iter=4).fit(X, y)
    events = callback_of(model, EpochCounter).events_
    assert events[0] == ("begin", True)
    assert [name for name, _ in events] == ["begin", *["epoch"] * 4, "end"]
    assert [loss for name, loss in events if name == "epoch"] == model.loss_curve_


def test_a_batch_callback_is_called_for_every_batch_of_every_epoch():
    model = small(callbacks=[BatchCounter()], max_iter=4, batch_size=50).fit(X, Y)
    counter = callback_of(model, BatchCounter)
    assert counter.n_batches_ == counter.begun_ == counter.gradients_ == 3 * 4
    assert counter.n_rows_ == 120 * 4
    assert counter.n_epochs_ == 4


def test_a_callback_that_only_listens_to_the_end_of_batches_is_called():
    model = small(callbacks=[BatchEndOnly()], max_iter=4, batch_size=50).fit(X, Y)
    assert callback_of(model, BatchEndOnly).calls_ == 3 * 4


def test_a_callback_with_state_from_its_constructor_is_copied_with_it():
    callback = WithState()
    model = small(callbacks=[callback], max_iter=4).fit(X, Y)
    assert callback_of(model, WithState).epochs == 4
    assert callback.epochs == 0


def test_a_callback_that_watches_changes_nothing():
    alone = small().fit(X, Y).predict(X)
    assert_array_equal(small(callbacks=[EpochCounter()]).fit(X, Y).predict(X), alone)
    # Who listens to batches gets autograd's gradients: the same but for the rounding.
    watched = small(callbacks=[BatchCounter()]).fit(X, Y).predict(X)
    assert_allclose(watched, alone, rtol=1e-9, atol=1e-12)


def test_fit_leaves_the_callbacks_it_was_given_alone():
    counter, scheduler = EpochCounter(), LRScheduler("StepLR", step_size=1, gamma=0.5)
    before = copy.deepcopy((vars(counter), vars(scheduler)))
    model = small(callbacks=[counter, scheduler]).fit(X, Y)
    assert (vars(counter), vars(scheduler)) == before
    assert callback_of(model, EpochCounter) is not counter
    assert callback_of(model, EpochCounter).events_


def test_fitting_twice_with_callbacks_gives_the_same_fit():
    model = small(callbacks=[EpochCounter(), LRScheduler("StepLR", step_size=5, gamma=0.5)])
    first = model.fit(X, Y).predict(X)
    assert_array_equal(model.fit(X, Y).predict(X), first)
    assert callback_of(model, EpochCounter).events_[0][0] == "begin"
    assert len(callback_of(model, EpochCounter).events_) == model.n_iter_ + 2


def test_skorch_early_stopping_ends_early_and_is_no_interruption(recwarn):
    stopper = EarlyStopping(monitor="train_loss", patience=3, threshold=10.0, sink=_silent)
    model = small(callbacks=[stopper], max_iter=50).fit(X, Y)
    # Nothing improves by a factor of 10: the first epoch counts, then three misses.
    assert model.n_iter_ < 10
    assert len(model.loss_curve_) == model.n_iter_
    assert not recwarn.list
    assert not model.net_.interrupted_


def _silent(*args, **kwargs):
    """A sink for what skorch prints."""


class RateRecorder(Callback):
    """Writes down the rate at the start of every epoch."""

    def on_train_begin(self, net, **kwargs):
        self.rates_ = []

    def on_epoch_begin(self, net, **kwargs):
        self.rates_.append([group["lr"] for group in net.optimizer_.param_groups])


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_skorch_lr_scheduler_sets_the_rate_of_weights_and_biases_alike(solver):
    scheduler = LRScheduler("StepLR", step_size=2, gamma=0.5)
    model = small(
        callbacks=[scheduler, RateRecorder()],
        solver=solver,
        max_iter=6,
        learning_rate_init=0.04,
    ).fit(X, Y)
    expected = np.repeat([0.04, 0.02, 0.01], 2)
    assert_allclose(callback_of(model, RateRecorder).rates_, np.tile(expected, (2, 1)).T)
    unscheduled = small(solver=solver, max_iter=6, learning_rate_init=0.04).fit(X, Y)
    assert not np.array_equal(model.predict(X), unscheduled.predict(X))


@every_copy
def test_a_model_with_callbacks_can_be_copied(copied, tmp_path):
    callbacks = [EpochCounter(), LRScheduler("StepLR", step_size=2, gamma=0.5)]
    model = small(callbacks=callbacks).fit(X, Y)
    again = copied(model, tmp_path)
    assert_array_equal(again.predict(X), model.predict(X))
    assert_array_equal(again.fit(X, Y).predict(X), model.predict(X))


def test_named_callbacks_are_taken_as_skorch_takes_them():
    model = small(callbacks=[("mine", EpochCounter())]).fit(X, Y)
    assert dict(model.net_.callbacks_)["mine"].events_
