"""The networks of a path: what is counted, put back, penalized and measured of each kind.

:class:`PathNetwork` is a stack of multi-layer perceptrons. Features are counted: one is in as
long as it reaches an output. :class:`PathModule` is one torch module, which does not say what
a feature is to it. Where :func:`layers_of_features` finds layers whose
columns are the features, these are counted. Otherwise units are: a unit is what a group
penalty calls a group, the outgoing weights of one input, or input channel, of one parameter.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skreg.modules import MLP
from skreg.modules.adapter import SingleNetwork, torch_draws_from
from skreg.modules.backprop import Backprop
from skreg.modules.penalized import WEIGHT_LAYERS, assign_penalties
from skreg.penalties import Penalty
from skreg.penalties.reach import units_that_reach_outputs
from skreg.training.data import TensorData
from skreg.training.module_net import AutogradPasses, ModuleNet, as_stack
from skreg.training.net import RegularizedNet
from skreg.training.passes import forward_all, mean_losses, raw_outputs
from skreg.training.progress import Progress

# Weights of all the supports that are trained as one stack.
_NUMBERS_AT_ONCE = 2**21
# A penalty so strong leaves of weights of 1 what it would ever leave.
_ENORMOUS = 1e9
# Rows that are shown to a module to see which layer they come to first.
_SHOWN = 2
# A module of these alone is a linear model.
_LINEAR = (nn.Linear, nn.Sequential, nn.Flatten, nn.Unflatten, nn.Identity)


@dataclass(frozen=True)
class PathPoint:
    """What one member of a stack is after training at one alpha."""

    alpha: float
    #: Weights and whatever else the module holds, by name.
    state: dict[str, Tensor]
    #: Which features, or units, are in.
    selected: np.ndarray
    #: How long it has trained there, in rounds of a path follower.
    n_rounds: int
    #: The penalty's other parameters there.
    convexity: dict[str, float]


class PathNetwork:
    """A stack of multi-layer perceptrons on a path."""

    #: Whether features are counted, and not units.
    counts_features = True
    #: Names of the parameters that units are counted of, one for each unit.
    unit_parameters: np.ndarray | None = None
    #: How many points of a path are measured as one stack.
    points_at_once = 16

    def __init__(self, net: RegularizedNet) -> None:
        self.net = net

    @property
    def supports_at_once(self) -> int:
        """How many supports are refitted as one stack."""
        return max(1, _NUMBERS_AT_ONCE // self.net.module_.weight.shape[1])

    @property
    def is_linear(self) -> bool:
        """Whether the network is a linear model of its rows."""
        return not self.net.module_.hidden_layer_sizes

    @torch.no_grad()
    def selected(self) -> np.ndarray:
        """Which features, or units, are in, shape (n_members, n_features)."""
        return units_that_reach_outputs(self.net.module_.weights)[0].cpu().numpy()

    def named_tensors(self) -> dict[str, Tensor]:
        """Views of all that training changes, of shape (n_members, ...), by name."""
        return {name: p.detach() for name, p in self.net.module_.named_parameters()}

    def moments(self) -> list[Tensor]:
        """Views of what the optimizer knows of each weight, of shape (n_members, ...)."""
        return self.net.optimizer_.moments()

    def state(self, member: int) -> dict[str, Tensor]:
        """Copies of what the module holds of a member, by name."""
        return {name: tensor[member].clone() for name, tensor in self.named_tensors().items()}

    def set_strengths(self, **values: np.ndarray) -> None:
        """Set parameters of each member's penalty: its alpha, or what else may differ."""
        strengths = self._scalars_or_tensors(values)
        self.net.penalty = self._with_strengths(self.net.penalty, strengths)
        # Not by `set_penalty`: the kind is the same, and the optimizer's state is kept.
        for group in self._groups():
            group["penalty"] = with_strengths(group["penalty"], strengths)

    @torch.no_grad()
    def leaves_zero(
        self, alphas: np.ndarray, step: float, gradient: Tensor | None = None
    ) -> np.ndarray:
        """Whether a proximal step along the gradient leaves zero weights, by member.

        Without a gradient one of ones is taken.
        """
        strengths = self._scalars_or_tensors({"alpha": alphas})
        leaves = np.zeros(len(alphas), dtype=bool)
        for weight, penalty in self._counted():
            along = torch.ones_like(weight) if gradient is None else gradient
            moved = with_strengths(penalty, strengths).prox(-step * along, step)
            leaves |= (moved != 0).flatten(1).any(1).cpu().numpy()
        return leaves

    def _scalars_or_tensors(self, values: dict[str, np.ndarray]) -> dict[str, Any]:
        like = next(self.net.module_.parameters())
        return {
            name: float(each[0]) if (each == each[0]).all() else like.new_tensor(each)
            for name, each in values.items()
        }

    def linear_parts(self, rows: TensorData) -> tuple[Any, Tensor, Tensor | None]:
        """Passes over the rows, and the weights and biases they give the gradients of."""
        module = self.net.module_
        return Backprop(module, self.net.criterion_, rows.readers), module.weight, module.bias

    def _with_strengths(self, penalty: Any, strengths: dict[str, Any]) -> Any:
        return with_strengths(penalty, strengths)

    def _groups(self) -> Iterable[dict[str, Any]]:
        """The optimizer's groups whose penalty follows the path's alpha."""
        return self.net.optimizer_.param_groups

    def _counted(self) -> list[tuple[Tensor, Any]]:
        """Stacks of the weights that features, or units, are counted of; their penalties."""
        return [(self.net.module_.weight, self.net.optimizer_.param_groups[0]["penalty"])]

    def losses(self, points: Sequence[PathPoint], rows: TensorData) -> Tensor:
        """Mean data loss of each point."""
        return mean_losses(self._passes_at(points, rows), rows, self.net.batch_size)

    def raw_outputs(self, points: Sequence[PathPoint], rows: TensorData) -> Tensor:
        """Raw outputs of each point, shape (n_points, n_samples, n_outputs)."""
        return raw_outputs(self._stack_of(points), rows, self.net.device)

    def copy_at(self, points: Sequence[PathPoint], progress: Progress) -> PathNetwork:
        """Return an untrained net without a penalty that has a member for each point."""
        net = self.net.on_module(
            self._stack_of(points),
            penalty=None,
            penalize_bias=False,
            progress=progress,
            # They read one stream, in the order of the first; dropout is drawn for each.
            shufflers=list(self.net.shufflers) * len(points),
        )
        return PathNetwork(net)

    def support_masks(self, points: Sequence[PathPoint]) -> Any:
        """Masks of the weights that belong to the support of each member; a dict by name."""
        module = self.net.module_
        fan_out = module.weights[0].shape[2]
        mask = torch.ones_like(module.weight[:1]).repeat(len(points), 1)
        for member, point in enumerate(points):
            selected = torch.from_numpy(point.selected).to(mask)
            mask[member, : len(selected) * fan_out] = selected.repeat_interleave(fan_out)
        return mask

    def _passes_at(self, points: Sequence[PathPoint], rows: TensorData) -> Any:
        return Backprop(self._stack_of(points), self.net.criterion_, rows.readers)

    def _stack_of(self, points: Sequence[PathPoint]) -> MLP:
        weight, bias = (torch.stack([p.state[k] for p in points]) for k in ("weight", "bias"))
        return MLP.of(weight, bias, **self.net.module_.architecture).eval()


