"""What each kind of layer of the gradient by hand gains, in whole training steps.

Each line is a step of Adam with an L1 penalty: forward, backward, update. It runs by turns as
it is and with one kind of layer replaced by the general one, a batched product for each
member, on one thread and in float32. "ratio" is the median over the turns of the time without
the kind over the time with it. `N x M` are N tables of rows, each read by M networks.

    python benchmarks/layers.py [--save]
"""

import argparse
import time
from statistics import median
from unittest import mock

import torch
from saving import report

from skreg.losses import SquaredError
from skreg.modules import MLP, backprop, layers
from skreg.optim import ProximalAdam
from skreg.penalties import L1

# Features, hidden layers, outputs, and how many networks read each table.
SHAPES = {
    layers.SingleLayer: [
        (10, (32,), 1, [1]),
        (50, (32,), 3, [1]),
        (300, (32,), 1, [1]),
        (50, (100,), 1, [1]),
    ],
    layers.SingleOutputLayer: [
        (300, (), 1, [1] * 5),
        (2000, (), 1, [20]),
        (10, (100,), 1, [20] * 5),
        (50, (100,), 1, [1] * 32),
        (300, (100, 50), 1, [20]),
    ],
    layers.NarrowLayer: [
        (300, (), 3, [1] * 5),
        (10, (100,), 3, [20]),
        (50, (100,), 3, [1] * 5),
        (50, (100,), 10, [20] * 5),
    ],
    layers.WideLayer: [
        (50, (), 3, [20]),
        (2000, (), 10, [20]),
        (50, (100,), 3, [20] * 5),
        (300, (100,), 1, [20]),
    ],
}


class General(layers.StackedLayer):
    """A product for each member, of rows that it may share with others too."""

    def forward(self, out):
        call, n_members = super().forward(out), len(self.weight)
        return lambda x: call(x.expand(n_members, -1, -1))

    def backward(self, delta):
        call, n_members = super().backward(delta), len(self.weight)
        return lambda *both: call(*(x.expand(n_members, -1, -1) for x in both))


def plan(shape, batch, without=None):
    """A function that takes steps, with one kind of layer replaced by the general one."""
    n_features, hidden, n_outputs, readers = shape
    module = MLP(n_features, hidden, n_outputs, n_members=sum(readers), random_state=0)
    choose = backprop.kind_of_layer

    def kind_of_layer(weight, *, shares_rows):
        kind = choose(weight, shares_rows=shares_rows)
        return General if kind is without else kind

    with mock.patch.object(backprop, "kind_of_layer", kind_of_layer):
        passes = backprop.Backprop(module, SquaredError(), readers)
    groups = [{"params": [module.weight], "penalty": L1(1e-4)}, {"params": [module.bias]}]
    optimizer = ProximalAdam(groups, lr=1e-3)
    passes.attach()
    step = optimizer.plan_steps()
    tables, members = ((), ()) if len(readers) == 1 else ((len(readers),), (sum(readers),))
    X, y = torch.randn(*tables, batch, n_features), torch.randn(*members, batch, n_outputs)

    def take(n_steps):
        start = time.perf_counter()
        for _ in range(n_steps):
            passes(X, y, None)
            step()
        return (time.perf_counter() - start) / n_steps

    return take


def compare(with_kind, without, seconds=4.0):
    """Medians by turns: seconds a step with the kind, without it, and of their ratio."""
    n_steps = max(1, int(5e-3 / min(take(3) for take in (with_kind, without))))
    turns, end = [], time.perf_counter() + seconds
    while len(turns) < 9 or time.perf_counter() < end:
        turns.append((with_kind(n_steps), without(n_steps)))
    ratios = [general / ours for ours, general in turns]
    return [*map(median, zip(*turns, strict=True)), median(ratios)]


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with report(__file__, "Kinds of layers", save=arguments.save):
        print(f"{'':<42}{'batch':>6}{'with, us':>10}{'without':>10}{'ratio':>7}")
        for kind, shapes in SHAPES.items():
            for shape in shapes:
                n_features, hidden, n_outputs, readers = shape
                sizes = "-".join(map(str, (n_features, *hidden, n_outputs)))
                title = f"{kind.__name__:<18}{sizes:<15}{len(readers)} x {readers[0]}"
                for batch in (32, 200):
                    ours, general, ratio = compare(
                        plan(shape, batch), plan(shape, batch, without=kind)
                    )
                    times = f"{1e6 * ours:>10.0f}{1e6 * general:>10.0f}"
                    print(f"{title:<42}{batch:>6}{times}{ratio:>7.2f}", flush=True)


if __name__ == "__main__":
    main()
