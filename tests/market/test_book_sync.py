from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from quantgod.contracts import BookUpdate
from quantgod.market.binance import BestQuote, DepthEvent, DepthSnapshot, decode, decode_snapshot
from quantgod.market.book import DEEP_LEVELS
from quantgod.market.book_sync import OLD_EVENTS, BinanceBookSync
from quantgod.market.messages import MessageError
from quantgod.market.sync_events import (
    Change,
    Drop,
    Extension,
    NeedSnapshot,
    OutOfSync,
    Sync,
)

RECORDING = Path(__file__).parents[3] / "shared/data/binance_usdm_btcusdt_20240808.gz"

BIDS = [(float(price), 1.0) for price in range(100, 90, -1)]
ASKS = [(float(price), 1.0) for price in range(101, 111)]
SNAPSHOT = DepthSnapshot(50, 1_000, BIDS, ASKS)
BAD = MessageError("bad_number", "a level that is no number")


def event(previous, final, bids=(), asks=(), *, ts=None, symbol="X"):
    time = 1_000 + final if ts is None else ts
    return DepthEvent(symbol, time, previous + 1, final, previous, list(bids), list(asks))


def connected(limit=100):
    sync = BinanceBookSync("X", limit)
    sync.connected()
    return sync


def synced(limit=100):
    """A book at 60, known from 91 to 110."""
    sync = connected(limit)
    sync.receive(event(45, 60))
    assert isinstance(sync.receive_snapshot(SNAPSHOT)[0], Sync)
    return sync


def near_the_edge(limit=100):
    """A book at 70 whose bids fell from 100 to 95, and which has asked for a fresh snapshot."""
    sync = synced(limit)
    fall = [(float(price), 0.0) for price in range(96, 101)]
    answer = sync.receive(event(60, 70, fall, [(96.0, 3.0)]))
    assert answer[1:] == [NeedSnapshot("edge")]
    return sync


def names(events):
    return [(type(each).__name__, getattr(each, "reason", "")) for each in events]


def lost(reason):
    return [("OutOfSync", reason), ("NeedSnapshot", "lost")]


# The first event


def test_a_stream_that_opens_asks_for_a_snapshot_and_has_no_book():
    sync = BinanceBookSync("X", 100)
    assert not sync.needs_snapshot
    assert sync.connected() == [NeedSnapshot("start")]
    assert sync.needs_snapshot
    assert (sync.book, sync.last_update_id, sync.is_synced) == (None, -1, False)


def test_events_wait_for_the_snapshot_which_they_bring_up_to_date():
    sync = connected()
    waiting = [event(30, 45, [(99.0, 7.0)]), event(45, 60, [(98.0, 5.0)]), event(60, 70, [(97, 0)])]
    assert [names(sync.receive(each)) for each in waiting] == [[("Drop", "no_book")]] * 3
    answer = sync.receive_snapshot(SNAPSHOT)
    bids = [(100.0, 1.0), (99.0, 1.0), (98.0, 5.0), *BIDS[4:]]
    assert answer == [Sync(BookUpdate("X", 1_070, True, 70, bids, ASKS))]
    assert sync.last_update_id == 70
    assert sync.known_range == (91.0, 110.0)
    assert not sync.needs_snapshot


@pytest.mark.parametrize(
    ("previous", "first", "final"),
    [(49, 50, 50), (49, 50, 55), (45, 48, 55), (50, 51, 55), (48, 52, 55), (45, 46, 50)],
    ids=["is it", "starts it", "spans it", "follows it", "it lies between", "ends it"],
)
def test_the_first_event_reaches_over_the_snapshots_id(previous, first, final):
    sync = connected()
    sync.receive_snapshot(SNAPSHOT)
    assert sync.book is None
    answer = sync.receive(replace(event(previous, final), first=first))
    assert names(answer) == [("Sync", "")]
    assert sync.last_update_id == final


