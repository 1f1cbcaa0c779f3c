"""Keep a Bybit v5 book in sync with its stream: messages in, events out.

The stream itself sends the snapshot: first of all, and again when the venue restarts (`u` is 1). A
delta's `u` is the last one plus one. A greater one is a gap: the book is withdrawn until the next
snapshot. One that is not greater is an echo and changes nothing, or means a restart, which is a gap
too (`bybit.is_echo`). Archives are read by the same rules (`archive.reference`) with one exception:
here a crossed or one-sided book is withdrawn, because it could be traded on.
"""

from __future__ import annotations

from math import inf
from typing import Final

from quantgod.contracts import MS_PER_SECOND, BookUpdate
from quantgod.market.book import OrderBook
from quantgod.market.bybit import RESTART_ID, is_echo
from quantgod.market.messages import MessageError
from quantgod.market.sync_events import (
    BeforeChange,
    BeforeGap,
    Change,
    Drop,
    Event,
    LossReason,
    NeedSnapshot,
    OutOfSync,
    Sync,
    nothing,
)

_NONE: Final = -1
"""The id and the second of a message while there was none."""


class BybitBookSync:
    """Synchronises one symbol's book."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.book: OrderBook | None = None
        self.before_change: BeforeChange = nothing
        self.before_gap: BeforeGap = nothing
        self._last_id = _NONE  # of the last message, applied or not
        self._second = _NONE  # the latest second seen
        self._is_awaited = True  # a snapshot is awaited; it comes first in a stream

    @property
    def is_synced(self) -> bool:
        """Return whether there is a valid book."""
        return self.book is not None

    @property
    def last_update_id(self) -> int:
        """Return the id of the last change in the book; -1 without a book."""
        return self._last_id if self.book is not None else _NONE

    @property
    def needs_snapshot(self) -> bool:
        """Return whether a snapshot is awaited."""
        return self._is_awaited

    def connected(self) -> list[Event]:
        """Start over: a stream was opened. It begins with a snapshot, without a request."""
        events = self.disconnected()
        self._is_awaited = True
        return events

    def disconnected(self) -> list[Event]:
        """Withdraw the book: the stream ended."""
        had_book = self.book is not None
        self._withdraw()
        self._last_id, self._is_awaited = _NONE, False
        return [OutOfSync("disconnected", "the stream ended")] if had_book else []

    def receive(self, update: BookUpdate) -> list[Event]:
        """Take a message of the stream."""
        if update.symbol != self.symbol:
            detail = f"{self.symbol} expected, got {update.symbol[:30]!r}"
            return self.refuse(MessageError("wrong_symbol", detail))
        if update.is_snapshot:
            return self._take_snapshot(update)
        last, book = self._last_id, self.book
        if book is not None and update.update_id <= last and self._is_echo(update):
            is_same = update.update_id == last
            detail = f"u {update.update_id} after {last}"
            return [Drop("duplicate" if is_same else "late", detail)]
        is_gap = book is not None and update.update_id != last + 1
        if is_gap:
            self.before_gap()
        self._advance(update)
        if book is None:
            return [Drop("no_book", f"u {update.update_id} without a snapshot")]
        if is_gap:
            reason: LossReason = "gap" if update.update_id > last else "sequence_reset"
            return self._lose(reason, f"u {last + 1} expected, got {update.update_id}")
        book.apply(update)
        return self._checked(book, Change(update))

    def refuse(self, error: MessageError) -> list[Event]:
        """Handle a message that could not be decoded: its changes are lost."""
        if self.book is None:
            return [Drop(error.reason, str(error))]
        return self._lose(error.reason, str(error))

    def _take_snapshot(self, update: BookUpdate) -> list[Event]:
        last, events = self._last_id, list[Event]()
        is_gap = last >= 0 and update.update_id not in (last, last + 1, RESTART_ID)
        if is_gap:
            self.before_gap()
        self._advance(update)
        if is_gap:
            detail = f"u {last + 1} expected, got {update.update_id} in a snapshot"
            events.append(OutOfSync("gap", detail))
        self.book = self.book or OrderBook()
        self._is_awaited = False
        self.book.apply(update)
        return [*events, *self._checked(self.book, Sync(update))]

    def _is_echo(self, delta: BookUpdate) -> bool:
        second = delta.ts // MS_PER_SECOND
        return is_echo(delta.update_id, self._last_id, second, self._second)

    def _advance(self, update: BookUpdate) -> None:
        self.before_change(update.ts)
        self._last_id = update.update_id
        self._second = max(self._second, update.ts // MS_PER_SECOND)

    def _checked(self, book: OrderBook, event: Change | Sync) -> list[Event]:
        if -inf < book.best_bid < book.best_ask < inf:
            return [event]
        detail = f"best {book.best_bid} / {book.best_ask} after u {self._last_id}"
        lost = self._lose("one_sided" if book.is_one_sided else "crossed", detail)
        return [event, *lost] if isinstance(event, Change) else lost

    def _lose(self, reason: LossReason, detail: str) -> list[Event]:
        """Withdraw the book, and request a snapshot once."""
        self._withdraw()
        was_awaited, self._is_awaited = self._is_awaited, True
        lost = OutOfSync(reason, detail)
        return [lost] if was_awaited else [lost, NeedSnapshot("lost")]

    def _withdraw(self) -> None:
        if self.book is not None:
            self.book.clear()  # nor may one who still holds it read a price from it
        self.book = None