class PathModule(PathNetwork):
    """A torch module on a path, which is trained on these rows.

    Of a dict of penalties, those of the name patterns `following` have the path's strength;
    the others keep theirs.
    """

    net: ModuleNet
    points_at_once = supports_at_once = 1

    def __init__(
        self, net: ModuleNet, rows: TensorData, following: Container[str] | None = None
    ) -> None:
        super().__init__(net)
        self._rows = rows
        self._following = following

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
        by_name: dict[str, Any] = net._penalties()
        names = [name for name in follows if follows[name] and by_name[name] is not None]
        chosen = {name: by_name[name] for name in names}
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
        emptied = [n for n, penalty in self._followers.items() if _empties(penalty, trained[n])]
        names = emptied or list(self._followers)
        layers = layers_of_features(self.net.module_, self._rows, self.net.device)
        if layers and set(layers) <= set(names):
            return True, layers
        # A bias has no outgoing weights.
        return False, [name for name in names if trained[name].ndim > 1] or names

    @property
    def counts_features(self) -> bool:  # type: ignore[override]
        return self._counts[0]

    @property
    def unit_parameters(self) -> np.ndarray | None:  # type: ignore[override]
        features, names = self._counts
        if features:
            return None
        trained = self.net._trained()
        return np.repeat(names, [as_stack(trained[name]).shape[1] for name in names])

    @property
    def is_linear(self) -> bool:
        features, names = self._counts
        kinds = [type(layer) for layer in self.net.module_.network.modules()]
        return (
            features
            and all(kind in _LINEAR for kind in kinds)
            and kinds.count(nn.Linear) == 1
            # A bias that is penalized is not the constant that costs least.
            and list(self._followers) == self.net.penalized_names() == names
        )

    @torch.no_grad()
    def selected(self) -> np.ndarray:
        features, names = self._counts
        trained = self.net._trained()
        units = [as_stack(trained[name])[0] for name in names]
        alive = [(weights != 0).reshape(len(weights), -1).any(1) for weights in units]
        together = torch.stack(alive).any(0) if features else torch.cat(alive)
        return together.cpu().numpy()[None]

    def named_tensors(self) -> dict[str, Tensor]:
        module = self.net.module_
        trained = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
        tensors = {**trained, **dict(module.named_buffers())}
        return {name: tensor.unsqueeze(0) for name, tensor in tensors.items()}

    def moments(self) -> list[Tensor]:
        return [tensor.unsqueeze(0) for tensor in super().moments()]

    def _with_strengths(self, penalty: Any, strengths: dict[str, Any]) -> Any:
        if self._following is None:
            return with_strengths(penalty, strengths)
        return penalty and {
            pattern: with_strengths(each, strengths) if pattern in self._following else each
            for pattern, each in penalty.items()
        }

    def _counted(self) -> list[tuple[Tensor, Any]]:
        trained = self.net._trained()
        return [(as_stack(trained[name]), self._followers[name]) for name in self._counts[1]]

    def _groups(self) -> Iterable[dict[str, Any]]:
        if self.net.penalty is None:
            return []
        groups = zip(self.net._trained(), self.net.optimizer_.param_groups, strict=True)
        return [group for name, group in groups if name in self._followers]

    def linear_parts(self, rows: TensorData) -> tuple[Any, Tensor, Tensor | None]:
        trained = self.net._trained()
        weight = trained.pop(self._counts[1][0])
        bias = next(iter(trained.values()), None)
        parts = [weight] if bias is None else [weight, bias]
        return AutogradPasses(self.net.module_, self.net.criterion_, parts), weight, bias

    def raw_outputs(self, points: Sequence[PathPoint], rows: TensorData) -> Tensor:
        return forward_all(self._passes_at(points, rows), rows, self.net.device)

    def _passes_at(self, points: Sequence[PathPoint], rows: TensorData) -> AutogradPasses:
        (point,) = points
        place(self.net.module_, point)
        return AutogradPasses(self.net.module_, self.net.criterion_, [])

    def copy_at(self, points: Sequence[PathPoint], progress: Progress) -> PathModule:
        (point,) = points
        module = copy.deepcopy(self.net.module_)
        place(module, point)
        net = self.net.on_module(module, penalty=None, progress=progress)
        return PathModule(net, self._rows)

    def support_masks(self, points: Sequence[PathPoint]) -> dict[str, Tensor]:
        (point,) = points
        features, names = self._counts
        trained, start = self.net._trained(), 0
        # The solver for all rows at once works on views of the weights.
        groups = self.net.optimizer_.param_groups
        has_views = groups[0]["params"][0] is not next(iter(trained.values()))
        masks = {}
        for name in names:
            mask = torch.ones_like(trained[name].detach())
            units = as_stack(mask)
            selected = point.selected[start : start + units.shape[1]]
            start += 0 if features else len(selected)
            units[:, torch.from_numpy(~selected).to(mask.device)] = 0.0
            masks[name] = units if has_views else mask
        return masks


