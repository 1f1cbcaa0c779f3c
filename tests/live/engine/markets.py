"""A drawn market of 1,500 minutes as a live session meets it: closed minutes, history, sources."""

from __future__ import annotations

from functools import cache

import numpy as np

from quantgod.contracts import Level
from quantgod.contracts.minute_rows import MinuteRows
from quantgod.dataset.feature_table import SourceRows
from quantgod.live.engine.feature_rows import source_row
from quantgod.live.engine.window import Window
from quantgod.market.book_bars import ClosedMinute
from quantgod.market.minute_bars import MinuteBar
from tests.dataset.test_feature_table import BRIDGE, FIRST, stored, taken, whole

__all__ = [
    "BRIDGE",
    "FIRST",
    "closed_at",
    "closed_of",
    "features_at",
    "filled",
    "stream",
    "taken",
    "whole",
]


@cache
def closed_at(place: int) -> ClosedMinute:
    """The minute at a place of the drawn market."""
    return closed_of(stored(), place)


def closed_of(rows: SourceRows, place: int) -> ClosedMinute:
    """One of stored rows, as a book's kernel closes it."""
    book = rows.book[place].reshape(2, -1, 2)
    bids, asks = (_levels(side) for side in book)
    bar = MinuteBar(
        int(rows.minutes[place]), "", rows.features[place], rows.close[place], rows.seconds[place]
    )
    return ClosedMinute(bar, bids, asks)


def features_at(*places: int) -> np.ndarray:
    """The nine and the 112 of these places, as the stage `features` has them of the whole."""
    at = list(places)
    return np.hstack([stored().features[at], whole().to_numpy()[at]])


def filled(rows: int, *, kept: int = 50) -> Window:
    """A window whose history are the first `rows` of the market."""
    window, past = Window(BRIDGE, kept), taken(np.arange(rows))
    window.fill(MinuteRows(past.minutes, past.features), past)
    return window


def stream(window: Window, *places: int) -> None:
    """Close the minutes of these places."""
    for place in places:
        closed = closed_at(place)
        assert window.close(closed.bar.minute, closed.bar.features, source_row(closed))


def _levels(side: np.ndarray) -> list[Level]:
    return [(float(price), float(size)) for price, size in side if not np.isnan(price)]
