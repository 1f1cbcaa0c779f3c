from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from quantgod.contracts import FEATURES, BookUpdate
from quantgod.market.book import OrderBook
from quantgod.market.minute_bars import MinuteBars
from quantgod.market.minute_kernel import CLOCK, CORRUPT, ROW, step

START = 1_704_067_200_000
MINUTE = START // 60_000


def random_market(seed: int, minutes: int) -> list[BookUpdate]:
    """A snapshot, then changes at odd intervals of up to 3 s around a wandering middle."""
    rng = np.random.default_rng(seed)
    middle, ts = 1_000, START + 5
    updates = []
    end = START + minutes * 60_000
    while not updates or updates[-1].ts < end:
        middle += int(rng.integers(-2, 3))
        sides = [
            [((middle + sign * k) / 10, float(rng.integers(1, 90)) / 8) for k in range(1, 8)]
            for sign in (-1, 1)
        ]
        updates.append(BookUpdate("X", ts, True, len(updates), *sides))
        ts += int(rng.integers(1, 3_000))
    return updates


def feed(bars: MinuteBars, book: OrderBook, updates: list[BookUpdate]):
    closed = []
    for update in updates:
        closed += bars.advance(update.ts, book if book.bids else None)
        book.apply(update)
        bars.record(update.ts, book)
    return closed


def bars_from(updates: list[BookUpdate], silence: int = 5, bridge: int = 5):
    return feed(MinuteBars(silence, bridge), OrderBook(), updates)


