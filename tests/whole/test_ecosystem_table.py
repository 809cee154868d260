"""The table of scikit-learn's tools in the docs: each cell is a test, the page their list.

`python tests/whole/test_ecosystem_table.py` writes docs/ecosystem.rst.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.compose import (
    ColumnTransformer,
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.feature_selection import RFE, RFECV, SelectFromModel, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.impute import IterativeImputer
from sklearn.inspection import (
    DecisionBoundaryDisplay,
    partial_dependence,
    permutation_importance,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay, make_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils import estimator_html_repr
from torch import nn

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPRegressor,
    RegularizedNetClassifier,
    RegularizedNetRegressor,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PAGE = Path(__file__).parents[2] / "docs" / "ecosystem.rst"

_rng = np.random.default_rng(0)
X = _rng.normal(size=(60, 4))
Y = X[:, 0] - 2 * X[:, 1]
LABELS = np.where(Y > 0, "yes", "no")
FRAME = pd.DataFrame(X, columns=list("abcd")).assign(kind=np.where(X[:, 2] > 0, "u", "v"))


def one_layer(n_features, n_outputs):
    return nn.Linear(n_features, n_outputs)


_QUICK = {
    "penalty": "l1",
    "alpha": 1e-3,
    "learning_rate_init": 0.1,
    "max_iter": 12,
    "random_state": 0,
}
COLUMNS = {
    "MLP regressor": RegularizedMLPRegressor((4,), **_QUICK),
    "MLP classifier": RegularizedMLPClassifier((4,), **_QUICK),
    "net regressor": RegularizedNetRegressor(one_layer, **_QUICK),
    "net classifier": RegularizedNetClassifier(one_layer, **_QUICK),
}


class Tool:
    """A row of the table: a name, whom it is for, and what shows that it works."""

    def __init__(self, name, show, kinds):
        self.name, self.show, self.kinds = name, show, kinds


TOOLS = []


def tool(name, kinds=("regressor", "classifier")):
    def keep(show):
        TOOLS.append(Tool(name, show, kinds))
        return show

    return keep


def works(model, X, y, shape=None):
    """A fitted model that predicts what y is made of, and not all the same."""
    predictions = model.fit(X, y).predict(X)
    assert predictions.shape == (shape or np.shape(y))
    assert len(np.unique(predictions)) > 1
    return predictions


# ------------------------------------------------------------ around the network


@tool("Pipeline, StandardScaler")
def _(model, y):
    assert_array_equal(
        works(make_pipeline(StandardScaler(), model), X, y),
        works(clone(model), StandardScaler().fit_transform(X), y),
    )


@tool("ColumnTransformer, OneHotEncoder")
def _(model, y):
    columns = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["kind"]),
        (StandardScaler(), make_column_selector(dtype_include="number")),
    )
    pipeline = make_pipeline(columns, model)
    works(pipeline, FRAME, y)
    assert pipeline[-1].n_features_in_ == 6


@tool("FeatureUnion, and sparse columns")
def _(model, y):
    union = FeatureUnion(
        [
            ("numbers", ColumnTransformer([("keep", "passthrough", list("abcd"))])),
            ("kinds", ColumnTransformer([("hot", OneHotEncoder(), ["kind"])])),
        ]
    )
    works(Pipeline([("columns", union), ("net", model)]), FRAME, y)


@tool("set_output(transform='pandas')")
def _(model, y):
    pipeline = make_pipeline(StandardScaler(), model).set_output(transform="pandas")
    works(pipeline, FRAME[list("abcd")], y)
    assert_array_equal(pipeline[-1].feature_names_in_, list("abcd"))


@tool("TransformedTargetRegressor", ["regressor"])
def _(model, y):
    outer = TransformedTargetRegressor(model, transformer=StandardScaler())
    far = works(outer, X, 1000 + 50 * y)
    assert abs(far.mean() - 1000) < 50


@tool("metadata routing (sample_weight)")
def _(model, y):
    weight = np.repeat([1.0, 0.0], 30)
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = make_pipeline(scaler, clone(model).set_fit_request(sample_weight=True))
        routed.fit(X, y, sample_weight=weight)
    by_hand = clone(model).fit(StandardScaler().fit_transform(X), y, sample_weight=weight)
    assert_array_equal(routed.predict(X), by_hand.predict(StandardScaler().fit_transform(X)))


@tool("HTML representation")
def _(model, y):
    assert type(model).__name__ in estimator_html_repr(make_pipeline(StandardScaler(), model))


@tool("FrozenEstimator")
def _(model, y):
    frozen = FrozenEstimator(clone(model).fit(X, y))
    before = frozen.predict(X)
    assert_array_equal(frozen.fit(X[:9], y[:9]).predict(X), before)


# ------------------------------------------------------------ evaluation and search


@tool("cross_val_score, cross_validate")
def _(model, y):
    scores = cross_val_score(model, X, y, cv=3, error_score="raise")
    result = cross_validate(model, X, y, cv=3, return_estimator=True, error_score="raise")
    assert_array_equal(result["test_score"], scores)


@tool("cross_val_predict")
def _(model, y):
    assert cross_val_predict(model, X, y, cv=3).shape == y.shape
    if y is LABELS:
        assert cross_val_predict(model, X, y, cv=3, method="predict_proba").shape == (60, 2)


@tool("learning_curve")
def _(model, y):
    sizes, train, _ = learning_curve(
        model, X, y, train_sizes=[0.5, 1.0], cv=2, error_score="raise"
    )
    assert sizes.tolist() == [15, 30]
    assert np.isfinite(train).all()


@tool("validation_curve")
def _(model, y):
    _, scores = validation_curve(model, X, y, param_name="alpha", param_range=[1e-4, 50], cv=2)
    assert scores[0].mean() > scores[1].mean()


@tool("permutation_test_score")
def _(model, y):
    score, permuted, _ = permutation_test_score(model, X, y, cv=2, n_permutations=4)
    assert score > permuted.mean()


@tool("GridSearchCV")
def _(model, y):
    search = GridSearchCV(model, {"alpha": [1e-4, 50]}, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_ == {"alpha": 1e-4}


@tool("RandomizedSearchCV")
def _(model, y):
    search = RandomizedSearchCV(model, {"alpha": [1e-4, 50]}, n_iter=2, cv=2, random_state=0)
    assert search.fit(X, y).best_params_ == {"alpha": 1e-4}


@tool("HalvingGridSearchCV")
def _(model, y):
    search = HalvingGridSearchCV(
        model, {"alpha": [1e-4, 50]}, cv=2, min_resources=30, factor=2, random_state=0
    )
    assert search.fit(X, y).best_params_ == {"alpha": 1e-4}


# ------------------------------------------------------------ ensembles


@tool("VotingRegressor, VotingClassifier")
def _(model, y):
    if y is LABELS:
        vote = VotingClassifier([("a", model), ("b", LogisticRegression())], voting="soft")
        works(vote, X, y)
        both = np.mean([m.predict_proba(X) for m in vote.estimators_], axis=0)
        assert_allclose(vote.predict_proba(X), both)
    else:
        vote = VotingRegressor([("a", model), ("b", Ridge())])
        assert_allclose(works(vote, X, y), vote.transform(X).mean(1))


@tool("StackingRegressor, StackingClassifier")
def _(model, y):
    kind = StackingClassifier if y is LABELS else StackingRegressor
    works(kind([("a", model), ("b", clone(model).set_params(random_state=1))], cv=2), X, y)


@tool("BaggingRegressor, BaggingClassifier")
def _(model, y):
    kind = BaggingClassifier if y is LABELS else BaggingRegressor
    bag = kind(model, n_estimators=3, max_features=3, random_state=0)
    works(bag, X, y)
    assert len({m.random_state for m in bag.estimators_}) == 3


@tool("AdaBoostRegressor, AdaBoostClassifier")
def _(model, y):
    kind = AdaBoostClassifier if y is LABELS else AdaBoostRegressor
    works(kind(model, n_estimators=3, random_state=0), X, y)


# ------------------------------------------------------------ many classes, outputs, few labels


@tool("MultiOutputRegressor, MultiOutputClassifier")
def _(model, y):
    kind = MultiOutputClassifier if y is LABELS else MultiOutputRegressor
    works(kind(model), X, np.column_stack([y, y[::-1]]))


@tool("RegressorChain, ClassifierChain")
def _(model, y):
    if y is LABELS:
        works(ClassifierChain(model), X, (X[:, :2] > 0).astype(int))
    else:
        works(RegressorChain(model), X, np.column_stack([y, y**2]))


@tool("OneVsRestClassifier, OneVsOneClassifier, OutputCodeClassifier", ["classifier"])
def _(model, y):
    classes = np.digitize(Y, [-1, 1])
    for kind in (OneVsRestClassifier, OneVsOneClassifier):
        works(kind(model), X, classes)
    works(OutputCodeClassifier(model, random_state=0), X, classes)


@tool("SelfTrainingClassifier", ["classifier"])
def _(model, y):
    some = np.where(np.arange(60) < 40, (Y > 0).astype(int), -1)
    outer = SelfTrainingClassifier(model, threshold=0.6)
    works(outer, X, some)
    assert (outer.labeled_iter_ > 0).any()


@tool("IterativeImputer", ["regressor"])
def _(model, y):
    dependent = np.column_stack([X, X[:, 0] + X[:, 1]])
    holes = dependent.copy()
    holes[:10, 4] = np.nan
    filled = IterativeImputer(model, max_iter=2, tol=1e3, random_state=0).fit_transform(holes)
    error = np.abs(filled[:10, 4] - dependent[:10, 4]).mean()
    assert error < np.abs(dependent[:10, 4]).mean()


# ------------------------------------------------------------ probabilities and decisions


@tool("CalibratedClassifierCV", ["classifier"])
def _(model, y):
    outer = CalibratedClassifierCV(model, cv=2)
    works(outer, X, y)
    assert_allclose(outer.predict_proba(X).sum(1), 1)


@tool("TunedThresholdClassifierCV, FixedThresholdClassifier", ["classifier"])
def _(model, y):
    tuned = TunedThresholdClassifierCV(model, cv=2, scoring="balanced_accuracy")
    works(tuned, X, (y == "yes").astype(int))
    assert 0 <= tuned.best_threshold_ <= 1
    never = FixedThresholdClassifier(model, threshold=1.1, pos_label="yes").fit(X, y)
    assert set(never.predict(X)) == {"no"}


@tool("make_scorer with probabilities", ["classifier"])
def _(model, y):
    def mean_probability(y, probability):
        return probability[:, 1].mean() if probability.ndim > 1 else probability.mean()

    scorer = make_scorer(mean_probability, response_method="predict_proba")
    fitted = clone(model).fit(X, y)
    assert_allclose(scorer(fitted, X, y), fitted.predict_proba(X)[:, 1].mean())


# ------------------------------------------------------------ inspection and selection


@tool("permutation_importance")
def _(model, y):
    result = permutation_importance(clone(model).fit(X, y), X, y, n_repeats=3, random_state=0)
    assert result.importances_mean[1] > result.importances_mean[3]


@tool("partial_dependence")
def _(model, y):
    result = partial_dependence(clone(model).fit(X, y), X, [1], grid_resolution=5)
    ends = result["average"][0][[0, -1]]
    assert ends[0] > ends[1]  # y falls with the second feature


def importance(model):
    """Of the MLPs `feature_importances_`; of a module the size of its first layer's weights."""
    if hasattr(model, "feature_importances_"):
        return model.feature_importances_
    return np.abs(model.module_.weight.detach().numpy()).sum(0)


