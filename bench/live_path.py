"""A delta's way from bytes to book and bars: decode, synchronise, apply, count; and a whole replay.

The floor is what msgspec and dictionaries cannot do without: to decode, and to set or remove
each level. Deltas are taken from the simulated market in Bybit's form and, where it is beside the
project, from the real recording in Binance's, up to where its price nears the end of what its one
snapshot shows. Seconds are of processor time, the best of several rounds that take turns.

What a delta costs grows with its changes, so their number stands beside it. The goal is held
against the simulated deltas, of 42 changes, whose floor alone is nearly all of it. It says nothing
of the recorded ones, of 61 on average: their floor alone is beyond it, so they are only shown, in
all and for a change. Half of the floor is decoding. The other half is spent within the hash tables:
a float's hash is computed anew at each use, so that `dict.update` is no faster than a loop.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from bench.goal import Figure
from quantgod.archive.simulated import price_path, start_ms
from quantgod.live.driving import drive
from quantgod.live.recording.reading import Arrival, open_recording
from quantgod.live.recording.replay import Replay
from quantgod.market import binance, bybit
from quantgod.market.book_bars import BookBars
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.bybit_sync import BybitBookSync
from quantgod.market.simulator import SimulatedMarket
from quantgod.market.sync_events import NeedSnapshot
from quantgod.settings import load_settings

MOST_MICROSECONDS = 12.0
DELTAS_A_SECOND = 10.0
"""What a symbol sends: its stream has a message each 100 ms."""

DELTAS = 20_000
ROUNDS = 5
RECORDING = Path("../shared/data/binance_usdm_btcusdt_20240808.gz")

Log = Callable[[str], None]
SETTINGS = load_settings(Path("conf/full.yaml"), {"simulate.days": 1})
LIMITS = (SETTINGS.etl.max_silence_seconds, SETTINGS.etl.max_bridge_minutes)


@dataclass(frozen=True)
class Stream:
    """Deltas of a symbol, how to decode one, and a book that waits for the first."""

    name: str
    lines: Sequence[bytes]
    decode: Callable[[bytes], Any]
    book: Callable[[], BookBars]
    at_most: float | None = None  # us a delta


def measure(log: Log) -> list[Figure]:
    """Measure the streams that there are, then a replay."""
    figures: list[Figure] = []
    for stream in _streams(log):
        figures += _of(stream, log)
    if not RECORDING.exists():
        return figures
    log("replaying the recording")
    messages = list(open_recording(RECORDING).arrivals)
    seconds = min(_seconds(partial(_replay, messages)) for _ in range(ROUNDS))
    events = sum(b'"depthUpdate"' in message.data[:60] for message in messages)
    return [
        *figures,
        Figure("replay: messages of all kinds", len(messages) / seconds, "a second"),
        Figure("replay: depth events", events / seconds, "a second"),
    ]


def _of(stream: Stream, log: Log) -> list[Figure]:
    log(f"{stream.name}: {len(stream.lines)} deltas")
    _whole(stream)  # compiles
    rounds = [
        [_seconds(partial(work, stream)) for work in (_decoding, _floor, _whole)]
        for _ in range(ROUNDS)
    ]
    decoding, floor, whole = (
        min(seconds) / len(stream.lines) * 1e6 for seconds in zip(*rounds, strict=True)
    )
    updates = map(stream.decode, stream.lines)
    changes = sum(len(update.bids) + len(update.asks) for update in updates)
    name = stream.name
    return [
        Figure(f"{name}: changes a delta", changes / len(stream.lines)),
        Figure(f"{name}: decoding alone", decoding, "us a delta"),
        Figure(f"{name}: floor, decoding and dictionaries", floor, "us a delta"),
        Figure(f"{name}: bytes to book and bars", whole, "us a delta", at_most=stream.at_most),
        Figure(f"{name}: that over the floor", whole / floor, "x"),
        Figure(f"{name}: that, for a change", whole / changes * len(stream.lines), "us"),
        Figure(f"{name}: symbols a core", 1e6 / (whole * DELTAS_A_SECOND)),
    ]


def _streams(log: Log) -> Iterator[Stream]:
    log("simulating deltas")
    chosen = SETTINGS.simulate
    market = SimulatedMarket("BTCUSDT", chosen, price_path(chosen), start_ms(chosen))
    first, *lines = market.lines(0, 0, DELTAS + 1).splitlines()

    def simulated() -> BookBars:
        bars = BookBars(BybitBookSync("BTCUSDT"), *LIMITS)
        bars.receive(bybit.decode(first))
        return bars

    yield Stream("simulated", lines, bybit.decode, simulated, MOST_MICROSECONDS)
    if RECORDING.exists():
        yield _recorded()
    else:
        log(f"the recording is not measured: {RECORDING} is not there")


def _recorded() -> Stream:
    arrivals = [
        arrival
        for arrival in open_recording(RECORDING).arrivals
        if arrival.kind != "stream" or b'"depthUpdate"' in arrival.data[:60]
    ]
    start = next(place for place, each in enumerate(arrivals) if each.kind == "snapshot") + 1
    bars = _driven(arrivals[:start])
    known = 0
    for arrival in arrivals[start:]:
        known += 1
        events = drive(bars, arrival.kind, arrival.data).events
        if any(isinstance(event, NeedSnapshot) for event in events):
            break
    lines = [arrival.data for arrival in islice(arrivals, start, start + known - 1)]
    return Stream("recorded", lines, binance.decode, lambda: _driven(arrivals[:start]))


def _driven(arrivals: Sequence[Arrival]) -> BookBars:
    sync = BinanceBookSync("BTCUSDT", SETTINGS.live.feed.buffer_events)
    bars = BookBars(sync, *LIMITS)
    for arrival in arrivals:
        drive(bars, arrival.kind, arrival.data)
    return bars


def _decoding(stream: Stream) -> None:
    for line in stream.lines:
        stream.decode(line)


def _floor(stream: Stream) -> None:
    """No best price, no order, no check: only sizes by price."""
    book = stream.book().book
    sides = (dict(book.bids), dict(book.asks)) if book is not None else ({}, {})
    for line in stream.lines:
        update = stream.decode(line)
        for side, levels in zip(sides, (update.bids, update.asks), strict=True):
            for price, size in levels:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)


def _whole(stream: Stream) -> None:
    bars = stream.book()
    for line in stream.lines:
        bars.receive(stream.decode(line))


def _replay(messages: Sequence[Arrival]) -> None:
    sync = BinanceBookSync("BTCUSDT", SETTINGS.live.feed.buffer_events, beyond_range=True)
    for _ in Replay(sync, BookBars(sync, *LIMITS)).rows(iter(messages)):
        pass


def _seconds(run: Callable[[], None]) -> float:
    gc.collect()
    start = time.process_time()
    run()
    return time.process_time() - start
