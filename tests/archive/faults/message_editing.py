"""Takes a day's messages apart and puts them together again, for faults that keep the book true.

A fault that hides messages has to hand in later what they changed, or the book after it would be
wrong for another reason than the fault's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.archive.faults.fault import LineFault, Lines

Message = dict[str, Any]
Rows = list[list[str]]
SIDES = ("b", "a")

_TS = re.compile(rb'"ts":(\d+)')
_U = re.compile(rb'"u":(\d+)')


def decoded(line: bytes) -> Message:
    """A line as a dictionary, keys in the line's order."""
    message: Message = json.loads(line)
    return message


def encoded(message: Message) -> bytes:
    """A dictionary as a line in the venue's compact form."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def ts_of(line: bytes) -> int:
    """System time of a line, epoch ms."""
    found = _TS.search(line)
    if found is None:
        raise ValueError(f"a line with a ts was expected, got {line[:80]!r}")
    return int(found[1])


def shifted(line: bytes, by: int) -> bytes:
    """The line with `by` added to its update id."""
    return line if by == 0 else _U.sub(lambda found: b'"u":%d' % (int(found[1]) + by), line)


def at_message(number: int, change: Callable[[bytes], list[bytes]]) -> LineFault:
    """Put what `change` makes of message `number` (the snapshot is 0) in its place.

    Raises:
        ValueError: when the day ends before that message.
    """

    def fault(lines: Lines) -> Lines:
        here = -1
        for here, line in enumerate(lines):
            yield from change(line) if here == number else [line]
        if here < number:
            raise ValueError(f"message {number} was to be changed, but the day has {here + 1}")

    return fault


def edit_message(number: int, edit: Callable[[Message], None]) -> LineFault:
    """Let `edit` alter message `number` as a dictionary."""

    def change(line: bytes) -> list[bytes]:
        message = decoded(line)
        edit(message)
        return [encoded(message)]

    return at_message(number, change)


class TrackedBook:
    """The book as texts, price to size on either side, and the changes not yet handed on."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        self.held: dict[str, dict[str, str]] = {"b": {}, "a": {}}

    def apply(self, message: Message) -> None:
        """Take in a message."""
        for side in SIDES:
            if message["type"] == "snapshot":
                self.sides[side].clear()
            for price, size in message["data"][side]:
                if float(size) == 0:
                    self.sides[side].pop(price, None)
                else:
                    self.sides[side][price] = size

    def hold(self, message: Message) -> None:
        """Remember the changes of a message that is not handed on; later ones win."""
        for side in SIDES:
            self.held[side].update(dict(message["data"][side]))

    def release(self, message: Message) -> None:
        """Put the changes held so far in front of the message's own."""
        self.hold(message)
        for side in SIDES:
            message["data"][side] = [[price, size] for price, size in self.held[side].items()]
            self.held[side].clear()

    def rows(self, side: str) -> Rows:
        """All levels of a side, best first."""
        levels = sorted(self.sides[side].items(), key=lambda level: float(level[0]))
        return [[price, size] for price, size in (reversed(levels) if side == "b" else levels)]

    def best(self, side: str) -> str:
        """Price of the first level of a side."""
        return self.rows(side)[0][0]

    def make_snapshot(self, message: Message) -> None:
        """Turn a message into a snapshot of the book after it."""
        message["type"] = "snapshot"
        for side in SIDES:
            message["data"][side] = self.rows(side)


def tracked(lines: Lines) -> Iterator[tuple[int, bytes, Message, TrackedBook]]:
    """Each line with its number, its dictionary, and the true book after it."""
    book = TrackedBook()
    for number, line in enumerate(lines):
        message = decoded(line)
        book.apply(message)
        yield number, line, message, book
