"""Play an exchange's market to its clients, with faults."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time

from aiohttp import WSCloseCode

from quantgod.simulation.exchange.connection import DAY_OVER, GOING_AWAY, Connection
from quantgod.simulation.exchange.faults import Fault
from quantgod.simulation.exchange.pace import Pace
from quantgod.simulation.exchange.rules import Rules
from quantgod.simulation.exchange.schedule import Schedule
from quantgod.simulation.exchange.spoiling import Message, Spoiling
from quantgod.simulation.exchange.truth import TrueEvent, Truth
from quantgod.simulation.exchange.wire import fragments, in_stream

log = logging.getLogger(__name__)

AT_ONCE = 32
"""Events published before the clients' sockets get their turn."""

AHEAD = 256
"""Messages that may wait for a client if the market waits for its clients."""

FRAGMENTS = 3
"""Number of frames of a split message."""

OVER = "the market of this exchange is over"
BROKEN = "the market of this exchange broke off"
REASON_LETTERS = 60


class Play:
    """Plays `truth` to the connections in `open`, once `audience` is set.

    `over` is set when there is nothing left to play.
    """

    def __init__(
        self, truth: Truth, pace: Pace, rules: Rules, schedule: Schedule, spoiling: Spoiling
    ) -> None:
        self.open: set[Connection] = set()
        self.audience, self.over = asyncio.Event(), asyncio.Event()
        self._truth, self._pace, self._rules = truth, pace, rules
        self._schedule, self._spoiling = schedule, spoiling

    async def run(self) -> None:
        """Play to the end, and set `over`."""
        await self.audience.wait()
        self._pace.start(self._truth.now)
        played = 0
        try:
            while (ts := self._truth.upcoming) is not None:
                await self._wait(ts, played)
                self._publish(self._truth.advance())
                played += 1
        except Exception as error:
            self._close_for_good(f"{BROKEN}: {error}")
            raise
        for symbol, message in self._spoiling.release_all():
            self._send(symbol, message)
        self._close_for_good(OVER)

    async def _wait(self, ts: int, played: int) -> None:
        """Wait until `ts`; the sockets get their turn even if it has passed."""
        if self._spoiling.hurry:
            self._pace.start(ts)
        seconds = self._pace.seconds_until(ts)
        if seconds > 0 or played % AT_ONCE == 0:
            await asyncio.sleep(max(seconds, 0.0))
        if self._pace.waits_for_clients:
            await self._wait_for_clients()

    async def _wait_for_clients(self) -> None:
        """Wait until there are clients and all have room; cut a client that stalls."""
        since, room = time.monotonic(), min(AHEAD, self._rules.outbox_frames)
        while True:
            listening = [one for one in self.open if one.is_listening]
            full = [one for one in listening if one.waiting >= room]
            if listening and not full:
                return
            if full and time.monotonic() - since > self._rules.stall_seconds:
                for connection in full:
                    connection.reset()
            await asyncio.sleep(0.001)

    def _publish(self, event: TrueEvent) -> None:
        symbol, number = event.change.symbol, self._truth.played(event.change.symbol)
        hearers = [one for one in self.open if one.streams_of(symbol)]
        for message in self._spoiling.messages(event, number, is_heard=bool(hearers)):
            self._send(symbol, message)
        if hearers:
            for fault in self._schedule.strikes("stream", symbol, number, self._truth.now):
                for connection in hearers:
                    _strike(fault, connection)
        for connection in tuple(self.open):
            connection.keep_alive(self._truth.now)

    def _send(self, symbol: str, message: Message) -> None:
        for connection in tuple(self.open):
            for stream in connection.streams_of(symbol):
                connection.offer(_shaped(message, stream))

    def _close_for_good(self, why: str) -> None:
        """Close all connections; a closing frame has room for the reason's first words."""
        at = dt.datetime.fromtimestamp(self._truth.now / 1000, dt.UTC).isoformat()
        log.warning("%s (exchange time %s)", why, at)
        self.over.set()
        for connection in tuple(self.open):
            connection.end(GOING_AWAY, why[:REASON_LETTERS])


def _shaped(message: Message, stream: bytes) -> bytes | list[bytes]:
    """Return a message in its stream's wrapper."""
    payload = in_stream(stream, message.data)
    if message.shape == "split":
        return fragments(payload, FRAGMENTS)
    return payload[: len(payload) // 2] if message.shape == "cut" else payload


def _strike(fault: Fault, connection: Connection) -> None:
    """Apply a fault to an open connection."""
    match fault.name:
        case "half_open":
            connection.is_deaf = True
        case "missed_pings":
            connection.answers_pings = False
        case "eof":
            connection.finish()
        case "abrupt":
            connection.reset()
        case "closed":
            connection.end(WSCloseCode.OK, "")
        case "day_cut":
            connection.end(GOING_AWAY, DAY_OVER)
