"""Watch how the forecasts that matured last have done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import pandas as pd

from quantgod.live.forecasts.ledger import INSIDE
from quantgod.settings.forecasting import WatchSettings

WATCHED: Final = (0.8, 0.95)
"""Intervals whose coverage is watched."""


class Coverage(NamedTuple):
    """How many outcomes lay in an interval, and between which shares they are to.

    Attributes:
        promised: by the interval.
        share: that lay within.
        low: of the band.
        high: of the band.
    """

    promised: float
    share: float
    low: float
    high: float

    @property
    def is_in_band(self) -> bool:
        """Return whether the share is one that chance allows for."""
        return self.low <= self.share <= self.high


class Watched(NamedTuple):
    """Scores of the forecasts of one horizon that matured last, all issued in time.

    Attributes:
        steps: candles ahead.
        rows: forecasts.
        dates: on which they were issued.
        independent: of these, horizons that do not overlap.
        pinball: mean loss of scaled returns.
        skill: how much less that is than the random walk's.
        coverage: of `WATCHED`.
    """

    steps: int
    rows: int
    dates: int
    independent: int
    pinball: float
    skill: float
    coverage: tuple[Coverage, ...]


def watch(ledger: pd.DataFrame, how: WatchSettings) -> list[Watched]:
    """Return how the last matured forecasts did, by horizon; late ones do not count.

    Args:
        ledger: rows of the forecaster that is watched.
        how: how many dates, and how sure a band is.
    """
    counts = ledger[ledger["scored_at"].notna() & ~ledger["late"]]
    found = []
    for steps in sorted({int(each) for each in counts["horizon"]}):
        own = counts[counts["horizon"] == steps]
        dates = own["issue"].drop_duplicates().nlargest(how.last)
        newest = own[own["issue"] >= dates.min()]
        independent = max(1, len(dates) // steps)
        paid, floor = newest["pinball"].mean(), newest["random_walk_pinball"].mean()
        covered = tuple(_coverages(newest, independent, how.level))
        found.append(
            Watched(
                steps, len(newest), len(dates), independent, float(paid),
                float(1 - paid / floor), covered,
            )
        )  # fmt: skip
    return found


def band(promised: float, independent: int, level: float) -> tuple[float, float]:
    """Return between which shares of so many independent outcomes lie, at a level of confidence.

    Coins of one date move together and count once; so do the dates of one horizon.
    """
    from scipy.stats import binom  # noqa: PLC0415

    tail = (1 - level) / 2
    low, high = (float(binom.ppf(at, independent, promised)) for at in (tail, 1 - tail))
    return low / independent, high / independent


def _coverages(rows: pd.DataFrame, independent: int, level: float) -> Iterator[Coverage]:
    for promised in WATCHED:
        share = float(rows[INSIDE[promised]].mean())
        yield Coverage(promised, share, *band(promised, independent, level))
