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

from quantgod.archive.snapshot_store import Blocks, open_blocks
from quantgod.archive.store import StoreError, stored_days
from quantgod.contracts import MS_PER_MINUTE, Booleans, Floats, Integers

_AT_ONCE: Final = 256


@dataclass(frozen=True, eq=False)
class BookBlocks:
    """The blocks of all days, in order of time, each in the map of its day.

    Attributes:
        days: the mapped blocks of each day.
        begins: position of each day's first block among all.
        minutes: epoch minute of every block.
        mid: mid of every block's last snapshot.
        depth: mean size of a level in every block.
    """

    days: Sequence[Blocks]
    begins: Integers
    minutes: Integers
    mid: Floats
    depth: Floats

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one block: snapshots, levels, and 4."""
        return self.days[0].content.shape[1:]

    @property
    def book(self) -> tuple[int, int]:
        """Snapshots of a block and levels a side."""
        return self.shape[0], self.shape[1]

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
            books = self.take(places[part])
            known = np.isfinite(books).all(axis=(1, 2, 3))
            found[part] = known & (books[..., 1::2] > 0).all(axis=(1, 2, 3))
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
        if day.content.shape[1:] != days[0].content.shape[1:]:
            shapes = (
                f"{day.content.shape[1:]}, those of {paths[0].stem} {days[0].content.shape[1:]}"
            )
            raise StoreError(f"{path}: blocks of shape {shapes}: run snapshots again")
    index = np.concatenate([day.index for day in days])
    sizes = [len(day.index) for day in days]
    begins = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
    return BookBlocks(
        days, begins, *(np.ascontiguousarray(index[name]) for name in ("minute", "mid", "depth"))
    )


def _give_back(content: npt.NDArray[np.float32]) -> None:
    """Drop a map's pages from this process; they stay in the system's cache while it has room."""
    if isinstance(content.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        content.base.madvise(mmap.MADV_DONTNEED)
