"""One fit, side by side: skreg, scikit-learn's MLP, stock skorch and a bare torch loop.

All on the same rows in one process, with the same epochs, batches, optimizer (Adam) and hidden
layer, in float32. skreg and skorch carry an L1 penalty; MLPRegressor can only do L2, and the
bare loop has no penalty at all. Peers take turns in each repeat; medians are shown. Then a deep
network and the bare loop, and what share it reaches of the machine's rate in products.

    python benchmarks/fit.py [--quick] [--save]
"""

import argparse
import itertools
import statistics
import time
import warnings

import numpy as np
import skorch
import torch
from saving import report
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import nn

from skreg import RegularizedMLPClassifier, RegularizedMLPRegressor

ALPHA = 1e-4
HIDDEN = 100
DEEP = (256, 256, 256)
# Epochs by batch size. So many that a fit's last pass over all rows, which measures how far
# from optimal it ended, is about as small a part as in a fit that somebody wants.
EPOCHS = {32: 10, 200: 20, 1000: 40}
DEEP_EPOCHS = 8
# skorch trains a fifth of the epochs: what one takes does not depend on how many there are.
SKORCH_SHARE = 5


def make_data(n_samples, n_features):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, n_features)).astype(np.float32)
    y = X[:, :5].sum(1) + rng.normal(size=n_samples)
    return X, y.astype(np.float32)


def wait_for(device):
    """Let what was launched on a device come to its end."""
    if device != "cpu":
        torch.cuda.synchronize()


def matrix_product_rate(size=1024, repeats=20, device="cpu"):
    """GFLOP/s of a large float32 product: what the machine could do."""
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    times = []
    for _ in range(repeats):
        wait_for(device)
        start = time.perf_counter()
        torch.mm(a, b)
        wait_for(device)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times) / 1e9


def operations(n_rows, sizes):
    """FLOP of the products of an epoch: two for each multiplication with its addition.

    Forward, and both gradients but that of the rows. `sizes` are those of all layers, the
    features first.
    """
    weights = [a * b for a, b in itertools.pairwise(sizes)]
    return 2 * n_rows * (3 * sum(weights) - weights[0])


def network(n_features, n_outputs, hidden=(HIDDEN,)):
    layers, sizes = [], (n_features, *hidden)
    for n_inputs, n_neurons in itertools.pairwise(sizes):
        layers += [nn.Linear(n_inputs, n_neurons), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], n_outputs))


class L1Net(skorch.NeuralNet):
    """The usual recipe: the penalty added to the loss, over all parameters."""

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        loss = super().get_loss(y_pred, y_true, *args, **kwargs)
        return loss + ALPHA * sum(w.abs().sum() for w in self.module_.parameters())


def fit_skreg(X, y, batch_size, epochs, classify, hidden=(HIDDEN,), device="cpu"):
    kind = RegularizedMLPClassifier if classify else RegularizedMLPRegressor
    kind(
        hidden,
        penalty="l1",
        alpha=ALPHA,
        batch_size=batch_size,
        max_iter=epochs,
        n_iter_no_change=np.inf,
        random_state=0,
        device=device,
    ).fit(X, y)


def fit_sklearn(X, y, batch_size, epochs, classify):
    kind = MLPClassifier if classify else MLPRegressor
    kind(
        hidden_layer_sizes=(HIDDEN,),
        batch_size=batch_size,
        max_iter=epochs,
        n_iter_no_change=np.inf,
        random_state=0,
    ).fit(X, y)