def test_a_snapshot_ahead_of_the_stream_waits_for_the_event_that_proves_it():
    sync = connected()
    sync.receive(event(30, 40))
    assert sync.receive_snapshot(SNAPSHOT) == []
    assert names(sync.receive(event(40, 49))) == [("Drop", "out_of_date")]
    assert sync.book is None
    assert not sync.needs_snapshot
    assert names(sync.receive(event(49, 60))) == [("Sync", "")]


def test_a_snapshot_older_than_the_buffer_is_stale_and_the_buffer_stays():
    sync = connected()
    sync.receive(event(55, 60))
    sync.receive(event(60, 70))
    assert sync.receive_snapshot(SNAPSHOT) == [NeedSnapshot("stale_snapshot")]
    assert names(sync.receive_snapshot(SNAPSHOT._replace(last_update_id=57))) == [("Sync", "")]
    assert sync.last_update_id == 70


def test_a_snapshot_of_another_count_than_the_stream_is_stale():
    sync = connected()
    sync.receive_snapshot(SNAPSHOT._replace(last_update_id=10**9))
    assert names(sync.receive(event(45, 60, ts=2_000))) == [("Drop", "out_of_date")]
    answer = sync.receive(event(60, 70, ts=2_001))
    assert names(answer) == [("Drop", "out_of_date"), ("NeedSnapshot", "stale_snapshot")]
    assert names(sync.receive_snapshot(SNAPSHOT._replace(last_update_id=65))) == [("Sync", "")]


@pytest.mark.parametrize(
    "snapshot",
    [
        SNAPSHOT._replace(bids=[], asks=[]),
        SNAPSHOT._replace(asks=[]),
        SNAPSHOT._replace(bids=[]),
        SNAPSHOT._replace(bids=BIDS[:4]),
        SNAPSHOT._replace(asks=[*ASKS[:4], (200.0, 0.0)]),
        SNAPSHOT._replace(bids=[(101.0, 1.0), *BIDS]),
    ],
    ids=["empty", "no asks", "no bids", "thin", "thin but for a zero", "crossed"],
)
def test_a_snapshot_that_is_no_book_is_refused(snapshot):
    sync = connected()
    sync.receive(event(45, 60))
    assert sync.receive_snapshot(snapshot) == [NeedSnapshot("bad_snapshot")]
    assert sync.book is None
    assert names(sync.receive_snapshot(SNAPSHOT)) == [("Sync", "")]


def test_a_book_that_was_crossed_on_its_way_is_not_published():
    sync = connected()
    sync.receive(event(45, 60, [(102.0, 1.0)]))
    sync.receive(event(60, 70, [], [(101.0, 0.0), (102.0, 0.0)]))
    assert sync.receive_snapshot(SNAPSHOT) == [NeedSnapshot("bad_snapshot")]
    answer = sync.receive_snapshot(SNAPSHOT._replace(last_update_id=65, asks=ASKS[2:]))
    assert names(answer) == [("Sync", "")]


def test_a_snapshot_nobody_asked_for_changes_nothing():
    sync = synced()
    before = sync.book.top()
    answer = sync.receive_snapshot(DepthSnapshot(60, 1_060, BIDS[:6], ASKS[:6]))
    assert names(answer) == [("Drop", "unasked_snapshot")]
    assert sync.book.top() == before
    assert names(BinanceBookSync("X", 1).receive_snapshot(SNAPSHOT)) == names(answer)


def test_a_break_in_what_waits_gives_up_what_came_before_it():
    sync = connected()
    sync.receive(event(45, 60))
    assert names(sync.receive(event(65, 70))) == [("Drop", "broken_chain")]
    assert sync.receive_snapshot(SNAPSHOT) == [NeedSnapshot("stale_snapshot")]
    assert names(sync.receive_snapshot(SNAPSHOT._replace(last_update_id=66))) == [("Sync", "")]


def test_a_message_that_cannot_be_read_breaks_what_waits():
    sync = connected()
    sync.receive(event(45, 60))
    assert sync.refuse(BAD) == [Drop("bad_number", str(BAD))]
    sync.receive(event(65, 70))
    assert sync.receive_snapshot(SNAPSHOT) == [NeedSnapshot("stale_snapshot")]


