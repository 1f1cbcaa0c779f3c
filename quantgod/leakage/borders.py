"""Compute what each stage may know, to the minute, from time stamps and settings only.

This repeats in plain loops what `dataset.splits` and `auditor.audit` do with arrays, and uses none
of their results: an audit must not trust the pipeline it audits. Borders depend on the number and
times of minutes, never on their content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import pandas as pd

from quantgod.contracts import MS_PER_MINUTE, Booleans
from quantgod.dataset.inputs import Inputs
from quantgod.models import zoo
from quantgod.settings import Settings, members_of

STOPPING_ROWS: Final = "stopping forecasts"
CALIBRATION_ROWS: Final = "calibration forecasts"
TEST_ROWS: Final = "test forecasts"

WEIGHTS: Final = "weights"
COMBINER: Final = "combiner"

STACKING: Final = "stacking"
LEARNED: Final = (STACKING, "adaptive", "hedge")
"""Strategies of an ensemble whose weights are learned."""

Minutes = list[int]


@dataclass(frozen=True)
class Borders:
    """The pipeline's borders in time, and what each stage may know; epoch ms.

    Members of an ensemble look at different minutes, so that their folds begin at different ones;
    the ensemble's begin with the last of them.

    Attributes:
        validation: the first minute of the base model's validation part; of members the newest.
        folds: each fold's first forecast.
        calibration: the first row that the calibrator is fitted on.
        test: the first minute of the test part, whose border is drawn on all labelled minutes.
            Validation's is drawn on the samples of a network of bars.
        fitted: by stage, the close of the newest bar that a fit may use: for a scaler the last bar
            of its windows, for all else the last bar of its labels.
        forecasts: by stage, the closes of the forecast minutes: each forecast may use the bars up
            to its own.
    """

    validation: int
    folds: tuple[int, ...]
    calibration: int
    test: int
    fitted: Mapping[str, int]
    forecasts: Mapping[str, tuple[int, ...]]

    @property
    def out_of_fold(self) -> tuple[str, ...]:
        """Return the stages of `forecasts` that the auditor's rows fall into, in order of time."""
        older = range(1, len(self.folds))
        return (*(f"fold {fold} forecasts" for fold in older), STOPPING_ROWS, CALIBRATION_ROWS)


def borders_of(
    index: pd.DatetimeIndex, settings: Settings, seen: Booleans | None = None
) -> Borders:
    """Return the borders of the pipeline that `settings` describe, for bars with this index.

    Args:
        index: of the bars.
        settings: of the pipeline.
        seen: which bars have a book that the network can look at; no sample sees the others. None
            for a network that does not look at the book.

    Raises:
        ValueError: if the bars are too few for the folds.
    """
    asked = _minutes_of(index, settings, seen)
    try:
        if settings.ensemble is None:
            own = _Sides(settings).of_network(asked)
            return _Sides(settings).of_auditor(own, asked)
        return _of_ensemble(index, settings, seen, asked)
    except IndexError:
        raise ValueError(
            f"{len(index)} minutes hold {len(asked.taken)} samples, too few for a leak audit of "
            f"{settings.split.folds} folds; use more minutes or a shorter stride"
        ) from None


def of_network(stage: str, name: str) -> str:
    """Return the name of a stage of one network; `name` is empty where there is only one."""
    return f"{stage} of {name}" if name else stage


def networks_of(settings: Settings) -> Mapping[str, Settings]:
    """Return the settings of each network by name: of an ensemble's members, or of one without."""
    return {"": settings} if settings.ensemble is None else members_of(settings)


def memory_of(settings: Settings) -> int:
    """Return how many rows of a stretch it takes until a row has all that networks look at."""
    return max(_inputs(one).memory for one in networks_of(settings).values())


def has_book(settings: Settings) -> bool:
    """Return whether a network looks at the book."""
    return any(_inputs(one).has_book for one in networks_of(settings).values())


def _inputs(network: Settings) -> Inputs:
    return zoo.inputs(network.model.name, network.window.length)


class _Labelled(NamedTuple):
    """Labelled minutes: all, the samples of a network of bars, and those of the network."""

    all: Minutes
    of_bars: Minutes
    taken: Minutes


class _Network(NamedTuple):
    """What a network's fits may know: its validation's first minute, its folds, and the closes."""

    validation: int
    folds: list[Minutes]
    fitted: Mapping[str, int]


