"""Forecasts with known qualities."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter
from scipy.stats import norm

from quantgod.contracts import MS_PER_MINUTE
from quantgod.evaluation.comparison import ModelOutput
from quantgod.gates.duel import Truth

HORIZON = 60
_SELL_BELOW, _BUY_ABOVE = -0.75, 1.2


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


def hourly_market(rows: int, seed: int = 0) -> tuple[Truth, np.ndarray]:
    """Labels of overlapping hours of a random walk, and the hours' returns in deviations."""
    steps = np.random.default_rng(seed).normal(size=rows + HORIZON - 1)
    future = np.convolve(steps, np.ones(HORIZON), "valid") / np.sqrt(HORIZON)
    time = np.arange(rows, dtype=np.int64) * MS_PER_MINUTE
    target = np.digitize(future, [_SELL_BELOW, _BUY_ABOVE])
    return Truth(target, time, time + HORIZON * MS_PER_MINUTE), future


def informed(
    future: np.ndarray, skill: float, seed: int = 0, persistence: float = 0.97
) -> ModelOutput:
    """Honest probabilities of who sees a slow sign that correlates with the future by `skill`."""
    noise = np.random.default_rng(seed).normal(size=len(future) + 500)
    slow = lfilter([np.sqrt(1 - persistence**2)], [1, -persistence], noise)[500:]
    mean = skill * (skill * future + np.sqrt(1 - skill**2) * slow)
    spread = np.sqrt(1 - skill**2)
    sell, buy = norm.cdf((_SELL_BELOW - mean) / spread), norm.sf((_BUY_ABOVE - mean) / spread)
    probabilities = np.stack([sell, 1 - sell - buy, buy], axis=1)
    return ModelOutput(probabilities, np.argmax(probabilities * [2, 1, 2], axis=1))
