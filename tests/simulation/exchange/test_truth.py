from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quantgod.market.binance import DepthEvent, DepthSnapshot, decode, decode_snapshot
from quantgod.settings import SimulateSettings
from quantgod.simulation.archives import price_path, start_ms
from quantgod.simulation.exchange.archived import simulated_truth
from quantgod.simulation.exchange.ids import UpdateIds
from quantgod.simulation.exchange.recorded import RecordedMarket, RecordingError
from quantgod.simulation.exchange.synthetic import SyntheticMarket
from quantgod.simulation.exchange.truth import TrueEvent, Truth
from quantgod.simulation.exchange.wire import depth_event, depth_snapshot, sides
from quantgod.simulation.market import SimulatedMarket

SETTINGS = SimulateSettings(
    start=dt.date(2024, 1, 1),
    days=3,
    levels=200,
    cadence_ms=30_000,
    seed=3,
    signal=0.5,
    price=60000.0,
    tick=0.1,
    volatility=0.0009,
    changes=12,
)


def play(truth: Truth, count: int | None = None) -> list[TrueEvent]:
    played = []
    while truth.upcoming is not None and (count is None or len(played) < count):
        played.append(truth.advance())
    return played


@pytest.mark.long
def test_later_days_go_on_where_the_day_before_ended() -> None:
    truth = simulated_truth(["BTCUSDT"], SETTINGS, first_day=1)
    market = SimulatedMarket("BTCUSDT", SETTINGS, price_path(SETTINGS), start_ms(SETTINGS))
    first, *later = [
        json.loads(line) for day in (1, 2) for line in b"".join(market.day(day)).splitlines()
    ]
    opening = truth.book("BTCUSDT").top()
    assert [len(side) for side in opening] == [len(first["data"][side]) for side in "ba"]
    events = play(truth)
    assert [event.change.ts for event in events] == [line["ts"] for line in later]
    border = events[2880 - 1].change  # a whole book in the archive
    assert 0 < len(border.bids) < 2 * SETTINGS.levels
    assert truth.book("BTCUSDT").top() == market.book()


def test_what_was_heard_by_nobody_leads_to_the_same_book_and_the_same_events() -> None:
    heard, unheard = (simulated_truth(["BTCUSDT"], SETTINGS) for _ in range(2))
    since = heard.now + 500 * 1000
    before = [event for event in play(heard) if event.change.ts < since]
    unheard.forward(since)
    unheard.forward(since)
    assert unheard.played("BTCUSDT") == len(before)
    assert play(unheard) == play(simulated_truth(["BTCUSDT"], SETTINGS))[len(before) :]
    unheard.forward(10**15)
    assert unheard.upcoming is None


@pytest.mark.parametrize("day", [-1, 3])
def test_a_day_that_is_not_simulated_is_refused(day: int) -> None:
    with pytest.raises(ValueError, match=f"first_day: 0 to 2 expected, got {day}"):
        simulated_truth(["BTCUSDT"], SETTINGS, first_day=day)


def test_ids_follow_each_other_and_some_lie_between_events() -> None:
    changes = [event.change for event in play(Truth([SyntheticMarket("X", count=3000)]))]
    pairs = list(itertools.pairwise(changes))
    assert all(later.previous == earlier.final for earlier, later in pairs)
    assert all(change.previous < change.first <= change.final for change in changes)
    between = sum(change.first - change.previous - 1 for change in changes)
    assert 0.05 < between / (changes[-1].final - changes[0].previous) < 0.1


def test_a_snapshot_has_any_id_before_the_next_event_is_over() -> None:
    truth, draw, places = Truth([SyntheticMarket("X")]), random.Random(1), set()
    for _ in range(300):
        last = truth.last_update_id("X")
        update_id = truth.snapshot("X", 5, draw).last_update_id
        change = truth.advance().change
        assert last <= update_id < change.final
        places.add("gap" if update_id < change.first else "event")
    assert places == {"gap", "event"}


@pytest.mark.parametrize("drift", [-1.0, 0.0, 1.0])
def test_the_synthetic_book_stays_a_book_wherever_its_price_goes(drift: float) -> None:
    market = SyntheticMarket("X", levels=100, moves=0.5, drift=drift)
    truth = Truth([market])
    begin = truth.book("X").best_bid
    for _ in range(2000):
        truth.advance()
        book = truth.book("X")
        assert round(book.best_ask - book.best_bid, 6) == market.tick
        assert 50 < len(book.bids) <= 100
        assert 50 < len(book.asks) <= 100
    travelled = truth.book("X").best_bid - begin
    assert (travelled > 100) == (drift > 0)
    assert (travelled < -100) == (drift < 0)


