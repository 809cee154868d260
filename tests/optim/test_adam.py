"""Proximal Adam follows torch's where nothing is penalized, and solves penalized problems."""

import numpy as np
import pytest
import torch
from optim_data import PROBLEMS, X, evaluate, every_problem, losses, run, y

from skreg.optim import ProximalAdam, optimality_residual
from skreg.penalties import L1, L2

TORCHS = {
    "adam": (
        lambda p: ProximalAdam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-6),
        lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-6),
    ),
    "adam, subgradient of L2": (
        lambda p: ProximalAdam(p, lr=0.05, penalty=L2(0.3), penalty_method="subgradient"),
        lambda p: torch.optim.Adam(p, lr=0.05, weight_decay=0.3),
    ),
    "adam, decoupled L2": (
        lambda p: ProximalAdam(p, lr=0.05, penalty=L2(0.3), penalty_method="decoupled"),
        lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.3),
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), TORCHS.values(), ids=TORCHS)
def test_follows_torchs_own_step_for_step(ours, theirs):
    torch.testing.assert_close(run(ours, 50), run(theirs, 50), rtol=1e-12, atol=1e-12)


OPTIMIZERS = {
    "adam": (lambda pen: lambda p: ProximalAdam(p, lr=0.1, penalty=pen), 4000, 0.995),
}


@every_problem
@pytest.mark.parametrize(("make", "n_steps", "decay"), OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_solves_every_problem(make, n_steps, decay, penalty, linear):
    weight = run(make(penalty), n_steps, decay)
    coef = linear.fit(X, y).coef_
    np.testing.assert_allclose(weight[0].numpy(), coef, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(weight[0].numpy() == 0, coef == 0)
    _, gradients = evaluate(weight)(True)
    assert optimality_residual([weight], gradients, [penalty]) < 1e-6


def test_thresholding_adam_by_the_bare_learning_rate_solves_another_problem():
    # Why the metric matters; the data of this file must be able to tell.
    weight = torch.full((1, 8), 0.1, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([weight], lr=0.1)
    for _ in range(4000):
        adam.zero_grad()
        losses(weight).sum().backward()
        adam.step()
        for group in adam.param_groups:
            with torch.no_grad():
                weight.copy_(L1(0.2).prox(weight, group["lr"]))
            group["lr"] *= 0.995
    coef = PROBLEMS["l1"][1].fit(X, y).coef_
    assert abs(weight.detach()[0].numpy() - coef).max() > 0.05
