"""Collect the books at given moments while messages are read: for orders, and for snapshots.

The book of a moment is the state before the first later message (`ts` > moment) in the order of the
file. That message also shows whether the book is valid, by the rules of the minutes:

- If it shows a gap, this lies between the two messages, maybe before the moment: no book.
- A silence of more than `max_silence_seconds` has no book from its first whole second, as it has no
  samples, although this was not known at its beginning.
- A crossed or one-sided book is not valid.

The fast reader decides moments in its compiled loop, by the same rules.
"""

from __future__ import annotations

from itertools import chain
from typing import Final

import numpy as np

from quantgod.contracts import BOOK_LEVELS, MS_PER_SECOND, Booleans, Floats, Integers, Level

NEVER: Final = int(np.iinfo(np.int64).max)

_NO_LEVEL: Final = (np.nan, 0.0)

Truths = Booleans


class Cuts:
    """Rising moments and the books found for them so far, which a reader reports.

    Attributes:
        moments: int64 [moments], epoch ms.
        place: int64 [1], the number of decided moments, from the first. For the others the two
            arrays below are undefined.
        levels: float64 [moments, 2, levels, 2], bids and asks, price and size; without a book all
            levels have NaN price and zero size.
        is_there: bool [moments].
    """

    def __init__(
        self, moments_ms: Integers, max_silence_seconds: int, levels: Floats, is_there: Truths
    ) -> None:
        self.moments = moments_ms
        self.place: Integers = np.zeros(1, dtype=np.int64)
        self.levels = levels
        self.is_there = is_there
        self._max_silence = max_silence_seconds

    @property
    def settled(self) -> int:
        """Return the number of decided moments."""
        return int(self.place.item())

    @property
    def next_ms(self) -> int:
        """Return the first undecided moment; NEVER if there is none."""
        return int(self.moments[self.settled]) if self.settled < len(self.moments) else NEVER

    def settle(self, ts: int, clock: int, levels: Floats | None) -> None:
        """Decide the moments before a message.

        Args:
            ts: the message's time, ms.
            clock: the second of the last message before it; -1 where there was none.
            levels: the book between the two, [2, n, 2], no shallower than those kept; None if there
                was none, or if messages between the two are missing.
        """
        is_sound = levels is not None and bool(levels[0, 0, 0] < levels[1, 0, 0])
        is_silence = ts // MS_PER_SECOND - clock - 1 > self._max_silence
        best = None if levels is None else levels[:, : self.levels.shape[2]]
        place = self.settled
        while place < len(self.moments) and (moment := int(self.moments[place])) < ts:
            is_silent = is_silence and moment // MS_PER_SECOND > clock
            is_there = is_sound and not is_silent
            self.levels[place] = best if is_there else _NO_LEVEL
            self.is_there[place] = is_there
            place += 1
        self.place[0] = place

    def settle_rest(self, until_ms: int, clock: int, levels: Floats | None) -> None:
        """Decide the moments before `until_ms`, a whole second, without a later message.

        A silence counts up to the moment itself.
        """
        while self.next_ms < until_ms:
            self.settle((self.next_ms // MS_PER_SECOND + 1) * MS_PER_SECOND, clock, levels)


def no_cuts() -> Cuts:
    """Return an empty set of moments."""
    none = np.zeros(0, dtype=np.int64)
    return Cuts(none, 0, np.zeros((0, 2, BOOK_LEVELS, 2)), none.astype(np.bool_))


def levels_of(bids: list[Level], asks: list[Level], count: int) -> Floats:
    """Return the best `count` levels, best first, [2, count, 2]; missing ones have NaN, zero."""
    if len(bids) >= count <= len(asks):
        numbers = chain.from_iterable(chain(bids[:count], asks[:count]))
        return np.fromiter(numbers, np.float64, 4 * count).reshape(2, count, 2)
    found = np.full((2, count, 2), _NO_LEVEL)
    for side, levels in zip(found, (bids, asks), strict=True):
        if levels:
            side[: len(levels)] = levels[:count]
    return found
