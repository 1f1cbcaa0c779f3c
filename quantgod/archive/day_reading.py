"""The result of reading an archive: rows, consistent counts, and the state to continue from.

Every archive ends as a `DayReading`, maybe with recorded gaps, or as a `Quarantine` with a reason.
The number of lines always equals applied plus rejected lines.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from quantgod.archive.source import KERNEL_VERSION, Quarantine, SourceKey
from quantgod.contracts import (
    BOOK_LEVELS,
    FEATURES,
    MS_PER_DAY,
    MS_PER_MINUTE,
    SECOND_FIGURES,
    Floats,
    Integers,
    Level,
)
from quantgod.market.minute_bars import MinuteBar
from quantgod.market.minute_kernel import FLOATS, INTEGERS
from quantgod.market.stops import levels_of
from quantgod.settings import ArchiveLimits

CORRUPT_REASONS: Final = ("corrupt_json", "bad_number", "wrong_symbol", "bad_time", "bad_type")
"""Rejections that lose content: the book is invalid after them until the next snapshot."""

SEQUENCE_REASONS: Final = ("stale", "gap", "no_book")
"""Rejections of valid messages that the book could not use."""

KEPT_LINES: Final = 20
"""Number of rejected lines that a reading lists; the others are only counted."""

MARGIN_MS: Final = 3_600_000
"""How far outside its nominal day a message may lie."""

# If most of its first lines are corrupt, the rest of a file is not better.
_EARLY_LINES: Final = 1_000


@dataclass(frozen=True, eq=False)
class Carry:
    """The state at the end of a reading, from which the next archive continues.

    `bids` and `asks` are (levels, 2) of price and size, best first, empty while the book is
    invalid. `integers` and `floats` are the minute kernel's. Equal states give equal bytes.
    """

    symbol: str
    has_book: bool
    last_update_id: int
    bids: Floats
    asks: Floats
    integers: Integers
    floats: Floats

    def to_bytes(self) -> bytes:
        """Return the state as msgpack, with arrays as little-endian bytes."""
        return _pack(
            _PackedCarry(
                KERNEL_VERSION,
                self.symbol,
                self.has_book,
                self.last_update_id,
                self.bids.astype("<f8").tobytes(),
                self.asks.astype("<f8").tobytes(),
                self.integers.astype("<i8").tobytes(),
                self.floats.astype("<f8").tobytes(),
            )
        )

    @classmethod
    def from_bytes(cls, packed: bytes) -> Carry:
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: for bytes of another kind or kernel version.
        """
        try:
            carry = _unpack(packed)
            version = carry.version
            bids, asks = (
                np.frombuffer(side, dtype="<f8").astype(np.float64).reshape(-1, 2)
                for side in (carry.bids, carry.asks)
            )
            integers = np.frombuffer(carry.integers, dtype="<i8").astype(np.int64)
            floats = np.frombuffer(carry.floats, dtype="<f8").astype(np.float64)
        except (msgspec.DecodeError, ValueError) as error:
            raise ValueError(f"a packed carry was expected: {error}") from None
        if version != KERNEL_VERSION or len(integers) != INTEGERS or len(floats) != FLOATS:
            raise ValueError(f"a carry of kernel {KERNEL_VERSION} was expected, got {version}")
        return cls(carry.symbol, carry.has_book, carry.last_update_id, bids, asks, integers, floats)


class _PackedCarry(msgspec.Struct):
    version: int
    symbol: str
    has_book: bool
    last_update_id: int
    bids: bytes
    asks: bytes
    integers: bytes
    floats: bytes


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_PackedCarry).decode


@dataclass(frozen=True, eq=False)
class DayReading:
    """The result of reading one archive.

    Attributes:
        source: identity of the archive.
        depth: levels per side in the first usable message's topic; 0 if it names none.
        minutes: epoch minutes of the rows, int64 [n], rising.
        features: float64 [n, 9] in `contracts.FEATURES` order.
        seconds: float64 [n, 12] in `contracts.SECOND_FIGURES` order.
        close: float64 [n].
        book: float64 [n, 800] in `contracts.BOOK_COLUMNS` order; NaN price, zero size where no
            level.
        lines: number of non-blank lines; `applied + sum(rejected.values())`.
        applied: number of messages applied to the book.
        out_of_order: how many of these came after their second had passed.
        rejected: lines not applied, by reason.
        rejected_lines: the first 20 of them: number (from 1, without blank lines) and reason.
        dropped: minutes without a row, with reasons, rising.
        first_minute: the minute of the first message; None if there was none.
        first_close_minute: the first validly closed minute, with or without a row; None if there is
            none. After it, readings with and without carry agree.
        closed_through: the last closed minute; None if there is none.
        carry: the state at the end.
    """

    symbol: str
    date: dt.date
    source: SourceKey
    depth: int
    minutes: Integers
    features: Floats
    seconds: Floats
    close: Floats
    book: Floats
    lines: int
    applied: int
    out_of_order: int
    rejected: dict[str, int]
    rejected_lines: list[tuple[int, str]]
    dropped: list[tuple[int, str]]
    first_minute: int | None
    first_close_minute: int | None
    closed_through: int | None
    carry: Carry