def oracle(updates: list[BookUpdate]) -> pd.DataFrame:
    """The formulas again, by pandas: state after each message, last of each second, by minute."""
    frame = pd.DataFrame(
        [
            (
                u.ts // 1000,
                *u.bids[0],
                *u.asks[0],
                *(sum(s for _, s in x[:5]) for x in (u.bids, u.asks)),
            )
            for u in updates
        ],
        columns=["second", "bp", "bs", "ap", "az", "bd", "ad"],
    )
    counts = frame.groupby(frame["second"] // 60).size()
    last = frame.groupby("second").last()
    s = last.reindex(range(last.index[0], last.index[-1])).ffill(limit=5)
    s["micro"] = (s.bp * s.az + s.ap * s.bs) / (s.bs + s.az)
    s["spread"] = (s.ap - s.bp) / ((s.ap + s.bp) / 2)
    s["obi"] = (s.bs - s.az) / (s.bs + s.az)
    s["deep"] = (s.bd - s.ad) / (s.bd + s.ad)
    groups = s.groupby(s.index // 60)
    bar = groups["micro"].ohlc()
    before = bar["close"].shift()
    ends = bar[["open", "close"]]
    rows = pd.DataFrame(
        {
            "body": np.log(bar["close"] / bar["open"]),
            "upper_wick": (bar["high"] - ends.max(axis=1)) / before,
            "lower_wick": (ends.min(axis=1) - bar["low"]) / before,
            "log_ret_close": np.log(bar["close"] / before),
            "volatility": np.log(s["micro"]).groupby(s.index // 60).std(ddof=1),
            "max_spread": groups["spread"].max(),
            "mean_obi": groups["obi"].mean(),
            "mean_deep_obi": groups["deep"].mean(),
            "log_volume": np.log1p(counts),
            "close": bar["close"],
        }
    )
    return rows.loc[groups.size()[groups.size() == 60].index[1:]]


@pytest.mark.parametrize("seed", range(4))
def test_the_nine_features_equal_the_formulas_written_in_pandas(seed):
    updates = random_market(seed, 6)
    bars = bars_from(updates)
    expected = oracle(updates)
    assert [bar.reason for bar in bars] == ["no_previous_close"] + [""] * 5
    assert [bar.minute for bar in bars[1:]] == list(expected.index)
    got = np.array([[*bar.features, bar.close] for bar in bars[1:]])
    np.testing.assert_allclose(got, expected[[*FEATURES, "close"]], rtol=1e-9, atol=1e-13)


def a_book(ts: int) -> BookUpdate:
    return BookUpdate("X", ts, True, 1, [(99.0, 2.0)], [(101.0, 3.0)])


def every(step: int, begin: int, end: int) -> list[BookUpdate]:
    """A message each `step` seconds from `begin` up to `end`, in seconds from the start."""
    return [a_book(START + second * 1_000) for second in range(begin, end, step)]


def test_five_silent_seconds_are_filled_and_six_withdraw_every_minute_they_touch():
    assert [bar.reason for bar in bars_from(every(6, 0, 190))] == ["no_previous_close", "", ""]
    messages = every(1, 0, 57) + every(1, 63, 190)  # silent from 57 to 62: six seconds
    assert [bar.reason for bar in bars_from(messages)] == [
        "silence",
        "silence",
        "no_previous_close",
    ]
    messages = every(1, 0, 57) + every(1, 62, 190)
    assert [bar.reason for bar in bars_from(messages)] == ["no_previous_close", "", ""]


def test_a_silence_that_ends_with_the_minute_leaves_the_next_one_alone():
    messages = every(1, 0, 50) + every(1, 60, 190)
    reasons = [bar.reason for bar in bars_from(messages)]
    assert reasons == ["silence", "no_previous_close", ""]


def test_a_break_of_five_minutes_is_bridged_and_six_end_the_run():
    bridged = bars_from(every(1, 0, 121) + every(1, 7 * 60, 9 * 60))
    assert [bar.reason for bar in bridged[:2]] == ["no_previous_close", ""]
    assert [bar.minute for bar in bridged if not bar.reason] == [MINUTE + 1, MINUTE + 7]
    ended = bars_from(every(1, 0, 121) + every(1, 8 * 60, 10 * 60 + 1))
    assert [bar.reason for bar in ended[-2:]] == ["no_previous_close", ""]


def test_a_bridged_bar_spans_the_break_from_the_last_valid_close():
    before = every(1, 0, 121)
    after = [replace(u, bids=[(199.0, 2.0)], asks=[(201.0, 2.0)]) for u in every(1, 300, 361)]
    bars = bars_from(before + after)
    first, last = bars[1], bars[-1]
    assert last.features is not None
    assert last.features[3] == np.log(last.close / first.close)


def test_the_first_partial_minute_of_a_stream_has_no_row():
    assert [bar.reason for bar in bars_from(every(1, 1, 121))] == ["no_book", "no_previous_close"]


def test_a_crossed_or_one_sided_book_withdraws_every_minute_in_which_it_stands():
    crossed = replace(a_book(START + 60_500), bids=[(101.0, 1.0)])
    thin = replace(a_book(START + 60_500), asks=[])
    for odd, reason in ((crossed, "crossed"), (thin, "one_sided")):
        passing = bars_from([*every(1, 0, 61), odd, *every(1, 61, 190)])
        assert [bar.reason for bar in passing] == ["no_previous_close", reason, ""]
        standing = replace(odd, ts=START + 118_500)  # the fill reaches into the next minute
        messages = [*every(1, 0, 119), standing, *every(1, 122, 241)]
        assert [bar.reason for bar in bars_from(messages)][1:3] == [reason, reason]


def test_late_messages_are_told_apart_and_not_counted():
    bars, book = MinuteBars(5, 5), OrderBook()
    feed(bars, book, every(1, 0, 70))
    assert bars.record(START + 69_999, book)
    assert not bars.record(START + 68_999, book)
    assert bars.advance(START + 1, book) == []


def test_volume_counts_the_messages_of_the_minute():
    messages = every(1, 0, 60) + [a_book(START + 60_000 + 250 * k) for k in range(241)]
    assert np.expm1(bars_from(messages)[1].features[8]) == pytest.approx(240)


def test_a_mark_withdraws_the_open_minute_only():
    bars, book = MinuteBars(5, 5), OrderBook()
    closed = feed(bars, book, every(1, 0, 61))
    bars.mark(CORRUPT)
    closed += feed(bars, book, every(1, 61, 181))
    assert [bar.reason for bar in closed] == ["no_previous_close", "corrupt", ""]


def test_what_is_noted_before_the_first_message_withdraws_nothing():
    """No minute is open yet; the one that the first message begins is whole."""
    bars = MinuteBars(5, 5)
    bars.mark(CORRUPT)
    bars.miss()
    closed = feed(bars, OrderBook(), every(1, 0, 121))
    assert [bar.reason for bar in closed] == ["no_previous_close", ""]


def test_the_end_of_a_file_closes_a_minute_only_with_a_message_in_its_last_second():
    for last, closes in ((59, False), (60, True)):
        bars, book = MinuteBars(5, 5), OrderBook()
        feed(bars, book, every(1, 0, last))
        assert bool(bars.finish(book)) == closes
        assert bars.finish(book) == []


def test_silence_is_still_counted_from_the_last_message_after_the_end_of_a_file_closed_a_minute():
    for silent, reason in ((5, ""), (6, "silence")):
        bars, book = MinuteBars(5, 5), OrderBook()
        feed(bars, book, every(1, 0, 60))
        bars.finish(book)
        closed = feed(bars, book, every(1, 60 + silent, 121))
        assert [bar.reason for bar in closed] == [reason]


def test_numbers_that_underflow_make_no_row():
    tiny = [replace(u, bids=[(5e-324, 1e-18)], asks=[(1e-323, 1e-18)]) for u in every(1, 0, 61)]
    assert [bar.reason for bar in bars_from(tiny)] == ["corrupt"]


def test_the_state_may_be_kept_and_gone_on_with_at_any_message():
    updates = random_market(9, 4)
    whole = bars_from(updates)
    minutes = [update.ts // 60_000 for update in updates]
    firsts = [minutes.index(minute) for minute in sorted(set(minutes))[1:]]
    for cut in (1, 7, len(updates) // 2, *firsts, len(updates) - 1):
        bars, book = MinuteBars(5, 5), OrderBook()
        closed = feed(bars, book, updates[:cut])
        other = MinuteBars(5, 5)
        other.integers[:], other.floats[:] = bars.integers, bars.floats
        closed += feed(other, book, updates[cut:])
        assert [bar[:2] for bar in closed] == [bar[:2] for bar in whole]
        for one, another in zip(closed[1:], whole[1:], strict=True):
            assert one.features.tobytes() == another.features.tobytes()
            assert one.seconds.tobytes() == another.seconds.tobytes()


def test_time_may_begin_at_zero():
    def messages() -> list[BookUpdate]:
        return [a_book(1_000 * second) for second in range(181)]

    bars = bars_from(messages())
    assert [(bar.minute, bar.reason) for bar in bars] == [
        (0, "no_previous_close"),
        (1, ""),
        (2, ""),
    ]
    marked, book = MinuteBars(5, 5), OrderBook()
    closed = feed(marked, book, messages()[:1])
    marked.mark(CORRUPT)
    closed += feed(marked, book, messages()[1:121])
    assert [bar.reason for bar in closed] == ["corrupt", "no_previous_close"]


def test_a_silence_that_begins_with_a_minute_leaves_the_one_before_alone():
    messages = every(1, 0, 120) + every(1, 130, 250)
    assert [bar.reason for bar in bars_from(messages)] == ["no_previous_close", "", "silence", ""]


def test_what_is_missing_after_a_message_withdraws_its_minute_while_that_is_open():
    for last, is_finished, expected in ((70, False, "gap"), (120, False, "gap"), (120, True, "")):
        bars, book = MinuteBars(5, 5), OrderBook()
        closed = feed(bars, book, every(1, 0, last))
        if is_finished:
            closed += bars.finish(book)
        bars.miss()
        closed += feed(bars, book, every(1, last, 181))
        assert [bar.reason for bar in closed] == ["no_previous_close", expected, ""]


@pytest.mark.parametrize("earlier", [0, 1, 70, 10**6])
def test_a_second_that_has_begun_moves_nothing(earlier):
    bars, book = MinuteBars(5, 5), OrderBook()
    feed(bars, book, every(1, 0, 70))
    before = bars.integers.copy(), bars.floats.copy()
    second = int(before[0][CLOCK]) - earlier
    assert not step(bars.integers, bars.floats, bars.row, second, 5, 5, ROW, book.quote())
    assert (bars.integers == before[0]).all()
    assert (bars.floats == before[1]).all()
    assert bars.integers[CLOCK] == START // 1000 + 69


def test_a_stream_that_has_not_begun_has_nothing_to_close_and_one_begun_anew_is_like_it():
    bars, fresh = MinuteBars(5, 5), MinuteBars(5, 5)
    assert bars.finish(OrderBook()) == []
    assert not bars.ends_minute
    feed(bars, OrderBook(), every(1, 0, 130))
    bars.restart()
    assert bars.integers.tolist() == fresh.integers.tolist()
    assert not bars.floats.any()
    assert not fresh.floats.any()
