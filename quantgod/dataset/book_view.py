"""The view of the book: the last snapshots before each row's close, read from mapped blocks.

A year of blocks takes 17 GB on disk. A batch copies its own blocks out of the memory maps of their
days, and gives the maps' pages back at once, so that training holds one batch of them.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from quantgod.archive.snapshot_store import Blocks, open_blocks
from quantgod.archive.store import StoreError, stored_days
from quantgod.contracts import MS_PER_MINUTE, Booleans, Floats, Integers
from quantgod.dataset.windows import VOLATILITY_ROWS
from quantgod.served.rolling import deviation

_NAMED: Final = 5
_AT_ONCE: Final = 256


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


@dataclass(frozen=True, eq=False)
class BookView:
    """Blocks of a table's rows, scaled by what was known at each row's close.

    Prices become (price - mid) / (mid * volatility) with the mid of the last snapshot, and sizes
    ln(size / depth) with the mean size of a level in the block.

    Attributes:
        blocks: of all stored minutes.
        places: (rows,) position of each row's block among them; -1 where there is none.
        scales: (rows, 3) volatility, depth and mid of each row; NaN where there is no block.
    """

    blocks: BookBlocks
    places: Integers
    scales: Float64[Tensor, "rows 3"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one moment: snapshots, levels, and bid price, bid size, ask price, ask size."""
        return self.blocks.shape

    @property
    def content(self) -> Tensor:
        """The scales: they tell one market's books from another's, and on which device we are."""
        return self.scales

    def __call__(self, rows: Int64[Tensor, " batch"]) -> Float[Tensor, "batch snapshots levels 4"]:
        """Return the books of these rows, as a new tensor on the scales' device.

        Raises:
            MissingBlockError: if a row has no block.
        """
        books = self._taken(rows)
        volatility, depth, _ = self.scales[rows].float()[:, :, None, None, None].unbind(1)
        books[..., 0::2] /= volatility
        books[..., 1::2] = torch.log(books[..., 1::2] / depth)
        return books

    def raw(self, rows: Int64[Tensor, " batch"]) -> Float64[Tensor, "batch snapshots levels 4"]:
        """Return the books of these rows as the venue gave them: prices and sizes.

        Raises:
            MissingBlockError: if a row has no block.
        """
        books = self._taken(rows).double()
        mid = self.scales[rows][:, 2, None, None, None]
        books[..., 0::2] = mid + mid * books[..., 0::2]
        return books

    def not_finite(self, rows: Int64[Tensor, " batch"]) -> Integers:
        """The rows without a block, and those with a level missing or without volatility."""
        is_there = torch.from_numpy(self.places[rows.cpu().numpy()] >= 0).to(rows.device)
        known = rows[is_there]
        bad = known[~torch.isfinite(self(known)).flatten(1).all(1)]
        return np.unique(torch.cat([rows[~is_there], bad]).cpu().numpy())

    def to(self, device: torch.device) -> BookView:
        """The same view with batches on a device."""
        return replace(self, scales=self.scales.to(device))

    def _taken(self, rows: Int64[Tensor, " batch"]) -> Float[Tensor, "batch snapshots levels 4"]:
        places = self.places[rows.cpu().numpy()]
        if (places < 0).any():
            raise MissingBlockError(self._missing(rows.cpu().numpy()[places < 0]))
        return torch.from_numpy(self.blocks.take(places)).to(self.scales.device)

    def _missing(self, rows: Integers) -> str:
        named = ", ".join(map(str, rows[:_NAMED].tolist()))
        more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
        return f"no whole block of the book for the table's rows {named}{more}: leave them out"


def book_view(blocks: BookBlocks, index: pd.DatetimeIndex, volatility: Floats) -> BookView:
    """Return the view of a table's rows.

    Args:
        blocks: of all stored minutes.
        index: the table's, minutes' starts.
        volatility: (rows,) of past one-minute log returns.
    """
    places = blocks.places_of(index)
    scales = np.stack([volatility, blocks.depth[places], blocks.mid[places]], axis=1)
    scales[places < 0] = np.nan
    return BookView(blocks, places, torch.from_numpy(scales))


def view_of_table(blocks: BookBlocks, table: pd.DataFrame) -> BookView:
    """Return the view of a table's rows, by the volatility of the rows up to each.

    The first `VOLATILITY_ROWS` - 1 rows of a stretch take rows of the one before; none of them ends
    a window that is long enough for a network of the book.
    """
    returns = table["log_ret_close"].to_numpy(np.float64)
    return book_view(blocks, pd.DatetimeIndex(table.index), deviation(returns, VOLATILITY_ROWS))


def _give_back(content: npt.NDArray[np.float32]) -> None:
    """Drop a map's pages from this process; they stay in the system's cache while it has room."""
    if isinstance(content.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        content.base.madvise(mmap.MADV_DONTNEED)
