import datetime as dt
import hashlib
import itertools
import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantgod.settings import SimulateSettings
from quantgod.simulation.feed_parts import NOTES, START
from quantgod.simulation.market import SimulatedMarket
from quantgod.simulation.price_path import PricePath, random_path

START_MS = 1_704_067_200_000


def _settings(**changes):
    values = {
        "start": dt.date(2024, 1, 1),
        "days": 1,
        "levels": 200,
        "cadence_ms": 500,
        "seed": 7,
        "signal": 0.5,
        "price": 60_000.0,
        "tick": 0.1,
        "volatility": 0.0009,
        "changes": 30,
    }
    return SimulateSettings(**(values | changes))


def _market(path=None, **changes):
    chosen = _settings(**changes)
    path = path or random_path(
        60,
        seed=chosen.seed,
        price=chosen.price,
        volatility=chosen.volatility,
        signal=chosen.signal,
    )
    return SimulatedMarket("BTCUSDT", chosen, path, START_MS)


class DictBook:
    """An independent book: two dictionaries, and the rule that a size of zero removes."""

    def __init__(self):
        self.bids, self.asks = {}, {}

    def apply(self, message):
        for side, key in ((self.bids, "b"), (self.asks, "a")):
            if message["type"] == "snapshot":
                side.clear()
            prices = [price for price, _ in message["data"][key]]
            assert len(set(prices)) == len(prices), "a price twice in a message"
            for price, size in message["data"][key]:
                if size == "0":
                    del side[float(price)]  # a feed removes only what it has shown
                else:
                    side[float(price)] = float(size)


def _check(market, book, levels):
    bids, asks = market.book()
    assert sorted(book.bids.items(), reverse=True) == bids
    assert sorted(book.asks.items()) == asks
    assert len(bids) == len(asks) == levels
    assert bids[0][0] < asks[0][0]
    assert all(size > 0 for _, size in bids + asks)


def _follow(market, messages, levels):
    book = DictBook()
    for number in range(messages):
        message = json.loads(market.lines(0, number, 1))
        book.apply(message)
        _check(market, book, levels)
        assert (message["type"] == "snapshot") == (number == 0)
        yield message


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    levels=st.sampled_from([200, 500]),
    cadence=st.sampled_from([50, 100, 1_000]),
    changes=st.integers(8, 60),
    price=st.sampled_from([0.25, 1.9532, 3_000.0, 60_000.0]),
    volatility=st.sampled_from([1e-5, 9e-4, 5e-3]),
)
def test_the_messages_build_the_true_book_at_every_message(
    seed, levels, cadence, changes, price, volatility
):
    market = _market(
        seed=seed,
        levels=levels,
        cadence_ms=cadence,
        changes=changes,
        price=price,
        tick=float(f"{price / 600_000:.0e}"),
        volatility=volatility,
    )
    updates = [message["data"]["u"] for message in _follow(market, 300, levels)]
    assert np.all(np.diff(updates) == 1)


def test_prices_that_are_powers_of_ten_have_all_their_digits():
    for price in (100.0, 1_000.0, 10_000.0):
        path = PricePath(np.full((60, 13), price), np.zeros(60))
        market = _market(path=path, tick=price / 10_000)
        assert all(message["type"] for message in _follow(market, 40, 200))
        assert min(abs(at - price) for at, _ in market.book()[0]) < price / 1_000


@pytest.mark.parametrize(("cadence", "changes"), [(1_000, 12), (100, 42), (100, 20)])
def test_a_message_holds_the_wanted_changes_on_average(cadence, changes):
    market = _market(cadence_ms=cadence, changes=changes, levels=500)
    market.lines(0, 0, 1)
    pairs = market.lines(0, 1, 2_000).count(b'["')
    assert pairs / 2_000 == pytest.approx(changes, rel=0.05)


def _jumping():
    knots = np.full((60, 13), 70_000.0)
    knots[0, :2] = 60_000.0
    return PricePath(knots, np.zeros(60))


