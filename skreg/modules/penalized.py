"""Which parameters of a module are penalized, and by what: a rule, names, or a function.

>>> from torch import nn
>>> from skreg.modules.penalized import assign_penalties
>>> from skreg.penalties import L1, L2
>>> net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
>>> assign_penalties(net, {"0.*": L1(0.1), "*": L2(0.01)})
{'0.weight': L1(alpha=0.1), '3.weight': L2(alpha=0.01)}
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatchcase
from numbers import Real
from typing import Any

from torch import nn

from skreg.modules.mlp import MLP
from skreg.penalties import Penalty
from skreg.penalties.by_name import DEFAULT_ALPHA, DEFAULT_L1_RATIO, make_penalty

# Layers whose weights are neither scale nor shift of a normalization. Only these are
# penalized: shrinking a normalization's scale changes no function the network can compute.
WEIGHT_LAYERS = (
    nn.Linear,
    nn.Bilinear,
    nn.modules.conv._ConvNd,
    nn.Embedding,
    nn.EmbeddingBag,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
)

#: A name pattern, several, a predicate of name and parameter, or None for the default rule.
Penalized = str | list[str] | tuple[str, ...] | Callable[[str, nn.Parameter], bool] | None


def assign_penalties(
    network: nn.Module,
    penalties: Penalty | dict[str, Penalty | None] | None,
    penalized: Penalized = None,
    *,
    penalize_bias: bool = False,
    trained: Collection[str] | None = None,
) -> dict[str, Penalty | None]:
    """Return the penalty of each penalized parameter, by its name in the module.

    `penalties` is one for all, or one per name pattern, of which the first that fits counts.
    `penalized` says what is penalized at all: names that fit a pattern, or for which
    ``penalized(name, parameter)`` is true; None is
    :func:`~skreg.modules.penalized_parameters`, with biases if `penalize_bias`. `trained` are
    the names to choose from, by default of the parameters that are not frozen. A pattern that
    fits no parameter is an error, and so is a penalty with nothing to put it on.
    """
    named = dict(network.named_parameters())
    if trained is None:
        trained = [name for name, parameter in named.items() if parameter.requires_grad]
    if penalized is None:
        by_rule = penalized_parameters(network, penalize_bias=penalize_bias)
        names = [name for name, _ in by_rule if name in trained]
    elif callable(penalized):
        names = [name for name in trained if penalized(name, named[name])]
    else:
        patterns = [penalized] if isinstance(penalized, str) else list(penalized)
        for pattern in patterns:
            _check_fits("penalized", pattern, trained)
        names = [name for name in trained if any(_fits(name, p) for p in patterns)]
    assigned: dict[str, Penalty | None]
    if not isinstance(penalties, dict):
        assigned = dict.fromkeys(names, penalties)
    else:
        for pattern in penalties if names else ():
            _check_fits("penalty", pattern, names)
        assigned = {
            name: next(p for pattern, p in penalties.items() if _fits(name, pattern))
            for name in names
            if any(_fits(name, pattern) for pattern in penalties)
        }
    if _asks_for_any(penalties) and all(each is None for each in assigned.values()):
        rule = "penalized=None, the weights of layers," if penalized is None else "penalized"
        raise ValueError(
            f"No parameter of the module {type(network).__name__} gets a penalty from "
            f"{penalties}. Of those that are trained, {_listed(trained)}, {rule} takes "
            f"{_listed(names)}. Name those to penalize, as in penalized='*'; in a dict put a "
            f"pattern before one that fits more; or set penalty=None."
        )
    return assigned


def make_penalties(
    penalty: Any, alpha: float, l1_ratio: float
) -> Penalty | dict[str, Penalty | None] | None:
    """Return what an estimator's three parameters ask for; see ``make_penalty``.

    In a dict each penalty has a strength, or takes the estimator's.

    >>> from skreg.modules.penalized import make_penalties
    >>> from skreg.penalties import L2
    >>> make_penalties({"embed.*": L2(1e-3), "*": "l1"}, alpha=0.1, l1_ratio=0.5)
    {'embed.*': L2(alpha=0.001), '*': L1(alpha=0.1)}
    """
    for each in penalty.values() if isinstance(penalty, dict) else [penalty]:
        if getattr(each, "groups", None) is not None or getattr(each, "adaptive", False):
            raise ValueError(
                f"{each}: groups of features and strengths that adapt to an initial fit "
                f"are for multi-layer perceptrons. Leave them out, or use "
                f"RegularizedMLPRegressor or RegularizedMLPClassifier."
            )
    if not isinstance(penalty, dict):
        return make_penalty(penalty, alpha, l1_ratio)
    takes_alpha = False
    made = {}
    for pattern, each in penalty.items():
        if each is not None and not isinstance(each, str | Penalty):
            raise ValueError(
                f"penalty[{pattern!r}] must be the name of a penalty, a Penalty or None, got "
                f"{each!r}."
            )
        has_ratio = getattr(each, "l1_ratio", None) is not None
        takes_alpha |= follows_alpha(each)
        made[pattern] = make_penalty(
            each,
            alpha if follows_alpha(each) else DEFAULT_ALPHA,
            DEFAULT_L1_RATIO if has_ratio else l1_ratio,
        )
    if penalty and alpha != DEFAULT_ALPHA and not takes_alpha:
        raise ValueError(
            f"alpha={alpha} is not used: each penalty in {penalty} has its own. Leave alpha at "
            f"its default, or leave it out of a penalty, as in L1()."
        )
    return made


def follows_alpha(penalty: Any) -> bool:
    """Whether an entry of a dict of penalties takes the estimator's alpha.

    >>> from skreg.modules.penalized import follows_alpha
    >>> from skreg.penalties import L1
    >>> follows_alpha("l1"), follows_alpha(L1()), follows_alpha(L1(0.1)), follows_alpha(None)
    (True, True, False, False)
    """
    if isinstance(penalty, Penalty):
        return penalty.alpha is None
    return penalty is not None


def _fits(name: str, pattern: str) -> bool:
    # A layer that is the whole module has parameters without a dot in their names.
    return fnmatchcase(name, pattern) or fnmatchcase("." + name, pattern)


def _check_fits(where: str, pattern: str, names: Any) -> None:
    if not any(_fits(name, pattern) for name in names):
        raise ValueError(
            f"{where}: the pattern {pattern!r} fits no parameter. Those to choose from are "
            f"{_listed(names)}."
        )


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "none"


def _asks_for_any(penalties: Penalty | dict[str, Penalty | None] | None) -> bool:
    """Whether one of the penalties is above zero."""
    each = penalties.values() if isinstance(penalties, dict) else [penalties]
    alphas = [getattr(penalty, "alpha", None) for penalty in each if penalty is not None]
    return not all(isinstance(alpha, Real) and alpha == 0 for alpha in alphas)


def penalized_parameters(
    module: nn.Module, *, penalize_bias: bool = False
) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters a penalty is put on, with their names.

    These are the weights of linear, convolution, embedding, recurrent and attention layers,
    and of :class:`MLP`. Biases are left out, and so are the scale and shift of normalization
    layers, in every case.

    Parameters
    ----------
    module : torch.nn.Module
    penalize_bias : bool, default=False
        Yield the biases of those layers too.

    Examples
    --------
    >>> from torch import nn
    >>> from skreg.modules import penalized_parameters
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    >>> [name for name, _ in penalized_parameters(net)]
    ['0.weight', '3.weight']
    >>> [name for name, _ in penalized_parameters(net, penalize_bias=True)]
    ['0.weight', '0.bias', '3.weight', '3.bias']
    """
    seen: set[int] = set()
    for prefix, layer in module.named_modules():
        if not isinstance(layer, (MLP, *WEIGHT_LAYERS)):
            continue
        for name, parameter in layer.named_parameters(prefix=prefix):
            is_bias = "bias" in name[len(prefix) :]
            if id(parameter) not in seen and (penalize_bias or not is_bias):
                # Parameters may be shared by two layers, and count once.
                seen.add(id(parameter))
                yield name, parameter
