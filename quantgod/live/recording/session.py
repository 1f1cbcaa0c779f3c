"""Run a recording session: the live feed with a recorder in place of the engine."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import NamedTuple

from rich.console import Console

from quantgod.live.engine.block import block_of
from quantgod.live.feed.feed import Feed
from quantgod.live.feed.notices import Notice
from quantgod.live.feed.state import BookState
from quantgod.live.journal import Journal
from quantgod.live.listener import LEVELS, log_journal, told
from quantgod.live.recording.recorder import Recorder, recording_tables
from quantgod.live.session import SEAL_SECONDS, run_together, stopped_by_signals
from quantgod.live.view.lag import LoopLag
from quantgod.live.view.logs import say
from quantgod.live.view.overview import book_in_words, journal_in_words, trouble_of
from quantgod.live.view.status import Status, SymbolStatus
from quantgod.live.view.terminal import show
from quantgod.market.book_bars import BookBars, Effect
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.minute_bars import compile_kernel
from quantgod.settings import FeedSettings, Settings


class CollectResult(NamedTuple):
    """The numbers of written rows, and the signal that ended the session."""

    messages: int
    levels: int
    ended_by: str


async def run_collect(
    settings: Settings, feed_settings: FeedSettings, console: Console
) -> CollectResult:
    """Record until a signal or an error.

    Args:
        settings: all settings.
        feed_settings: addresses of the venue; the simulated one has its own.
        console: for the status view.

    Raises:
        JournalLocked: if another session records to the same folder.
    """
    stop, live = asyncio.Event(), settings.live
    folder = live.own_recordings
    tables = recording_tables(live.collect)
    with (
        stopped_by_signals(stop) as signals,
        Journal(folder, tables, live.journaling, log_journal, live.exchange) as journal,
    ):
        session = CollectSession(settings, feed_settings, journal)
        try:
            await session.run(stop, console)
        finally:
            await asyncio.to_thread(journal.close, SEAL_SECONDS)
    written = journal.acknowledged
    return CollectResult(written("RAW"), written("LEVELS"), signals[0] if signals else "itself")


class CollectSession:
    """Books, feed and recorder of one session."""

    def __init__(self, settings: Settings, feed_settings: FeedSettings, journal: Journal) -> None:
        live, etl = settings.live, settings.etl
        books = {
            symbol: BookBars(
                BinanceBookSync(symbol, feed_settings.buffer_events),
                etl.max_silence_seconds,
                etl.max_bridge_minutes,
                shape=settings.snapshots.shape,
            )
            for symbol in live.symbols
        }
        self._live, self._journal = live, journal
        self._listener = _LoggedRecorder(Recorder(journal, books, live.collect))
        self._feed = Feed(feed_settings, books, self._listener)
        self._lag = LoopLag()

    async def run(self, stop: asyncio.Event, console: Console) -> None:
        """Record until `stop` is set."""
        await asyncio.to_thread(compile_kernel)
        view = show(self.status, self._live.log, console)
        await run_together([self._feed.run(), self._lag.run(), view], stop)

    def status(self) -> Status:
        """Return the present status."""
        feed = self._feed.state
        return Status(
            title=f"quantgod collect on {self._live.exchange}",
            symbols=tuple(self._symbol_status(name, book) for name, book in feed.symbols.items()),
            loop_lag_ms=self._lag.quantile(0.99) * 1e3,
            journal=journal_in_words(self._journal.state()),
            note=trouble_of(feed, self._listener.last_trouble),
        )

    def _symbol_status(self, symbol: str, book: BookState) -> SymbolStatus:
        blockless = self._listener.blockless[symbol]
        words, known = book_in_words(book, blockless), (book.is_synced, book.lag_ms)
        return SymbolStatus(symbol, words, *known, "", 0, "", blockless=blockless)


class _LoggedRecorder:
    """A recorder that also logs events of books and connections, and counts minutes' blocks."""

    def __init__(self, recorder: Recorder) -> None:
        self.last_trouble = ""
        self.blockless: Counter[str] = Counter()
        self.raw = recorder.raw
        self._recorder = recorder

    def taken(self, symbol: str, taken: Effect, received: float) -> None:
        self._recorder.taken(symbol, taken, received)
        for closed in taken.closed:
            if closed.bar.features is not None and block_of(closed.snapshots).lacks:
                self.blockless[symbol] += 1
        for event in taken.events:
            line = told(event)
            if line is not None:
                level, code, _, text = line
                self._log(level, code, f"{symbol}: {text}", symbol)

    def notice(self, notice: Notice) -> None:
        self._recorder.notice(notice)
        self._log(LEVELS[notice.level], notice.code, notice.text, ",".join(notice.symbols))

    def _log(self, level: int, code: str, text: str, symbol: str) -> None:
        say(level, code, text, symbol=symbol)
        if level >= logging.WARNING:
            self.last_trouble = f"{code}: {text}"
