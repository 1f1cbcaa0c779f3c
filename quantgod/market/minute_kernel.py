"""The kernel of minute bars, compiled: second samples in, nine features, a close, twelve figures.

All of it stands in this one file, because numba keeps machine code by the file of the entry point
and would not see a change elsewhere. State lies in two flat arrays: `minute_bars` drives them from
Python, the archive's compiled loop from there.
"""

from __future__ import annotations

import math
from typing import Final

from numba import njit

from quantgod.contracts import FEATURES, SECOND_FIGURES, SECONDS_PER_MINUTE, Floats, Integers
from quantgod.market.book import Quote

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
# FOLLOWING is the second after the last sample, the only one whose order flow can be told.
CLOCK, NEXT, MESSAGES, SAMPLES, MARK, LAST_VALID, MINUTE, OUTCOME, FOLLOWING = range(9)
INTEGERS: Final = 9
NO_SECOND: Final = -1
NO_QUOTE: Final[Quote] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""What stands for the quote of a book that has none."""

# Places in the float state: the last valid close, the best quotes of the last sample (bid, size,
# ask, size), then series of 60 samples. MOVE is the log return of mid and FLOW the order flow since
# the sample before, TOUCH the size at both best prices.
LAST_CLOSE = 0
LAST_QUOTE = 1
MICRO = LAST_QUOTE + 4
SPREAD = MICRO + SECONDS_PER_MINUTE
OBI = SPREAD + SECONDS_PER_MINUTE
DEEP_OBI = OBI + SECONDS_PER_MINUTE
MOVE = DEEP_OBI + SECONDS_PER_MINUTE
TOUCH = MOVE + SECONDS_PER_MINUTE
FLOW = TOUCH + SECONDS_PER_MINUTE
FLOATS: Final = FLOW + SECONDS_PER_MINUTE

# Places in a row: the nine features, the close, the twelve figures.
CLOSE: Final = len(FEATURES)
FIGURES: Final = CLOSE + 1
ROW_LENGTH: Final = FIGURES + len(SECOND_FIGURES)
VOLATILITY, MAX_SPREAD, MEAN_OBI, MEAN_DEEP_OBI = 4, 5, 6, 7

ENDS: Final = 10
"""Seconds at each end of a minute that a trend compares."""

FLAT: Final = 1e-12
"""A standard deviation up to which a series is flat: what moves less is rounding."""


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
            _sample(integers, floats, now, quote)
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
def _sample(integers: Integers, floats: Floats, second: int, quote: Quote) -> None:
    bid, bid_size, ask, ask_size, bid_depth, ask_depth = quote
    place = second % SECONDS_PER_MINUTE
    _change(floats, place, quote, integers[FOLLOWING] == second)
    integers[FOLLOWING] = second + 1
    if bid >= ask:
        mark(integers, CROSSED)
        integers[FOLLOWING] = NO_SECOND
    floats[MICRO + place] = (bid * ask_size + ask * bid_size) / (bid_size + ask_size)
    floats[SPREAD + place] = (ask - bid) / ((ask + bid) / 2.0)
    floats[OBI + place] = (bid_size - ask_size) / (bid_size + ask_size)
    floats[DEEP_OBI + place] = (bid_depth - ask_depth) / (bid_depth + ask_depth)
    floats[TOUCH + place] = bid_size + ask_size
    integers[SAMPLES] += 1


@njit(cache=True, error_model="numpy")
def _change(floats: Floats, place: int, quote: Quote, follows: bool) -> None:
    """Note how mid moved and what came to the best quotes since the second before, if it is known.

    The flow is that of Cont, Kukanov and Stoikov (2014).
    """
    bid, bid_size, ask, ask_size, _, _ = quote
    move = 0.0
    flow = 0.0
    if follows:
        last_bid = floats[LAST_QUOTE]
        last_ask = floats[LAST_QUOTE + 2]
        move = math.log((ask + bid) / (last_ask + last_bid))
        came = bid_size if bid >= last_bid else 0.0
        came -= floats[LAST_QUOTE + 1] if bid <= last_bid else 0.0
        left = ask_size if ask <= last_ask else 0.0
        left -= floats[LAST_QUOTE + 3] if ask >= last_ask else 0.0
        flow = came - left
    floats[MOVE + place] = move
    floats[FLOW + place] = flow
    floats[LAST_QUOTE] = bid
    floats[LAST_QUOTE + 1] = bid_size
    floats[LAST_QUOTE + 2] = ask
    floats[LAST_QUOTE + 3] = ask_size


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
        _features(floats, row, integers[MESSAGES], previous if joined else 1.0)
        _figures(floats, row)
        if not _is_finite(row):
            reason = CORRUPT
        else:
            integers[LAST_VALID] = minute
            floats[LAST_CLOSE] = row[CLOSE]
            if not joined:
                reason = NO_PREVIOUS_CLOSE
    integers[MINUTE] = minute
    integers[OUTCOME] = reason
    integers[MESSAGES] = 0
    integers[SAMPLES] = 0
    integers[MARK] = ROW


@njit(cache=True, error_model="numpy")
def _features(floats: Floats, row: Floats, messages: int, previous: float) -> None:
    """Nine features and the close into `row`.

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
    row[VOLATILITY] = math.sqrt(squares / (SECONDS_PER_MINUTE - 1))
    row[MAX_SPREAD] = widest
    row[MEAN_OBI] = obi_sum / SECONDS_PER_MINUTE
    row[MEAN_DEEP_OBI] = deep_sum / SECONDS_PER_MINUTE
    row[8] = math.log(1.0 + messages)
    row[CLOSE] = close


