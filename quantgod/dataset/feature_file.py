"""The features of a series on disk: one Parquet file, whole or not there, and its figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from quantgod.archive.seconds import read_seconds
from quantgod.archive.store import (
    index_of,
    minutes_schema,
    read_metadata,
    read_rows,
    stored_days,
)
from quantgod.contracts import MS_PER_MINUTE, Floats, Integers, Progress, Series, silent
from quantgod.dataset.feature_table import SourceRows, feature_days
from quantgod.dataset.series import PANDAS_ATTRS, series_attributes
from quantgod.files import atomic_path
from quantgod.served.features import sets

QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)


class FeatureSpread(NamedTuple):
    """How the features of a file are distributed.

    Attributes:
        names: of the features.
        rows: minutes of the file.
        missing: (features,) share of minutes without a value.
        quantiles: (features, 5) at `QUANTILES` of the others; NaN where there are none.
    """

    names: tuple[str, ...]
    rows: int
    missing: Floats
    quantiles: Floats

    def to_json(self) -> dict[str, object]:
        """Return all figures by feature, JSON-able."""
        told = {
            name: {"missing": share, "quantiles": dict(zip(map(str, QUANTILES), at, strict=True))}
            for name, share, at in zip(
                self.names, self.missing.tolist(), self.quantiles.tolist(), strict=True
            )
        }
        return {"version": sets.VERSION, "rows": self.rows, "features": told}


def write_features(
    bars: Path, series: Series, path: Path, max_bridge_minutes: int, progress: Progress = silent
) -> FeatureSpread:
    """Compute the features of all stored days and write them; a reader sees the file whole.

    Args:
        bars: folder of the bars of a market.
        series: of these bars; the file names it.
        path: the file to write.
        max_bridge_minutes: the longest gap inside a stretch.
        progress: called after each day.

    Raises:
        StoreError: naming a day whose figures of seconds are not there.
    """
    days = stored_days(bars, series.symbol)
    with atomic_path(path) as part:
        frames = feature_days(map(day_rows, days), max_bridge_minutes)
        _write(part, series, _told(frames, len(days), progress))
    return spread_of(path)


def read_features(path: Path) -> pd.DataFrame:
    """Read a file of features: `sets.NAMES`, UTC index.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it holds other columns.
    """
    table = pd.read_parquet(path)
    if tuple(table.columns) != sets.NAMES:
        raise ValueError(
            f"{path}: the {len(sets.NAMES)} features of {sets.VERSION} were expected, got "
            f"{', '.join(map(str, table.columns))}"
        )
    return table


def spread_of(path: Path) -> FeatureSpread:
    """Return the distribution of each feature of a file, read one column at a time."""
    with pq.ParquetFile(path) as file:
        columns = (file.read(columns=[name])[name].to_numpy() for name in sets.NAMES)
        figures = [_spread(column) for column in columns]
        rows = file.metadata.num_rows
    missing, quantiles = zip(*figures, strict=True)
    return FeatureSpread(sets.NAMES, rows, np.array(missing), np.array(quantiles))


def day_rows(path: Path) -> SourceRows:
    """Read of a stored day what its features are made of.

    Raises:
        StoreError: if its figures of seconds are not there.
    """
    rows = read_rows(path)
    seconds = read_seconds(path, read_metadata(path))
    return SourceRows(rows.minutes, rows.features, rows.close, rows.book, seconds)


def _told(frames: Iterable[pd.DataFrame], days: int, progress: Progress) -> Iterator[pd.DataFrame]:
    for done, frame in enumerate(frames, start=1):
        yield frame
        progress(done, days, str(frame.index[-1].date()))


def _write(path: Path, series: Series, frames: Iterator[pd.DataFrame]) -> None:
    schema = minutes_schema(sets.NAMES)
    named = {PANDAS_ATTRS: json.dumps(series_attributes(series))}
    schema = schema.with_metadata((schema.metadata or {}) | named)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for frame in frames:
            minutes = pd.DatetimeIndex(frame.index).as_unit("ms").asi8 // MS_PER_MINUTE
            table = features_table(minutes, frame.to_numpy())
            writer.write_table(table.replace_schema_metadata(schema.metadata))


def features_table(minutes: Integers, features: Floats) -> pa.Table:
    """Return features (rows, 112) of epoch minutes as a table with the index of bars."""
    columns = [*map(pa.array, np.ascontiguousarray(features.T)), index_of(minutes)]
    return pa.Table.from_arrays(columns, schema=minutes_schema(sets.NAMES))


def _spread(column: Floats) -> tuple[float, Floats]:
    known = column[~np.isnan(column)]
    missing = 1 - len(known) / max(len(column), 1)
    return missing, np.quantile(known, QUANTILES) if len(known) else np.full(len(QUANTILES), np.nan)
