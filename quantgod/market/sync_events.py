"""What a book's synchronisation says of a message: the events of every venue, and their interface.

A state machine takes messages and gives events; it has no clock and no socket. `BinanceBookSync`
and `BybitBookSync` are two of the kind.
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

`no_book`: it waits in a buffer or (Bybit) for a snapshot. `broken_chain`: it does not follow what
waits, which is given up; the buffer starts with it. `out_of_date`: the snapshot at hand holds it. A
`Reason`: it could not be read, while there was no book to lose.
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
"""Why a book was withdrawn, or (`overflow`) what waited for one.

`contradiction`: a fresh snapshot, brought up to date, differs from the book.
"""

NeedReason = Literal["start", "lost", "edge", "stale_snapshot", "bad_snapshot", "overflow"]
"""Why a snapshot is asked for."""


class Synced(msgspec.Struct, frozen=True, gc=False):
    """The book stands: `update` is the whole of it, as a snapshot."""

    update: BookUpdate


class Applied(msgspec.Struct, frozen=True, gc=False):
    """A message changed the book; `update` holds only levels within the known range."""

    update: BookUpdate


class Widened(msgspec.Struct, frozen=True, gc=False):
    """A fresh snapshot showed more of the book; `update` holds the levels that it added."""

    update: BookUpdate


class Dropped(msgspec.Struct, frozen=True, gc=False):
    """A message that changed no book."""

    reason: DropReason
    detail: str


class OutOfSync(msgspec.Struct, frozen=True, gc=False):
    """The book was withdrawn: until `Synced` comes, nobody gets a price from it."""

    reason: LossReason
    detail: str


class NeedSnapshot(msgspec.Struct, frozen=True, gc=False):
    """A whole book is needed: from REST (Binance) or by subscribing anew (Bybit)."""

    reason: NeedReason


Event = Synced | Applied | Widened | Dropped | OutOfSync | NeedSnapshot

BeforeChange = Callable[[int], None]
"""Called with the exchange time (ms) of each message that counts, before it changes anything."""


BeforeGap = Callable[[], None]
"""Called before that where the message tells that others before it are missing."""


def nothing(*_: int) -> None:
    """Look at nothing: the default of both."""


class BookSync(Protocol):
    """A symbol's book as its messages come.

    Whoever samples the book sets `before_change` and looks at `book` from there: it is then as it
    was before the message.
    """

    symbol: str
    before_change: BeforeChange
    before_gap: BeforeGap

    @property
    def book(self) -> OrderBook | None:
        """The book, or `None` while it is out of sync."""

    @property
    def last_update_id(self) -> int:
        """Id of the last change the book holds; -1 without a book."""

    def connected(self) -> list[Event]:
        """A stream was opened; what came before it is over."""

    def disconnected(self) -> list[Event]:
        """The stream ended."""

    def receive(self, message: Any) -> list[Event]:
        """Take a decoded message of this venue's stream."""

    def refuse(self, error: MessageError) -> list[Event]:
        """Take note of a message that could not be read: what it held is lost."""
