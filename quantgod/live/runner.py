"""Run a live session: books, feed, engine, models, drift, journal and status view."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from quantgod.contracts import MS_PER_MINUTE, Floats
from quantgod.contracts.minute_rows import KEPT_MINUTES
from quantgod.contracts.model_notices import ModelNotice
from quantgod.contracts.prediction import Prediction
from quantgod.live.deployment.deployment import Deployment, models_of
from quantgod.live.drift.monitor import DriftMonitor
from quantgod.live.drift.watch import DriftWatch, Metrics
from quantgod.live.engine.engine import Engine
from quantgod.live.engine.history import History, read_history
from quantgod.live.engine.moving_weights import SymbolWeights
from quantgod.live.engine.needs import missing
from quantgod.live.engine.question import Model
from quantgod.live.engine.sources import read_sources
from quantgod.live.engine.window import Window
from quantgod.live.feed.feed import Feed
from quantgod.live.feed.state import BookState
from quantgod.live.journal import BARS, DRIFT, EVENTS, SIGNALS, VOTES, Journal
from quantgod.live.journal.model_events import journaled
from quantgod.live.listener import LEVELS, LiveListener, log_journal
from quantgod.live.session import SEAL_SECONDS, run_together, stopped_by_signals
from quantgod.live.view.lag import LoopLag
from quantgod.live.view.logs import say
from quantgod.live.view.overview import (
    answer_metrics,
    history_in_words,
    journal_in_words,
    minute_in_words,
    minute_metrics,
    minute_values,
    symbol_status,
    trouble_of,
    votes_metrics,
    warming_in_words,
)
from quantgod.live.view.status import Status, SymbolStatus, cold_in_words
from quantgod.live.view.status_file import keep_status
from quantgod.live.view.terminal import show
from quantgod.market.binance import MARKET
from quantgod.market.book_bars import BookBars, LastBefore
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.minute_bars import compile_kernel
from quantgod.served.features import sets
from quantgod.settings import FeedSettings, Settings
from quantgod.simulation.archives import MINUTES_PER_DAY, start_ms

TABLES = {
    "BARS": BARS,
    "VOTES": VOTES,
    "SIGNALS": SIGNALS,
    "DRIFT": DRIFT,
    "EVENTS": EVENTS,
}
"""In the order in which a flush writes them: votes before signals."""


class Outcome(NamedTuple):
    """The end of a session: its signal, if any, the last versions, and counts."""

    ended_by: str
    answered: str
    signals: int


def _unheard(_versions: str) -> None:
    """Ignore the versions."""


async def run_live(
    settings: Settings,
    feed_settings: FeedSettings,
    console: Console,
    track: Metrics,
    started: Callable[[str], None] = _unheard,
) -> Outcome:
    """Run until a signal, `live.max_candles`, or an error.

    Args:
        settings: all settings.
        feed_settings: addresses of the venue; the simulated one has its own.
        console: for the status view.
        track: takes metrics by epoch minute; it must be fast.
        started: called with the first versions, in a thread.

    Raises:
        NoModelError, NoSuchVersionError: if there is no model to start with.
        OtherSeriesError: if a symbol's model is of another series.
        JournalLocked: if another session writes to the journal.
    """
    stop = asyncio.Event()
    names = models_of(settings, settings.live.symbols).values()
    asked = ", ".join(f"{name}@{settings.registry.alias}" for name in names)
    say(logging.INFO, "starting", f"{asked} on {settings.live.exchange}: being loaded")
    live = settings.live
    with (
        stopped_by_signals(stop) as signals,
        Journal(live.own_journal, TABLES, live.journaling, log_journal, live.exchange) as journal,
    ):
        session = LiveSession(settings, feed_settings, journal, track, started)
        try:
            answered = await session.run(stop, console)
        finally:
            await asyncio.to_thread(journal.close, SEAL_SECONDS)
    signalled = journal.acknowledged("SIGNALS")  # complete after closing
    return Outcome(signals[0] if signals else "max_candles", answered, signalled)


class LiveSession:
    """All parts of one session."""

    def __init__(
        self,
        settings: Settings,
        feed_settings: FeedSettings,
        journal: Journal,
        track: Metrics,
        started: Callable[[str], None],
    ) -> None:
        self._settings, self._feed_settings = settings, feed_settings
        self._journal, self._track, self._started = journal, track, started
        self._report = journaled(journal, _log_model)
        self._lag = LoopLag()
        self._bridge = settings.etl.max_bridge_minutes
        self._weights = {
            symbol: SymbolWeights(symbol, journal.folder, self._bridge)
            for symbol in settings.live.symbols
        }
        parts = settings.live.copies, self._report
        self._deployments = {
            symbol: Deployment(settings, symbol, *parts, loaded=weights.remember)
            for symbol, weights in self._weights.items()
        }

    async def run(self, stop: asyncio.Event, console: Console) -> str:
        """Load the models, then run until `stop` is set or `live.max_candles` is reached.

        Returns:
            The last versions in words.
        """
        await run_together([self._prepare()], stop)
        if stop.is_set():
            return "no version"
        parts = [
            self._feed.run(),
            self._engine.run(),
            *(one.run() for one in self._deployments.values()),
            self._lag.run(),
            self._stop_when_done(stop),
            show(self.status, self._settings.live.log, console),
            keep_status(self.status, self._journal.folder),
        ]
        try:
            await run_together(parts, stop)
        finally:
            await self._watch.finish()
        answered = {name: state.version for name, state in self._engine.symbols.items()}
        if not any(answered.values()):
            return f"{self._in_words(self._champions())}, which had nothing to answer"
        return self._in_words(answered)

    async def _prepare(self) -> None:
        starting = [one.start() for one in self._deployments.values()]
        await run_together(starting, asyncio.Event())
        await asyncio.to_thread(self._started, self._in_words(self._champions()))
        say(logging.INFO, "starting", "compiling the kernel, reading the history")
        await asyncio.to_thread(compile_kernel)
        await self._build()

    async def _build(self) -> None:
        settings, live = self._settings, self._settings.live
        monitor = DriftMonitor(live.drift)
        watch = DriftWatch(monitor, self._journal, self._track)
        books, windows = {}, {}
        journal, since = self._journal.folder, _oldest_needed(settings)
        store = live.history and live.history / MARKET
        for symbol in live.symbols:
            past = await asyncio.to_thread(read_history, symbol, journal, store, since)
            windows[symbol] = await asyncio.to_thread(self._window, symbol, past, store)
            # Bars of another venue are not this one's past.
            own = await asyncio.to_thread(read_history, symbol, journal, None, since)
            monitor.remember(symbol, own.rows)
            self._weights[symbol].closes.fill(own.minutes, own.close)
            books[symbol] = BookBars(
                BinanceBookSync(symbol, live.feed.buffer_events),
                settings.etl.max_silence_seconds,
                self._bridge,
                self._told(symbol, past),
                settings.snapshots.shape,
            )
        self._watch = watch
        self._engine = Engine(
            windows,
            self._deployments,
            self._journal,
            self._report,
            on_row=self._on_row,
            max_candles=live.max_candles,
            weights=self._weights,
        )
        self._tell_warming()
        self._listener = LiveListener(self._engine, self._journal)
        self._feed = Feed(self._feed_settings, books, self._listener)

    def _window(self, symbol: str, past: History, store: Path | None) -> Window:
        """Return a window with all that is known of its rows; called in a thread."""
        window, span = Window(self._bridge), _span_of_sources(self._settings)
        window.fill(past.rows, read_sources(symbol, self._journal.folder, store, *span))
        return window

    def _tell_warming(self) -> None:
        for symbol, state in self._engine.symbols.items():
            if state.warming:
                version = self._deployments[symbol].champion().version
                text = warming_in_words(state.missing, state.warming, version)
                say(logging.WARNING, "features_awaited", f"{symbol}: {text}", symbol=symbol)
            if state.cold:
                text = f"{symbol}: {cold_in_words(state.cold)}"
                say(logging.WARNING, "members_awaited", text, symbol=symbol)

    def status(self) -> Status:
        """How everything is."""
        feed, live = self._feed.state, self._settings.live
        return Status(
            title=f"quantgod live on {live.exchange}",
            symbols=tuple(map(self._symbol_status, self._engine.symbols)),
            loop_lag_ms=self._lag.quantile(0.99) * 1e3,
            journal=journal_in_words(self._journal.state()),
            model="; ".join(dict.fromkeys(one.describe() for one in self._deployments.values())),
            note=trouble_of(feed, self._listener.last_trouble),
        )

    def _symbol_status(self, symbol: str) -> SymbolStatus:
        state, deployed = self._engine.symbols[symbol], self._deployments[symbol]
        words = self._watch.words.get(symbol, "")
        version, shadow = deployed.numbers()
        return replace(
            symbol_status(symbol, self._book(symbol), state, words),
            model=deployed.name,
            version=version,
            shadow=shadow,
            verdicts=self._watch.verdicts.get(symbol, {}),
        )

    def _book(self, symbol: str) -> BookState:
        """Return a book's state; a simulated venue's clock is in another year."""
        state = self._feed.state.symbols[symbol]
        simulated = self._settings.live.exchange == "simulated"
        return replace(state, lag_ms=None) if simulated else state

    def _champions(self) -> dict[str, int | None]:
        return {symbol: one.champion().version for symbol, one in self._deployments.items()}

    def _told(self, symbol: str, past: History) -> LastBefore:
        """Return the last minute of a past, and report if it ended too early to continue."""
        champion, bridge = self._deployments[symbol].champion(), self._bridge
        needed = missing(Window(bridge, kept=1), champion)

        def last_before(minute: int) -> tuple[int, float] | None:
            found = past.last_before(minute)
            if found is not None and minute - found[0] - 1 > bridge:
                text = history_in_words(found[0], minute, bridge, needed)
                say(logging.WARNING, "history_ended", f"{symbol}: {text}", symbol=symbol)
            return found

        return last_before

    def _in_words(self, versions: Mapping[str, int | None]) -> str:
        """Return versions in words: `quantgod 3`, with symbols if there are several."""
        told = [
            f"{self._deployments[symbol].name} {version}" + f" ({symbol})" * (len(versions) > 1)
            for symbol, version in versions.items()
            if version is not None
        ]
        return ", ".join(told) or "no version"

    async def _stop_when_done(self, stop: asyncio.Event) -> None:
        await self._engine.done.wait()
        stop.set()

    def _on_row(
        self, symbol: str, minute: int, features: Floats, said: Prediction | None, model: Model
    ) -> None:
        engine = self._engine.symbols[symbol]
        told = symbol, minute, engine, said, model.version
        say(logging.INFO, "minute", minute_in_words(*told), **minute_values(*told))
        kept = minute_metrics(minute, self._book(symbol), engine)
        kept |= {} if said is None else answer_metrics(said)
        kept |= votes_metrics(engine.panel, minute)
        kept["loop_lag_ms"] = self._lag.quantile(0.99) * 1e3
        self._track({f"{symbol}/{name}": value for name, value in kept.items()}, minute)
        self._watch.on_row(symbol, minute, features, said, model, engine.panel)


def _span_of_sources(settings: Settings) -> tuple[int, int]:
    """Return the epoch minutes from which and before which levels and seconds may be needed.

    A window and what the features of its first row look back at lie before the first live minute:
    now, or in the last simulated day, which the simulated exchange plays.
    """
    now = int(time.time()) // 60
    if settings.live.exchange == "simulated":
        last_day = (settings.simulate.days - 1) * MINUTES_PER_DAY
        now = start_ms(settings.simulate) // MS_PER_MINUTE + last_day
    return now - KEPT_MINUTES - sets.REACH, now + MINUTES_PER_DAY


def _oldest_needed(settings: Settings) -> int | None:
    """Return the epoch minute from which a real venue's journal is needed."""
    if settings.live.exchange == "simulated":
        return None
    drift = settings.live.drift
    return int(time.time()) // 60 - max(KEPT_MINUTES, drift.past_minutes + drift.window_minutes)


def _log_model(notice: ModelNotice) -> None:
    say(LEVELS[notice.level], notice.code, notice.text, symbol=notice.symbol)