def test_a_full_buffer_starts_over_and_says_so():
    sync = connected(limit=3)
    for place in range(3):
        assert names(sync.receive(event(place, place + 1))) == [("Drop", "no_book")]
    answer = sync.receive(event(3, 4))
    assert names(answer) == [("OutOfSync", "overflow"), ("NeedSnapshot", "overflow")]
    assert sync.receive_snapshot(SNAPSHOT._replace(last_update_id=2)) == [
        NeedSnapshot("stale_snapshot")
    ]
    assert names(sync.receive_snapshot(SNAPSHOT._replace(last_update_id=3))) == [("Sync", "")]


def test_a_buffer_has_room():
    with pytest.raises(ValueError, match="buffer_limit of at least 1 was expected, got 0"):
        BinanceBookSync("X", 0)


# Every later event


def test_an_event_that_follows_is_applied_within_the_known_range():
    sync = synced()
    bids = [(90.5, 4.0), (91.0, 2.0), (100.0, 0.0), (50.0, 0.0)]
    answer = sync.receive(event(60, 70, bids, [(110.0, 3.0), (110.5, 9.0)]))
    inside = BookUpdate("X", 1_070, False, 70, [(91.0, 2.0), (100.0, 0.0)], [(110.0, 3.0)])
    assert answer == [Change(inside)]
    assert sync.book.top() == ([*BIDS[1:9], (91.0, 2.0)], [*ASKS[:9], (110.0, 3.0)])


def test_a_gap_withdraws_the_book():
    sync = synced()
    book = sync.book
    answer = sync.receive(event(61, 70))
    assert answer == [OutOfSync("gap", "pu 60 expected, got 61"), NeedSnapshot("lost")]
    assert (sync.book, sync.known_range, sync.last_update_id) == (None, None, -1)
    assert book.top() == ([], [])  # nor has one who held it a price
    assert names(sync.receive_snapshot(SNAPSHOT._replace(last_update_id=65))) == [("Sync", "")]


def test_an_event_that_overlaps_the_last_one_is_a_gap():
    assert names(synced().receive(event(55, 70))) == lost("gap")


def test_an_event_seen_before_changes_nothing():
    sync = synced()
    sync.receive(event(60, 70, [(99.0, 4.0)]))
    before = sync.book.top()
    again = sync.receive(event(60, 70, [(99.0, 4.0)]))
    assert names(again) == [("Drop", "duplicate")]
    assert names(sync.receive(event(45, 60, [(99.0, 9.0)]))) == [("Drop", "late")]
    assert (sync.book.top(), sync.last_update_id) == (before, 70)


def test_lower_ids_at_a_later_time_are_a_new_count():
    sync = synced()
    assert names(sync.receive(event(1, 3, ts=1_061))) == lost("sequence_reset")
    assert names(sync.receive(event(3, 5, ts=1_161))) == [("Drop", "no_book")]
    assert names(sync.receive_snapshot(SNAPSHOT._replace(last_update_id=4))) == [("Sync", "")]


def test_old_events_without_end_are_a_new_count_whatever_their_times_say():
    sync = synced()
    old = [names(sync.receive(event(place, place + 1, ts=0))) for place in range(OLD_EVENTS + 1)]
    assert old == [[("Drop", "late")]] * OLD_EVENTS + [lost("sequence_reset")]


def test_old_events_count_from_the_last_new_one_and_from_the_last_new_count():
    """However often: each row of them is as long as the first one may be."""
    sync, final = synced(), 60
    for _ in range(3):
        for place in range(OLD_EVENTS):
            echo = sync.receive(event(place, place + 1, ts=0))
            assert names(echo) == [("Drop", "late")]
        sync.receive(event(final, final + 1))
        final += 1
    for _ in range(OLD_EVENTS + 1):
        lost_at = sync.receive(event(50, 51, ts=0))
    assert names(lost_at) == lost("sequence_reset")
    again = [names(sync.receive(event(9, 10, ts=-9))) for _ in range(OLD_EVENTS + 1)]
    assert again == [[("Drop", "late")]] * OLD_EVENTS + [[("Drop", "broken_chain")]]


