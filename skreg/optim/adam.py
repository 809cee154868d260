"""Proximal Adam: Adam's step, then the penalty's, each weight by the step size lr/(√v̂ + ε).

Group penalties have one step size per group (:mod:`skreg.optim.group_step`), and v̂ has a floor
(:mod:`skreg.optim.floor`), without which a weight that has had no gradient yet is set to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skreg.optim.base import Move, PenalizedOptimizer, along_members, is_proximal
from skreg.optim.floor import Floor, SumOfSquares
from skreg.optim.group_step import GroupStep
from skreg.penalties import Penalty
from skreg.penalties.curves import as_scalar
from skreg.penalties.groupwise import GroupPenalty

# Private to torch, public only as a whole optimizer that would know nothing of a penalty.
_FUSED_ADAM = getattr(torch, "_fused_adam_", None)

# A tensor, since torch makes one of a number in every operation.
_ONE = torch.ones(())


def _steps_by_group(group: dict[str, Any]) -> bool:
    """Whether Adam has one step for all weights of a group of the penalty's."""
    return is_proximal(group) and isinstance(group["penalty"], GroupPenalty)


class ProximalAdam(PenalizedOptimizer):
    r"""Proximal Adam: the prox of each weight has that weight's effective step.

    Takes the place of ``torch.optim.Adam`` and follows it to rounding where there is no
    penalty. Adam moves a weight by :math:`η\,\hat m` with :math:`η = \mathrm{lr}/(\sqrt{\hat
    v} + ε)`, so the proximal step solves :math:`\min_w \tfrac{1}{2η}(w - w^+)^2 + αΩ(w)`
    coordinate by coordinate. A fixed point of it is a stationary point of the objective,
    which soft-thresholding by lr·alpha does not give.

    Parameters
    ----------
    params : iterable of Tensor or dict
        Parameters or parameter groups. Each group may have a `penalty`: give biases
        and normalization layers a group without one.
    lr : float or Tensor of shape (n_members,), default=1e-3
        Learning rate.
    betas : tuple of float, default=(0.9, 0.999)
        Decay rates of the first and second moment estimates.
    eps : float, default=1e-8
        Added to the root of the second moment.
    penalty : Penalty, default=None
        What is put on the weights.
    penalty_method : {"proximal", "subgradient", "decoupled"}, default="proximal"
        Proximal step after the gradient step; subgradient added to the gradient (with L2
        this is ``torch.optim.Adam(weight_decay=alpha)``); or weights scaled by
        1 − lr·alpha, for L2 alone (``torch.optim.AdamW(weight_decay=alpha)``).
    stacked : bool, default=False
        Whether the leading axis of every parameter is the member of a stack, as in
        :class:`skreg.modules.MLP`: each member then takes the steps that it would take alone.
        A learning rate or an `alpha` for each member says so too.

    Notes
    -----
    Where a penalty enters by its prox, what the second moment averages is not g² but
    :math:`g^2 + 0.05^2\,\overline{g^2} + (0.01\,α)^2`, with the mean over all weights that have
    a penalty (of each member of a stack; for a group penalty g² is the group's mean). So a
    weight without a gradient has a bounded step too: at most lr/(0.01·alpha), and at most 20·lr
    over the root mean square of the gradients. However small its gradients are, L1
    moves a weight by at most 100·lr in a step and L2 divides it by at most 1 + 100·lr.
    Where the steps come to rest does not depend on it, and without a penalty, or with an
    alpha of 0, it is Adam.

    References
    ----------
    Kingma & Ba, "Adam: a method for stochastic optimization", 2015. Loshchilov & Hutter,
    "Decoupled weight decay regularization", 2019. Melchior, Joseph & Moolekamp, "Proximal
    Adam: robust adaptive update scheme for constrained optimization", 2019.

    Examples
    --------
    >>> import torch
    >>> from skreg.optim import ProximalAdam
    >>> from skreg.penalties import L1
    >>> weight = torch.tensor([0.05, 1.0], requires_grad=True)
    >>> optimizer = ProximalAdam([weight], lr=0.1, penalty=L1(alpha=1.0))
    >>> weight.sum().backward()
    >>> optimizer.step()
    >>> weight
    tensor([0.0000, 0.8021], requires_grad=True)
    """

    name = "adam"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        penalty: Penalty | None = None,
        penalty_method: str = "proximal",
        stacked: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "penalty": penalty,
            "penalty_method": penalty_method,
            "stacked": stacked,
        }
        super().__init__(params, defaults)

    def plan_steps(self) -> Callable[[], None]:
        every_move = self._moves()
        moves = [move for move in every_move if not _steps_by_group(move[1])]
        measure = self._plan_floors([move for move in every_move if is_proximal(move[1])])
        by_group = [self._group_step(*move) for move in every_move if _steps_by_group(move[1])]
        return _one_after_the_other([*measure, self._plan_moves(moves), *by_group])

    def _plan_floors(self, penalized: list[Move]) -> list[Callable[[], None]]:
        """Make the floors of penalized parameters; return what measures their gradients."""
        stacked = any(_is_stack(group) for _, group in penalized)
        by_device: dict[torch.device, list[Move]] = {}
        for move in penalized:
            by_device.setdefault(move[0].device, []).append(move)
        self._floors: dict[Tensor, Floor] = {}
        measures: list[Callable[[], None]] = []
        for moves in by_device.values():
            gradients: list[Any] = [parameter.grad for parameter, _ in moves]
            squares = SumOfSquares(gradients, stacked=stacked)
            for parameter, group in moves:
                state = self._state_of(parameter, group)
                count, like, beta_2 = state["step"], state["exp_avg_sq"], group["betas"][1]
                floor = Floor(group["penalty"], squares, count, beta_2=beta_2, like=like)
                self._floors[parameter] = floor
            floors = [self._floors[parameter] for parameter, _ in moves]
            measures.append(partial(_measure_where_due, squares, floors))
        return measures

    def _plan_moves(self, moves: list[Move]) -> Callable[[], None]:
        if not moves or _FUSED_ADAM is None or not all(_alike(m, moves[0]) for m in moves):
            return super()._plan_moves(moves)
        # One pass over memory where _gradient_step has eight, one call for all parameters.
        group = moves[0][1]
        states = [self._state_of(*move) for move in moves]
        # The call decays what is added to the second moment before it.
        beta1, beta2 = group["betas"]
        factor = (1 - beta2) / beta2 if beta2 else 0.0
        floors = [
            partial(self._floors[parameter].add_to, self.state[parameter]["exp_avg_sq"], factor)
            for parameter, settings in moves
            if is_proximal(settings)
        ]
        counts = [state["step"] for state in states]
        parameters, gradients = [p for p, _ in moves], [p.grad for p, _ in moves]
        moments = [[state[name] for state in states] for name in ("exp_avg", "exp_avg_sq")]
        lists: tuple[list, ...] = (parameters, gradients, *moments, [], counts)
        settings = {"weight_decay": 0.0, "amsgrad": False, "maximize": False}
        settings |= {"lr": group["lr"], "beta1": beta1, "beta2": beta2, "eps": group["eps"]}
        move_all = partial(_FUSED_ADAM, **settings)
        adds_to_gradient = any(
            each["penalty"] is not None and not is_proximal(each) for _, each in moves
        )
        proximal = [self._plan_prox(*move) for move in moves if is_proximal(move[1])]

        def take_step() -> None:
            if adds_to_gradient:
                gradients[:] = [self._gradient(*move) for move in moves]
            for add_floor in floors:
                add_floor()
            for count in counts:
                count.add_(_ONE)
            move_all(*lists)
            for proximal_step in proximal:
                proximal_step()

        return take_step

    def _gradient_step(
        self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]
    ) -> None:
        state = self._state_of(parameter, group)
        beta_1, beta_2 = group["betas"]
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.lerp_(gradient, 1 - beta_1)
        square.mul_(beta_2).addcmul_(gradient, gradient, value=1 - beta_2)
        if is_proximal(group):
            self._floors[parameter].add_to(square, 1 - beta_2)
        count = state["step"].add_(_ONE)
        metric, scale = self._plan_metric(parameter, group)()
        correction = 1 - beta_1 ** count.item()
        parameter.sub_(torch.div(mean, metric, out=metric).mul_(scale / correction))

    def _state_of(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter, requires_grad=False)
            state["exp_avg_sq"] = torch.zeros_like(parameter, requires_grad=False)
            if _steps_by_group(group):
                grouping = group["penalty"].grouping(parameter)
                state["exp_avg_sq"] = grouping.mean_squares(state["exp_avg"])
        return state

    def _group_step(self, parameter: Tensor, group: dict[str, Any]) -> GroupStep:
        """A gradient and a proximal step with one size for each group of weights."""
        settings = {name: group[name] for name in ("lr", "betas", "eps", "penalty")}
        floor = self._floors[parameter]
        return GroupStep(parameter, self.state[parameter], floor=floor, **settings)

    def set_penalty(self, group: dict[str, Any], penalty: Penalty | None) -> None:
        before = group["penalty"] if _steps_by_group(group) else None
        super().set_penalty(group, penalty)
        after = group["penalty"] if _steps_by_group(group) else None
        for parameter in group["params"]:
            state = self.state.get(parameter)
            if not state:
                continue
            if before and after and before.grouping(parameter) == after.grouping(parameter):
                continue
            square = state["exp_avg_sq"]
            if before is not None:
                state["exp_avg_sq"] = torch.zeros_like(parameter, requires_grad=False)
                grouping = before.grouping(parameter)
                for view, values in grouping.spread(square, state["exp_avg_sq"]):
                    view.copy_(values.expand_as(view))
            if after is not None:
                roots = state["exp_avg_sq"].sqrt()
                state["exp_avg_sq"] = after.grouping(parameter).mean_squares(roots)

    def _proximal_step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        self._plan_prox(parameter, group)()

    def _plan_prox(self, parameter: Tensor, group: dict[str, Any]) -> Callable[[], None]:
        memory, scratch = self._scratch_of(parameter)
        measure = self._plan_metric(parameter, group, memory)
        prox_ = group["penalty"].plan_prox_in_metric(parameter)
        return lambda: prox_(parameter, *measure(), scratch)

    def _plan_metric(
        self, parameter: Tensor, group: dict[str, Any], out: Tensor | None = None
    ) -> Callable[[], tuple[Tensor, Any]]:
        """Return what gives scale and metric: lr·c and √v + ε·c, where c² corrects v."""
        state, beta, eps = self.state[parameter], group["betas"][1], group["eps"]
        count, square = state["step"], state["exp_avg_sq"]
        lr = along_members(group["lr"], square)

        def measure() -> tuple[Tensor, Any]:
            correction = (1 - beta ** count.item()) ** 0.5
            metric = torch.sqrt(square, out=out)
            metric.add_(as_scalar(eps * correction, metric))
            return metric, lr * correction

        return measure


def _measure_where_due(squares: SumOfSquares, floors: list[Floor]) -> None:
    for floor in floors:
        if floor.is_due():
            squares.measure()
            return


def _is_stack(group: dict[str, Any]) -> bool:
    """Whether the leading axis of the parameters is the member of a stack."""
    settings = group["lr"], group["penalty"].alpha
    return group.get("stacked", False) or any(np.ndim(each) for each in settings)


def _alike(move: Move, other: Move) -> bool:
    """Whether torch's fused call can move both."""
    (parameter, group), (_, settings) = move, other
    lr = group["lr"]
    if is_proximal(group) and group["betas"][1] == 0:
        return False  # nothing that is there before the call is left after it
    if parameter.grad is None or parameter.grad.stride() != parameter.stride():
        return False  # it reads memory in its order, whatever the strides
    fits = parameter.is_cpu and isinstance(lr, float) and lr == settings["lr"]
    return fits and group["betas"] == settings["betas"] and group["eps"] == settings["eps"]


def _one_after_the_other(steps: list[Callable[[], None]]) -> Callable[[], None]:
    def take_step() -> None:
        for step in steps:
            step()

    return take_step if len(steps) > 1 else steps[0]
