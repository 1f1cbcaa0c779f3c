"""Renew a connection by a second one that takes over."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from quantgod.live.feed.handover import Handover, HeldMessage, Link, Position
from quantgod.live.feed.stream import Stream
from quantgod.settings import FeedSettings


class Renewal:
    """Holds the second connection's messages until the books can continue with them.

    Args:
        stream: the second connection.
        settings: limits on waiting for the chains to meet, and on held messages.
        position: returns the present position of a symbol's book.
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
        """Record that the first connection had a message of these symbols."""
        for symbol in symbols:
            self._handover.stands(symbol, self._position(symbol))

    def hold(self, data: bytes, received: float, links: Iterable[tuple[str, Link | None]]) -> None:
        """Hold a message of the second connection for its symbols."""
        for symbol, link in links:
            self._handover.hold(symbol, HeldMessage(data, received, link))
            if link is not None:
                self.stream.heard[symbol] = received

    def apart(self) -> list[str]:
        """Return symbols whose book cannot continue with the second connection yet."""
        return [
            symbol
            for symbol in self.stream.symbols
            if self._position(symbol).last >= 0 and not self._handover.has_met(symbol)
        ]

    def is_due(self, now: float) -> bool:
        """Return whether to switch: all chains have met, or waiting longer would not help."""
        opened = self.stream.opened
        if opened is None or not self.stream.heard:
            return False
        return self._handover.is_full or now - opened > self._patience or not self.apart()

    def rest(self, symbol: str) -> list[HeldMessage]:
        """Return a symbol's held messages that its book does not include yet."""
        return self._handover.rest(symbol, self._position(symbol))

    def unheard(self) -> list[str]:
        """Return symbols with a book but without a message on the second connection."""
        return [symbol for symbol in self.apart() if symbol not in self.stream.heard]


class CatchUp:
    """Skips repeated messages of a new connection that lags behind after a switch.

    A symbol has caught up at the first message that its book does not include.
    """

    def __init__(self, position: Callable[[str], Position]) -> None:
        self._position = position
        self._behind: set[str] = set()

    def begin(self, symbols: Iterable[str]) -> None:
        """Start after a switch of connections, for these symbols."""
        self._behind = set(symbols)

    @property
    def is_over(self) -> bool:
        """Return whether all symbols have caught up."""
        return not self._behind

    def is_known(self, symbol: str, link: Link | None) -> bool:
        """Return whether the book already includes the message; False from the first new one on."""
        if symbol not in self._behind:
            return False
        known = link is not None and self._position(symbol).knows(link)
        if not known:
            self._behind.discard(symbol)
        return known
