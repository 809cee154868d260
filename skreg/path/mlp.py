"""A stack of multi-layer perceptrons on a path: what a walk, its end and its refits ask of it.

What differs from anybody's torch module is all here; its counterpart is
:mod:`skreg.path.module`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skreg.modules import MLP
from skreg.modules.backprop import Backprop
from skreg.optim.fista import FISTA
from skreg.path.support import KeepSupport
from skreg.path.walk import Step, set_strengths
from skreg.penalties.reach import units_that_reach_outputs
from skreg.training.data import TensorData
from skreg.training.net import RegularizedNet
from skreg.training.passes import mean_losses, raw_outputs
from skreg.training.progress import Progress

# Supports that are trained as one stack: numbers in its weights.
_NUMBERS_AT_ONCE = 2**21
# Steps of a path that are measured as one stack.
_AT_ONCE = 16


class PathMLP:
    """A net of MLPs on a path.

    A feature is in where it reaches an output.

    Parameters
    ----------
    net : RegularizedNet
    """

    counts_features = True
    #: Names of the parameters that units are counted of, one for each unit.
    unit_parameters: np.ndarray | None = None
    measured_at_once = _AT_ONCE

    def __init__(self, net: RegularizedNet) -> None:
        self.net = net

    @property
    def is_linear(self) -> bool:
        return not self.net.module_.hidden_layer_sizes

    # ------------------------------------------------------------------ on the way

    @torch.no_grad()
    def selected(self) -> np.ndarray:
        return units_that_reach_outputs(self.net.module_.weights)[0].cpu().numpy()

    def is_finite(self) -> bool:
        return bool(torch.isfinite(self.net.module_.weight.detach().sum()))

    def state(self, member: int) -> dict[str, Tensor]:
        module = self.net.module_
        return {
            "weight": module.weight.detach()[member].clone(),
            "bias": module.bias.detach()[member].clone(),
        }

    def tensors(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self.net.module_.parameters()]

    def moments(self) -> list[Tensor]:
        if isinstance(self.net.optimizer_, FISTA):
            return []
        states = self.net.optimizer_.state.values()
        return [
            t for state in states for t in state.values() if isinstance(t, Tensor) and t.ndim
        ]

    def set_strengths(self, **values: np.ndarray) -> None:
        set_strengths(self.net, **values)

    # ------------------------------------------------------------------ its end

    def linear_parts(self, rows: TensorData) -> tuple[Any, Tensor, Tensor]:
        module = self.net.module_
        return Backprop(module, self.net.criterion_, rows.readers), module.weight, module.bias

    @torch.no_grad()
    def leaves_zero(self, alphas: np.ndarray, step: float, gradient: Any = None) -> np.ndarray:
        gradient = torch.ones_like(self.net.module_.weight) if gradient is None else gradient
        self.set_strengths(alpha=alphas)
        penalty = self.net.optimizer_.param_groups[0]["penalty"]
        moved = penalty.prox(-step * gradient, step)
        return (moved != 0).any(1).cpu().numpy()

    # ------------------------------------------------------------------ its steps

    def measure(
        self, steps: Sequence[Step], rows: TensorData, held_out: TensorData | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the data loss of each step, and its raw outputs on the rows held out."""
        net = self.net
        module = stack_of(net.module_, steps)
        backprop = Backprop(module, net.criterion_, rows.readers)
        losses = mean_losses(backprop, rows, net.batch_size)
        raw = None if held_out is None else raw_outputs(module, held_out, net.device)
        return losses, raw

    @property
    def supports_at_once(self) -> int:
        """How many supports are refitted as one stack."""
        return max(1, _NUMBERS_AT_ONCE // self.net.module_.weight.shape[1])

    def on_supports(self, steps: Sequence[Step], progress: Progress) -> PathMLP:
        """Return an untrained twin that keeps the support of each of these steps."""
        net = self.net
        module = stack_of(net.module_, steps)
        fan_out = module.weights[0].shape[2]
        mask = torch.ones_like(module.weight)
        for member, step in enumerate(steps):
            selected = torch.from_numpy(step.selected).to(mask)
            mask[member, : len(selected) * fan_out] = selected.repeat_interleave(fan_out)
        stack = net.on_module(
            module,
            penalty=KeepSupport(mask),
            penalize_bias=False,
            progress=progress,
            # They read one stream, in the order of the first; dropout is drawn for each.
            shufflers=list(net.shufflers) * len(steps),
        )
        return PathMLP(stack)


@torch.no_grad()
def stack_of(module: MLP, steps: Sequence[Step]) -> MLP:
    """Return a stack of networks, one for each of these steps."""
    weight, bias = (
        torch.stack([step.state[name] for step in steps]) for name in ("weight", "bias")
    )
    return MLP.of(weight, bias, **module.architecture).eval()
