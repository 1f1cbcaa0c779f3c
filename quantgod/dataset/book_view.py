"""The view of the book: the last snapshots before each row's close, read from mapped blocks.

A batch copies its own blocks, so that training holds one batch of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from quantgod.contracts import Floats, Integers
from quantgod.dataset.book_blocks import BookBlocks, RowBlocks, row_blocks
from quantgod.served.blocks import VOLATILITY_ROWS
from quantgod.served.rolling import deviation


@dataclass(frozen=True, eq=False)
class BookView:
    """Blocks of a table's rows, scaled by what was known at each row's close.

    Prices become (price - mid) / (mid * volatility) with the mid of the last snapshot, and sizes
    ln(size / depth) with the mean size of a level in the block.

    Attributes:
        stored: the blocks as they are stored.
        scales: (rows, 3) volatility, depth and mid of each row; NaN where there is no block.
    """

    stored: RowBlocks
    scales: Float64[Tensor, "rows 3"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one moment: snapshots, levels, and bid price, bid size, ask price, ask size."""
        return self.stored.blocks.shape

    @property
    def content(self) -> Tensor:
        """The scales: they tell one market's books from another's, and on which device we are."""
        return self.scales

    def __call__(self, rows: Int64[Tensor, " batch"]) -> Float[Tensor, "batch snapshots levels 4"]:
        """Return the books of these rows, as a new tensor on the scales' device.

        Raises:
            MissingBlockError: if a row has no block.
        """
        books = torch.from_numpy(self.stored(rows.cpu().numpy())).to(self.scales.device)
        volatility, depth, _ = self.scales[rows].float()[:, :, None, None, None].unbind(1)
        books[..., 0::2] /= volatility
        books[..., 1::2] = torch.log(books[..., 1::2] / depth)
        return books

    def not_finite(self, rows: Int64[Tensor, " batch"]) -> Integers:
        """The rows without a block, and those with a level missing or without volatility."""
        is_there = torch.from_numpy(self.stored.places[rows.cpu().numpy()] >= 0).to(rows.device)
        known = rows[is_there]
        bad = known[~torch.isfinite(self(known)).flatten(1).all(1)]
        return np.unique(torch.cat([rows[~is_there], bad]).cpu().numpy())

    def to(self, device: torch.device) -> BookView:
        """The same view with batches on a device."""
        return replace(self, scales=self.scales.to(device))


def book_view(blocks: BookBlocks, index: pd.DatetimeIndex, volatility: Floats) -> BookView:
    """Return the view of a table's rows.

    Args:
        blocks: of all stored minutes.
        index: the table's, minutes' starts.
        volatility: (rows,) of past one-minute log returns.
    """
    stored = row_blocks(blocks, index)
    places = stored.places
    scales = np.stack([volatility, blocks.depth[places], blocks.mid[places]], axis=1)
    scales[places < 0] = np.nan
    return BookView(stored, torch.from_numpy(scales))


def view_of_table(blocks: BookBlocks, table: pd.DataFrame) -> BookView:
    """Return the view of a table's rows, by the volatility of the rows up to each.

    The first `VOLATILITY_ROWS` - 1 rows of a stretch take rows of the one before; none of them ends
    a window that is long enough for a network of the book.
    """
    returns = table["log_ret_close"].to_numpy(np.float64)
    return book_view(blocks, pd.DatetimeIndex(table.index), deviation(returns, VOLATILITY_ROWS))
