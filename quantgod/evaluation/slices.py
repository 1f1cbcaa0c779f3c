"""Score slices of the test rows: by confidence, session, weekday and volatility.

Scores of a slice, for base and auditor, from its confusion matrix:

- `accuracy`: the share of its rows whose decided class came true.
- `hit_rate`: the share of its decided moves (SELL or BUY) whose class came true. NEUTRAL is left
  out: it is right three times in four, which says nothing about trades.
- `precision_CLASS`, `recall_CLASS`: as usual, among its rows.
- `caught_CLASS`: the share of all rows of a class, in any slice, that was decided right here.

Intervals weight all rows of the test part before grouping, so that the size of a slice varies too
(`evaluation.intervals`). A score without rows is None, not zero. A share of too few independent
rows has the bounds of an exact binomial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np

from quantgod.contracts import CLASSES, Booleans, Floats, Integers
from quantgod.evaluation.effective_size import effective_rows
from quantgod.evaluation.groupings import Grouping
from quantgod.evaluation.intervals import (
    FEWEST_COUNTED,
    Interval,
    Replicates,
    interval,
    quotient,
    replicates,
    share,
)

_NEUTRAL: Final = CLASSES.index("NEUTRAL")


class Rows(NamedTuple):
    """Rows in order of time: (n,) epoch milliseconds of minute and label end, and class numbers."""

    time_ms: Integers
    label_end_ms: Integers
    target: Integers

    @property
    def effective(self) -> float:
        """Return the number of independent labels."""
        return effective_rows(self.time_ms, self.label_end_ms)

    def take(self, chosen: Booleans) -> Rows:
        """Return the chosen rows."""
        return Rows(*(column[chosen] for column in self))


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of one slice.

    Attributes:
        rows: number of rows.
        share: share of all rows.
        effective_rows: number of independent labels.
        moves: number of decided SELL and BUY, by model.
        models: scores by model and name; None if no row counts.
        differences: the first model's score minus the other's, paired, by other model and name.
    """

    rows: int
    share: float
    effective_rows: float
    moves: dict[str, int]
    models: dict[str, dict[str, Interval | None]]
    differences: dict[str, dict[str, Interval | None]]


Slices = dict[str, Slice | None]


def slice_scores(cut: Grouping, rows: Rows, decided: Mapping[str, Integers]) -> Slices:
    """Score each slice of a grouping, for each model, with intervals and paired differences.

    Args:
        cut: grouping of the rows.
        rows: all test rows, in order of time.
        decided: classes (n,) by model; differences are the first model's minus the others'.
    """
    effective = rows.effective
    told = {name: _tell(cut, rows.target, said, effective) for name, said in decided.items()}
    count = np.bincount(cut.place, minlength=len(cut.names))
    return {
        name: _slice(place, cut, rows, told, effective) if count[place] else None
        for place, name in enumerate(cut.names)
    }


class _Share(NamedTuple):
    """Shares of rows that came true, and of rows that count, (slices,) each."""

    right: Replicates
    counted: Replicates

    def of(self, place: int) -> _Share:
        return _Share(self.right.at(place), self.counted.at(place))


class _ModelSlices(NamedTuple):
    """A model's confusion matrices (slices, 3, 3) as shares of all rows, and its scores by name."""

    matrices: Floats
    scores: dict[str, _Share]


def _tell(cut: Grouping, target: Integers, decided: Integers, effective: float) -> _ModelSlices:
    classes, slices = len(CLASSES), len(cut.names)
    cell = (cut.place * classes + target) * classes + decided
    columns = np.zeros((len(target), slices * classes**2))
    columns[np.arange(len(target)), cell] = 1
    matrices = replicates(columns, effective).map(
        lambda means: means.reshape(*means.shape[:-1], slices, classes, classes)
    )
    return _ModelSlices(matrices.observed, _scores(matrices))


def _scores(matrices: Replicates) -> dict[str, _Share]:
    """Return the scores of matrices (..., slices, 3, 3), as shares."""
    right = matrices.map(lambda matrix: np.diagonal(matrix, axis1=-2, axis2=-1))
    said = matrices.map(lambda matrix: matrix.sum(axis=-2))
    was = matrices.map(lambda matrix: matrix.sum(axis=-1))
    moves = [number for number in range(len(CLASSES)) if number != _NEUTRAL]
    scores = {
        "accuracy": _Share(_sum(right), _sum(was)),
        "hit_rate": _Share(_sum(right, moves), _sum(said, moves)),
    }
    for number, name in enumerate(CLASSES):
        hits, came = _sum(right, [number]), _sum(was, [number])
        everywhere = came.map(
            lambda means: np.broadcast_to(means.sum(-1, keepdims=True), means.shape)
        )
        scores[f"precision_{name.lower()}"] = _Share(hits, _sum(said, [number]))
        scores[f"recall_{name.lower()}"] = _Share(hits, came)
        scores[f"caught_{name.lower()}"] = _Share(hits, everywhere)
    return scores


def _sum(classes: Replicates, chosen: list[int] | None = None) -> Replicates:
    places = slice(None) if chosen is None else chosen
    return classes.map(lambda means: means[..., places].sum(axis=-1))


def _slice(
    place: int, cut: Grouping, rows: Rows, told: Mapping[str, _ModelSlices], effective: float
) -> Slice:
    chosen = cut.place == place
    first, *others = told
    return Slice(
        rows=int(chosen.sum()),
        share=float(chosen.mean()),
        effective_rows=rows.take(chosen).effective,
        moves={name: _moves(one.matrices[place], len(chosen)) for name, one in told.items()},
        models={
            name: {score: share(*found.of(place), effective) for score, found in one.scores.items()}
            for name, one in told.items()
        },
        differences={
            name: {
                score: _difference(found.of(place), told[name].scores[score].of(place), effective)
                for score, found in told[first].scores.items()
            }
            for name in others
        },
    )


def _moves(matrix: Floats, rows: int) -> int:
    said = matrix.sum(axis=0) * rows
    return round(float(said.sum() - said[_NEUTRAL]))


def _difference(ours: _Share, theirs: _Share, effective: float) -> Interval | None:
    counted = min(float(side.counted.observed) for side in (ours, theirs))
    if not counted > 0:
        return None
    apart = ours.right.join(ours.counted, quotient).join(
        theirs.right.join(theirs.counted, quotient), np.subtract
    )
    found = interval(apart, effective)
    return found if counted * effective >= FEWEST_COUNTED else found.limited(-1.0, 1.0)
