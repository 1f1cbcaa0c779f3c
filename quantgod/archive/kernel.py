"""The fast reader of an archive, bit for bit equal to the reference.

A compiled loop (`archive.loop`) reads bytes and comes back when a minute closes and when a line is
not of the known shape; such a line is decoded as the reference does it and then goes the same
compiled way. A file whose prices no dense book can hold is read by the reference from the start.
The reference also decodes a sample of the lines (`archive.sample`), and must find the same in them.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quantgod.archive import sample
from quantgod.archive.day_reading import KEPT_LINES, Carry, DayReading, Ledger, time_bounds
from quantgod.archive.dense_book import DenseBook, Unfit
from quantgod.archive.levels import (
    ASKS,
    BIDS,
    HIGH,
    IS_SNAPSHOT,
    LEVELS,
    LOW,
    MESSAGE_LENGTH,
    NO_HIGH,
    NO_LOW,
    TS,
    UPDATE_ID,
)
from quantgod.archive.loop import (
    APPLIED,
    CLOSED,
    DONE,
    FEED_LENGTH,
    HAS_BOOK,
    IS_FIRST,
    LAST_ID,
    LINES,
    OUT_OF_ORDER,
    REJECTED,
    SAMPLE,
    SAMPLED,
    Parsed,
    State,
    compiled_loop,
    jumps,
)
from quantgod.archive.parser import Bytes
from quantgod.archive.reference import admit, read_archive_reference
from quantgod.archive.zip_stream import is_blank, open_archive
from quantgod.contracts import BOOK_LEVELS, MS_PER_SECOND, BookUpdate, Floats, Integers
from quantgod.market.bybit import depth_of
from quantgod.market.messages import MessageError
from quantgod.market.minute_bars import MinuteBars
from quantgod.market.minute_kernel import CLOCK, CORRUPT
from quantgod.market.stops import Cuts, no_cuts
from quantgod.settings import EtlSettings


def read_archive(
    path: Path,
    symbol: str,
    date: dt.date,
    settings: EtlSettings,
    carry: Carry | None = None,
    stop_minute: int | None = None,
) -> DayReading:
    """Read one day's archive into minute rows; arguments and errors as `read_archive_reference`."""
    try:
        reader = FastReader(symbol, date, settings, carry, stop_minute)
        with open_archive(path, settings.limits) as archive:
            reader.read(archive.chunks())
        return reader.settled().reading(symbol, date, archive.key, reader.carry())
    except Unfit:
        return read_archive_reference(path, symbol, date, settings, carry, stop_minute)


