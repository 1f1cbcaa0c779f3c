"""Which fault strikes, when, and how often."""

from __future__ import annotations

import random
from collections import Counter

from quantgod.simulation.exchange.faults import FAULTS, SPAN, Fault, mix, named
from quantgod.simulation.exchange.schedule import Injection, Schedule


def test_all_that_are_due_strike_at_once_and_each_once() -> None:
    lost, doubled, later = (FAULTS[name] for name in ("lost", "doubled", "split"))
    burst = FAULTS["burst"].at(7, "B")  # for 400 events, and once all the same
    schedule = Schedule([lost.at(7, "A"), later.at(9, "A"), burst, doubled.at(5, "A")], "AB", 0)
    assert schedule.strikes("event", "A", 4, 100) == []
    assert schedule.strikes("stream", "A", 7, 100) == []
    assert schedule.strikes("event", "A", 7, 101) == [lost.at(7, "A"), doubled.at(5, "A")]
    assert schedule.strikes("event", "A", 8, 102) == []
    assert schedule.pending == (later.at(9, "A"), burst)
    assert schedule.strikes("event", "B", 10, 103) == [burst]
    assert schedule.strikes("event", "A", 9, 104) == [later.at(9, "A")]
    assert schedule.pending == ()
    assert schedule.injected == [
        Injection("lost", "A", 7, 101),
        Injection("doubled", "A", 7, 101),
        Injection("burst", "B", 10, 103),
        Injection("split", "A", 9, 104),
    ]


def test_requests_are_struck_one_by_one_and_as_often_as_counted() -> None:
    twice = Fault("banned", "request", count=2, after=3, symbol="B")
    once = Fault("snapshot_cut", "request", after=0, symbol="A")
    schedule = Schedule([twice, once], ["A", "B"], 0)
    ask = ("request", ["A", "B"])
    assert schedule.strike_one("accept", ["A", "B"], [9, 9], 1) is None
    assert schedule.strike_one("request", ["B"], [2], 2) is None
    assert schedule.strike_one(*ask, [0, 3], 3) == twice
    assert schedule.pending == (twice, once)
    assert schedule.strike_one(*ask, [0, 2], 4) == once
    assert schedule.strike_one(*ask, [0, 4], 5) == twice
    assert schedule.strike_one(*ask, [9, 9], 6) is None
    assert [(one.name, one.symbol, one.events, one.ts) for one in schedule.injected] == [
        ("banned", "B", 3, 3),
        ("snapshot_cut", "A", 0, 4),
        ("banned", "B", 4, 5),
    ]


def test_where_none_is_given_the_seed_chooses_symbol_and_moment() -> None:
    faults = [FAULTS["eof"].at(11), FAULTS["banned"], FAULTS["lost"]]
    schedule, draw = Schedule(faults, ["A", "B", "C"], 5), random.Random(5)
    drawn = [(draw.choice("ABC"), draw.randint(50, 500)) for _ in faults]
    moments = [11, 0, drawn[2][1]]
    for fault, (symbol, _), moment in zip(faults, drawn, moments, strict=True):
        before = moment - 1
        assert schedule.strike_one(fault.point, [symbol], [before], 1) is None
        assert schedule.strike_one(fault.point, [symbol], [moment], 1) == fault


def test_a_mix_is_drawn_from_all_faults_and_sorted_by_its_events() -> None:
    faults = mix(3)
    assert len(faults) == 10
    draw = random.Random(3)
    names = draw.choices(sorted(FAULTS), k=10)
    events = sorted(draw.randint(50, 500) for _ in range(10))
    assert [(one.name, one.after) for one in faults] == list(zip(names, events, strict=True))
    moments = Counter(one.after for seed in range(500) for one in mix(seed, 5, (1, 3)))
    assert {*moments} == {1, 2, 3}
    assert sum(moments.values()) == 2_500
    assert SPAN == (50, 500)
    assert named(["mix@3", "lost@0"]) == [*faults, FAULTS["lost"].at(0)]