def test_a_crossed_book_is_withdrawn():
    assert names(synced().receive(event(60, 70, [(101.0, 1.0)]))) == lost("crossed")


def test_a_book_of_which_too_little_is_known_is_withdrawn():
    swept = [(float(price), 0.0) for price in range(95, 101)]
    beyond = [(float(price), 1.0) for price in range(80, 91)]
    sync = synced()
    assert names(sync.receive(event(60, 70, [*swept, *beyond]))) == lost("out_of_range")
    everything = [(price, 0.0) for price, _ in BIDS]
    assert names(synced().receive(event(60, 70, everything))) == lost("out_of_range")


def test_a_message_of_another_symbol_loses_what_should_have_come():
    sync = synced()
    answer = sync.receive(event(60, 70, symbol="Y"))
    assert names(answer) == lost("wrong_symbol")
    assert "X expected, got 'Y'" in answer[0].detail
    assert names(connected().receive(event(60, 70, symbol="Y"))) == [("Drop", "wrong_symbol")]


def test_a_message_that_cannot_be_read_withdraws_the_book():
    sync = synced()
    assert sync.refuse(BAD) == [OutOfSync("bad_number", str(BAD)), NeedSnapshot("lost")]
    assert sync.book is None


def test_clock_steps_of_an_hour_are_lived_with_and_a_day_is_not_believed():
    sync = synced()
    for place, ts in enumerate([1_070, 3_601_070, 1_090, -3_598_900]):
        assert names(sync.receive(event(60 + place, 61 + place, ts=ts))) == [("Change", "")]
    assert names(sync.receive(event(64, 65, ts=10**9))) == lost("bad_time")
    assert names(sync.receive(event(65, 66, ts=1_100))) == [("Drop", "no_book")]
    assert names(sync.receive(event(66, 67, ts=10**9))) == [("Drop", "bad_time")]


def test_a_stream_that_ends_takes_the_book_and_asks_for_nothing():
    sync = synced()
    assert names(sync.disconnected()) == [("OutOfSync", "disconnected")]
    assert (sync.book, sync.needs_snapshot) == (None, False)
    assert sync.disconnected() == []
    assert names(sync.receive(event(60, 70))) == [("Drop", "no_book")]
    assert names(sync.receive_snapshot(SNAPSHOT)) == [("Drop", "unasked_snapshot")]
    assert sync.connected() == [NeedSnapshot("start")]
    assert sync.receive_snapshot(SNAPSHOT) == []  # what came before is over


def test_a_stream_that_opens_over_another_starts_over():
    events = synced().connected()
    assert names(events) == [("OutOfSync", "disconnected"), ("NeedSnapshot", "start")]


# The edge of what is known


def test_a_side_whose_known_levels_run_thin_asks_though_the_price_stands():
    deep = DepthSnapshot(50, 1_000, [(100.0 - place, 1.0) for place in range(40)], ASKS)
    sync = connected()
    sync.receive(event(45, 60))
    assert isinstance(sync.receive_snapshot(deep)[0], Sync)
    thinner = [(100.0 - place, 0.0) for place in range(1, 21)]
    assert names(sync.receive(event(60, 70, thinner))) == [("Change", "")]  # 20 of 40
    assert names(sync.receive(event(70, 80, [(75.0, 0.0)])))[1:] == [("NeedSnapshot", "edge")]
    assert sync.book is not None


def test_a_price_near_the_edge_asks_once_for_a_fresh_snapshot_and_the_book_stands():
    sync = near_the_edge()
    assert sync.needs_snapshot
    assert sync.book.best_bid == 95.0
    assert names(sync.receive(event(70, 80, [(95.0, 2.0)]))) == [("Change", "")]


