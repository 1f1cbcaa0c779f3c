"""List the stored series of candles."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from quantgod.archive.candles.store import CandleMetadata, open_candles, stored_candles, utc
from quantgod.archive.inventory import Holding, told_gaps
from quantgod.archive.store import StoreError
from quantgod.contracts import MS_PER_DAY, MS_PER_MINUTE, Integers

_NAMED = 3


def held_candles(folder: Path) -> list[Holding]:
    """Return the stored series below a folder, noting their interval, kind and sources."""
    return [_holding(folder, whose) for _, whose in stored_candles(folder)]


def _holding(folder: Path, whose: CandleMetadata) -> Holding:
    try:
        stored = open_candles(folder, whose)
    except (StoreError, OSError, ValueError) as error:
        return Holding(whose.market, whose.symbol, "", "", 0, 0.0, "", str(error), "candles")
    times, step = stored.candles.time_ms, stored.candles.step_ms
    gaps: Integers = np.diff(times) // step - 1
    starts = (times[1:] - gaps * step) // MS_PER_MINUTE
    count = (times[-1] - times[0]) // step + 1
    sources = [source for source, _ in Counter(stored.sources.tolist()).most_common()]
    more = f" and {len(sources) - _NAMED} more" if len(sources) > _NAMED else ""
    what = "micro-prices" if whose.kind == "micro" else "trades"
    return Holding(
        whose.market, whose.symbol, utc(times[0])[:10], utc(times[-1])[:10],
        len(np.unique(times // MS_PER_DAY)), len(times) / float(count),
        told_gaps(gaps, starts, "m", "candles"),
        f"{whose.interval} of {what}, from {', '.join(sources[:_NAMED])}{more}", "candles",
    )  # fmt: skip