def _of_ensemble(
    index: pd.DatetimeIndex, settings: Settings, seen: Booleans | None, asked: _Labelled
) -> Borders:
    """Return the borders of members, which are audited on the minutes that all of them have.

    Raises:
        IndexError: if a side would be empty.
    """
    sides, each = _Sides(settings), {}
    for name, own in members_of(settings).items():
        looked_at = seen if _inputs(own).has_book else None
        each[name] = _Sides(own).of_network(_minutes_of(index, own, looked_at))
    fitted = {
        of_network(stage, name): at
        for name, one in each.items()
        for stage, at in one.fitted.items()
    }
    folds = _folds_of_all([one.folds for one in each.values()])
    validation = max(one.validation for one in each.values())
    found = sides.of_auditor(_Network(validation, folds, fitted), asked)
    said = {
        of_network("forecasts", name): _closes(_joined(one.folds)) for name, one in each.items()
    }
    learned = sides.of_combiner(_joined(folds), settings)
    weights = {WEIGHTS: _closes(_joined(folds))} if learned else {}
    return replace(
        found, fitted={**found.fitted, **learned}, forecasts={**said, **weights, **found.forecasts}
    )


def _folds_of_all(each: list[list[Minutes]]) -> list[Minutes]:
    """Return the minutes that all members have, in folds that begin with the last member's."""
    common = sorted(set.intersection(*(set(_joined(folds)) for folds in each)))
    begins = [max(rows[0] for rows in fold) for fold in zip(*each, strict=True)]
    ends = [*begins[1:], common[-1] + 1]
    return [
        [minute for minute in common if begin <= minute < end]
        for begin, end in zip(begins, ends, strict=True)
    ]


class _Sides:
    """Splits epoch minutes (rising) into older and newer sides."""

    def __init__(self, settings: Settings) -> None:
        self._split, self._audit = settings.split, settings.audit
        self._longest, self._primary = (
            settings.label.longest_minutes,
            settings.label.horizon_minutes,
        )

    def of_network(self, minutes: _Labelled) -> _Network:
        """Split the samples of a network, and return what its fits may know.

        Raises:
            IndexError: if a side would be empty.
        """
        test = self._test(minutes)
        dev, of_bars = (self._learned(test, older) for older in (minutes.taken, minutes.of_bars))
        size = len(dev) // (self._split.folds + 1)
        begins = range(len(dev) - self._split.folds * size, len(dev), size)
        folds = [dev[begin : begin + size] for begin in begins]
        validation = _newest(of_bars, self._split.validation_fraction)
        fitted = {
            "scaler": self._inputs(self._learned(validation[0], dev)),
            "base model": self._labels(dev, self._longest),
            **self._of_folds([self._learned(rows[0], dev) for rows in folds]),
        }
        return _Network(validation[0], folds, fitted)

    def of_auditor(self, network: _Network, asked: _Labelled) -> Borders:
        """Split what was said out of fold, and return all borders.

        Args:
            network: that has said it, or all members together.
            asked: labelled minutes, and those that the test part asks about.

        Raises:
            IndexError: if a side would be empty.
        """
        test, folds = self._test(asked), network.folds
        last, older = folds[-1], _joined(folds[:-1])
        calibration = _newest(last, self._audit.calibration_fraction)
        said = {f"fold {fold} forecasts": rows for fold, rows in enumerate(folds[:-1], start=1)}
        said[STOPPING_ROWS] = last[: len(last) - len(calibration)]
        said[CALIBRATION_ROWS] = calibration
        said[TEST_ROWS] = [minute for minute in asked.taken if minute >= test]
        stopping = self._learned(calibration[0], said[STOPPING_ROWS], self._primary)
        fitted = {
            "confidence": self._labels(self._learned(last[0], older, self._primary), self._primary),
            "booster": self._labels(stopping, self._primary),
            **dict.fromkeys(
                ("calibrator", "conformal threshold", "chosen confidence"),
                self._labels(last, self._primary),
            ),
            "baselines": self._labels(self._learned(test, asked.taken), self._primary),
        }
        return Borders(
            validation=network.validation * MS_PER_MINUTE,
            folds=tuple(rows[0] * MS_PER_MINUTE for rows in folds),
            calibration=calibration[0] * MS_PER_MINUTE,
            test=test * MS_PER_MINUTE,
            fitted={**network.fitted, **fitted},
            forecasts={stage: _closes(rows) for stage, rows in said.items()},
        )

    def of_combiner(self, said: Minutes, settings: Settings) -> Mapping[str, int]:
        """Return what the weights that are served may know; nothing where none are learned.

        Fitted ones know all labels, and moving ones those that have ended by the last minute.
        """
        how = settings.ensemble
        if how is None or how.strategy not in LEARNED:
            return {}
        ends = [minute + self._primary for minute in said]
        if how.strategy != STACKING:
            ends = [end for end in ends if end <= said[-1]]
        return {COMBINER: _close_of(ends[-1])}

    def _test(self, minutes: _Labelled) -> int:
        return _newest(minutes.all, self._split.test_fraction)[0]

    def _of_folds(self, learned: Iterable[Minutes]) -> dict[str, int]:
        """Return each fold's limits: its scaler uses fit samples, its model stopping ones too."""
        known: dict[str, int] = {}
        for fold, older in enumerate(learned, start=1):
            stopping = _newest(older, self._audit.stopping_fraction)
            known[f"fold {fold} scaler"] = self._inputs(self._learned(stopping[0], older))
            known[f"fold {fold} model"] = self._labels(older, self._longest)
        return known

    def _learned(self, border: int, older: Minutes, reach: int | None = None) -> Minutes:
        """Return the minutes whose label plus embargo ends before a border."""
        embargo = self._split.embargo_minutes
        ahead = (self._longest if reach is None else reach) + embargo
        return [minute for minute in older if minute + ahead < border]

    def _inputs(self, learned: Minutes) -> int:
        return _close_of(learned[-1])

    def _labels(self, learned: Minutes, horizon: int) -> int:
        return _close_of(learned[-1] + horizon)


