"""Intervals of skill hold the truth that simulated forecasts have, where a bootstrap's do not."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.evaluation.forecasts.by_date import Dates
from quantgod.evaluation.forecasts.losses import squared, width
from quantgod.evaluation.forecasts.outcomes import normal_walk
from tests.evaluation.forecasts.matured import matured

DATES, CASES, FORESIGHT = 468, 400, 0.2
TRUE = {"mean": FORESIGHT**2, "width": 1 - np.sqrt(1 - FORESIGHT**2)}
"""Skill of an optimal mean, and of a normal distribution narrower by what it knows."""
LOSSES = {"mean": squared, "width": width}


def bootstrapped(sums: np.ndarray, steps: int, rng: np.random.Generator) -> tuple[float, float]:
    """Ends of the middle 95 % of the skill over circular blocks of dates, as long as a horizon."""
    block = max(steps, round(DATES ** (1 / 3)))
    starts = rng.integers(0, DATES, (300, -(-DATES // block), 1))
    drawn = sums[(starts + np.arange(block)).reshape(300, -1)[:, :DATES] % DATES].sum(axis=1)
    low, high = np.quantile(1 - drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return float(low), float(high)


def held(steps: int, cases: int) -> dict[str, tuple[float, float]]:
    """Shares of cases in which the interval, and the bootstrap's, holds the true skill."""
    rng, counts = np.random.default_rng(0), {name: np.zeros(2) for name in LOSSES}
    for seed in range(cases):
        rows = matured(1_000 + seed, steps, DATES, foresight=FORESIGHT)
        dates, zero = Dates.of(rows.date, steps), normal_walk(len(rows))
        for name, loss in LOSSES.items():
            mine, other = loss(rows.y, rows.forecasts["subject"]), loss(rows.y, zero)
            found = dates.skill(mine, other)
            ends = (found.low, found.high), bootstrapped(dates.sums(mine, other), steps, rng)
            counts[name] += [low <= TRUE[name] <= high for low, high in ends]
    return {name: (count[0] / cases, count[1] / cases) for name, count in counts.items()}


@pytest.mark.long
@pytest.mark.parametrize("steps", [1, 7])
def test_intervals_of_skill_hold_the_truth_in_95_of_100_cases(steps: int) -> None:
    for waves, bootstrap in held(steps, CASES).values():
        assert waves > 0.925 and waves > bootstrap - 0.01
