"""Faults spoil what is sent, and nothing else."""

from __future__ import annotations

import itertools
import json
from collections import Counter

import pytest

from quantgod.market.binance import DepthEvent, decode
from quantgod.simulation.exchange.faults import FAULTS, Fault, mix
from quantgod.simulation.exchange.schedule import Schedule
from quantgod.simulation.exchange.spoiling import Message, Spoiling
from quantgod.simulation.exchange.synthetic import SyntheticMarket
from quantgod.simulation.exchange.truth import TrueEvent, Truth
from quantgod.simulation.exchange.wire import depth_event, sides
from tests.later import later

EVENTS = 600


def markets() -> Truth:
    return Truth([SyntheticMarket(name, seed, levels=50) for seed, name in enumerate(("A", "B"))])


@pytest.mark.parametrize("seed", [*range(10), *later(*range(10, 40))])
def test_under_any_mix_the_books_stay_true_and_nothing_else_is_lost(seed: int) -> None:
    clean, truth = markets(), markets()
    schedule = Schedule(mix(seed, 12, (5, 250)), truth.symbols, seed)
    spoiling, sent = Spoiling(schedule), list[Message]()
    for _ in range(EVENTS):
        clean.advance()
        event = truth.advance()
        number = truth.played(event.change.symbol)
        sent += spoiling.messages(event, number, is_heard=True)
    sent += [message for _, message in spoiling.release_all()]
    for symbol in truth.symbols:
        assert truth.book(symbol).top() == clean.book(symbol).top()
    struck = Counter(injection.name for injection in schedule.injected)
    assert all(FAULTS[name].point == "event" for name in struck)
    assert all(fault.point != "event" for fault in schedule.pending)
    assert len(sent) == EVENTS - struck["lost"] + struck["doubled"]


def test_a_clock_that_is_off_is_off_for_every_symbol() -> None:
    truth = markets()
    schedule = Schedule([FAULTS["clock_plus_2s"].at(10, "A")], truth.symbols, 0)
    spoiling, steps = Spoiling(schedule), dict[str, list[int]]()
    for _ in range(EVENTS + 80):
        event = truth.advance()
        change = event.change
        for message in spoiling.messages(event, truth.played(change.symbol), is_heard=True):
            told = decode(message.data)
            assert isinstance(told, DepthEvent)
            steps.setdefault(change.symbol, []).append(told.ts - change.ts)
    assert [(step, len(list(run))) for step, run in itertools.groupby(steps["A"])] == [
        (0, 9),
        (2000, 300),
        (0, 31),
    ]
    assert {step for step, _ in itertools.groupby(steps["B"])} == {0, 2000}


def spoilt(*faults: Fault, count: int = 12, unheard: int = 0) -> tuple[list[list[int]], Spoiling]:
    """The places, from 1 on, of the events that are sent with each of the first ones."""
    truth = Truth([SyntheticMarket("A", levels=50)])
    spoiling, finals = Spoiling(Schedule(faults, ["A"], 0)), list[int]()
    sent = list[list[int]]()
    for number in range(1, count + 1):
        event = truth.advance()
        finals.append(event.change.final)
        messages = spoiling.messages(event, number, is_heard=number != unheard)
        told = [decode(message.data) for message in messages]
        sent.append([finals.index(one.final) + 1 for one in told if isinstance(one, DepthEvent)])
    return sent, spoiling


def fault(name: str, after: int, count: int) -> Fault:
    return Fault(name, "event", count=count, after=after)


def each(*places: int) -> list[list[int]]:
    return [[place] for place in places]


def test_without_a_fault_each_event_is_sent_as_it_is() -> None:
    sent, spoiling = spoilt()
    assert sent == each(*range(1, 13))
    assert (spoiling.step_ms, spoiling.hurry, spoiling.id_shift("A")) == (0, 0, 0)
    assert spoiling.release_all() == []


def test_as_many_events_are_lost_as_are_counted() -> None:
    for count in (1, 3):
        sent, _ = spoilt(fault("lost", 1, count))
        assert sent == [[]] * count + each(*range(count + 1, 13))
    sent, _ = spoilt(fault("lost", 4, 1), unheard=4)  # and not where nobody hears it
    assert sent == [*each(1, 2, 3, 4), [], *each(*range(6, 13))]


