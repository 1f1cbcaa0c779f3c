"""Samples against loops over rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from quantgod.contracts import MS_PER_MINUTE
from quantgod.dataset.labels import label
from quantgod.dataset.samples import covered_rows, samples
from tests.dataset.broken_bars import BRIDGE, LABEL, broken_bars, whole_bars, without


def is_sample(table: pd.DataFrame, row: int, window: int, stride: int) -> bool:
    """What a sample is, said of a single row."""
    if table["target"].iloc[row] < 0 or table.index[row].timestamp() // 60 % stride:
        return False
    runs = table["run"].iloc[max(0, row - window + 1) : row + 1].tolist()
    return len(runs) == window and len(set(runs)) == 1


@settings(max_examples=15)
@given(bars=broken_bars(minutes=500), window=st.integers(1, 90), stride=st.integers(1, 7))
def test_samples_are_the_labelled_rows_with_a_whole_window_behind_them(
    bars: pd.DataFrame, window: int, stride: int
) -> None:
    table = label(bars, LABEL, BRIDGE)
    found = samples(table, window, stride)
    expected = [row for row in range(len(table)) if is_sample(table, row, window, stride)]
    assert found.row.tolist() == expected
    assert found.target.tolist() == table["target"].iloc[expected].tolist()
    assert (found.label_end_ms - found.time_ms == 60 * MS_PER_MINUTE).all()
    assert (pd.to_datetime(found.time_ms, unit="ms", utc=True) == table.index[found.row]).all()


@settings(max_examples=15)
@given(bars=broken_bars(), window=st.integers(2, 200))
def test_no_window_and_no_label_crosses_the_end_of_a_run(bars: pd.DataFrame, window: int) -> None:
    table = label(bars, LABEL, BRIDGE)
    found = samples(table, window, 1)
    minutes = np.array([moment.timestamp() // 60 for moment in table.index])
    for row, end in zip(found.row, found.label_end_ms // MS_PER_MINUTE, strict=True):
        inside = minutes[row - window + 1 : row + 1]
        ahead = minutes[(minutes >= minutes[row]) & (minutes <= end)]
        assert np.diff(inside).max() <= BRIDGE + 1 and np.diff(ahead).max() <= BRIDGE + 1


@settings(max_examples=20)
@given(
    bars=broken_bars(), first=st.integers(0, 300), last=st.integers(1000, 1600),
    stride=st.integers(1, 60),
)  # fmt: skip
def test_rows_before_or_after_move_no_sample(
    bars: pd.DataFrame, first: int, last: int, stride: int
) -> None:
    whole = samples(label(bars, LABEL, BRIDGE), 30, stride)
    part = samples(label(bars.iloc[first:last], LABEL, BRIDGE), 30, stride)
    assert set(part.time_ms) <= set(whole.time_ms)
    inside = (whole.row >= first + 29) & (whole.label_end_ms < part.calendar_ms[-1])
    known = np.isin(whole.time_ms[inside], part.time_ms)
    # A run that begins before `first` has its first 29 rows here, so the first window may be late.
    assert known[whole.row[inside] >= first + 60].all()


@given(ends=st.lists(st.integers(9, 300), max_size=20), length=st.integers(1, 10))
def test_covered_rows_are_those_that_some_window_sees(ends: list[int], length: int) -> None:
    seen = {row for end in ends for row in range(end - length + 1, end + 1)}
    assert covered_rows(np.array(ends, np.int64), length).tolist() == sorted(seen)


def test_taking_samples_keeps_the_calendar() -> None:
    table = label(without(whole_bars(), np.arange(700, 720)), LABEL, BRIDGE)
    found = samples(table, 60, 5)
    few = found.take(np.array([3, 1]))
    assert few.row.tolist() == [found.row[3], found.row[1]] and len(few) == 2
    assert few.calendar_ms is found.calendar_ms
    assert len(found.take(found.target == 0)) == (found.target == 0).sum()
    assert len(found.calendar_ms) == (table["target"] >= 0).sum()
