"""The window against a list that keeps everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.contracts.minute_rows import MinuteRows
from quantgod.live.engine.window import Window

BRIDGE, KEPT = 2, 6


def rows(minutes: list[int], salt: int = 0) -> MinuteRows:
    """Features that tell the minute and who gave them."""
    stamped = np.asarray(minutes, np.int64)
    return MinuteRows(stamped, np.add.outer(stamped * 10.0 + salt, np.arange(9) / 10))


def run_that_counts(minutes: list[int], now: int) -> list[int]:
    """The last minutes of one run that a row after `now` may still join; `KEPT` at most."""
    run: list[int] = []
    for minute in minutes:
        if run and minute - run[-1] - 1 > BRIDGE:
            run = []
        run.append(minute)
    return run[-KEPT:] if run and now - run[-1] <= BRIDGE else []


@given(
    history=st.lists(st.integers(0, 40), max_size=30),
    first_live=st.integers(0, 45),
    live=st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=40),
)
def test_it_holds_the_newest_run_of_history_before_the_first_live_minute_and_live_rows(
    history: list[int], first_live: int, live: list[tuple[int, bool]]
) -> None:
    window = Window(BRIDGE, KEPT)
    window.fill(rows(history))
    told = sorted({minute for minute in history if minute < first_live})
    minute = first_live - live[0][0] if live else 0
    for step, has_row in live:
        minute += step
        assert window.close(minute, rows([minute]).features[0] if has_row else None)
        if has_row:
            told.append(minute)
        expected = run_that_counts(told, minute)
        for length in range(1, KEPT + 1):
            assert window.missing(length) == max(0, length - len(expected))
        if expected:
            newest = window.newest(len(expected))
            assert newest.minutes.tolist() == expected
            assert np.array_equal(newest.features, rows(expected).features)


def test_before_the_first_live_minute_it_counts_on_all_of_history() -> None:
    window = Window(BRIDGE)
    window.fill(rows([6, 1, 2, 9, 8]))
    assert window.missing(4) == 1
    assert window.newest(3).minutes.tolist() == [6, 8, 9]


def test_of_a_minute_told_twice_the_last_word_stands() -> None:
    window = Window(BRIDGE)
    twice = [rows([7], salt=1), rows([8], salt=1), rows([7], salt=2)]
    window.fill(MinuteRows(*(np.concatenate(part) for part in zip(*twice, strict=True))))
    assert np.array_equal(window.newest(2).features[0], rows([7], salt=2).features[0])


def test_a_live_minute_counts_once() -> None:
    window = Window(BRIDGE)
    assert window.close(10, rows([10]).features[0])
    assert not window.close(10, rows([10], salt=5).features[0])
    assert not window.close(9, None)
    assert np.array_equal(window.newest(1).features, rows([10]).features)


def test_what_was_asked_for_does_not_change_afterwards() -> None:
    window = Window(BRIDGE, kept=2)
    for minute in range(4):
        window.close(minute, rows([minute]).features[0])
    before = window.newest(2)
    for minute in range(4, 9):
        window.close(minute, rows([minute]).features[0])
    assert before.minutes.tolist() == [2, 3]
    assert np.array_equal(before.features, rows([2, 3]).features)


def test_what_cannot_be_is_refused_by_name() -> None:
    window = Window(BRIDGE)
    with pytest.raises(ValueError, match=r"features \(n, 9\) expected"):
        window.fill(MinuteRows(np.arange(2), np.zeros((2, 8))))
    with pytest.raises(ValueError, match="3 rows were asked for, 3 are missing"):
        window.newest(3)
    window.close(1, None)
    with pytest.raises(ValueError, match="before the first live minute"):
        window.fill(rows([0]))


@pytest.mark.parametrize("gap", [0, 1, BRIDGE, BRIDGE + 1])
def test_rows_are_joined_over_as_many_minutes_as_are_bridged(gap: int) -> None:
    """In history, from history to live, and live: with rows, and with minutes that have none."""
    for known, live in (([0, 5, 6 + gap], 7 + gap), ([5], 6 + gap), ([], 6 + gap)):
        window = Window(BRIDGE)
        window.fill(rows(known))
        if not known:
            assert window.close(5, rows([5]).features[0])
        assert window.close(live, rows([live]).features[0])
        expected = [5, *known[2:], live] if gap <= BRIDGE else [*known[2:], live]
        assert window.missing(9) == 9 - len(expected)
        assert window.newest(len(expected)).minutes.tolist() == expected
    window = Window(BRIDGE)
    window.close(5, rows([5]).features[0])
    if gap:
        assert window.close(5 + gap, None)
    assert window.missing(1) == (gap > BRIDGE)


def test_rows_stay_in_place_over_many_turns_of_the_memory() -> None:
    window = Window(BRIDGE, kept=3)
    for minute in range(40):
        window.close(minute, rows([minute]).features[0])
        length = min(3, minute + 1)
        newest = window.newest(length)
        assert newest.minutes.tolist() == list(range(minute - length + 1, minute + 1))
        assert np.array_equal(newest.features, rows(newest.minutes.tolist()).features)
        assert window.missing(4) == 4 - length
