"""Test whether two forecasters lose equally (Diebold and Mariano, 1995)."""

from __future__ import annotations

import math

import msgspec
from scipy.special import stdtr

from quantgod.contracts import Floats


class DieboldMariano(msgspec.Struct, frozen=True, kw_only=True):
    """The test of one forecaster's loss against another's.

    Attributes:
        difference: mean loss of the first less that of the second; below 0 the first is better.
        statistic: of the test; 0 if the two never differ.
        p_value: two-sided.
        lag: the longest autocovariance that is counted.
        dates: number of dates.
    """

    difference: float
    statistic: float
    p_value: float
    lag: int
    dates: int


def diebold_mariano(difference: Floats, steps: int, lag: int | None = None) -> DieboldMariano:
    """Test whether a difference of losses has mean zero.

    Args:
        difference: (d,) mean difference of each date, oldest first.
        steps: candles that the horizon looks ahead.
        lag: of Bartlett's weights 1 - k / (lag + 1); at least steps - 1, and `wide_lag` if not
            given.

    The statistic has the small-sample correction of Harvey, Leybourne and Newbold (1997) for the
    horizon lag + 1, and is judged by Student's t with d - 1 degrees of freedom.

    Raises:
        ValueError: for a lag below steps - 1, or no more dates than the lag.
    """
    count = len(difference)
    lag = wide_lag(count, steps) if lag is None else lag
    if lag < steps - 1 or count <= lag + 1:
        raise ValueError(
            f"a lag from {steps - 1} on and more dates than lag + 1 expected, got {lag}, {count}"
        )
    mean, error = float(difference.mean()), math.sqrt(_long_run_variance(difference, lag) / count)
    if error == 0:
        return DieboldMariano(difference=mean, statistic=0.0, p_value=1.0, lag=lag, dates=count)
    ahead = lag + 1
    correction = math.sqrt((count + 1 - 2 * ahead + ahead * lag / count) / count)
    statistic = correction * mean / error
    return DieboldMariano(
        difference=mean,
        statistic=statistic,
        p_value=float(2 * stdtr(count - 1, -abs(statistic))),
        lag=lag,
        dates=count,
    )


def wide_lag(dates: int, steps: int) -> int:
    """Return the lag for a number of dates: three times what horizons share, and a few more.

    Differences of overlapping horizons are correlated up to lag steps - 1, and Bartlett's weights
    count the far ones less than they are. With a lag of just that, a test of 5 % rejects 9 % of
    equal forecasters at 7 steps; with this one 6 % (simulated, 468 to 2,000 dates).
    """
    few = int(4 * (dates / 100) ** (2 / 9))  # Newey and West (1994)
    return max(min(3 * (steps - 1) + few, dates // 3), steps - 1)


def _long_run_variance(series: Floats, lag: int) -> float:
    apart, count = series - series.mean(), len(series)
    of_lag = [float(apart[k:] @ apart[: count - k]) / count for k in range(lag + 1)]
    weighed = [2 * (1 - k / (lag + 1)) * of_lag[k] for k in range(1, lag + 1)]
    return of_lag[0] + math.fsum(weighed)
