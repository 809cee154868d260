"""
A pipeline on mixed columns
===========================

Numbers, categories and missing values in one table: the numbers are scaled, the categories
become columns of zeros and ones, and a network under a group penalty says which columns of
the table it needs.
"""

# %%
# The wine data as somebody might have written it down: some columns measured, some in words,
# one (the shelf) that has nothing to do with the wine, and gaps.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_wine
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skreg import RegularizedMLPClassifier
from skreg.penalties import GroupLasso

rng = np.random.default_rng(0)
frame, y = load_wine(return_X_y=True, as_frame=True)
for column in ("color_intensity", "hue", "alcohol"):
    words = ["low", "medium", "high", "very high"]
    frame[column] = pd.qcut(frame[column], 4, labels=words).astype(str)
frame["shelf"] = rng.choice(list("ABCDE"), len(frame))
frame["bottle"] = rng.normal(size=len(frame))
frame.loc[rng.random(len(frame)) < 0.1, "magnesium"] = np.nan
X_train, X_test, y_train, y_test = train_test_split(frame, y, random_state=0, stratify=y)
print(frame.dtypes.astype(str).value_counts().to_string())

# %%
# Names of transformed columns reach the network, since the transformer returns a frame. The
# columns that a category became are one group, by the start of their names: it stays or goes
# as a whole.
encode = make_column_transformer(
    (
        make_pipeline(SimpleImputer(), StandardScaler()),
        make_column_selector(dtype_include="number"),
    ),
    (OneHotEncoder(sparse_output=False), make_column_selector(dtype_exclude="number")),
    verbose_feature_names_out=False,
).set_output(transform="pandas")
network = RegularizedMLPClassifier(
    (12,),
    penalty=GroupLasso(groups=["color_intensity_", "hue_", "alcohol_", "shelf_"]),
    alpha=0.01,
    learning_rate_init=0.02,
    max_iter=500,
    tol=1e-3,
    random_state=0,
)
model = make_pipeline(encode, network).fit(X_train, y_train)
print(f"accuracy {model.score(X_test, y_test):.2f}")

# %%
# The importance of a column of the table is that of all columns it became.
importances = pd.Series(network.feature_importances_, network.feature_names_in_)
groups = [name.rsplit("_", 1)[0] if name not in frame else name for name in importances.index]
by_column = importances.groupby(groups).sum().sort_values()
figure, axis = plt.subplots(figsize=(7, 4.8), layout="constrained")
rows = np.arange(len(by_column))
axis.barh(rows, by_column, color="#0072B2")
gone = by_column.to_numpy() == 0
axis.plot(
    np.full(gone.sum(), 0.02 * by_column.max()),
    rows[gone],
    "x",
    color="#D55E00",
    label="not used at all",
)
axis.set_yticks(rows, by_column.index)
axis.set(xlabel="importance", title=f"{(~gone).sum()} of {len(gone)} columns used")
if gone.any():
    axis.legend(loc="lower right")
plt.show()
