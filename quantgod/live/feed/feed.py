"""Feed each symbol's book and bars from a venue's sockets, and report to a listener.

A message is handled completely when it is received: only the socket queues. The listener gets each
message before the book, so that replaying the same sequence gives the same bars.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from urllib.parse import urlsplit

from quantgod.live.driving import RawKind
from quantgod.live.feed.books import Books, FeedListener
from quantgod.live.feed.connections import Connections
from quantgod.live.feed.notices import address
from quantgod.live.feed.snapshots import Snapshots
from quantgod.live.feed.state import FeedState
from quantgod.live.feed.weight import RequestBudget
from quantgod.market.book_bars import BookBars
from quantgod.settings import FeedSettings

__all__ = ["Feed", "FeedListener", "FeedState", "RawKind"]


class Feed:
    """Feeds `books` from the venue that `settings` name.

    Args:
        settings: addresses, limits and waits.
        books: by symbol.
        listener: called with everything.
        seed: of random waits; None for unrepeatable ones.

    Raises:
        ValueError: without a symbol, for an invalid address, or if the settings allow no request.
    """

    def __init__(
        self,
        settings: FeedSettings,
        books: Mapping[str, BookBars],
        listener: FeedListener,
        *,
        seed: int | None = None,
    ) -> None:
        if not books:
            raise ValueError("a feed needs at least one symbol, got none")
        _check(settings.stream_url, ("wss", "ws"))
        _check(settings.depth_url, ("https", "http"))
        random = Random(seed)
        budget = RequestBudget(
            settings.depth_weight,
            settings.weight_limit,
            settings.weight_share,
            settings.retry_after_seconds,
        )
        self._snapshots = Snapshots(settings, books, budget, listener.notice, random)
        self._books = Books(books, listener, self._snapshots)
        self._connections = Connections(settings, books, budget, self._books, random)

    @property
    def state(self) -> FeedState:
        """Return the feed's state, which keeps changing."""
        return FeedState(self._connections.state, self._books.states)

    async def run(self) -> None:
        """Feed until cancelled; then every book is withdrawn and every socket closed."""
        async with self._snapshots.delivering_to(self._books.answer):
            await self._connections.run()


def _check(url: str, schemes: tuple[str, ...]) -> None:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"an address with {' or '.join(schemes)} expected, got {address(url)!r}")
