"""The readable reader of an archive: msgspec and dictionaries, one message at a time.

It states the message and minute rules in plain code. The fast reader must give the same bits, and
hands over to this one what it cannot hold. The rules:

1. Time is `ts`. The clock (the open second) never goes back: a message of an earlier second still
   goes into the book, is counted `out_of_order`, and adds nothing to the minute's message count.
2. A delta applies when its `u` is the last one plus one. A greater `u` is a gap: the message is
   rejected and the book is invalid until the next snapshot; meanwhile deltas are rejected
   `no_book`. A smaller one is `stale` if it is an echo (`bybit.is_echo`): rejected, the book stays,
   the clock does not move; otherwise the venue counts anew, and that is a gap too. A snapshot
   always replaces the book; one whose `u` is neither the last, nor the next, nor 1 tells of a gap
   before it, unless it is the first message of its file. A gap touches the minute of the message
   before it, if that is still open, and the minute of the message that told of it. A file's first
   message may be the snapshot that the file before ended with (the same `u`): it adds nothing to
   the minute's message count.
3. A corrupt line (`reading.CORRUPT_REASONS`) marks the open minute, and the book is invalid until
   the next snapshot. It moves no clock: its time cannot be trusted.
4. After each applied message a crossed or one-sided book marks the open minute; the book goes on.
5. Minutes: `market.minute_bars`. A minute closes when a message of a later minute comes, or at the
   end of the file if its second 59 holds a message. Otherwise it stays open in the carry.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np

from quantgod.archive.day_reading import Carry, DayReading, Ledger, book_row, time_bounds
from quantgod.archive.zip_stream import lines, open_archive
from quantgod.contracts import BOOK_LEVELS, MS_PER_SECOND, BookUpdate, Floats, Level
from quantgod.market.book import OrderBook
from quantgod.market.bybit import RESTART_ID, decode, depth_of, is_echo
from quantgod.market.messages import MessageError
from quantgod.market.minute_bars import MinuteBar, MinuteBars
from quantgod.market.minute_kernel import CLOCK, CORRUPT, GAP, NO_BOOK
from quantgod.settings import EtlSettings


def read_archive_reference(
    path: Path,
    symbol: str,
    date: dt.date,
    settings: EtlSettings,
    carry: Carry | None = None,
    stop_minute: int | None = None,
) -> DayReading:
    """Read one day's archive into minute rows.

    Args:
        path: a zip with one NDJSON member.
        symbol: the symbol every message must name.
        date: the nominal UTC day; messages may lie up to an hour outside it.
        settings: limits, and the rules for silence and bridging.
        carry: the state at the end of the archive before, whose open minute, close and book go on.
        stop_minute: stop at the first minute at or after this one that closes validly; what would
            be checked at the end of the file (CRC, share of corrupt lines) is then not checked.

    Raises:
        Quarantine: when the archive must not be used.
        ValueError: when the carry belongs to another symbol.
    """
    reader = ReferenceReader(symbol, date, settings, carry)
    with open_archive(path, settings.limits) as archive:
        for line in lines(archive.chunks(), settings.limits.line_bytes):
            reader.take(line)
            if reader.ledger.stops_at(stop_minute):
                break
        else:
            reader.finish()
    return reader.ledger.reading(symbol, date, archive.key, reader.carry())


class ReferenceReader:
    """Takes the lines of one file, one at a time."""

    def __init__(
        self, symbol: str, date: dt.date, settings: EtlSettings, carry: Carry | None = None
    ) -> None:
        self.ledger = Ledger()
        self._symbol = symbol
        self._settings = settings
        self._bounds = time_bounds(date)
        self._book = OrderBook()
        self._has_book = False
        self._is_first = True
        self._last_id = -1
        self._bars = MinuteBars(settings.max_silence_seconds, settings.max_bridge_minutes)
        if carry is not None:
            self._resume(carry)

    def take(self, line: bytes | None) -> None:
        """Take one line; `None` stands for a line too long to be held."""
        self.ledger.lines += 1
        try:
            update = admit(line, self._symbol, self._bounds)
        except MessageError as error:
            self._refuse(error.reason)
            return
        if self.ledger.depth == 0 and line is not None:
            self.ledger.depth = depth_of(line)
        self._take_update(update)
        self._is_first = False

    def finish(self) -> None:
        """At the end of the file: close what can be closed, and judge the file as a whole."""
        self._close(self._bars.finish(self._valid_book))
        self.ledger.check(self._settings.limits)

    def carry(self) -> Carry:
        """The state as it now is."""
        bids, asks = self._book.top()
        integers, floats = self._bars.integers.copy(), self._bars.floats.copy()
        return Carry(
            self._symbol,
            self._has_book,
            self._last_id,
            _array(bids),
            _array(asks),
            integers,
            floats,
        )

    def _resume(self, carry: Carry) -> None:
        if carry.symbol != self._symbol:
            raise ValueError(f"a carry of {self._symbol} was expected, got {carry.symbol}")
        self._has_book, self._last_id = carry.has_book, carry.last_update_id
        self._book.replace(map(tuple, carry.bids.tolist()), map(tuple, carry.asks.tolist()))
        self._bars.integers[:] = carry.integers
        self._bars.floats[:] = carry.floats

    def _refuse(self, reason: str) -> None:
        self.ledger.reject(reason)
        self.ledger.give_up_early()
        self._bars.mark(CORRUPT)
        self._invalidate()

    def _take_update(self, update: BookUpdate) -> None:
        self.ledger.begin(update.ts)
        is_delta = not update.is_snapshot
        if is_delta and self._has_book and self._is_echo(update):
            self.ledger.reject("stale")
            return
        is_gap = self._has_book and not self._follows(update) if is_delta else self._jumps(update)
        if is_gap:
            self._bars.miss()
        self._close(self._bars.advance(update.ts, self._valid_book))
        if is_delta and not (self._has_book and self._follows(update)):
            self._reject("gap" if self._has_book else "no_book")
        else:
            if is_gap:
                self._bars.mark(GAP)
            self._apply(update)
        self._last_id = update.update_id

    def _reject(self, reason: str) -> None:
        self.ledger.reject(reason)
        self._bars.mark(GAP if reason == "gap" else NO_BOOK)
        self._invalidate()

    def _is_echo(self, delta: BookUpdate) -> bool:
        clock = int(self._bars.integers[CLOCK])
        return is_echo(delta.update_id, self._last_id, delta.ts // MS_PER_SECOND, clock)

    def _follows(self, update: BookUpdate) -> bool:
        return update.update_id == self._last_id + 1

    def _jumps(self, snapshot: BookUpdate) -> bool:
        """Whether a snapshot's id tells of messages that are missing before it."""
        known = (RESTART_ID, self._last_id, self._last_id + 1)
        return not self._is_first and snapshot.update_id not in known

    def _apply(self, update: BookUpdate) -> None:
        self._book.apply(update)
        self._has_book = True
        self.ledger.applied += 1
        is_repeated = self._is_first and update.is_snapshot and update.update_id == self._last_id
        if not self._bars.record(update.ts, self._book, is_new=not is_repeated):
            self.ledger.out_of_order += 1

    def _invalidate(self) -> None:
        self._has_book = False
        self._book.clear()

    @property
    def _valid_book(self) -> OrderBook | None:
        return self._book if self._has_book else None

    def _close(self, bars: list[MinuteBar]) -> None:
        for bar in bars:
            has_row = bar.features is not None
            row = book_row(*self._book.top(BOOK_LEVELS)) if has_row else None
            self.ledger.close(bar, row)


def admit(line: bytes | None, symbol: str, bounds: tuple[int, int]) -> BookUpdate:
    """Decode a line (`None`: one too long to be held) of a day with these bounds of `ts`.

    Raises:
        MessageError: for a line that counts as corrupt.
    """
    if line is None:
        raise MessageError("corrupt_json", "the line is too long")
    update = decode(line)
    if update.symbol != symbol:
        raise MessageError("wrong_symbol", f"{symbol} expected, got {update.symbol[:30]!r}")
    if not bounds[0] <= update.ts <= bounds[1]:
        raise MessageError("bad_time", f"ts {update.ts} lies outside {bounds}")
    return update


def _array(levels: list[Level]) -> Floats:
    return np.array(levels, dtype=np.float64).reshape(-1, 2)
