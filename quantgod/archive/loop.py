"""Run the compiled loop of the fast reader: parse a line, apply it, sample the minute.

It runs until a minute closes, the parser does not know a line, or line SAMPLE was taken. The rules
are those of `archive.reference`, in the same order; books at given moments are settled on the way,
as `market.stops` says.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from quantgod.archive import compiled as compiling
from quantgod.archive import dense_book, digits, levels, parser, tokens
from quantgod.archive.compiled import compiled, inlined, kept, sources_digest
from quantgod.archive.dense_book import (
    ASK_COUNT,
    BEST_ASK,
    BEST_BID,
    BID_COUNT,
    apply,
    clear,
    has_room,
    quote,
    top,
)
from quantgod.archive.levels import IS_SNAPSHOT, TS, UPDATE_ID
from quantgod.archive.parser import Bytes, parse
from quantgod.contracts import MS_PER_SECOND, Booleans, Floats, Integers
from quantgod.market import minute_kernel
from quantgod.market.bybit import RESTART_ID
from quantgod.market.minute_kernel import (
    CLOCK,
    CROSSED,
    GAP,
    MESSAGES,
    NEXT,
    NO_BOOK,
    NO_QUOTE,
    ONE_SIDED,
    ROW,
    mark,
    miss,
    step,
)

# Positions in the feed: the state of the sequence, then counts of lines.
LAST_ID, HAS_BOOK, IS_FIRST, LINES, APPLIED, OUT_OF_ORDER, STALE, GAPS, BOOKLESS = range(9)
FEED_LENGTH: Final = 9
REJECTED: Final = {STALE: "stale", GAPS: "gap", BOOKLESS: "no_book"}

# Positions in the rules. All but SAMPLE (number of a line) are constant while a file is read.
MAX_SILENCE, MAX_BRIDGE, EARLIEST, LATEST, LINE_BYTES, SAMPLE = range(6)

DONE, CLOSED, UNKNOWN, SAMPLED = range(4)

PLACE: Final = 0  # in the one number of `settled`


class State(NamedTuple):
    """Everything that a message may change, and the rules.

    `rejected_lines` is [20, 2] of line number and position in the feed. The next three arrays are
    those of `MinuteBars`, then three of `DenseBook`, and four of `Cuts`.
    """

    rules: Integers
    feed: Integers
    rejected_lines: Integers
    integers: Integers
    floats: Floats
    row: Floats
    sizes: Floats
    edges: Integers
    scale: Integers
    moments: Integers
    settled: Integers
    books: Floats
    is_there: Booleans


class Parsed(NamedTuple):
    """A parsed message, as written by `parser.parse`."""

    message: Integers
    ticks: Integers
    sizes: Floats


@compiled
def _take_lines(
    at: int, end: int, topic: Bytes, symbol: Bytes, state: State, parsed: Parsed
) -> tuple[int, int]:
    message = parsed.message
    rules = state.rules
    while at < end:
        after = parse(at, end, topic, symbol, state.scale, message, parsed.ticks, parsed.sizes)
        if not after:
            return at, UNKNOWN
        is_timely = rules[EARLIEST] <= message[TS] <= rules[LATEST]
        is_short = after - at <= rules[LINE_BYTES]
        if not (is_timely and is_short and has_room(state.sizes, state.edges, message)):
            return at, UNKNOWN
        event = _take(state, parsed)
        if event != DONE:
            return at, event
        at = after + 1
        if state.feed[LINES] >= rules[SAMPLE]:
            return at, SAMPLED
    return at, DONE


@compiled
def _take(state: State, parsed: Parsed) -> int:
    message, feed = parsed.message, state.feed
    update_id = message[UPDATE_ID]
    is_delta = message[IS_SNAPSHOT] == 0
    has_book = feed[HAS_BOOK] != 0
    if is_delta and has_book and _is_echo(state, message):
        feed[LINES] += 1
        feed[IS_FIRST] = False
        _reject(state, STALE)
        return DONE
    _settle(state, message[TS], update_id, message[IS_SNAPSHOT])
    follows = update_id == feed[LAST_ID] + 1
    if (is_delta and has_book and not follows) or (not is_delta and jumps(feed, update_id)):
        miss(state.integers)
    if _advance(state, message[TS] // MS_PER_SECOND):
        return CLOSED
    feed[LINES] += 1
    if is_delta and not (has_book and follows):
        _reject(state, GAPS if has_book else BOOKLESS)
        mark(state.integers, GAP if has_book else NO_BOOK)
        feed[HAS_BOOK] = False
        clear(state.sizes, state.edges)
    else:
        if not is_delta and jumps(feed, update_id):
            mark(state.integers, GAP)
        _apply(state, parsed)
    feed[LAST_ID] = update_id
    feed[IS_FIRST] = False
    return DONE


@inlined
def _is_echo(state: State, message: Integers) -> bool:
    """Return the same as `bybit.is_echo`."""
    update_id, last = message[UPDATE_ID], state.feed[LAST_ID]
    is_later = message[TS] // MS_PER_SECOND > state.integers[CLOCK]
    return bool(
        update_id <= last and not is_later and (update_id != RESTART_ID or last == update_id)
    )


@compiled
def _advance(state: State, second: int) -> bool:
    """Sample the seconds before `second`; return True if a minute closed: then call again."""
    if second <= state.integers[CLOCK]:
        return False
    outcome = ROW
    sample = NO_QUOTE
    if not state.feed[HAS_BOOK]:
        outcome = NO_BOOK
    elif state.edges[BID_COUNT] == 0 or state.edges[ASK_COUNT] == 0:
        outcome = ONE_SIDED
    else:
        sample = quote(state.sizes, state.edges, state.scale)
    silence, bridge = state.rules[MAX_SILENCE], state.rules[MAX_BRIDGE]
    return step(state.integers, state.floats, state.row, second, silence, bridge, outcome, sample)


@inlined
def _settle(state: State, ts: int, update_id: int, is_snapshot: int) -> None:
    """Decide the moments before a message, if there are any left, as `Cuts.settle`."""
    if state.settled[PLACE] < state.moments.size and state.moments[state.settled[PLACE]] < ts:
        _settle_moments(state, ts, update_id, is_snapshot)


@compiled
def _settle_moments(state: State, ts: int, update_id: int, is_snapshot: int) -> None:
    feed, edges, clock = state.feed, state.edges, state.integers[CLOCK]
    is_gap = jumps(feed, update_id) if is_snapshot else update_id != feed[LAST_ID] + 1
    is_whole = edges[BID_COUNT] > 0 and edges[ASK_COUNT] > 0 and edges[BEST_BID] < edges[BEST_ASK]
    is_sound = feed[HAS_BOOK] != 0 and not is_gap and is_whole
    is_silence = ts // MS_PER_SECOND - clock - 1 > state.rules[MAX_SILENCE]
    place = state.settled[PLACE]
    while place < state.moments.size and state.moments[place] < ts:
        is_silent = is_silence and state.moments[place] // MS_PER_SECOND > clock
        state.is_there[place] = is_sound and not is_silent
        if state.is_there[place]:
            top(state.sizes, edges, state.scale, state.books[place])
        else:
            state.books[place, :, :, 0] = np.nan
            state.books[place, :, :, 1] = 0.0
        place += 1
    state.settled[PLACE] = place


@inlined
def jumps(feed: Integers, update_id: int) -> bool:
    """Return whether a snapshot's id shows that messages before it are missing."""
    last = feed[LAST_ID]
    return not feed[IS_FIRST] and update_id not in (RESTART_ID, last, last + 1)


