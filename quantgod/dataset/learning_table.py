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
from quantgod.dataset.samples import SEEN, seen_rows
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
        table: every labelled minute, with column `SEEN` where a network cannot look at all of them.
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
    given, looked_at = int(seen_rows(table).sum()), with_blocks(table, blocks)
    if lacking := given - int(looked_at[SEEN].sum()):
        announce(
            f"{lacking:,} of {given:,} labelled minutes are left out: they have no whole "
            "block of snapshots, or no price that moved"
        )
    return LearnedFrom(looked_at, blocks)


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
    """Join the features to a labelled table, and mark the rows that have all of them.

    The first rows of a stretch have too little past for all features. Rows that lack one stay, with
    NaN for all, so that borders are drawn on the same minutes for every network.

    Args:
        table: what `label` returns.
        features: `sets.NAMES` of all its minutes, and maybe of more.

    Returns:
        The columns of the table, then `sets.NAMES` and `SEEN`.

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
    seen = np.isfinite(values).all(axis=1)
    if not seen.any():
        raise UnmatchedFeaturesError(
            f"none of {len(table)} minutes has all {len(sets.NAMES)} features, which a stretch "
            f"has from its minute {sets.REACH} on: more minutes without a gap are needed"
        )
    values[~seen] = np.nan
    joined = pd.DataFrame(values, table.index, list(sets.NAMES))
    return pd.concat([table, joined], axis=1).assign(**{SEEN: seen})


def with_blocks(table: pd.DataFrame, blocks: BookBlocks) -> pd.DataFrame:
    """Mark the rows whose book a network can look at, in column `SEEN`.

    It cannot look at rows without a block, at those of whose block a level is missing, and at those
    whose last `VOLATILITY_ROWS` closes are equal, which prices cannot be scaled by. All blocks are
    read once, some at a time.

    Raises:
        UnmatchedSnapshotsError: if there is no such row.
    """
    given, places = seen_rows(table), blocks.places_of(pd.DatetimeIndex(table.index))
    is_whole = given & (places >= 0)
    is_whole[is_whole] = blocks.whole(places[is_whole])
    returns = table["log_ret_close"].to_numpy(np.float64)
    seen = is_whole & (deviation(returns, VOLATILITY_ROWS) != 0)
    if not seen.any():
        raise UnmatchedSnapshotsError(
            f"none of {given.sum()} minutes has a whole block of snapshots before its close, and a "
            f"price that moved: more archives are needed, or other `snapshots` settings; {_anew()}"
        )
    return table.assign(**{SEEN: seen})


def whole_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that a network can look at, without `SEEN`.

    `run` is numbered anew where one is left out, so that no window spans such a row.
    """
    if SEEN not in table:
        return table
    kept = np.flatnonzero(seen_rows(table))
    run = _stretches(kept, table["run"].to_numpy(np.int64)[kept])
    return table.drop(columns=SEEN).iloc[kept].assign(run=run.astype(np.int32))


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
    """Number the rows that are left: one left out ends a stretch, as a gap does."""
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
