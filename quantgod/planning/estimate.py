"""Estimate the time of each stage on this machine, from timed steps and the available rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from quantgod.auditor.fold_workers import fold_places
from quantgod.contracts import Progress, silent
from quantgod.planning.at_hand import MINUTES_A_DAY, Inventory, days_asked_for
from quantgod.planning.start import time_start
from quantgod.planning.timing import (
    DaySeconds,
    WindowSeconds,
    time_day,
    time_features,
    time_folds,
    time_network,
    time_searched,
    time_small,
)
from quantgod.planning.work import (
    FOLDS,
    NETWORK,
    SEARCHED,
    SMALL,
    Work,
    cuts_of,
    longest_share,
    network_work,
    networks_of,
    side_by_side,
)
from quantgod.settings import Settings
from quantgod.tracking.members import beside_others, members_at_once
from quantgod.tracking.pipeline import stages

LONG_SECONDS: Final = 3600.0

KNOBS: Final[Mapping[str, str]] = {
    "optimize": "optimize.hours, optimize.trials, optimize.epochs, a smaller optimize.space",
    "train": "train.epochs, train.every, window.stride, window.length, a smaller model.params",
    "members": "train.epochs, train.every, split.folds, audit.epochs, audit.stride, fewer members",
    "audit": "split.folds, audit.epochs, audit.stride, window.length, a smaller model.params",
    "evaluate": "evaluate.stride, evaluate.importance_rows",
    "backtest": "split.test_fraction, fewer days",
    "leak_audit": "leak_audit.cuts, leak_audit.stride, leak_audit.minutes",
    "etl": "etl.workers, fewer days",
    "simulate": "simulate.days, simulate.cadence_ms",
}
"""Settings that shorten a stage; its time is proportional to counts and to 1 / stride."""

STARTS: Final[Mapping[str, float]] = {
    "simulate": 0.6,
    "etl": 1.5,
    "label": 0.6,
    "train": 1.5,
    "audit": 1.5,
    "evaluate": 2.0,
    "backtest": 1.6,
    "gates": 0.7,
    "promote": 1.3,
}
"""Fixed time of a stage in multiples of an empty one that imports everything: fewer libraries, or
figures, baselines, a booster, worker processes, the new process that loads a version. Measured on
the demo's stages; the default is 1."""

STEPS: Final[Mapping[str, str]] = {
    NETWORK: "the network",
    SEARCHED: "networks of the search",
    FOLDS: "the network of folds",
    SMALL: "the network of the leak audit",
}
"""What is timed of each kind of network."""

REMADE: Final = 0.15
"""The same for each run of the leak audit's small pipeline, for booster and baselines."""

PERTURBED: Final = 5.0
"""Cost of a day of archives in the leak audit, which reads and rewrites it, in readings."""


class Machine(NamedTuple):
    """What this machine takes whatever the network is: to start a stage, and for a day of books."""

    start: float
    day: DaySeconds


class StageTime(NamedTuple):
    """A stage, its work, and its seconds on this machine, if known."""

    stage: str
    work: str
    seconds: float | None


class Estimate(NamedTuple):
    """The stages of `main`, in order."""

    stages: tuple[StageTime, ...]

    @property
    def seconds(self) -> float:
        """Return the sum of all known times."""
        return sum(stage.seconds or 0.0 for stage in self.stages)

    def advice(self) -> list[str]:
        """Return settings that would shorten the longest stages."""
        long = sorted(self.stages, key=lambda stage: -(stage.seconds or 0.0))
        worth = [one for one in long if (one.seconds or 0.0) > self.seconds / 10]
        return [f"{one.stage}: {KNOBS[one.stage]}" for one in worth if one.stage in KNOBS]


def long_estimate(
    settings: Settings, have: Inventory, progress: Progress = silent
) -> Estimate | None:
    """Return the estimate if it is unexpectedly long, else None."""
    found = estimate(settings, have, progress=progress)
    return found if found.seconds > LONG_SECONDS else None


def time_machine(settings: Settings, have: Inventory, progress: Progress = silent) -> Machine:
    """Time what is common to all networks of some settings.

    Raises:
        RuntimeError: if not even an empty stage runs.
    """
    progress(0, 2, "an empty stage")
    start = time_start(settings)
    progress(1, 2, "a day of archives")
    day = time_day(settings, have)
    progress(2, 2, "")
    return Machine(start, day)


def estimate(
    settings: Settings,
    have: Inventory,
    machine: Machine | None = None,
    progress: Progress = silent,
) -> Estimate:
    """Time a few steps and estimate the stages of `main`, assuming that all have to run.

    Args:
        settings: of one network, or of an ensemble.
        have: what there is.
        machine: what `time_machine` returned for settings that differ in the network alone.
        progress: called before each timed step, which it names, and at the end.

    Raises:
        ValueError: for an invalid network or device.
        RuntimeError: if not even an empty stage runs.
    """
    machine = machine or time_machine(settings, have, progress)
    reckoner = _Reckoner(settings, have, machine, progress)
    return Estimate(tuple(reckoner.stage(name) for name in stages(settings)))


def in_time(seconds: float) -> str:
    """Return a duration like `3 s`, `12 min`, `5.5 h`, `9.1 days`.

    >>> [in_time(seconds) for seconds in (0.2, 3, 700, 20_000, 800_000)]
    ['<1 s', '3 s', '12 min', '5.6 h', '9.3 days']
    """
    if seconds < 1:
        return "<1 s"
    for limit, unit, size, digits in (
        (100, "s", 1, 0),
        (6000, "min", 60, 0),
        (172_800, "h", 3600, 1),
    ):
        if seconds < limit:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds / 86_400:.1f} days"


