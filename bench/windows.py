"""Cutting windows: `Windows` on one thread against the usual way, a DataLoader with workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.goal import Figure
from quantgod.dataset.windows import Windows

ROWS, FEATURES, LENGTH, BATCH = 100_000, 9, 720, 256
PEER_BATCHES = 40
OWN_BATCHES = 400
LEAST_OF_PEER = 10.0

Log = Callable[[str], None]


class Sliced(Dataset[Tensor]):
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
    log("cutting windows")
    own = _own(matrix)
    log("asking a DataLoader with two workers")
    peer = _peer(matrix)
    return [
        Figure("Windows", own, "windows/s"),
        Figure("DataLoader, two workers", peer, "windows/s"),
        Figure("Windows over DataLoader", own / peer, "x", at_least=LEAST_OF_PEER),
    ]


def _own(matrix: Tensor) -> float:
    windows = Windows(matrix, LENGTH)
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.integers(LENGTH - 1, ROWS, (OWN_BATCHES, BATCH)))
    windows(rows[0])
    return _rate(windows(batch) for batch in rows)


def _peer(matrix: Tensor) -> float:
    chosen = torch.utils.data.RandomSampler(Sliced(matrix), num_samples=(PEER_BATCHES + 1) * BATCH)
    loader = DataLoader(Sliced(matrix), BATCH, sampler=chosen, num_workers=2)
    batches = iter(loader)
    next(batches)  # starts the workers
    return _rate(batches)


def _rate(batches: Iterable[Tensor]) -> float:
    begun, count = time.perf_counter(), 0
    for batch in batches:
        count += len(batch)
    return count / (time.perf_counter() - begun)
