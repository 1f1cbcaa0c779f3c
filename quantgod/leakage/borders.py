"""Compute what each stage may know, to the minute, from time stamps and settings only.

This repeats in plain loops what `dataset.splits` and `auditor.audit` do with arrays, and uses none
of their results: an audit must not trust the pipeline it audits. Borders depend on the number and
times of minutes, never on their content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import pandas as pd

from quantgod.contracts import MS_PER_MINUTE, Booleans
from quantgod.models import zoo
from quantgod.settings import Settings

STOPPING_ROWS: Final = "stopping forecasts"
CALIBRATION_ROWS: Final = "calibration forecasts"
TEST_ROWS: Final = "test forecasts"

Minutes = list[int]


@dataclass(frozen=True)
class Borders:
    """The pipeline's borders in time, and what each stage may know; epoch ms.

    Attributes:
        validation: the first minute of the base model's validation part.
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
    minutes = _minutes_of(index, settings, seen)
    try:
        return _Sides(settings).borders(minutes)
    except IndexError:
        raise ValueError(
            f"{len(index)} minutes hold {len(minutes.taken)} samples, too few for a leak audit of "
            f"{settings.split.folds} folds; use more minutes or a shorter stride"
        ) from None


class _Labelled(NamedTuple):
    """Labelled minutes: all, the samples of a network of bars, and those of the network."""

    all: Minutes
    of_bars: Minutes
    taken: Minutes


class _Sides:
    """Splits epoch minutes (rising) into older and newer sides."""

    def __init__(self, settings: Settings) -> None:
        self._split, self._audit = settings.split, settings.audit
        self._longest, self._primary = (
            settings.label.longest_minutes,
            settings.label.horizon_minutes,
        )

    def borders(self, minutes: _Labelled) -> Borders:
        """Split the labelled minutes, and the samples among them.

        Raises:
            IndexError: if a side would be empty.
        """
        taken, test = minutes.taken, _newest(minutes.all, self._split.test_fraction)[0]
        dev, of_bars = (self._learned(test, older) for older in (taken, minutes.of_bars))
        size = len(dev) // (self._split.folds + 1)
        begins = range(len(dev) - self._split.folds * size, len(dev), size)
        folds = [dev[begin : begin + size] for begin in begins]
        last = folds[-1]
        calibration = _newest(last, self._audit.calibration_fraction)
        validation = _newest(of_bars, self._split.validation_fraction)
        asked = {f"fold {fold} forecasts": rows for fold, rows in enumerate(folds[:-1], start=1)}
        asked[STOPPING_ROWS] = last[: len(last) - len(calibration)]
        asked[CALIBRATION_ROWS] = calibration
        asked[TEST_ROWS] = [minute for minute in taken if minute >= test]
        older = [minute for rows in folds[:-1] for minute in rows]
        fitted = {
            "confidence": self._labels(self._learned(last[0], older, self._primary), self._primary),
            "scaler": self._inputs(self._learned(validation[0], dev)),
            **self._of_folds([self._learned(rows[0], dev) for rows in folds]),
            "booster": self._labels(
                self._learned(calibration[0], asked[STOPPING_ROWS], self._primary), self._primary
            ),
            "base model": self._labels(dev, self._longest),
            **dict.fromkeys(
                ("calibrator", "conformal threshold", "chosen confidence", "baselines"),
                self._labels(dev, self._primary),
            ),
        }
        return Borders(
            validation=validation[0] * MS_PER_MINUTE,
            folds=tuple(rows[0] * MS_PER_MINUTE for rows in folds),
            calibration=calibration[0] * MS_PER_MINUTE,
            test=test * MS_PER_MINUTE,
            fitted=fitted,
            forecasts={stage: tuple(map(_close_of, rows)) for stage, rows in asked.items()},
        )

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
    stride, window = settings.window.stride, settings.window.length
    on_stride = [minute for minute in labelled if minute % stride == 0]
    of_bars, taken = (
        [minute for minute in on_stride if rows[place[minute]] >= window] for rows in (run, kept)
    )
    return _Labelled(labelled, of_bars, taken)


def memory_of(settings: Settings) -> int:
    """Return how many rows of a stretch it takes until a row has all that the network looks at."""
    return zoo.inputs(settings.model.name, settings.window.length).memory


def _newest(minutes: Minutes, fraction: float) -> Minutes:
    return minutes[len(minutes) - round(len(minutes) * fraction) :]


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
