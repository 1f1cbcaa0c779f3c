"""Settings of where data comes from and how it becomes minute bars."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from quantgod.contracts import BOOK_LEVELS, MS_PER_MINUTE, BookShape, Market, Series, Source
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
    """The series and the folders of its data. `work` holds checkpoints and studies.

    All folders but `work` have a subfolder per market, since a symbol has the same name on each.
    """

    symbol: Symbol
    market: Market
    source: Literal["simulate", "download", "local", "imported"]
    archives: Path
    bars: Path
    labels: Path
    features: Path = Path("data/features")
    snapshots: Path = Path("data/snapshots")
    work: Path

    @property
    def series(self) -> Series:
        """Return the series, made from order books."""
        return self.series_from("book")

    def series_from(self, source: Source) -> Series:
        """Return the series with another source, as imported bars have it."""
        return Series(self.symbol, self.market, source)

    @property
    def own_archives(self) -> Path:
        """Return the folder of this series' archives."""
        return self.archives / self.market / self.symbol

    @property
    def market_bars(self) -> Path:
        """Return the bar store of this market; it has one folder per symbol."""
        return self.bars / self.market

    @property
    def own_bars(self) -> Path:
        """Return the folder of this series' bars, one file per day."""
        return self.market_bars / self.symbol

    @property
    def own_labels(self) -> Path:
        """Return the path of this series' labelled table."""
        return self.labels / self.market / f"{self.symbol}.parquet"

    @property
    def own_features(self) -> Path:
        """Return the path of this series' features."""
        return self.features / self.market / f"{self.symbol}.parquet"

    @property
    def market_snapshots(self) -> Path:
        """Return the snapshot store of this market; it has one folder per symbol."""
        return self.snapshots / self.market

    @property
    def own_snapshots(self) -> Path:
        """Return the folder of this series' snapshots, one file per day."""
        return self.market_snapshots / self.symbol


Planted = Literal["lean", "shape", "flow", "candles", "memory", "parts"]
"""Where a simulated market shows what it knows of the returns to come (`simulation.planted`)."""

Kind = Literal["lean", "shape", "flow", "candles", "memory"]
"""A signal of one kind, that a network is made for."""

LONGEST_REQUOTE_MS: Final = 2_000
"""Between messages, if some of them are to show a shape or a flow in a minute's last seconds."""


class SimulateSettings(Section):
    """The synthetic market. Volatility is the standard deviation of a one-minute log return.

    The lean of the book follows a latent state with `half_life_minutes`, plus noise of `lean_noise`
    each minute (the state's own is 0.6), and leads returns by `lead_minutes`. `planted` says what
    shows the state instead; with `memory` it is the return of the `span_minutes` after the lead,
    and with `parts` there are three states, of which lean, shape and candle show one each.
    `prices` is a file of minutes whose path the mid price follows; numeric times in it are in
    `prices_unit`.
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
    planted: Planted = "lean"
    span_minutes: Positive = 120
    price: PositiveFloat
    tick: PositiveFloat
    volatility: PositiveFloat
    changes: Positive
    prices: Path | None = None
    prices_unit: Literal["s", "ms", "us", "ns"] = "ms"

    @model_validator(mode="after")
    def _can_plant(self) -> Self:
        if self.prices is not None and self.planted != "lean":
            raise ValueError(
                f"planted: only lean can be planted on given prices, got {self.planted}"
            )
        if self.planted in ("shape", "flow", "parts") and self.cadence_ms > LONGEST_REQUOTE_MS:
            raise ValueError(
                f"cadence_ms: at most {LONGEST_REQUOTE_MS} expected with planted {self.planted}, "
                f"got {self.cadence_ms}"
            )
        return self


class Politeness(Section):
    """How many files are downloaded at a time, and how patiently."""

    concurrency: Positive
    attempts: Positive
    backoff_seconds: PositiveFloat
    backoff_limit_seconds: PositiveFloat
    timeout_seconds: PositiveFloat


class DownloadSettings(Politeness):
    """Where archives are downloaded from, and how politely."""

    base_url: str
    first_day: dt.date
    last_day: dt.date


class ArchiveLimits(Section):
    """Limits beyond which an archive is refused."""

    member_bytes: Positive
    ratio: PositiveFloat
    members: Positive
    line_bytes: Positive
    corrupt_fraction: Fraction


class EtlSettings(Section):
    """How archives become minute bars.

    `least_coverage` is a share of the minutes between an archive's first and last message.
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


class SnapshotSettings(Section):
    """Order books kept at the end of each interval, for the last intervals before a minute closes.

    Attributes:
        levels: best levels a side.
        interval_ms: a divisor of a minute.
        per_minute: intervals kept before each close.
        block: how many of them, the last, a network sees.
    """

    levels: Annotated[int, Field(ge=1, le=BOOK_LEVELS)] = 20
    interval_ms: Positive = 100
    per_minute: Positive = 100
    block: Positive = 100

    @property
    def shape(self) -> BookShape:
        """Return what a network sees."""
        return BookShape(self.block, self.levels, self.interval_ms)

    @model_validator(mode="after")
    def _fits_a_minute(self) -> Self:
        if MS_PER_MINUTE % self.interval_ms:
            raise ValueError(f"interval_ms: a divisor of 60000 expected, got {self.interval_ms}")
        most = MS_PER_MINUTE // self.interval_ms
        if not self.block <= self.per_minute <= most:
            raise ValueError(
                f"block <= per_minute <= {most} (a minute) expected, got block {self.block} and "
                f"per_minute {self.per_minute}"
            )
        return self
