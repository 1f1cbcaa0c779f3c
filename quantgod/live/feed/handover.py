"""Hand a book over between two connections where their chains of updates meet.

Each event names the last id before it (`previous`) and its own last id (`final`). While both
connections are open, the old one is fed and the new one's events wait here. Once both have passed
the same id, the new chain continues from there, and nothing is lost or repeated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Link(NamedTuple):
    """An event's ids in its symbol's chain, and its exchange time in ms."""

    previous: int
    final: int
    ts: int


class HeldMessage(NamedTuple):
    """A waiting message; without a link if it could not be decoded."""

    data: bytes
    received: float
    link: Link | None


class Position(NamedTuple):
    """A book's last id (-1 without a book) and its exchange time in ms."""

    last: int
    ts: int

    def knows(self, link: Link) -> bool:
        """Return whether the book already includes the event.

        An older id with a later time is not a repetition: the venue has restarted its ids.
        """
        return link.final <= self.last and link.ts <= self.ts


class Handover:
    """Holds the new connection's messages until it can take over, at most `limit` per symbol."""

    def __init__(self, symbols: Iterable[str], limit: int) -> None:
        self._sides = {symbol: _Meeting() for symbol in symbols}
        self._limit = limit

    def stands(self, symbol: str, position: Position) -> None:
        """Set the position of the fed book, and drop messages that it already includes."""
        self._sides[symbol].stands(position)

    def hold(self, symbol: str, held: HeldMessage) -> None:
        """Hold a message of the new connection."""
        self._sides[symbol].hold(held)

    def has_met(self, symbol: str) -> bool:
        """Return whether both chains have passed the same id."""
        return self._sides[symbol].has_met

    @property
    def is_full(self) -> bool:
        """Return whether a symbol has reached its limit."""
        return any(side.size >= self._limit for side in self._sides.values())

    def rest(self, symbol: str, position: Position) -> list[HeldMessage]:
        """Return the held messages that the book does not include yet."""
        return self._sides[symbol].rest(position)


class _Meeting:
    """One symbol's two chains."""

    def __init__(self) -> None:
        self.waiting: list[HeldMessage] = []
        self.has_met = False
        self._old: set[int] = set()
        self._new: set[int] = set()

    @property
    def size(self) -> int:
        return max(len(self.waiting), len(self._old))

    def stands(self, position: Position) -> None:
        if position.last < 0:
            return
        if not self.has_met:
            self._old.add(position.last)
            self.has_met = position.last in self._new
        if self.has_met:
            self.waiting = self.rest(position)

    def hold(self, held: HeldMessage) -> None:
        self.waiting.append(held)
        if held.link is None or self.has_met:
            return
        ends = {held.link.previous, held.link.final}
        self._new |= ends
        self.has_met = not ends.isdisjoint(self._old)

    def rest(self, position: Position) -> list[HeldMessage]:
        """Return all messages after the last one that the book includes, decodable or not."""
        known = [
            place
            for place, held in enumerate(self.waiting)
            if held.link is not None and position.knows(held.link)
        ]
        return self.waiting[known[-1] + 1 :] if known else list(self.waiting)
