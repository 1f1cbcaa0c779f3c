"""What the feed is doing, for whoever looks: written by the feed alone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import get_args

from quantgod.market.messages import Reason
from quantgod.market.sync_events import (
    Applied,
    Dropped,
    Event,
    LossReason,
    NeedReason,
    NeedSnapshot,
    OutOfSync,
    Synced,
)

_UNREADABLE = frozenset(get_args(Reason))
_GAPS: frozenset[LossReason] = frozenset({"gap"})


@dataclass(slots=True)
class BookState:
    """One book.

    Attributes:
        is_synced: whether it stands.
        since: Unix time of the last change of that.
        exchange_ms: exchange time of the last update; 0 before any.
        lag_ms: local minus exchange time at that update. For information: clocks differ.
        syncs: how often it came to stand; each but the first is a resync.
        gaps: updates that did not follow the one before.
        problem: why it was withdrawn last.
    """

    is_synced: bool = False
    since: float = field(default_factory=time.time)
    exchange_ms: int = 0
    lag_ms: float | None = None
    syncs: int = 0
    gaps: int = 0
    problem: str = ""

    @property
    def resyncs(self) -> int:
        """How often the book came back."""
        return max(0, self.syncs - 1)

    def note(self, events: list[Event]) -> None:
        """Take what a message did to the book."""
        for event in events:
            if isinstance(event, Applied):
                self._updated(event.update.ts)
            elif isinstance(event, Synced):
                self._updated(event.update.ts)
                self._turn(is_synced=True)
                self.syncs += 1
            elif isinstance(event, OutOfSync):
                self._turn(is_synced=False)
                self.gaps += event.reason in _GAPS
                self.problem = f"{event.reason}: {event.detail}"

    def _updated(self, ts: int) -> None:
        self.exchange_ms = ts
        self.lag_ms = time.time() * 1000 - ts

    def _turn(self, *, is_synced: bool) -> None:
        if self.is_synced is not is_synced:
            self.is_synced, self.since = is_synced, time.time()


@dataclass(slots=True)
class ConnectionState:
    """The stream that is fed.

    Attributes:
        url: where to, without credentials.
        since: Unix time at which it was opened; `None` while there is none.
        is_silent: it was opened and no depth has come since; see the notice `silent_stream`.
        is_renewing: a second one is being opened to take over.
        connects: connections opened so far.
        problem: why the last one ended.
    """

    url: str
    since: float | None = None
    is_silent: bool = False
    is_renewing: bool = False
    connects: int = 0
    problem: str = ""


@dataclass(slots=True)
class FeedState:
    """All of it."""

    connection: ConnectionState
    symbols: dict[str, BookState]


def wants_snapshot(events: list[Event]) -> NeedReason | None:
    """Why a snapshot is asked for by these events, if it is."""
    return next((event.reason for event in events if isinstance(event, NeedSnapshot)), None)


def was_readable(events: list[Event]) -> bool:
    """Whether a message was depth that could be read, by what came of it."""
    first = events[0] if events else None
    if first is None:
        return False
    return not (isinstance(first, Dropped | OutOfSync) and first.reason in _UNREADABLE)
