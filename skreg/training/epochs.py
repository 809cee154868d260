"""How a net is trained for an epoch: batch by batch, by hand or by autograd, or in one step.

Each of the classes is made for a net that has begun to train on its rows, and called once an
epoch. It returns the mean data loss of each member, each batch's before its step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skreg.training.data import TensorData, cut
from skreg.training.passes import mean_losses, mean_losses_and_gradients, sum_of_losses


class ByHand:
    """A step for each batch, with gradients by :class:`~skreg.modules.backprop.Backprop`."""

    def __init__(self, net: Any, backprop: Any) -> None:
        self.net, self.backprop = net, backprop

    @torch.no_grad()
    def __call__(self) -> Tensor:
        net, backprop, batch_size = self.net, self.backprop, self.net.batch_size
        backprop.attach()
        for parameter in net.module_.parameters():
            if not parameter.requires_grad:
                parameter.grad = None  # frozen, by a callback
        # Schedulers hook into `step`; where nobody listens it is left out, with the
        # profiler range that torch opens around it.
        take_step = net.optimizer_.step if net.callbacks_ else net.optimizer_.plan_steps()
        total = torch.zeros(())
        n_outputs = net.module_.n_members * net.module_.n_outputs
        for block in net._train.blocks(batch_size, net.orders(), numbers_per_row=n_outputs):
            X, y, sample_weight = block
            raw = backprop.new_outputs(X)
            for batch, outputs in zip(
                cut(block, batch_size), raw.split(batch_size, 1), strict=True
            ):
                backprop(*batch, outputs)
                take_step()
            # Of all batches at once: as many calls as for one.
            total = total + sum_of_losses(net.criterion_, raw, y, sample_weight)
        return total / len(net._train)


class ByAutograd:
    """A step for each batch, with gradients by autograd; callbacks see the batches."""

    def __init__(self, net: Any) -> None:
        self.net = net

    def __call__(self) -> Tensor:
        net = self.net
        losses, n_rows = [], []
        for batch in net._train.batches(net.batch_size, net.orders(), for_each=True):
            losses.append(self._step(*batch))
            n_rows.append(batch[0].shape[-2])
        shares = losses[0].new_tensor(n_rows) / len(net._train)
        return shares @ torch.stack(losses)

    def _step(self, X: Tensor, y: Tensor, sample_weight: Tensor | None) -> Tensor:
        net = self.net
        if net._per_batch:
            batch, penalty = (X, net.target_as_given(y)), net.penalty_values().sum().item()
            net.notify("on_batch_begin", batch=batch, training=True)
            # Who scored the batch before has left the module in evaluation mode.
            net.module_.train()
        net.optimizer_.zero_grad(set_to_none=True)
        raw = net.module_(X, net._generators or None)
        per_sample = net.criterion_.value(raw, y)
        if sample_weight is not None:
            per_sample = per_sample * sample_weight
        losses = per_sample.mean(1)
        if losses.requires_grad:  # unless a callback has frozen all there is
            losses.sum().backward()
        if net._per_batch:
            named = list(net.get_all_learnable_params())
            net.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
        net.optimizer_.step()
        if net._per_batch:
            _tell_of_batch(net, "train", batch, raw, losses.detach().sum() + penalty)
        return losses.detach()


class FullBatch:
    """One step on all rows, of a solver that evaluates the loss as often as it wants."""

    def __init__(self, net: Any, passes: Any) -> None:
        self.net, self._passes = net, passes

    def __call__(self) -> Tensor:
        return self.net.optimizer_.step(self._evaluate)

    def solved(self) -> np.ndarray:
        """Whether the optimality residual of each member is within its tolerance."""
        net = self.net
        tol = next(net.module_.parameters()).new_tensor(net.progress.tol)
        return (net.optimizer_.residual(self._evaluate, tol) <= tol).cpu().numpy()

    def _evaluate(self, with_gradients: bool) -> tuple[Tensor, list[Tensor]]:
        rows, batch_size = self.net._train, self.net.batch_size
        if not with_gradients:
            return mean_losses(self._passes, rows, batch_size), []
        return mean_losses_and_gradients(self._passes, rows, batch_size)


@torch.no_grad()
def show_valid_batches(net: Any, valid: TensorData) -> None:
    """Show callbacks the batches of the rows held out."""
    net.module_.eval()
    penalty = net.penalty_values().sum()
    for X, y, sample_weight in valid.batches(net.batch_size):
        batch = (X, net.target_as_given(y))
        net.notify("on_batch_begin", batch=batch, training=False)
        raw = net.module_(X)
        losses = sum_of_losses(net.criterion_, raw, y, sample_weight) / len(X)
        _tell_of_batch(net, "valid", batch, raw, losses.sum() + penalty)


def _tell_of_batch(net: Any, kind: str, batch: Any, raw: Tensor, loss: Tensor) -> None:
    net.history.record_batch(f"{kind}_loss", loss.item())
    net.history.record_batch(f"{kind}_batch_size", len(batch[0]))
    net.notify(
        "on_batch_end",
        batch=batch,
        y_pred=net.criterion_.predict(raw.detach()[0]),
        training=kind == "train",
        loss=loss,
    )
