"""Keep one stream alive: reopen it, detect silence, renew it before the venue closes it.

A renewal opens a second connection before it leaves the first, and switches where their chains of
updates meet (`handover`), so that books are not interrupted. Always one connection is fed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from random import Random
from typing import Final, Protocol

from quantgod.live.feed.backoff import Backoff
from quantgod.live.feed.handover import Link, Position
from quantgod.live.feed.notices import Code, Level, Notice, address
from quantgod.live.feed.renewal import CatchUp, Renewal
from quantgod.live.feed.state import ConnectionState
from quantgod.live.feed.stream import Stream, StreamEnded
from quantgod.live.feed.weight import RequestBudget
from quantgod.settings import FeedSettings

LOOKS: Final = 10
"""Checks of the connections within the shortest relevant silence."""

SECONDS_PER_HOUR: Final = 3600.0


class Receiver(Protocol):
    """The receiver of messages: the books of a feed."""

    def opened(self) -> None:
        """Handle the opening of a stream."""

    def closed(self) -> None:
        """Handle the end of the stream without a successor."""

    def restart(self, symbol: str) -> None:
        """Start over with one symbol, whose stream is no longer reliable."""

    def take(self, symbol: str, data: bytes, received: float) -> bool:
        """Take a message; return whether it was a depth message of the symbol."""

    def symbols_of(self, data: bytes) -> Sequence[str]:
        """Return the symbols of a message."""

    def link(self, data: bytes) -> Link | None:
        """Return a message's place in its chain, without taking it; None if it has none."""

    def position(self, symbol: str) -> Position:
        """Return a book's position."""

    def notice(self, notice: Notice) -> None:
        """Take a notice about a connection."""

    def check(self) -> None:
        """Raise errors from elsewhere, so that they are not lost."""


