"""Column names and class order."""

from __future__ import annotations

from typing import Final

from quantgod.served.features import sets

FEATURES: Final = (
    "body",
    "upper_wick",
    "lower_wick",
    "log_ret_close",
    "volatility",
    "max_spread",
    "mean_obi",
    "mean_deep_obi",
    "log_volume",
)
"""The nine features of a minute bar, in the order every matrix uses."""

SECOND_FIGURES: Final = (
    "second_deviation",
    "spread_mean",
    "spread_max",
    "obi_mean",
    "obi_std",
    "obi_trend",
    "obi_flips",
    "deep_mean",
    "deep_trend",
    "obi_corr",
    "ofi_1",
    "ofi_ac1",
)
"""Twelve figures of the one-second samples inside a minute, kept beside its bar (docs/data.md)."""

FEATURE_SET: Final = "minute_bars/1"
"""Their name and version, which rises whenever a formula of theirs changes."""

ALL_FEATURES: Final = (*FEATURES, *sets.NAMES)
"""The nine and the 112 after them, as a live session knows them of each minute."""

FEATURE_SETS: Final = {FEATURE_SET: FEATURES, f"{FEATURE_SET}+{sets.VERSION}": ALL_FEATURES}
"""What a version may ask for: the columns by the name of their set."""

BOOK_LEVELS: Final = 200
"""Levels a side in a stored minute row."""

BOOK_COLUMNS: Final = tuple(
    f"{side}_{level}_{field}"
    for side in ("bid", "ask")
    for level in range(BOOK_LEVELS)
    for field in ("p", "s")
)

BAR_COLUMNS: Final = (*FEATURES, "close", *BOOK_COLUMNS)
"""The 810 columns of a stored minute row; its index is `datetime`, the minute's start in UTC."""

CLASSES: Final = ("SELL", "NEUTRAL", "BUY")
"""Class names; a class's number is its place here."""

META_FEATURES: Final = (
    "prob_sell",
    "prob_neutral",
    "prob_buy",
    "entropy",
    "body",
    "upper_wick",
    "lower_wick",
    "log_ret_close",
    "volatility",
    "mean_obi",
    "mean_deep_obi",
    "rsi_14",
    "ema_9_dist",
    "ema_50_dist",
)
"""What the auditor sees of one minute, in the order its booster was trained on."""

RSI_PERIOD: Final = 14
"""Changes of the price that `rsi_14` takes."""

SHORTEST_WINDOW: Final = RSI_PERIOD + 1
"""Minutes of a window that has all meta-features."""
