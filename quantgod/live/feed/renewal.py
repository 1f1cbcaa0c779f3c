"""A second connection that is to take over from the one that is fed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from quantgod.live.feed.handover import Handover, HeldMessage, Link, Position
from quantgod.live.feed.stream import Stream
from quantgod.settings import FeedSettings


class Renewal:
    """Holds back what the second connection says until the books can go on with it.

    Args:
        stream: the second connection.
        settings: how long to wait for the chains to meet, and how much to hold.
        position: where a symbol's book stands now.
    """

    def __init__(
        self, stream: Stream, settings: FeedSettings, position: Callable[[str], Position]
    ) -> None:
        self.stream = stream
        self._handover = Handover(stream.symbols, settings.buffer_events)
        self._patience = settings.first_message_seconds
        self._position = position
        self.note(stream.symbols)

    def note(self, symbols: Iterable[str]) -> None:
        """The first connection has told of these symbols."""
        for symbol in symbols:
            self._handover.stands(symbol, self._position(symbol))

    def hold(self, data: bytes, received: float, links: Iterable[tuple[str, Link | None]]) -> None:
        """Keep a message of the second connection for the symbols it concerns."""
        for symbol, link in links:
            self._handover.hold(symbol, HeldMessage(data, received, link))
            if link is not None:
                self.stream.heard[symbol] = received

    def apart(self) -> list[str]:
        """Symbols with a book that could not go on with the second connection yet."""
        return [
            symbol
            for symbol in self.stream.symbols
            if self._position(symbol).last >= 0 and not self._handover.has_met(symbol)
        ]

    def is_due(self, now: float) -> bool:
        """Whether to change over: every chain has met, or waiting longer would not help."""
        opened = self.stream.opened
        if opened is None or not self.stream.heard:
            return False
        return self._handover.is_full or now - opened > self._patience or not self.apart()

    def rest(self, symbol: str) -> list[HeldMessage]:
        """What waits for a symbol and its book does not hold yet."""
        return self._handover.rest(symbol, self._position(symbol))

    def unheard(self) -> list[str]:
        """Symbols with a book that the second connection has not spoken of."""
        return [symbol for symbol in self.apart() if symbol not in self.stream.heard]


class CatchUp:
    """After a change-over the new connection may lag: what it repeats is left out.

    A symbol has caught up with the first message that its book does not hold.
    """

    def __init__(self, position: Callable[[str], Position]) -> None:
        self._position = position
        self._behind: set[str] = set()

    def begin(self, symbols: Iterable[str]) -> None:
        """These symbols are fed from another connection than before."""
        self._behind = set(symbols)

    @property
    def is_over(self) -> bool:
        """Whether every symbol has caught up."""
        return not self._behind

    def is_known(self, symbol: str, link: Link | None) -> bool:
        """Whether the book holds the message already; from the first that is new on: no."""
        if symbol not in self._behind:
            return False
        known = link is not None and self._position(symbol).knows(link)
        if not known:
            self._behind.discard(symbol)
        return known
