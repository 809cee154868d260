"""Parameters of the estimators: each declared, constrained and documented in one class.

A class declares the parameters that it adds, and classes that inherit from it have them too:

>>> import inspect
>>> from sklearn.base import BaseEstimator
>>> from skreg.estimators.parameters import COUNT, NON_NEGATIVE, parameter, parametrized
>>> @parametrized
... class Ridge(BaseEstimator):
...     alpha: float = parameter(NON_NEGATIVE, default=1.0)
>>> @parametrized
... class RidgeCV(Ridge):
...     cv: int = parameter(COUNT, default=5)
>>> inspect.signature(RidgeCV)
<Signature (*, alpha: 'float' = 1.0, cv: 'int' = 5) -> None>
>>> RidgeCV(cv=3).get_params()
{'alpha': 1.0, 'cv': 3}
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from numbers import Integral, Real
from typing import Any, ClassVar, TypeVar, dataclass_transform

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, Options, StrOptions

from skreg.estimators.resume import RESUME_CONSTRAINTS
from skreg.estimators.solvers import SOLVERS
from skreg.optim.base import PENALTY_METHODS
from skreg.penalties import Penalty
from skreg.penalties.by_name import DEFAULT_ALPHA, DEFAULT_L1_RATIO, PENALTIES

Class = TypeVar("Class", bound=type)

COUNT = Interval(Integral, 1, None, closed="left")
NON_NEGATIVE = Interval(Real, 0, None, closed="left")
POSITIVE = Interval(Real, 0, None, closed="neither")
#: From 0 to 1: either end may be in.
SHARE = Interval(Real, 0, 1, closed="both")
SHARE_BELOW_1 = Interval(Real, 0, 1, closed="left")
SHARE_BETWEEN = Interval(Real, 0, 1, closed="neither")

_SECTIONS = "Parameters", "Attributes", "Raises", "See Also", "Notes", "References", "Examples"


def parameter(*constraints: Any, default: Any = MISSING, kw_only: bool = True) -> Any:
    """Declare a parameter, with the constraints of scikit-learn's validation."""
    return field(default=default, kw_only=kw_only, metadata={"constraints": [*constraints]})


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(parameter,))
def parametrized(cls: Class) -> Class:
    """Give a class its `__init__`, its constraints and, unless abstract, its whole docstring.

    Inherited parameters that the class names in `_fixed` are attributes of it alone.
    """
    # Kept for the classes that inherit; there is none under ``python -OO``.
    cls._written_doc = written = cls.__doc__  # type: ignore[attr-defined]
    cls.__annotations__ |= dict.fromkeys(vars(cls).get("_fixed", ()), ClassVar)
    dataclass(eq=False, repr=False, match_args=False)(cls)
    # The positional ones come first in the signature.
    listed = sorted(fields(cls), key=lambda each: bool(each.kw_only))
    constraints = {each.name: each.metadata["constraints"] for each in listed}
    cls._parameter_constraints = constraints  # type: ignore[attr-defined]
    whole = written and not inspect.isabstract(cls)
    cls.__doc__ = assembled_doc(cls, constraints) if whole else written
    return cls


def assembled_doc(cls: type, parameters: dict[str, list]) -> str:
    """The docstring of a class, with the sections of those that it inherits from.

    `parameters` has the constraints of each. ``{...}`` in an entry stands for the names that
    the parameter may be.

    An entry of a parameter or an attribute is that of the first class in the order of
    inheritance that has one. So are the other sections, but for the examples.
    """
    docs = [vars(each).get("_written_doc") for each in cls.__mro__]
    sections = [_sections(doc) for doc in docs if doc]
    text = {"Examples": "", **{k: v for each in reversed(sections) for k, v in each.items()}}
    text |= {"Examples": sections[0].get("Examples", "")}
    for section in ("Parameters", "Attributes"):
        entries: dict[str, str] = {}
        for each in sections:
            for name, entry in _entries(each.get(section, "")):
                entries.setdefault(name, _with_options(entry, parameters.get(name, [])))
        names = [*parameters, *(name for name in entries if name.startswith("**"))]
        chosen = [entries[name] for name in (names if section == "Parameters" else entries)]
        text[section] = "\n\n".join(dict.fromkeys(chosen))  # an entry may have several names
    parts = [f"{s}\n{'-' * len(s)}\n{text[s].strip()}" for s in _SECTIONS if text.get(s)]
    return "\n\n".join([sections[0][""].strip(), *parts]) + "\n"


