"""A net made by hand, as an estimator makes it, and rows to train it on."""

import numpy as np
import torch

from skreg.losses import SquaredError
from skreg.modules import MLP
from skreg.modules.backprop import Backprop
from skreg.optim import ProximalAdam
from skreg.training.data import Shuffler, TensorData
from skreg.training.net import RegularizedNet
from skreg.training.passes import mean_losses
from skreg.training.progress import Progress

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 5))
y = np.c_[X[:, 0] - X[:, 1]] + 0.1 * rng.normal(size=(60, 1))
DATA = TensorData(X, y)


def make_net(
    n_members=1,
    seeds=(0,),
    optimizer=ProximalAdam,
    penalty=None,
    lr=0.01,
    n_iter_no_change=np.inf,
    **settings,
):
    module = MLP(
        5,
        settings.pop("hidden", (6,)),
        1,
        n_members=n_members,
        random_state=list(seeds),
        dropout=settings.pop("dropout", 0.0),
        dtype=torch.float64,
    )
    settings = {
        "penalty": penalty,
        "penalize_bias": False,
        "batch_size": 60,
        "shuffle": False,
        "max_epochs": 20,
        "max_fun": 10_000,
        "callbacks": None,
        "verbose": 0,
        "device": "cpu",
        "tol": 1e-4,
        **settings,
    }
    progress = Progress(
        n_members,
        learning_rate_init=lr,
        tol=settings.pop("tol"),
        n_iter_no_change=n_iter_no_change,
        learning_rate=settings.pop("learning_rate", "constant"),
    )
    return RegularizedNet(
        module,
        SquaredError(),
        optimizer,
        progress=progress,
        shufflers=[Shuffler(np.random.RandomState(seed)) for seed in seeds],
        **settings,
    ).initialize()


def loss_of(net):
    return mean_losses(Backprop(net.module_, net.criterion_), DATA, 60).numpy()
