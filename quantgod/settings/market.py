"""Settings of where data comes from and how it becomes minute bars."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from quantgod.contracts import Market, Series, Source
from quantgod.settings.section import (
    Fraction,
    Natural,
    Positive,
    PositiveFloat,
    Section,
    Symbol,
    Whole,
)


class DataSettings(Section):
    """Which series, and where its data lies. `work` holds checkpoints and studies.

    Every folder but `work` keeps markets apart, since a symbol has one name on all of them.
    """

    symbol: Symbol
    market: Market
    source: Literal["simulate", "download", "local", "imported"]
    archives: Path
    bars: Path
    labels: Path
    work: Path

    @property
    def series(self) -> Series:
        """Which series it is, made from order books."""
        return self.series_from("book")

    def series_from(self, source: Source) -> Series:
        """Which series it is; of bars that were imported the store knows the source."""
        return Series(self.symbol, self.market, source)

    @property
    def own_archives(self) -> Path:
        """Where archives of this series are written."""
        return self.archives / self.market / self.symbol

    @property
    def market_bars(self) -> Path:
        """The store of this market's bars; it holds a folder a symbol."""
        return self.bars / self.market

    @property
    def own_bars(self) -> Path:
        """The bars of this series, a file a day."""
        return self.market_bars / self.symbol

    @property
    def own_labels(self) -> Path:
        """The labelled table of this series."""
        return self.labels / self.market / f"{self.symbol}.parquet"


class SimulateSettings(Section):
    """The synthetic market. Volatility is the standard deviation of a one-minute log return.

    The lean of the book follows a latent state of `half_life_minutes`, each minute with a noise of
    `lean_noise` (of the state: 0.6), and `lead_minutes` before returns do. `prices` is a file of
    minutes whose path the mid follows; times in it that are numbers are in `prices_unit`.
    """

    start: dt.date
    days: Positive
    levels: Annotated[Literal[200, 500], Whole]
    cadence_ms: Annotated[int, Field(ge=10, le=60_000)]
    seed: Natural
    signal: Annotated[float, Field(ge=0, le=1)]
    half_life_minutes: PositiveFloat = 120.0
    lean_noise: Annotated[float, Field(ge=0)] = 0.2
    lead_minutes: Natural = 0
    price: PositiveFloat
    tick: PositiveFloat
    volatility: PositiveFloat
    changes: Positive
    prices: Path | None = None
    prices_unit: Literal["s", "ms", "us", "ns"] = "ms"


class DownloadSettings(Section):
    """Where archives come from and how politely they are asked for."""

    base_url: str
    first_day: dt.date
    last_day: dt.date
    concurrency: Positive
    attempts: Positive
    backoff_seconds: PositiveFloat
    backoff_limit_seconds: PositiveFloat
    timeout_seconds: PositiveFloat


class ArchiveLimits(Section):
    """What an archive may cost before it is refused."""

    member_bytes: Positive
    ratio: PositiveFloat
    members: Positive
    line_bytes: Positive
    corrupt_fraction: Fraction


class EtlSettings(Section):
    """From archives to minute bars.

    `least_coverage` is a share of the minutes between an archive's first message and its last.
    """

    max_silence_seconds: Positive
    max_bridge_minutes: Natural
    frozen_minutes: Positive
    least_coverage: Annotated[float, Field(ge=0, le=1)]
    compression: Literal["snappy", "zstd"]
    workers: Natural
    scheduler: str | None = None
    allow_quarantine: bool
    allow_thin: bool
    limits: ArchiveLimits