@torch.no_grad()
def layers_of_features(module: SingleNetwork, rows: TensorData, device: Any) -> list[str]:
    """Return the names of the weights whose columns are the features, if there are such.

    These are the weight of the first layer with weights that the module calls, where that is
    an ``nn.Linear`` on as many numbers as a row has, and of all that get the same numbers.
    """
    calls: list[tuple[str, nn.Module, Any]] = []

    def record(name: str, layer: nn.Module, inputs: tuple) -> None:
        calls.append((name, layer, inputs[0] if inputs else None))

    handles = [
        layer.register_forward_pre_hook(partial(record, name))
        for name, layer in module.network.named_modules()
        if isinstance(layer, WEIGHT_LAYERS)
    ]
    was_training = module.training
    try:
        X, _, _ = next(rows.to(device).batches(_SHOWN))
        with torch_draws_from(torch.Generator(device).manual_seed(0)):
            module.eval()(X[:_SHOWN])
    finally:
        module.train(was_training)
        for handle in handles:
            handle.remove()
    if not calls or getattr(calls[0][2], "shape", None) != X.shape:
        return []
    first = calls[0][2]
    alike = [call for call in calls if isinstance(call[2], Tensor) and call[2].equal(first)]
    if not all(isinstance(layer, nn.Linear) for _, layer, _ in alike):
        return []
    return list(dict.fromkeys(f"{name}.weight".lstrip(".") for name, _, _ in alike))


@torch.no_grad()
def place(module: nn.Module, point: PathPoint) -> None:
    """Put the weights of a point, and what else belongs to it, into a module."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name, value in point.state.items():
        tensors[name].copy_(value)


def with_strengths(penalty: Any, strengths: dict[str, Any]) -> Any:
    """Return the penalty (or None) with other values of these parameters."""
    if penalty is not None:
        penalty = copy.copy(penalty)
        for name, value in strengths.items():
            setattr(penalty, name, value)
    return penalty


def _empties(penalty: Penalty, parameter: Tensor) -> bool:
    """Whether the penalty leaves nothing of the weights if only it is strong enough."""
    enormous = with_strengths(penalty, {"alpha": _ENORMOUS})
    with torch.no_grad():
        left = enormous.prox(torch.ones_like(as_stack(parameter)), 1.0)
    return not bool((left != 0).any())
