"""What each stage will take on this machine, from a few timed steps and the rows at hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from quantgod.planning.at_hand import MINUTES_A_DAY, Inventory, days_asked_for
from quantgod.planning.start import time_start
from quantgod.planning.timing import (
    DaySeconds,
    WindowSeconds,
    time_day,
    time_network,
    time_searched,
    time_small,
)
from quantgod.planning.work import (
    NETWORK,
    SEARCHED,
    SMALL,
    Work,
    cuts_of,
    network_work,
)
from quantgod.settings import Settings
from quantgod.tracking.pipeline import stages

LONG_SECONDS: Final = 3600.0

KNOBS: Final[Mapping[str, str]] = {
    "optimize": "optimize.trials, optimize.epochs, optimize.stride, a smaller optimize.space",
    "train": "train.epochs, window.stride, window.length, a smaller model.params",
    "audit": "split.folds, audit.epochs, audit.stride, window.length, a smaller model.params",
    "evaluate": "evaluate.stride, evaluate.importance_rows",
    "backtest": "split.test_fraction, fewer days",
    "leak_audit": "leak_audit.cuts, leak_audit.stride, leak_audit.minutes",
    "etl": "etl.workers, fewer days",
    "simulate": "simulate.days, simulate.cadence_ms",
}
"""What makes a stage shorter; its time is proportional to counts, and to one over a stride."""

STARTS: Final[Mapping[str, float]] = {
    "etl": 2.0,
    "audit": 1.5,
    "register": 1.3,
    "evaluate": 2.3,
    "backtest": 2.0,
    "gates": 1.3,
    "promote": 1.6,
}
"""How many empty stages a stage takes as long as, but for its rows: figures, baselines, a booster,
worker processes, the fresh process that a version is loaded in. Measured of the demo's stages; one
that is not named is as an empty one."""

REMADE: Final = 0.15
"""The same of each time that the leak audit makes its small pipeline, for booster and baselines."""

PERTURBED: Final = 5.0
"""Times that a day of archives is read by the leak audit, which also writes it anew."""


class StageTime(NamedTuple):
    """A stage, what it has to do, and the seconds that it takes here, if that can be told."""

    stage: str
    work: str
    seconds: float | None


class Estimate(NamedTuple):
    """The stages of `main`, in order."""

    stages: tuple[StageTime, ...]

    @property
    def seconds(self) -> float:
        """All of them whose time can be told."""
        return sum(stage.seconds or 0.0 for stage in self.stages)

    def advice(self) -> list[str]:
        """What brings it down, for the stages that take most."""
        long = sorted(self.stages, key=lambda stage: -(stage.seconds or 0.0))
        worth = [one for one in long if (one.seconds or 0.0) > self.seconds / 10]
        return [f"{one.stage}: {KNOBS[one.stage]}" for one in worth if one.stage in KNOBS]


def long_estimate(settings: Settings, have: Inventory) -> Estimate | None:
    """The estimate where it is longer than people expect; None where it is not."""
    found = estimate(settings, have)
    return found if found.seconds > LONG_SECONDS else None


def estimate(settings: Settings, have: Inventory) -> Estimate:
    """Time a few steps and reckon what the stages of `main` take, each as if it had to run.

    Raises:
        ValueError: for a network or device that the settings cannot have.
        RuntimeError: where not even an empty stage runs.
    """
    reckoner = _Reckoner(settings, have)
    return Estimate(tuple(reckoner.stage(name) for name in stages(settings)))


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


class _Reckoner:
    """What was timed, and what each stage takes by it."""

    def __init__(self, settings: Settings, have: Inventory) -> None:
        self._settings, self._have = settings, have
        self._start = time_start(settings)
        self._day: DaySeconds = time_day(settings, have)
        self._windows: dict[str, WindowSeconds] = {
            NETWORK: time_network(settings),
            SEARCHED: time_searched(settings),
            SMALL: time_small(settings),
        }
        self._work = network_work(settings, have.minutes)

    def stage(self, name: str) -> StageTime:
        words, seconds = self._of_rows(name)
        if seconds is None:
            return StageTime(name, words, None)
        return StageTime(name, words, STARTS.get(name, 1.0) * self._start + seconds)

    def _of_rows(self, name: str) -> tuple[str, float | None]:
        """What a stage has to do with rows, in words and seconds."""
        asked, to_read, tested = self._asked, self._to_read, self._tested
        known: dict[str, tuple[str, float | None]] = {
            "simulate": (f"{asked} days", asked * self._day.simulated),
            "download": (f"{asked} days, as fast as the line is", None),
            "etl": (f"{to_read} days of archives", self._reading(to_read)),
            "label": (f"{self._have.minutes:,} minutes", 0.0),
            "backtest": (f"{tested:.0f} days of books", tested * self._day.read),
            "leak_audit": self._leak_audit(),
        }
        return known[name] if name in known else self._network(name)

    def _network(self, name: str) -> tuple[str, float]:
        if name not in self._work:
            return "", 0.0
        work = self._work[name]
        return _in_words(work), _seconds(work, self._windows[work.network])

    def _leak_audit(self) -> tuple[str, float]:
        cuts, days = cuts_of(self._settings, self._have.minutes)
        words, seconds = self._network("leak_audit")
        small = (cuts + 1) * REMADE * self._start
        read = days * PERTURBED * self._day.read if self._has_archives else 0.0
        return f"{cuts} cuts; {words}", seconds + small + read

    @property
    def _asked(self) -> int:
        """Days of archives that the source gets."""
        return days_asked_for(self._settings)

    @property
    def _to_read(self) -> int:
        """Days of archives that are not stored as bars."""
        have = self._have
        is_begun = have.archives or have.bar_days or have.label_rows
        return have.days_to_read if is_begun else self._asked

    @property
    def _has_archives(self) -> bool:
        """Whether there are archives, or will be."""
        return bool(self._have.archives) or self._asked > 0

    @property
    def _tested(self) -> float:
        """Days whose archived books the backtest's orders meet."""
        days = self._have.minutes * self._settings.split.test_fraction / MINUTES_A_DAY
        return days if self._has_archives else 0.0

    def _reading(self, days: int) -> float:
        workers = self._settings.etl.workers or os.cpu_count() or 1
        return self._day.read * days / max(1, min(workers, days))


def _seconds(work: Work, window: WindowSeconds) -> float:
    return work.trained * window.trained + work.forecast * window.forecast


def _in_words(work: Work) -> str:
    trained = f"{work.trained:,.0f} windows trained on, " if work.trained else ""
    return f"{trained}{work.forecast:,.0f} forecast"