def test_delayed_and_reordered_events_come_together() -> None:
    sent, _ = spoilt(fault("delayed", 4, 2))
    assert sent == [*each(1, 2, 3), [], [], [4, 5, 6], *each(*range(7, 13))]
    sent, _ = spoilt(fault("reordered", 4, 9))
    assert sent == [*each(1, 2, 3), [], [5, 4], *each(*range(6, 13))]
    sent, _ = spoilt(fault("delayed", 4, 3), fault("reordered", 5, 1), fault("doubled", 6, 1))
    assert sent == [*each(1, 2, 3), [], [], [], [4, 5, 6, 6, 7], *each(*range(8, 13))]
    sent, spoiling = spoilt(fault("delayed", 11, 5))
    assert sent[9:] == [[10], [], []]
    assert [symbol for symbol, _ in spoiling.release_all()] == ["A", "A"]
    assert spoiling.release_all() == []


def test_a_burst_hurries_for_its_events() -> None:
    truth = Truth([SyntheticMarket("A", levels=50)])
    spoiling, hurry = Spoiling(Schedule([fault("burst", 3, 4)], ["A"], 0)), list[int]()
    for number in range(1, 10):
        spoiling.messages(truth.advance(), number, is_heard=True)
        hurry.append(spoiling.hurry)
    assert hurry == [0, 0, 4, 3, 2, 1, 0, 0, 0]


def test_split_and_cut_events_are_whole_in_themselves() -> None:
    truth = Truth([SyntheticMarket("A", levels=50)])
    faults = [fault("split", 1, 1), fault("bad_json", 2, 1)]
    spoiling = Spoiling(Schedule(faults, ["A"], 0))
    for number, shape in enumerate(("split", "cut", "whole"), 1):
        event = truth.advance()
        assert spoiling.messages(event, number, is_heard=True) == [
            Message(depth_event(event), shape)
        ]


def test_a_padded_event_is_as_long_as_it_says_and_still_true() -> None:
    truth = Truth([SyntheticMarket("A", levels=50)])
    padded = Fault("oversized", "event", amount=1_000, after=1)
    event = truth.advance()
    (message,) = Spoiling(Schedule([padded], ["A"], 0)).messages(event, 1, is_heard=True)
    whole = json.loads(message.data)
    assert whole.pop("padding") == "x" * 1_000
    assert whole == json.loads(depth_event(event))


def test_after_a_reset_ids_begin_at_1000_and_never_below_zero() -> None:
    change = DepthEvent("A", 5, 90_000, 91_000, 80_000, [(1.0, 1.0)], [])
    later = DepthEvent("A", 6, 91_500, 92_000, 91_000, [(1.0, 2.0)], [])
    spoiling = Spoiling(Schedule([fault("sequence_reset", 1, 1)], ["A"], 0))
    ids = []
    for number, one in enumerate((change, later), 1):
        event = TrueEvent(one, sides(one.bids, one.asks))
        (message,) = spoiling.messages(event, number, is_heard=True)
        told = decode(message.data)
        assert isinstance(told, DepthEvent)
        ids.append((told.first, told.final, told.previous))
    assert ids == [(1_000, 2_000, 0), (2_500, 3_000, 2_000)]
    assert (spoiling.id_shift("A"), spoiling.id_shift("B")) == (-89_000, 0)


def test_a_fault_that_changes_nothing_is_an_error() -> None:
    nobody = SyntheticMarket("OTHERUSDT", levels=50)
    spoiling = Spoiling(Schedule([fault("wrong_symbol", 1, 1)], ["OTHERUSDT"], 0))
    with pytest.raises(ValueError, match="the fault wrong_symbol changed nothing of an event"):
        spoiling.messages(Truth([nobody]).advance(), 1, is_heard=True)


def test_a_symbol_that_is_not_played_cannot_be_struck() -> None:
    with pytest.raises(ValueError, match="lost: a symbol of A, B expected, got C"):
        Schedule([FAULTS["lost"].at(1, "C")], ["A", "B"], 0)
