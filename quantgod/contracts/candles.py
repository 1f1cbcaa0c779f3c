"""Closed candles of one symbol, market and interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from quantgod.contracts.arrays import Booleans, Floats, Integers
from quantgod.contracts.series import Market

_MINUTE, _HOUR = 60_000, 3_600_000

INTERVALS: Final[Mapping[str, int]] = {
    **{f"{n}m": n * _MINUTE for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": n * _HOUR for n in (1, 2, 4, 6, 8, 12)},
    "1d": 24 * _HOUR,
}
"""Milliseconds of each interval, which all divide a day, by Binance's names."""

CANDLE_COLUMNS: Final = (
    "open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_volume",
)  # fmt: skip
"""Columns of a candle beside its open time; a source may lack all after the close."""

PriceKind = Literal["trades", "micro"]
"""What the prices are of: trades, or micro-prices of a book. One series never mixes both."""


@dataclass(frozen=True, eq=False)
class Candles:
    """Closed candles, oldest first. A hole stays a hole: times rise, and need not be neighbours.

    Attributes:
        symbol: such as `BTCUSDT`.
        market: where it trades.
        interval: of `INTERVALS`.
        kind: what its prices are of.
        time_ms: (n,) open times, epoch milliseconds UTC, on the interval's grid.
        values: (n, 8) float64 in the order of `CANDLE_COLUMNS`; NaN where the source has none.
    """

    symbol: str
    market: Market
    interval: str
    kind: PriceKind
    time_ms: Integers
    values: Floats

    def __post_init__(self) -> None:
        """Check shapes, grid and order.

        Raises:
            ValueError: naming what came and what was expected.
        """
        if self.interval not in INTERVALS:
            raise ValueError(f"an interval of {', '.join(INTERVALS)} expected, got {self.interval}")
        if self.values.shape != (len(self.time_ms), len(CANDLE_COLUMNS)):
            raise ValueError(
                f"{len(self.time_ms)} times and {len(CANDLE_COLUMNS)} columns, got values of shape "
                f"{self.values.shape}"
            )
        if (self.time_ms % self.step_ms).any() or (self.time_ms[1:] <= self.time_ms[:-1]).any():
            raise ValueError(f"rising times on the grid of {self.interval} expected")

    def __len__(self) -> int:
        return len(self.time_ms)

    @property
    def step_ms(self) -> int:
        """Return the milliseconds of the interval."""
        return INTERVALS[self.interval]

    @property
    def stretch(self) -> Integers:
        """Return the number of the gap-free stretch that each candle lies in, (n,), from 0 on."""
        gaps = np.diff(self.time_ms, prepend=self.time_ms[:1] - self.step_ms) != self.step_ms
        return np.cumsum(gaps)

    def column(self, name: str) -> Floats:
        """Return one column, (n,), by its name."""
        return self.values[:, CANDLE_COLUMNS.index(name)]

    def take(self, index: Integers | Booleans | slice) -> Candles:
        """Return the candles at these positions, which rise."""
        return replace(self, time_ms=self.time_ms[index], values=self.values[index])
