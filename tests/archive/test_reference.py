from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest

from quantgod.archive.day_reading import DayReading
from quantgod.archive.reference import ReferenceReader, read_archive_reference
from quantgod.archive.zip_stream import lines, open_archive
from quantgod.contracts import BOOK_COLUMNS
from quantgod.market.book import OrderBook
from quantgod.market.bybit import decode
from tests.archive.streams import MIDNIGHT, SYMBOL, encode, etl_settings, message
from tests.archive.test_kernel import DAY

MINUTE = MIDNIGHT // 60_000
EXCERPT = Path("../shared/data/2024-12-01_XRPUSDT_ob500.data.zip")
needs_excerpt = pytest.mark.skipif(
    not EXCERPT.exists(), reason="the real recording is not beside the project"
)


class Feed:
    """Messages a second apart, each with the next id; what a test changes, it says."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.second = 0
        self.update_id = 10

    def add(self, kind: str = "delta", *, u: int | None = None, ts: int | None = None, **levels):
        self.update_id = self.update_id + 1 if u is None else u
        time = MIDNIGHT + 1_000 * self.second if ts is None else ts
        bids, asks = levels.get("b", [["99", "1"]]), levels.get("a", [["101", "2"]])
        self.lines.append(encode(message(time, self.update_id, bids, asks, kind=kind)))
        self.second += ts is None
        return self

    def minutes(self, count: float):
        for _ in range(round(60 * count)):
            self.add()
        return self

    def raw(self, line: bytes):
        self.lines.append(line)
        return self

    def read(self, **settings) -> DayReading:
        reader = ReferenceReader(SYMBOL, DAY, etl_settings(**settings))
        for line in self.lines:
            reader.take(line)
        reader.finish()
        return reader.ledger.reading(SYMBOL, DAY, None, reader.carry())


def reasons(reading: DayReading) -> dict[int, str]:
    return {minute - MINUTE: reason for minute, reason in reading.dropped}


def test_a_quiet_day_gives_a_row_for_each_minute_but_the_first():
    reading = Feed().add("snapshot").minutes(3).read()
    assert reasons(reading) == {0: "no_previous_close"}
    assert list(reading.minutes - MINUTE) == [1, 2]
    assert reading.first_close_minute == MINUTE
    assert (reading.lines, reading.applied, reading.rejected) == (181, 181, {})
    assert reading.depth == 500
    row = dict(zip(BOOK_COLUMNS, reading.book[0], strict=True))
    assert (row["bid_0_p"], row["bid_0_s"], row["ask_0_p"]) == (99.0, 1.0, 101.0)
    assert np.isnan(row["bid_1_p"])


def test_a_gap_withdraws_the_book_until_the_next_snapshot():
    feed = Feed().add("snapshot").minutes(1.5).add(u=500).minutes(1).add("snapshot").minutes(2)
    reading = feed.read()
    assert reasons(reading) == {0: "no_previous_close", 1: "gap", 2: "no_book"}
    assert reading.rejected == {"gap": 1, "no_book": 60}
    assert list(reading.minutes - MINUTE) == [3]


@pytest.mark.parametrize("kind", ["delta", "snapshot"])
def test_a_gap_between_two_minutes_touches_both(kind):
    feed = Feed().add("snapshot").minutes(179 / 60)
    assert feed.second % 60 == 0
    feed.add(kind, u=feed.update_id + 2).minutes(1).add("snapshot", u=1).minutes(2)
    found = reasons(feed.read())
    assert [found.get(minute) for minute in (1, 2, 3)] == [None, "gap", "gap"]


def test_stale_messages_change_neither_book_nor_clock():
    feed = Feed().add("snapshot").minutes(1.5)
    last, now = feed.update_id, MIDNIGHT + 1_000 * (feed.second - 1)
    feed.add(u=last, ts=now + 999, b=[["99", "0"]]).add(u=last - 5, ts=now - 70_000).add(u=last + 1)
    reading = feed.minutes(1).read()
    assert reasons(reading) == {0: "no_previous_close"}
    assert reading.rejected == {"stale": 2}
    assert list(reading.minutes - MINUTE) == [1]


@pytest.mark.parametrize(("first", "is_later"), [(1, False), (1, True), (3, True)])
def test_a_restart_told_by_a_delta_withdraws_the_book_until_the_next_snapshot(first, is_later):
    feed = Feed().add("snapshot").minutes(1.5)
    feed.add(u=first, ts=None if is_later else MIDNIGHT + 1_000 * feed.second - 1)
    reading = feed.minutes(2).add("snapshot").minutes(2).read()
    assert reasons(reading) == {0: "no_previous_close", 1: "gap", 2: "no_book", 3: "no_book"}
    assert reading.rejected == {"gap": 1, "no_book": 120}
    assert list(reading.minutes - MINUTE) == [4]


def test_the_snapshot_that_ends_a_file_and_begins_the_next_is_counted_once():
    feed = Feed().add("snapshot").minutes(89 / 60).add("snapshot")
    carry = feed.read().carry
    lines, feed.lines = feed.lines[-1:], []
    reader = ReferenceReader(SYMBOL, DAY, etl_settings(), carry)
    for line in [*lines, *feed.minutes(1).lines]:
        reader.take(line)
    assert reader.ledger.minutes == [MINUTE + 1]
    assert reader.ledger.rows[0][8] == np.log1p(60)


def test_a_snapshot_replaces_the_book_and_a_jump_in_its_id_marks_the_minute():
    for step, expected in ((1, {}), (0, {}), (7, {1: "gap"}), (-7, {1: "gap"})):
        feed = Feed().add("snapshot", b=[["98", "5"]]).minutes(1.5)
        feed.add("snapshot", u=feed.update_id + step, b=[["97", "4"]])
        reading = feed.minutes(1).read()
        assert {0: "no_previous_close"} | expected == reasons(reading)
        assert reading.carry.bids.tolist() == [[99.0, 1.0], [97.0, 4.0]]


def test_a_restart_from_one_is_no_gap():
    feed = Feed().add("snapshot").minutes(1.5).add("snapshot", u=1).minutes(1)
    assert reasons(feed.read()) == {0: "no_previous_close"}


def test_the_first_message_of_a_file_may_jump():
    first = Feed().add("snapshot").minutes(1.5)
    carry = first.read().carry
    second = Feed()
    second.second = first.second
    second.add("snapshot", u=9_000).minutes(1)
    reader = ReferenceReader(SYMBOL, DAY, etl_settings(), carry)
    for line in second.lines:
        reader.take(line)
    assert reader.ledger.dropped == []
    assert reader.ledger.minutes == [MINUTE + 1]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "corrupt_json"),
        (None, "corrupt_json"),
        (encode(message(MIDNIGHT, 5, [["1", "nan"]], [])), "bad_number"),
        (encode(message(MIDNIGHT, 5, [], [], symbol="BTCUSDT")), "wrong_symbol"),
        (encode(message(MIDNIGHT, 5, [], [], kind="trade")), "bad_type"),
        (encode(message(MIDNIGHT - 3_600_001, 5, [], [])), "bad_time"),
        (encode(message(MIDNIGHT + 90_000_000, 5, [], [])), "bad_time"),
    ],
)
def test_a_corrupt_line_withdraws_the_book_and_its_minute(line, reason):
    feed = Feed().add("snapshot").minutes(1.5).raw(line).minutes(1).add("snapshot").minutes(2)
    reading = feed.read()
    assert reasons(reading) == {0: "no_previous_close", 1: "corrupt", 2: "no_book"}
    assert reading.rejected == {reason: 1, "no_book": 60}
    assert reading.rejected_lines[0] == (92, reason)
    assert reading.lines == reading.applied + 61


def test_a_message_of_an_hour_before_the_day_is_in_time():
    feed = Feed().add("snapshot", ts=MIDNIGHT - 3_600_000).add(ts=MIDNIGHT + 89_999_999)
    assert feed.read().rejected == {}


def test_a_late_message_goes_into_the_book_but_not_into_the_volume():
    plain, late = (Feed().add("snapshot").minutes(1.5) for _ in range(2))
    late.add(ts=MIDNIGHT + 1_000 * late.second - 20_000, b=[["98", "7"]])
    readings = [feed.minutes(1).read() for feed in (plain, late)]
    assert [reading.out_of_order for reading in readings] == [0, 1]
    assert readings[1].carry.bids.tolist() == [[99.0, 1.0], [98.0, 7.0]]
    assert readings[0].features[0, 8] == readings[1].features[0, 8] == np.log1p(60)


def test_a_crossed_and_a_one_sided_book_are_dropped_but_go_on():
    crossing = Feed().add("snapshot").minutes(1.5).add(b=[["102", "1"]]).add(b=[["102", "0"]])
    assert reasons(crossing.minutes(2).read())[1] == "crossed"
    thin = Feed().add("snapshot").minutes(1.5).add(a=[["101", "0"]]).minutes(2).read()
    assert reasons(thin)[1] == "one_sided"
    assert list(thin.minutes - MINUTE) == [2]


def test_a_file_that_ends_in_second_59_closes_its_last_minute():
    assert list(Feed().add("snapshot").minutes(119 / 60).read().minutes - MINUTE) == [1]
    assert list(Feed().add("snapshot").minutes(118 / 60).read().minutes - MINUTE) == []


def test_a_carry_closes_the_minute_that_the_file_before_left_open():
    feed = Feed().add("snapshot").minutes(1.5)
    carry = feed.read().carry
    reader = ReferenceReader(SYMBOL, DAY, etl_settings(), carry)
    feed.lines.clear()
    for line in feed.minutes(1).lines:
        reader.take(line)
    assert reader.ledger.minutes == [MINUTE + 1]
    assert reader.ledger.dropped == []


def test_a_carry_of_another_symbol_is_refused():
    carry = Feed().add("snapshot").read().carry
    with pytest.raises(ValueError, match="XRPUSDT"):
        ReferenceReader("BTCUSDT", DAY, etl_settings(), carry)


@needs_excerpt
def test_the_real_excerpt_is_read_without_a_fault():
    reading = read_archive_reference(EXCERPT, "XRPUSDT", dt.date(2024, 12, 1), etl_settings())
    assert (reading.lines, reading.applied, reading.rejected) == (50, 50, {})
    assert (reading.depth, reading.out_of_order, reading.dropped) == (500, 0, [])
    carry = reading.carry
    assert (carry.bids.shape, carry.asks.shape) == ((500, 2), (500, 2))
    assert carry.bids[0].tolist() == [1.9537, 10605.0]
    assert carry.asks[0].tolist() == [1.9538, 6702.0]
    assert (np.diff(carry.bids[:, 0]) < 0).all()
    assert (np.diff(carry.asks[:, 0]) > 0).all()


@needs_excerpt
def test_the_real_book_is_never_crossed_and_its_ids_never_jump():
    book, last = OrderBook(), None
    with open_archive(EXCERPT, etl_settings().limits) as archive:
        for line in lines(archive.chunks(), 4_000_000):
            update = decode(line)
            assert update.update_id == json.loads(line)["data"]["u"]
            assert last is None or update.update_id == last + 1
            last = update.update_id
            book.apply(update)
            assert not book.is_crossed
            assert not book.is_one_sided
