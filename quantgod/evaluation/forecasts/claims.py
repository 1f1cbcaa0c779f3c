"""Decide whether a forecaster may be said to foresee the mean."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from quantgod.evaluation.forecasts.by_date import Dates
from quantgod.evaluation.forecasts.losses import squared
from quantgod.evaluation.forecasts.outcomes import Outcomes, normal_walk
from quantgod.evaluation.intervals import LEVEL, Interval


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the mean has skill over zero at one horizon.

    Attributes:
        steps: candles ahead.
        looks: the number of looks that the interval is widened for.
        skill: of squared errors over zero, with the widened interval.
    """

    steps: int
    looks: int
    skill: Interval

    @property
    def is_made(self) -> bool:
        """Return whether skill is claimed: enough data, and the low end above 0."""
        return self.skill.enough and self.skill.low > 0


def claims_skill(
    outcomes: Sequence[Outcomes], name: str, looks: int | None = None
) -> tuple[Claim, ...]:
    """Return what may be claimed of a forecaster's mean, horizon by horizon.

    The level of each interval is 1 - 0.05 / looks. Where there is no skill, an interval lies above
    0 in at most 2.5 of 100 / looks cases, so all looks together claim anything in at most 2.5 of
    100 cases (Bonferroni), as far as intervals keep their promise. A mean that only adds noise
    loses to zero, so the chance is less.

    Args:
        outcomes: one of each horizon, of all coins.
        name: of the forecaster.
        looks: horizons times whatever else is looked at, such as coins, forecasters or series; the
            number of horizons if not given.

    Raises:
        ValueError: for fewer looks than horizons.
    """
    looks = len(outcomes) if looks is None else looks
    if looks < len(outcomes):
        raise ValueError(f"{len(outcomes)} looks at least expected, got {looks}")
    return tuple(_claim(one, name, looks) for one in outcomes)


def _claim(outcomes: Outcomes, name: str, looks: int) -> Claim:
    dates, level = Dates.of(outcomes.date, outcomes.steps), 1 - (1 - LEVEL) / looks
    loss = squared(outcomes.y, outcomes.forecasts[name])
    zero = squared(outcomes.y, normal_walk(len(outcomes)))
    skill = dates.skill(loss, zero, level)
    return Claim(steps=outcomes.steps, looks=looks, skill=skill)
