"""Snapshots of a live stream and of its archive: the same bits, whatever the stream does."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from quantgod.archive.kernel import read_archive
from quantgod.archive.plan import find_archives, plan_days
from quantgod.archive.snapshots import snapshots_of
from quantgod.contracts import BookShape
from quantgod.live.driving import RawKind, drive
from quantgod.live.recording.archive import lines_of
from quantgod.live.recording.arrivals import Arrival, Recording
from quantgod.market.book_bars import BookBars, ClosedMinute
from quantgod.market.book_sync import BinanceBookSync
from quantgod.settings import SnapshotSettings
from tests.archive.feeds import FULL, pack
from tests.archive.streams import etl_settings

DAY = dt.date(2024, 1, 2)
START = 1_704_189_600_000  # 10:00
SYMBOL = "BTCUSDT"
SHAPES = [BookShape(20, 6, 500), BookShape(3, 20, 2_000), BookShape(60, 2, 1_000)]

Said = tuple[RawKind, bytes]


class Venue:
    """A drawn market in Binance's form, whose messages come late, twice, broken or not at all."""

    def __init__(self, seed: int, decimals: int) -> None:
        self.random = random.Random(seed)
        self.decimals, self.number, self.middle = decimals, 100, 60_000
        self.ts = START + (137 if seed % 2 else 0)
        self.sides: dict[str, dict[int, str]] = {"b": {}, "a": {}}
        self.sent: list[bytes] = []
        for place in range(1, 30):
            self.sides["b"][self.middle - place] = self.size()
            self.sides["a"][self.middle + place] = self.size()

    def size(self) -> str:
        digits = self.random.randint(1, 10)
        return f"{self.random.randrange(1, 10**digits)}.{self.random.randrange(1000)}"

    def event(self, late_ms: int = 0, **more: list[Any]) -> bytes:
        """Some levels change, and the touch may move."""
        self.number += 1
        told: dict[str, list[Any]] = {"b": [], "a": []}
        step = self.random.choice([-1, 0, 0, 0, 1])
        self.middle += step
        for side, sign in (("b", -1), ("a", 1)):
            book = self.sides[side]
            gone = {price for price in book if (price - self.middle) * sign <= 0}
            drawn = {self.middle + sign * self.random.randint(1, 40) for _ in range(3)}
            for price in sorted(gone | drawn | {self.middle + sign}):
                is_gone = price in gone or (self.random.random() < 0.3 and price in drawn)
                size = "0" if is_gone and price != self.middle + sign else self.size()
                book.pop(price, None)
                book |= {} if size == "0" else {price: size}
                told[side].append([self.price(price), size])
            told[side] += more.get(side, [])
        ids = {"U": 10 * self.number - 9, "u": 10 * self.number, "pu": 10 * self.number - 10}
        time = {"e": "depthUpdate", "E": self.ts, "T": self.ts - late_ms, "s": SYMBOL}
        self.sent.append(json.dumps({"stream": "x", "data": {**time, **ids, **told}}).encode())
        return self.sent[-1]

    def price(self, place: int) -> str:
        return f"{place / 10:.{self.decimals}f}"

    def snapshot(self, levels: int) -> bytes:
        ids = {"lastUpdateId": 10 * self.number, "E": self.ts, "T": self.ts}
        order = {"b": sorted(self.sides["b"], reverse=True), "a": sorted(self.sides["a"])}
        sides = {
            name: [[self.price(price), self.sides[side][price]] for price in order[side][:levels]]
            for side, name in (("b", "bids"), ("a", "asks"))
        }
        return json.dumps(ids | sides).encode()


Fault = Callable[[Venue], Iterator[Said]]


def _lost(venue: Venue) -> Iterator[Said]:
    venue.event()
    yield from ()


def _twice(venue: Venue) -> Iterator[Said]:
    yield from [("stream", venue.event())] * 2


def _old(venue: Venue) -> Iterator[Said]:
    yield "stream", venue.random.choice(venue.sent[-9:])


def _broken(venue: Venue) -> Iterator[Said]:
    yield "stream", venue.event()[:-9]


def _crossed(venue: Venue) -> Iterator[Said]:
    yield "stream", venue.event(b=[[venue.price(venue.middle + 9), "1"]])


def _late(venue: Venue) -> Iterator[Said]:
    yield "stream", venue.event(late_ms=venue.random.choice([1, 90, 700, 5_000, 61_000]))


