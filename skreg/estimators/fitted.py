"""What can be read off a fitted network: weights, how many are zero, which features count."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from skreg.estimators.compact import CompactMixin
from skreg.estimators.persistence import VersionedMixin
from skreg.modules import MLP
from skreg.penalties.reach import units_that_reach_outputs
from skreg.training.net import RegularizedNet


class FittedNetwork(VersionedMixin):
    """An estimator whose network is in ``net_`` once it is fitted."""

    net_: RegularizedNet

    @property
    def sparsity_(self) -> float:
        """Share of the penalized weights that are exactly zero."""
        penalized = [_to_numpy(weight) for weight in self._fitted_net().penalized_weights()]
        zeros = sum(int((weight == 0).sum()) for weight in penalized)
        return zeros / max(1, sum(weight.size for weight in penalized))

    def __sklearn_is_fitted__(self) -> bool:
        return "net_" in vars(self)

    def _fitted_net(self) -> RegularizedNet:
        if not self.__sklearn_is_fitted__():
            # An AttributeError, so that hasattr tells fitted from unfitted.
            raise AttributeError(
                f"This {type(self).__name__} is not fitted yet: call fit first."
            )
        return self.net_


class FittedMLP(CompactMixin, FittedNetwork):
    """What can be read off a multi-layer perceptron."""

    net_: RegularizedNet

    @property
    def coefs_(self) -> list[np.ndarray]:
        """Weights of each layer, arrays of shape (fan_in, fan_out)."""
        return [_to_numpy(weight[0]) for weight in self._fitted_module().weights]

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """Biases of each layer, arrays of shape (fan_out,)."""
        return [_to_numpy(bias[0]) for bias in self._fitted_module().biases]

    @property
    def feature_importances_(self) -> np.ndarray:
        """How much the outputs can change with each feature, shape (`n_features_in_`,).

        The sum over all paths from the feature to an output of the products of ``|weight|``
        along the path: ``|coef|`` for a linear model. With ``"relu"``, ``"tanh"`` and
        ``"identity"`` no output changes faster with the feature than this. In units of raw
        output per unit of the feature: scale the features to compare them.
        """
        reach = 1.0
        for weight in reversed(self.coefs_):
            reach = np.abs(weight.astype(np.float64)) @ (reach * np.ones(weight.shape[1]))
        return self._by_feature(np.asarray(reach))

    @property
    def selected_features_(self) -> np.ndarray:
        """Mask of the features that reach an output, shape (`n_features_in_`,).

        False where every path to an output has a weight that is exactly zero: the
        predictions do not depend on that feature at all.
        """
        weights = [weight[0] for weight in self._fitted_module().weights]
        return self._by_feature(_to_numpy(units_that_reach_outputs(weights)[0]))

    def _fitted_module(self) -> MLP:
        return self._fitted_net().module_


def _to_numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
