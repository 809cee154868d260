"""Proximal SGD follows torch's where nothing is penalized, and solves penalized problems."""

import numpy as np
import pytest
import torch
from optim_data import X, evaluate, every_problem, run, y

from skreg.optim import ProximalSGD, optimality_residual
from skreg.penalties import L2

TORCHS = {
    "sgd": (
        lambda p: ProximalSGD(p, lr=0.05),
        lambda p: torch.optim.SGD(p, lr=0.05),
    ),
    "momentum": (
        lambda p: ProximalSGD(p, lr=0.01, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    ),
    "nesterov": (
        lambda p: ProximalSGD(p, lr=0.01, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    ),
    "sgd, subgradient of L2": (
        lambda p: ProximalSGD(p, 0.01, 0.9, penalty=L2(0.3), penalty_method="subgradient"),
        lambda p: torch.optim.SGD(p, 0.01, 0.9, weight_decay=0.3),
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), TORCHS.values(), ids=TORCHS)
def test_follows_torchs_own_step_for_step(ours, theirs):
    torch.testing.assert_close(run(ours, 50), run(theirs, 50), rtol=1e-12, atol=1e-12)


OPTIMIZERS = {
    "sgd": (lambda pen: lambda p: ProximalSGD(p, lr=0.1, penalty=pen), 1000, 1.0),
    "momentum": (lambda pen: lambda p: ProximalSGD(p, 0.02, 0.9, penalty=pen), 1000, 1.0),
    "nesterov": (lambda pen: lambda p: ProximalSGD(p, 0.02, 0.9, True, penalty=pen), 1000, 1.0),
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
