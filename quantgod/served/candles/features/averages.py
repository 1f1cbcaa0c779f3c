"""Twenty-nine features of moving averages: gaps, crossings, slopes and MACD."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import pairwise

import numpy as np

from ...features.scale import table
from ...rolling import MEMORY, Floats, before, dot, nested, prefix_smoothing, ratio
from ...technical import atr, ema, kama, macd_weights
from .measures import mean_gap, unit

PERIODS = (5, 10, 20, 50, 100, 200)
SIMPLE_CROSSES = ((5, 20), (10, 50), (20, 100), (50, 200))
CROSSES = ((5, 20), (20, 50), (50, 200))
SLOPES = (20, 50, 200)
STEP = 5
"""Rows over which an average's slope is taken."""

NAMES = (
    *(f"sma_gap_{period}" for period in PERIODS), *(f"ema_gap_{period}" for period in PERIODS),
    *(f"sma_cross_{fast}_{slow}" for fast, slow in SIMPLE_CROSSES),
    *(f"ema_cross_{fast}_{slow}" for fast, slow in CROSSES),
    *(f"sma_slope_{period}" for period in SLOPES),
    "macd", "macd_signal", "macd_hist", "stacked", "kama_gap", "dema_gap", "tema_gap",
)  # fmt: skip
NEEDS = ("high", "low", "close")
REACH = MEMORY


def compute(columns: Mapping[str, Floats]) -> Floats:
    """Return the features, (rows, 29)."""
    high, low, close = (columns[name] for name in NEEDS)
    sigma = unit(close)
    simple = {period: mean_gap(close, period) for period in PERIODS}
    smooth = {period: np.log(close / ema(close, period)) for period in PERIODS}
    found = {
        **{f"sma_gap_{period}": gap / _spread(sigma, period) for period, gap in simple.items()},
        **{f"ema_gap_{period}": gap / _spread(sigma, period) for period, gap in smooth.items()},
        **_crosses("sma", simple, SIMPLE_CROSSES, sigma),
        **_crosses("ema", smooth, CROSSES, sigma),
        **{f"sma_slope_{period}": _slope(close, simple[period], sigma) for period in SLOPES},
        **_convergence(high, low, close),
        "stacked": np.mean([np.sign(simple[b] - simple[a]) for a, b in pairwise(PERIODS)], axis=0),
        "kama_gap": (close - kama(close)) / (close * sigma),
    }
    for name, weights in zip(("dema_gap", "tema_gap"), _multiple(), strict=True):
        found[name] = (close - dot(close, weights)) / (close * sigma)
    return table(found, NAMES, REACH, len(close))


def _spread(sigma: Floats, rows: int) -> Floats:
    return np.asarray(sigma * np.sqrt(rows))


def _crosses(
    kind: str,
    gaps: Mapping[int, Floats],
    crosses: tuple[tuple[int, int], ...],
    sigma: Floats,
) -> dict[str, Floats]:
    """Return ln(fast average / slow average) in units of the slow one's spread."""
    return {
        f"{kind}_cross_{fast}_{slow}": (gaps[slow] - gaps[fast]) / _spread(sigma, slow)
        for fast, slow in crosses
    }


def _slope(close: Floats, gap: Floats, sigma: Floats) -> Floats:
    """Return how far an average moved in `STEP` rows: the close's way, less how the gap grew."""
    moved = np.log(close / before(close, STEP)) - (gap - before(gap, STEP))
    return np.asarray(moved / _spread(sigma, STEP))


def _convergence(high: Floats, low: Floats, close: Floats) -> dict[str, Floats]:
    line, signal = macd_weights()
    range_14 = atr(high, low, close, 14)
    named = {"macd": line, "macd_signal": signal, "macd_hist": line - signal}
    return {name: ratio(dot(close, weights), range_14) for name, weights in named.items()}


@cache
def _multiple() -> tuple[Floats, Floats]:
    """Return weights of DEMA(20) and TEMA(20)."""
    alpha, seed = 2 / 21, 20
    once = prefix_smoothing(alpha, seed)
    twice = nested(alpha, seed, once)
    thrice = nested(alpha, seed, twice)
    return 2 * once[-1] - twice[-1], 3 * once[-1] - 3 * twice[-1] + thrice[-1]
