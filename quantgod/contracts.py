"""What rooms exchange: column names, class order, and the records that pass between them.

Everything here is a name or a frozen record: whatever two rooms must agree on, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import msgspec

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

FEATURE_SET: Final = "minute_bars/1"
"""Their name and version, which rises whenever a formula of theirs changes."""

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

MS_PER_SECOND: Final = 1_000
MS_PER_MINUTE: Final = 60_000
MS_PER_DAY: Final = 86_400_000
SECONDS_PER_MINUTE: Final = 60

Market = Literal["linear", "spot", "inverse"]
"""A venue's market. One symbol may trade on each, so a series is known by market and symbol."""

MARKETS: Final[tuple[Market, ...]] = ("linear", "spot", "inverse")

SYMBOL: Final = r"[A-Z0-9][A-Z0-9_-]{1,39}"
"""What a symbol looks like wherever it names files: `BTCUSDT`, `BTCUSD_PERP`, `BTC-26MAR27`."""

Source = Literal["book", "candles"]
"""Where rows come from: `book` is minutes of an order book, which is all there is so far."""


class Series(msgspec.Struct, frozen=True):
    """Whose rows they are: what a model learns from, and all that it may answer."""

    symbol: str
    market: Market
    source: Source = "book"

    def __str__(self) -> str:
        return f"{self.symbol} ({self.market}, {self.source})"


Level = tuple[float, float]
"""Price and size; a size of zero removes the level."""


# A struct is made in a quarter of a named tuple's time, and each message makes several.
class BookUpdate(msgspec.Struct, frozen=True, gc=False):
    """One order-book message of any venue, decoded: a whole book or changes to it.

    `ts` is exchange time in ms. `update_id` is the id of the last change the message holds.
    """

    symbol: str
    ts: int
    is_snapshot: bool
    update_id: int
    bids: list[Level]
    asks: list[Level]


Progress = Callable[[int, int, str], None]
"""How long work reports itself: steps done, steps in all (0 = unknown), and a short note."""


def silent(done: int, total: int, note: str) -> None:
    """Report to nobody: the default of every function that takes a `Progress`."""
