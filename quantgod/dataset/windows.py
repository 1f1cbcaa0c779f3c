"""Samples and their windows: which minutes are learned from, and the rows that each one sees.

A sample is a number (the position of its last row); its window is cut from one matrix on the device
only when a batch asks for it. A year of windows would be 13 GB, the matrix is 19 MB.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from quantgod.contracts import MS_PER_MINUTE, Booleans, Integers
from quantgod.dataset.labels import NO_TARGET


@dataclass(frozen=True, eq=False)
class Samples:
    """What can be learned from a table: one entry a sample, in order of time.

    Attributes:
        row: (n,) position in the table of the window's last row.
        time_ms: (n,) start of that row's minute, epoch milliseconds.
        label_end_ms: (n,) the last minute that the label looks at, epoch milliseconds.
        target: (n,) class number.
        run: (n,) the run of minutes that the window and its label lie in.
        calendar_ms: every labelled minute of the table, whatever window and stride. The test's
            border is drawn on it, so that it stands still when either of them changes.
    """

    row: Integers
    time_ms: Integers
    label_end_ms: Integers
    target: Integers
    run: Integers
    calendar_ms: Integers

    def __len__(self) -> int:
        return len(self.row)

    def minute(self, position: int) -> pd.Timestamp:
        """The last minute of one sample's window, UTC."""
        return pd.Timestamp(int(self.time_ms[position]), unit="ms", tz="UTC")

    def take(self, index: Integers | Booleans) -> Samples:
        """The samples at these positions, or where a mask is true."""
        chosen = {
            field.name: getattr(self, field.name)[index]
            for field in fields(self)
            if field.name != "calendar_ms"
        }
        return replace(self, **chosen)


def samples(table: pd.DataFrame, window: int, stride: int) -> Samples:
    """Every labelled minute whose last `window` rows are of one run, thinned to every `stride`-th.

    The stride counts minutes of the clock (epoch minute divisible by `stride`), so that adding rows
    at either end moves no sample.

    Args:
        table: what `label` returns.
        window: rows a window holds.
        stride: minutes between samples.
    """
    run = table["run"].to_numpy(np.int64)
    target = table["target"].to_numpy(np.int64)
    time_ms = _epoch_ms(pd.DatetimeIndex(table.index))
    labelled = target != NO_TARGET
    on_stride = (time_ms // MS_PER_MINUTE) % stride == 0
    row = np.flatnonzero(labelled & on_stride & (_rows_so_far(run) >= window))
    label_end_ms = _epoch_ms(pd.DatetimeIndex(table["label_end"].iloc[row]))
    return Samples(row, time_ms[row], label_end_ms, target[row], run[row], time_ms[labelled])


class Windows:
    """The window that ends at a row, for any rows, cut from one matrix where that matrix lies."""

    def __init__(self, matrix: Float[Tensor, "rows features"], length: int) -> None:
        """See every `length` consecutive rows of `matrix`; nothing is copied.

        Raises:
            ValueError: if the matrix holds fewer rows than one window.
        """
        rows, features = matrix.shape
        if not 0 < length <= rows:
            raise ValueError(f"a window of {length} rows does not fit a matrix of {rows}")
        self.matrix = matrix.contiguous()
        self.length = length
        self._view = self.matrix.as_strided(
            (rows - length + 1, length, features), (features, features, 1)
        )

    def __call__(self, rows: Int64[Tensor, " batch"]) -> Float[Tensor, "batch length features"]:
        """The windows whose last rows are `rows` (on the matrix's device), as one new tensor."""
        return self._view.index_select(0, rows - (self.length - 1))


def covered_rows(rows: Integers, length: int) -> Integers:
    """Positions of the rows that the windows ending at `rows` see, each once, in order.

    This is what a scaler may be fitted on.
    """
    if not len(rows):
        return np.empty(0, np.int64)
    edges = np.zeros(int(rows.max()) + 2, np.int64)
    np.add.at(edges, rows - length + 1, 1)
    np.add.at(edges, rows + 1, -1)
    return np.flatnonzero(np.cumsum(edges))


def as_rows(samples: Samples, device: torch.device | str = "cpu") -> Int64[Tensor, " batch"]:
    """The samples' rows as the tensor that `Windows` takes."""
    return torch.tensor(samples.row, dtype=torch.int64, device=device)


def _rows_so_far(run: Integers) -> Integers:
    """How many rows of its run stand up to and including each row."""
    position = np.arange(len(run))
    begins = np.diff(run, prepend=run[:1] - 1) != 0
    return position - np.maximum.accumulate(np.where(begins, position, 0)) + 1


def _epoch_ms(index: pd.DatetimeIndex) -> Integers:
    milliseconds: Integers = index.as_unit("ms").asi8
    return milliseconds