def test_a_synthetic_market_keeps_its_cadence_and_moves_as_often_and_as_far_as_it_says() -> None:
    market = SyntheticMarket("X", count=2_000, levels=60, moves=0.3, reach=6, cadence_ms=200)
    truth = Truth([market])
    late, bids = set[int](), [truth.book("X").best_bid]
    for number in range(1, 2_001):
        late.add(truth.advance().change.ts - market.start_ms - 200 * number)
        bids.append(truth.book("X").best_bid)
    assert truth.upcoming is None
    assert late == {*range(10)}, "up to a twentieth of the cadence"
    steps = [round((bid - before) / market.tick) for before, bid in itertools.pairwise(bids)]
    assert {*steps} == {*range(-6, 7)}
    assert sum(step != 0 for step in steps) / 2_000 == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("drift", [-1.0, 0.0, 1.0])
def test_a_synthetic_price_that_moves_takes_all_levels_with_it(drift: float) -> None:
    """Without other changes both sides have no hole and stay as deep as they were."""
    truth = Truth([SyntheticMarket("X", levels=40, changes=0, moves=1.0, drift=drift, tick=1.0)])
    for _ in range(200):
        truth.advance()
        book = truth.book("X")
        bid = round(book.best_bid)
        assert [price for price, _ in book.top()[0]] == [*range(bid, bid - 40, -1)]
        assert [price for price, _ in book.top()[1]] == [*range(bid + 1, bid + 41)]


def test_synthetic_changes_lie_near_the_touch_and_a_fifth_of_those_beyond_it_empty_a_level() -> (
    None
):
    market = SyntheticMarket("X", count=20_000, levels=100, changes=1, moves=0.0, tick=1.0)
    changes = [event.change for event in play(Truth([market]))]
    bids = [(round(market.price - price), size) for one in changes for price, size in one.bids]
    asks = [(round(price - market.price) - 1, size) for one in changes for price, size in one.asks]
    for side in (bids, asks):
        assert len(side) == pytest.approx(10_000, rel=0.05)
        depths, sizes = zip(*side, strict=True)
        assert sum(depths) / len(side) == pytest.approx(100 / 5 - 0.5, rel=0.05)  # mean of u^4
        assert {*depths} == {*range(100)}
        beyond = [size for depth, size in side if depth]
        assert beyond.count(0.0) / len(beyond) == pytest.approx(0.2, abs=0.02)
        assert sizes.count(0.0) == beyond.count(0.0), "the touch keeps its place"
        assert sum(sizes) / (len(sizes) - sizes.count(0.0)) == pytest.approx(5 / 3, rel=0.05)


@pytest.mark.parametrize(("price", "tick"), [(60_000.0, 0.1), (0.002, 0.00001), (9.0, 0.25)])
def test_synthetic_prices_are_whole_ticks_and_sizes_whole_thousandths(
    price: float, tick: float
) -> None:
    market = SyntheticMarket("X", price=price, tick=tick, levels=150, moves=0.5)
    opening, sizes = market.opening(), set[float]()
    for event in [opening, *(event.change for event in play(Truth([market]), 300))]:
        for at, size in [*event.bids, *event.asks]:
            assert at == pytest.approx(round(at / tick) * tick, rel=1e-12)
            assert size == round(size * 1_000) / 1_000
            sizes.add(size)
    assert opening.bids[0][0] == price
    assert opening.asks[0][0] == pytest.approx(price + tick, rel=1e-12)
    assert 0.0 in sizes and min(sizes - {0.0}) < 0.01 and 4.9 < max(sizes) <= 5.0


def test_what_is_written_reads_as_what_is_true() -> None:
    simulated = simulated_truth(["X"], SETTINGS)
    for truth in (simulated, Truth([SyntheticMarket("X", price=0.002, tick=0.00001, levels=150)])):
        for event in play(truth, 300):
            assert decode(depth_event(event)) == event.change
        snapshot = truth.snapshot("X", 1000, random.Random(0))
        assert decode_snapshot(depth_snapshot(snapshot, truth.now)) == snapshot


