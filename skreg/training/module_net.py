"""The skorch net of a user's torch module: gradients by autograd, penalties by name.

The optimizers move the parameters of the module, each in a group with its penalty, so that
training goes on wherever the module is pickled or moved to. Where an axis of members is
needed, it is a view.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from skreg.losses import Loss
from skreg.modules.adapter import SingleNetwork
from skreg.modules.penalized import Penalized, assign_penalties
from skreg.optim import optimality_residual
from skreg.penalties import Penalty
from skreg.penalties.groupwise import GroupPenalty
from skreg.training.data import TensorData
from skreg.training.epochs import ByAutograd, FullBatch
from skreg.training.net import RegularizedNet
from skreg.training.passes import forward_all, mean_losses_and_gradients


def as_stack(parameter: Tensor) -> Tensor:
    """A view of a torch layer's weights as a stack of one: (1, fan_in, fan_out, ...).

    >>> as_stack(nn.Linear(3, 8).weight).shape, as_stack(nn.Conv2d(3, 8, 5).weight).shape
    (torch.Size([1, 3, 8]), torch.Size([1, 3, 8, 5, 5]))
    """
    if parameter.ndim > 1:
        parameter = parameter.transpose(0, 1)
    return parameter.unsqueeze(0) if parameter.ndim else parameter.reshape(1, 1)


class AutogradPasses:
    """Outputs and gradients by autograd, for the passes over all rows.

    `gradients` are those of the weighted mean loss of the last batch by each of `parameters`,
    with an axis of members.
    """

    def __init__(self, module: SingleNetwork, loss: Loss, parameters: Sequence[Tensor]) -> None:
        self.module, self.loss, self._parameters = module, loss, list(parameters)
        self.gradients = [torch.zeros_like(as_stack(p)) for p in self._parameters]

    def outputs(self, X: Tensor) -> Tensor:
        """Return raw outputs in evaluation mode, shape (1, n_samples, n_outputs)."""
        self.module.eval()
        return self.module(X)

    def __call__(self, X: Tensor, y: Tensor, sample_weight: Tensor | None) -> Tensor:
        # cuDNN has no gradients of recurrent layers in evaluation mode.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=not X.is_cuda):
            raw = self.outputs(X)
            losses = self.loss.value(raw, y)
            if sample_weight is not None:
                losses = losses * sample_weight
            gradients = torch.autograd.grad(losses.mean(), self._parameters, allow_unused=True)
        self.gradients = [
            as_stack(torch.zeros_like(p) if g is None else g)
            for p, g in zip(self._parameters, gradients, strict=True)
        ]
        return raw.detach()


class ModuleNet(RegularizedNet):
    """A :class:`~skreg.training.net.RegularizedNet` whose module is a :class:`SingleNetwork`.

    Its `penalty` may be a dict by name pattern; for `penalized` see
    :func:`~skreg.modules.penalized.assign_penalties`.
    """

    module_: Any

    def __init__(self, *args: Any, penalized: Penalized, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.penalized = penalized

    def on_module(self, module: Any, **changes: Any) -> Self:
        return super().on_module(module, **{"penalized": self.penalized, **changes})

    def initialize_optimizer(self, *args: Any) -> Self:
        """Give each parameter its penalty, in a group for it alone."""
        named = self.module_.network.named_parameters()
        # What is trained stays so: a callback that freezes a parameter leaves its group.
        self._names = [name for name, parameter in named if parameter.requires_grad]
        trained: dict[str, Tensor] = dict(self._trained())
        if not trained:
            raise ValueError(
                f"The module {type(self.module_.network).__name__} has no parameters to train."
            )
        by_name = self._penalties()
        if getattr(self.optimizer, "func", self.optimizer).full_batch:
            # It works in place: on views of the parameters with an axis of members.
            trained = {name: as_stack(p.detach()) for name, p in trained.items()}
        else:
            self._check_shapes(by_name)
        self.optimizer_ = self.optimizer(
            [{"params": [p], "penalty": by_name.get(name)} for name, p in trained.items()]
        )
        self._rates = torch.empty(0).numpy()
        self.set_learning_rates()
        return self

    def _may_draw(self) -> bool:
        return True  # who knows what a module draws

    def get_all_learnable_params(self) -> Iterator[tuple[str, nn.Parameter]]:
        # By the names that the user's module has for them.
        yield from self.module_.network.named_parameters()

    def penalized_weights(self) -> list[Tensor]:
        trained = self._trained()
        return [trained[name] for name in self._penalties()]

    def penalized_names(self) -> list[str]:
        return list(self._penalties())

    def set_penalty(self, penalty: Any, **bound_to: Any) -> None:
        self.penalty = penalty
        by_name = self._penalties()
        self._check_shapes(by_name)
        for name, group in zip(self._trained(), self.optimizer_.param_groups, strict=True):
            self.optimizer_.set_penalty(group, by_name.get(name))

    def trains_what_it_is(self) -> bool:
        return not (self.module_.draws() or self.module_.mixes_rows())

    def penalty_values(self) -> Tensor:
        trained = self._trained()
        total = next(iter(trained.values())).new_zeros(1)
        with torch.no_grad():
            for name, penalty in self._penalties().items():
                if penalty is not None:
                    total = total + penalty.value([as_stack(trained[name])])
        return total

    def optimality_residual(self, data: TensorData) -> Any:
        by_name = self._penalties()
        trained = {name: p for name, p in self._trained().items() if p.requires_grad}
        if not trained:
            return np.zeros(1)
        passes = AutogradPasses(self.module_, self.criterion_, list(trained.values()))
        _, gradients = mean_losses_and_gradients(passes, data.to(self.device), self.batch_size)
        weights = [as_stack(p.detach()) for p in trained.values()]
        penalties = [by_name.get(name) for name in trained]
        with torch.no_grad():
            return optimality_residual(weights, gradients, penalties).cpu().numpy()

    def raw_outputs(self, data: TensorData) -> Tensor:
        passes = AutogradPasses(self.module_, self.criterion_, [])
        return forward_all(passes, data, self.device)

    def prepare_steps(self) -> None:
        if self.optimizer_.full_batch:
            parameters = list(self._trained().values())
            passes = AutogradPasses(self.module_, self.criterion_, parameters)
            self.steps = FullBatch(self, passes)
        else:
            self.steps = ByAutograd(self)

    def sums_of_weights(self) -> Tensor:
        sums = [p.detach().sum() for p in self.module_.parameters()]
        return torch.stack(sums).sum().reshape(1)

    def multiplications(self, n_samples: int) -> int:
        rows = n_samples if self.optimizer_.full_batch else self.batch_size
        parameters = list(self.module_.parameters())
        if any(p.is_cuda for p in parameters):
            return 0
        # A convolution uses each of its weights many times: it is worth threads earlier.
        reuses = any(isinstance(m, nn.modules.conv._ConvNd) for m in self.module_.modules())
        largest = max((p.numel() for p in parameters), default=1)
        return min(rows, n_samples) * largest * (64 if reuses else 1)

    def _check_shapes(self, by_name: dict[str, Penalty | None]) -> None:
        # To a group penalty three axes are a stack: the one shape that says two things.
        for name, parameter in self._trained().items():
            if isinstance(by_name.get(name), GroupPenalty) and parameter.ndim == 3:
                kind = type(by_name[name]).__name__
                raise ValueError(
                    f"{kind} does not know the groups of {name!r}, a weight of three "
                    f"axes, under this solver. Use solver='fista', or give penalty as a dict "
                    f"with another kind for {name!r}."
                )

    def _trained(self) -> dict[str, nn.Parameter]:
        named = dict(self.module_.network.named_parameters())
        return {name: named[name] for name in self._names}

    def _penalties(self) -> dict[str, Penalty | None]:
        return assign_penalties(
            self.module_.network,
            self.penalty,
            self.penalized,
            penalize_bias=self.penalize_bias,
            trained=self._names,
        )
