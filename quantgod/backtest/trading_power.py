"""Test a backtest's intervals on simulated trades: few, at random moments, with a known mean."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from quantgod.backtest.performance import MINUTES_A_YEAR, ratios
from quantgod.contracts import Floats
from quantgod.evaluation.interval_power import DesignOutcome

HORIZON: Final = 60
TRUE_CASES: Final = 4_000
_MEAN: Final = 0.3
_COST: Final = 0.1


class Trader(NamedTuple):
    """Holds a position for a horizon, then none for a random time of this mean, in minutes."""

    minutes: int
    apart: int

    @property
    def name(self) -> str:
        """Return the name in the table."""
        return f"trades in {self.minutes:,} min"


TRADERS: Final = (Trader(2_000, 100), Trader(10_000, 600), Trader(10_000, 200))


def gains(trader: Trader, seed: int) -> tuple[Floats, int]:
    """Draw minute gains, with fat tails and costs, in a trade's standard deviations; and trades."""
    rng, series, trades, moment = np.random.default_rng(seed), np.zeros(trader.minutes), 0, 0
    while (moment := moment + int(rng.geometric(1 / trader.apart))) + HORIZON <= trader.minutes:
        steps = rng.standard_t(4, HORIZON) / math.sqrt(2 * HORIZON)
        series[moment : moment + HORIZON] += steps + _MEAN / HORIZON
        series[moment] -= _COST
        moment, trades = moment + HORIZON, trades + 1
    return series, trades


def prove(trader: Trader, cases: int, true_cases: int = TRUE_CASES) -> list[DesignOutcome]:
    """Return how often the intervals of net gain and Sharpe ratio hold the truth."""
    drawn = [gains(trader, 10**9 + seed)[0] for seed in range(true_cases)]
    total = float(np.mean([series.sum() for series in drawn]))
    squares = float(np.mean([np.square(series).sum() for series in drawn])) / trader.minutes
    mean = total / trader.minutes
    true = {"net": total, "sharpe": mean / math.sqrt(squares - mean**2) * MINUTES_A_YEAR**0.5}
    met = [gains(trader, seed) for seed in range(cases)]
    found = [ratios(series, HORIZON, trades) for series, trades in met]
    trades = float(np.mean([trades for _, trades in met]))
    return [
        DesignOutcome.of(trader.name, name, trades, [getattr(one, name) for one in found], value)
        for name, value in true.items()
    ]
