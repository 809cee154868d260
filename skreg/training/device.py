"""Moving what has been trained from one device to another."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def restore_generators(states: list[Tensor], device: str) -> list[torch.Generator]:
    generators = []
    for saved in states:
        generator = torch.Generator(device)
        if saved.shape == generator.get_state().shape:
            generator.set_state(saved)
        else:
            # The states of two kinds of device do not fit each other. Dropout goes on with
            # other masks, the same ones each time.
            generator.manual_seed(int(saved.sum()))
        generators.append(generator)
    return generators


def move(module: nn.Module, optimizer: torch.optim.Optimizer, device: str) -> None:
    module.to(device)
    for state in optimizer.state.values():
        for key, value in state.items():
            # A count of steps that is on the host stays there: reading it waits for nothing.
            if isinstance(value, Tensor) and (key != "step" or not value.is_cpu):
                state[key] = value.to(device)
