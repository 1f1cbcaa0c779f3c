"""The feed's state for the status view; only the feed writes it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import get_args

from quantgod.market.messages import Reason
from quantgod.market.sync_events import (
    Change,
    Drop,
    Event,
    LossReason,
    NeedReason,
    NeedSnapshot,
    OutOfSync,
    Sync,
)

_UNREADABLE = frozenset(get_args(Reason))
_GAPS: frozenset[LossReason] = frozenset({"gap"})


@dataclass(slots=True)
class BookState:
    """The state of one book.

    Attributes:
        is_synced: whether it is valid.
        since: Unix time of the last change of `is_synced`.
        exchange_ms: exchange time of the last update; 0 before any.
        lag_ms: local minus exchange time at that update. For information: clocks differ.
        syncs: number of times it became valid; each but the first is a resync.
        gaps: number of updates that did not follow the one before.
        problem: the reason of its last withdrawal.
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
        """Return the number of resyncs."""
        return max(0, self.syncs - 1)

    def note(self, events: list[Event]) -> None:
        """Take a message's events."""
        for event in events:
            if isinstance(event, Change):
                self._updated(event.update.ts)
            elif isinstance(event, Sync):
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
    """The state of the fed stream.

    Attributes:
        url: address without credentials.
        since: Unix time of its opening; None while there is none.
        is_silent: it is open but without depth messages so far; see notice `silent_stream`.
        is_renewing: a second connection is being opened to take over.
        connects: number of opened connections.
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
    """The whole state."""

    connection: ConnectionState
    symbols: dict[str, BookState]


def wants_snapshot(events: list[Event]) -> NeedReason | None:
    """Return why these events request a snapshot, or None."""
    return next((event.reason for event in events if isinstance(event, NeedSnapshot)), None)


def was_readable(events: list[Event]) -> bool:
    """Return whether these events come from a valid depth message."""
    first = events[0] if events else None
    if first is None:
        return False
    return not (isinstance(first, Drop | OutOfSync) and first.reason in _UNREADABLE)
