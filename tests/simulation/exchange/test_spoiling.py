"""Faults spoil what is sent, and nothing else."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from quantgod.market.binance import DepthEvent, decode
from quantgod.simulation.exchange.faults import FAULTS, mix
from quantgod.simulation.exchange.schedule import Schedule
from quantgod.simulation.exchange.spoiling import Message, Spoiling
from quantgod.simulation.exchange.synthetic import SyntheticMarket
from quantgod.simulation.exchange.truth import Truth

EVENTS = 600


def markets() -> Truth:
    return Truth([SyntheticMarket(name, seed, levels=50) for seed, name in enumerate(("A", "B"))])


@pytest.mark.parametrize("seed", range(40))
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


def test_a_symbol_that_is_not_played_cannot_be_struck() -> None:
    with pytest.raises(ValueError, match="lost: a symbol of A, B expected, got C"):
        Schedule([FAULTS["lost"].at(1, "C")], ["A", "B"], 0)
