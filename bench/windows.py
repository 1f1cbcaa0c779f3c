"""Cutting windows: `Windows` on one thread, over the usual way, a DataLoader with two workers.

The peer is what a PyTorch tutorial has: a dataset of slices, batched by worker processes. Both cut
the same windows of the same matrix in random order, in turns; of each the best turn counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.goal import Figure, Log
from quantgod.dataset.windows import Windows

ROWS, FEATURES, LENGTH, BATCH = 100_000, 9, 720, 256
PEER_BATCHES = 40
OWN_BATCHES = 400
LEAST_OF_PEER = 10.0
ROUNDS = 3


class WindowSlices(Dataset[Tensor]):
    """A window an item, as tutorials have it."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def __len__(self) -> int:
        """How many windows there are."""
        return len(self.matrix) - LENGTH + 1

    def __getitem__(self, index: int) -> Tensor:
        """Window `index`."""
        return self.matrix[index : index + LENGTH]


def measure(log: Log) -> list[Figure]:
    """Windows a second, both ways, over the same matrix in random order."""
    torch.set_num_threads(1)
    matrix = torch.randn(ROWS, FEATURES)
    log(f"cutting windows, and asking a DataLoader with two workers, {ROUNDS} times in turns")
    own, peer = (max(rates) for rates in zip(*_rates(matrix), strict=True))
    return [
        Figure("Windows", own, "windows/s"),
        Figure("DataLoader, two workers", peer, "windows/s"),
        Figure(
            "windows a second, over a DataLoader with two workers",
            own / peer,
            "x",
            at_least=LEAST_OF_PEER,
        ),
    ]


def _rates(matrix: Tensor) -> list[tuple[float, float]]:
    return [(_own(matrix), _peer(matrix)) for _ in range(ROUNDS)]


def _own(matrix: Tensor) -> float:
    windows = Windows(matrix, LENGTH)
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.integers(LENGTH - 1, ROWS, (OWN_BATCHES, BATCH)))
    windows(rows[0])
    return _rate(windows(batch) for batch in rows)


def _peer(matrix: Tensor) -> float:
    chosen = torch.utils.data.RandomSampler(
        WindowSlices(matrix), num_samples=(PEER_BATCHES + 1) * BATCH
    )
    loader = DataLoader(WindowSlices(matrix), BATCH, sampler=chosen, num_workers=2)
    batches = iter(loader)
    next(batches)  # starts the workers
    return _rate(batches)


def _rate(batches: Iterable[Tensor]) -> float:
    begun, count = time.perf_counter(), 0
    for batch in batches:
        count += len(batch)
    return count / (time.perf_counter() - begun)
