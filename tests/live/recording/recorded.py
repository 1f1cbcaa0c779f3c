"""A venue with faults, and a client that records it as `collect` does: no socket, no waiting."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from quantgod.contracts import BookShape
from quantgod.live.driving import RawKind, drive
from quantgod.live.journal import Journal
from quantgod.live.recording.recorder import Recorder, recording_tables
from quantgod.market.book_bars import BookBars, ClosedMinute
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.minute_kernel import LAST_CLOSE, LAST_VALID
from quantgod.market.sync_events import NeedSnapshot
from quantgod.settings import CollectSettings, JournalSettings
from quantgod.simulation.exchange.synthetic import SyntheticMarket
from quantgod.simulation.exchange.truth import Truth
from quantgod.simulation.exchange.wire import depth_event, depth_snapshot

JOURNALING = JournalSettings(
    flush_seconds=0.05, sync_seconds=1.0, seal_minutes=60.0, buffer_rows=100_000
)
COLLECT = CollectSettings(folder=Path("unused"), levels=20, interval_ms=100, sequence=100)
SNAPSHOT_LEVELS = 260
SHAPE = BookShape(snapshots=20, levels=4, interval_ms=500)

Say = Callable[[RawKind, bytes], None]


class Client:
    """One symbol's book, bars and recorder: what a feed would do with its messages."""

    def __init__(self, symbol: str, journal: Journal) -> None:
        self.symbol = symbol
        self.bars = BookBars(BinanceBookSync(symbol, 1_000), 5, 5, shape=SHAPE)
        self.recorder = Recorder(journal, {symbol: self.bars}, COLLECT)
        self.closed: list[ClosedMinute] = []
        self.reasons: list[str] = []
        self.wants_snapshot = False
        self._received = 0

    def take(self, kind: RawKind, data: bytes = b"") -> None:
        self._received += 1
        self.recorder.raw(self.symbol, kind, self._received, data)
        taken = drive(self.bars, kind, data)
        self.recorder.taken(self.symbol, taken, 0.0)
        self.closed += taken.closed
        for event in taken.events:
            self.wants_snapshot = self.wants_snapshot or isinstance(event, NeedSnapshot)
            name = type(event).__name__
            self.reasons.append(f"{name} {getattr(event, 'reason', '')}".strip())


def market(symbol: str, start_ms: int, seconds: int, seed: int, drift: float) -> SyntheticMarket:
    return SyntheticMarket(
        symbol,
        seed=seed,
        count=2 * seconds,
        levels=700,
        changes=12,
        drift=drift,
        start_ms=start_ms,
        cadence_ms=500,
        moves=0.3,
    )


def record(folder: Path, market: SyntheticMarket, faults: dict[int, str], seed: int) -> Client:
    """Record a market with `faults` by event's number; a fault `killed` ends a session.

    `clock N` sets the exchange's clock N ms off from there on.

    Returns:
        The client of the last session, with the minutes of all of them.
    """
    truth, draw = Truth([market]), random.Random(seed)
    minutes: list[ClosedMinute] = []
    reasons: list[str] = []
    valid = (-1, 0.0)  # the last valid minute and its close, which a restart takes over
    while True:
        with Journal(folder, recording_tables(COLLECT), JOURNALING) as journal:
            client = Client(market.symbol, journal)
            client.bars.bars.resume(*valid)
            goes_on = _session(client, truth, faults, draw)
        state = client.bars.bars
        valid = (int(state.integers[LAST_VALID]), float(state.floats[LAST_CLOSE]))
        minutes += client.closed
        reasons += client.reasons
        if not goes_on:
            minutes += client.bars.finish().closed
            client.closed, client.reasons = minutes, reasons
            return client


def _session(client: Client, truth: Truth, faults: dict[int, str], draw: random.Random) -> bool:
    """Until the market ends (False) or the process is killed (True)."""
    client.take("opened")
    due, step_ms = -1, 0
    while truth.upcoming is not None:
        event = truth.advance()
        number = truth.played(client.symbol)
        fault = faults.get(number, "")
        if fault == "killed":
            return True
        if fault.startswith("clock "):
            step_ms = int(fault.removeprefix("clock "))
        for data in _sent(depth_event(event, step_ms), fault):
            client.take("stream", data)
        if fault == "reconnect":
            client.take("closed")
            client.take("opened")
        if client.wants_snapshot and due < 0:
            due = number + draw.randrange(1, 6)
        if number == due:
            due = -1
            client.wants_snapshot = False
            levels = 3 if draw.random() < 0.2 else SNAPSHOT_LEVELS
            snapshot = truth.snapshot(client.symbol, levels, draw)
            client.take("snapshot", depth_snapshot(snapshot, truth.now, step_ms))
    return False


def _sent(data: bytes, fault: str) -> Iterator[bytes]:
    if fault == "corrupt":
        yield data[:-10]
    elif fault == "crossed":
        yield data.replace(b'"b":[', b'"b":[["99999.0","1.0"],').replace(b",]", b"]")
    elif fault == "echo":
        yield from (data, data)
    elif fault not in ("lost", "killed"):
        yield data
