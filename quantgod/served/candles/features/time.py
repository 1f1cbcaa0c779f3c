"""Fourteen features of the calendar (UTC), at a candle's open."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ...rolling import Floats

CIRCLES = ("day", "week", "month", "quarter", "year")
NAMES = (
    *(f"{name}_{wave}" for name in CIRCLES for wave in ("sin", "cos")),
    "weekend", "month_start", "month_end", "quarter_end",
)  # fmt: skip
NEEDS = ("time",)
REACH = 1
EDGE = 3
"""Days of the start and the end of a month."""

_DAY = 86_400_000


def compute(columns: Mapping[str, Floats]) -> Floats:
    """Return the features, (rows, 14): how much of each circle has passed, and flags."""
    days, rest = np.divmod(columns["time"], _DAY)
    dates = days.astype("datetime64[D]")
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday, and a week begins on Monday
    month, quarter, year = (_within(dates, months) for months in (1, 3, 12))
    passed = (rest / _DAY, weekday / 7, *(of / length for of, length in (month, quarter, year)))
    waves = [wave(2 * np.pi * part) for part in passed for wave in (np.sin, np.cos)]
    flags = (
        weekday >= 5,
        month[0] < EDGE,
        month[0] >= month[1] - EDGE,
        quarter[0] >= quarter[1] - 7,
    )
    return np.stack([*waves, *flags], axis=1, dtype=np.float64)


def _within(dates: npt.NDArray[np.datetime64], months: int) -> tuple[Floats, Floats]:
    """Return how many days of a span of so many months have passed, and how many it has."""
    number = dates.astype("datetime64[M]").astype(np.int64) // months * months
    first, after = (
        (number + ahead).astype("datetime64[M]").astype("datetime64[D]") for ahead in (0, months)
    )
    return (dates - first).astype(np.float64), (after - first).astype(np.float64)
