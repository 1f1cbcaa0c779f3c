"""Settings of candles: their store, where they come from, and simulated ones."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from quantgod.contracts import INTERVALS, Market, PriceKind
from quantgod.settings.section import Listed, Natural, Positive, PositiveFloat, Section, Symbol

Strength = Annotated[float, Field(ge=0, le=1)]


class CandleSimulation(Section):
    """Simulated candles. All three strengths zero: independent returns of one volatility.

    `volatility` is the standard deviation of a candle's log return, also where it clusters.
    `tails` are the degrees of freedom of Student's t that shocks are drawn from; null: normal.
    `common` is the correlation of what is drawn for different coins. `momentum`, `clusters` and
    `regimes` are how strongly each structure is planted (`simulation.candles`).
    """

    start: dt.date = dt.date(2016, 1, 1)
    candles: Positive = 3000
    seed: Natural = 7
    price: PositiveFloat = 1000.0
    volatility: PositiveFloat = 0.03
    tails: Annotated[float, Field(gt=2)] | None = 5.0
    common: Annotated[float, Field(ge=0, lt=1)] = 0.5
    momentum: Strength = 0.0
    clusters: Strength = 1.0
    regimes: Strength = 0.0


class CandleSettings(Section):
    """The store of candles, and what fills it.

    Downloads retry and wait as `download` says, for the days from the first to the last, by default
    yesterday. `drop_last` leaves out the newest candle of a file, which may not have closed when
    the file was made. `bars` are minutes of order books (`data.bars`), whose messages are volumes
    only where `messages_as_volume` says so.
    """

    folder: Path = Path("data/candles")
    market: Market = "spot"
    interval: str = "1d"
    coins: Annotated[tuple[Symbol, ...], Listed] = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "LTCUSDT")
    source: Literal["download", "simulate", "bars", "store"] = "download"
    base_url: str = "https://data.binance.vision/data"
    first_day: dt.date = dt.date(2017, 8, 17)
    last_day: dt.date | None = None
    drop_last: bool = False
    messages_as_volume: bool = False
    simulate: CandleSimulation = CandleSimulation()

    @field_validator("interval")
    @classmethod
    def _is_known(cls, interval: str) -> str:
        if interval not in INTERVALS:
            raise ValueError(f"one of {', '.join(INTERVALS)} expected")
        return interval

    @field_validator("coins")
    @classmethod
    def _are_different(cls, coins: tuple[str, ...]) -> tuple[str, ...]:
        if not coins or len({*coins}) < len(coins):
            raise ValueError("one coin or more expected, none of them twice")
        return coins

    @property
    def kind(self) -> PriceKind:
        """Return what the prices are of: a book's, where candles are made of bars."""
        return "micro" if self.source == "bars" else "trades"

    @property
    def own_folder(self) -> Path:
        """Return the folder of this market's candles."""
        return self.folder / self.market