def fit_skorch(X, y, batch_size, epochs, classify):
    L1Net(
        network(X.shape[1], 1),
        nn.BCEWithLogitsLoss if classify else nn.MSELoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=batch_size,
        max_epochs=max(1, epochs // SKORCH_SHARE),
        train_split=None,
        verbose=0,
        iterator_train__shuffle=True,
    ).fit(X, y.astype(np.float32)[:, None])


def fit_torch(X, y, batch_size, epochs, classify, hidden=(HIDDEN,)):
    net = network(X.shape[1], 1, hidden)
    loss_function = nn.BCEWithLogitsLoss() if classify else nn.MSELoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    X, y = torch.from_numpy(X), torch.from_numpy(y.astype(np.float32))[:, None]
    for _ in range(epochs):
        order = torch.randperm(len(X))
        X_shuffled, y_shuffled = X[order], y[order]
        for start in range(0, len(X), batch_size):
            rows = slice(start, start + batch_size)
            optimizer.zero_grad()
            loss_function(net(X_shuffled[rows]), y_shuffled[rows]).backward()
            optimizer.step()


PEERS = {
    "skreg": fit_skreg,
    "scikit-learn": fit_sklearn,
    "torch loop": fit_torch,
    "skorch + L1": fit_skorch,
}


def race(peers, arguments, epochs, repeats):
    """Milliseconds an epoch of each peer and round; the first is for imports and caches."""
    times = {name: [] for name in peers}
    for repeat in range(repeats + 1):
        for name, fit in peers.items():
            start = time.perf_counter()
            fit(*arguments)
            own_epochs = max(1, epochs // SKORCH_SHARE) if fit is fit_skorch else epochs
            if repeat:
                times[name].append((time.perf_counter() - start) / own_epochs * 1e3)
    return times


def ratio(times, slow, fast):
    """Median over the rounds, in each of which both had the machine as it was then."""
    return statistics.median(s / f for s, f in zip(times[slow], times[fast], strict=True))


def print_peers(quick):
    X, y = make_data(10_000, 50)
    print(f"{len(X)} x {X.shape[1]}, hidden {HIDDEN}, float32, Adam: milliseconds an epoch\n")
    header = "".join(f"{name:>14}" for name in PEERS)
    print(f"{'':<24}{header}{'sklearn/skreg':>15}{'skorch/skreg':>14}")
    for classify in (False, True):
        target = (y > 0).astype(np.int64) if classify else y
        for batch_size, epochs in EPOCHS.items():
            arguments = (X, target, batch_size, epochs, classify)
            times = race(PEERS, arguments, epochs, 2 if quick else 5)
            case = f"{'classifier' if classify else 'regressor'}, batch {batch_size}"
            cells = "".join(f"{statistics.median(times[name]):>14.1f}" for name in PEERS)
            ratios = [ratio(times, peer, "skreg") for peer in ("scikit-learn", "skorch + L1")]
            print(f"{case:<24}{cells}{ratios[0]:>14.1f}x{ratios[1]:>13.1f}x", flush=True)


def print_deep(quick, rate):
    X, y = make_data(50_000, 100)
    products = operations(len(X), (X.shape[1], *DEEP, 1))
    print(f"\n{len(X)} x {X.shape[1]}, hidden {DEEP}: milliseconds an epoch\n")
    print(f"{'':<14}{'skreg':>10}{'torch loop':>12}{'loop/skreg':>12}{'share of rate':>15}")
    peers = {"skreg": fit_skreg, "torch loop": fit_torch}
    for batch_size in (200, 1000):
        arguments = (X, y, batch_size, DEEP_EPOCHS, False, DEEP)
        times = race(peers, arguments, DEEP_EPOCHS, 1 if quick else 3)
        skreg, loop = (statistics.median(times[name]) for name in peers)
        share = products / (skreg / 1e3) / 1e9 / rate
        ahead = ratio(times, "torch loop", "skreg")
        cells = f"{skreg:>10.0f}{loop:>12.0f}{ahead:>11.2f}x{share:>15.0%}"
        print(f"{f'batch {batch_size}':<14}{cells}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--save", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    with report(__file__, "One fit", save=arguments.save):
        rate = matrix_product_rate()
        print(f"{torch.get_num_threads()} threads, {rate:.0f} GFLOP/s in products")
        print_peers(arguments.quick)
        print_deep(arguments.quick, rate)


if __name__ == "__main__":
    main()
