"""Identify a series: a symbol on a market, and the source of its rows."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Market = Literal["linear", "spot", "inverse"]
"""A venue's market. A symbol may trade on several, so a series is named by market and symbol."""

MARKETS: Final[tuple[Market, ...]] = ("linear", "spot", "inverse")

SYMBOL: Final = r"[A-Z0-9][A-Z0-9_-]{1,39}"
"""Pattern of symbols that may name files: `BTCUSDT`, `BTCUSD_PERP`, `BTC-26MAR27`."""

Source = Literal["book", "candles"]
"""Source of rows: minutes of an order book, or candles."""


class Series(msgspec.Struct, frozen=True):
    """A symbol, its market and source: what a model learns from, and all that it may answer."""

    symbol: str
    market: Market
    source: Source = "book"

    def __str__(self) -> str:
        return f"{self.symbol} ({self.market}, {self.source})"
