"""A linear problem for the tests of optimizers, with the answers of scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import ElasticNet as SkElasticNet
from sklearn.linear_model import Lasso, Ridge

from skreg.penalties import L1, L2, ElasticNet

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 8))
y = X @ np.array([3.0, -2.0, 1.5, 0, 0, 0, 0, 0.05]) + rng.normal(size=60)
X_t, y_t = torch.from_numpy(X), torch.from_numpy(y)


def losses(weight):
    return 0.5 * (X_t @ weight[0] - y_t).square().mean().reshape(1)


def evaluate(weight):
    """What a full-batch solver asks for: losses and, if wanted, gradients."""

    def function(with_gradients):
        gradient = X_t.T @ (X_t @ weight[0] - y_t) / len(y_t)
        return losses(weight), [gradient.unsqueeze(0)] if with_gradients else []

    return function


def run(make, n_steps, decay=1.0):
    weight = torch.full((1, 8), 0.1, dtype=torch.float64, requires_grad=True)
    optimizer = make([weight])
    for _ in range(n_steps):
        optimizer.zero_grad()
        losses(weight).sum().backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= decay
    return weight.detach()


PROBLEMS = {
    "l1": (L1(0.2), Lasso(0.2, fit_intercept=False, tol=1e-15, max_iter=100_000)),
    "l2": (L2(0.2), Ridge(0.2 * 60, fit_intercept=False)),
    "elasticnet": (
        ElasticNet(0.2, 0.6),
        SkElasticNet(0.2, l1_ratio=0.6, fit_intercept=False, tol=1e-15, max_iter=100_000),
    ),
}
every_problem = pytest.mark.parametrize(("penalty", "linear"), PROBLEMS.values(), ids=PROBLEMS)
