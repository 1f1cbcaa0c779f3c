from __future__ import annotations

import math

import pytest

from quantgod.contracts import MS_PER_DAY, MS_PER_SECOND, BookUpdate
from quantgod.market.binance import DepthEvent, DepthSnapshot
from quantgod.market.book_bars import STRAYS, BookBars, Effect
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.bybit_sync import BybitBookSync
from quantgod.market.messages import MessageError
from quantgod.market.minute_kernel import CLOCK, CORRUPT, MARK

MINUTE = 28_400_000
START = MINUTE * 60_000
BIDS = [(float(price), 1.0) for price in range(99, 89, -1)]
ASKS = [(float(price), 2.0) for price in range(101, 111)]


class Stream:
    """A Bybit stream of one message a second, and what came of it."""

    def __init__(self) -> None:
        self.bars = BookBars(BybitBookSync("X"), 5, 5)
        self.second, self.u, self.closed = 0, 100, []

    def add(self, bids=(), *, skip=0, whole=False):
        self.u += 1 + skip
        levels = (BIDS, ASKS) if whole else (list(bids), [])
        message = BookUpdate("X", START + self.second * 1_000, whole, self.u, *levels)
        self.second += 1
        return self.note(self.bars.receive(message))

    def minutes(self, count):
        for _ in range(round(60 * count)):
            self.add()
        return self

    def note(self, taken: Effect):
        self.closed += taken.closed
        return self

    @property
    def reasons(self):
        return {each.bar.minute - MINUTE: each.bar.reason for each in self.closed}


def test_a_quiet_stream_closes_a_row_a_minute_with_the_book_of_its_end():
    stream = Stream().add(whole=True).minutes(2.5)
    stream.add([(99.0, 8.0)]).minutes(1)
    assert stream.reasons == {0: "no_previous_close", 1: "", 2: ""}
    first, *_, last = stream.closed
    assert (first.bids, first.asks, first.bar.features) == ([], [], None)
    assert math.isnan(first.bar.close)
    assert (last.bids, last.asks) == ([(99.0, 8.0), *BIDS[1:]], ASKS)
    assert last.bar.features[8] == math.log1p(60)


def test_the_book_of_a_minute_is_that_before_the_message_that_closes_it():
    stream = Stream().add(whole=True).minutes(119 / 60)
    stream.add([(99.0, 0.0)])
    assert stream.closed[-1].bids == BIDS
    assert stream.bars.book.best_bid == 98.0