def _minutes_of(index: pd.DatetimeIndex, settings: Settings, seen: Booleans | None) -> _Labelled:
    """Return the labelled minutes, and those of them that all networks can look at."""
    minutes = [int(stamp) // MS_PER_MINUTE for stamp in index.as_unit("ms").asi8]
    run = _rows_of_run(minutes, settings.etl.max_bridge_minutes)
    place = {minute: row for row, minute in enumerate(minutes)}
    ahead = [one.horizon_minutes for one in settings.label.horizons]

    def is_known(row: int, end: int | None) -> bool:
        return end is not None and run[end] - run[row] == end - row

    kept = _kept_rows(run, memory_of(settings), seen)
    labelled = [
        minute
        for row, minute in enumerate(minutes)
        if all(is_known(row, place.get(minute + horizon)) for horizon in ahead)
    ]
    stride = settings.window.stride
    window = max(one.window.length for one in networks_of(settings).values())
    on_stride = [minute for minute in labelled if minute % stride == 0]
    of_bars, taken = (
        [minute for minute in on_stride if rows[place[minute]] >= window] for rows in (run, kept)
    )
    return _Labelled(labelled, of_bars, taken)


def _newest(minutes: Minutes, fraction: float) -> Minutes:
    return minutes[len(minutes) - round(len(minutes) * fraction) :]


def _joined(folds: list[Minutes]) -> Minutes:
    return [minute for rows in folds for minute in rows]


def _closes(minutes: Minutes) -> tuple[int, ...]:
    return tuple(map(_close_of, minutes))


def _close_of(minute: int) -> int:
    """Return when a minute's bar is known, epoch ms."""
    return (minute + 1) * MS_PER_MINUTE


def _kept_rows(run: list[int], memory: int, seen: Booleans | None) -> list[int]:
    """Count the rows up to each since one of its stretch was left out; 0 for one left out."""
    counts: list[int] = []
    for row, rows in enumerate(run):
        is_kept = rows >= memory and (seen is None or bool(seen[row]))
        counts.append((counts[-1] + 1 if rows > 1 else 1) if is_kept else 0)
    return counts


def _rows_of_run(minutes: Minutes, max_bridge: int) -> list[int]:
    """Count the rows of each row's stretch up to it; a gap above the bridge starts a new one."""
    counts: list[int] = []
    for row, minute in enumerate(minutes):
        joined = row > 0 and minute - minutes[row - 1] - 1 <= max_bridge
        counts.append(counts[-1] + 1 if joined else 1)
    return counts
