"""What the regressor and the classifier share that train anybody's torch module."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils._tags import Tags
from torch import nn

from skreg.estimators.base import BaseRegularizedNetwork
from skreg.modules.adapter import SingleNetwork, build_network, torch_dtype
from skreg.modules.penalized import make_penalties
from skreg.training.checkpoint import fingerprint
from skreg.training.module_net import ModuleNet
from skreg.training.net import RegularizedNet

_PREFIX = "module__"


class BaseRegularizedNet(BaseRegularizedNetwork):
    """An estimator whose network is a torch module that the user gives."""

    _parameter_constraints: dict = {
        "module": [callable],
        **BaseRegularizedNetwork._parameter_constraints,
        "penalty": [*BaseRegularizedNetwork._parameter_constraints["penalty"], dict],
        "penalized": [str, list, tuple, callable, None],
    }

    _allow_nd = True

    net_: ModuleNet

    def __init__(
        self, *, module: Any, penalized: Any, module_parameters: dict, **common: Any
    ) -> None:
        super().__init__(**common)
        self.module = module
        self.penalized = penalized
        # What a module takes is known to the module alone, so that these parameters cannot
        # stand in the signature. They are attributes of their own, under the name they are
        # given by, and get_params and set_params know them: all that clone and searches ask.
        # (The prefix in the name `**module__parameters` is no accident: scikit-learn's checks
        # give every name in a signature a value.)
        for name, value in module_parameters.items():
            if not name.startswith(_PREFIX):
                raise TypeError(
                    f"{type(self).__name__} has no parameter {name!r}. A parameter of the "
                    f"module is given as {_PREFIX}{name}."
                )
            setattr(self, name, value)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters of this estimator, those of the module included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return the parameters of a penalty too.

        Returns
        -------
        dict of str -> object
        """
        own = {k: v for k, v in sorted(vars(self).items()) if k.startswith(_PREFIX)}
        return {**super().get_params(deep=deep), **own}

    def set_params(self, **params: Any) -> Self:
        """Set parameters of this estimator, of its module and of its penalty.

        Parameters
        ----------
        **params : dict of str -> object
            ``module__name`` for those of the module, ``penalty__name`` for those of a
            penalty.

        Returns
        -------
        self : object
        """
        own = {k: v for k, v in params.items() if k.startswith(_PREFIX)}
        super().set_params(**{k: v for k, v in params.items() if k not in own})
        for name, value in own.items():
            setattr(self, name, value)
        return self

    @property
    def module_(self) -> nn.Module:
        """The trained module."""
        self._fitted_net()
        return self.net_.module_.network

    @property
    def penalized_parameters_(self) -> list[str]:
        """Names of the module's parameters that the penalty is put on."""
        self._fitted_net()
        return self.net_.penalized_names()

    # ------------------------------------------------------------------ the network

    def _module_parameters(self) -> dict[str, Any]:
        named = self.get_params(deep=False).items()
        return {k.removeprefix(_PREFIX): v for k, v in named if k.startswith(_PREFIX)}

    def _make_module(self, X: Any) -> SingleNetwork:
        parameters = self._module_parameters()
        network = build_network(
            self.module,
            parameters,
            sample_shape=X.shape[1:],
            n_outputs=self.n_outputs_,
            seed=self._random_state.randint(2**31 - 1),
            dtype=torch_dtype(self._dtype),
        )
        self._built_from = (self.module, fingerprint(parameters))
        return SingleNetwork(
            network,
            self.n_outputs_,
            sample_shape=X.shape[1:] if X.ndim > 2 else (),
            two_scores_as_one=is_classifier(self) and not self._multilabel,
        )

    _multilabel = False

    def _check_same_architecture(self, n_outputs: int) -> None:
        module, parameters = self._built_from
        changes = {
            "module": module is not self.module,
            "its parameters": parameters != fingerprint(self._module_parameters()),
            "the number of outputs": n_outputs != self.n_outputs_,
        }
        changed = ", ".join(name for name, differs in changes.items() if differs)
        if changed:
            raise ValueError(
                f"The fitted network cannot be trained on: its architecture changed "
                f"({changed}). Set warm_start=False and call fit to start anew."
            )

    def _make_penalty(self) -> Any:
        return make_penalties(self.penalty, self.alpha, self.l1_ratio)

    def _net_class(self) -> Callable[..., RegularizedNet]:
        return partial(ModuleNet, penalized=self.penalized)

    def _varying(self, module: SingleNetwork) -> str:
        if module.draws():
            return "the module has dropout"
        return "the module has batch normalization" if module.mixes_rows() else ""

    # ------------------------------------------------------------------ rows

    def _split(self, X: Any, *rest: Any) -> Any:
        train, valid = super()._split(_flat(X), *rest)
        net, n_samples = self.net_, len(train)
        if net.module_.mixes_rows():
            # Batch normalization has nothing to go by in a batch of a single row.
            while n_samples % net.batch_size == 1:
                net.batch_size += 1
        return train, valid

    def _pick_inputs(self, X: Any) -> Any:
        fitted_on = self.net_.module_.sample_shape or (self.n_features_in_,)
        if X.shape[1:] != fitted_on:
            raise ValueError(
                f"X has rows of shape {X.shape[1:]}, but {type(self).__name__} was fitted on "
                f"rows of shape {fitted_on}."
            )
        return _flat(X)

    def _pick_inputs_to_train_on(self, X: Any) -> Any:
        self._pick_inputs(X)
        return X

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _flat(X: Any) -> Any:
    return X if X.ndim == 2 else np.reshape(X, (len(X), -1))
