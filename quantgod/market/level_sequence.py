"""Sample the best levels of a book at equal intervals of exchange time, for models.

The state of an interval is the one after its last message; an interval without a message repeats
the state before it, like seconds in `minute_bars`, up to a maximal silence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from quantgod.contracts import MS_PER_SECOND, Floats
from quantgod.market.book import OrderBook

BASIS_POINTS = 10_000.0
NO_INTERVAL = -1


class LevelSampler:
    """Samples one symbol's book, and keeps the newest consecutive intervals.

    Args:
        levels: per side.
        interval_ms: length of an interval of exchange time.
        length: intervals in a sequence.
        max_silence_seconds: how long a book is valid without a message.
    """

    def __init__(
        self, levels: int, interval_ms: int, length: int, max_silence_seconds: int
    ) -> None:
        self._levels = levels
        self._interval_ms = interval_ms
        self._bridged = max_silence_seconds * MS_PER_SECOND // interval_ms
        self._length = length
        self._open = self._newest = NO_INTERVAL
        self._state: Floats | None = None
        self._sequence: deque[Floats] = deque(maxlen=length)

    def take(self, ts: int, book: OrderBook) -> list[tuple[int, Floats]]:
        """Take the book after a message at `ts` (ms).

        Returns:
            The intervals that ended before: their start in ms and their best levels,
            (levels * 4,), as `best_levels` gives them.
        """
        closed = list(self._closed(ts // self._interval_ms))
        self._state = best_levels(book, self._levels)
        return closed

    def lose(self) -> None:
        """Handle the loss of the book: the open interval gets no state, a new sequence begins."""
        self._state = None
        self._sequence.clear()

    def sequence(self) -> Floats | None:
        """Return the newest intervals, (length, levels, 4), oldest first.

        None until there are `length` consecutive intervals in which the book had all levels.
        """
        if len(self._sequence) < self._length:
            return None
        return np.stack(self._sequence).reshape(len(self._sequence), self._levels, 4)

    def _closed(self, interval: int) -> Iterator[tuple[int, Floats]]:
        if self._state is None:
            self._open = interval
            return
        if interval <= self._open:
            return
        is_silence = interval - self._open - 1 > self._bridged
        for ended in range(self._open, self._open + 1 if is_silence else interval):
            self._keep(ended, self._state)
            yield ended * self._interval_ms, self._state
        self._open = interval

    def _keep(self, interval: int, state: Floats) -> None:
        is_whole = not np.isnan(state).any()
        if interval != self._newest + 1 or not is_whole:
            self._sequence.clear()
        if is_whole:
            self._sequence.append(state)
        self._newest = interval


def best_levels(book: OrderBook, levels: int) -> Floats:
    """Return bid price, bid size, ask price, ask size by level, best first, (levels * 4,).

    A missing level has a NaN price and size 0.
    """
    rows = np.zeros((levels, 4))
    rows[:, 0::2] = np.nan
    for column, side in zip((0, 2), book.top(levels), strict=True):
        if side:
            rows[: len(side), column : column + 2] = side
    return rows.reshape(-1)


def normalised(sequence: Floats) -> Floats:
    """Normalise the prices and sizes of a sequence, (n, levels, 4).

    With the mid m of the first row and the mean s of all its sizes, a price p becomes
    10,000 · (p / m - 1), basis points from that mid, and a size q becomes q / s. Both references
    come from the oldest row, so no row depends on a later one, and multiplying all prices or all
    sizes by a factor changes nothing.
    """
    first = sequence[0]
    mid = (first[0, 0] + first[0, 2]) / 2.0
    result = np.empty_like(sequence)
    result[:, :, 0::2] = BASIS_POINTS * (sequence[:, :, 0::2] / mid - 1.0)
    result[:, :, 1::2] = sequence[:, :, 1::2] / first[:, 1::2].mean()
    return result