class _Network(NamedTuple):
    """A network, its timed windows by kind, and its work by stage."""

    settings: Settings
    windows: dict[str, WindowSeconds]
    work: dict[str, Work]


class _Reckoner:
    """Computes each stage's time from the timed steps."""

    def __init__(
        self, settings: Settings, have: Inventory, machine: Machine, progress: Progress
    ) -> None:
        self._settings, self._have = settings, have
        self._start, self._day = machine
        asked, networks = stages(settings), networks_of(settings)
        self._at_once = 1
        if settings.ensemble is not None:
            self._at_once = members_at_once(settings.members_at_once, networks)
            networks = {name: beside_others(own, self._at_once) for name, own in networks.items()}
        timed = {NETWORK: time_network, SEARCHED: time_searched, FOLDS: time_folds}
        timed |= {SMALL: time_small} if "leak_audit" in asked else {}
        if "optimize" not in asked:
            del timed[SEARCHED]
        steps = [(name, kind) for name in networks for kind in timed]
        count = len(steps) + ("features" in asked)
        windows: dict[str, dict[str, WindowSeconds]] = {name: {} for name in networks}
        for place, (name, kind) in enumerate(steps):
            progress(place, count, STEPS[kind] + (f" of {name}" if name else ""))
            windows[name][kind] = timed[kind](networks[name])
        if "features" in asked:
            progress(count - 1, count, "features")
        self._row = time_features() if "features" in asked else 0.0
        progress(count, count, "")
        self._networks = [
            _Network(own, windows[name], network_work(own, have.minutes))
            for name, own in networks.items()
        ]

    def stage(self, name: str) -> StageTime:
        words, seconds = self._of_rows(name)
        if seconds is None:
            return StageTime(name, words, None)
        return StageTime(name, words, STARTS.get(name, 1.0) * self._start + seconds)

    def _of_rows(self, name: str) -> tuple[str, float | None]:
        """Return a stage's work on rows, in words and seconds."""
        if name == "leak_audit":
            return self._leak_audit()
        asked, to_read, tested = self._asked, self._to_read, self._tested
        to_reread = len(self._have.archives) or asked
        known: dict[str, tuple[str, float | None]] = {
            "simulate": (f"{asked} days", asked * self._day.simulated),
            "download": (f"{asked} days, as fast as the line is", None),
            "etl": (f"{to_read} days of archives", self._reading(to_read)),
            "label": (f"{self._have.minutes:,} minutes", 0.0),
            "features": (f"{self._have.minutes:,} minutes", self._have.minutes * self._row),
            "snapshots": (f"{to_reread} days of archives", self._reading(to_reread)),
            "backtest": (f"{tested:.0f} days of books", tested * self._day.read),
        }
        return known[name] if name in known else self._network(name)

    def _network(self, name: str) -> tuple[str, float]:
        """Return the networks' work in a stage, in words and seconds."""
        each = [
            (one, [part for part in self._parts(name, one) if part in one.work])
            for one in self._networks
        ]
        works = [one.work[part] for one, parts in each for part in parts]
        if not works:
            return "", 0.0
        seconds = [sum(self._seconds(one, part) for part in parts) for one, parts in each]
        if name == "members":
            began = [taken + STARTS["train"] * self._start for taken in seconds]
            return _in_words(works), side_by_side(began, self._at_once)
        return _in_words(works), sum(seconds)

    def _parts(self, name: str, one: _Network) -> list[str]:
        """Return a stage by the names of its work; members walk their folds as they are trained."""
        walks_before = self._settings.ensemble is not None and one.settings.train.out_of_fold
        if name == "members":
            return ["train", "audit"] if walks_before else ["train"]
        return [] if name == "audit" and walks_before else [name]

    def _seconds(self, one: _Network, name: str) -> float:
        work, settings = one.work[name], one.settings
        seconds = _seconds(work, one.windows[work.network])
        search, places = settings.optimize, fold_places(settings.train)
        if name == "audit" and places is not None and self._at_once == 1:
            seconds *= longest_share(settings, places.workers or 1)
        if name == "optimize" and search.hours is not None:
            last = seconds / search.trials  # which begins before the hours are over
            seconds = min(seconds, search.hours * 3600 + last)
        return seconds

    def _leak_audit(self) -> tuple[str, float]:
        cuts, days = cuts_of(self._settings, self._have.minutes)
        words, seconds = self._network("leak_audit")
        small = (cuts + 1) * REMADE * self._start
        read = days * PERTURBED * self._day.read if self._has_archives else 0.0
        return f"{cuts} cuts; {words}", seconds + small + read

    @property
    def _asked(self) -> int:
        """Return the days of archives that the source makes or downloads."""
        return days_asked_for(self._settings)

    @property
    def _to_read(self) -> int:
        """Return the days of archives that are not stored as bars."""
        have = self._have
        is_begun = have.archives or have.bar_days or have.label_rows
        return have.days_to_read if is_begun else self._asked

    @property
    def _has_archives(self) -> bool:
        """Return whether there are archives, or will be."""
        return bool(self._have.archives) or self._asked > 0

    @property
    def _tested(self) -> float:
        """Return the days whose archived books the backtest's orders meet."""
        days = self._have.minutes * self._settings.split.test_fraction / MINUTES_A_DAY
        return days if self._has_archives else 0.0

    def _reading(self, days: int) -> float:
        workers = self._settings.etl.workers or os.cpu_count() or 1
        return self._day.read * days / max(1, min(workers, days))


def _seconds(work: Work, window: WindowSeconds) -> float:
    return work.trained * window.trained + work.forecast * window.forecast


def _in_words(works: Sequence[Work]) -> str:
    trained, forecast = sum(one.trained for one in works), sum(one.forecast for one in works)
    told = f"{trained:,.0f} windows trained on, " if trained else ""
    return f"{told}{forecast:,.0f} forecast"
