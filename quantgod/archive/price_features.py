"""Compute the features of minute bars that depend only on prices, by the kernel's formulas.

Features without a column and not determined by prices (the book's features, and volatility, which
needs one-second samples) are unknown. The volume of trades is not `log_volume`, which counts
messages of a book.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from quantgod.contracts import FEATURES, Booleans, Floats, Integers

OF_PRICES: Final = {
    "body": ("open", "close"),
    "upper_wick": ("open", "high", "low", "close"),
    "lower_wick": ("open", "high", "low", "close"),
    "log_ret_close": ("close",),
}
"""The prices that each feature needs; all but the body also need the close before."""


class Features(NamedTuple):
    """Features of minutes.

    Attributes:
        values: (n, 9) in the order of `FEATURES`; unknown features are zero.
        has_row: (n,) False where the close before a minute is needed but missing.
        lacks: the unknown features.
    """

    values: Floats
    has_row: Booleans
    lacks: tuple[str, ...]


def features_of(
    table: pd.DataFrame, close_before: tuple[int, float] | None, max_bridge_minutes: int
) -> Features:
    """Take each feature from its column, or compute it from prices if possible.

    Args:
        table: `close`, and any of `open`, `high`, `low` and `FEATURES`; the index has increasing
            epoch minutes.
        close_before: the last minute before these, and its close.
        max_bridge_minutes: a longer gap ends a stretch.

    Raises:
        ValueError: naming the first value that is not finite.
    """
    minutes = table.index.to_numpy(np.int64)
    previous = _previous_close(minutes, table["close"], close_before, max_bridge_minutes)
    values, has_row = np.zeros((len(table), len(FEATURES))), np.ones(len(table), np.bool_)
    lacks = []
    for place, name in enumerate(FEATURES):
        if name in table:
            values[:, place] = table[name]
        elif name in OF_PRICES and all(price in table for price in OF_PRICES[name]):
            values[:, place] = _computed(name, table, previous)
            has_row &= np.isfinite(previous) | (name == "body")
        else:
            lacks.append(name)
    bad = ~np.isfinite(values) & has_row[:, None]
    if bad.any():
        row, place = np.argwhere(bad)[0]
        when = np.datetime64(int(minutes[row]), "m")
        raise ValueError(f"{FEATURES[place]} of {when} is no finite number")
    return Features(values, has_row, tuple(lacks))


def _previous_close(
    minutes: Integers,
    close: pd.Series[float],
    before: tuple[int, float] | None,
    max_bridge_minutes: int,
) -> Floats:
    """Return the close before each minute; NaN at the start of a stretch."""
    last_minute, last_close = before or (0, np.nan)
    is_bridged = np.diff(minutes, prepend=last_minute) - 1 <= max_bridge_minutes
    return np.where(is_bridged, np.concatenate([[last_close], close[:-1]]), np.nan)


def _computed(name: str, table: pd.DataFrame, previous: Floats) -> Floats:
    prices = table.reindex(columns=["open", "high", "low", "close"]).to_numpy()
    opening, high, low, close = prices.T
    computed: dict[str, Floats] = {
        "body": np.log(close / opening),
        "upper_wick": (high - np.maximum(opening, close)) / previous,
        "lower_wick": (np.minimum(opening, close) - low) / previous,
        "log_ret_close": np.log(close / previous),
    }
    return computed[name]
