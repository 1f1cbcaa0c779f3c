"""Windows against loops over rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from beartype import beartype
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError, jaxtyped

from quantgod.contracts import FEATURES
from quantgod.dataset.labels import label
from quantgod.dataset.samples import samples
from quantgod.dataset.windows import Windows, as_rows
from tests.dataset.broken_bars import BRIDGE, LABEL, broken_bars

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@settings(max_examples=20)
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
