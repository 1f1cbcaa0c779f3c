"""Where a model is right: the test rows cut by confidence, session, weekday and volatility.

A slice is told of by its confusion matrices, base beside auditor:

- `accuracy`: the share of its rows whose decided class came true.
- `hit_rate`: the share of its decided moves (SELL or BUY) whose class came true. NEUTRAL is left
  out of it: that it is right three times in four says nothing of a trade.
- `precision_CLASS`, `recall_CLASS`: among its rows, of what was decided and of what came.
- `caught_CLASS`: of all rows of a class, wherever they lie, the share that was decided right here.

Intervals redraw blocks of the whole test part and cut each redraw anew, so that the number of a
slice's rows varies as it would. A redraw that holds none of the rows that a score counts says
nothing of it and is left out (what `nanquantile` does); `drawn` is the share of redraws that hold
any row of the slice, so that a slice of one lucky hour can be told. A slice without rows, and a
score that counts no row, is None and not zero.

Where all of a few rows came true, every redraw says so too and the bootstrap knows no doubt. Such a
share gets the exact bound for as many independent rows as its rows equal (Clopper and Pearson,
1934).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from quantgod.contracts import CLASSES
from quantgod.dataset.splits import uniqueness
from quantgod.dataset.windows import Samples
from quantgod.evaluation.bootstrap import LEVEL, Interval, redrawn_sums
from quantgod.evaluation.cuts import Cut

_NEUTRAL: Final = CLASSES.index("NEUTRAL")

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Rows(NamedTuple):
    """Rows in order of time: (n,) epoch milliseconds of minute and label end, and class numbers."""

    time_ms: Integers
    label_end_ms: Integers
    target: Integers


class Redrawing(NamedTuple):
    """How intervals are made: rows a block, rounds, and their seed."""

    block: int
    rounds: int
    seed: int


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a slice's rows.

    Attributes:
        rows: how many there are.
        share: of all rows.
        effective_rows: labels that share no minute which they equal.
        drawn: share of redraws that hold any of them.
        moves: decided SELL or BUY, by model.
        models: scores by model and name; None where no row counts.
        differences: the first model's score minus the other's, paired, by that other and name.
    """

    rows: int
    share: float
    effective_rows: float
    drawn: float
    moves: dict[str, int]
    models: dict[str, dict[str, Interval | None]]
    differences: dict[str, dict[str, Interval | None]]


Slices = dict[str, Slice | None]


def slice_scores(
    cut: Cut, rows: Rows, decided: Mapping[str, Integers], redrawing: Redrawing
) -> Slices:
    """Score each slice of a cut, for each model, with paired block-bootstrap intervals.

    Args:
        cut: of the rows.
        rows: all test rows, in order of time.
        decided: (n,) classes by model; the first is the one that differences are of.
        redrawing: same redraws for every cut and model.
    """
    # One model at a time: running sums of a long test part are large, and the redraws are the same.
    told = {name: _tell(cut, rows.target, said, redrawing) for name, said in decided.items()}
    count = np.bincount(cut.place, minlength=len(cut.names))
    return {
        name: _slice(place, cut, rows, decided, told) if count[place] else None
        for place, name in enumerate(cut.names)
    }


class _Told(NamedTuple):
    """Scores of one model by name: (slices,) as observed, (rounds, slices) redrawn."""

    observed: dict[str, Floats]
    drawn: dict[str, Floats]
    moves: Integers
    held: Floats


def _tell(cut: Cut, target: Integers, decided: Integers, redrawing: Redrawing) -> _Told:
    classes, slices = len(CLASSES), len(cut.names)
    cell = (cut.place * classes + target) * classes + decided
    columns = np.zeros((len(target), slices * classes**2))
    columns[np.arange(len(target)), cell] = 1
    observed = columns.sum(axis=0).reshape(slices, classes, classes)
    drawn = redrawn_sums(columns, *redrawing).reshape(-1, slices, classes, classes)
    said = observed.sum(axis=-2)
    return _Told(
        _scores(observed),
        _scores(drawn),
        (said.sum(axis=-1) - said[:, _NEUTRAL]).astype(np.int64),
        (drawn.sum(axis=(-2, -1)) > 0).mean(axis=0),
    )


