"""Candles on disk: a Parquet for each series, `MARKET/SYMBOL/INTERVAL.KIND.parquet`.

A file holds the eight columns of a candle as float64 (null where no source told it), the source of
each row, the index `datetime` (open time, UTC) and, as file metadata, whose candles they are. What
is written joins what is stored. A stored candle is never changed: it may come again, and what its
source did not tell may be added. One process at a time may write a series.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from quantgod.archive.store import (
    INDEX,
    StoreError,
    index_of_ms,
    minutes_schema,
    open_file,
    said_of,
    write_file,
)
from quantgod.contracts import (
    CANDLE_COLUMNS,
    INTERVALS,
    MARKETS,
    Candles,
    Floats,
    Integers,
    Market,
    PriceKind,
)

CANDLE_SCHEMA: Final = "1"
"""Raised whenever columns or metadata, their types or their meaning change."""

SOURCE: Final = "source"
SIMULATED: Final = "simulated"
"""How the source of a simulated candle begins. No series mixes it with another."""

ROUNDING: Final = 1e-9
"""Numbers that differ by a smaller share are the same, written by another program."""

_MICROSECONDS_A_MS: Final = 1000
_SCHEMA: Final = minutes_schema(CANDLE_COLUMNS).append(pa.field(SOURCE, pa.string()))
_KINDS: Final[tuple[PriceKind, ...]] = ("trades", "micro")

Texts = NDArray[np.object_]


class CandleConflictError(StoreError):
    """A candle is to be stored, and another one of its time is there."""


@dataclass(frozen=True)
class CandleMetadata:
    """Whose candles a file holds."""

    symbol: str
    market: Market
    interval: str
    kind: PriceKind
    schema_version: str = CANDLE_SCHEMA

    def __str__(self) -> str:
        return f"{self.symbol} ({self.market}, {self.interval}, {self.kind})"


class Hole(NamedTuple):
    """Candles that are not there: the open times of the first and the last, and how many."""

    first: str
    last: str
    candles: int


class Joined(NamedTuple):
    """What joined: how many candles are new, had values added, or were there as they are."""

    new: int
    completed: int
    known: int


@dataclass(frozen=True, eq=False)
class StoredCandles:
    """A stored series in memory: its candles, and the source of each, (n,)."""

    candles: Candles
    sources: Texts

    @property
    def whose(self) -> CandleMetadata:
        """Return whose candles these are."""
        return whose_are(self.candles)


def candle_path(
    folder: Path, market: Market, symbol: str, interval: str, kind: PriceKind = "trades"
) -> Path:
    """Return where a series of candles stands."""
    return folder / market / symbol / f"{interval}.{kind}.parquet"


def read_candles(
    folder: Path, market: Market, symbol: str, interval: str, kind: PriceKind = "trades"
) -> Candles:
    """Read a stored series.

    Raises:
        StoreError: if it is not there (saying what is), or the file is not one of this series.
    """
    whose = CandleMetadata(symbol, market, interval, kind)
    if not path_of(folder, whose).is_file():
        raise StoreError(f"no candles of {whose} in {folder}: {_what_is_there(folder)}")
    return open_candles(folder, whose).candles


def write_candles(folder: Path, candles: Candles, source: str) -> Joined:
    """Let candles of one source join those that are stored, and store them.

    Raises:
        CandleConflictError: where a stored candle has another value; nothing is written then.
        StoreError: for a file that is not one of this series.
    """
    joined, counts = join_candles(open_candles(folder, whose_are(candles)), candles, source)
    if counts.new or counts.completed:
        save_candles(folder, joined)
    return counts


def open_candles(folder: Path, whose: CandleMetadata) -> StoredCandles:
    """Read what is stored of a series: nothing, if there is no file.

    Raises:
        StoreError: if the file is not one of this series.
    """
    path = path_of(folder, whose)
    if path.is_file():
        return _read(path, whose)
    nothing = np.empty((0, len(CANDLE_COLUMNS)))
    return StoredCandles(_candles(whose, np.empty(0, np.int64), nothing), np.empty(0, object))


def join_candles(
    stored: StoredCandles, candles: Candles, source: str
) -> tuple[StoredCandles, Joined]:
    """Return the stored candles with others, and what is new of them; nothing is written.

    Raises:
        CandleConflictError: where a stored candle has another value.
        ValueError: for candles of another series.
    """
    old, new, whose = stored.candles, candles, stored.whose
    if whose_are(new) != whose:
        raise ValueError(f"candles of {whose} were expected, got those of {whose_are(new)}")
    at = np.searchsorted(old.time_ms, new.time_ms)
    is_known = np.isin(new.time_ms, old.time_ms[at[at < len(old)]])
    at_old = at[is_known]
    if len(old) and (_is_simulated(stored.sources[0]) != _is_simulated(source)):
        raise CandleConflictError(
            f"candles of {whose} are stored by {stored.sources[0]}, and {source} is none of their "
            "kind: simulated candles never mix with others, so give another folder"
        )
    before, after = old.values[at_old], new.values[is_known]
    _refuse_others(stored, at_old, after, source)
    values, sources = old.values, stored.sources
    gained = (np.isnan(before) & ~np.isnan(after)).any(axis=1)
    if gained.any():
        values, sources = values.copy(), sources.copy()
        values[at_old] = np.where(np.isnan(before), after, before)
        sources[at_old[gained]] = source
    where = at[~is_known]
    joined = _candles(
        whose,
        np.insert(old.time_ms, where, new.time_ms[~is_known]),
        np.insert(values, where, new.values[~is_known], axis=0),
    )
    count, completed = len(where), int(gained.sum())
    counts = Joined(count, completed, len(new) - count - completed)
    return StoredCandles(joined, np.insert(sources, where, source)), counts


def save_candles(folder: Path, stored: StoredCandles, compression: str = "zstd") -> Path:
    """Store a series, whole or not at all, and return its file.

    Raises:
        StoreError: if there is no candle.
    """
    candles, path = stored.candles, path_of(folder, stored.whose)
    if not len(candles):
        raise StoreError(f"{path}: candles were expected, there are none to store")
    by_column = np.ascontiguousarray(candles.values.T)
    columns = [pa.array(column, from_pandas=True) for column in by_column]
    rows = [*columns, index_of_ms(candles.time_ms), pa.array(stored.sources, pa.string())]
    table = pa.Table.from_arrays(rows, schema=_SCHEMA)
    write_file(path, _SCHEMA, [table], stored.whose, compression)
    return path


def holes(candles: Candles) -> list[Hole]:
    """Return the holes between the first and the last candle, oldest first."""
    step, times = candles.step_ms, candles.time_ms
    before = np.flatnonzero(np.diff(times) > step)
    return [
        Hole(utc(first), utc(end - step), int((end - first) // step))
        for first, end in zip(times[before] + step, times[before + 1], strict=True)
    ]


def stored_candles(folder: Path) -> Iterator[tuple[Path, CandleMetadata]]:
    """Yield the files of a store, and whose candles they are by their names."""
    for market in MARKETS:
        for path in sorted((folder / market).glob("*/*.parquet")):
            interval, _, kind = path.stem.partition(".")
            for one in _KINDS:
                if kind == one and interval in INTERVALS:
                    yield path, CandleMetadata(path.parent.name, market, interval, one)


def utc(time_ms: int) -> str:
    """Return a time as text, without seconds."""
    return str(np.datetime64(int(time_ms), "ms").astype("datetime64[m]")).replace("T", " ")


def _refuse_others(stored: StoredCandles, at: Integers, after: Floats, source: str) -> None:
    """Refuse candles of which a value that both tell differs."""
    before = stored.candles.values[at]
    differs = ~np.isclose(before, after, rtol=ROUNDING, atol=0, equal_nan=True)
    differs &= ~np.isnan(before) & ~np.isnan(after)
    if not differs.any():
        return
    row = int(np.argmax(differs.any(axis=1)))
    column = int(np.argmax(differs[row]))
    raise CandleConflictError(
        f"{int(differs.any(axis=1).sum())} candles of {stored.whose} are stored with other values, "
        f"the first of {utc(stored.candles.time_ms[at[row]])}: {CANDLE_COLUMNS[column]} is "
        f"{before[row, column]:.12g} by {stored.sources[at[row]]}, and {after[row, column]:.12g} "
        f"by {source}. Stored candles are never changed: if they are wrong remove their file, or "
        "give another folder"
    )


def _is_simulated(source: str) -> bool:
    return source.startswith(SIMULATED)


def _read(path: Path, expected: CandleMetadata) -> StoredCandles:
    file = open_file(path)
    whose = said_of(path, file, CandleMetadata)
    if whose != expected:
        raise StoreError(f"{path}: holds candles of {whose}, those of {expected} were expected")
    table = file.read()
    times = table[INDEX].cast(pa.int64()).to_numpy() // _MICROSECONDS_A_MS
    values = np.column_stack([table[name].to_numpy() for name in CANDLE_COLUMNS])
    sources = np.asarray(table[SOURCE].to_numpy(zero_copy_only=False), object)
    return StoredCandles(_candles(whose, times, values), sources)


def _candles(whose: CandleMetadata, times: Integers, values: Floats) -> Candles:
    return Candles(whose.symbol, whose.market, whose.interval, whose.kind, times, values)


def whose_are(candles: Candles) -> CandleMetadata:
    """Return whose candles these are."""
    return CandleMetadata(candles.symbol, candles.market, candles.interval, candles.kind)


def path_of(folder: Path, whose: CandleMetadata) -> Path:
    """Return where a series of candles stands."""
    return candle_path(folder, whose.market, whose.symbol, whose.interval, whose.kind)


def _what_is_there(folder: Path) -> str:
    """Say which series a store holds."""
    if not folder.is_dir():
        return "there is no such folder"
    held = ", ".join(str(whose) for _, whose in stored_candles(folder))
    return f"it holds {held}" if held else "it holds no candles at all"
