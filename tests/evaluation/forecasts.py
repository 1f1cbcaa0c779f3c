"""Forecasts with known qualities."""

from __future__ import annotations

import numpy as np


def random_forecasts(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets, and probabilities that have nothing to do with them."""
    rng = np.random.default_rng(seed)
    return rng.choice(3, rows, p=[0.15, 0.75, 0.1]), rng.dirichlet([1.0, 3.0, 1.0], rows)


def calibrated_forecasts(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and targets drawn from exactly those."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([1.0, 1.0, 1.0], rows)
    ladder = np.cumsum(probabilities, axis=1)
    return (rng.random(rows)[:, None] > ladder[:, :2]).sum(axis=1), probabilities
