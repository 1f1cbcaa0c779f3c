"""Minute bars from second samples: the one kernel, for archives and for the live feed.

The book is sampled once a second: the state after the last message of that second. A second without
a message takes the state before it while the silence lasts at most `max_silence_seconds`; a longer
silence has no samples. A minute counts when all its 60 samples exist and nothing marked it; then it
gives nine features and a close. The first valid minute after a break of more than
`max_bridge_minutes` has no previous close and so no row. Formulas: `_features`.

All state lies in two flat arrays, so a stream may be cut anywhere, kept, and gone on with bit for
bit. Compiled loops call `step` on the arrays; Python calls the methods of `MinuteBars`.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from quantgod.contracts import FEATURES, MS_PER_SECOND, SECONDS_PER_MINUTE, Floats, Integers
from quantgod.market.book import OrderBook, Quote

REASONS: Final = (
    "",
    "gap",
    "corrupt",
    "crossed",
    "one_sided",
    "silence",
    "no_book",
    "no_previous_close",
)
"""Why a minute has no row; a reason's code is its place here, and 0 is a row."""

ROW, GAP, CORRUPT, CROSSED, ONE_SIDED, SILENCE, NO_BOOK, NO_PREVIOUS_CLOSE = range(8)

# Places in the integer state. NEXT is the first second without its sample: the open second, or
# the one after it when the end of a file closed the minute. MINUTE and OUTCOME: of the last close.
CLOCK, NEXT, MESSAGES, SAMPLES, MARK, LAST_VALID, MINUTE, OUTCOME = range(8)

# Places in the float state: the last valid close, then four series of 60 samples.
LAST_CLOSE = 0
MICRO = 1
SPREAD = MICRO + SECONDS_PER_MINUTE
OBI = SPREAD + SECONDS_PER_MINUTE
DEEP_OBI = OBI + SECONDS_PER_MINUTE
FLOATS: Final = DEEP_OBI + SECONDS_PER_MINUTE
INTEGERS: Final = 8
ROW_LENGTH: Final = len(FEATURES) + 1


class MinuteBar(NamedTuple):
    """A minute that closed: epoch minute, why it has no row (empty if it has), features, close.

    `features` follows `contracts.FEATURES`; without a row it is `None` and `close` is NaN.
    """

    minute: int
    reason: str
    features: Floats | None
    close: float


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
        self.integers[:] = -1
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
        in_order = ts // MS_PER_SECOND >= counts[NEXT]
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
        return MinuteBar(minute, "", self._row[:-1].copy(), float(self._row[-1]))

    @property
    def row(self) -> Floats:
        """Where `step` leaves the nine features and the close of a row, [10]."""
        return self._row

    def _step(self, second: int, has_book: bool, quote: Any) -> bool:
        bid, bid_size, ask, ask_size, bid_depth, ask_depth = quote or (0.0,) * 6
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


