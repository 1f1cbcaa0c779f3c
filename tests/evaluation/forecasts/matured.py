"""Matured forecasts of simulated coins, whose skill is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantgod.evaluation.forecasts.outcomes import (
    DRIFT,
    RANDOM_WALK,
    Distribution,
    Outcomes,
    normal_walk,
)
from quantgod.served.candles.quantiles import NORMAL


def normal(
    mean: np.ndarray, deviation: np.ndarray | float, raw: float | None = None
) -> Distribution:
    """Normal quantiles around a mean; `raw` ones are that many times as wide."""
    wide = np.broadcast_to(deviation, mean.shape)[:, None] * NORMAL
    before = None if raw is None else mean[:, None] + raw * wide
    return Distribution(mean, mean[:, None] + wide, before)


def overlapping(shocks: np.ndarray, steps: int) -> np.ndarray:
    """Sums of the next `steps` shocks, (n, coins), over sqrt(steps)."""
    total = np.cumsum(np.vstack([np.zeros(shocks.shape[1]), shocks]), axis=0)
    return (total[steps:] - total[:-steps]) / np.sqrt(steps)


def matured(
    seed: int = 0,
    steps: int = 1,
    dates: int = 600,
    coins: Sequence[str] = ("BTC", "ETH"),
    foresight: float = 0.0,
    clusters: float = 0.0,
) -> Outcomes:
    """Outcomes of a subject beside a random walk and a drift.

    The subject's mean has a correlation of `foresight` with the outcome, or is as large a noise;
    volatility has waves of that size, which it knows and the random walk does not.
    """
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(dates + steps - 1, 1))
    shocks = np.sqrt(0.6) * common + np.sqrt(0.4) * rng.normal(size=(dates + steps - 1, len(coins)))
    noise = overlapping(rng.normal(size=shocks.shape), steps)
    level = np.exp(clusters * np.sin(np.arange(dates) / 25))[:, None]
    y, noise = overlapping(shocks, steps) * level, noise * level
    wide = np.repeat(level.ravel() * np.sqrt(1 - foresight**2), len(coins))
    mean = foresight**2 * y + (foresight or 0.1) * np.sqrt(1 - foresight**2) * noise
    moment = np.repeat(np.arange(18_000, 18_000 + dates), len(coins))
    before = np.cumsum(shocks, axis=0)[:dates] - shocks[:dates]
    close = 100 * (1 + np.arange(len(coins))) * np.exp(0.03 * before)
    rows = y.size
    return Outcomes(
        moment, np.tile(np.array(coins), dates), steps, y.ravel(), np.full(rows, 0.03),
        close.ravel(),
        {
            "subject": normal(mean.ravel(), wide, raw=0.7),
            RANDOM_WALK: normal_walk(rows),
            DRIFT: normal(np.full(rows, 0.05), 1.0),
        },
    )  # fmt: skip
