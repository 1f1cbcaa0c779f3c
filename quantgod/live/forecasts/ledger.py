"""The ledger of forecasts: what was issued, when, and what came of it.

A row is of one version, coin, issue and horizon. It is added once and scored once; nothing else is
ever changed. Returns are log returns, times UTC.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from quantgod.files import atomic_path
from quantgod.served.candles.quantiles import COVERAGES, LEVELS

KEY: Final = ["name", "version", "files", "symbol", "issue", "horizon"]
"""What tells a row from all others."""

LEVEL_NAMES: Final = [f"q{100 * level:g}" for level in LEVELS]
RETURNS: Final = [f"return_{name}" for name in LEVEL_NAMES]
PRICES: Final = [f"price_{name}" for name in LEVEL_NAMES]
WALK: Final = [f"random_walk_{name}" for name in LEVEL_NAMES]
"""Quantiles of the return: those issued and, with their prices; those of the random walk."""

INSIDE: Final = {share: f"inside_{100 * share:.0f}" for share in COVERAGES}

_MOMENT, _TEXT = pa.timestamp("ms", "UTC"), pa.string()
SCHEMA: Final = pa.schema(
    [
        ("name", _TEXT),
        ("version", pa.int64()),
        ("files", _TEXT),  # digest of the version's files: stores count anew
        ("candles", _TEXT),  # spot 1d trades
        ("symbol", _TEXT),
        ("issue", _MOMENT),  # close of the candle that it was issued from
        ("horizon", pa.int64()),  # candles ahead
        ("due", _MOMENT),
        ("issued_at", _MOMENT),  # when it was written
        ("late", pa.bool_()),  # after the next candle had closed
        ("close", pa.float64()),  # at issue
        ("sigma", pa.float64()),  # of one candle's log return
        ("expected_return", pa.float64()),
        *((name, pa.float64()) for name in (*RETURNS, *PRICES, *WALK)),
        ("up_probability", pa.float64()),
        ("regime", _TEXT),
        ("weights", _TEXT),  # by expert, JSON
        ("outcome", pa.float64()),  # null until it is known, as all that follows
        ("pinball", pa.float64()),  # of scaled returns
        ("random_walk_pinball", pa.float64()),
        *((name, pa.bool_()) for name in INSIDE.values()),
        ("scored_at", _MOMENT),
    ]
)


class ForecastLedgerError(ValueError):
    """A file is no ledger of forecasts."""


def read_ledger(path: Path) -> pd.DataFrame:
    """Read a ledger, with the columns of `SCHEMA`; one that is not there has no rows.

    Raises:
        ForecastLedgerError: for a file that is none.
    """
    if not path.exists():
        return frame_of(SCHEMA.empty_table())
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise ForecastLedgerError(f"{path}: a ledger of forecasts expected, {error}") from None
    if table.schema.remove_metadata() != SCHEMA:
        odd = sorted({*table.column_names} ^ {*SCHEMA.names}) or ["the types of columns"]
        raise ForecastLedgerError(
            f"{path}: no ledger of forecasts of this version, {', '.join(odd[:5])} differ: give "
            "another file (`--set forecast.ledger=FILE`)"
        )
    return frame_of(table)


def write_ledger(path: Path, ledger: pd.DataFrame) -> None:
    """Write a ledger, whole or not at all."""
    table = table_of(ledger)
    with atomic_path(path) as part:
        pq.write_table(table, part, compression="zstd")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time read and write a ledger; others wait for their turn.

    The system releases the lock however the process ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        yield


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Return a table as a frame; where nothing is known yet, there is NA."""
    found: pd.DataFrame = table.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get)
    return found


def table_of(ledger: pd.DataFrame) -> pa.Table:
    """Return a frame as a table of `SCHEMA`."""
    arrays = [_array(ledger[field.name], field.type) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _array(column: pd.Series, kind: pa.DataType) -> pa.Array:
    if column.isna().all():
        return pa.nulls(len(column), kind)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        times = pa.array(column.dt.tz_convert(None).to_numpy("datetime64[ms]"))
        return times.cast(pa.timestamp("ms")).cast(kind)
    return pa.array(column, type=kind, from_pandas=True)
