"""Samples and windows against loops over rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from beartype import beartype
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError, jaxtyped

from quantgod.contracts import FEATURES, MS_PER_MINUTE
from quantgod.dataset.labels import label
from quantgod.dataset.windows import Windows, as_rows, covered_rows, samples
from tests.dataset.broken_bars import BRIDGE, LABEL, broken_bars, whole_bars, without

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def is_sample(table: pd.DataFrame, row: int, window: int, stride: int) -> bool:
    """What a sample is, said of a single row."""
    if table["target"].iloc[row] < 0 or table.index[row].timestamp() // 60 % stride:
        return False
    runs = table["run"].iloc[max(0, row - window + 1) : row + 1].tolist()
    return len(runs) == window and len(set(runs)) == 1


@settings(max_examples=40)
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


@settings(max_examples=40)
@given(bars=broken_bars(), window=st.integers(2, 200))
def test_no_window_and_no_label_crosses_the_end_of_a_run(bars: pd.DataFrame, window: int) -> None:
    table = label(bars, LABEL, BRIDGE)
    found = samples(table, window, 1)
    minutes = np.array([moment.timestamp() // 60 for moment in table.index])
    for row, end in zip(found.row, found.label_end_ms // MS_PER_MINUTE, strict=True):
        inside = minutes[row - window + 1 : row + 1]
        ahead = minutes[(minutes >= minutes[row]) & (minutes <= end)]
        assert np.diff(inside).max() <= BRIDGE + 1 and np.diff(ahead).max() <= BRIDGE + 1


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


@given(bars=broken_bars(), cut=st.integers(200, 1500), seed=st.integers(0, 9))
def test_nothing_after_the_cut_reaches_a_window_before_it(
    bars: pd.DataFrame, cut: int, seed: int
) -> None:
    changed = bars.copy()
    noise = np.random.default_rng(seed).normal(size=(len(bars) - cut, bars.shape[1]))
    changed.iloc[cut:] = np.abs(changed.iloc[cut:] + noise) + 1.0
    content = []
    for version in (bars, changed):
        table = label(version, LABEL, BRIDGE)
        found = samples(table, 30, 3)
        found = found.take(found.label_end_ms <= bars.index[cut - 1].timestamp() * 1000)
        matrix = torch.tensor(table[list(FEATURES)].to_numpy(), dtype=torch.float32)
        seen = Windows(matrix, 30)(as_rows(found)).numpy()
        content.append((found.row.tobytes(), found.target.tobytes(), seen.tobytes()))
    assert content[0] == content[1]


@pytest.mark.parametrize("device", DEVICES)
def test_a_window_is_the_rows_up_to_and_with_its_own(device: str) -> None:
    matrix = torch.randn(500, 9)
    rows = np.random.default_rng(1).integers(59, 500, 40)
    cut = Windows(matrix.to(device), 60)(torch.from_numpy(rows).to(device)).cpu()
    expected = torch.stack([matrix[row - 59 : row + 1] for row in rows])
    assert torch.equal(cut, expected) and cut.is_contiguous()


def test_windows_of_a_large_matrix_take_no_memory() -> None:
    matrix = torch.zeros(2_000_000, 9)  # 72 MB; its windows would be 52 GB
    windows = Windows(matrix, 720)
    assert windows.matrix.data_ptr() == matrix.data_ptr()
    assert windows(torch.tensor([719, 1_999_999])).shape == (2, 720, 9)


@pytest.mark.parametrize("row", [-1, 58, 500])
def test_a_window_that_is_not_all_there_is_refused(row: int) -> None:
    with pytest.raises(IndexError):
        Windows(torch.zeros(500, 9), 60)(torch.tensor([row]))
    with pytest.raises(ValueError, match="does not fit a matrix of 50"):
        Windows(torch.zeros(50, 9), 60)


def test_the_shapes_that_are_written_are_the_shapes_that_come() -> None:
    call = jaxtyped(typechecker=beartype)(Windows.__call__)
    windows = Windows(torch.zeros(100, 9), 10)
    assert call(windows, torch.tensor([9, 50])).shape == (2, 10, 9)
    with pytest.raises(TypeCheckError):
        call(windows, torch.tensor([9.0]))
    with pytest.raises(TypeCheckError):
        call(windows, torch.tensor([[9]]))


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
