"""Keeps one stream alive: opens it again, notices silence, renews it before the venue cuts it.

A renewal opens the second connection before it leaves the first, and changes over where their
chains of updates meet (`handover`), so that no book notices. At any time one connection is fed.
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
"""How often the connections are looked at within the shortest silence that counts."""

SECONDS_PER_HOUR: Final = 3600.0


class Receiver(Protocol):
    """Where messages go: the books behind a feed."""

    def opened(self) -> None:
        """A stream was opened; its messages follow."""

    def closed(self) -> None:
        """The stream ended, and nothing took over."""

    def restart(self, symbol: str) -> None:
        """One symbol's stream is not to be trusted any more: begin anew with it."""

    def take(self, symbol: str, data: bytes, received: float) -> bool:
        """Take a message; gives whether it told of the symbol's depth."""

    def symbols_of(self, data: bytes) -> Sequence[str]:
        """Whose a message is."""

    def link(self, data: bytes) -> Link | None:
        """A message's place in its chain, without taking it; `None` if it has none."""

    def position(self, symbol: str) -> Position:
        """Where a book stands."""

    def notice(self, notice: Notice) -> None:
        """Hear of what happened to a connection."""

    def check(self) -> None:
        """Raise what failed elsewhere, so that it is not lost."""


class Connections:
    """The stream of `symbols`, for as long as `run` runs."""

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
        self._renew_from = 0.0
        self._catch_up = CatchUp(receiver.position)
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Keep the stream until cancelled; then close all that is open."""
        try:
            while True:
                ended = await self._feed_until_lost()
                await asyncio.sleep(max(self._backoff.next(), self._demanded(ended)))
        finally:
            await self._close()

    async def _feed_until_lost(self) -> StreamEnded:
        """Feed one connection after the other, until one ends and none follows."""
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
        """Wait for the end of a connection, or for the time to look at silence."""
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
        # What a connection says that was left is known from its successor.

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
        """Leave a connection that nothing follows at once."""
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
        """A connection that spoke for long enough makes the next failure a first one."""
        last = max(stream.heard.values(), default=0.0)
        if stream.opened is not None and last - stream.opened >= self._settings.healthy_seconds:
            self._backoff.reset()
            if not stream.silent_symbols(last):
                self._renewals.reset()

    def _demanded(self, ended: StreamEnded) -> float:
        """Seconds that the venue wants to be left alone for."""
        if not ended.is_refusal:
            return 0.0
        return self._budget.hold(time.monotonic(), ended.retry_after)

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
        """Renew a connection that is old, or on which a symbol has gone silent."""
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
        """Let the second connection take over once it can, or must."""
        renewal, fed = self._renewal, self._fed
        if renewal is None or fed is None:
            return
        ended = renewal.stream.ended or renewal.stream.silence(now)
        if ended is not None:
            self._abandon(renewal, ended)
        elif renewal.is_due(now):
            self._change_over(fed, renewal, renewal.unheard())

    def _abandon(self, renewal: Renewal, ended: StreamEnded) -> None:
        """The second connection came to nothing; the first goes on."""
        self._end_renewal()
        wait = max(self._renewals.next(), self._demanded(ended))
        self._renew_from = time.monotonic() + wait
        text = f"{ended.code}: {ended}; trying again in {wait:.1f} s"
        self._say("warning", "renewal_failed", text)
        self._leave(renewal.stream)

    def _give_over(self, fed: Stream, renewal: Renewal, *, is_trusted: bool) -> Stream:
        """The fed connection has ended: go on with the second one, open or not; gives it.

        What was told up to the end is to be trusted, unless it was silence that ended it.
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
        """Feed the second connection from here on, beginning with what was held back.

        The books of `silent` symbols begin anew: no connection tells what has become of them.
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
