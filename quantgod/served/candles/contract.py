"""What a version that forecasts candles takes, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import width


@dataclass(frozen=True)
class Contract:
    """The contract of one version, as its `contract.json` says.

    Attributes:
        coins: names, by number.
        served: those of them that members speak of.
        candles: `market`, `interval` and `kind` (trades or micro) of its candles.
        step_ms: milliseconds of the interval.
        horizons: candles ahead.
        window: rows that a network looks at.
        members: names, the floors first.
        feature_set: name and version of the features.
        reach: candles that a row of features needs, itself included.
        rows: newest candles without a hole that a forecast needs.
    """

    coins: list[str]
    served: list[str]
    candles: Mapping[str, str]
    step_ms: int
    horizons: list[int]
    window: int
    members: list[str]
    feature_set: str
    reach: int
    rows: int

    @property
    def back(self) -> int:
        """Return how many candles, up to the first date to catch up with, are needed of a coin.

        Besides its features these tell the outcomes that were still waited for the date before.
        """
        return max(self.rows, width.REACH + max(self.horizons))
