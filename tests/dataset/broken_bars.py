"""Minute bars with holes in them, short enough for property tests."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from quantgod.settings import HorizonSettings, LabelSettings
from tests.synthetic import synthetic_bars

BRIDGE = 5
LABEL = LabelSettings(horizon_minutes=60, buy_above=0.008, sell_below=-0.004)
FURTHER = (
    HorizonSettings(horizon_minutes=90, buy_above=0.01, sell_below=-0.01),
    HorizonSettings(horizon_minutes=10, buy_above=0.002, sell_below=-0.001),
)
SEVERAL = LABEL.model_copy(update={"further": FURTHER})
START = 23 * 60  # one hour of the first day, so that midnights lie inside


@cache
def whole_bars(minutes: int = 2 * 1440) -> pd.DataFrame:
    return synthetic_bars(START + minutes, seed=3, signal=0.4).iloc[START:]


def without(bars: pd.DataFrame, missing: np.ndarray) -> pd.DataFrame:
    """Bars less some rows, their returns spanning what is missing, as the kernel's do."""
    kept = bars.drop(bars.index[missing])
    close = kept["close"].to_numpy()
    spanning = np.log(close[1:] / close[:-1])
    returns = np.concatenate([kept["log_ret_close"].to_numpy()[:1], spanning])
    return kept.assign(log_ret_close=returns)


@st.composite
def broken_bars(draw: st.DrawFn, minutes: int = 1700) -> pd.DataFrame:
    """Up to six holes of 1 to 9 minutes, some bridged and some not, in a little over a day."""
    bars = whole_bars().iloc[:minutes]
    holes = draw(st.lists(st.tuples(st.integers(1, minutes - 10), st.integers(1, 9)), max_size=6))
    missing = np.unique([start + k for start, length in holes for k in range(length)])
    return without(bars, missing.astype(np.int64))
