"""Snapshots of the book as a network sees them: prices relative to the last mid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

VOLATILITY_ROWS = 60
"""One-minute returns whose deviation scales relative prices."""

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


def relative(books: Floats) -> npt.NDArray[np.float32]:
    """Return what a network sees of books as the venue gave them.

    Float32 cannot hold a price of six digits to the tick, so prices become (price - mid) / mid,
    with the mid of the last snapshot; sizes stay.

    Args:
        books: (blocks, snapshots, levels, 4) of bid price, bid size, ask price, ask size; oldest
            snapshot and best level first.

    Returns:
        The same shape.
    """
    mid = last_mid(books)[:, None, None, None]
    seen = np.empty(books.shape, dtype=np.float32)
    seen[..., 0::2] = (books[..., 0::2] - mid) / mid
    seen[..., 1::2] = books[..., 1::2]
    return seen


def last_mid(books: Floats) -> Floats:
    """Return the mid of each block's last snapshot, (blocks,)."""
    mid: Floats = books[:, -1, 0, 0::2].mean(axis=1)
    return mid


def positive(books: npt.NDArray[np.floating]) -> Booleans:
    """Return which blocks have whole sizes above zero and whole prices."""
    whole = np.isfinite(books).all(axis=(1, 2, 3))
    return np.asarray(whole & (books[..., 1::2] > 0).all(axis=(1, 2, 3)))