def test_a_jump_beyond_the_whole_book_keeps_it_true():
    market = _market(path=_jumping(), cadence_ms=4_000, changes=30)
    book = DictBook()
    for number in range(6):
        book.apply(json.loads(market.lines(0, number, 1)))
        _check(market, book, 200)
    assert max(book.bids) == 70_000


@given(cuts=st.lists(st.integers(1, 299), max_size=5, unique=True))
@settings(max_examples=10, deadline=None)
def test_the_bytes_do_not_depend_on_how_they_are_asked_for(cuts):
    whole = _market().lines(0, 0, 300)
    market, edges = _market(), [0, *sorted(cuts), 300]
    parts = [market.lines(0, a, b - a) for a, b in itertools.pairwise(edges)]
    assert b"".join(parts) == whole


def test_a_line_looks_like_the_venues():
    market = _market()
    market.lines(0, 0, 1)
    line = market.lines(0, 1, 1)
    message = json.loads(line)
    assert line == json.dumps(message, separators=(",", ":")).encode() + b"\n"
    assert list(message) == ["topic", "type", "ts", "data", "cts"]
    assert list(message["data"]) == ["s", "b", "a", "u", "seq"]
    assert message["topic"] == "orderbook.200.BTCUSDT"
    assert message["cts"] < message["ts"]
    for price, size in message["data"]["b"] + message["data"]["a"]:
        assert Decimal(price) % Decimal("0.1") == 0
        assert len(price.split(".")[1]) == 2
        assert size == "0" or len(size.split(".")[1]) == 3


def test_the_second_day_has_the_other_key_order_and_goes_on_counting():
    path = random_path(2_880, seed=1, price=60_000, volatility=0.0009, signal=0.0)
    market = _market(path=path, days=2, cadence_ms=60_000, changes=30)
    days = [b"".join(market.day(day)).splitlines() for day in range(2)]
    assert [len(lines) for lines in days] == [1_440, 1_440]
    first, second = json.loads(days[0][-1]), json.loads(days[1][0])
    assert list(second) == ["topic", "ts", "type", "data", "cts"]
    assert second["type"] == "snapshot"
    assert second["data"]["u"] == first["data"]["u"] + 1
    assert START_MS + 86_400_000 <= second["ts"] < START_MS + 86_400_100


def test_messages_keep_their_time_slots():
    market = _market(cadence_ms=100)
    stamps = [json.loads(line)["ts"] for line in market.lines(0, 0, 500).splitlines()]
    slots = (np.array(stamps) - START_MS) // 100
    assert slots.tolist() == list(range(500))


def test_every_day_begins_at_its_midnight_at_any_cadence():
    path = random_path(2_880, seed=1, price=60_000, volatility=0.0009, signal=0.0)
    market = _market(path=path, days=2, cadence_ms=7_001, changes=30, seed=2**64 + 5)
    for day in range(2):
        stamps = [json.loads(line)["ts"] for line in b"".join(market.day(day)).splitlines()]
        midnight = START_MS + day * 86_400_000
        assert midnight <= stamps[0] < midnight + 50
        assert stamps[-1] < midnight + 86_400_000
        assert len(stamps) == 12_342


