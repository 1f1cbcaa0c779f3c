"""Judge a series of equity: Sharpe ratios, their intervals, and drawdowns.

Minute gains are judged in money: positions do not grow with the account, and a ratio does not
depend on the balance that gains are divided by. Minutes without a position count; a year has
525,600 minutes.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from quantgod.contracts import Floats
from quantgod.evaluation.effective_size import effective_size
from quantgod.evaluation.intervals import Interval, interval, replicates

MINUTES_A_YEAR: Final = 525_600

FEWEST_TRADES: Final = 10
"""With fewer trades no interval of their gain is reliable: one more may change everything."""

TOO_FEW_TRADES: Final = "too few trades"

ROUNDING: Final = 1e-9
"""A spread below this share of the values' size is only rounding error."""


class Ratios(NamedTuple):
    """Net gain, and annual Sharpe and Sortino ratios, with intervals."""

    net: Interval
    sharpe: Interval
    sortino: Interval


class Skill(NamedTuple):
    """The probability that a Sharpe ratio is not luck.

    Attributes:
        probabilistic: that the true ratio is above zero.
        deflated: that it is above the average best of several trials without skill.
        observations: number of independent returns used.
    """

    probabilistic: float
    deflated: float
    observations: float


def ratios(gains: Floats, horizon_minutes: int, trades: int) -> Ratios:
    """Return the ratios of a series of minute gains.

    Args:
        gains: (n,) of minutes, in money.
        horizon_minutes: longest time that a position is held.
        trades: number of closed trades. It limits the information if there are fewer trades than
            horizons. With fewer than `FEWEST_TRADES` nothing is judged; without any the gain is 0.
    """
    columns = np.stack([gains, gains**2, np.minimum(gains, 0) ** 2], axis=1)
    rows = len(gains)
    least = ROUNDING * float(columns[:, 1].sum())
    effective = min(rows / horizon_minutes, trades)
    scores = replicates(columns, effective).map(lambda means: _scores(means * rows, rows, least))
    enough = trades >= FEWEST_TRADES or not trades
    why = "" if enough else TOO_FEW_TRADES
    return Ratios(
        *(
            interval(scores.at(place), effective)._replace(enough=enough, why=why)
            for place in range(len(Ratios._fields))
        )
    )


def skill(gains: Floats, horizon_minutes: int, trials: int) -> Skill:
    """Estimate whether minute gains are luck, from their sums over non-overlapping horizons.

    A trade lasts a horizon, so minutes are not independent observations. Neither are horizons if
    signals persist, so they count by `effective_size`. The spread of the trials' ratios is unknown,
    since a search does not backtest its trials: the standard error of a ratio without skill is
    used. Without any gain or loss the probabilities are at most one half.
    """
    whole = len(gains) // horizon_minutes * horizon_minutes
    blocks = gains[:whole].reshape(-1, horizon_minutes).sum(axis=1)
    count = max(effective_size(blocks), 1.0)
    if not len(blocks) or blocks.std() <= ROUNDING * abs(blocks.mean()):
        sharpe = skewness = kurtosis = 0.0
    else:
        mean, deviation = float(blocks.mean()), float(blocks.std())
        standard = (blocks - mean) / deviation
        sharpe = mean / deviation
        skewness, kurtosis = float((standard**3).mean()), float((standard**4).mean())
    hurdle = expected_best(trials) / math.sqrt(max(count - 1, 1.0))
    return Skill(
        probabilistic_sharpe(sharpe, count, skewness, kurtosis),
        probabilistic_sharpe(sharpe, count, skewness, kurtosis, hurdle),
        count,
    )


def probabilistic_sharpe(
    sharpe: float, observations: float, skewness: float, kurtosis: float, above: float = 0.0
) -> float:
    """Return the probability that the true Sharpe ratio lies above a value.

    Bailey and López de Prado, 2012, "The Sharpe ratio efficient frontier", with all values per
    observation, not per year. The error is never taken to be below that of normal returns: with few
    gains among many zeros, the estimated skewness would turn one lucky trade into a proof.

    Args:
        sharpe: mean over standard deviation.
        observations: independent returns.
        skewness: of the returns.
        kurtosis: likewise; 3 for normal ones.
        above: the value.
    """
    normal = 1 + sharpe**2 / 2
    spread = max(1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2, normal)
    score = (sharpe - above) * math.sqrt(max(observations - 1, 0.0) / spread)
    return float(ndtr(score))


def expected_best(trials: int) -> float:
    """Return the expected maximum of independent standard normal values.

    Bailey and López de Prado, 2014, "The deflated Sharpe ratio". It is 0 for one value.
    """
    if trials <= 1:
        return 0.0
    last, beyond = ndtri(1 - 1 / trials), ndtri(1 - 1 / (trials * math.e))
    return float((1 - np.euler_gamma) * last + np.euler_gamma * beyond)


def _scores(sums: Floats, rows: int, least: float) -> Floats:
    """Return net gain, Sharpe and Sortino, (..., 3), from sums of gains, squares, squared losses.

    A ratio to a spread of zero proves nothing and is 0.
    """
    total, squares, losses = np.moveaxis(sums, -1, 0)
    year = math.sqrt(MINUTES_A_YEAR / rows)
    ratios = (_over(total, spread, least) for spread in (squares - total**2 / rows, losses))
    return np.stack([total, *(ratio * year for ratio in ratios)], axis=-1)


def _over(total: Floats, spread: Floats, least: float) -> Floats:
    root, nothing = np.sqrt(np.maximum(spread, least)), np.zeros(np.shape(total))
    return np.divide(total, root, out=nothing, where=spread > least)
