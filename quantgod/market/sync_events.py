"""Events of a book's synchronisation, for all venues, and the interface of the state machines.

A state machine takes messages and returns events; it has no clock and no socket. `BinanceBookSync`
and `BybitBookSync` implement it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

from quantgod.contracts import BookUpdate
from quantgod.market.book import OrderBook
from quantgod.market.messages import MessageError, Reason

DropReason = (
    Literal["late", "duplicate", "no_book", "broken_chain", "out_of_date", "unasked_snapshot"]
    | Reason
)
"""Why a message changed nothing.

`no_book`: it waits in a buffer or (Bybit) for a snapshot. `broken_chain`: it does not follow the
buffered events, which are dropped; the buffer starts with it. `out_of_date`: the present snapshot
already includes it. A `Reason`: it could not be decoded, while there was no book to lose.
"""

LossReason = (
    Literal[
        "gap",
        "sequence_reset",
        "crossed",
        "one_sided",
        "out_of_range",
        "contradiction",
        "overflow",
        "disconnected",
    ]
    | Reason
)
"""Why a book was withdrawn, or (`overflow`) the buffer dropped.

`contradiction`: a fresh snapshot, brought up to date, differs from the book.
"""

NeedReason = Literal["start", "lost", "edge", "stale_snapshot", "bad_snapshot", "overflow"]
"""Why a snapshot is requested."""


class Sync(msgspec.Struct, frozen=True, gc=False):
    """The book is valid: `update` is the whole book, as a snapshot."""

    update: BookUpdate


class Change(msgspec.Struct, frozen=True, gc=False):
    """A message changed the book; `update` holds only levels within the known range."""

    update: BookUpdate


class Extension(msgspec.Struct, frozen=True, gc=False):
    """A fresh snapshot widened the known range; `update` holds the added levels."""

    update: BookUpdate


class Drop(msgspec.Struct, frozen=True, gc=False):
    """A message changed nothing."""

    reason: DropReason
    detail: str


class OutOfSync(msgspec.Struct, frozen=True, gc=False):
    """The book was withdrawn; it gives no prices until the next `Sync`."""

    reason: LossReason
    detail: str


class NeedSnapshot(msgspec.Struct, frozen=True, gc=False):
    """A snapshot is needed: from REST (Binance) or by subscribing again (Bybit)."""

    reason: NeedReason


Event = Sync | Change | Extension | Drop | OutOfSync | NeedSnapshot

BeforeChange = Callable[[int], None]
"""Called with the exchange time (ms) of each valid message, before it changes anything."""


BeforeGap = Callable[[], None]
"""Called before `BeforeChange` if the message shows that earlier ones are missing."""


def nothing(*_: int) -> None:
    """Do nothing: the default of both."""


class BookSync(Protocol):
    """The interface of a symbol's synchronisation.

    A sampler of the book sets `before_change` and reads `book` there: it then sees the state before
    the message.
    """

    symbol: str
    before_change: BeforeChange
    before_gap: BeforeGap

    @property
    def book(self) -> OrderBook | None:
        """Return the book, or None while it is out of sync."""

    @property
    def last_update_id(self) -> int:
        """Return the id of the last change in the book; -1 without a book."""

    def connected(self) -> list[Event]:
        """Start over: a stream was opened."""

    def disconnected(self) -> list[Event]:
        """Withdraw the book: the stream ended."""

    def receive(self, message: Any) -> list[Event]:
        """Take a decoded message of this venue's stream."""

    def refuse(self, error: MessageError) -> list[Event]:
        """Handle a message that could not be decoded: its changes are lost."""
