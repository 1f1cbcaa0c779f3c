"""Which rows: a symbol on a market, and where its rows come from."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

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