class Connections:
    """Keeps the stream of `symbols` while `run` runs."""

    def __init__(
        self,
        settings: FeedSettings,
        symbols: Iterable[str],
        budget: RequestBudget,
        receiver: Receiver,
        random: Random,
    ) -> None:
        self.state = ConnectionState(address(settings.stream_url))
        self._settings, self._symbols = settings, tuple(symbols)
        self._budget, self._receiver = budget, receiver
        limits = settings.backoff_seconds, settings.backoff_limit_seconds
        self._backoff, self._renewals = Backoff(*limits, random), Backoff(*limits, random)
        self._look_seconds = min(settings.silent_seconds, settings.first_message_seconds) / LOOKS
        self._fed: Stream | None = None
        self._renewal: Renewal | None = None
        self._renew_from = float("-inf")
        self._catch_up = CatchUp(receiver.position)
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Keep the stream until cancelled; then close all connections."""
        try:
            while True:
                ended = await self._feed_until_lost()
                await asyncio.sleep(self._wait(self._backoff, ended))
        finally:
            await self._close()

    async def _feed_until_lost(self) -> StreamEnded:
        """Feed connections until one ends without a successor."""
        fed = self._fed = self._start()
        while True:
            await self._look_again(fed)
            now = time.monotonic()
            self._watch_renewal(now)
            fed = self._fed
            ended = fed.ended or fed.silence(now)
            if ended is None:
                self._watch_fed(fed, now)
                continue
            self._tell_end(ended)
            if self._renewal is None:
                self._drop(fed)
                self._fed = None
                return ended
            fed = self._give_over(fed, self._renewal, is_trusted=ended.code != "silence")

    async def _look_again(self, fed: Stream) -> None:
        """Wait for the end of a connection, or until the next check for silence."""
        tasks = {fed.task}
        if self._renewal is not None:
            tasks.add(self._renewal.stream.task)
        await asyncio.wait(tasks, timeout=self._look_seconds, return_when=asyncio.FIRST_COMPLETED)
        self._receiver.check()

    # Messages, in the order they came

    def _start(self) -> Stream:
        url = self._settings.stream_url
        return Stream(url, self._symbols, self._settings, self._on_open, self._on_message)

    def _on_open(self, stream: Stream) -> None:
        self.state.connects += 1
        if stream is self._fed:
            self.state.since = stream.since
            self._say("info", "connected", f"{self.state.url} is open")
            self._receiver.opened()

    def _on_message(self, stream: Stream, data: bytes, received: float) -> None:
        if stream is self._fed:
            for symbol in self._receiver.symbols_of(data):
                self._take(stream, symbol, data, received)
        elif self._renewal is not None and stream is self._renewal.stream:
            link = self._receiver.link(data)
            symbols = self._receiver.symbols_of(data)
            self._renewal.hold(data, received, [(symbol, link) for symbol in symbols])
        # Messages of a left connection are known from its successor.

    def _take(self, stream: Stream, symbol: str, data: bytes, received: float) -> None:
        catching_up = not self._catch_up.is_over
        if catching_up and self._catch_up.is_known(symbol, self._receiver.link(data)):
            stream.heard[symbol] = received
            return
        if not self._receiver.take(symbol, data, received):
            return
        stream.heard[symbol] = received
        if self._renewal is not None:
            self._renewal.note([symbol])
        if self.state.is_silent:
            self.state.is_silent = False
            self._say("info", "stream_speaks", f"depth comes from {self.state.url}")

    # The end of a connection

    def _drop(self, stream: Stream) -> None:
        """Leave a connection without an immediate successor."""
        self.state.since = None
        if stream.opened is not None:
            self._receiver.closed()
        self._leave(stream)

    def _leave(self, stream: Stream) -> None:
        self._forgive(stream)
        task = asyncio.create_task(stream.close())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _forgive(self, stream: Stream) -> None:
        """Reset the failures if the connection has worked for long enough."""
        if stream.opened is None:
            return
        last = max(stream.heard.values(), default=stream.opened)
        if last - stream.opened >= self._settings.healthy_seconds:
            self._backoff.reset()
            if not stream.silent_symbols(last):
                self._renewals.reset()

    def _wait(self, backoff: Backoff, ended: StreamEnded) -> float:
        """Return the seconds before the next attempt, more if the venue demands a longer wait."""
        wait = backoff.next()
        if ended.is_refusal:
            return max(wait, self._budget.hold(time.monotonic(), ended.retry_after))
        return wait

    async def _close(self) -> None:
        renewal, fed = self._end_renewal(), self._fed
        self._fed = None
        if renewal is not None:
            self._leave(renewal.stream)
        if fed is not None:
            self._drop(fed)
        if self._leaving:
            await asyncio.wait(self._leaving)

    # Renewals

    def _watch_fed(self, fed: Stream, now: float) -> None:
        """Renew a connection that is old, or on which a symbol is silent."""
        if fed.opened is None or self._renewal is not None or now < self._renew_from:
            return
        if silent := fed.silent_symbols(now):
            text = f"nothing of {', '.join(silent)} while others speak: connecting anew beside it"
            self._say("warning", "silent_symbol", text, silent)
            self._renew_from = now + self._renewals.next()
        elif now - fed.opened < self._settings.renew_hours * SECONDS_PER_HOUR:
            return
        self._say("info", "renewing", "opening a second connection before the first is left")
        self.state.is_renewing = True
        self._renewal = Renewal(self._start(), self._settings, self._receiver.position)

    def _watch_renewal(self, now: float) -> None:
        """Switch to the second connection once it can or must take over."""
        renewal, fed = self._renewal, self._fed
        if renewal is None or fed is None:
            return
        ended = renewal.stream.ended or renewal.stream.silence(now)
        if ended is not None:
            self._abandon(renewal, ended)
        elif renewal.is_due(now):
            self._change_over(fed, renewal, renewal.unheard())

    def _abandon(self, renewal: Renewal, ended: StreamEnded) -> None:
        """Give up the second connection; the first goes on."""
        self._end_renewal()
        wait = self._wait(self._renewals, ended)
        self._renew_from = time.monotonic() + wait
        text = f"{ended.code}: {ended}; trying again in {wait:.1f} s"
        self._say("warning", "renewal_failed", text)
        self._leave(renewal.stream)

    def _give_over(self, fed: Stream, renewal: Renewal, *, is_trusted: bool) -> Stream:
        """Switch to the second connection, open or not, after the fed one ended; return it.

        Messages up to the end are reliable, unless silence ended the connection.
        """
        if renewal.stream.opened is not None:
            self._say("info", "took_over", "the second connection takes over early")
            self._change_over(fed, renewal, [] if is_trusted else renewal.unheard())
        else:
            self._end_renewal()
            self._fed = renewal.stream
            self._drop(fed)
        return renewal.stream

    def _change_over(self, fed: Stream, renewal: Renewal, silent: Sequence[str]) -> None:
        """Feed the second connection from now on, starting with its held messages.

        The books of `silent` symbols start over: no connection has their changes.
        """
        apart = renewal.apart() if renewal.stream.heard else []
        self._end_renewal()
        self._fed = renewal.stream
        self.state.since = renewal.stream.since
        if apart:
            text = f"the two connections never met in {', '.join(apart)}: synchronising anew"
            self._say("warning", "chains_apart", text, apart)
        self._catch_up.begin(self._symbols)
        for symbol in self._symbols:
            if symbol in silent:
                self._receiver.restart(symbol)
            for held in renewal.rest(symbol):
                self._take(renewal.stream, symbol, held.data, held.received)
        self._say("info", "renewed", "the second connection is fed from here on")
        self._leave(fed)

    def _end_renewal(self) -> Renewal | None:
        renewal, self._renewal = self._renewal, None
        self.state.is_renewing = False
        return renewal

    # Notices

    def _tell_end(self, ended: StreamEnded) -> None:
        is_silent = ended.code == "silent_stream"
        self.state.is_silent = self.state.is_silent or is_silent
        self.state.problem = f"{ended.code}: {ended}"
        self._say("error" if is_silent else "warning", ended.code, f"{self.state.url}: {ended}")

    def _say(self, level: Level, code: Code, text: str, symbols: Sequence[str] = ()) -> None:
        self._receiver.notice(Notice(level, code, tuple(symbols) or self._symbols, text))
