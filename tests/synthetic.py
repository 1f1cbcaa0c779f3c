"""Minute bars without a book: a random walk whose drift a visible imbalance may lead.

Cheap stand-ins for tests of the rooms after `archive`. The nine features follow the formulas of the
real bars as far as a minute's open, high, low and close go.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from quantgod.contracts import FEATURES


def synthetic_bars(
    minutes: int, *, seed: int = 0, signal: float = 0.0, volatility: float = 0.0009
) -> pd.DataFrame:
    """Nine features and `close` for `minutes` minutes from 2024-01-01 UTC; `signal` in [0, 1].

    With a signal, a slow latent state (half-life about two hours) drives both the imbalance that is
    seen and the drift that follows it; `signal` is the share of hourly variance that it explains.
    """
    rng = np.random.default_rng(seed)
    state = _slow_state(rng, minutes)
    # Over an hour the state hardly moves: its drift adds up linearly, noise by the square root.
    drift = volatility * np.sqrt(signal / 60) * state
    steps = np.concatenate(
        [[0.0], drift[:-1] + volatility * np.sqrt(1 - signal) * rng.normal(size=minutes - 1)]
    )
    close = 60_000 * np.exp(np.cumsum(steps))
    previous = np.concatenate([[close[0]], close[:-1]])
    opening = previous * np.exp(rng.normal(0, volatility / 10, minutes))
    high = np.maximum(opening, close) * np.exp(np.abs(rng.normal(0, volatility / 3, minutes)))
    low = np.minimum(opening, close) * np.exp(-np.abs(rng.normal(0, volatility / 3, minutes)))
    imbalance = np.tanh(0.5 * state + rng.normal(0, 0.5, minutes))
    columns = {
        "body": np.log(close / opening),
        "upper_wick": (high - np.maximum(opening, close)) / previous,
        "lower_wick": (np.minimum(opening, close) - low) / previous,
        "log_ret_close": np.log(close / previous),
        "volatility": volatility / 8 * np.exp(rng.normal(0, 0.2, minutes)),
        "max_spread": 2e-6 * np.exp(rng.normal(0, 0.2, minutes)),
        "mean_obi": imbalance,
        "mean_deep_obi": np.tanh(0.6 * state + rng.normal(0, 0.4, minutes)),
        "log_volume": np.log1p(600 + rng.integers(-50, 50, minutes)),
    }
    index = pd.date_range("2024-01-01", periods=minutes, freq="min", tz="UTC", name="datetime")
    frame = pd.DataFrame(columns, index=index)[list(FEATURES)]
    return frame.assign(close=close)


def _slow_state(rng: np.random.Generator, minutes: int, half_life: float = 120.0) -> np.ndarray:
    keep = 0.5 ** (1 / half_life)
    shocks = rng.normal(size=minutes) * np.sqrt(1 - keep**2)
    state = np.empty(minutes)
    state[0] = rng.normal()
    for t in range(1, minutes):
        state[t] = keep * state[t - 1] + shocks[t]
    return state