SYNTHETIC: dict[str, tuple[dict[str, Any], str]] = {
    "as it is by default": ({"count": 300}, "d5da085070ed3c28"),
    "rising by far": (
        {"count": 300, "levels": 60, "moves": 0.9, "reach": 40, "drift": 0.6},
        "d6e058430e55d5a0",
    ),
    "falling": (
        {"count": 300, "levels": 90, "moves": 0.9, "drift": -0.6, "seed": 3},
        "fd6953ac0605807a",
    ),
    "of small ticks": (
        {"count": 99, "price": 0.002, "tick": 1e-5, "levels": 80},
        "bbf5753e37e873ed",
    ),
    "slow": (
        {"count": 50, "levels": 9, "changes": 3, "cadence_ms": 5_000, "seed": 8},
        "bdb9957df750e72c",
    ),
}


@pytest.mark.parametrize("name", SYNTHETIC)
def test_a_synthetic_seed_is_the_same_market_in_every_version(name: str) -> None:
    """Opening, times, ids and levels; they rest on Python's Mersenne Twister and nothing else."""
    settings, digest = SYNTHETIC[name]
    market = SyntheticMarket("X", **settings)
    opening = market.opening()
    events = list(market.events())
    assert len(events) == settings["count"]
    text = b"".join([depth_snapshot(opening, 0), *map(depth_event, events)])
    assert hashlib.sha256(text).hexdigest()[:16] == digest


def test_the_ids_of_a_simulated_market_come_from_its_first_message_and_seed() -> None:
    for day in (0, 2):
        truth = simulated_truth(["A", "B"], SETTINGS, first_day=day)
        for seed, symbol in ((3, "A"), (4, "B")):
            first = 20_000_000 + day * 2_880
            assert truth.last_update_id(symbol) == 1_000 * first
            ids = UpdateIds(1_000 * first, seed)
            spans = [ids.span() for _ in range(5)]
            changes = [one.change for one in play(truth, 20) if one.change.symbol == symbol]
            assert [(one.first, one.final, one.previous) for one in changes[:5]] == spans
            truth = simulated_truth(["A", "B"], SETTINGS, first_day=day)
        assert truth.now == start_ms(SETTINGS) + day * 86_400_000 + truth.now % 50


class Told(SyntheticMarket):
    """A market of these changes alone, one at each of these times."""

    def __init__(self, symbol: str, opens: int, *times: int) -> None:
        self.symbol, self.opens, self.times = symbol, opens, times

    def opening(self) -> DepthSnapshot:
        return DepthSnapshot(100, self.opens, [(1.0, 1.0)], [(2.0, 1.0)])

    def events(self) -> Iterator[TrueEvent]:
        for number, ts in enumerate(self.times, 1):
            final = 100 + 10 * number
            change = DepthEvent(self.symbol, ts, final - 5, final, final - 10, [(1.0, 2.0)], [])
            yield TrueEvent(change, sides(change.bids, change.asks))


def test_time_begins_with_the_earliest_book_and_never_goes_back() -> None:
    truth = Truth([Told("A", 50, 60, 55), Told("B", 40, 58)])
    assert (truth.now, truth.upcoming, truth.symbols) == (40, 58, ("A", "B"))
    seen = []
    while truth.upcoming is not None:
        seen.append((truth.advance().change.symbol, truth.now, truth.upcoming))
    assert seen == [("B", 58, 60), ("A", 60, 55), ("A", 60, None)]
    with pytest.raises(RuntimeError, match="A: no event is left"):
        truth._books["A"].advance()


def test_going_forward_stops_before_an_event_of_that_very_time() -> None:
    truth = Truth([Told("A", 50, 60, 70)])
    for ts, played in ((60, 0), (61, 1), (70, 1), (71, 2), (99, 2)):
        truth.forward(ts)
        assert truth.played("A") == played


def test_a_snapshot_has_each_id_up_to_the_next_event_and_after_the_last_its_own() -> None:
    truth, draw = Truth([Told("A", 50, 60)]), random.Random(2)
    before = {truth.snapshot("A", 5, draw).last_update_id for _ in range(300)}
    assert before == {*range(100, 110)}
    truth.advance()
    after = [truth.snapshot("A", 5, draw) for _ in range(20)]
    assert after == [DepthSnapshot(110, 60, [(1.0, 2.0)], [(2.0, 1.0)])] * 20


def test_there_is_a_market() -> None:
    with pytest.raises(ValueError, match=r"one market or more expected, .* got \[\]"):
        Truth([])


def test_the_same_seed_is_the_same_market() -> None:
    def events(seed: int) -> list[TrueEvent]:
        return play(Truth([SyntheticMarket("X", seed=seed)]), 200)

    assert events(1) == events(1) != events(2)


