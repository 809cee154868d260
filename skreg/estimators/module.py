"""The estimators that train anybody's torch module."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from inspect import Parameter, signature
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils._param_validation import StrOptions
from sklearn.utils._tags import Tags
from torch import nn

from skreg.estimators.base import BaseRegularizedNetwork
from skreg.estimators.parameters import parameter, parametrized
from skreg.estimators.targets import Classification, Regression
from skreg.modules.adapter import SingleNetwork, build_network, torch_dtype
from skreg.modules.penalized import Penalized, make_penalties
from skreg.penalties import Penalty
from skreg.penalties.by_name import PENALTIES
from skreg.training.fingerprint import fingerprint
from skreg.training.module_net import ModuleNet
from skreg.training.net import RegularizedNet

_PREFIX = "module__"


def takes_module_parameters(cls: Any) -> Any:
    """Let the `__init__` of a class take ``module__name=value`` too."""
    listed = signature(cls)
    # The prefix in the name is no accident: scikit-learn's checks give every name in a
    # signature a value.
    rest = Parameter(f"{_PREFIX}parameters", Parameter.VAR_KEYWORD)

    @wraps(cls.__init__)
    def init(self: Any, *args: Any, **parameters: Any) -> None:
        # What a module takes is known to the module alone, so that these parameters cannot
        # stand in the signature. They are attributes under the name they are given by, and
        # get_params and set_params know them: all that clone and searches ask.
        unlisted = [name for name in parameters if name not in listed.parameters]
        of_module = {name: parameters.pop(name) for name in unlisted}
        for name in of_module:
            if not name.startswith(_PREFIX):
                raise TypeError(
                    f"{type(self).__name__} has no parameter {name!r}. A parameter of the "
                    f"module is given as {_PREFIX}{name}."
                )
        init.__wrapped__(self, *args, **parameters)
        vars(self).update(of_module)

    init.__signature__ = signature(init).replace(  # type: ignore[attr-defined]
        parameters=[*signature(init).parameters.values(), rest]
    )
    cls.__init__ = init
    return cls


@parametrized
class BaseRegularizedModule(BaseRegularizedNetwork):
    """An estimator whose network is a torch module that the user gives.

    Parameters
    ----------
    module : class, torch.nn.Module or callable
        The network.

        - A class of modules is called with the ``module__name`` parameters, and with
          `n_features` and `n_outputs` if it has parameters of these names.
        - An instance is copied, and trained from the weights that it has.
        - A function is called as ``module(n_features, n_outputs)``, with the ``module__name``
          parameters as keywords.

        It takes a tensor of the dtype of X, of shape (n_samples, n_features), or
        (n_samples, ...) where X has more axes, and returns one tensor.

        - Of a regressor, of shape (n_samples, n_outputs), or (n_samples,) where y has one
          dimension.
        - Of a classifier, raw scores without softmax or sigmoid: (n_samples, n_classes); for
          two classes (n_samples,), (n_samples, 1) or (n_samples, 2); for multilabel targets
          (n_samples, n_labels).

        With batch normalization `batch_size` is raised by what it takes to leave no last
        batch of one row.
    penalty : str, Penalty, dict or None, default="l2"
        What is put on the weights: "l1", "l2", "elasticnet", "group_lasso",
        "sparse_group_lasso", "mcp", "scad", "group_mcp" or "group_scad"; or a
        dict of penalties by name pattern, as in
        ``{"embed.*": L2(1e-3), "*.weight": L1(1e-4)}``: of the penalized parameters each
        gets that of the first pattern that fits its name, and what fits none gets none. An
        object of :mod:`skreg.penalties` may have a strength, as in
        ``L1(alpha=0.01)``; what it leaves at None it takes from `alpha` and `l1_ratio`.
        None is the unpenalized network.
    penalized : str, list of str, callable or None, default=None
        What is penalized. None is a rule: the weights of linear, convolution, embedding,
        recurrent and attention layers, never biases or what belongs to a normalization. A
        name pattern as ``"*.weight"`` or ``"encoder.*"``, several, or a function
        ``penalized(name, parameter)`` that says yes or no, are taken at their word. Where
        there is a penalty and nothing to put it on, `fit` raises ValueError.
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights, the validation split, the order of the samples and
        what the module draws in training. None draws fresh entropy. Torch's global
        generator is lent to the module, seeded from here, and put back after.
    penalize_bias : bool, default=False
        Put the penalty on the biases too, where `penalized` is None.
    **module__parameters
        Parameters of the module, as ``module__name=value``.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained module.
    penalized_parameters_ : list of str
        Names of its parameters that the penalty is put on.
    """

    module: Any = parameter(callable, kw_only=False)
    penalty: Any = parameter(StrOptions(set(PENALTIES)), Penalty, dict, None, default="l2")
    penalized: Penalized = parameter(str, list, tuple, callable, None, default=None)

    _allow_nd = True
    _multilabel = False

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
        of_module = {f"{_PREFIX}{k}": v for k, v in self._module_parameters().items()}
        return super().get_params(deep=deep) | of_module

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
        of_module = {k: v for k, v in params.items() if k.startswith(_PREFIX)}
        super().set_params(**{k: v for k, v in params.items() if k not in of_module})
        self.__dict__.update(of_module)
        return self

    @property
    def module_(self) -> nn.Module:
        """The trained module."""
        module: Any = self._fitted_net().module_
        return module.network

    @property
    def penalized_parameters_(self) -> list[str]:
        """Names of the module's parameters that the penalty is put on."""
        net: Any = self._fitted_net()
        return net.penalized_names()

    # ------------------------------------------------------------------ the network

    def _module_parameters(self) -> dict[str, Any]:
        named = sorted(vars(self).items())
        return {k.removeprefix(_PREFIX): v for k, v in named if k.startswith(_PREFIX)}

    def _make_module(
        self, X: Any, given: tuple[Any, Any, Any], incremental: bool
    ) -> SingleNetwork:
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

    def _check_continues(self, n_outputs: int) -> None:
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
                f"({changed}). Set warm_start=False and call fit to start from scratch."
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
        net: Any = self.net_
        n_samples = len(train)
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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


