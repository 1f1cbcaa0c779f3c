from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from quantgod.market import known_range
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.known_range import KnownBook
from quantgod.market.sync_events import Drop
from tests.later import later
from tests.market.schedules import ScheduleResult, run_schedule
from tests.market.witness import WrongBook

SCHEDULES = 500

NAMED = {
    *("Change", "Sync", "Extension"),
    *("Drop:" + reason for reason in ("late", "duplicate", "no_book", "broken_chain")),
    *("Drop:" + reason for reason in ("out_of_date", "unasked_snapshot", "bad_number")),
    *("Drop:" + reason for reason in ("wrong_symbol", "bad_time")),
    *("OutOfSync:" + reason for reason in ("gap", "sequence_reset", "crossed", "out_of_range")),
    *("OutOfSync:" + reason for reason in ("overflow", "disconnected", "bad_number")),
    *("OutOfSync:" + reason for reason in ("wrong_symbol", "bad_time")),
    *("NeedSnapshot:" + reason for reason in ("start", "lost", "edge", "stale_snapshot")),
    *("NeedSnapshot:" + reason for reason in ("bad_snapshot", "overflow")),
}


@pytest.mark.parametrize("schedules", [100, *later(SCHEDULES)])
def test_no_schedule_of_faults_makes_a_book_that_differs_from_the_truth(schedules):
    outcomes: Counter[str] = Counter()
    checked = 0
    for seed in range(schedules):
        result = run_schedule(seed)
        outcomes += result.outcomes
        checked += result.checked
        assert result.syncs >= 1
    assert checked > 100 * schedules
    assert set(outcomes) == NAMED


def test_a_schedule_is_the_same_whenever_it_is_run():
    first, second = run_schedule(7), run_schedule(7)
    assert isinstance(first, ScheduleResult)
    assert first == second != run_schedule(8)


class TrustsEveryEvent(BinanceBookSync):
    def receive(self, event):
        if self.is_synced and event.final > self.last_update_id:
            event = replace(event, previous=self.last_update_id)
        return super().receive(event)


class KeepsItsBookOverAGap(BinanceBookSync):
    def _lose(self, reason, detail, event):
        if reason != "gap":
            return super()._lose(reason, detail, event)
        return [Drop("late", detail)]


class AppliesOlderEventsToASnapshot(BinanceBookSync):
    def _catch_up(self):
        if self._fresh is not None and self._buffer:
            snapshot, fresh = self._fresh
            at = min(snapshot.last_update_id, self._buffer[-1].final)
            self._fresh = (snapshot._replace(last_update_id=at), fresh)
        return super()._catch_up()


class TakesAnOldSnapshot(BinanceBookSync):
    def _catch_up(self):
        if self._fresh is not None and self._buffer:
            snapshot, fresh = self._fresh
            at = max(snapshot.last_update_id, self._buffer[0].previous)
            self._fresh = (snapshot._replace(last_update_id=at), fresh)
        return super()._catch_up()


class AppliesLateEvents(BinanceBookSync):
    def _take_old(self, event, last):
        if self._known is not None:
            self._known.apply(event)
        return super()._take_old(event, last)


class KeepsItsBookOverARefusal(BinanceBookSync):
    def refuse(self, error):
        return [Drop(error.reason, str(error))]


class KeepsItsBookWithoutAStream(BinanceBookSync):
    def disconnected(self):
        return []


class NeverGivesUpWaiting(BinanceBookSync):
    def _stay_ahead(self, snapshot):
        return []

    def _wait(self, event):
        self._waited = 0
        return super()._wait(event)


class LooksAfterwards(BinanceBookSync):
    def receive(self, event):
        look, self.before_change = self.before_change, lambda _ts: None
        events = super().receive(event)
        look(event.ts)
        self.before_change = look
        return events


class HoldsWhatIsBeyond(BinanceBookSync):
    def __init__(self, symbol, limit):
        super().__init__(symbol, limit, beyond_range=True)


@pytest.mark.parametrize(
    "wrong",
    [
        TrustsEveryEvent,
        KeepsItsBookOverAGap,
        AppliesOlderEventsToASnapshot,
        TakesAnOldSnapshot,
        AppliesLateEvents,
        KeepsItsBookOverARefusal,
        KeepsItsBookWithoutAStream,
        NeverGivesUpWaiting,
        LooksAfterwards,
        HoldsWhatIsBeyond,
    ],
)
def test_a_machine_that_errs_is_caught(wrong):
    with pytest.raises(WrongBook):
        for seed in range(SCHEDULES):
            run_schedule(seed, wrong)


def test_a_range_widened_without_its_levels_is_caught(monkeypatch):
    monkeypatch.setattr(known_range, "_between", lambda *_: [])
    with pytest.raises(WrongBook, match="differs from the truth"):
        for seed in range(SCHEDULES):
            run_schedule(seed)


def test_a_book_that_is_never_judged_is_caught(monkeypatch):
    monkeypatch.setattr(KnownBook, "fault", None)
    with pytest.raises(WrongBook):
        for seed in range(SCHEDULES):
            run_schedule(seed)
