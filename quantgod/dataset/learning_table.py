"""Make the table that a network learns from: labels, and beside them the features it looks at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from quantgod.contracts import Integers
from quantgod.dataset.feature_file import read_features
from quantgod.dataset.series import table_series
from quantgod.dataset.table import read_table
from quantgod.served.features import sets
from quantgod.settings import command


class UnmatchedFeaturesError(ValueError):
    """Features that do not belong to a labelled table."""


def learning_table(labels: Path, features: Path | None) -> pd.DataFrame:
    """Read a labelled table, and join its features where they are asked for.

    Args:
        labels: file of the table.
        features: file of the features of the same minutes; None for a network of bars.

    Raises:
        FileNotFoundError: if there is no file.
        ValueError: if a file has other columns.
        SeriesError: if a file does not name its series.
        UnmatchedFeaturesError: if the features are of another series, or lack minutes of the table.
    """
    table = read_table(labels)
    if features is None:
        return table
    ours, theirs = table_series(labels), table_series(features)
    if ours != theirs:
        raise UnmatchedFeaturesError(
            f"{features} is of {theirs}, and the labels at {labels} are of {ours}: {_again()}"
        )
    return with_features(table, read_features(features))


def with_features(table: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    """Join the features to a labelled table, and drop the rows that lack one.

    The first rows of a stretch have too little past for all features. `run` is numbered anew, so
    that no window spans a dropped row; labels stay as they are.

    Args:
        table: what `label` returns.
        features: `sets.NAMES` of all its minutes, and maybe of more.

    Returns:
        The columns of the table, then `sets.NAMES`.

    Raises:
        UnmatchedFeaturesError: if minutes of the table are not among those of the features, or
            none of them has all features.
    """
    place = pd.Index(_epoch_ms(features)).get_indexer(pd.Index(_epoch_ms(table)))
    if len(absent := np.flatnonzero(place < 0)):
        raise UnmatchedFeaturesError(
            f"{len(absent)} of {len(table)} labelled minutes have no features, the first is "
            f"{table.index[absent[0]]}: {_again()}"
        )
    values = features.loc[:, list(sets.NAMES)].to_numpy(np.float64)[place]
    kept = np.flatnonzero(np.isfinite(values).all(axis=1))
    if not len(kept):
        raise UnmatchedFeaturesError(
            f"none of {len(table)} minutes has all {len(sets.NAMES)} features, which a stretch "
            f"has from its minute {sets.REACH} on: more minutes without a gap are needed"
        )
    rows = table.iloc[kept]
    joined = pd.DataFrame(values[kept], rows.index, list(sets.NAMES))
    run = _stretches(kept, table["run"].to_numpy(np.int64)[kept])
    return pd.concat([rows.assign(run=run.astype(np.int32)), joined], axis=1)


def _stretches(kept: Integers, run: Integers) -> Integers:
    """Number the rows that are left: a dropped row ends a stretch, as a gap does."""
    begins = (np.diff(kept, prepend=kept[:1] - 1) != 1) | (np.diff(run, prepend=run[:1]) != 0)
    numbers: Integers = np.cumsum(begins)
    return numbers


def _epoch_ms(frame: pd.DataFrame) -> Integers:
    milliseconds: Integers = pd.DatetimeIndex(frame.index).as_unit("ms").asi8
    return milliseconds


def _again() -> str:
    return f"`{command('features')}` makes them of the bars that are there"
