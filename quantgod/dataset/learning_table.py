"""Make what a network learns from: labels, their features, and the blocks of the book."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from quantgod.archive.snapshot_store import read_snapshot_metadata
from quantgod.archive.store import stored_days
from quantgod.contracts import Integers, Series
from quantgod.dataset.book_blocks import BookBlocks, open_all_blocks
from quantgod.dataset.feature_file import read_features
from quantgod.dataset.series import table_series
from quantgod.dataset.table import read_table
from quantgod.served.blocks import VOLATILITY_ROWS
from quantgod.served.features import sets
from quantgod.served.rolling import deviation
from quantgod.settings import command


class UnmatchedFeaturesError(ValueError):
    """Features that do not belong to a labelled table."""


class UnmatchedSnapshotsError(ValueError):
    """Snapshots of the book that do not belong to a labelled table."""


class LearnedFrom(NamedTuple):
    """The labelled table with its features, and the blocks of its rows' books.

    Attributes:
        table: what `learning_table` returns; of rows with a whole block alone, if there are blocks.
        blocks: mapped, of all stored minutes; None for a network that does not look at the book.
    """

    table: pd.DataFrame
    blocks: BookBlocks | None


def learned_from(
    inputs: Mapping[str, Path], announce: Callable[[str], None] = lambda text: None
) -> LearnedFrom:
    """Read what a stage learns from.

    Args:
        inputs: its paths of `labels`, and of `features` and `snapshots` where the network looks.
        announce: called with how many minutes are left out, if any are.

    Raises:
        FileNotFoundError, ValueError, SeriesError, UnmatchedFeaturesError: as `learning_table`.
        StoreError: if blocks cannot be read.
        UnmatchedSnapshotsError: if the snapshots are of another series, or lack days of the table.
    """
    table = learning_table(inputs["labels"], inputs.get("features"))
    if (folder := inputs.get("snapshots")) is None:
        return LearnedFrom(table, None)
    _check_snapshots(folder, table, table_series(inputs["labels"]))
    blocks = open_all_blocks(folder.parent, folder.name)
    left = with_blocks(table, blocks)
    if lacking := len(table) - len(left):
        announce(
            f"{lacking:,} of {len(table):,} labelled minutes are left out: they have no whole "
            "block of snapshots, or no price that moved"
        )
    return LearnedFrom(left, blocks)


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
    rows = _kept(table, kept)
    joined = pd.DataFrame(values[kept], rows.index, list(sets.NAMES))
    return pd.concat([rows, joined], axis=1)


def with_blocks(table: pd.DataFrame, blocks: BookBlocks) -> pd.DataFrame:
    """Drop the rows whose book a network cannot look at, and number `run` anew.

    These are rows without a block, those of whose block a level is missing, and those whose last
    `VOLATILITY_ROWS` closes are equal, which prices cannot be scaled by. All blocks are read once,
    some at a time.

    Raises:
        UnmatchedSnapshotsError: if no row is left.
    """
    places = blocks.places_of(pd.DatetimeIndex(table.index))
    is_whole = places >= 0
    is_whole[is_whole] = blocks.whole(places[is_whole])
    returns = table["log_ret_close"].to_numpy(np.float64)
    kept = np.flatnonzero(is_whole & (deviation(returns, VOLATILITY_ROWS) != 0))
    if not len(kept):
        raise UnmatchedSnapshotsError(
            f"none of {len(table)} minutes has a whole block of snapshots before its close, and a "
            f"price that moved: more archives are needed, or other `snapshots` settings; {_anew()}"
        )
    return _kept(table, kept)


def _kept(table: pd.DataFrame, kept: Integers) -> pd.DataFrame:
    """Return some rows, with `run` numbered so that no window spans a dropped one."""
    run = _stretches(kept, table["run"].to_numpy(np.int64)[kept])
    return table.iloc[kept].assign(run=run.astype(np.int32))


def _check_snapshots(folder: Path, table: pd.DataFrame, series: Series) -> None:
    paths = stored_days(folder.parent, folder.name)
    for path in paths:
        of = read_snapshot_metadata(path)
        if (found := Series(of.symbol, of.market)) != series:
            raise UnmatchedSnapshotsError(
                f"{path} is of {found}, and the labels are of {series}: {_anew()}"
            )
    labelled = pd.DatetimeIndex(table.index).strftime("%Y-%m-%d")
    if absent := sorted(set(labelled) - {path.stem for path in paths}):
        more = f" and {len(absent) - 1} more days" if len(absent) > 1 else ""
        raise UnmatchedSnapshotsError(
            f"the labelled minutes of {absent[0]}{more} have no snapshots in {folder}: {_anew()}"
        )


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


def _anew() -> str:
    return f"`{command('snapshots')}` makes them of the archives that are there"