def _scores(matrix: Floats) -> dict[str, Floats]:
    """Scores of matrices (..., slices, 3, 3), each (..., slices); NaN where nothing counts."""
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    said, was = matrix.sum(axis=-2), matrix.sum(axis=-1)
    moves = [number for number in range(len(CLASSES)) if number != _NEUTRAL]
    scores = {
        "accuracy": _quotient(right.sum(axis=-1), was.sum(axis=-1)),
        "hit_rate": _quotient(right[..., moves].sum(axis=-1), said[..., moves].sum(axis=-1)),
    }
    for number, name in enumerate(CLASSES):
        scores[f"precision_{name.lower()}"] = _quotient(right[..., number], said[..., number])
        scores[f"recall_{name.lower()}"] = _quotient(right[..., number], was[..., number])
        everywhere = np.broadcast_to(was[..., number].sum(-1, keepdims=True), was.shape[:-1])
        scores[f"caught_{name.lower()}"] = _quotient(right[..., number], everywhere)
    return scores


def _quotient(above: Floats, below: Floats) -> Floats:
    nothing: Floats = np.full(below.shape, np.nan)
    return np.divide(above, below, out=nothing, where=below > 0)


def _slice(
    place: int,
    cut: Cut,
    rows: Rows,
    decided: Mapping[str, Integers],
    told: Mapping[str, _Told],
) -> Slice:
    chosen = cut.place == place
    first, *others = told
    return Slice(
        rows=int(chosen.sum()),
        share=float(chosen.mean()),
        effective_rows=effective_rows(rows, chosen),
        drawn=float(told[first].held[place]),
        moves={name: int(said.moves[place]) for name, said in told.items()},
        models={
            name: _shares(place, said, rows, chosen, decided[name]) for name, said in told.items()
        },
        differences={name: _differences(place, told[first], told[name]) for name in others},
    )


def _shares(
    place: int, told: _Told, rows: Rows, chosen: Flags, decided: Integers
) -> dict[str, Interval | None]:
    found = {}
    for name, values in told.observed.items():
        interval = interval_of(values[place], told.drawn[name][:, place])
        if interval is not None and interval.low == interval.high:
            counted = _counted(name, rows.target, decided) & (chosen | name.startswith("caught"))
            interval = doubted(interval, effective_rows(rows, counted))
        found[name] = interval
    return found


def _differences(place: int, told: _Told, minus: _Told) -> dict[str, Interval | None]:
    return {
        name: interval_of(
            values[place] - minus.observed[name][place],
            told.drawn[name][:, place] - minus.drawn[name][:, place],
            -1.0,
        )
        for name, values in told.observed.items()
    }


def _counted(score: str, target: Integers, decided: Integers) -> Flags:
    """The rows that a score is a share of."""
    if score == "accuracy":
        return np.ones(len(target), bool)
    if score == "hit_rate":
        return np.asarray(decided != _NEUTRAL)
    kind, name = score.split("_")
    of = decided if kind == "precision" else target
    return np.asarray(of == CLASSES.index(name.upper()))


def doubted(found: Interval, independent: float) -> Interval:
    """Widen an interval of no width by what so many independent rows without exception allow."""
    doubt = 1 - ((1 - LEVEL) / 2) ** (1 / independent)
    return Interval(found.value, max(found.value - doubt, 0.0), min(found.value + doubt, 1.0))


def interval_of(value: float, drawn: Floats, least: float = 0.0) -> Interval | None:
    """The interval of a share, or of a difference of two, from the redraws that say anything of it.

    Args:
        value: as observed; NaN gives None.
        drawn: (rounds,) redrawn values, NaN where a redraw says nothing.
        least: the smallest value that there can be. Where no redraw says anything nothing is
            known, and the interval is all there is, from here to one.
    """
    if np.isnan(value):
        return None
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return Interval(float(value), least, 1.0)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))


def effective_rows(rows: Rows, chosen: Flags) -> float:
    """How many labels that share no minute the chosen rows equal; see `splits.uniqueness`."""
    time_ms, label_end_ms, target = (column[chosen] for column in rows)
    unused = np.zeros(len(target), np.int64)
    return float(uniqueness(Samples(unused, time_ms, label_end_ms, target, unused, unused)).sum())
