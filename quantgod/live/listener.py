"""Pass a feed's results to journal, log and engine."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from quantgod.contracts.row_sink import RowSink
from quantgod.live.driving import RawKind
from quantgod.live.feed.notices import Notice
from quantgod.live.journal import JournalNotice
from quantgod.live.view.logs import say
from quantgod.market.book_bars import ClosedMinute, Effect
from quantgod.market.minute_bars import MinuteBar
from quantgod.market.sync_events import Event, Extension, NeedSnapshot, OutOfSync, Sync

LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class MinuteListener(Protocol):
    """Takes closed minutes; `Engine` implements it."""

    def closed(self, symbol: str, closed: ClosedMinute, received: float) -> None:
        """Take a closed minute."""


class LiveListener:
    """Implements `feed.FeedListener`."""

    def __init__(self, engine: MinuteListener, journal: RowSink) -> None:
        self.last_trouble = ""
        self._engine = engine
        self._journal = journal

    def raw(self, symbol: str, kind: RawKind, received_ns: int, data: bytes) -> None:
        """Ignore raw messages, which only `collect` records."""

    def taken(self, symbol: str, taken: Effect, received: float) -> None:
        """Report events of the book, and pass closed minutes to the engine."""
        for event in taken.events:
            line = told(event)
            if line is not None:
                self._tell(symbol, *line)
        for closed in taken.closed:
            self._engine.closed(symbol, closed, received)
        if rowless := [one.bar for one in taken.closed if one.bar.features is None]:
            self._log(logging.INFO, "no_row", f"{symbol}: {_absent(rowless)}", symbol)

    def notice(self, notice: Notice) -> None:
        """Report a notice of a connection."""
        symbols = ",".join(notice.symbols)
        self._record(symbols, "connection", notice.code, notice.text)
        self._log(LEVELS[notice.level], notice.code, notice.text, symbols)

    def _tell(self, symbol: str, level: int, code: str, ts: int | None, text: str) -> None:
        self._record(symbol, "book", code, text, ts)
        self._log(level, code, f"{symbol}: {text}", symbol)

    def _log(self, level: int, code: str, text: str, symbol: str) -> None:
        say(level, code, text, symbol=symbol)
        if level >= logging.WARNING:
            self.last_trouble = f"{datetime.now(UTC):%H:%M:%S} {code}: {text}"

    def _record(
        self, symbol: str, kind: str, code: str, detail: str, ts: int | None = None
    ) -> None:
        row = {"received_ns": time.time_ns(), "ts_ms": ts, "symbol": symbol, "kind": kind}
        self._journal.append("EVENTS", row | {"code": code, "detail": detail})


def log_journal(notice: JournalNotice) -> None:
    """Log a journal's notice; called in its threads."""
    say(LEVELS[notice.level], notice.code, notice.text)


def told(event: Event) -> tuple[int, str, int | None, str] | None:
    """Return level, code, exchange time and text of an event to log, or None."""
    if isinstance(event, OutOfSync):
        # The end of a stream is reported, with its reason, by a notice of its connection.
        level = logging.INFO if event.reason == "disconnected" else logging.WARNING
        return level, event.reason, None, f"the book is withdrawn: {event.detail}"
    if isinstance(event, Sync):
        update = event.update
        shown = f"{len(update.bids)} bids and {len(update.asks)} asks known"
        return logging.INFO, "synced", update.ts, f"the book stands, {shown}"
    if isinstance(event, Extension):
        return logging.INFO, "widened", event.update.ts, "a fresh snapshot widened the known range"
    if isinstance(event, NeedSnapshot):
        return logging.INFO, "need_snapshot", None, f"a snapshot is asked for: {event.reason}"
    return None


def _absent(bars: Sequence[MinuteBar]) -> str:
    """Describe minutes that closed without a row, with reasons: one, or the first and last."""
    ends = (datetime.fromtimestamp(bar.minute * 60, UTC) for bar in (bars[0], bars[-1]))
    first, last = (f"{end:%m-%d %H:%M}" for end in ends)
    reasons = ", ".join(dict.fromkeys(bar.reason for bar in bars))
    if len(bars) == 1:
        return f"{first} has no row: {reasons}"
    return f"{len(bars)} minutes from {first} to {last} have no row: {reasons}"
