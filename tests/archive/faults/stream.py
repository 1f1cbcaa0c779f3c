"""Faults in the run of messages: order and time, wrong books, and where a file begins and ends.

`message` counts the lines of a day from its snapshot, which is 0; `minute` is a minute of the day.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from quantgod.contracts import MS_PER_DAY, MS_PER_MINUTE
from quantgod.simulation.market import LATEST_MS
from tests.archive.faults.fault import Fault, LineFault, Lines
from tests.archive.faults.message_editing import (
    SIDES,
    Message,
    TrackedBook,
    at_message,
    decoded,
    edit_message,
    encoded,
    shifted,
    tracked,
    ts_of,
)

# Order and time


def out_of_order_time(message: int, back_ms: int = 3_000) -> Fault:
    """A message that carries an earlier time than the one before; its `u` is in order."""
    return Fault("out_of_order_time", lines=edit_message(message, _moved(-back_ms)))


def far_time(message: int, by_ms: int = 30 * MS_PER_DAY) -> Fault:
    """A message of another month."""
    return Fault("far_time", lines=edit_message(message, _moved(by_ms)))


def sequence_gap(message: int, lost: int = 1) -> Fault:
    """`lost` messages are missing from `message` on."""

    def fault(lines: Lines) -> Lines:
        for number, line in enumerate(lines):
            if not message <= number < message + lost:
                yield line

    return Fault("sequence_gap", lines=fault)


def duplicate_message(message: int) -> Fault:
    """A message comes twice."""
    return Fault("duplicate_message", lines=at_message(message, lambda line: [line, line]))


def reordered_messages(message: int) -> Fault:
    """A message comes after its successor."""

    def fault(lines: Lines) -> Lines:
        yield from itertools.islice(lines, message)
        early = list(itertools.islice(lines, 2))
        yield from reversed(early)
        yield from lines

    return Fault("reordered_messages", lines=fault)


def mid_file_snapshot(message: int, jump: int = 0) -> Fault:
    """A message comes as a snapshot of the whole book; `jump` ids are left out before it."""
    return Fault("mid_file_snapshot", lines=_snapshot_at(message, lambda _: jump))


def restart_snapshot(message: int) -> Fault:
    """The venue restarts: a snapshot with `u` 1, and ids count on from there."""
    return Fault("restart_snapshot", lines=_snapshot_at(message, lambda update: 1 - update))


def restart_delta(message: int) -> Fault:
    """The venue restarts without a word: a delta has `u` 1, and ids count on from there."""

    def fault(lines: Lines) -> Lines:
        shift = 0
        for number, line in enumerate(lines):
            if number == message:
                shift = 1 - decoded(line)["data"]["u"]
            yield shifted(line, shift)

    return Fault("restart_delta", lines=fault)


def silence(message: int, seconds: float) -> Fault:
    """Nothing for `seconds` after `message`; then one message has all that changed, no id lost."""

    def fault(lines: Lines) -> Lines:
        until, dropped = 0.0, 0
        for number, line, content, book in tracked(lines):
            ts = content["ts"]
            if number == message:
                until = ts + seconds * 1000 - LATEST_MS  # hides the same messages at any lateness
                yield line
            elif ts < until:
                book.hold(content)
                dropped += 1
            else:
                yield shifted(_released(line, content, book), -dropped)

    return Fault("silence", lines=fault)


def frozen(message: int, minutes: float) -> Fault:
    """For `minutes` the feed repeats its best bid and nothing changes; then it catches up."""

    def fault(lines: Lines) -> Lines:
        until, held = 0.0, [["", ""]]
        for number, line, content, book in tracked(lines):
            if number == message:
                until = content["ts"] + minutes * MS_PER_MINUTE - LATEST_MS
                held = book.rows("b")[:1]
            if number > message and content["ts"] < until:
                book.hold(content)
                content["data"].update(b=held, a=[])
                yield encoded(content)
            else:
                yield _released(line, content, book)

    return Fault("frozen", lines=fault)


# Wrong books


def crossed_book(message: int, messages: int = 1, *, locked: bool = False) -> Fault:
    """For `messages` messages a bid stands at the second ask, or at the first where `locked`."""
    ask = 0 if locked else 1

    def fault(lines: Lines) -> Lines:
        price = None
        for number, line, content, book in tracked(lines):
            if message <= number <= message + messages:
                bids = dict(content["data"]["b"])
                if price is not None:  # the bid of the message before
                    bids[price] = book.sides["b"].get(price, "0")
                if number < message + messages:
                    price = book.rows("a")[ask][0]
                    bids[price] = "1.000"
                content["data"]["b"] = [[price, size] for price, size in bids.items()]
                yield encoded(content)
            else:
                yield line

    return Fault("locked_book" if locked else "crossed_book", lines=fault)


def empty_side(message: int, messages: int = 1, side: str = "b") -> Fault:
    """For `messages` messages a side has no level at all; then it is back."""

    def fault(lines: Lines) -> Lines:
        before: list[str] = []
        for number, line, content, book in tracked(lines):
            if number == message:
                content["data"][side] = [[price, "0"] for price in before]
            elif message < number < message + messages:
                content["data"][side] = []
            elif number == message + messages:
                content["data"][side] = book.rows(side)
            yield encoded(content) if message <= number <= message + messages else line
            before = list(book.sides[side]) if number == message - 1 else before

    return Fault("empty_side", lines=fault)


# Beginnings and ends


def starts_with_deltas(messages: int = 1) -> Fault:
    """The snapshot is missing, with the deltas after it up to `messages` lines in all."""
    return Fault("starts_with_deltas", lines=lambda lines: itertools.islice(lines, messages, None))


def starts_early(seconds: int = 60) -> Fault:
    """The file begins before its midnight: a snapshot, then one delta a second with nothing new."""

    def fault(lines: Lines) -> Lines:
        first = next(lines)
        content = decoded(first)
        ts, best = content["ts"], content["data"]["b"][:1]
        for second in range(seconds, 0, -1):
            content["ts"], content["cts"] = ts - second * 1000, ts - second * 1000 - 5
            yield shifted(encoded(content), -second)
            content["type"] = "delta"
            content["data"].update(b=best, a=[])
        yield first
        yield from lines

    return Fault("starts_early", lines=fault)


def starts_late(minute: float) -> Fault:
    """The file begins, with a snapshot, at a minute of the day."""

    def fault(lines: Lines) -> Lines:
        begun = False
        for _, line, content, book in tracked(lines):
            if not begun and content["ts"] % MS_PER_DAY >= minute * MS_PER_MINUTE:
                book.make_snapshot(content)
                yield encoded(content)
                begun = True
            elif begun:
                yield line

    return Fault("starts_late", lines=fault)


def ends_early(minute: float) -> Fault:
    """The file ends at a minute of the day. What would come after is not even simulated."""

    def fault(lines: Lines) -> Lines:
        first = next(lines)
        end = ts_of(first) // MS_PER_DAY * MS_PER_DAY + minute * MS_PER_MINUTE
        yield first
        yield from itertools.takewhile(lambda line: ts_of(line) < end, lines)

    return Fault("ends_early", lines=fault)


def closing_snapshot() -> Fault:
    """The file ends with the first snapshot of the next minute, as real files do at midnight."""

    def fault(lines: Lines) -> Lines:
        book, last = TrackedBook(), b""
        for line in lines:
            book.apply(decoded(line))
            last = line
            yield line
        content = decoded(last)
        ts = (content["ts"] // MS_PER_MINUTE + 1) * MS_PER_MINUTE + LATEST_MS
        content["ts"], content["cts"] = ts, ts - 5
        book.make_snapshot(content)
        yield shifted(encoded(content), 1)

    return Fault("closing_snapshot", lines=fault)


def _moved(by_ms: int) -> Callable[[Message], None]:
    def edit(content: Message) -> None:
        content["ts"] += by_ms

    return edit


def _snapshot_at(message: int, shift_of: Callable[[int], int]) -> LineFault:
    def fault(lines: Lines) -> Lines:
        shift = 0
        for number, line, content, book in tracked(lines):
            if number == message:
                shift = shift_of(content["data"]["u"])
                book.make_snapshot(content)
                yield shifted(encoded(content), shift)
            else:
                yield shifted(line, shift)

    return fault


def _released(line: bytes, content: Message, book: TrackedBook) -> bytes:
    if not any(book.held[side] for side in SIDES):
        return line
    book.release(content)
    return encoded(content)
