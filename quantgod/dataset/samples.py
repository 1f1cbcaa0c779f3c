"""Choose the samples of a labelled table.

A sample is one number, the position of its window's last row.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from quantgod.contracts import MS_PER_MINUTE, Booleans, Floats, Integers
from quantgod.dataset.labels import NO_TARGET
from quantgod.served.blocks import VOLATILITY_ROWS
from quantgod.served.rolling import deviation

SEEN: Final = "seen"
"""Column of a table: whether a network can look at the row; a table without it holds whole rows."""

NO_STRETCH: Final = -1
"""Number of a row outside all stretches."""

OF_THE_TABLE: Final = ("calendar_ms", "bars_ms", "bars_reach_ms", "horizons")
"""What samples have in common with all others of their table."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of a table, one entry each, in order of time.

    Attributes:
        row: (n,) position in the table of the window's last row.
        time_ms: (n,) start of that row's minute, epoch milliseconds.
        label_end_ms: (n,) last minute of the primary horizon's label, epoch milliseconds.
        reach_ms: (n,) last minute of the farthest horizon's label: what purging looks at.
        target: (n,) class number at the primary horizon.
        classes: (n, horizons) class number at each horizon, the primary one first.
        returns: (n, horizons) log return to each horizon, in the same order.
        efficiency: (n, horizons) strength of the trend to each horizon: its return over the sum of
            the moves from close to close on the way, both without a sign; 0 where nothing moved,
            NaN where the table lacks the last minute.
        volatility: (n,) deviation of the last `VOLATILITY_ROWS` one-minute log returns of the
            stretch; NaN where it has fewer.
        run: (n,) number of the stretch of minutes that holds the window and its label.
        calendar_ms: every labelled minute of the table, for any window and stride. The test's
            border is drawn on it, so it does not move when either of them changes.
        bars_ms: `time_ms` of the samples that a network of bars has, for this window and stride.
            The border of validation is drawn on them, so it is the same whatever a network sees.
        bars_reach_ms: their `reach_ms`.
        horizons: (horizons,) minutes ahead, the primary one first.
    """

    row: Integers
    time_ms: Integers
    label_end_ms: Integers
    reach_ms: Integers
    target: Integers
    classes: Integers
    returns: Floats
    efficiency: Floats
    volatility: Floats
    run: Integers
    calendar_ms: Integers
    bars_ms: Integers
    bars_reach_ms: Integers
    horizons: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def of_times(cls, time_ms: Integers, label_end_ms: Integers, calendar_ms: Integers) -> Samples:
        """Return samples of which nothing but their times matters; their row is their minute."""
        unused = np.zeros(len(time_ms), np.int64)
        rows, nothing = time_ms // MS_PER_MINUTE, np.zeros((len(time_ms), 0))
        return cls(
            rows, time_ms, label_end_ms, label_end_ms, unused, nothing.astype(np.int64), nothing,
            nothing, unused.astype(np.float64), unused, calendar_ms, time_ms, label_end_ms, (),
        )  # fmt: skip

    def minute(self, position: int) -> pd.Timestamp:
        """Return the last minute of one sample's window, UTC."""
        return pd.Timestamp(int(self.time_ms[position]), unit="ms", tz="UTC")

    def take(self, index: Integers | Booleans) -> Samples:
        """Return the samples at these positions, or where a mask is true."""
        chosen = {
            field.name: getattr(self, field.name)[index]
            for field in fields(self)
            if field.name not in OF_THE_TABLE
        }
        return replace(self, **chosen)