def test_near_levels_lean_with_the_path():
    minutes = 60
    lean = np.repeat([0.8, -0.8], minutes // 2)
    market = _market(path=PricePath(np.full((minutes, 13), 60_000.05), lean), changes=30)
    shown = {0.8: [], -0.8: []}
    for number in range(7_200):
        market.lines(0, number, 1)
        if number % 40 == 0:
            bids, asks = market.book()
            for levels in (1, 5):
                bid, ask = (sum(size for _, size in side[:levels]) for side in (bids, asks))
                shown[lean[number // 120]].append((bid - ask) / (bid + ask))
    assert np.mean(shown[0.8]) > 0.5
    assert np.mean(shown[-0.8]) < -0.5


GOLDEN = {
    "as the demo": ({}, "436b1fe5fcb41bd8"),
    "deep and fast": (
        {"levels": 500, "cadence_ms": 100, "changes": 42, "seed": 3},
        "246cead1ebae25c6",
    ),
    "wild and coarse": (
        {"tick": 5.0, "volatility": 0.02, "signal": 0.0, "cadence_ms": 1_000, "changes": 90},
        "61662f7482e9259a",
    ),
    "a cheap coin": (
        {"price": 0.25, "tick": 1e-5, "volatility": 5e-3, "changes": 60},
        "17d1c2767cf2b9b6",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_seed_is_the_same_market_in_every_version(name):
    """Figures in the README and whoever compares two versions of this project rest on it."""
    changes, digest = GOLDEN[name]
    lines = _market(**changes).lines(0, 0, 3_000)
    assert lines.count(b"\n") == 3_000
    assert hashlib.sha256(lines).hexdigest()[:16] == digest


def _swinging():
    """Two days of a price that rises for six hours and falls for six, straight."""
    steps = np.arange(2_880 * 12 + 1)
    price = 57_000.0 + np.abs(steps % 8_640 - 4_320)
    minutes = np.arange(2_880)
    knots = price[12 * minutes[:, None] + np.arange(13)]
    return PricePath(knots, (minutes % 7 - 3) / 4)


@pytest.mark.parametrize(
    ("changes", "digest", "places"),
    [(30, "6dc51de28a422018", (119, 928)), (8, "363130a837c99852", (128, 830))],
)
def test_days_of_a_seed_are_the_same_in_every_version(changes, digest, places):
    """Two days with their borders, and a third: when the path has ended, its last minute stays.

    Each side has gone through all its columns more than once, and lies where it was put last.
    """
    market = _market(path=_swinging(), cadence_ms=60_000, changes=changes)
    text = b"".join([*market.day(0), *market.day(1), market.lines(2, 0, 50)])
    assert hashlib.sha256(text).hexdigest()[:16] == digest
    assert tuple(side[NOTES, START] for side in (market._bids, market._asks)) == places
    kinds = [json.loads(line)["type"] for line in text.splitlines()]
    begin = market.messages_a_day
    assert [at for at, kind in enumerate(kinds) if kind == "snapshot"] == [0, begin, 2 * begin]
    assert len(kinds) == 2 * begin + 50


@pytest.mark.parametrize(
    ("cadence", "late"), [(10, 1), (19, 1), (40, 2), (100, 5), (999, 49), (1_000, 50), (4_000, 50)]
)
def test_a_message_is_late_by_less_than_a_twentieth_of_the_cadence_or_50_ms(cadence, late):
    market = _market(cadence_ms=cadence, changes=8)
    stamps = [json.loads(line)["ts"] for line in market.lines(0, 0, 800).splitlines()]
    assert {ts - START_MS - cadence * at for at, ts in enumerate(stamps)} == {*range(late)}


def test_a_seed_counts_to_its_last_64_bits():
    path = _jumping()
    texts = [_market(path=path, seed=seed).lines(0, 0, 3) for seed in (5, 2**64 + 5, 6)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("day", range(4))
def test_every_other_day_has_the_type_first(day):
    market = _market(cadence_ms=60_000)
    keys = list(json.loads(market.lines(day, 0, 1)))
    assert keys[1:3] == (["type", "ts"] if day % 2 == 0 else ["ts", "type"])


@pytest.mark.parametrize(("ticks", "is_refused"), [(1_200, True), (1_201, False)])
def test_the_book_must_fit_thrice_below_the_price(ticks, is_refused):
    """Levels of a price that stands are two ticks apart: 200 of them, and three times that."""
    path = PricePath(np.full((60, 13), float(ticks)), np.zeros(60))
    if is_refused:
        with pytest.raises(
            ValueError, match=r"is 1200 ticks of 1\.0: 200 levels need more than 1200"
        ):
            _market(path=path, tick=1.0)
    else:
        assert _market(path=path, tick=1.0).lines(0, 0, 5).count(b"\n") == 5


def test_prices_too_low_for_the_tick_are_refused():
    with pytest.raises(ValueError, match=r"smaller simulate\.tick or more simulate\.changes"):
        _market(price=5.0, tick=0.1)
