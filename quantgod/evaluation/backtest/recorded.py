"""The true books that orders met, out of the raw archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from quantgod.archive.books_at import books_at
from quantgod.contracts import Progress, silent
from quantgod.evaluation.backtest.books import Books, are_sound
from quantgod.settings import EtlSettings


def recorded_books(
    archives: Path,
    symbol: str,
    moments_ms: npt.NDArray[np.int64],
    settings: EtlSettings,
    progress: Progress = silent,
) -> Books | None:
    """Books at `moments_ms` (rising), as many as the archives tell of; None where that is none.

    Where one is missing, an order waits for the next minute's book.
    """
    if not archives.is_dir():
        return None
    found = books_at(archives, symbol, moments_ms, settings, progress)
    kept = found.is_there & are_sound(found.levels)
    return Books(moments_ms[kept], found.levels[kept]) if kept.any() else None
