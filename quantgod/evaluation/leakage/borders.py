"""When each fitted thing may know what: from the bars' time stamps and the settings alone.

This says over again, in plain loops, what `dataset.splits` and `auditor.audit` do with arrays, and
takes no number from them: an audit that asked the pipeline what it may know would believe it.
Borders depend on how many minutes there are and when, never on what happened in them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from quantgod.contracts import MS_PER_MINUTE
from quantgod.settings import Settings


@dataclass(frozen=True)
class Borders:
    """First minutes of newer sides, epoch ms; no label that the older side uses may reach them.

    Attributes:
        validation: of the base model.
        folds: each fold's first forecast.
        stopping: the first row that stops the auditor's booster.
        calibration: the first row that the calibrator is fitted on.
        test: the first minute of the test part, which is drawn on all labelled minutes.
        tested: the first of its minutes that is a sample.
        last: the last labelled minute.
        horizon: of a label, in ms.
        embargo: in ms.
    """

    validation: int
    folds: tuple[int, ...]
    calibration: int
    test: int
    tested: int
    last: int
    horizon: int
    embargo: int

    @property
    def stopping(self) -> int:
        """The booster is stopped by the older part of the last fold."""
        return self.folds[-1]

    def known_by(self, border: int) -> int:
        """When what was fitted on the older side of `border` was known: the last label's end."""
        return border - self.embargo

    def inputs_known_by(self, border: int) -> int:
        """When the inputs of the older side were all known: a horizon before its labels were."""
        return self.known_by(border) - self.horizon

    @property
    def first_judged(self) -> tuple[int, ...]:
        """The first sample of every newer side, oldest first."""
        return tuple(sorted({*self.folds, self.calibration, self.validation, self.tested}))


def borders_of(index: pd.DatetimeIndex, settings: Settings) -> Borders:
    """Find the borders of the pipeline that `settings` describe, over bars with this index.

    Raises:
        ValueError: if the bars are too few for the folds.
    """
    minutes = [int(stamp) // MS_PER_MINUTE for stamp in index.as_unit("ms").asi8]
    horizon, embargo = settings.label.horizon_minutes, settings.split.embargo_minutes
    run = _rows_of_run(minutes, settings.etl.max_bridge_minutes)
    place = {minute: row for row, minute in enumerate(minutes)}
    labelled = [
        minute
        for row, minute in enumerate(minutes)
        if (end := place.get(minute + horizon)) is not None and run[end] - run[row] == end - row
    ]
    window, stride = settings.window.length, settings.window.stride
    taken = [minute for minute in labelled if minute % stride == 0 and run[place[minute]] >= window]

    def before(border: int, older: list[int]) -> list[int]:
        return [minute for minute in older if minute + horizon + embargo < border]

    def cut(older: list[int], fraction: float) -> int:
        return older[len(older) - round(len(older) * fraction)]

    try:
        test = cut(labelled, settings.split.test_fraction)
        tested = next(minute for minute in taken if minute >= test)
        dev = before(test, taken)
        size = len(dev) // (settings.split.folds + 1)
        folds = [dev[len(dev) - fold * size] for fold in range(settings.split.folds, 0, -1)]
        calibration = cut(dev[-size:], settings.audit.calibration_fraction)
        validation = cut(dev, settings.split.validation_fraction)
    except (IndexError, StopIteration):
        raise ValueError(
            f"{len(minutes)} minutes hold {len(taken)} samples, too few for a leak audit of "
            f"{settings.split.folds} folds; use more minutes or a shorter stride"
        ) from None
    ms = MS_PER_MINUTE
    return Borders(
        validation=validation * ms,
        folds=tuple(border * ms for border in folds),
        calibration=calibration * ms,
        test=test * ms,
        tested=tested * ms,
        last=labelled[-1] * ms,
        horizon=horizon * ms,
        embargo=embargo * ms,
    )


def _rows_of_run(minutes: list[int], max_bridge: int) -> list[int]:
    """How many rows of its run stand up to and including each; a longer hole begins a new run."""
    counts: list[int] = []
    for row, minute in enumerate(minutes):
        joined = row > 0 and minute - minutes[row - 1] - 1 <= max_bridge
        counts.append(counts[-1] + 1 if joined else 1)
    return counts
