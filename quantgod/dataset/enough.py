"""Compute how many labelled rows the splits need, and report it where a table has too few."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import pandas as pd

from quantgod.contracts import MS_PER_MINUTE
from quantgod.dataset.samples import (
    Samples,
    has_labels,
    left_out_of_each_stretch,
    samples,
    seen_rows,
)
from quantgod.dataset.splits import EmptyPartError, folds, split_dev, split_test, split_validation
from quantgod.settings import AuditSettings, SplitSettings

MOST: Final = 20_000_000
"""The search for a number of rows ends here: 38 years of minutes."""


class TooFewRowsError(ValueError):
    """A table that leaves a part of a split without samples."""


@contextmanager
def enough_rows(
    table: pd.DataFrame,
    window: int,
    stride: int,
    split: SplitSettings,
    audit: AuditSettings | None = None,
) -> Iterator[None]:
    """Run a block; where it finds an empty part, report the rows at hand and the rows needed.

    Args:
        table: what `label` or `learning_table` returns.
        window: rows a window holds.
        stride: minutes between samples.
        split: of test, validation and folds.
        audit: for the folds and the auditor's parts; None where only a base model is trained.

    Raises:
        TooFewRowsError: in place of an `EmptyPartError`.
    """
    try:
        yield
    except EmptyPartError as error:
        labelled, taken = has_labels(table), samples(table, 1, 1)
        ahead = taken.reach_ms - taken.time_ms
        horizon = int(ahead.max()) // MS_PER_MINUTE if len(taken) else 0
        lost = left_out_of_each_stretch(table)
        least = rows_needed(window, horizon, stride, split, audit, lost)
        cut = f"a window of {window}, a horizon of {horizon} and a stride of {stride} minutes"
        cut += f", {split.folds} folds" if audit is not None else ""
        need = f"at least {least:,} in one run without a hole" if least else "no number is enough"
        whole = len(samples(table, window, stride))
        raise TooFewRowsError(
            f"{int(labelled.sum()):,} labelled rows{_left_out(table)} give {whole:,} samples; for "
            f"{cut} {need} is needed ({error})"
        ) from error


def rows_needed(
    window: int,
    horizon: int,
    stride: int,
    split: SplitSettings,
    audit: AuditSettings | None = None,
    lost: int = 0,
) -> int | None:
    """Return how many labelled rows of one stretch every split needs; None if no number is enough.

    Args:
        window: rows a window holds.
        horizon: minutes that a label looks ahead.
        stride: minutes between samples.
        split: of test, validation and folds.
        audit: as in `enough_rows`.
        lost: rows at the begin of a stretch that the network cannot look at.
    """
    few, many = 0, max(window, 1)
    while not _can_be_cut(many, window, horizon, stride, split, audit, lost):
        few, many = many, 2 * many
        if many > MOST:
            return None
    while many - few > 1:
        middle = (few + many) // 2
        if _can_be_cut(middle, window, horizon, stride, split, audit, lost):
            many = middle
        else:
            few = middle
    return many


def _can_be_cut(
    rows: int, window: int, horizon: int, stride: int, split: SplitSettings,
    audit: AuditSettings | None, lost: int,
) -> bool:  # fmt: skip
    taken = _whole(rows, window, horizon, stride, lost)
    try:
        if audit is None:
            split_dev(taken, split)
            return True
        dev = split_test(taken, split).train
        walked = folds(taken, dev, split)
        for fold in walked:
            split_validation(taken, fold.train, audit.stopping_fraction, split)
        split_validation(taken, walked[-1].other, audit.calibration_fraction, split)
    except EmptyPartError:
        return False
    return True


def _whole(rows: int, window: int, horizon: int, stride: int, lost: int) -> Samples:
    """Return the samples of one stretch of that many labelled rows, the first `lost` not seen."""
    row = np.arange(window - 1, max(rows, window - 1))
    time_ms = row[row % stride == 0] * MS_PER_MINUTE
    calendar = np.arange(rows) * MS_PER_MINUTE
    of_bars = Samples.of_times(time_ms, time_ms + horizon * MS_PER_MINUTE, calendar)
    return of_bars.take(of_bars.row >= lost + window - 1)


def _left_out(table: pd.DataFrame) -> str:
    left = int((has_labels(table) & ~seen_rows(table)).sum())
    return f", of which {left:,} cannot be looked at," if left else ""
