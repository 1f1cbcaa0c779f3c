"""Group the test rows by session, weekday, volatility, or the model's own confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd

from quantgod.contracts import Floats, Integers

SESSIONS: Final = ("Tokyo", "London", "New York")
HOURS_PER_SESSION: Final = 8
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TERCILES: Final = ("low", "middle", "high")


@dataclass(frozen=True, eq=False)
class Grouping:
    """A division of rows into slices.

    Attributes:
        names: of the slices.
        place: (n,) position of each row's slice in `names`.
    """

    names: tuple[str, ...]
    place: Integers


def by_session(time: pd.Series[Any]) -> Grouping:
    """Group by the hour of each minute's start: Tokyo 0-8, London 8-16, New York 16-24 UTC."""
    hour = time.dt.tz_convert("UTC").dt.hour.to_numpy(np.int64)
    return Grouping(SESSIONS, hour // HOURS_PER_SESSION)


def by_weekday(time: pd.Series[Any]) -> Grouping:
    """Group by the day of the week, UTC."""
    return Grouping(WEEKDAYS, time.dt.tz_convert("UTC").dt.day_of_week.to_numpy(np.int64))


def by_volatility(volatility: Floats, reference: Floats) -> Grouping:
    """Group by terciles of `reference` (rows before the test); borders belong to the lower one."""
    edges = np.quantile(reference, [1 / 3, 2 / 3])
    return Grouping(TERCILES, np.searchsorted(edges, volatility).astype(np.int64))


def by_confidence(confidence: Floats, lower_ends: Sequence[float]) -> Grouping:
    """Group by tiers of the decided class's probability; a lower end belongs to its tier.

    Raises:
        ValueError: if the lower ends do not rise.
    """
    if any(high <= low for low, high in pairwise(lower_ends)):
        raise ValueError(f"lower ends of tiers must rise, got {tuple(lower_ends)}")
    if not lower_ends:
        return Grouping(("all",), np.zeros(len(confidence), np.int64))
    ends = [*lower_ends, None]
    names = [
        f"{low:g} or more" if high is None else f"{low:g} to {high:g}"
        for low, high in zip(lower_ends, ends[1:], strict=True)
    ]
    place = np.searchsorted(np.asarray(lower_ends), confidence, side="right").astype(np.int64)
    return Grouping((f"below {lower_ends[0]:g}", *names), place)


def confidence_of(probabilities: Floats, decided: Integers) -> Floats:
    """Return the probability of the decided class, which need not be the likeliest, (n,).

    In a calibrated model this is how often such a decision is right, whatever the decision weights;
    the largest probability would belong to another decision.
    """
    confidence: Floats = probabilities[np.arange(len(decided)), decided]
    return confidence