@dataclass
class Ledger:
    """Collects counts and rows while an archive is read; `rejected_lines` has a limit."""

    lines: int = 0
    applied: int = 0
    out_of_order: int = 0
    depth: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    rejected_lines: list[tuple[int, str]] = field(default_factory=list)
    first_corrupt_line: int | None = None
    dropped: list[tuple[int, str]] = field(default_factory=list)
    first_minute: int | None = None
    first_close_minute: int | None = None
    closed_through: int | None = None
    closed_validly: bool = False
    minutes: list[int] = field(default_factory=list)
    rows: list[Floats] = field(default_factory=list)
    seconds: list[Floats] = field(default_factory=list)
    closes: list[float] = field(default_factory=list)
    books: list[Floats] = field(default_factory=list)

    def reject(self, reason: str) -> None:
        """Count the present line as rejected."""
        self.rejected[reason] += 1
        if len(self.rejected_lines) < KEPT_LINES:
            self.rejected_lines.append((self.lines, reason))
        if self.first_corrupt_line is None and reason in CORRUPT_REASONS:
            self.first_corrupt_line = self.lines

    def begin(self, ts: int) -> None:
        """Record the time (ms) of a message; only the first one counts."""
        if self.first_minute is None:
            self.first_minute = ts // MS_PER_MINUTE

    def close(self, bar: MinuteBar, book: Floats | None) -> None:
        """Take a closed minute, with the 800 columns of its book if it has a row."""
        self.closed_through = bar.minute
        self.closed_validly = bar.reason in ("", "no_previous_close")
        if self.first_close_minute is None and self.closed_validly:
            self.first_close_minute = bar.minute
        if bar.features is None or bar.seconds is None or book is None:
            self.dropped.append((bar.minute, bar.reason))
            return
        self.minutes.append(bar.minute)
        self.rows.append(bar.features)
        self.seconds.append(bar.seconds)
        self.closes.append(bar.close)
        self.books.append(book)

    def stops_at(self, stop_minute: int | None) -> bool:
        """Return whether the last close was valid and at or after `stop_minute`."""
        if stop_minute is None or self.closed_through is None:
            return False
        return self.closed_validly and self.closed_through >= stop_minute

    def give_up_early(self) -> None:
        """Quarantine a file as soon as most of its first lines are corrupt."""
        corrupt = sum(self.rejected[reason] for reason in CORRUPT_REASONS)
        if corrupt >= _EARLY_LINES and 2 * corrupt > self.lines:
            raise self._too_corrupt(corrupt)

    def check(self, limits: ArchiveLimits) -> None:
        """Quarantine a completely read file that is empty or has too many corrupt lines."""
        if self.lines == 0:
            raise Quarantine("empty", "the member holds no line")
        corrupt = sum(self.rejected[reason] for reason in CORRUPT_REASONS)
        if corrupt > limits.corrupt_fraction * self.lines:
            raise self._too_corrupt(corrupt)

    def _too_corrupt(self, corrupt: int) -> Quarantine:
        reason = max(CORRUPT_REASONS, key=lambda name: self.rejected[name])
        first = self.first_corrupt_line
        return Quarantine(
            reason, f"{corrupt} of {self.lines} lines are corrupt, first line {first}"
        )

    def reading(self, symbol: str, date: dt.date, source: SourceKey, carry: Carry) -> DayReading:
        """Return the whole reading."""
        return DayReading(
            symbol=symbol,
            date=date,
            source=source,
            depth=self.depth,
            minutes=np.array(self.minutes, dtype=np.int64),
            features=np.array(self.rows).reshape(-1, len(FEATURES)),
            seconds=np.array(self.seconds).reshape(-1, len(SECOND_FIGURES)),
            close=np.array(self.closes, dtype=np.float64),
            book=np.array(self.books).reshape(-1, 4 * BOOK_LEVELS),
            lines=self.lines,
            applied=self.applied,
            out_of_order=self.out_of_order,
            rejected={reason: count for reason, count in sorted(self.rejected.items()) if count},
            rejected_lines=self.rejected_lines,
            dropped=self.dropped,
            first_minute=self.first_minute,
            first_close_minute=self.first_close_minute,
            closed_through=self.closed_through,
            carry=carry,
        )


def book_row(bids: list[Level], asks: list[Level]) -> Floats:
    """Return the 800 book columns of levels, best first; missing ones have NaN price, zero size."""
    return levels_of(bids, asks, BOOK_LEVELS).reshape(-1)


def time_bounds(date: dt.date) -> tuple[int, int]:
    """Return the first and last `ts` (ms) that a message of `date` may have."""
    midnight = int(dt.datetime.combine(date, dt.time(), dt.UTC).timestamp()) * 1_000
    return midnight - MARGIN_MS, midnight + MS_PER_DAY + MARGIN_MS - 1
