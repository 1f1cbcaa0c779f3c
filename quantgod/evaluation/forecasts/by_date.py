"""Sum contributions to scores by date, so that all coins of a date are one observation.

Coins of one date move together, and neighbouring dates share most of their horizon. So intervals
come from dates, not from rows: contributions are summed by date, and dates are weighed by the slow
waves of `evaluation.intervals`, which see what spans blocks and take no redraws. They count as many
independent dates as there are horizons that do not overlap. (A bootstrap of blocks of dates is too
narrow for so few, as `docs/judging.md` measures.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from quantgod.contracts import MS_PER_MINUTE, Booleans, Floats, Integers
from quantgod.evaluation.effective_size import effective_rows
from quantgod.evaluation.intervals import (
    LEVEL,
    LOSS,
    PLAIN,
    Interval,
    Replicates,
    Scale,
    interval,
    quotient,
    replicates,
    share,
)

NEVER_WRONG: Final = "the other is never wrong"
TOO_FEW: Final = "too few dates apart"
"""Why nothing is judged by fewer dates than `FEWEST_ROWS` whose horizons do not overlap."""


@dataclass(frozen=True, eq=False)
class Dates:
    """The dates of rows, oldest first.

    Attributes:
        number: (d,) of each date, in candles since the epoch.
        place: (n,) position of each row's date.
        independent: number of dates whose horizons do not overlap.
    """

    number: Integers
    place: Integers
    independent: float

    @classmethod
    def of(cls, date: Integers, steps: int) -> Dates:
        """Return the dates of rows (n,) that look that many candles ahead."""
        number, place = np.unique(date, return_inverse=True)
        ends = (number + steps) * MS_PER_MINUTE  # a candle counts as a minute
        return cls(number, place, effective_rows(number * MS_PER_MINUTE, ends))

    def __len__(self) -> int:
        return len(self.number)

    def sums(self, *rows: Floats | Booleans) -> Floats:
        """Return sums by date, (d, k), over the mean number of rows a date."""
        each = [np.bincount(self.place, one, len(self)) for one in rows]
        return np.stack(each, axis=1) / (len(self.place) / max(len(self), 1))

    def means(self, rows: Floats) -> Floats:
        """Return the mean of each date's rows, (d,)."""
        return np.asarray(np.bincount(self.place, rows, len(self)) / np.bincount(self.place))

    def replicates(self, *rows: Floats | Booleans) -> Replicates:
        """Return the means of rows (n,), and of dates weighed by waves."""
        return replicates(self.sums(*rows), self.independent)

    def mean(self, rows: Floats, level: float = LEVEL) -> Interval:
        """Return the interval of a mean of rows (n,) of either sign."""
        return self._interval(self.replicates(rows).at(0), PLAIN, level)

    def loss(self, rows: Floats) -> Interval:
        """Return the interval of a mean of losses (n,)."""
        return self._interval(self.replicates(rows).at(0), LOSS)

    def skill(self, loss: Floats, other: Floats, level: float = LEVEL) -> Interval:
        """Return 1 - sum of losses / sum of the other's losses, on the same rows (n,)."""
        if not np.sum(other) > 0:
            return Interval(0.0, -1.0, 1.0, False, NEVER_WRONG)
        sums = self.replicates(loss, other)
        ratio = sums.at(0).join(sums.at(1), quotient)
        found = self._interval(ratio, LOSS, level)
        return found._replace(value=1 - found.value, low=1 - found.high, high=1 - found.low)

    def share(self, right: Booleans, counted: Booleans | None = None) -> Interval | None:
        """Return the share of counted rows (n,) that are right; None if none counts."""
        among = np.ones(len(right), bool) if counted is None else counted
        sums = self.replicates(right & among, among)
        found = share(sums.at(0), sums.at(1), self.independent)
        return None if found is None else _told(found)

    def _interval(self, score: Replicates, scale: Scale, level: float = LEVEL) -> Interval:
        return _told(interval(score, self.independent, scale, level=level))


def _told(found: Interval) -> Interval:
    return found if found.enough else found._replace(why=TOO_FEW)


def first_and_last(dates: Dates, step_ms: int) -> Sequence[str]:
    """Return the first and the last date, ISO 8601, UTC."""
    ends = (dates.number[[0, -1]] * step_ms).astype("datetime64[ms]")
    return [str(one).removesuffix("T00:00:00.000") for one in ends]