def test_markets_play_against_one_clock() -> None:
    slow = SyntheticMarket("SLOW", cadence_ms=1000, count=20)
    truth = Truth([slow, SyntheticMarket("FAST", cadence_ms=100, count=200)])
    times = [event.change.ts for event in play(truth)]
    assert times == sorted(times)
    assert (truth.played("SLOW"), truth.played("FAST"), truth.upcoming) == (20, 200, None)


def test_one_symbol_has_one_market() -> None:
    with pytest.raises(ValueError, match=r"another symbol; got \['X', 'X'\]"):
        Truth([SyntheticMarket("X"), SyntheticMarket("X", seed=1)])


def recording(tmp_path: Path, payloads: list[bytes]) -> Path:
    path = tmp_path / "recording.gz"
    path.write_bytes(gzip.compress(b"".join(b"17 %b\n" % payload for payload in payloads)))
    return path


@pytest.mark.parametrize("seed", range(4))
def test_a_recording_with_a_gap_breaks_off_there(tmp_path: Path, seed: int) -> None:
    truth = Truth([SyntheticMarket("X", levels=10)])
    first, second = play(truth, 2)
    snapshot = depth_snapshot(truth.snapshot("X", 10, random.Random(seed)), truth.now)
    _, fourth, fifth = play(truth, 3)
    lines = [depth_event(event) for event in (first, second)]
    lines += [snapshot, *(depth_event(event) for event in (fourth, fifth))]
    wrapped = [line if line == snapshot else b'{"stream":"x","data":%b}' % line for line in lines]
    with pytest.raises(RecordingError, match=f"of updates [0-9]+ to {fourth.change.previous}$"):
        play(Truth([RecordedMarket(recording(tmp_path, wrapped))]))


def told(first: int, final: int, previous: int, symbol: str = "X") -> bytes:
    change = DepthEvent(symbol, 1_000 + final, first, final, previous, [(1.0, 2.0)], [])
    event = TrueEvent(change, sides(change.bids, change.asks))
    return b'{"stream":"x","data":%b}' % depth_event(event)


SNAPSHOT = depth_snapshot(DepthSnapshot(100, 1_000, [(1.0, 1.0)], [(2.0, 1.0)]), 1_001)
TRADE = b'{"stream":"x","data":{"e":"trade","of":"depthUpdate"}}'


def test_a_recording_is_played_from_the_event_that_ends_at_its_snapshot_or_later(
    tmp_path: Path,
) -> None:
    lines = [
        told(81, 90, 80), TRADE, told(91, 99, 90), told(95, 100, 99), told(7, 10**6, 6, "Y"),
        told(101, 110, 100), SNAPSHOT, TRADE,
        told(111, 120, 110), SNAPSHOT.replace(b"100", b"115"), told(121, 130, 120),
    ]  # fmt: skip
    market = RecordedMarket(recording(tmp_path, lines))
    assert (market.symbol, market.opening()) == ("X", decode_snapshot(SNAPSHOT))
    events = list(market.events())
    assert [one.change.final for one in events] == [100, 110, 120, 130]
    assert {one.sides for one in events} == {b'"b":[["1.0","2.0"]],"a":[]'}


@pytest.mark.parametrize(
    ("early", "later", "gap"),
    [
        ((95, 110, 100), (111, 120, 110), ""),  # from the snapshot on
        ((95, 110, 99), (111, 120, 110), ""),
        ((102, 110, 101), (111, 120, 110), "100 to 101"),
        ((95, 110, 99), (112, 120, 111), "110 to 111"),
        ((95, 110, 99), (110, 120, 109), "110 to 109"),
    ],
)
def test_a_recording_may_not_lack_an_update(
    tmp_path: Path,
    early: tuple[int, int, int],
    later: tuple[int, int, int],
    gap: str,
) -> None:
    lines = [told(81, 90, 80), told(*early), SNAPSHOT, told(*later)]
    market = RecordedMarket(recording(tmp_path, lines))
    if gap:
        with pytest.raises(RecordingError, match=f"nothing is recorded of updates {gap}$"):
            list(market.events())
    else:
        assert [one.change.final for one in market.events()] == [110, 120]


def test_a_recording_begins_with_events(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="depth events expected before the snapshot"):
        RecordedMarket(recording(tmp_path, [TRADE, SNAPSHOT, told(91, 110, 90)]))


def test_a_recording_without_a_snapshot_is_refused(tmp_path: Path) -> None:
    (event,) = play(Truth([SyntheticMarket("X", levels=10)]), 1)
    with pytest.raises(RecordingError, match="a REST snapshot expected"):
        RecordedMarket(recording(tmp_path, [b'{"data":%b}' % depth_event(event)]))