@inlined
def _apply(state: State, parsed: Parsed) -> None:
    feed, edges, integers = state.feed, state.edges, state.integers
    apply(state.sizes, edges, parsed.message, parsed.ticks, parsed.sizes)
    feed[HAS_BOOK] = True
    feed[APPLIED] += 1
    if edges[BID_COUNT] == 0 or edges[ASK_COUNT] == 0:
        mark(integers, ONE_SIDED)
    elif edges[BEST_BID] >= edges[BEST_ASK]:
        mark(integers, CROSSED)
    message = parsed.message
    is_repeated = feed[IS_FIRST] and message[IS_SNAPSHOT] and message[UPDATE_ID] == feed[LAST_ID]
    if message[TS] >= integers[NEXT] * MS_PER_SECOND:
        integers[MESSAGES] += not is_repeated
    else:
        feed[OUT_OF_ORDER] += 1


@inlined
def _reject(state: State, place: int) -> None:
    feed, lines = state.feed, state.rejected_lines
    known = feed[STALE] + feed[GAPS] + feed[BOOKLESS]
    if known < len(lines):
        lines[known, 0] = feed[LINES]
        lines[known, 1] = place
    feed[place] += 1


class EntryPoints(NamedTuple):
    """The functions that Python calls. All but `top` take a `State`.

    Attributes:
        take_lines: (at, end, topic, symbol, state, parsed) -> position and event. The position is
            the end (DONE), the line to take again (CLOSED), the unknown line (UNKNOWN), or the line
            after a sample line (SAMPLED), which `parsed` still holds.
        take: (state, parsed) -> event; after CLOSED call it again.
        settle: (state, ts, update_id, is_snapshot): decide the moments before a message.
        advance: (state, second) -> whether a minute closed; then call it again.
        top: (sizes, edges, scale, levels), `dense_book.top`.
    """

    take_lines: Any
    take: Any
    settle: Any
    advance: Any
    top: Any


def _entry_points(sources: str) -> EntryPoints:
    """Compile; `sources` is used so that it becomes part of numba's cache key."""

    @kept
    def take_lines(
        at: int, end: int, topic: Bytes, symbol: Bytes, state: State, parsed: Parsed
    ) -> tuple[int, int]:
        return _take_lines(at, end if sources else at, topic, symbol, state, parsed)

    @kept
    def take(state: State, parsed: Parsed) -> int:
        return _take(state, parsed) if sources else DONE

    @kept
    def settle(state: State, ts: int, update_id: int, is_snapshot: int) -> None:
        if sources:
            _settle(state, ts, update_id, is_snapshot)

    @kept
    def advance(state: State, second: int) -> bool:
        return bool(sources) and _advance(state, second)

    @kept
    def best_levels(sizes: Floats, edges: Integers, scale: Integers, levels: Floats) -> None:
        if sources:
            top(sizes, edges, scale, levels)

    return EntryPoints(take_lines, take, settle, advance, best_levels)


compiled_loop: Final = _entry_points(
    sources_digest([compiling, dense_book, digits, levels, parser, tokens, minute_kernel])
)