class FastReader:
    """Reads the chunks of one file; `settled` and `carry` then tell what came of it."""

    def __init__(
        self,
        symbol: str,
        date: dt.date,
        settings: EtlSettings,
        carry: Carry | None,
        stop_minute: int | None,
        cuts: Cuts | None = None,
    ) -> None:
        self._symbol = symbol
        self._cuts = no_cuts() if cuts is None else cuts
        self._limits = settings.limits
        self._stop_minute = stop_minute
        self._bounds = time_bounds(date)
        self._ledger = Ledger()
        self._bars = MinuteBars(settings.max_silence_seconds, settings.max_bridge_minutes)
        self._book = DenseBook()
        self._rules: Integers = np.array(
            [
                settings.max_silence_seconds,
                settings.max_bridge_minutes,
                *self._bounds,
                settings.limits.line_bytes,
                sample.next_line(0),
            ]
        )
        self._feed: Integers = np.zeros(FEED_LENGTH, dtype=np.int64)
        self._feed[[LAST_ID, IS_FIRST]] = -1, True
        self._rejected_lines: Integers = np.zeros((KEPT_LINES, 2), dtype=np.int64)
        self._topic = _bytes(b'""')  # so the first line goes the slow way and tells its topic
        self._in_quotes = _bytes(f'"{symbol}"'.encode())
        self._parsed = _parsed(LEVELS)
        if carry is not None:
            self._resume(carry)
        self._state = self._shared_state()

    def read(self, chunks: Iterator[bytes]) -> None:
        """Read a stream to its end, or to the minute that stops the reading."""
        rest: bytes | None = (
            b""  # the line that has begun; None while an overlong one is thrown away
        )
        for chunk in chunks:
            first = chunk.find(b"\n") + 1
            if first:
                last = chunk.rfind(b"\n") + 1
                head = None if rest is None else rest + chunk[:first]
                if self._take_head(head) or self._take(chunk, first, last):
                    return
                rest = chunk[last:]
            elif rest is not None:
                rest += chunk
            if rest is not None and len(rest) > self._limits.line_bytes:
                rest = None
        if rest != b"" and self._take_head(None if rest is None else rest + b"\n"):
            return
        self._finish()

    def settled(self) -> Ledger:
        """The ledger, with what the compiled loop counted."""
        ledger, feed = self._ledger, self._feed
        ledger.lines = int(feed[LINES])
        ledger.applied, ledger.out_of_order = int(feed[APPLIED]), int(feed[OUT_OF_ORDER])
        counts = {reason: int(feed[place]) for place, reason in REJECTED.items()}
        ledger.rejected |= Counter(counts)
        known = self._rejected_lines[: sum(counts.values())].tolist()
        lines = {*ledger.rejected_lines, *((line, REJECTED[place]) for line, place in known)}
        ledger.rejected_lines = sorted(lines)[:KEPT_LINES]
        return ledger

    def carry(self) -> Carry:
        """The state as it now is."""
        bids, asks = self._book.levels()
        return Carry(
            self._symbol,
            bool(self._feed[HAS_BOOK]),
            int(self._feed[LAST_ID]),
            bids,
            asks,
            self._bars.integers.copy(),
            self._bars.floats.copy(),
        )

    def _resume(self, carry: Carry) -> None:
        if carry.symbol != self._symbol:
            raise ValueError(f"a carry of {self._symbol} was expected, got {carry.symbol}")
        self._feed[HAS_BOOK] = carry.has_book
        self._feed[LAST_ID] = carry.last_update_id
        self._book.replace(carry.bids, carry.asks)
        self._bars.integers[:] = carry.integers
        self._bars.floats[:] = carry.floats

    def _shared_state(self) -> State:
        bars, book, cuts = self._bars, self._book, self._cuts
        return State(
            self._rules,
            self._feed,
            self._rejected_lines,
            bars.integers,
            bars.floats,
            bars.row,
            book.sizes,
            book.edges,
            book.scale,
            cuts.moments,
            cuts.place,
            cuts.levels,
            cuts.is_there,
        )

    def _take_head(self, head: bytes | None) -> bool:
        """Take the one line that began in an earlier chunk; `None`: one too long to be held."""
        if head is None:
            return self._take_slowly(None)
        return self._take(head, 0, len(head))

    def _take(self, data: bytes, start: int, end: int) -> bool:
        """Take whole lines; True when the reading stops."""
        at = start
        while True:
            at, event = self._run(data, at, end)
            if event == DONE:
                return False
            newline = data.index(b"\n", at)
            if event == CLOSED:
                stops = self._close_line(data, at, newline + 1)
            else:
                stops = self._take_slowly(data[at:newline])
            if stops:
                return True
            at = newline + 1

    def _run(self, data: bytes, at: int, end: int) -> tuple[int, int]:
        """Run the compiled loop from a place in `data`; what it samples is compared on the way."""
        address, event = _bytes(data).ctypes.data, SAMPLED
        while event == SAMPLED:
            after, event = compiled_loop.take_lines(
                address + at, address + end, self._topic, self._in_quotes, self._state, self._parsed
            )
            at = after - address
            if event == SAMPLED:
                self._compare(data[data.rfind(b"\n", 0, at - 1) + 1 : at - 1])
        return at, event

    def _compare(self, line: bytes) -> None:
        """Let the reference decode the line that was taken last, and compare."""
        number = int(self._feed[LINES])
        self._rules[SAMPLE] = sample.next_line(number)
        sample.compare(line, number, self._symbol, self._bounds, self._parsed, self._book.scale)

    def _close_line(self, data: bytes, at: int, end: int) -> bool:
        """Go on with the one line that closed a minute; it may close several."""
        event = CLOSED
        while event == CLOSED:
            self._close()
            at, event = self._run(data, at, end)
        return self._ledger.stops_at(self._stop_minute)

    def _take_slowly(self, line: bytes | None) -> bool:
        """Take a line that the parser does not know, as the reference does; True to stop."""
        if line is not None and len(line) > self._limits.line_bytes:
            line = None
        if line is not None and is_blank(line):
            return False
        try:
            update = admit(line, self._symbol, self._bounds)
        except MessageError as error:
            self._refuse(error.reason)
            return self._ledger.stops_at(self._stop_minute)
        if self._ledger.depth == 0 and line is not None:
            self._learn_topic(depth_of(line))
        self._ledger.begin(update.ts)  # the first one comes here, since the topic is not known yet
        self._take_update(update)
        return self._ledger.stops_at(self._stop_minute)

    def _take_update(self, update: BookUpdate) -> None:
        if update.is_snapshot:
            # Making room for it may throw away the levels that are to be sampled.
            compiled_loop.settle(self._state, update.ts, update.update_id, 1)
            if jumps(self._feed, update.update_id):
                self._bars.miss()
            while compiled_loop.advance(self._state, update.ts // MS_PER_SECOND):
                self._close()
        parsed = self._parse(update)
        while compiled_loop.take(self._state, parsed):
            self._close()

    def _refuse(self, reason: str) -> None:
        self._feed[LINES] += 1
        self._ledger.lines = int(self._feed[LINES])
        self._ledger.reject(reason)
        self._ledger.give_up_early()
        self._bars.mark(CORRUPT)
        self._feed[HAS_BOOK] = False
        self._book.clear()

    def _learn_topic(self, depth: int) -> None:
        self._ledger.depth = depth
        if depth:
            self._topic = _bytes(f'"orderbook.{depth}.{self._symbol}"'.encode())

    def _parse(self, update: BookUpdate) -> Parsed:
        """Put a decoded message where the parser would have put it."""
        counts = len(update.bids), len(update.asks)
        parsed = _parsed(max(counts))
        levels = np.array(update.bids + update.asks, dtype=np.float64).reshape(sum(counts), 2)
        ticks = self._book.ticks(levels[:, 0], is_snapshot=update.is_snapshot)
        self._state = self._shared_state()
        for side, part in enumerate((slice(counts[0]), slice(counts[0], None))):
            parsed.ticks[side, : counts[side]] = ticks[part]
            parsed.sizes[side, : counts[side]] = levels[part, 1]
        message = parsed.message
        message[[TS, UPDATE_ID, IS_SNAPSHOT]] = update.ts, update.update_id, update.is_snapshot
        message[[BIDS, ASKS]] = counts
        message[[LOW, HIGH]] = ticks.min(initial=NO_LOW), ticks.max(initial=NO_HIGH)
        return parsed

    def _finish(self) -> None:
        clock = int(self._bars.integers[CLOCK])
        if self._bars.ends_minute and compiled_loop.advance(self._state, clock + 1):
            self._close()
        self.settled().check(self._limits)

    def _close(self) -> None:
        bar = self._bars.closed_bar()
        row = None if bar.features is None else self._top().reshape(-1)
        self._ledger.close(bar, row)

    def _top(self) -> Floats:
        levels = np.empty((2, BOOK_LEVELS, 2))
        book = self._book
        compiled_loop.top(book.sizes, book.edges, book.scale, levels)
        return levels


def _parsed(levels: int) -> Parsed:
    message: Integers = np.zeros(MESSAGE_LENGTH, dtype=np.int64)
    ticks: Integers = np.zeros((2, levels), dtype=np.int64)
    sizes: Floats = np.zeros((2, levels))
    return Parsed(message, ticks, sizes)


def _bytes(data: bytes) -> Bytes:
    return np.frombuffer(data, dtype=np.uint8)