@takes_module_parameters
@parametrized
class RegularizedNetRegressor(BaseRegularizedModule, Regression):
    """Regressor of any torch module, with penalized weights.

    The objective, over the module's parameters, is ::

        sum_i s_i l(y_i, f(x_i)) / sum_i s_i  +  alpha * Omega(W)

    as in :class:`RegularizedMLPRegressor`, where f is the module and W what is `penalized`.

    See Also
    --------
    RegularizedMLPRegressor : For multi-layer perceptrons, and much faster there.
    RegularizedNetClassifier : The same for classification.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from skreg import RegularizedNetRegressor
    >>> class Residual(torch.nn.Module):
    ...     def __init__(self, n_features, hidden=8):
    ...         super().__init__()
    ...         self.skip = torch.nn.Linear(n_features, 1)
    ...         self.bend = torch.nn.Sequential(
    ...             torch.nn.Linear(n_features, hidden),
    ...             torch.nn.BatchNorm1d(hidden),
    ...             torch.nn.ReLU(),
    ...             torch.nn.Linear(hidden, 1),
    ...         )
    ...
    ...     def forward(self, x):
    ...         return self.skip(x) + self.bend(x)
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = RegularizedNetRegressor(
    ...     Residual, module__hidden=4, penalty="l1", alpha=0.05, learning_rate_init=0.02,
    ...     random_state=0,
    ... ).fit(scale(X), scale(y))
    >>> model.penalized_parameters_                     # the rule: no bias, no normalization
    ['skip.weight', 'bend.0.weight', 'bend.3.weight']
    >>> bool(model.sparsity_ > 0.3), bool(model.score(scale(X), scale(y)) > 0.45)
    (True, True)
    """


@takes_module_parameters
@parametrized
class RegularizedNetClassifier(BaseRegularizedModule, Classification):
    """Classifier of any torch module, with penalized weights.

    The objective, over the module's parameters, is ::

        sum_i s_i l(y_i, f(x_i)) / sum_i s_i  +  alpha * Omega(W)

    as in :class:`RegularizedMLPClassifier`, where f is the module and W what is `penalized`.

    See Also
    --------
    RegularizedMLPClassifier : For multi-layer perceptrons, and much faster there.
    RegularizedNetRegressor : The same for regression.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from torch import nn
    >>> from skreg import RegularizedNetClassifier
    >>> def small_cnn(n_features, n_outputs, channels=4):
    ...     return nn.Sequential(
    ...         nn.Unflatten(1, (1, 8, 8)),
    ...         nn.Conv2d(1, channels, 3),
    ...         nn.ReLU(),
    ...         nn.Flatten(),
    ...         nn.Linear(36 * channels, n_outputs),
    ...     )
    >>> X, y = load_digits(return_X_y=True)
    >>> model = RegularizedNetClassifier(
    ...     small_cnn, module__channels=6, penalty={"1.*": "l2", "4.*": "l1"}, alpha=1e-3,
    ...     learning_rate_init=0.01, max_iter=15, n_iter_no_change=15, random_state=0, tol=1.0,
    ... ).fit(X[:1000] / 16, y[:1000])
    >>> bool(model.score(X[1000:] / 16, y[1000:]) > 0.9)
    True
    """


def _flat(X: Any) -> Any:
    return X if X.ndim == 2 else np.reshape(X, (len(X), -1))
