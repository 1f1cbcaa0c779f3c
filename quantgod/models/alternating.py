"""What the networks of arXiv 2502.15757 share: layers over a book's numbers and time, in turn.

A snapshot of the book is one row of numbers. After bilinear normalisation and an embedding, layers
come in pairs: one over the embedded numbers, one over the snapshots. The last pair keeps a quarter
of each, and dense layers reduce what is left to at most 128 numbers. Where a quarter is one number,
the last pair keeps all four: it normalises what it returns, which makes a constant of one number.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from quantgod.settings import SettingsError

KEPT = 4
"""The last pair keeps one of so many, and so does each dense layer behind it."""
MOST_NUMBERS = 128
FLOOR = 1e-4
"""The least deviation that bilinear normalisation divides by."""


class Alternating(nn.Module):
    """Turn a book (batch, time, levels, 4) into `numbers` numbers."""

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int,
        pairs: int,
        embedded: nn.Module,
        layer: Callable[[int, int], nn.Module],
    ) -> None:
        """Build the layers.

        Args:
            shape: of the book view: snapshots, levels, numbers of a level.
            width: numbers of an embedded snapshot.
            pairs: of layers.
            embedded: acts on the embedded snapshots before the first pair.
            layer: makes a layer from the length of the axis it acts on and the length to return.

        Raises:
            SettingsError: if `width` or the number of snapshots has no quarter.
        """
        super().__init__()
        time, levels, sides = shape
        if time % KEPT or width % KEPT:
            raise SettingsError(
                f"snapshots and width must be multiples of {KEPT}, got {time} and {width}"
            )
        self.norm = BilinearNorm(time, levels * sides)
        self.embedding = nn.Sequential(nn.Linear(levels * sides, width), embedded)
        self.layers = nn.ModuleList()
        for last in [*[False] * (pairs - 1), True]:
            self.layers += [layer(size, _kept(size) if last else size) for size in (width, time)]
        self.reduce, self.numbers = _reduction(_kept(width) * _kept(time))

    def forward(
        self, book: Float[Tensor, "batch time levels sides"]
    ) -> Float[Tensor, "batch numbers"]:
        """Return what is left of the window."""
        steps = self.embedding(self.norm(book.flatten(2)))
        for layer in self.layers:
            steps = layer(steps).transpose(1, 2)
        return self.reduce(steps.flatten(1))  # type: ignore[no-any-return]


def _kept(size: int) -> int:
    return size // KEPT if size > KEPT else size


def _reduction(numbers: int) -> tuple[nn.Sequential, int]:
    layers: list[nn.Module] = []
    while numbers > MOST_NUMBERS:
        layers += [nn.Linear(numbers, numbers // KEPT), nn.GELU()]
        numbers //= KEPT
    return nn.Sequential(*layers), numbers


class BilinearNorm(nn.Module):
    """Normalise each column over the window and each row over its columns, and weigh the two.

    arXiv 2003.00598. The two weights are never negative: here by softplus, where the published code
    sets a negative one to 0.01. A column that does not move becomes zero.
    """

    def __init__(self, time: int, columns: int) -> None:
        super().__init__()
        self.column_scale = nn.Parameter(torch.ones(columns))
        self.column_shift = nn.Parameter(torch.zeros(columns))
        self.row_scale = nn.Parameter(torch.ones(time, 1))
        self.row_shift = nn.Parameter(torch.zeros(time, 1))
        self.weights = nn.Parameter(torch.full((2,), 0.5).expm1().log())

    def forward(
        self, steps: Float[Tensor, "batch time columns"]
    ) -> Float[Tensor, "batch time columns"]:
        """Return the weighted sum of both normalisations."""
        weights = functional.softplus(self.weights)
        columns = self.column_scale * _standardised(steps, 1) + self.column_shift
        rows = self.row_scale * _standardised(steps, 2) + self.row_shift
        return weights[0] * columns + weights[1] * rows


def _standardised(steps: Tensor, axis: int) -> Tensor:
    # From the first one on: what does not move is 0 however its runtime adds up a mean. A rounding
    # that is left of a large number would be made 1 / FLOOR times as large.
    moved = steps - steps.narrow(axis, 0, 1)
    centred = moved - moved.mean(axis, keepdim=True)
    return centred / (centred.square().mean(axis, keepdim=True) + FLOOR**2).sqrt()


class MixingMLP(nn.Module):
    """Two dense layers on the last axis, normalised; beside a residual where the length stays."""

    def __init__(self, size: int, hidden: int, output: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, output))
        self.norm = nn.LayerNorm(output)
        self.keeps_length = size == output

    def forward(
        self, steps: Float[Tensor, "batch rows size"]
    ) -> Float[Tensor, "batch rows output"]:
        """Mix the numbers of each row."""
        mixed = self.mlp(steps)
        return functional.gelu(self.norm(mixed + steps if self.keeps_length else mixed))