LOSSES = {
    "a gap": (lambda stream: stream.add(skip=3), "gap"),
    "a bid above the asks": (lambda stream: stream.add([(105.0, 1.0)]), "crossed"),
    "no bid": (lambda stream: stream.add([(price, 0.0) for price, _ in BIDS]), "one_sided"),
    "the stream's end": (lambda stream: stream.note(stream.bars.disconnected()), "gap"),
    "a bad number": (
        lambda stream: stream.note(stream.bars.refuse(MessageError("bad_number", ""))),
        "corrupt",
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_no_minute_that_touches_a_span_without_a_book_has_a_row(loss):
    lose, reason = LOSSES[loss]
    stream = Stream().add(whole=True).minutes(2.5)
    lose(stream)
    assert stream.bars.book is None
    stream.minutes(1).add(whole=True).minutes(2)
    assert stream.reasons == {0: "no_previous_close", 1: "", 2: reason, 3: "no_book", 4: ""}


def test_a_message_that_cannot_be_read_costs_a_minute_even_where_no_book_stands():
    stream = Stream()
    for message in (stream.add, lambda: stream.add(whole=True)):
        message()
        stream.note(stream.bars.refuse(MessageError("corrupt_json", "")))
    stream.add(whole=True).minutes(1)
    assert stream.reasons == {0: "no_book"}


def test_the_end_of_a_recording_closes_a_minute_whose_last_second_was_heard():
    stream = Stream().add(whole=True).minutes(119 / 60)
    assert [each.bar.minute - MINUTE for each in stream.bars.finish().closed] == [1]
    stream = Stream().add(whole=True).minutes(118 / 60)
    assert stream.bars.finish().closed == []


def test_an_earlier_run_gives_the_first_minute_its_previous_close():
    asked = []

    def last_before(minute):
        asked.append(minute)
        return minute - 2, 100.0

    stream = Stream()
    stream.bars = BookBars(BybitBookSync("X"), 5, 5, last_before)
    stream.add(whole=True).minutes(2)
    assert asked == [MINUTE]
    assert stream.reasons == {0: "", 1: ""}


def test_snapshots_of_their_own_are_for_venues_that_are_asked_for_them():
    with pytest.raises(TypeError, match="BybitBookSync"):
        Stream().bars.receive_snapshot(DepthSnapshot(1, 1, BIDS, ASKS))


def test_a_binance_book_counts_from_the_message_that_its_snapshot_joins():
    bars, closed = BookBars(BinanceBookSync("X", 100), 5, 5), []
    bars.connected()

    def event(second, bids=()):
        u = 1_000 + second
        message = DepthEvent("X", START + second * 1_000, u, u, u - 1, list(bids), [])
        closed.extend(bars.receive(message).closed)

    for second in range(30):
        event(second)
    assert bars.book is None
    bars.receive_snapshot(DepthSnapshot(1_020, START + 20_000, BIDS, ASKS))
    assert bars.book is not None
    for second in range(30, 241):
        event(second)
    reasons = [(each.bar.minute - MINUTE, each.bar.reason) for each in closed]
    assert reasons == [(0, "no_book"), (1, "no_previous_close"), (2, ""), (3, "")]
    assert closed[-1].bar.features[8] == math.log1p(60)
    assert (closed[-1].bids, closed[-1].asks) == (BIDS, ASKS)


YEAR_SECONDS = 365 * 86_400


@pytest.mark.parametrize("years", [-10, 10])
def test_a_few_wild_times_cost_their_minute_and_no_other(years):
    stream = Stream().add(whole=True).minutes(2.5)
    here = stream.second
    stream.second += years * YEAR_SECONDS
    stream.add().add()
    stream.second = here
    stream.minutes(2)
    assert stream.reasons == {0: "no_previous_close", 1: "", 2: "corrupt", 3: ""}


@pytest.mark.parametrize(("strays", "is_believed"), [(STRAYS, False), (STRAYS + 1, True)])
def test_more_wild_times_in_a_row_than_that_are_believed(strays, is_believed):
    stream = Stream().add(whole=True).minutes(2.5)
    here = stream.second
    for place in range(strays):
        stream.second = here + YEAR_SECONDS + place
        stream.add()
    assert (stream.bars.bars.integers[CLOCK] > START // 1_000 + here) == is_believed


def test_wild_times_between_sound_ones_are_never_believed_however_many_they_are():
    stream = Stream().add(whole=True).minutes(1)
    for _ in range(3 * STRAYS):
        here = stream.second
        stream.second += YEAR_SECONDS
        stream.add()
        stream.second = here
        stream.add()
    assert list(stream.reasons) == [0, 1, 2]


def test_a_stream_that_began_with_a_wild_time_still_comes_to_have_bars():
    stream = Stream()
    stream.second = 10 * YEAR_SECONDS
    stream.add(whole=True)
    stream.second = 0
    stream.minutes(4)
    assert stream.reasons == {0: "no_book", 1: "no_previous_close", 2: ""}


def test_a_sleep_of_days_begins_a_new_run_without_a_minute_for_each_that_was_missed():
    stream = Stream().add(whole=True).minutes(2.5)
    stream.second += 10 * 86_400
    stream.minutes(4)
    assert len(stream.closed) < 7
    assert stream.closed[-1].bar.features is not None


@pytest.mark.parametrize(("off_ms", "is_stray"), [
    (-MS_PER_DAY, True), (1 - MS_PER_DAY, False), (MS_PER_DAY, True), (MS_PER_DAY - 1, False)
])  # fmt: skip
def test_a_time_is_wild_from_a_whole_day_off_on(off_ms, is_stray):
    """Counted from the end of the second that is open."""
    stream = Stream().add(whole=True).minutes(2.5)
    ends = (int(stream.bars.bars.integers[CLOCK]) + 1) * MS_PER_SECOND
    before = stream.bars.bars.integers[CLOCK]
    stream.bars._advance(ends + off_ms)
    assert (stream.bars.bars.integers[MARK] == CORRUPT) == is_stray
    if off_ms < 0 or is_stray:
        assert stream.bars.bars.integers[CLOCK] == before