@njit(cache=True, error_model="numpy")
def step(
    integers: Integers,
    floats: Floats,
    row: Floats,
    second: int,
    max_silence: int,
    max_bridge: int,
    state: int,
    quote: Quote,
) -> bool:
    """Sample the seconds up to `second`, stopping (True) at each minute that closes.

    Call again until False; the clock then stands at `second`. `state` is 0 for a book with both
    sides, ONE_SIDED or NO_BOOK; `quote` as in `book.Quote`.
    """
    clock = integers[CLOCK]
    if clock < 0:
        integers[CLOCK] = second
        integers[NEXT] = second
        return False
    if second <= clock:
        return False
    is_silence = second - clock - 1 > max_silence
    while integers[NEXT] < second:
        now = integers[NEXT]
        integers[NEXT] = now + 1
        if now > clock and is_silence:
            mark(integers, SILENCE)
        elif state != ROW:
            mark(integers, state)
        else:
            _sample(integers, floats, now % SECONDS_PER_MINUTE, quote)
        if now % SECONDS_PER_MINUTE == SECONDS_PER_MINUTE - 1:
            _close(integers, floats, row, now // SECONDS_PER_MINUTE, max_bridge)
            return True
    integers[CLOCK] = second
    return False


@njit(cache=True, error_model="numpy")
def mark(integers: Integers, reason: int) -> None:
    """Withdraw the open minute, if there is one; the first reason stands."""
    if integers[MARK] == ROW and integers[CLOCK] >= 0:
        integers[MARK] = reason


@njit(cache=True, error_model="numpy")
def miss(integers: Integers) -> None:
    """Withdraw the minute of the last message, if it is still open: its end was not heard of."""
    if integers[NEXT] == integers[CLOCK]:
        mark(integers, GAP)


@njit(cache=True, error_model="numpy")
def _sample(integers: Integers, floats: Floats, place: int, quote: Quote) -> None:
    bid, bid_size, ask, ask_size, bid_depth, ask_depth = quote
    if bid >= ask:
        mark(integers, CROSSED)
    floats[MICRO + place] = (bid * ask_size + ask * bid_size) / (bid_size + ask_size)
    floats[SPREAD + place] = (ask - bid) / ((ask + bid) / 2.0)
    floats[OBI + place] = (bid_size - ask_size) / (bid_size + ask_size)
    floats[DEEP_OBI + place] = (bid_depth - ask_depth) / (bid_depth + ask_depth)
    integers[SAMPLES] += 1


@njit(cache=True, error_model="numpy")
def _close(integers: Integers, floats: Floats, row: Floats, minute: int, max_bridge: int) -> None:
    reason = integers[MARK]
    if reason == ROW and integers[SAMPLES] < SECONDS_PER_MINUTE:
        reason = NO_BOOK  # the stream began within this minute
    if reason == ROW:
        previous = floats[LAST_CLOSE]
        last = integers[LAST_VALID]
        # A replay may resume from a minute that it has not come to: that close is no past of it.
        joined = last >= 0 and 0 <= minute - last - 1 <= max_bridge
        if not _features(floats, row, integers[MESSAGES], previous if joined else 1.0):
            reason = CORRUPT
        else:
            integers[LAST_VALID] = minute
            floats[LAST_CLOSE] = row[ROW_LENGTH - 1]
            if not joined:
                reason = NO_PREVIOUS_CLOSE
    integers[MINUTE] = minute
    integers[OUTCOME] = reason
    integers[MESSAGES] = 0
    integers[SAMPLES] = 0
    integers[MARK] = ROW


@njit(cache=True, error_model="numpy")
def _features(floats: Floats, row: Floats, messages: int, previous: float) -> bool:
    """Nine features and the close into `row` ; False when one of them is not finite.

    body ln(close/open); upper_wick (high - max(open, close))/previous close; lower_wick
    (min(open, close) - low)/previous close; log_ret_close ln(close/previous close); volatility the
    standard deviation (ddof 1) of ln(micro); max_spread the largest (ask - bid)/mid; mean_obi and
    mean_deep_obi means; log_volume ln(1 + messages).
    """
    opening = floats[MICRO]
    close = floats[MICRO + SECONDS_PER_MINUTE - 1]
    high = opening
    low = opening
    widest = floats[SPREAD]
    log_sum = 0.0
    obi_sum = 0.0
    deep_sum = 0.0
    for place in range(SECONDS_PER_MINUTE):
        micro = floats[MICRO + place]
        high = max(high, micro)
        low = min(low, micro)
        widest = max(widest, floats[SPREAD + place])
        log_sum += math.log(micro)
        obi_sum += floats[OBI + place]
        deep_sum += floats[DEEP_OBI + place]
    log_mean = log_sum / SECONDS_PER_MINUTE
    squares = 0.0
    for place in range(SECONDS_PER_MINUTE):
        away = math.log(floats[MICRO + place]) - log_mean
        squares += away * away
    row[0] = math.log(close / opening)
    row[1] = (high - max(opening, close)) / previous
    row[2] = (min(opening, close) - low) / previous
    row[3] = math.log(close / previous)
    row[4] = math.sqrt(squares / (SECONDS_PER_MINUTE - 1))
    row[5] = widest
    row[6] = obi_sum / SECONDS_PER_MINUTE
    row[7] = deep_sum / SECONDS_PER_MINUTE
    row[8] = math.log(1.0 + messages)
    row[9] = close
    is_finite = True
    for value in row:  # an array of truths would be made in a loop that may make none
        is_finite &= math.isfinite(value)
    return is_finite
