"""Label each minute by the return of the hour that follows, in three classes.

A label exists only where the whole hour lies in one stretch of minutes, so that no return spans an
unknown gap. The return is computed from two closes, not from a running sum, so it does not depend
on how much history comes before: a series labelled whole or day by day gives the same bits.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quantgod.contracts import CLASSES, FEATURES, MS_PER_MINUTE, Floats, Integers
from quantgod.settings import HorizonSettings, LabelSettings

NO_TARGET: Final = -1
LABEL_COLUMNS: Final = (*FEATURES, "close", "run", "forward_return", "target", "label_end")
_FURTHER: Final = "forward_return_"


def label_columns(minutes: int) -> tuple[str, str, str]:
    """Return the names of the columns that hold the label of a further horizon."""
    return f"forward_return_{minutes}", f"target_{minutes}", f"label_end_{minutes}"


def label(bars: pd.DataFrame, settings: LabelSettings, max_bridge_minutes: int) -> pd.DataFrame:
    """Add `run`, `forward_return`, `target` and `label_end` to minute bars, by horizon.

    Rows with at most `max_bridge_minutes` missing minutes between them form one stretch; column
    `run` numbers the stretches. The return of minute t is ln(close[t + horizon] / close[t]), the
    sum of `log_ret_close` over the minutes after t (the one after a bridged gap covers the gap).
    Strictly above `buy_above` is BUY, strictly below `sell_below` is SELL, the rest is NEUTRAL.

    Args:
        bars: the nine features and `close`; a UTC index of whole minutes, strictly rising.
        settings: horizons and thresholds.
        max_bridge_minutes: the longest gap inside a stretch.

    Returns:
        The columns `LABEL_COLUMNS`, with the label of the primary horizon, then `label_columns` of
        each further one, in the settings' order. If the stretch ends before t + horizon, or that
        minute has no row, there is no label: `forward_return` is NaN, `target` -1, `label_end` NaT.

    Raises:
        ValueError: for missing columns, a wrong index, or values that are not finite.
    """
    minutes = _minutes_of(bars)
    run = _runs(minutes, max_bridge_minutes)
    close = bars["close"].to_numpy(np.float64)
    table = bars.loc[:, [*FEATURES, "close"]].astype(np.float64)
    table["run"] = run
    for one in (settings, *settings.further):
        is_primary = one is settings
        names = LABEL_COLUMNS[-3:] if is_primary else label_columns(one.horizon_minutes)
        forward = _forward_returns(close, minutes, run, one.horizon_minutes)
        ends = pd.Series(bars.index, bars.index) + pd.Timedelta(minutes=one.horizon_minutes)
        table[names[0]] = forward
        table[names[1]] = classes_of(forward, one)
        table[names[2]] = ends.where(np.isfinite(forward))
    return table


def further_horizons(table: pd.DataFrame) -> tuple[int, ...]:
    """Return the minutes of the further horizons that a labelled table holds, as it lists them.

    Raises:
        ValueError: if the columns are not those that `label` makes.
    """
    named = tuple(map(str, table.columns))
    said = [name.removeprefix(_FURTHER) for name in named[len(LABEL_COLUMNS) :: 3]]
    minutes = tuple(int(number) for number in said if number.isdigit())
    expected = (*LABEL_COLUMNS, *(name for one in minutes for name in label_columns(one)))
    if named != expected:
        raise ValueError(
            f"a labelled table holds {', '.join(LABEL_COLUMNS)} and three columns for each further "
            f"horizon; got {', '.join(named)}"
        )
    return minutes


def classes_of(forward: Floats, settings: HorizonSettings) -> npt.NDArray[np.int8]:
    """Return the class number of each log return (SELL 0, NEUTRAL 1, BUY 2); NaN becomes -1."""
    target = np.full(len(forward), CLASSES.index("NEUTRAL"), np.int8)
    target[forward > settings.buy_above] = CLASSES.index("BUY")
    target[forward < settings.sell_below] = CLASSES.index("SELL")
    target[np.isnan(forward)] = NO_TARGET
    return target


def summary(table: pd.DataFrame) -> dict[str, float]:
    """Return figures of a labelled table: rows, stretches, labels, class shares, returns."""
    target = table["target"].to_numpy()
    known = target != NO_TARGET
    forward = table["forward_return"].to_numpy()[known]
    figures: dict[str, float] = {
        "rows": float(len(table)),
        "runs": float(table["run"].nunique()),
        "labelled": float(known.sum()),
        "forward_return_mean": float(forward.mean()) if len(forward) else 0.0,
        "forward_return_std": float(forward.std()) if len(forward) else 0.0,
    }
    for number, name in enumerate(CLASSES):
        figures[f"share_{name.lower()}"] = (
            float((target[known] == number).mean()) if known.any() else 0.0
        )
    return figures


def _minutes_of(bars: pd.DataFrame) -> Integers:
    """Check that `bars` is a table of minute bars and return its epoch minutes."""
    missing = [name for name in (*FEATURES, "close") if name not in bars.columns]
    if missing:
        raise ValueError(f"minute bars need the columns {', '.join(missing)}")
    index = bars.index
    if not isinstance(index, pd.DatetimeIndex) or str(index.tz) != "UTC":
        raise ValueError(f"minute bars need a UTC datetime index, got {index.dtype}")
    minutes = _whole_minutes(index)
    unordered = np.flatnonzero(np.diff(minutes) <= 0)
    if len(unordered):
        raise ValueError(f"minutes must rise strictly; {index[unordered[0] + 1]} does not")
    _refuse_non_finite(bars)
    return minutes


def _whole_minutes(index: pd.DatetimeIndex) -> Integers:
    minutes: Integers = index.floor("min").as_unit("ms").asi8 // MS_PER_MINUTE
    ragged = np.flatnonzero(index != index.floor("min"))
    if len(ragged):
        raise ValueError(f"a bar is known by its whole minute, got {index[ragged[0]]}")
    return minutes


def _refuse_non_finite(bars: pd.DataFrame) -> None:
    for name in (*FEATURES, "close"):
        bad = np.flatnonzero(~np.isfinite(bars[name].to_numpy(np.float64)))
        if len(bad):
            raise ValueError(f"{name} of {bars.index[bad[0]]} is not a finite number")


def _runs(minutes: Integers, max_bridge_minutes: int) -> npt.NDArray[np.int32]:
    breaks = np.diff(minutes, prepend=minutes[:1]) - 1 > max_bridge_minutes
    return np.cumsum(breaks).astype(np.int32)


def _forward_returns(
    close: Floats, minutes: Integers, run: npt.NDArray[np.int32], horizon_minutes: int
) -> Floats:
    wanted = minutes + horizon_minutes
    later = np.searchsorted(minutes, wanted)
    exists = later < len(minutes)
    later[~exists] = 0
    exists &= (minutes[later] == wanted) & (run[later] == run) if len(minutes) else exists
    forward = np.full(len(minutes), np.nan)
    forward[exists] = np.log(close[later[exists]] / close[exists])
    return forward
