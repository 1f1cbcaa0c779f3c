"""Columns of minutes that feature sets take, drawn at random: plain, flat, and with odd books."""

from __future__ import annotations

import numpy as np

from quantgod.served.features import book, candle, indicator

SETS = {"book": book, "candle": candle, "indicator": indicator}
LEVELS = 200


def columns(rows: int, seed: int = 0, *, volatility: float = 5e-4) -> dict[str, np.ndarray]:
    """A stretch of minutes with every column that any set asks for."""
    rng = np.random.default_rng(seed)
    path = 100 * np.exp(np.cumsum(rng.normal(0, volatility, (rows, 10)).ravel())).reshape(rows, 10)
    close, opening = path[:, -1], path[:, 0]
    mid, away = close, 0.01 + 0.01 * np.cumsum(rng.integers(1, 3, (2, rows, LEVELS)), axis=2)
    second = {
        name: rng.normal(0, 0.3, rows)
        for name in (
            "obi_mean",
            "obi_trend",
            "deep_mean",
            "deep_trend",
            "obi_corr",
            "ofi_1",
            "ofi_ac1",
        )
    }
    return second | {
        "open": opening, "high": path.max(axis=1), "low": path.min(axis=1), "close": close,
        "second_deviation": rng.uniform(1e-5, 1e-3, rows),
        "messages": rng.integers(0, 900, rows).astype(float),
        "minute": 1000.0 + np.arange(rows),
        "spread_mean": rng.uniform(1e-5, 1e-4, rows), "spread_max": rng.uniform(1e-4, 1e-3, rows),
        "obi_std": rng.uniform(0, 1, rows), "obi_flips": rng.uniform(0, 1, rows),
        "bid_prices": mid[:, None] - away[0], "ask_prices": mid[:, None] + away[1],
        "bid_sizes": rng.exponential(1, (rows, LEVELS)),
        "ask_sizes": rng.exponential(1, (rows, LEVELS)),
    }  # fmt: skip


def ticks(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """The same on a grid of quarters, on which most minutes repeat a price and some the bar before.

    Quarters are exact in binary: equal prices are equal to the bit.
    """
    rng = np.random.default_rng(seed)
    still = rng.random(rows) < 0.3
    still[rows - 40 : rows - 28] = True  # as long as the adaptive average looks back, and longer
    fresh = np.maximum.accumulate(np.where(still, 0, np.arange(rows)))
    close = 200 + 0.25 * np.cumsum(rng.integers(-1, 2, rows))
    opening = np.concatenate([close[:1], close[:-1]])
    plain = columns(rows, seed)
    mid, away = close[:, None], 0.25 + 0.25 * np.arange(LEVELS)
    moved = {
        "open": opening, "close": close,
        "high": np.maximum(opening, close) + 0.25 * rng.integers(0, 2, rows),
        "low": np.minimum(opening, close) - 0.25 * rng.integers(0, 2, rows),
        "bid_prices": mid - away, "ask_prices": mid + away,
    }  # fmt: skip
    return plain | {name: values[fresh] for name, values in moved.items()}


def stretch(full: dict[str, np.ndarray], first: int, last: int) -> dict[str, np.ndarray]:
    """Some of the rows."""
    return {name: values[first:last] for name, values in full.items()}
