from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from quantgod.archive.day_reading import book_row
from quantgod.archive.reference import ReferenceReader
from quantgod.contracts import BookUpdate
from quantgod.market.book_bars import BookBars
from quantgod.market.bybit import decode
from quantgod.market.bybit_sync import BybitBookSync
from quantgod.market.messages import MessageError
from quantgod.market.sync_events import Change, Sync
from tests.archive.streams import FAULTS, SYMBOL, etl_settings, stream
from tests.archive.test_kernel import DAY

BIDS, ASKS = [(99.0, 1.0), (98.0, 2.0)], [(101.0, 3.0), (102.0, 4.0)]
BAD = MessageError("bad_number", "a level that is no number")


def snapshot(u, *, bids=BIDS, asks=ASKS, symbol="X"):
    return BookUpdate(symbol, 1_000 + u, True, u, list(bids), list(asks))


def delta(u, bids=(), asks=(), *, ts=None, symbol="X"):
    return BookUpdate(symbol, 1_000 + u if ts is None else ts, False, u, list(bids), list(asks))


def synced():
    sync = BybitBookSync("X")
    assert sync.receive(snapshot(50)) == [Sync(snapshot(50))]
    return sync


def names(events):
    return [(type(each).__name__, getattr(each, "reason", "")) for each in events]


LOST = ("NeedSnapshot", "lost")


def test_the_first_snapshot_makes_the_book_and_need_not_be_asked_for():
    sync = BybitBookSync("X")
    assert sync.connected() == []
    assert sync.needs_snapshot
    assert names(sync.receive(delta(49))) == [("Drop", "no_book")]
    assert (sync.book, sync.last_update_id, sync.is_synced) == (None, -1, False)
    assert sync.receive(snapshot(50)) == [Sync(snapshot(50))]
    assert sync.book.top() == (BIDS, ASKS)
    assert (sync.last_update_id, sync.is_synced, sync.needs_snapshot) == (50, True, False)


def test_a_delta_that_follows_is_applied():
    sync = synced()
    update = delta(51, [(99.0, 0.0)], [(100.5, 7.0)])
    assert sync.receive(update) == [Change(update)]
    assert (sync.book.best_bid, sync.book.best_ask) == (98.0, 100.5)


def test_a_gap_withdraws_the_book_at_once_and_asks_once():
    sync = synced()
    held = sync.book
    assert names(sync.receive(delta(53))) == [("OutOfSync", "gap"), LOST]
    assert (sync.book, sync.last_update_id) == (None, -1)
    assert (held.best_bid, held.best_ask) == (-inf, inf)
    assert names(sync.receive(delta(54))) == [("Drop", "no_book")]
    assert names(sync.refuse(BAD)) == [("Drop", "bad_number")]
    assert sync.needs_snapshot
    assert sync.receive(snapshot(55)) == [Sync(snapshot(55))]


def test_echoes_change_nothing_and_move_no_clock():
    sync, times = synced(), []
    sync.before_change = times.append
    assert names(sync.receive(delta(50, [(99.0, 0.0)], ts=1_999))) == [("Drop", "duplicate")]
    assert names(sync.receive(delta(49, [(99.0, 0.0)], ts=5))) == [("Drop", "late")]
    assert times == []
    assert sync.book.top() == (BIDS, ASKS)
    sync.receive(delta(51, ts=77_000))
    assert times == [77_000]


@pytest.mark.parametrize(("u", "ts"), [(1, 1_050), (1, 9_000), (50, 2_000), (7, 2_000)])
def test_a_delta_that_counts_anew_withdraws_the_book_until_the_next_snapshot(u, ts):
    sync, times = synced(), []
    sync.before_change = times.append
    assert names(sync.receive(delta(u, ts=ts))) == [("OutOfSync", "sequence_reset"), LOST]
    assert times == [ts]
    assert (sync.book, sync.needs_snapshot) == (None, True)
    assert names(sync.receive(delta(u + 1))) == [("Drop", "no_book")]
    assert names(sync.receive(snapshot(u + 2))) == [("Sync", "")]


@pytest.mark.parametrize("u", [50, 51, 1])
def test_a_snapshot_at_any_place_replaces_the_book(u):
    sync = synced()
    fresh = snapshot(u, bids=[(97.0, 5.0)], asks=[(98.0, 6.0)])
    assert sync.receive(fresh) == [Sync(fresh)]
    assert sync.book.top() == ([(97.0, 5.0)], [(98.0, 6.0)])
    assert names(sync.receive(delta(u + 1))) == [("Change", "")]


