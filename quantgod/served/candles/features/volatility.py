"""Twenty-five features of volatility: how wide prices move against how wide they used to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...features.scale import log_returns, table
from ...rolling import (
    MEMORY,
    Floats,
    before,
    correlation,
    deviation,
    dot,
    highest,
    log_ratio,
    lowest,
    mean,
    ratio,
    rolling,
    smoothing,
)
from ...technical import atr, autocorrelation, ema, garman_klass, parkinson, true_range
from .measures import band, rank

RATIOS = ((5, 20), (20, 60), (30, 120), (60, 200))
DECAY = 0.06
"""Weight of the newest squared return in RiskMetrics' average (1996)."""

NAMES = (
    *(f"vol_{short}_{long}" for short, long in RATIOS), "vol_level", "vol_rank", "ewma_vol",
    "parkinson_20", "garman_20", "rogers_20", "yang_20", "atr_ratio", "natr", "bb_pos_20",
    "bb_pos_50", "bb_width", "keltner", "donchian", "squeeze", "chop_14", "vol_of_vol",
    "downside_30", "jump_30", "vol_ac_60", "leverage_60",
)  # fmt: skip
NEEDS = ("open", "high", "low", "close")
REACH = MEMORY


def compute(columns: Mapping[str, Floats]) -> Floats:
    """Return the features, (rows, 25)."""
    returns = log_returns(columns["close"])
    found = {
        **_levels(returns),
        **_ranges(columns, deviation(returns, 20)),
        **_bands(columns["high"], columns["low"], columns["close"], returns),
        **_shape(returns),
    }
    return table(found, NAMES, REACH, len(returns))


def _levels(returns: Floats) -> dict[str, Floats]:
    deviations = {rows: deviation(returns, rows) for pair in RATIOS for rows in pair}
    weighted = np.sqrt(dot(np.square(returns), smoothing(DECAY, 1, MEMORY - 1)))
    return {f"vol_{a}_{b}": log_ratio(deviations[a], deviations[b]) for a, b in RATIOS} | {
        "vol_level": 10 * deviations[30],
        "vol_rank": rank(deviations[20], 200),
        "ewma_vol": log_ratio(weighted, deviations[60]),
    }


def _ranges(columns: Mapping[str, Floats], usual: Floats) -> dict[str, Floats]:
    """Return estimates from ranges against that from closes, all of 20 rows."""
    opening, high, low, close = (columns[name] for name in NEEDS)
    inside = np.log(high / close) * np.log(high / opening)
    inside += np.log(low / close) * np.log(low / opening)
    rogers = np.maximum(mean(inside, 20), 0)
    overnight, day = np.log(opening / before(close, 1)), np.log(close / opening)
    share = 0.34 / (1.34 + 21 / 19)
    yang = deviation(overnight, 20) ** 2 + share * deviation(day, 20) ** 2 + (1 - share) * rogers
    return {
        "parkinson_20": log_ratio(parkinson(high, low, 20), usual),
        "garman_20": log_ratio(garman_klass(columns, 20), usual),
        "rogers_20": log_ratio(np.sqrt(rogers), usual),
        "yang_20": log_ratio(np.sqrt(yang), usual),
    }


def _bands(high: Floats, low: Floats, close: Floats, returns: Floats) -> dict[str, Floats]:
    ranges = {period: atr(high, low, close, period) for period in (14, 20, 60)}
    bands = {rows: band(close, rows) for rows in (20, 50)}
    width = 4 * bands[20][1]
    tall = highest(high, 14) - lowest(low, 14)
    walked = mean(true_range(high, low, close), 14) * 14
    return {f"bb_pos_{n}": ratio(gap, 4 * spread) for n, (gap, spread) in bands.items()} | {
        "atr_ratio": log_ratio(ranges[14], ranges[60]),
        "natr": log_ratio(ranges[14] / close, deviation(returns, 30)),
        "bb_width": log_ratio(width, mean(width, 60)),
        "keltner": ratio(close - ema(close, 20), 2 * ranges[20]),
        "donchian": log_ratio(highest(high, 20) - lowest(low, 20), ranges[20]),
        "squeeze": log_ratio(width * close, 4 * ranges[20]),
        "chop_14": np.where(tall == 0, 0.0, 2 * log_ratio(walked, tall) / np.log(14) - 1),
    }


def _shape(returns: Floats) -> dict[str, Floats]:
    size = np.abs(returns)
    return {
        "vol_of_vol": ratio(deviation(size, 20), mean(size, 20)),
        "downside_30": rolling(returns, 30, _downside),
        "jump_30": rolling(size, 30, _jumps),
        "vol_ac_60": rolling(size, 60, autocorrelation),
        "leverage_60": correlation(before(returns, 1), size, 60),
    }


def _downside(window: Floats) -> Floats:
    """Return the share of falls in the sum of squares, less that of rises."""
    signed = -np.sign(window) * np.square(window)
    return ratio(signed.sum(axis=1), np.square(window).sum(axis=1))


def _jumps(sizes: Floats) -> Floats:
    """Return the share of variance that jumps make (Barndorff-Nielsen and Shephard, 2004)."""
    whole, rows = np.square(sizes).sum(axis=1), sizes.shape[1]
    smooth = np.pi / 2 * rows / (rows - 1) * (sizes[:, 1:] * sizes[:, :-1]).sum(axis=1)
    return ratio(whole - smooth, whole)
