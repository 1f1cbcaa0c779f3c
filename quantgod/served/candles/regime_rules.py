"""The regime that a market is in, by rules.

Three figures (`measures`) are each held against two thresholds. A state begins beyond the outer one
and lasts until the inner one is passed, so that a figure near a threshold does not change the
regime to and fro (hysteresis). What is volatile is called so first, then what trends, then what
reverts; the rest ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ..features.scale import log_returns
from ..rolling import Floats, deviation, rolling
from .features.measures import efficiency, rank, variance_ratio

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

NAMES = ("trending", "mean_reverting", "volatile", "ranging")
"""Regimes by their number."""

MEMORY = 60
"""Rows in which a state, begun or ended, starts anew."""
PAST = 200
"""Closes that a figure looks at."""
REACH = PAST + MEMORY - 1
"""Closes that a regime depends on."""


@dataclass(frozen=True)
class Rules:
    """Thresholds of the regimes.

    Of independent normal returns one row in ten lies beyond the outer threshold of a trend, and as
    many beyond that of reversion.

    Attributes:
        volatile_from: share of the last 180 rows that were calmer at which the volatile regime
            begins, 0 to 1; the volatility of a row is that of its last 20 returns.
        volatile_until: below which it ends.
        trending_from: efficiency ratio of 30 returns, either way, at which a trend begins.
        trending_until: below which it ends.
        reverting_from: variance ratio of 5 returns over 60 at which reversion begins: below 1,
            as returns that undo each other have negative autocorrelation.
        reverting_until: above which it ends.
    """

    volatile_from: float = 0.8
    volatile_until: float = 0.65
    trending_from: float = 0.375
    trending_until: float = 0.23
    reverting_from: float = 0.6
    reverting_until: float = 0.8

    def __post_init__(self) -> None:
        """Check that each state begins where it lasts.

        Raises:
            ValueError: naming the two thresholds.
        """
        for name, sign in (("volatile", 1), ("trending", 1), ("reverting", -1)):
            begins, ends = (getattr(self, f"{name}_{edge}") for edge in ("from", "until"))
            if not sign * begins >= sign * ends:
                order = "at or above" if sign > 0 else "at or below"
                raise ValueError(
                    f"{name}_from {begins} must be {order} {name}_until {ends}: set the one beyond "
                    "which the regime begins further out"
                )

    def compute(self, columns: Mapping[str, Floats]) -> Integers:
        """Return the regime of each candle of a gap-free stretch, (rows,): its place in NAMES.

        The first REACH - 1 rows are -1.
        """
        found = measures(columns["close"])
        volatility, trend, together = found.T
        states = (
            _latched(trend >= self.trending_from, trend < self.trending_until),
            _latched(together <= self.reverting_from, together > self.reverting_until),
            _latched(volatility >= self.volatile_from, volatility < self.volatile_until),
        )
        regime = np.select([states[2], states[0], states[1]], [2, 0, 1], 3)
        regime[: REACH - 1] = -1
        return regime

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {"kind": "rules", **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Rules:
        """Read what `to_json` returned."""
        return cls(**{field.name: content[field.name] for field in fields(cls)})


def measures(close: Floats) -> Floats:
    """Return volatility, efficiency and variance ratio of each row, (rows, 3).

    They are the share of the last 180 rows with a lower volatility of 20 returns, the efficiency
    ratio of 30 returns without its sign, and the variance ratio of 5 returns over 60 of them. The
    first PAST - 1 rows are NaN.
    """
    returns = log_returns(close)
    found = np.stack(
        [
            (1 + rank(deviation(returns, 20), PAST - 20)) / 2,
            np.abs(efficiency(returns, 30)),
            variance_ratio(returns, 60, 5),
        ],
        axis=1,
    )
    found[: PAST - 1] = np.nan
    return found


def _latched(begins: Booleans, ends: Booleans) -> Booleans:
    """Return whether a state that begins and ends so lasts, by the newest event of MEMORY rows."""
    events = np.where(begins, 1.0, np.where(ends, -1.0, 0.0))
    return rolling(events, MEMORY, _newest) > 0


def _newest(events: Floats) -> Floats:
    """Return the newest event of each window, 0 where there is none."""
    ago = np.argmax(events[:, ::-1] != 0, axis=1)
    return np.asarray(events[np.arange(len(events)), events.shape[1] - 1 - ago])