def _wild(venue: Venue) -> Iterator[Said]:
    yield "stream", venue.event(late_ms=-864_000_000)


def _reconnect(venue: Venue) -> Iterator[Said]:
    yield from (("closed", b""), ("opened", b""))


def _silent(venue: Venue) -> Iterator[Said]:
    venue.ts += venue.random.choice([900, 3_000, 7_000, 66_000, 190_000])
    yield "stream", venue.event()


def _edge(venue: Venue) -> Iterator[Said]:
    """The very last and the very first millisecond of intervals."""
    venue.ts += 500 - venue.ts % 500 - venue.random.choice([0, 1])
    yield "stream", venue.event()


def _silent_minute(venue: Venue) -> Iterator[Said]:
    """A whole minute without a message, which has a row where silence may be that long."""
    for away_ms in (120_000 - venue.ts % 60_000 - 300, 60_600):
        venue.ts += away_ms
        yield "stream", venue.event()


FAULTS: tuple[Fault, ...] = (
    _lost,
    _silent_minute,
    _twice,
    _old,
    _broken,
    _crossed,
    _late,
    _wild,
    _reconnect,
    _silent,
    _edge,
)


def said_by(venue: Venue, faults: list[Fault], steps: list[int], count: int) -> Iterator[Said]:
    """What arrives; a snapshot is answered every few messages, so that a lost book comes back.

    It often ends in the last second of a minute, which then closes.
    """
    places = {venue.random.randrange(2, count): fault for fault in faults}
    yield "opened", b""
    for place in range(count + 120):
        if place >= count and venue.ts // 1_000 % 60 == 59:
            return
        venue.ts += venue.random.choice(steps)
        yield "stream", venue.event()
        if place in places:
            yield from places[place](venue)
        if place % 17 == 1:
            yield "snapshot", venue.snapshot(venue.random.choice([8, 25, 60]))


def live_rows(said: list[Said], shape: BookShape, silence: int) -> list[ClosedMinute]:
    bars = BookBars(BinanceBookSync(SYMBOL, 1_000), silence, 5, shape=shape)
    taken = [drive(bars, *one) for one in said] + [bars.finish()]
    closed = [minute for one in taken for minute in one.closed]
    assert all(one.snapshots is None for one in closed if one.bar.features is None)
    return [minute for minute in closed if minute.bar.features is not None]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    faults=st.lists(st.sampled_from(FAULTS), max_size=5),
    steps=st.sampled_from([[100, 400, 700], [0, 1, 499, 500, 501], [500], [2_000, 4_000]]),
    count=st.integers(200, 600),
    decimals=st.integers(1, 4),
    silence=st.sampled_from([1, 5, 70]),
    shape=st.sampled_from(SHAPES),
)
@example(0, [_silent, _silent], [400, 700], 600, 1, 70, SHAPES[0])
@example(1, [_silent], [2_000], 300, 1, 5, SHAPES[0])
@example(2, [_late, _twice], [100, 400], 600, 2, 5, SHAPES[2])
@example(4, [], [500], 400, 1, 5, SHAPES[0])
def test_snapshots_of_a_stream_are_those_of_its_archive(
    tmp_path_factory, seed, faults, steps, count, decimals, silence, shape
):
    folder = tmp_path_factory.mktemp("blocks")
    said = [*said_by(Venue(seed, decimals), faults, steps, count)]
    live = live_rows(said, shape, silence)
    arrivals = iter([Arrival(kind, 0, data) for kind, data in said])
    recording = Recording(folder, SYMBOL, arrivals, has_answers=True)
    lines = [line.text for line in lines_of(recording, FULL)]
    etl, rules = etl_settings(silence=silence), SnapshotSettings(
        levels=shape.levels, interval_ms=shape.interval_ms,
        per_minute=shape.snapshots, block=shape.snapshots,
    )  # fmt: skip
    path = pack(folder, DAY, lines)
    reading = read_archive(path, SYMBOL, DAY, etl)
    (day,) = plan_days(find_archives(folder, "linear", SYMBOL)[0], etl)
    found = snapshots_of(day.candidates[0], reading.minutes, None, etl, rules)
    assert [row.bar.minute for row in live] == found.minutes.tolist()
    for row, levels, is_there in zip(live, found.levels, found.is_there, strict=True):
        assert (row.snapshots is not None) == is_there.all()
        if row.snapshots is not None:
            assert row.snapshots.tobytes() == levels.tobytes(), row.bar.minute
