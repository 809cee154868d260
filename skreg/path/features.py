"""Which weights of a torch module are by feature: the layers that take the whole row first."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from skreg.modules.adapter import SingleNetwork, torch_draws_from
from skreg.modules.penalized import WEIGHT_LAYERS
from skreg.training.data import TensorData

# Rows that are shown to the module to see which layer they come to first.
_SHOWN = 2


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