@tool("SelectFromModel [1]_")
def _(model, y):
    model.set_params(alpha=0.05, max_iter=80)
    chosen = SelectFromModel(model, importance_getter=importance, max_features=2).fit(X, y)
    assert_array_equal(chosen.get_support(), [True, True, False, False])


@tool("RFE, RFECV [1]_")
def _(model, y):
    model.set_params(alpha=0.05, max_iter=40)
    rfe = RFE(model, n_features_to_select=2, importance_getter=importance).fit(X, y)
    assert_array_equal(rfe.get_support(), [True, True, False, False])
    rfecv = RFECV(model, cv=2, importance_getter=importance, min_features_to_select=2)
    assert rfecv.fit(X, y).get_support()[:2].all()


@tool("SequentialFeatureSelector")
def _(model, y):
    chosen = SequentialFeatureSelector(model, n_features_to_select=1, cv=2).fit(X, y)
    assert_array_equal(chosen.get_support(), [False, True, False, False])


@tool("displays: decision boundary, ROC, calibration, confusion", ["classifier"])
def _(model, y):
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"backend": "agg"}):
        from matplotlib import pyplot

        fitted = clone(model).fit(X[:, :2], y)
        DecisionBoundaryDisplay.from_estimator(fitted, X[:, :2], grid_resolution=5)
        curve = RocCurveDisplay.from_estimator(fitted, X[:, :2], y)
        CalibrationDisplay.from_estimator(fitted, X[:, :2], y)
        ConfusionMatrixDisplay.from_estimator(fitted, X[:, :2], y)
        pyplot.close("all")
    assert curve.roc_auc is None or curve.roc_auc > 0.9


