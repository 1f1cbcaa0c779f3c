"""Ten features of volume, in units of what is usual.

They are 0 where none of the last REACH candles has a volume: a source without volume gives zeros in
every row. Where some have one and others do not, they are NaN.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...features.scale import log_returns, table
from ...rolling import Floats, before, dot, log_ratio, mean, ratio, rolling, trend
from ...technical import money_flow, on_steps, typical
from .measures import unit

NAMES = (
    "volume_rel", "volume_5_20", "volume_20_60", "volume_z", "volume_breakout", "obv", "vpt",
    "mfi_14", "cmf_20", "vwap_gap",
)  # fmt: skip
NEEDS = ("high", "low", "close", "volume")
REACH = 60
BREAKOUT = 2.0
"""How many times its usual a volume is called a breakout at."""


def compute(columns: Mapping[str, Floats]) -> Floats:
    """Return the features, (rows, 10)."""
    volume = columns["volume"]
    missing = rolling(np.isnan(volume).astype(np.float64), REACH, lambda w: w.mean(axis=1))
    prices = {name: columns[name] for name in ("high", "low", "close")}
    found = table(_figures(prices, np.nan_to_num(volume)), NAMES, REACH, len(volume))
    found[missing == 1] = 0.0
    found[(missing > 0) & (missing < 1)] = np.nan
    return found


def _figures(prices: Mapping[str, Floats], volume: Floats) -> dict[str, Floats]:
    high, low, close = prices.values()
    usual, earlier = mean(volume, 20), before(mean(volume, 20), 1)
    flow = ratio((close - low) - (high - close), high - low) * volume
    slope = on_steps(trend(20))
    return {
        "volume_rel": log_ratio(volume, usual),
        "volume_5_20": log_ratio(mean(volume, 5), usual),
        "volume_20_60": log_ratio(usual, mean(volume, 60)),
        "volume_z": rolling(volume, 21, _surprise),
        "volume_breakout": (volume > BREAKOUT * earlier).astype(np.float64),
        "obv": ratio(dot(np.sign(close - before(close, 1)) * volume, slope), usual),
        "vpt": ratio(dot(log_returns(close) * volume, slope), usual * unit(close)),
        "mfi_14": (money_flow(typical(high, low, close), volume, 14) - 50) / 50,
        "cmf_20": ratio(mean(flow, 20), usual),
        "vwap_gap": _from_weighted(close, volume, 20) / unit(close),
    }


def _from_weighted(close: Floats, volume: Floats, rows: int) -> Floats:
    """Return (close - average price by volume) / close."""
    traded, whole = dot(close * volume, np.ones(rows)), dot(volume, np.ones(rows))
    return np.where(whole == 0, 0.0, 1 - ratio(traded, whole) / close)


def _surprise(window: Floats) -> Floats:
    """Return how many deviations of the rows before it the newest lies above their mean."""
    away = window[:, -1:] - window[:, :-1]
    return ratio(away.mean(axis=1), away.std(axis=1, ddof=1))
