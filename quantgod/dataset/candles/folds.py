"""Split rows of all coins by date, and purge: what trains had come true before what is judged.

All coins share one calendar. At a border the older side keeps rows whose farthest outcome lies
strictly before it, as in `splits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from quantgod.contracts import Integers
from quantgod.dataset.candles.table import CandleTable
from quantgod.dataset.splits import EmptyPartError
from quantgod.served.candles.rows import REACH

TEST: Final = "test"
"""Name of the fold of the newest dates."""


@dataclass(frozen=True, eq=False)
class Fold:
    """Positions of rows: `train` and `stopping` are learned from, `judged` comes after them.

    Attributes:
        name: `fold 1`, ... or `test`.
        border: first date that is judged.
        train: rows to fit on.
        stopping: newer rows to stop early by, purged against `train`.
        judged: rows with a whole window from the border on, whether their outcome is known or not.
    """

    name: str
    border: int
    train: Integers
    stopping: Integers
    judged: Integers

    @property
    def known(self) -> Integers:
        """Return all rows that a model of this fold may have seen, older first."""
        return np.concatenate([self.train, self.stopping])


def folds_of(
    table: CandleTable,
    horizons: tuple[int, ...],
    window: int,
    *,
    folds: int,
    test_fraction: float,
    stopping_fraction: float,
) -> list[Fold]:
    """Return walk-forward folds over all but the newest dates, and last the fold of these.

    Args:
        table: all rows.
        horizons: steps ahead.
        window: rows that a network looks at.
        folds: of dev, as scikit-learn's `TimeSeriesSplit` cuts it.
        test_fraction: of the dates: the newest, judged by models that have seen none of them.
        stopping_fraction: newest part of the dates that a fold learns from, for early stopping.

    Raises:
        EmptyPartError: naming the part that would be empty, or the coin that would be served and
            never judged, and what there is.
    """
    _check_windows(table, window)
    usable = np.unique(table.date[table.can_see(window)])
    borders = _borders(usable, folds, test_fraction)
    found = folds_at(table, borders, horizons, window, stopping_fraction)
    _check_judged(table, found[-1])
    return found


def _check_windows(table: CandleTable, window: int) -> None:
    """Refuse a coin without a row that can be forecast from."""
    there, seen = (
        np.bincount(of, minlength=len(table.coins))
        for of in (table.coin, table.coin[table.can_see(window)])
    )
    for name, candles, ends in zip(table.coins, there, seen, strict=True):
        if not ends:
            raise EmptyPartError(
                f"{name}: {candles} candles, and none ends the {REACH + window - 1} without a hole "
                "that a forecast needs: give more candles, or leave the coin out"
            )


def _check_judged(table: CandleTable, fold: Fold) -> None:
    """Refuse a coin that served members would not be judged by."""
    judged = np.bincount(table.coin[fold.judged], minlength=len(table.coins))
    for name, count in zip(table.coins, judged, strict=True):
        if not count:
            begin = np.datetime64(fold.border * table.step_ms, "ms").astype("datetime64[m]")
            raise EmptyPartError(
                f"{name}: no candle from {begin} on, where the newest part begins, ends a whole "
                "window to judge it by: give newer candles, or leave the coin out"
            )


def folds_at(
    table: CandleTable,
    borders: Sequence[int],
    horizons: tuple[int, ...],
    window: int,
    stopping_fraction: float,
) -> list[Fold]:
    """Return the folds that begin at these dates, rising; the last is called `test`.

    Raises:
        EmptyPartError: naming the part that would be empty, and what there is.
    """
    usable = np.flatnonzero(table.can_see(window))
    learnable = usable[np.isfinite(table.outcomes(horizons)[usable]).all(axis=1)]
    found = []
    for number, (border, end) in enumerate(pairwise([*borders, int(table.date.max()) + 1])):
        name = TEST if number == len(borders) - 1 else f"fold {number + 1}"
        judged = usable[(table.date[usable] >= border) & (table.date[usable] < end)]
        train, stopping = _learned(table, learnable, border, max(horizons), stopping_fraction)
        if not (len(train) and len(stopping)):
            raise EmptyPartError(
                f"{name}: {len(train)} rows to train on and {len(stopping)} to stop by before its "
                "border: give more candles, or fewer folds"
            )
        found.append(Fold(name, border, train, stopping, _by_date(table, judged)))
    return found


def _borders(dates: Integers, folds: int, test_fraction: float) -> list[int]:
    """Return the first date of each fold and of the test part, among dates with a whole window."""
    test = len(dates) - round(len(dates) * test_fraction)
    size = test // (folds + 1)
    if not size or test == len(dates):
        raise EmptyPartError(
            f"{len(dates)} dates have a whole window: too few for {folds} folds and a test part of "
            f"{test_fraction} of them"
        )
    return [int(dates[place]) for place in (*(test - k * size for k in range(folds, 0, -1)), test)]


def _learned(
    table: CandleTable, learnable: Integers, border: int, longest: int, fraction: float
) -> tuple[Integers, Integers]:
    """Return rows to train on and to stop by, in order of date, purged at both borders."""
    older = learnable[table.date[learnable] + longest < border]
    dates = np.unique(table.date[older])
    if len(dates) < 2:
        return older, older[:0]
    stop = dates[len(dates) - max(1, round(len(dates) * fraction))]
    train = older[table.date[older] + longest < stop]
    return _by_date(table, train), _by_date(table, older[table.date[older] >= stop])


def _by_date(table: CandleTable, rows: Integers) -> Integers:
    return rows[np.lexsort((table.coin[rows], table.date[rows]))]
