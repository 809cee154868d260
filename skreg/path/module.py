"""Anybody's torch module on a path: what is counted, and what a walk and its refits ask of it.

A module does not say what a feature is to it. Where the first of its layers that has weights
is an ``nn.Linear`` on the whole row, the columns of that layer's weight are the features.
Otherwise units are counted: a unit is what a group penalty calls a group, the outgoing
weights of one input, or input channel, of one parameter.

The counterpart for multi-layer perceptrons is :mod:`skreg.path.mlp`.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skreg.modules.adapter import SingleNetwork, torch_draws_from
from skreg.modules.penalized import WEIGHT_LAYERS, assign_penalties
from skreg.optim.fista import FISTA
from skreg.path.support import KeepSupport
from skreg.path.walk import Step, with_strengths
from skreg.penalties import Penalty
from skreg.training.data import TensorData
from skreg.training.module_net import AutogradPasses, ModuleNet, as_stack
from skreg.training.passes import mean_losses
from skreg.training.progress import Progress

# A penalty so strong takes all that it ever takes from weights of 1.
_ENORMOUS = 1e9
# Rows that are shown to the module to see which layer they come to first.
_SHOWN = 2
# A module of these alone is a linear model.
_LINEAR = (nn.Linear, nn.Sequential, nn.Flatten, nn.Unflatten, nn.Identity)


class PathModule:
    """The net of a torch module on a path.

    Parameters
    ----------
    net : ModuleNet
    rows : TensorData
        What it is trained on.
    following : container of str, default=None
        Name patterns of a dict of penalties whose strengths are the path's; the others keep
        theirs. None where there is one penalty.
    """

    measured_at_once = 1
    supports_at_once = 1

    def __init__(
        self, net: ModuleNet, rows: TensorData, following: Container[str] | None = None
    ) -> None:
        self.net = net
        self._rows = rows
        self._following = following

    # ------------------------------------------------------------------ what is counted

    @cached_property
    def _followers(self) -> dict[str, Penalty]:
        """Names of the parameters whose penalty follows the path's alpha, and the penalty."""
        net, follows = self.net, dict.fromkeys(self.net.penalized_names(), True)
        penalties: Any = net.penalty
        if self._following is not None:
            flags: Any = {pattern: pattern in self._following for pattern in penalties}
            follows = assign_penalties(  # type: ignore[assignment]
                net.module_.network, flags, net.penalized, penalize_bias=net.penalize_bias
            )
        by_name = net._penalties()
        followers = {name: by_name[name] for name in follows if follows[name]}
        chosen = {name: own for name, own in followers.items() if own is not None}
        if not chosen:
            raise ValueError(
                f"No parameter of the module {type(net.module_.network).__name__} has a "
                f"penalty whose strength a path can raise, with penalized={net.penalized!r}. "
                f"Give a penalty to the weights that are to go."
            )
        return chosen

    @cached_property
    def _counts(self) -> tuple[bool, list[str]]:
        """Whether features are counted, and the parameters whose columns are."""
        trained = self.net._trained()
        ends = [n for n, penalty in self._followers.items() if _empties(penalty, trained[n])]
        names = ends or list(self._followers)
        layers = layers_of_features(self.net.module_, self._rows, self.net.device)
        if layers and set(layers) <= set(names):
            return True, layers
        # A bias has no outgoing weights.
        return False, [name for name in names if trained[name].ndim > 1] or names

    @property
    def counts_features(self) -> bool:
        return self._counts[0]

    @property
    def unit_parameters(self) -> np.ndarray | None:
        """Names of the parameters that units are counted of, one for each unit."""
        features, names = self._counts
        if features:
            return None
        trained = self.net._trained()
        return np.repeat(names, [len(_by_unit(trained[name])) for name in names])

    @property
    def is_linear(self) -> bool:
        features, names = self._counts
        network = self.net.module_.network
        kinds = [type(layer) for layer in network.modules()]
        return (
            features
            and all(kind in _LINEAR for kind in kinds)
            and kinds.count(nn.Linear) == 1
            # A bias that is penalized is not the constant that costs least.
            and list(self._followers) == self.net.penalized_names() == names
        )

    # ------------------------------------------------------------------ on the way

    @torch.no_grad()
    def selected(self) -> np.ndarray:
        features, names = self._counts
        trained = self.net._trained()
        alive = [(_by_unit(trained[name]) != 0).any(1) for name in names]
        together = torch.stack(alive).any(0) if features else torch.cat(alive)
        return together.cpu().numpy()[None]

    def is_finite(self) -> bool:
        return bool(torch.isfinite(self.net.sums_of_weights()).all())

    def state(self, member: int) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self._named().items()}

    def tensors(self) -> list[Tensor]:
        return [tensor.unsqueeze(0) for tensor in self._named().values()]

    def moments(self) -> list[Tensor]:
        if isinstance(self.net.optimizer_, FISTA):
            return []
        states = self.net.optimizer_.state.values()
        tensors = [t for s in states for t in s.values() if isinstance(t, Tensor) and t.ndim]
        return [tensor.unsqueeze(0) for tensor in tensors]

    def set_strengths(self, **values: np.ndarray) -> None:
        net: Any = self.net
        strengths = {name: float(each[0]) for name, each in values.items()}
        if isinstance(net.penalty, dict):
            assert self._following is not None
            net.penalty = {
                pattern: with_strengths(own, strengths) if pattern in self._following else own
                for pattern, own in net.penalty.items()
            }
        else:
            net.penalty = with_strengths(net.penalty, strengths)
        if net.penalty is None:
            return
        for name, group in zip(net._trained(), net.optimizer_.param_groups, strict=True):
            if name in self._followers:
                group["penalty"] = with_strengths(group["penalty"], strengths)

    def _named(self) -> dict[str, Tensor]:
        """All that training changes, by name: weights that are not frozen, and buffers."""
        module = self.net.module_
        trained = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
        return {**trained, **dict(module.named_buffers())}

    # ------------------------------------------------------------------ its end

    def linear_parts(self, rows: TensorData) -> tuple[Any, Tensor, Tensor | None]:
        trained = self.net._trained()
        weight = trained.pop(self._counts[1][0])
        bias = next(iter(trained.values()), None)
        parts = [weight] if bias is None else [weight, bias]
        return AutogradPasses(self.net.module_, self.net.criterion_, parts), weight, bias

    @torch.no_grad()
    def leaves_zero(self, alphas: np.ndarray, step: float, gradient: Any = None) -> np.ndarray:
        trained, names = self.net._trained(), self._counts[1]
        gradients = (
            [torch.ones_like(as_stack(trained[name])) for name in names]
            if gradient is None
            else [gradient]
        )
        moved = [
            with_strengths(self._followers[name], {"alpha": float(alphas[0])}).prox(
                -step * own, step
            )
            for name, own in zip(names, gradients, strict=True)
        ]
        return np.array([any(bool((weight != 0).any()) for weight in moved)])

    # ------------------------------------------------------------------ its steps

    def measure(
        self, steps: Sequence[Step], rows: TensorData, held_out: TensorData | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the data loss of each step, and its raw outputs on the rows held out."""
        net, losses, raws = self.net, [], []
        passes = AutogradPasses(net.module_, net.criterion_, [])
        for step in steps:
            self.place(step.state)
            losses.append(mean_losses(passes, rows, net.batch_size))
            if held_out is not None:
                raws.append(net.raw_outputs(held_out))
        return torch.cat(losses), torch.cat(raws) if raws else None

    @torch.no_grad()
    def place(self, state: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` returned."""
        for name, tensor in self._named().items():
            tensor.copy_(state[name])

    def on_supports(self, steps: Sequence[Step], progress: Progress) -> PathModule:
        """Return an untrained twin that keeps the support of this one step."""
        (step,) = steps
        module = copy.deepcopy(self.net.module_)
        net = self.net.on_module(module, penalty=None, progress=progress)
        twin = PathModule(net, self._rows)
        twin.place(step.state)
        twin.net.set_penalty(self._keep(step.selected))
        return twin

    def _keep(self, selected: np.ndarray) -> dict[str, Penalty | None]:
        """For each parameter that is counted, what keeps its units that are not selected 0."""
        features, names = self._counts
        trained, start = self.net._trained(), 0
        keep: dict[str, Penalty | None] = {}
        for name in names:
            weight = trained[name].detach()
            mask = torch.ones_like(weight)
            n_units = len(_by_unit(mask))
            own = selected if features else selected[start : start + n_units]
            start += n_units
            _by_unit(mask)[torch.from_numpy(~own).to(mask.device)] = 0.0
            # The solver for all rows at once has its own view of the weights.
            fista = isinstance(self.net.optimizer_, FISTA)
            keep[name] = KeepSupport(as_stack(mask) if fista else mask)
        return keep


def _by_unit(parameter: Tensor) -> Tensor:
    """A view of weights as (n_units, weights of each): by what a group penalty groups."""
    if parameter.ndim < 2:
        return parameter.detach().reshape(-1, 1)
    return parameter.detach().transpose(0, 1).flatten(1)


def _empties(penalty: Penalty, parameter: Tensor) -> bool:
    """Whether the penalty leaves nothing of the weights if only it is strong enough."""
    enormous = with_strengths(penalty, {"alpha": _ENORMOUS})
    with torch.no_grad():
        left = enormous.prox(torch.ones_like(as_stack(parameter)), 1.0)
    return not bool((left != 0).any())


@torch.no_grad()
def layers_of_features(module: SingleNetwork, rows: TensorData, device: Any) -> list[str]:
    """Return the names of the weights whose columns are the features, if there are such.

    These are the weight of the first layer with weights that the module calls, where that is
    an ``nn.Linear`` on as many numbers as a row has, and of all that get the same numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from skreg.training.data import TensorData
    >>> from skreg.modules.adapter import SingleNetwork
    >>> from skreg.path.module import layers_of_features
    >>> rows = TensorData(np.ones((3, 4), dtype=np.float32), None)
    >>> net = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> layers_of_features(SingleNetwork(net, 1), rows, "cpu")
    ['1.weight']
    """
    calls: list[tuple[str, nn.Module, Any]] = []
    handles = [
        layer.register_forward_pre_hook(
            lambda layer, inputs, name=name: calls.append(
                (name, layer, inputs[0] if inputs else None)
            )
        )
        for name, layer in module.network.named_modules()
        if isinstance(layer, WEIGHT_LAYERS)
    ]
    was_training = module.training
    generator = torch.Generator(device).manual_seed(0)
    try:
        X, _, _ = next(rows.to(device).batches(_SHOWN))
        with torch_draws_from(generator):
            module.eval()(X[:_SHOWN])
    finally:
        module.train(was_training)
        for handle in handles:
            handle.remove()
    if not calls:
        return []
    _, first, seen = calls[0]
    if not isinstance(first, nn.Linear) or getattr(seen, "shape", None) != X.shape:
        return []
    alike = [
        (name, layer)
        for name, layer, given in calls
        if isinstance(given, Tensor) and torch.equal(given, seen)
    ]
    if not all(isinstance(layer, nn.Linear) for _, layer in alike):
        return []
    return list(dict.fromkeys(f"{name}.weight".lstrip(".") for name, _ in alike))
