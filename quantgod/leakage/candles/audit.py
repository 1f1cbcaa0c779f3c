"""Run the leak audit of candles: nothing known by a cut may change with the candles after it.

Rows, folds, members, ensemble and the GARCH floor are made once of the newest candles as they are,
and once for each cut of candles that are others from there on, by the code that makes them for a
forecast (`walk_coins`), with small members. Borders are those of the whole: they are drawn by
counting dates, and the question is whether values look ahead, not whether the calendar does. What
lies far behind a cut is not made again, so that those candles are missing to the code.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quantgod.contracts import INTERVALS, Candles, Integers, Progress, silent
from quantgod.dataset.candles.folds import Fold
from quantgod.dataset.candles.table import table_of
from quantgod.dataset.splits import EmptyPartError
from quantgod.ensemble.candles import stacked
from quantgod.evaluation.evidence import LeakAuditResult
from quantgod.evaluation.forecasts.run import ForecastHooks, walk_coins
from quantgod.forecasters.candles.forward import split
from quantgod.leakage.candles.perturbation import WAYS, dates_of
from quantgod.leakage.candles.stages import STACKED, States, trace_of
from quantgod.leakage.candles.trace import ALL_COINS, Difference, First, Trace, compare
from quantgod.leakage.leak_audit import LeakError, iso
from quantgod.settings import ForecastMemberSettings, Settings, with_values

SAME_DATES = next(iter(WAYS))
"""The way of changing candles that leaves each date its candle."""

THE_END = "no more candles"
"""The way in which there are none after a cut."""

BY_CALENDAR = ("rows to learn from",)
"""Stages that no price changes, but dates and holes alone."""

KINDS = ("ridge", "lightgbm")


class Cut(NamedTuple):
    """What is known at the close of `date` stays; candles after it are changed in a `way`."""

    date: int
    way: str


def audit_candles(
    coins: Sequence[Candles],
    settings: Settings,
    progress: Progress = silent,
    cuts: Sequence[Cut] = (),
) -> LeakAuditResult:
    """Change all candles after each cut, make all again, and compare what was known before it.

    Args:
        coins: closed candles of one interval; the newest `forecast.leak_audit.candles` are taken.
        settings: forecast and train are read.
        progress: called after each run.
        cuts: by default all borders, the dates before them, and some drawn ones.

    Returns:
        What was compared and changed by stage, and a line for each leak. Of `nearest` a row is a
        candle.

    Raises:
        LeakError: if there are too few candles.
    """
    small, taken = in_small(settings), newest(coins, settings.forecast.leak_audit.candles)
    try:
        folds = split(table_of(taken), small.forecast)
    except EmptyPartError as error:
        most = settings.forecast.leak_audit.candles
        raise LeakError(
            f"forecast.leak_audit.candles: of {most} newest candles {error}; "
            "forecast.gates.leak_audit=false leaves the audit out"
        ) from None
    asked = list(cuts) or cuts_of(folds, table_of(taken).date, small)
    borders, step = [fold.border for fold in folds], taken[0].step_ms
    findings = _compare_all(_Pipeline(taken, small, borders, asked), asked, progress)
    without_stack = too_few_to_stack(borders, small)
    findings.note_unshown({*BY_CALENDAR, *([STACKED] if without_stack else [])})
    return LeakAuditResult(
        cuts=tuple(iso((date + 1) * step) for date in sorted({cut.date for cut in asked})),
        compared=dict(findings.compared),
        leaks=tuple(findings.leaks),
        provenance=None,
        messages=False,
        changed=dict(findings.changed),
        nearest=findings.nearest,
        unshown=tuple(findings.unshown),
        scope=_scope(taken, coins, settings, small)
        + (", coefficients of the stacked mean, for which these are too few" * without_stack),
    )


def in_small(settings: Settings) -> Settings:
    """Return the settings with one small member of each kind: ridge, trees, a network."""
    how, own = settings.forecast, settings.forecast.leak_audit
    small = {
        name: {
            **one.model_dump(mode="json"),
            "params": {**one.params, **own.params.get(one.model, {})},
            "train": {**one.train, "epochs": own.epochs},
        }
        for name, one in _one_of_each(how.chosen).items()
    }
    values = {
        "forecast.members": small, "forecast.only": [], "forecast.tune.members": [],
        "forecast.folds": own.folds, "forecast.workers": 1, "forecast.draws": 2,
        "train.checkpoint_batches": 0, "train.device": "cpu",
    }  # fmt: skip
    return with_values(settings, values)


def _one_of_each(
    members: dict[str, ForecastMemberSettings],
) -> dict[str, ForecastMemberSettings]:
    first: dict[str, str] = {}
    for name, one in members.items():
        first.setdefault(one.model if one.model in KINDS else "network", name)
    return {name: members[name] for name in first.values()}


def newest(coins: Sequence[Candles], count: int) -> list[Candles]:
    """Return the candles of all coins in the newest `count` dates."""
    since = max(int(dates_of(one)[-1]) for one in coins) - count
    taken = [one.take(dates_of(one) > since) for one in coins]
    return [one for one in taken if len(one)]


def cuts_of(folds: Sequence[Fold], dates: Integers, settings: Settings) -> list[Cut]:
    """Return cuts at which the very next candle is the first that a stage must not use.

    They lie at the last date before a selection's rows to stop by, at each border (where candles
    also end) and the date before it, and at some drawn dates, where candles are changed in every
    way.

    Args:
        folds: of all candles.
        dates: of all rows; the last has none after it.
        settings: how many, and the seed.
    """
    own, borders = settings.forecast.leak_audit, [fold.border for fold in folds]
    asked = {border - back for border in borders for back in (0, 1)}
    stop = [fold.known[len(fold.train)] for fold in folds[:1]]
    asked |= {int(dates[row]) - 1 for row in stop}
    free = sorted(set(range(borders[0] + 1, int(dates.max()))) - asked)
    drawn = np.random.default_rng(own.seed).choice(free, min(own.cuts, len(free)), replace=False)
    cuts = {Cut(date, SAME_DATES) for date in asked}
    cuts |= {Cut(border, THE_END) for border in borders}
    return sorted(cuts | {Cut(int(date), way) for date in drawn for way in WAYS})


def too_few_to_stack(borders: Sequence[int], settings: Settings) -> bool:
    """Return whether too little has matured by the last border for any stacked mean."""
    nearest = settings.forecast.horizons[0]
    return borders[-1] - borders[0] - nearest < stacked.LEAST_DATES * nearest


@dataclass(frozen=True)
class _Pipeline:
    """What is made of the same candles again and again."""

    coins: Sequence[Candles]
    settings: Settings
    borders: Sequence[int]
    cuts: Sequence[Cut]

    def as_it_is(self) -> Trace:
        return self._run(self.coins, self.borders)

    def changed(self, cut: Cut) -> tuple[Trace, int]:
        """Return what is made of changed candles, and the first date that it is not made of.

        It is made up to the fold after the one of the cut. Where there are fewer candles after the
        cut it is made of the folds before it: the others have nothing to forecast.
        """
        same = cut.way == SAME_DATES
        known = sum(border <= cut.date + same for border in self.borders) + same
        end = [*self.borders, int(max(dates_of(one)[-1] for one in self.coins)) + 1]
        until = end[min(known, len(self.borders))]
        near = [one.take(dates_of(one) < until) for one in self.coins]
        draw = np.random.default_rng([self.settings.forecast.leak_audit.seed, cut.date])
        made = self._run(WAYS[cut.way](near, cut.date, draw), self.borders[:known])
        return made, until if same else cut.date + 1

    def _run(self, coins: Sequence[Candles], borders: Sequence[int]) -> Trace:
        states = States(frozenset(cut.date for cut in self.cuts))
        hooks = ForecastHooks(on_date=states.keep)
        with tempfile.TemporaryDirectory(prefix="quantgod-") as folder:
            made = walk_coins(coins, self.settings, Path(folder), hooks, borders)
        return trace_of(made, states, self.settings.forecast)


def _compare_all(pipeline: _Pipeline, cuts: Sequence[Cut], progress: Progress) -> _Findings:
    progress(0, len(cuts) + 1, "as it is")
    made = pipeline.as_it_is()
    coins, step = [one.symbol for one in pipeline.coins], pipeline.coins[0].step_ms
    findings = _Findings(coins, step)
    for number, cut in enumerate(cuts, start=1):
        progress(number, len(cuts) + 1, f"{cut.way} from {_date(cut.date, step)} on")
        again, until = pipeline.changed(cut)
        for stage, values in made.items():
            there = values.where(values.date < until)
            findings.hear(stage, cut, compare(there, again[stage], cut.date))
    progress(len(cuts) + 1, len(cuts) + 1, "")
    return findings


@dataclass
class _Findings:
    """Adds up comparisons, and tells of what differed."""

    coins: Sequence[str]
    step_ms: int
    compared: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    nearest: dict[str, int] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    unshown: list[str] = field(default_factory=list)

    def hear(self, stage: str, cut: Cut, found: Difference) -> None:
        """Count a comparison, record how near it came, and describe a leak."""
        self.compared[stage] += found.compared
        self.changed[stage] += found.changed
        if found.newest is not None:
            rows = cut.date - found.newest + 1
            self.nearest[stage] = min(rows, self.nearest.get(stage, rows))
        if found.first is not None:
            self.leaks.append(
                f"{stage}: {self._whose(found.first)} was known by the close of "
                f"{_date(cut.date, self.step_ms)} and changed with what came after it ({cut.way}), "
                f"as did {found.leaked} of {found.compared} such values"
            )

    def _whose(self, first: First) -> str:
        coin = "all coins" if first.coin == ALL_COINS else self.coins[first.coin]
        date = _date(first.date, self.step_ms)
        return f"{first.column or 'what is told'} of {coin} at {date}"

    def note_unshown(self, still: Set[str]) -> None:
        """Record the stages of which nothing was compared, or nothing changed after a cut.

        Args:
            still: stages that do not change.
        """
        for stage, compared in self.compared.items():
            if not compared:
                self.unshown.append(f"{stage}: no value was known by any of the cuts")
            if not self.changed[stage] and stage not in still:
                self.unshown.append(f"{stage}: no value known after a cut has changed")


def _date(date: int, step_ms: int) -> str:
    opened = np.datetime64(date * step_ms, "ms")
    return str(opened.astype("datetime64[D]" if step_ms == INTERVALS["1d"] else "datetime64[m]"))


def _scope(
    taken: Sequence[Candles], coins: Sequence[Candles], settings: Settings, small: Settings
) -> str:
    """Say what was made again, and what was not."""
    left = [name for name in settings.forecast.chosen if name not in small.forecast.members]
    members = ", ".join(small.forecast.members) or "no member but the floors"
    return (
        f"made again: all from candles to issued forecasts, on the newest {max(map(len, taken)):,} "
        f"of {max(map(len, coins)):,} candles of {len(taken)} coins, {small.forecast.folds} folds "
        f"and a newest part, small: {members}; not made again: "
        f"{', '.join([*left, 'searches', 'the served graph'])}"
    )
