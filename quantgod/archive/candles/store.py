"""Candles on disk: a Parquet for each series, `MARKET/SYMBOL/INTERVAL.KIND.parquet`.

A file holds the eight columns of a candle as float64 (null where no source told it), the source of
each row, the index `datetime` (open time, UTC) and, as file metadata, whose candles they are. What
is written joins what is stored. A stored candle is never changed: it may come again, and what its
source did not tell may be added.
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


class Hole(NamedTuple):
    """Candles that are not there: the open times of the first and the last, and how many."""

    first: str
    last: str
    candles: int


class Written(NamedTuple):
    """What writing did: how many candles are new, had values added, were there, and are there now.

    `path` is the file.
    """

    path: Path
    new: int
    completed: int
    known: int
    total: int


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
    path = candle_path(folder, market, symbol, interval, kind)
    if not path.is_file():
        raise StoreError(
            f"no candles of {symbol} ({market}, {interval}, {kind}) in {folder}: "
            f"{_what_is_there(folder)}"
        )
    return _read(path, CandleMetadata(symbol, market, interval, kind))[0]


def read_sources(path: Path) -> Texts:
    """Return where each candle of a stored file came from, (n,)."""
    return np.asarray(open_file(path).read([SOURCE])[SOURCE].to_numpy(zero_copy_only=False))


def write_candles(
    folder: Path, candles: Candles, source: str | Texts, compression: str = "zstd"
) -> Written:
    """Let candles join those that are stored; a file appears whole or not at all.

    Args:
        folder: of all candles.
        candles: of one series.
        source: where they came from, for all of them or (n,).
        compression: of the file.

    Raises:
        CandleConflictError: where a stored candle has another value; nothing is written then.
        StoreError: for a file that is not one of this series.
    """
    whose = CandleMetadata(candles.symbol, candles.market, candles.interval, candles.kind)
    path = candle_path(folder, candles.market, candles.symbol, candles.interval, candles.kind)
    sources = np.broadcast_to(np.asarray(source, object), len(candles))
    if not len(candles):
        raise StoreError(f"{path}: candles were expected, there are none to store")
    if not path.is_file():
        _write(path, whose, candles, sources, compression)
        return Written(path, len(candles), 0, 0, len(candles))
    stored, of_stored = _read(path, whose)
    merged, of_merged, completed = _merged(path, (stored, of_stored), (candles, sources))
    new = len(merged) - len(stored)
    if new or completed:
        _write(path, whose, merged, of_merged, compression)
    return Written(path, new, completed, len(candles) - new - completed, len(merged))


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


def _merged(
    path: Path, stored: tuple[Candles, Texts], given: tuple[Candles, Texts]
) -> tuple[Candles, Texts, int]:
    """Return all candles, their sources, and how many stored ones had values added."""
    (old, of_old), (new, of_new) = stored, given
    _, at_old, at_new = np.intersect1d(old.time_ms, new.time_ms, True, return_indices=True)
    before, after = old.values[at_old], new.values[at_new]
    _refuse_others(path, old.time_ms[at_old], (before, of_old[at_old]), (after, of_new[at_new]))
    values, sources = old.values.copy(), of_old.copy()
    values[at_old] = np.where(np.isnan(before), after, before)
    gained = (np.isnan(before) & ~np.isnan(after)).any(axis=1)
    sources[at_old[gained]] = of_new[at_new[gained]]
    is_new = np.ones(len(new), bool)
    is_new[at_new] = False
    times = np.concatenate([old.time_ms, new.time_ms[is_new]])
    order = np.argsort(times)
    merged = Candles(
        old.symbol, old.market, old.interval, old.kind, times[order],
        np.concatenate([values, new.values[is_new]])[order],
    )  # fmt: skip
    return merged, np.concatenate([sources, of_new[is_new]])[order], int(gained.sum())


def _refuse_others(
    path: Path, times: Integers, stored: tuple[Floats, Texts], given: tuple[Floats, Texts]
) -> None:
    """Refuse candles of which a value that both tell differs."""
    (before, of_before), (after, of_after) = stored, given
    differs = ~np.isclose(before, after, rtol=ROUNDING, atol=0, equal_nan=True)
    differs &= ~np.isnan(before) & ~np.isnan(after)
    if not differs.any():
        return
    row = int(np.argmax(differs.any(axis=1)))
    column = int(np.argmax(differs[row]))
    raise CandleConflictError(
        f"{path}: {int(differs.any(axis=1).sum())} candles are stored with other values, the first "
        f"of {utc(times[row])}: {CANDLE_COLUMNS[column]} is {before[row, column]:.12g} by "
        f"{of_before[row]}, and {after[row, column]:.12g} by {of_after[row]}. Stored candles are "
        "never changed: if they are wrong remove the file, or give another folder"
    )


def _read(path: Path, expected: CandleMetadata) -> tuple[Candles, Texts]:
    file = open_file(path)
    whose = said_of(path, file, CandleMetadata)
    if whose != expected:
        raise StoreError(f"{path}: holds candles of {whose}, those of {expected} were expected")
    table = file.read()
    times = table[INDEX].cast(pa.int64()).to_numpy() // _MICROSECONDS_A_MS
    values = np.column_stack([table[name].to_numpy() for name in CANDLE_COLUMNS])
    candles = Candles(whose.symbol, whose.market, whose.interval, whose.kind, times, values)
    return candles, np.asarray(table[SOURCE].to_numpy(zero_copy_only=False), object)


def _write(
    path: Path, whose: CandleMetadata, candles: Candles, sources: Texts, compression: str
) -> None:
    columns = [
        pa.array(column, from_pandas=True) for column in np.ascontiguousarray(candles.values.T)
    ]
    rows = [*columns, index_of_ms(candles.time_ms), pa.array(sources, pa.string())]
    table = pa.Table.from_arrays(rows, schema=_SCHEMA)
    write_file(path, _SCHEMA, [table], whose, compression)


def _what_is_there(folder: Path) -> str:
    """Say which series a store holds."""
    if not folder.is_dir():
        return "there is no such folder"
    held = [
        f"{one.symbol} ({one.market}, {one.interval}, {one.kind})"
        for _, one in stored_candles(folder)
    ]
    return f"it holds {', '.join(held)}" if held else "it holds no candles at all"
