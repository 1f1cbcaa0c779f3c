"""A delta's way from bytes to book and bars: decode, synchronise, apply, count; and a whole replay.

The floor is what msgspec and dictionaries cannot do without: to decode, and to set or remove each
level. It keeps neither best prices nor order, checks no id and counts nothing, so that what we take
over it is the price of a book that is right and of bars. Half of the floor is decoding. The other
half is spent within the hash tables: a float's hash is computed anew at each use, so that
`dict.update` is no faster than a loop.

Deltas are taken from the simulated market in Bybit's form and, where it is beside the project,
from the real recording in Binance's, up to where its price nears the end of what its one snapshot
shows. A delta costs more the more changes it holds, but it does so both ways: one goal holds for
both streams. The same again with the snapshots that a network of the book looks at, over without
them. The replay has no goal. Seconds are of processor time, the best of rounds in turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from bench.goal import Figure, Log, said
from bench.turns import best
from quantgod.contracts import BookShape
from quantgod.live.driving import drive
from quantgod.live.recording.arrivals import Arrival, Recording, open_recording
from quantgod.live.recording.replay import Replay
from quantgod.market import binance, bybit
from quantgod.market.book_bars import BookBars
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.bybit_sync import BybitBookSync
from quantgod.market.sync_events import NeedSnapshot
from quantgod.settings import load_settings
from quantgod.simulation.archives import price_path, start_ms
from quantgod.simulation.market import SimulatedMarket

MOST_OF_FLOOR = 1.25
MOST_WITH_SNAPSHOTS = 1.25
DELTAS_A_SECOND = 10.0
"""What a symbol sends: its stream has a message each 100 ms."""

DELTAS = 20_000
ROUNDS = 7
RECORDING = Path("../shared/data/binance_usdm_btcusdt_20240808.gz")

SETTINGS = load_settings(Path("conf/full.yaml"), {"simulate.days": 1})
LIMITS = (SETTINGS.etl.max_silence_seconds, SETTINGS.etl.max_bridge_minutes)


@dataclass(frozen=True)
class Stream:
    """Deltas of a symbol, how to decode one, and a book that waits for the first."""

    name: str
    lines: Sequence[bytes]
    decode: Callable[[bytes], Any]
    book: Callable[[BookShape | None], BookBars]


def measure(log: Log) -> list[Figure]:
    """Measure the streams that there are, then a replay."""
    figures: list[Figure] = []
    for stream in _streams(log):
        figures += _of(stream, log)
    if not RECORDING.exists():
        return figures
    return figures + _replayed(log)


def _replayed(log: Log) -> list[Figure]:
    log("replaying the recording")
    recording = open_recording(RECORDING)
    messages = list(recording.arrivals)
    [seconds] = best([partial(_replay, recording, messages)], ROUNDS)
    events = sum(b'"depthUpdate"' in message.data[:60] for message in messages)
    return [
        Figure("replay: messages of all kinds", len(messages) / seconds, "a second"),
        Figure("replay: depth events", events / seconds, "a second"),
    ]


def _of(stream: Stream, log: Log) -> list[Figure]:
    log(f"{stream.name}: {len(stream.lines)} deltas")
    _whole(stream)  # compiles
    works = [partial(work, stream) for work in (_decoding, _floor, _whole, _sampled)]
    taken = (seconds / len(stream.lines) * 1e6 for seconds in best(works, ROUNDS))
    decoding, floor, whole, sampled = taken
    updates = map(stream.decode, stream.lines)
    changes = sum(len(update.bids) + len(update.asks) for update in updates)
    name = stream.name
    return [
        Figure(f"{name}: changes a delta", changes / len(stream.lines)),
        Figure(f"{name}: decoding alone", decoding, "us a delta"),
        Figure(f"{name}: floor, decoding and dictionaries", floor, "us a delta"),
        Figure(
            f"{name}: bytes to book and bars, over msgspec and dictionaries",
            whole / floor,
            "x",
            at_most=MOST_OF_FLOOR,
            here=said(whole, "us a delta"),
        ),
        Figure(
            f"{name}: with snapshots of the book, over without",
            sampled / whole,
            "x",
            at_most=MOST_WITH_SNAPSHOTS,
            here=said(sampled, "us a delta"),
        ),
        Figure(
            f"{name}: bytes to book and bars, a change", whole / changes * len(stream.lines), "us"
        ),
        Figure(f"{name}: symbols a core", 1e6 / (whole * DELTAS_A_SECOND)),
    ]


def _streams(log: Log) -> Iterator[Stream]:
    log("simulating deltas")
    chosen = SETTINGS.simulate
    market = SimulatedMarket("BTCUSDT", chosen, price_path(chosen), start_ms(chosen))
    first, *lines = market.lines(0, 0, DELTAS + 1).splitlines()

    def simulated(shape: BookShape | None) -> BookBars:
        bars = BookBars(BybitBookSync("BTCUSDT"), *LIMITS, shape=shape)
        bars.receive(bybit.decode(first))
        return bars

    yield Stream("simulated", lines, bybit.decode, simulated)
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
    return Stream("recorded", lines, binance.decode, partial(_driven, arrivals[:start]))


def _driven(arrivals: Sequence[Arrival], shape: BookShape | None = None) -> BookBars:
    sync = BinanceBookSync("BTCUSDT", SETTINGS.live.feed.buffer_events)
    bars = BookBars(sync, *LIMITS, shape=shape)
    for arrival in arrivals:
        drive(bars, arrival.kind, arrival.data)
    return bars


def _decoding(stream: Stream) -> None:
    for line in stream.lines:
        stream.decode(line)


def _floor(stream: Stream) -> tuple[dict[float, float], dict[float, float]]:
    """No best price, no order, no check: only sizes by price; gives bids and asks."""
    book = stream.book(None).book
    sides = (dict(book.bids), dict(book.asks)) if book is not None else ({}, {})
    for line in stream.lines:
        update = stream.decode(line)
        for side, levels in zip(sides, (update.bids, update.asks), strict=True):
            for price, size in levels:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)
    return sides


def _whole(stream: Stream, shape: BookShape | None = None) -> BookBars:
    bars = stream.book(shape)
    for line in stream.lines:
        bars.receive(stream.decode(line))
    return bars


def _sampled(stream: Stream) -> BookBars:
    return _whole(stream, SETTINGS.snapshots.shape)


def _replay(recording: Recording, messages: Sequence[Arrival]) -> None:
    sync = BinanceBookSync(recording.symbol, SETTINGS.live.feed.buffer_events, beyond_range=True)
    again = replace(recording, arrivals=iter(messages), prices=dict(recording.prices))
    for _ in Replay(again, sync, BookBars(sync, *LIMITS)).rows():
        pass
