"""A fit that fails leaves the estimator as it was before.

What a fit publishes are attributes, and these are put back. A network with which training
goes on, in `partial_fit` and under ``warm_start=True``, is trained in place: what a step
changes of it is copied before, and put back too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar, cast

import numpy as np

from skreg.training.net import RegularizedNet
from skreg.training.state import TrainingState, move

Fit = TypeVar("Fit", bound=Callable[..., Any])


def all_or_nothing(fit: Fit) -> Fit:
    """Make a method `fit` or `partial_fit` put the estimator back if it raises.

    Examples
    --------
    >>> from skreg.estimators.rollback import all_or_nothing
    >>> class Fussy:
    ...     @all_or_nothing
    ...     def fit(self, y):
    ...         self.classes_ = sorted(set(y))
    ...         if len(self.classes_) < 2:
    ...             raise ValueError("y has a single class")
    >>> fussy = Fussy()
    >>> fussy.fit("ab")
    >>> fussy.fit("aa")
    Traceback (most recent call last):
    ValueError: y has a single class
    >>> fussy.classes_
    ['a', 'b']
    """

    @wraps(fit)
    def fit_or_put_back(self: Any, *args: Any, **kwargs: Any) -> Any:
        put_back = [_remember(self)]
        drawn_from = {v for v in vars(self).values() if isinstance(v, np.random.RandomState)}
        net = vars(self).get("net_")
        if net is not None and (fit.__name__ == "partial_fit" or self.warm_start):
            put_back.append(_remember_net(net))
            drawn_from.update(shuffler.random_state for shuffler in net.shufflers)
        put_back += [partial(each.set_state, each.get_state()) for each in drawn_from]
        try:
            return fit(self, *args, **kwargs)
        except BaseException:
            for each in put_back:
                each()
            raise

    return cast(Fit, fit_or_put_back)


def _remember(thing: Any) -> Callable[[], None]:
    """Return what puts the attributes of an object back; lists among them only grow."""
    attributes = dict(vars(thing))
    lengths = [(v, len(v)) for v in attributes.values() if isinstance(v, list)]

    def put_back() -> None:
        vars(thing).clear()
        vars(thing).update(attributes)
        for each, length in lengths:
            del each[length:]

    return put_back


def _remember_net(net: RegularizedNet) -> Callable[[], None]:
    """Return what puts a net back, with all that training changes in place."""
    put_back_attributes = _remember(net)
    state = TrainingState.of(net, copied=True)
    # Who trains the net wants a copy of its weights too.
    net._start = state.weights
    module, optimizer, device = net.module_, net.optimizer_, net.device
    groups = [dict(group) for group in optimizer.param_groups]

    def put_back() -> None:
        put_back_attributes()
        move(module, optimizer, device)
        state.put(net)
        for parameter in module.parameters():
            parameter.grad = None
        for group, settings in zip(optimizer.param_groups, groups, strict=True):
            group.update(settings)
        optimizer.free_scratch()

    return put_back