def test_a_fresh_snapshot_widens_the_book_by_what_is_true_now():
    sync = near_the_edge()
    sync.receive(event(70, 80, [(88.0, 5.0), (89.0, 0.0), (95.0, 2.0)], [(112.0, 6.0)]))
    below = [(float(price), 1.0) for price in range(95, 86, -1)]
    asks = [(96.0, 3.0), *ASKS, (111.0, 1.0), (112.0, 1.0)]
    answer = sync.receive_snapshot(DepthSnapshot(75, 1_075, below, asks))
    new_bids, new_asks = [(90.0, 1.0), (88.0, 5.0), (87.0, 1.0)], [(111.0, 1.0), (112.0, 6.0)]
    assert answer == [Extension(BookUpdate("X", 1_080, False, 80, new_bids, new_asks))]
    assert sync.known_range == (87.0, 112.0)
    assert sync.book.top()[0] == [(95.0, 2.0), *BIDS[6:], *new_bids]
    assert sync.book.top()[1] == [(96.0, 3.0), *ASKS, *new_asks]
    assert names(sync.receive(event(80, 90, [(87.0, 0.0)]))) == [("Change", "")]


def test_a_fresh_snapshot_ahead_of_the_stream_widens_the_book_when_its_event_comes():
    sync = near_the_edge()
    below = [(float(price), 1.0) for price in range(95, 80, -1)]
    fresh = DepthSnapshot(85, 1_085, below, [(96.0, 3.0), *ASKS])
    assert sync.receive_snapshot(fresh) == []
    assert names(sync.receive(event(70, 80))) == [("Change", "")]
    assert names(sync.receive(event(80, 90))) == [("Change", ""), ("Extension", "")]
    assert sync.known_range == (81.0, 110.0)


def test_a_fresh_snapshot_that_is_stale_or_thin_is_asked_for_again_and_the_book_stands():
    sync = near_the_edge()
    assert sync.receive_snapshot(SNAPSHOT) == [NeedSnapshot("stale_snapshot")]
    assert sync.receive_snapshot(SNAPSHOT._replace(bids=[])) == [NeedSnapshot("bad_snapshot")]
    assert sync.is_synced


def test_a_fresh_snapshot_that_never_comes_is_asked_for_again_and_the_book_stands():
    sync = near_the_edge(limit=3)
    answers = [names(sync.receive(event(70 + place, 71 + place))) for place in range(3)]
    assert answers[:2] == [[("Change", "")]] * 2
    assert answers[2] == [("Change", ""), ("NeedSnapshot", "overflow")]
    assert sync.is_synced


def test_a_fresh_snapshot_that_contradicts_the_book_withdraws_it():
    sync = near_the_edge()
    below = [(95.0, 1.5), *((float(price), 1.0) for price in range(94, 80, -1))]
    answer = sync.receive_snapshot(DepthSnapshot(70, 1_070, below, [(96.0, 3.0), *ASKS]))
    assert names(answer) == lost("contradiction")
    assert sync.book is None


def test_a_narrower_snapshot_leaves_the_range_as_it_was():
    sync = near_the_edge()
    below = [(float(price), 1.0) for price in range(95, 90, -1)]
    answer = sync.receive_snapshot(DepthSnapshot(70, 1_070, below, [(96.0, 3.0), *ASKS[:5]]))
    assert answer == [Extension(BookUpdate("X", 1_070, False, 70, [], []))]
    assert sync.known_range == (91.0, 110.0)


# Whatever comes

ids = st.integers(0, 9)
levels = st.lists(
    st.tuples(st.integers(95, 106).map(float), st.sampled_from([0.0, 2.0])), max_size=4
)
messages = st.one_of(
    st.builds(event, ids, ids, levels, levels, ts=st.integers(0, 9_000)),
    st.builds(DepthSnapshot, ids, st.integers(0, 9_000), st.just(BIDS), st.just(ASKS)),
    st.sampled_from(["connected", "disconnected", BAD]),
)


def tell(sync, message):
    if isinstance(message, str):
        return getattr(sync, message)()
    if isinstance(message, MessageError):
        return sync.refuse(message)
    return feed(sync, message)