def _with_options(entry: str, constraints: list) -> str:
    """The entry of a parameter with the names that it may be in place of ``{...}``."""
    options = [each.options for each in constraints if isinstance(each, StrOptions)]
    names = ", ".join(f'"{name}"' for name in sorted(set().union(*options)))
    return entry.replace("{...}", f"{{{names}}}")


def _sections(doc: str) -> dict[str, str]:
    """Text by section of a numpydoc docstring; what comes first is under ""."""
    first, *rest = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.cleandoc(doc), flags=re.MULTILINE)
    return {"": first, **dict(zip(rest[::2], rest[1::2], strict=True))}


def _entries(section: str) -> Iterator[tuple[str, str]]:
    """Each name that a section documents, with its entry."""
    for entry in re.split(r"\n+(?=\S)", section.strip()):
        for name in entry.splitlines()[0].split(" : ")[0].split(", ") if entry else ():
            yield name, entry


@parametrized
class NetworkParameters(BaseEstimator):
    """What can be set of every network that is trained with a penalty.

    Parameters
    ----------
    penalty : str, Penalty or None, default="l2"
        What is put on the weights: "l1", "l2", "elasticnet", "group_lasso",
        "sparse_group_lasso", "mcp", "scad", "group_mcp" or "group_scad". An object of
        :mod:`skreg.penalties` may have a strength, as in ``L1(alpha=0.01)``; what it
        leaves at None it takes from `alpha` and `l1_ratio`. None is the unpenalized network.
    alpha : float, default=1e-4
        Strength λ of the penalty. It is divided neither by the number of samples nor by the
        batch size: for the `alpha` of scikit-learn's ``MLP*`` on n samples in one batch,
        use ``alpha / n``.
    l1_ratio : float, default=0.5
        Share of L1 in the elastic net, between 0 (L2) and 1 (L1), and in the sparse group
        lasso. Only used with ``penalty="elasticnet"``, ``"sparse_group_lasso"`` or a penalty
        object that takes one.
    penalty_method : {"proximal", "subgradient", "decoupled"}, default="proximal"
        How the penalty enters a step.

        - "proximal": a gradient step on the data loss, then the penalty's proximal operator
          in the optimizer's metric. Gives exact zeros and solves the objective above.
        - "subgradient": the penalty's gradient (sign(0) = 0) is added to that of the loss,
          as in a hand-written loop. Gives no exact zeros. With L2 and Adam this is torch's
          ``Adam(weight_decay=alpha)`` on the weights.
        - "decoupled": weights are scaled by 1 − learning rate · alpha, as in ``AdamW``; L2
          only. It is another problem than the objective above.
    solver : {...}, default="adam"
        - "adam" and "sgd": stochastic steps on mini-batches.
        - "fista": accelerated proximal gradient on all samples at once, with a line search;
          exact, and best on small data. Takes no learning rate, and neither dropout nor
          batch normalization. A minimum in a kink of "relu" has no small residual: there it
          ends with a ConvergenceWarning.
    batch_size : int or "auto", default="auto"
        Samples per step of "adam" and "sgd"; "auto" is ``min(200, n_samples)``.
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        Schedule of the learning rate, for "adam" and "sgd" alike.

        - "constant": `learning_rate_init` throughout.
        - "invscaling": `learning_rate_init` / (samples seen + 1) to the power of `power_t`.
        - "adaptive": divided by 5 whenever `n_iter_no_change` epochs bring no gain, and
          training stops below 1e-6.
    learning_rate_init : float, default=0.001
        Initial learning rate of "adam" and "sgd".
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int, default=200
        Most epochs (of "fista", iterations).
    shuffle : bool, default=True
        Whether to shuffle the samples in each epoch.
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights, the validation split, the order of the samples and
        dropout. None draws fresh entropy; no global generator is touched. With the same
        seed a network starts from the weights of scikit-learn's ``MLP*``, and sees the same
        batches.
    tol : float, default=1e-4
        "adam" and "sgd" stop when the loss (or the validation score) has not improved by
        `tol` for more than `n_iter_no_change` epochs; "fista" when the optimality residual
        ‖w − prox(w − ∇L(w))‖∞ is at most `tol`.
    n_iter_no_change : int or inf, default=10
        Epochs without improvement that are put up with.
    early_stopping : bool, default=False
        Hold out `validation_fraction` of the samples, stop by their score, and end with the
        weights that scored best.
    validation_fraction : float, default=0.1
        Share held out by early stopping.
    warm_start : bool, default=False
        Begin the next `fit` from the weights of the last.
    momentum : float, default=0.9
        Momentum of "sgd".
    nesterovs_momentum : bool, default=True
        Nesterov's form of it.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay rates of the moment estimates of "adam".
    epsilon : float, default=1e-8
        Numerical stability of "adam".
    max_fun : int, default=15000
        Most evaluations of the loss by "fista".
    penalize_bias : bool, default=False
        Put the penalty on the biases too.
    device : str, default="auto"
        Where to train and predict: "auto" takes CUDA when present, else the CPU.
    checkpoint : str, path-like or None, default=None
        File that `fit` keeps its state in while it trains, so that it survives being killed.
        It is replaced as a whole, and holds the state at the end when `fit` returns. Nothing
        in it is ever run (``weights_only=True``). Not with skorch `callbacks`, whose state
        cannot be saved; `partial_fit` and stacked searches leave it alone.
    checkpoint_interval : float, default=30.0
        Least number of seconds between two writes of `checkpoint`; 0 writes after every
        epoch.
    resume : bool, default=False
        Whether `fit` goes on from `checkpoint`, where that file exists; else it begins from
        scratch and overwrites it. The same call on the same data ends, on a CPU, with the
        very bits of a fit that was never interrupted. Only `max_iter`, `max_fun`, `device`
        and `verbose` may differ from those that the file was written with.
    callbacks : list of skorch callbacks or None, default=None
        They are copied, and see `net_`.
    verbose : bool or int, default=False
        Print loss and penalty of every epoch.
    """

    penalty: Any = parameter(StrOptions(set(PENALTIES)), Penalty, None, default="l2")
    alpha: float = parameter(NON_NEGATIVE, default=DEFAULT_ALPHA)
    l1_ratio: float = parameter(SHARE, default=DEFAULT_L1_RATIO)
    penalty_method: str = parameter(StrOptions(set(PENALTY_METHODS)), default="proximal")
    solver: str = parameter(StrOptions(set(SOLVERS)), default="adam")
    batch_size: int | str = parameter(StrOptions({"auto"}), COUNT, default="auto")
    learning_rate: str = parameter(
        StrOptions({"constant", "invscaling", "adaptive"}), default="constant"
    )
    learning_rate_init: float = parameter(POSITIVE, default=0.001)
    power_t: float = parameter(NON_NEGATIVE, default=0.5)
    max_iter: int = parameter(COUNT, default=200)
    shuffle: bool = parameter("boolean", default=True)
    random_state: int | np.random.RandomState | None = parameter("random_state", default=None)
    tol: float = parameter(NON_NEGATIVE, default=1e-4)
    n_iter_no_change: float = parameter(COUNT, Options(Real, {np.inf}), default=10)
    early_stopping: bool = parameter("boolean", default=False)
    validation_fraction: float = parameter(SHARE_BETWEEN, default=0.1)
    warm_start: bool = parameter("boolean", default=False)
    momentum: float = parameter(SHARE_BELOW_1, default=0.9)
    nesterovs_momentum: bool = parameter("boolean", default=True)
    beta_1: float = parameter(SHARE_BELOW_1, default=0.9)
    beta_2: float = parameter(SHARE_BELOW_1, default=0.999)
    epsilon: float = parameter(POSITIVE, default=1e-8)
    max_fun: int = parameter(COUNT, default=15000)
    penalize_bias: bool = parameter("boolean", default=False)
    device: str = parameter(str, default="auto")
    checkpoint: str | os.PathLike | None = parameter(
        *RESUME_CONSTRAINTS["checkpoint"], default=None
    )
    checkpoint_interval: float = parameter(
        *RESUME_CONSTRAINTS["checkpoint_interval"], default=30.0
    )
    resume: bool = parameter(*RESUME_CONSTRAINTS["resume"], default=False)
    callbacks: list | None = parameter(list, None, default=None)
    verbose: bool | int = parameter("verbose", default=False)
