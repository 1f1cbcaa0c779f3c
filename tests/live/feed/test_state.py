"""What the status view is told of a book, by a clock that the test sets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import get_args

import pytest

from quantgod.contracts import BookUpdate
from quantgod.live.feed.state import BookState, wants_snapshot, was_readable
from quantgod.market.messages import Reason
from quantgod.market.sync_events import (
    Change,
    Drop,
    Event,
    Extension,
    NeedSnapshot,
    OutOfSync,
    Sync,
)


def update(ts: int) -> BookUpdate:
    return BookUpdate("BTCUSDT", ts, False, 1, [], [])


@pytest.mark.parametrize(("syncs", "resyncs"), [(0, 0), (1, 0), (2, 1), (5, 4)])
def test_the_first_time_that_a_book_stands_is_no_resync(syncs: int, resyncs: int) -> None:
    assert BookState(syncs=syncs).resyncs == resyncs


def test_times_losses_and_lags_are_those_of_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(time=lambda: 100.0)
    monkeypatch.setattr("quantgod.live.feed.state.time", clock)
    state = BookState(since=1.0)
    state.note([OutOfSync("disconnected", "at once")])
    assert (state.since, state.syncs, state.gaps) == (1.0, 0, 0), "it stood not before either"
    state.note([Drop("no_book", ""), Sync(update(99_250))])
    assert (state.is_synced, state.since, state.syncs) == (True, 100.0, 1)
    assert (state.exchange_ms, state.lag_ms) == (99_250, 750.0)
    clock.time = lambda: 107.0
    state.note([Change(update(108_000)), Extension(update(1))])
    assert (state.exchange_ms, state.lag_ms, state.since) == (108_000, -1_000.0, 100.0)
    state.note(
        [OutOfSync("crossed", "9 over 8"), OutOfSync("gap", "7 expected"), NeedSnapshot("lost")]
    )
    assert (state.is_synced, state.since, state.gaps) == (False, 107.0, 1)
    assert state.problem == "gap: 7 expected"
    state.note([Sync(update(5)), Sync(update(6))])
    assert (state.syncs, state.resyncs, state.exchange_ms) == (3, 2, 6)


def test_a_snapshot_is_wanted_for_the_first_reason_that_is_told() -> None:
    assert wants_snapshot([]) is wants_snapshot([Change(update(1))]) is None
    events: list[Event] = [Change(update(1)), NeedSnapshot("edge"), NeedSnapshot("lost")]
    assert wants_snapshot(events) == "edge"


@pytest.mark.parametrize("reason", get_args(Reason))
@pytest.mark.parametrize("kind", [Drop, OutOfSync])
def test_a_message_was_not_readable_if_its_first_event_says_so(kind, reason) -> None:
    assert not was_readable([kind(reason, "")])
    assert not was_readable([kind(reason, ""), Change(update(1))])
    assert was_readable([Change(update(1)), kind(reason, "")])


@pytest.mark.parametrize(
    "event",
    [
        Drop("late", ""),
        Drop("no_book", ""),
        OutOfSync("gap", ""),
        Change(update(1)),
        Sync(update(1)),
    ],
    ids=repr,
)
def test_a_message_that_the_book_could_not_use_was_readable_and_no_event_is_of_none(event) -> None:
    assert was_readable([event])
    assert not was_readable([])