@njit(cache=True, error_model="numpy")
def _figures(floats: Floats, row: Floats) -> None:
    """Twelve figures of the samples into `row`, as `SECOND_FIGURES` has them, after `_features`.

    What a second before the minute tells is its first second's flow, and nothing else.
    """
    touch = _sum(floats, TOUCH, SECONDS_PER_MINUTE) / SECONDS_PER_MINUTE
    row[FIGURES] = row[VOLATILITY]
    row[FIGURES + 1] = _sum(floats, SPREAD, SECONDS_PER_MINUTE) / SECONDS_PER_MINUTE
    row[FIGURES + 2] = row[MAX_SPREAD]
    row[FIGURES + 3] = row[MEAN_OBI]
    row[FIGURES + 4] = _deviation(floats, OBI)
    row[FIGURES + 5] = _trend(floats, OBI)
    row[FIGURES + 6] = _flips(floats, OBI)
    row[FIGURES + 7] = row[MEAN_DEEP_OBI]
    row[FIGURES + 8] = _trend(floats, DEEP_OBI)
    row[FIGURES + 9] = _correlation(floats, OBI, MOVE + 1, SECONDS_PER_MINUTE - 1)
    row[FIGURES + 10] = _sum(floats, FLOW, SECONDS_PER_MINUTE) / touch
    row[FIGURES + 11] = _autocorrelation(floats, FLOW, touch)


@njit(cache=True, error_model="numpy")
def _sum(floats: Floats, first: int, count: int) -> float:
    total = 0.0
    for place in range(first, first + count):
        total += floats[place]
    return total


@njit(cache=True, error_model="numpy")
def _trend(floats: Floats, series: int) -> float:
    """The mean of the last seconds less that of the first."""
    last = _sum(floats, series + SECONDS_PER_MINUTE - ENDS, ENDS) / ENDS
    return last - _sum(floats, series, ENDS) / ENDS


@njit(cache=True, error_model="numpy")
def _flips(floats: Floats, series: int) -> float:
    """The share of the minute's 59 steps in which the sign (-1, 0 or 1) changes."""
    flips = 0
    for place in range(series + 1, series + SECONDS_PER_MINUTE):
        now, before = floats[place], floats[place - 1]
        flips += (now > 0.0) != (before > 0.0) or (now < 0.0) != (before < 0.0)
    return flips / (SECONDS_PER_MINUTE - 1)


@njit(cache=True, error_model="numpy")
def _products(
    floats: Floats, one: int, other: int, count: int, mean: float, other_mean: float
) -> float:
    """The sum of the products of two series' distances from what are told to be their means."""
    total = 0.0
    for place in range(count):
        total += (floats[one + place] - mean) * (floats[other + place] - other_mean)
    return total


@njit(cache=True, error_model="numpy")
def _deviation(floats: Floats, series: int) -> float:
    """The standard deviation (ddof 1)."""
    mean = _sum(floats, series, SECONDS_PER_MINUTE) / SECONDS_PER_MINUTE
    squares = _products(floats, series, series, SECONDS_PER_MINUTE, mean, mean)
    return math.sqrt(squares / (SECONDS_PER_MINUTE - 1))


@njit(cache=True, error_model="numpy")
def _correlation(floats: Floats, one: int, other: int, count: int) -> float:
    """The correlation of two series; 0 where one is flat."""
    mean = _sum(floats, one, count) / count
    other_mean = _sum(floats, other, count) / count
    squares = _products(floats, one, one, count, mean, mean)
    other_squares = _products(floats, other, other, count, other_mean, other_mean)
    if min(squares, other_squares) <= count * FLAT * FLAT:
        return 0.0
    together = _products(floats, one, other, count, mean, other_mean)
    return together / (math.sqrt(squares) * math.sqrt(other_squares))


@njit(cache=True, error_model="numpy")
def _autocorrelation(floats: Floats, series: int, unit: float) -> float:
    """The lag-1 autocorrelation about the minute's mean; 0 where it is flat, measured in `unit`."""
    mean = _sum(floats, series, SECONDS_PER_MINUTE) / SECONDS_PER_MINUTE
    squares = _products(floats, series, series, SECONDS_PER_MINUTE, mean, mean)
    if squares <= SECONDS_PER_MINUTE * FLAT * FLAT * unit * unit:
        return 0.0
    return _products(floats, series + 1, series, SECONDS_PER_MINUTE - 1, mean, mean) / squares


@njit(cache=True, error_model="numpy")
def _is_finite(row: Floats) -> bool:
    is_finite = True
    for value in row:  # an array of truths would be made in a loop that may make none
        is_finite &= math.isfinite(value)
    return is_finite
