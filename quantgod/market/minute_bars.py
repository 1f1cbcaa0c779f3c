"""Minute bars from second samples: the one kernel, for archives and for the live feed.

The book is sampled once a second: the state after the last message of that second. A second without
a message takes the state before it while the silence lasts at most `max_silence_seconds`; a longer
silence has no samples. A minute counts when all its 60 samples exist and nothing marked it; then it
gives nine features, a close and twelve figures of its samples. The first valid minute after a break
of more than `max_bridge_minutes` has no previous close and so no row. Formulas: `minute_kernel`.

All state lies in two flat arrays, so a stream may be cut anywhere, kept, and gone on with bit for
bit. Compiled loops call `step` on the arrays; Python calls the methods of `MinuteBars`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from quantgod.contracts import MS_PER_SECOND, SECONDS_PER_MINUTE, Floats, Integers
from quantgod.market.book import OrderBook
from quantgod.market.minute_kernel import (
    CLOCK,
    CLOSE,
    CROSSED,
    FIGURES,
    FLOATS,
    GAP,
    INTEGERS,
    LAST_CLOSE,
    LAST_VALID,
    MARK,
    MESSAGES,
    MINUTE,
    NEXT,
    NO_BOOK,
    NO_QUOTE,
    NO_SECOND,
    ONE_SIDED,
    OUTCOME,
    REASONS,
    ROW,
    ROW_LENGTH,
    SAMPLES,
    mark,
    miss,
    step,
)


class MinuteBar(NamedTuple):
    """A minute that closed: epoch minute, why it has no row (empty if it has), features, close.

    `features` follows `contracts.FEATURES` and `seconds` `contracts.SECOND_FIGURES`; without a row
    both are `None` and `close` is NaN.
    """

    minute: int
    reason: str
    features: Floats | None
    close: float
    seconds: Floats | None = None


class MinuteBars:
    """The kernel's state, as Python drives it: `advance` before a message, `record` after it.

    `integers` and `floats` are the whole state; a compiled loop may work on them between calls.
    """

    __slots__ = (
        "_counts",
        "_row",
        "floats",
        "integers",
        "max_bridge_minutes",
        "max_silence_seconds",
    )

    def __init__(self, max_silence_seconds: int, max_bridge_minutes: int) -> None:
        self.max_silence_seconds = max_silence_seconds
        self.max_bridge_minutes = max_bridge_minutes
        self.integers: Integers = np.zeros(INTEGERS, dtype=np.int64)
        # The same memory: single numbers come out of a view in a third of the time.
        self._counts: memoryview[int] = self.integers.data
        self.floats: Floats = np.zeros(FLOATS)
        self._row: Floats = np.zeros(ROW_LENGTH)
        self.restart()

    def restart(self) -> None:
        """Forget all that came: the next message is the first."""
        self.integers[:] = NO_SECOND
        self.integers[[MESSAGES, SAMPLES, MARK, OUTCOME]] = 0
        self.floats[:] = 0.0

    def resume(self, minute: int, close: float) -> None:
        """Take the last valid minute before this stream and its close, for a run that goes on.

        Args:
            minute: epoch minute of that bar.
            close: its close.
        """
        self.integers[LAST_VALID] = minute
        self.floats[LAST_CLOSE] = close

    def advance(self, ts: int, book: OrderBook | None) -> list[MinuteBar]:
        """Move the clock to a message at `ts` (ms) that is not applied yet; give minutes it closed.

        `book` is the book before the message, `None` while there is no valid one. The book columns
        of a row are those of `book` as it now is. An earlier `ts` moves nothing.
        """
        second = ts // MS_PER_SECOND
        closed: list[MinuteBar] = []
        if second > self._counts[CLOCK]:
            quote = book.quote() if book is not None else None
            while self._step(second, book is not None, quote):
                closed.append(self.closed_bar())
        return closed

    def record(self, ts: int, book: OrderBook, *, is_new: bool = True) -> bool:
        """Count a message that was applied, if it is a new one, and check the book it left.

        Returns whether it was in order: a message of a second already sampled is not counted.
        """
        if not -math.inf < book.best_bid < book.best_ask < math.inf:
            self.mark(ONE_SIDED if book.is_one_sided else CROSSED)
        counts = self._counts
        in_order = ts >= counts[NEXT] * MS_PER_SECOND
        if in_order:
            counts[MESSAGES] += is_new
        return in_order

    def mark(self, reason: int) -> None:
        """Withdraw the open minute; the first reason stands."""
        mark(self.integers, reason)

    def miss(self) -> None:
        """Note, before `advance`, that messages are missing between the last one and the next."""
        miss(self.integers)

    def finish(self, book: OrderBook | None) -> list[MinuteBar]:
        """At the end of a file: close the open minute if its second 59 holds a message."""
        if not self.ends_minute:
            return []
        quote = book.quote() if book is not None else None
        self._step(int(self.integers[CLOCK]) + 1, book is not None, quote)
        return [self.closed_bar()]

    @property
    def ends_minute(self) -> bool:
        """Whether the clock stands in the last second of a minute that is still open."""
        clock = self.integers[CLOCK]
        is_last = clock >= 0 and clock % SECONDS_PER_MINUTE == SECONDS_PER_MINUTE - 1
        return bool(is_last and self.integers[NEXT] == clock)

    def closed_bar(self) -> MinuteBar:
        """The minute that the last `step` closed."""
        minute, outcome = int(self.integers[MINUTE]), int(self.integers[OUTCOME])
        if outcome != ROW:
            return MinuteBar(minute, REASONS[outcome], None, math.nan)
        row = self._row.copy()
        return MinuteBar(minute, "", row[:CLOSE], float(row[CLOSE]), row[FIGURES:])

    @property
    def row(self) -> Floats:
        """Where `step` leaves a row: nine features, the close, twelve figures, [22]."""
        return self._row

    def _step(self, second: int, has_book: bool, quote: Any) -> bool:
        bid, bid_size, ask, ask_size, bid_depth, ask_depth = quote or NO_QUOTE
        state = (NO_BOOK if not has_book else ONE_SIDED) if quote is None else ROW
        return bool(
            step(
                self.integers,
                self.floats,
                self._row,
                second,
                self.max_silence_seconds,
                self.max_bridge_minutes,
                state,
                (bid, bid_size, ask, ask_size, bid_depth, ask_depth),
            )
        )


def compile_kernel() -> None:
    """Compile what a first message would otherwise wait for, maybe for seconds."""
    bars = MinuteBars(1, 0)
    for ts in (0, MS_PER_SECOND):
        bars.advance(ts, None)
    bars.miss()
    bars.mark(GAP)
