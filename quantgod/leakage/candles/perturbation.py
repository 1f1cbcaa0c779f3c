"""Change candles after a cut: another market, one with a hole, or none at all.

A cut is a date, the number of a candle since 1970: what is known at its close stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from quantgod.contracts import CANDLE_COLUMNS, Booleans, Candles, Integers

FAR: Final = 8.0
"""First return after the cut, against the old one, in deviations of the coin's returns."""

WILD: Final = 2.0
"""Deviation of the others, in the same unit."""

TREND: Final = 0.5
"""Their mean in the same unit, up after an odd cut and down after an even one: of two neighbouring
cuts one has a market that goes the way of the drift, so that the stacked mean believes in it."""

HOLE: Final = 3
"""Candles that the first coin lacks after the cut; each further coin lacks one more."""

_PRICES: Final = CANDLE_COLUMNS.index("close") + 1

Coins = Sequence[Candles]
Way = Callable[[Coins, int, np.random.Generator], list[Candles]]


def dates_of(candles: Candles) -> Integers:
    """Return the number of each candle since 1970, (n,)."""
    return candles.time_ms // candles.step_ms


def other_market(coins: Coins, cut: int, rng: np.random.Generator) -> list[Candles]:
    """Return the same dates with other prices and volumes after the cut."""
    trend = TREND if cut % 2 else -TREND
    return [_other(one, dates_of(one) > cut, trend, rng) for one in coins]


def other_with_a_hole(coins: Coins, cut: int, rng: np.random.Generator) -> list[Candles]:
    """Return another market whose first candles after the cut are missing."""
    changed = other_market(coins, cut, rng)
    missing = [(dates_of(one) > cut) & (dates_of(one) <= cut + HOLE + k) for k, one in
               enumerate(changed)]  # fmt: skip
    return [one.take(~gone) for one, gone in zip(changed, missing, strict=True)]


def nothing_more(coins: Coins, cut: int, rng: np.random.Generator) -> list[Candles]:
    """Return what there is by the cut."""
    return [one.take(dates_of(one) <= cut) for one in coins]


WAYS: Final[Mapping[str, Way]] = {
    "another market": other_market,
    "another market with a hole": other_with_a_hole,
    "no more candles": nothing_more,
}


def _other(one: Candles, later: Booleans, trend: float, rng: np.random.Generator) -> Candles:
    """Replace these candles, the newest of a coin: its price jumps to where it did not go."""
    count, first = int(later.sum()), len(later) - int(later.sum())
    if not count or not first:
        return one
    old = np.diff(np.log(one.column("close")))
    spread, side = max(float(old.std()), 1e-6), -1.0 if old[first - 1] > 0 else 1.0
    steps = spread * (trend + rng.normal(0.0, WILD, count))
    steps[0] = side * FAR * spread
    close = one.column("close")[first - 1] * np.exp(np.cumsum(steps))
    opened = np.concatenate([one.column("close")[first - 1 : first], close[:-1]])
    away = np.exp(spread * np.abs(rng.normal(0.0, WILD, (2, count))))
    high, low = np.maximum(opened, close) * away[0], np.minimum(opened, close) / away[1]
    values = one.values.copy()
    values[later, :_PRICES] = np.column_stack([opened, high, low, close])
    values[later, _PRICES:] *= rng.uniform(0.2, 5.0, (count, 1))
    return replace(one, values=values)