@pytest.mark.parametrize(("first", "u", "is_gap"), [
    (0, 0, False), (0, 1, False), (0, 2, True), (0, 7, True), (1, 2, False), (1, 0, True)
])  # fmt: skip
def test_ids_may_begin_at_zero(first, u, is_gap):
    sync = BybitBookSync("X")
    assert names(sync.receive(snapshot(first))) == [("Sync", "")]
    assert names(sync.receive(snapshot(u))) == [("OutOfSync", "gap")] * is_gap + [("Sync", "")]


def test_a_snapshot_that_jumps_tells_of_a_gap_and_then_stands():
    for u in (7, 90):
        sync = synced()
        assert names(sync.receive(snapshot(u))) == [("OutOfSync", "gap"), ("Sync", "")]
        assert sync.last_update_id == u


@pytest.mark.parametrize(
    ("bids", "reason"), [([(101.0, 1.0)], "crossed"), ([(99.0, 0), (98.0, 0)], "one_sided")]
)
def test_a_book_that_nobody_should_trade_on_is_withdrawn(bids, reason):
    sync = synced()
    lost = [("OutOfSync", reason), LOST]
    assert names(sync.receive(delta(51, bids))) == [("Change", ""), *lost]
    assert sync.book is None
    assert names(sync.receive(snapshot(52, bids=bids))) == lost
    assert sync.book is None


def test_a_message_that_cannot_be_read_or_is_not_ours_costs_the_book():
    assert names(synced().refuse(BAD)) == [("OutOfSync", "bad_number"), LOST]
    other = delta(51, symbol="Y")
    assert names(synced().receive(other)) == [("OutOfSync", "wrong_symbol"), LOST]


def test_nothing_is_asked_for_between_two_streams():
    sync = synced()
    assert names(sync.disconnected()) == [("OutOfSync", "disconnected")]
    assert not sync.needs_snapshot
    assert sync.disconnected() == sync.connected() == []
    assert names(sync.receive(snapshot(7))) == [("Sync", "")]
    assert names(sync.connected()) == [("OutOfSync", "disconnected")]


# Crossed and one-sided books go on in an archive; a time of another day is nothing live can know.
OTHERWISE = {"crossed", "uncrossed", "one-sided", "drift", "empty snapshot", "tomorrow"}
OTHERWISE |= {"yesterday", "overlong", "overlong and blank", "blank lines", "bytes"}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    faults=st.lists(st.sampled_from(sorted(FAULTS.keys() - OTHERWISE)), max_size=8),
    stride_ms=st.sampled_from([1_200, 2_000, 20_000]),
)
@example(1, ["restart by delta", "gap", "stale", "snapshot that follows"], 1_200)
@example(2, ["restart unheard", "restart after a silence", "snapshot after a jump"], 2_000)
@example(3, ["restart", "echo of a restart", "cut off", "restart"], 1_200)
def test_whatever_comes_the_rows_and_their_absences_are_those_of_the_archive(
    seed, faults, stride_ms
):
    reader = ReferenceReader(SYMBOL, DAY, etl_settings())
    bars, closed, events = BookBars(BybitBookSync(SYMBOL), 5, 5), [], []
    for line in stream(seed, 250, faults, stride_ms=stride_ms):
        reader.take(line)
        try:
            taken = bars.receive(decode(line))
        except MessageError as error:
            taken = bars.refuse(error)
        events += taken.events
        closed += taken.closed
    reader.finish()
    closed += bars.finish().closed
    assume("bad_time" not in reader.ledger.rejected)  # a byte of `ts` was changed
    assume(not {"crossed", "one_sided"} & {getattr(each, "reason", "") for each in events})
    rows = [minute for minute in closed if minute.bar.features is not None]
    ledger = reader.ledger
    absent = [(each.bar.minute, each.bar.reason) for each in closed if each.bar.features is None]
    assert absent == ledger.dropped
    assert [row.bar.minute for row in rows] == ledger.minutes
    assert np.array([row.bar.features for row in rows]).tobytes() == (
        np.array(ledger.rows).tobytes()
    )
    books = np.array([book_row(row.bids, row.asks) for row in rows])
    assert books.tobytes() == np.array(ledger.books).tobytes()
    applied = sum(isinstance(each, Change | Sync) for each in events)
    assert applied == ledger.applied