@given(st.lists(messages, max_size=40), st.integers(1, 5))
def test_no_sequence_of_messages_shows_a_book_that_is_none(sequence, limit):
    sync = connected(limit)
    for message in sequence:
        before = sync.last_update_id
        answer = tell(sync, message)
        if isinstance(message, DepthEvent):
            assert answer
            assert Change not in map(type, answer) or message.previous == before
        for place, each in enumerate(answer):
            if isinstance(each, OutOfSync) and message != "disconnected":
                assert isinstance(answer[place + 1], NeedSnapshot)
                assert sync.needs_snapshot
        assert sync.is_synced == (sync.book is not None) == (sync.last_update_id >= 0)
        if (book := sync.book) is not None:
            assert min(len(book.bids), len(book.asks)) >= DEEP_LEVELS
            assert not book.is_crossed
            low, high = sync.known_range
            assert low <= min(book.bids)
            assert max(book.asks) <= high


# Who samples the book


def test_the_book_is_looked_at_before_each_message_that_counts_and_only_then():
    sync = connected()
    looks = []
    sync.before_change = lambda ts: looks.append((ts, sync.book and sync.book.best_bid))
    sync.receive(event(45, 60))
    sync.receive_snapshot(SNAPSHOT)
    sync.receive(event(60, 70, [(100.0, 0.0)]))
    sync.receive(event(60, 70, [(100.0, 0.0)]))  # a duplicate
    sync.receive(event(45, 60))  # late
    sync.receive(event(75, 80))  # a gap
    sync.receive(event(80, 90))
    sync.refuse(BAD)
    assert looks == [(1_060, None), (1_070, 100.0), (1_080, 99.0), (1_090, None)]


# The real recording


@pytest.fixture(scope="module")
def recording():
    if not RECORDING.exists():
        pytest.skip(f"the real recording is not there: {RECORDING.name} in ../shared/data")
    with gzip.open(RECORDING) as file:
        lines = [line[line.index(b" ") + 1 :] for line in file if b"@trade" not in line]
    is_rest = [line.startswith(b'{"lastUpdateId"') for line in lines]
    return [
        decode_snapshot(line) if rest else decode(line)
        for line, rest in zip(lines, is_rest, strict=True)
    ]


def feed(sync, message):
    if isinstance(message, DepthSnapshot):
        return sync.receive_snapshot(message)
    return sync.receive(message)


def test_a_real_recording_is_followed_without_a_gap_to_every_best_quote(recording):
    sync = BinanceBookSync("BTCUSDT", 10_000, beyond_range=True)
    sync.connected()
    outcomes, tops = set(), {}
    for message in recording:
        if not isinstance(message, BestQuote):
            outcomes |= {*names(feed(sync, message))}
            if (book := sync.book) is not None:
                tops[sync.last_update_id] = book.quote()[:4]
    followed = {("Sync", ""), ("Change", ""), ("NeedSnapshot", "edge")}
    assert outcomes == {("Drop", "no_book")} | followed
    quotes = {q.update_id: (*q.bid, *q.ask) for q in recording if isinstance(q, BestQuote)}
    compared = [top == quotes[final] for final, top in tops.items() if final in quotes]
    assert (sum(compared), len(compared)) == (629, 629)


def test_a_real_price_that_leaves_what_one_snapshot_showed_takes_the_book_with_it(recording):
    sync, whole = connected_pair("BTCUSDT")
    applied = 0
    for message in recording:
        if isinstance(message, BestQuote):
            continue
        events = feed(sync, message)
        feed(whole, message)
        if sync.book is None and applied:
            break
        if sync.book is not None:
            applied += 1
            if applied % 100 == 0:
                low, high = sync.known_range
                assert sync.book.bids == {p: s for p, s in whole.book.bids.items() if p >= low}
                assert sync.book.asks == {p: s for p, s in whole.book.asks.items() if p <= high}
    assert names(events) == lost("out_of_range")
    assert applied > 4_000


def connected_pair(symbol):
    pair = BinanceBookSync(symbol, 10_000), BinanceBookSync(symbol, 10_000, beyond_range=True)
    for sync in pair:
        sync.connected()
    return pair
