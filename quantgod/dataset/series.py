"""Note the series that data was made from, and check that parts used together share it.

A table's file names it in its metadata, because a path alone may later point to other data.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow.parquet as pq

from quantgod.archive.store import stored_series
from quantgod.contracts import Series
from quantgod.files import write_json
from quantgod.settings import DataSettings

SERIES_FILE: Final = "series.json"
PANDAS_ATTRS: Final = "PANDAS_ATTRS"
"""Where pandas keeps a frame's `attrs` in a Parquet file."""


class SeriesError(ValueError):
    """Parts come from several series, or from an unknown one."""


def write_series(folder: Path, series: Series) -> None:
    """Write to `folder` the series that its content was made from."""
    write_json(folder / SERIES_FILE, msgspec.to_builtins(series))


def read_series(folder: Path) -> Series:
    """Read what `write_series` wrote.

    Raises:
        SeriesError: if the file is missing or cannot be parsed.
    """
    path = folder / SERIES_FILE
    try:
        return parse_series(path.read_bytes(), path)
    except FileNotFoundError:
        text = f"{path}: not there, so nobody knows of which symbol and market this was made"
        raise SeriesError(f"{text}: make it again") from None


def series_attributes(series: Series) -> dict[Hashable | None, Any]:
    """Return the `attrs` of a frame whose file names its series."""
    return {"series": msgspec.to_builtins(series)}


def table_series(path: Path) -> Series:
    """Return the series of a table, of labels or of features.

    Raises:
        FileNotFoundError: if there is no file.
        SeriesError: if the file does not name its series, as files of older versions do not.
    """
    kept = json.loads((pq.read_schema(path).metadata or {}).get(PANDAS_ATTRS.encode(), b"{}"))
    if "series" not in kept:
        raise SeriesError(f"{path}: does not say of which symbol and market it is: make it again")
    return parse_series(json.dumps(kept["series"]).encode(), path)


def parse_series(text: bytes, place: Path) -> Series:
    """Parse a series from the JSON found at `place`.

    Raises:
        SeriesError: if it does not describe a series.
    """
    try:
        return msgspec.json.decode(text, type=Series)
    except msgspec.MsgspecError as error:
        raise SeriesError(f"{place}: names no series: {error}") from None


def bars_series(bars: Path, data: DataSettings) -> Series:
    """Return the series of stored bars, which must be the one that the settings name.

    Args:
        bars: folder of the bars of a market.
        data: the settings' symbol and market.

    Raises:
        StoreError: if there are no bars of the symbol.
        SeriesError: if they are of another series.
    """
    found = stored_series(bars, data.symbol)
    return check_one_series({"settings": data.series_from(found.source), "bars": found})


def check_one_series(parts: Mapping[str, Series]) -> Series:
    """Check that all parts are of one series and return it.

    Args:
        parts: series by the part's name; at least one.

    Raises:
        SeriesError: naming each part and its series.
    """
    if len(set(parts.values())) > 1:
        told = ", ".join(f"{name} of {series}" for name, series in parts.items())
        raise SeriesError(f"parts of several series do not make one model: {told}")
    return next(iter(parts.values()))
