"""Candles drawn at random: smooth, on a grid on which bars repeat, and without volume."""

from __future__ import annotations

import numpy as np

DAY = 86_400_000
HOUR = 3_600_000
PRICES = ("open", "high", "low", "close")


def smooth(rows: int, seed: int = 0, step_ms: int = DAY) -> dict[str, np.ndarray]:
    """A random walk whose volatility comes in waves."""
    rng = np.random.default_rng(seed)
    width = 0.01 * np.exp(np.sin(np.arange(rows) / 40))[:, None]
    path = 100 * np.exp(np.cumsum(rng.normal(0, width, (rows, 6)).ravel())).reshape(rows, 6)
    return {
        "open": path[:, 0], "high": path.max(axis=1), "low": path.min(axis=1), "close": path[:, -1],
        "volume": rng.lognormal(6, 1, rows), "time": 1.5e12 // step_ms * step_ms
        + step_ms * np.arange(rows, dtype=np.float64),
    }  # fmt: skip


def ticks(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """The same on a grid of quarters: prices repeat, bars too, and many have no volume.

    Quarters are exact in binary: equal prices are equal to the bit.
    """
    rng = np.random.default_rng(seed)
    still = rng.random(rows) < 0.3
    still[rows - 90 : rows - 50] = True
    fresh = np.maximum.accumulate(np.where(still, 0, np.arange(rows)))
    close = 200 + 0.25 * np.cumsum(rng.integers(-3, 4, rows))
    opening = np.concatenate([close[:1], close[:-1]])
    market = {
        "open": opening, "close": close,
        "high": np.maximum(opening, close) + 0.25 * rng.integers(0, 2, rows),
        "low": np.minimum(opening, close) - 0.25 * rng.integers(0, 2, rows),
    }  # fmt: skip
    traded = np.where(still, 0.0, rng.integers(1, 900, rows))
    moved = {name: values[fresh] for name, values in market.items()}
    return moved | {"volume": traded, "time": smooth(rows, seed, HOUR)["time"]}


def silent(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Candles of a source without volume."""
    return smooth(rows, seed) | {"volume": np.full(rows, np.nan)}


def holed(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Candles of which some have no volume: one, and 120 in a row."""
    market = ticks(rows, seed)
    market["volume"][[rows // 2, *range(rows // 2 + 80, rows // 2 + 200)]] = np.nan
    return market


MARKETS = {"smooth": smooth, "ticks": ticks, "silent": silent, "holed": holed}


def stretch(market: dict[str, np.ndarray], first: int, last: int) -> dict[str, np.ndarray]:
    """Some of the rows."""
    return {name: values[first:last] for name, values in market.items()}