def samples(table: pd.DataFrame, window: int, stride: int) -> Samples:
    """Return a sample for each labelled minute whose `window` rows lie in one stretch and are seen.

    A minute is labelled where the label of every horizon is known.
    Only minutes whose epoch minute is divisible by `stride` are taken, so adding rows at either
    end moves no sample.

    Args:
        table: what `label` or `learning_table` returns.
        window: rows a window holds.
        stride: minutes between samples.
    """
    run = table["run"].to_numpy(np.int64)
    time_ms = _epoch_ms(pd.DatetimeIndex(table.index))
    labelled = has_labels(table)
    on_stride = (time_ms // MS_PER_MINUTE) % stride == 0
    row = np.flatnonzero(labelled & on_stride & (_rows_so_far(run) >= window))
    classes, returns = (table[_columns(table, of)].to_numpy()[row] for of in ("target", "forward"))
    ends = table[_columns(table, "label_end")].iloc[row]
    end_ms = np.stack([_epoch_ms(pd.DatetimeIndex(end)) for _, end in ends.items()], axis=1)
    last = np.searchsorted(time_ms, end_ms).clip(max=len(time_ms) - 1)
    ahead = (end_ms[:1] - time_ms[row][:1, None]).ravel() // MS_PER_MINUTE
    reach_ms = end_ms.max(axis=1)
    of_bars = Samples(
        row=row,
        time_ms=time_ms[row],
        label_end_ms=end_ms[:, 0],
        reach_ms=reach_ms,
        target=classes[:, 0].astype(np.int64),
        classes=classes.astype(np.int64),
        returns=returns.astype(np.float64),
        efficiency=np.where(
            time_ms[last] == end_ms,
            _efficiency(table["close"].to_numpy(np.float64), row, last),
            np.nan,
        ),
        volatility=_volatility(table["log_ret_close"].to_numpy(np.float64), run)[row],
        run=run[row],
        calendar_ms=time_ms[labelled],
        bars_ms=time_ms[row],
        bars_reach_ms=reach_ms,
        horizons=tuple(ahead.tolist()),
    )
    return of_bars.take(_sees_window(table, window)[row])


def seen_rows(table: pd.DataFrame) -> Booleans:
    """Return, for each row of a table, whether a network can look at it."""
    if SEEN not in table:
        return np.ones(len(table), np.bool_)
    return table[SEEN].to_numpy(np.bool_)


def left_out_of_each_stretch(table: pd.DataFrame) -> int:
    """Return how many rows at the begin of a stretch are not seen, of the one with fewest."""
    seen, so_far = seen_rows(table), _rows_so_far(table["run"].to_numpy(np.int64))
    return int(so_far[seen].min()) - 1 if seen.any() else int(so_far.max(initial=0))


def has_labels(table: pd.DataFrame) -> Booleans:
    """Return, for each row of a labelled table, whether the label of every horizon is known."""
    known: Booleans = (table[_columns(table, "target")].to_numpy() != NO_TARGET).all(axis=1)
    return known


def covered_rows(rows: Integers, length: int) -> Integers:
    """Return the positions of all rows in the windows that end at `rows`, each once, sorted.

    A scaler may be fitted on these rows.
    """
    if not len(rows):
        return np.empty(0, np.int64)
    edges = np.zeros(int(rows.max()) + 2, np.int64)
    np.add.at(edges, rows - length + 1, 1)
    np.add.at(edges, rows + 1, -1)
    return np.flatnonzero(np.cumsum(edges))


def _sees_window(table: pd.DataFrame, window: int) -> Booleans:
    """Return, for each row, whether a network can look at the `window` rows that end with it."""
    seen = seen_rows(table)
    run = np.where(seen, table["run"].to_numpy(np.int64), NO_STRETCH)
    sees: Booleans = seen & (_rows_so_far(run) >= window)
    return sees


def _columns(table: pd.DataFrame, begin: str) -> list[str]:
    """Return a label's column of every horizon, the primary one first."""
    return [name for name in table.columns if name.startswith(begin)]


def _efficiency(close: Floats, row: Integers, last: Integers) -> Floats:
    """Return |ln(close[last] / close[row])| over the sum of all moves between, as `last` has it."""
    moves = np.abs(np.diff(np.log(close)))
    way = np.zeros(last.shape)
    steps = last - row[:, None]
    for length in np.unique(steps):  # one for each horizon, and for each number of missing minutes
        sums = sliding_window_view(moves, length).sum(axis=1)
        at, _ = np.nonzero(steps == length)
        way[steps == length] = sums[row[at]]
    net = np.abs(np.log(close[last] / close[row][:, None]))
    return np.divide(net, way, out=np.zeros_like(net), where=way > 0).clip(max=1.0)


def _volatility(returns: Floats, run: Integers) -> Floats:
    found = deviation(returns, VOLATILITY_ROWS)
    return np.where(_rows_so_far(run) >= VOLATILITY_ROWS, found, np.nan)


def _rows_so_far(run: Integers) -> Integers:
    """Count the rows of each row's stretch up to and including the row."""
    position = np.arange(len(run))
    begins = np.diff(run, prepend=run[:1] - 1) != 0
    return position - np.maximum.accumulate(np.where(begins, position, 0)) + 1


def _epoch_ms(index: pd.DatetimeIndex) -> Integers:
    milliseconds: Integers = index.as_unit("ms").asi8
    return milliseconds
