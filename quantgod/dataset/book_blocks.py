"""The stored blocks of the book, read from the memory maps of their days.

A year of blocks takes 17 GB on disk. What is asked for is copied out of the maps, and the maps'
pages are given back at once.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quantgod.archive.snapshot_store import BLOCK_INDEX, Blocks, open_blocks
from quantgod.archive.store import StoreError, stored_days
from quantgod.contracts import MS_PER_MINUTE, Booleans, Floats, Integers
from quantgod.served.blocks import positive
from quantgod.settings import SnapshotSettings

_AT_ONCE: Final = 256
_NAMED: Final = 5


class MissingBlockError(ValueError):
    """Rows whose minutes have no whole block; names the minutes."""


@dataclass(frozen=True, eq=False)
class BookBlocks:
    """The blocks of all days, in order of time, each in the map of its day.

    Attributes:
        days: the mapped blocks of each day.
        begins: position of each day's first block among all.
        minutes: epoch minute of every block.
        mid: mid of every block's last snapshot.
        depth: mean size of a level in every block.
        interval_ms: between two snapshots.
    """

    days: Sequence[Blocks]
    begins: Integers
    minutes: Integers
    mid: Floats
    depth: Floats
    interval_ms: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one block: snapshots, levels, and 4."""
        return self.days[0].content.shape[1:]

    @property
    def book(self) -> tuple[int, int]:
        """Snapshots of a block and levels a side."""
        return self.shape[0], self.shape[1]

    @property
    def rules(self) -> SnapshotSettings:
        """Return the settings that keep the snapshots of a block, and no others."""
        count, levels = self.book
        return SnapshotSettings(
            levels=levels, interval_ms=self.interval_ms, per_minute=count, block=count
        )

    def take(self, places: Integers) -> npt.NDArray[np.float32]:
        """Return the blocks at these positions among all, as a new array."""
        found = np.empty((len(places), *self.shape), dtype=np.float32)
        days = np.searchsorted(self.begins, places, side="right") - 1
        for day in np.unique(days).tolist():
            mine = np.flatnonzero(days == day)
            content = self.days[day].content
            found[mine] = content[places[mine] - self.begins[day]]
            _give_back(content)
        return found

    def places_of(self, index: pd.DatetimeIndex) -> Integers:
        """Return the position of each minute's block among all; -1 where there is none."""
        minutes = index.as_unit("ms").asi8 // MS_PER_MINUTE
        if not len(self.minutes):
            return np.full(len(minutes), -1, dtype=np.int64)
        order = np.argsort(self.minutes, kind="stable")
        near = np.searchsorted(self.minutes, minutes, sorter=order).clip(max=len(order) - 1)
        found = order[near]
        places: Integers = np.where(self.minutes[found] == minutes, found, -1).astype(np.int64)
        return places

    def whole(self, places: Integers) -> Booleans:
        """Return which blocks have every level in every snapshot; some are read at a time."""
        found = np.zeros(len(places), dtype=np.bool_)
        for begin in range(0, len(places), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            found[part] = positive(self.take(places[part]))
        return found


def open_all_blocks(store: Path, symbol: str) -> BookBlocks:
    """Map the blocks of all stored days of a symbol.

    Args:
        store: the folder of one market's snapshots.
        symbol: the contract.

    Raises:
        StoreError: if there are none, or days have blocks of other shapes.
    """
    paths = stored_days(store, symbol)
    if not paths:
        raise StoreError(f"no snapshots of {symbol} in {store}: run snapshots")
    days = [open_blocks(path) for path in paths]
    for path, day in zip(paths, days, strict=True):
        ours, theirs = ((one.content.shape[1:], one.interval_ms) for one in (day, days[0]))
        if ours != theirs:
            every = "blocks of shape {} every {} ms".format(*ours)
            those = f"those of {paths[0].stem} {{}} every {{}} ms".format(*theirs)
            raise StoreError(f"{path}: {every}, {those}: run snapshots again")
    index = np.concatenate([day.index for day in days])
    sizes = [len(day.index) for day in days]
    begins = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
    minute, mid, depth = (np.ascontiguousarray(index[name]) for name in BLOCK_INDEX.names or ())
    return BookBlocks(days, begins, minute, mid, depth, days[0].interval_ms)


@dataclass(frozen=True, eq=False)
class RowBlocks:
    """The blocks of a table's rows, as they are stored: prices relative to the mid, and sizes.

    Attributes:
        blocks: of all stored minutes.
        places: (rows,) position of each row's block among them; -1 where there is none.
    """

    blocks: BookBlocks
    places: Integers

    def __call__(self, rows: Integers) -> npt.NDArray[np.float32]:
        """Return the blocks of these rows (n, snapshots, levels, 4), as a new array.

        Raises:
            MissingBlockError: if a row has no block.
        """
        places = self.places[rows]
        if (places < 0).any():
            raise MissingBlockError(_missing(rows[places < 0]))
        return self.blocks.take(places)

    def raw(self, rows: Integers) -> Floats:
        """Return prices and sizes of these rows, within what float32 keeps of (price - mid) / mid.

        Raises:
            MissingBlockError: if a row has no block.
        """
        books = self(rows).astype(np.float64)
        mid = self.blocks.mid[self.places[rows]][:, None, None, None]
        books[..., 0::2] = mid + mid * books[..., 0::2]
        return books

    def take(self, rows: Integers) -> RowBlocks:
        """Return the blocks of these rows, as those of a table of them alone."""
        return RowBlocks(self.blocks, self.places[rows])


def row_blocks(blocks: BookBlocks, index: pd.DatetimeIndex) -> RowBlocks:
    """Return the blocks of the rows of a table with this index."""
    return RowBlocks(blocks, blocks.places_of(index))


def _missing(rows: Integers) -> str:
    named = ", ".join(map(str, rows[:_NAMED].tolist()))
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return f"no whole block of the book for the table's rows {named}{more}: leave them out"


def _give_back(content: npt.NDArray[np.float32]) -> None:
    """Drop a map's pages from this process; they stay in the system's cache while it has room."""
    if isinstance(content.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        content.base.madvise(mmap.MADV_DONTNEED)
