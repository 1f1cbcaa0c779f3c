"""What each stage will take on this machine, from a few timed steps and the rows at hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from quantgod.planning.at_hand import AtHand, days_asked_for
from quantgod.planning.timing import (
    DaySeconds,
    WindowSeconds,
    time_day,
    time_network,
    time_searched,
    time_small,
)
from quantgod.planning.work import NETWORK, SEARCHED, SMALL, Work, network_work
from quantgod.settings import Settings

LONG_SECONDS: Final = 3600.0

KNOBS: Final[Mapping[str, str]] = {
    "optimize": "optimize.trials, optimize.epochs, optimize.stride, a smaller optimize.space",
    "train": "train.epochs, window.stride, window.length, a smaller model.params",
    "audit": "split.folds, audit.epochs, audit.stride, window.length, a smaller model.params",
    "evaluate": "evaluate.stride, evaluate.importance_rows",
    "leak_audit": "leak_audit.cuts, leak_audit.stride, leak_audit.minutes",
    "etl": "etl.workers, fewer days",
    "simulate": "simulate.days, simulate.cadence_ms",
}
"""What makes a stage shorter; its time is proportional to counts, and to one over a stride."""


class StageTime(NamedTuple):
    """A stage, what it has to do, and the seconds that it takes here."""

    stage: str
    work: str
    seconds: float


class Estimate(NamedTuple):
    """The stages whose time is worth telling, in order."""

    stages: tuple[StageTime, ...]

    @property
    def seconds(self) -> float:
        """All of them."""
        return sum(stage.seconds for stage in self.stages)

    def advice(self) -> list[str]:
        """What brings it down, for the stages that take most."""
        long = sorted(self.stages, key=lambda stage: -stage.seconds)
        worth = [one for one in long if one.seconds > self.seconds / 10]
        return [f"{one.stage}: {KNOBS[one.stage]}" for one in worth]


def long_estimate(settings: Settings, have: AtHand) -> Estimate | None:
    """The estimate where it is longer than people expect; None where it is not."""
    found = estimate(settings, have)
    return found if found.seconds > LONG_SECONDS else None


def estimate(settings: Settings, have: AtHand) -> Estimate:
    """Time a few steps and reckon what the stages take; those of some seconds are left out.

    Raises:
        ValueError: for a network or device that the settings cannot have.
    """
    timed = {
        NETWORK: time_network(settings),
        SEARCHED: time_searched(settings),
        SMALL: time_small(settings),
    }
    networks = [
        StageTime(stage, _in_words(work), _seconds(work, timed[work.network]))
        for stage, work in network_work(settings, have.minutes).items()
    ]
    return Estimate((*_archive_stages(settings, have), *networks))


def in_time(seconds: float) -> str:
    """`3 s`, `12 min`, `5.5 h`, `9.1 days`.

    >>> [in_time(seconds) for seconds in (3, 700, 20_000, 800_000)]
    ['3 s', '12 min', '5.6 h', '9.3 days']
    """
    for limit, unit, size, digits in (
        (100, "s", 1, 0),
        (6000, "min", 60, 0),
        (172_800, "h", 3600, 1),
    ):
        if seconds < limit:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds / 86_400:.1f} days"


def _archive_stages(settings: Settings, have: AtHand) -> list[StageTime]:
    asked = days_asked_for(settings)
    to_make = 0 if have.archives or have.bar_days or have.label_rows else asked
    to_read = have.days_to_read or to_make
    if not to_read:
        return []
    day = time_day(settings, have)
    found = [StageTime("etl", f"{to_read} days of archives", _reading(settings, day, to_read))]
    if to_make and settings.data.source == "simulate":
        found.insert(0, StageTime("simulate", f"{to_make} days", day.simulated * to_make))
    return found


def _reading(settings: Settings, day: DaySeconds, days: int) -> float:
    workers = settings.etl.workers or os.cpu_count() or 1
    return day.read * days / min(workers, days)


def _seconds(work: Work, window: WindowSeconds) -> float:
    return work.trained * window.trained + work.forecast * window.forecast


def _in_words(work: Work) -> str:
    trained = f"{work.trained:,.0f} windows trained on, " if work.trained else ""
    return f"{trained}{work.forecast:,.0f} forecast"