# ------------------------------------------------------------ the cells and the page

CELLS = [
    pytest.param(row, name, id=f"{row.name}-{name}")
    for row in TOOLS
    for name in COLUMNS
    if name.split()[1] in row.kinds
]


@pytest.mark.parametrize(("row", "name"), CELLS)
def test_tool(row, name):
    row.show(clone(COLUMNS[name]), LABELS if "classifier" in name else Y)


def page():
    """The page of the docs, from the list above."""
    widths = [max(len(row.name) for row in TOOLS), *(len(name) for name in COLUMNS)]
    rule = "  ".join("=" * width for width in widths)

    def line(cells):
        return "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()

    rows = [
        line([row.name, *("✓" if n.split()[1] in row.kinds else "–" for n in COLUMNS)])
        for row in TOOLS
    ]
    return "\n".join(
        [
            "Among scikit-learn's tools",
            "==========================",
            "",
            "Each ✓ is a test (``tests/whole/test_ecosystem_table.py``) in which tool and",
            "estimator work together as with scikit-learn's estimators; – is a tool for the",
            "other kind of estimator. *MLP* stands for ``RegularizedMLPRegressor`` and",
            "``RegularizedMLPClassifier``, *net* for ``RegularizedNetRegressor`` and",
            "``RegularizedNetClassifier`` with a torch module.",
            "",
            rule,
            line(["tool", *COLUMNS]),
            rule,
            *rows,
            rule,
            "",
            ".. [1] A torch module says nothing of its features' importances by itself: give",
            "   the tool an ``importance_getter``, a function of the fitted estimator.",
            "",
        ]
    )


def test_the_page_in_the_docs_is_the_list_of_these_tests():
    assert PAGE.read_text(encoding="utf-8") == page(), f"run python {__file__}"


def test_there_are_thirty_tools_or_more():
    assert len(TOOLS) >= 30


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
