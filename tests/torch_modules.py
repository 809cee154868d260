"""Torch modules as users write them."""

import torch
from torch import nn


class Perceptron(nn.Module):
    """One hidden layer, with the sizes that skreg tells a module."""

    def __init__(self, n_features, n_outputs, hidden=8, dropout=0.0, norm=False):
        super().__init__()
        self.hidden = nn.Linear(n_features, hidden)
        self.norm = nn.BatchNorm1d(hidden) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, n_outputs)

    def forward(self, x):
        return self.out(self.dropout(torch.relu(self.norm(self.hidden(x)))))


class FirstColumnBy(nn.Module):
    """No layer at all: a parameter, and one output without a trailing axis."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return self.scale * x[:, 0]


def digits_cnn(n_features, n_outputs):
    """Takes images (1, 8, 8), as X has them."""
    assert n_features == (1, 8, 8)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, n_outputs)
    )


class Residual(nn.Module):
    def __init__(self, n_features, n_outputs, width=12, blocks=2):
        super().__init__()
        self.stem = nn.Linear(n_features, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width))
            for _ in range(blocks)
        )
        self.head = nn.Linear(width, n_outputs)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x).squeeze(1)  # without a trailing axis


class Categorical(nn.Module):
    """Two columns of codes, and the rest numbers."""

    def __init__(self, n_features, n_outputs, sizes=(5, 3), width=3):
        super().__init__()
        self.embed = nn.ModuleList(nn.Embedding(size, width) for size in sizes)
        self.body = nn.Linear(n_features - len(sizes) + width * len(sizes), n_outputs)

    def forward(self, x):
        codes = [layer(x[:, j].long()) for j, layer in enumerate(self.embed)]
        return self.body(torch.cat([*codes, x[:, len(self.embed) :]], 1))


class Linear:
    """A function of the sizes whose repr is the same in every process."""

    def __call__(self, n_features, n_outputs):
        return nn.Linear(n_features, n_outputs)

    def __repr__(self):
        return "linear"


linear = Linear()


class Skip(nn.Module):
    """The rows go two ways."""

    def __init__(self, second):
        super().__init__()
        self.one, self.two = nn.Linear(6, 1), second

    def forward(self, x):
        return self.one(x) + self.two(x)
