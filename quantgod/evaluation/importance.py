"""What a model would lose without a group of features: permutation importance on the test part.

Breiman, "Random Forests" (2001), section 10. A group's columns of a whole window are taken from
another sample's window, in their order of time, and all else stays. Columns that belong together
move together: a wick from another hour beside a body of this one is a bar that never was, and what
one of two near twins tells alone is nothing. What is found is how much this model leans on a
group and not how much the group could tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from quantgod.contracts import FEATURES, Progress, silent
from quantgod.evaluation.bootstrap import LEVEL, Interval, redrawn_sums
from quantgod.evaluation.metrics import TALLIED, scores_of, tally
from quantgod.evaluation.slices import Redrawing
from quantgod.evaluation.subject import Subject

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "body and wicks": ("body", "upper_wick", "lower_wick"),
    "return": ("log_ret_close",),
    "volatility": ("volatility",),
    "spread": ("max_spread",),
    "imbalance": ("mean_obi", "mean_deep_obi"),
    "volume": ("log_volume",),
}
WINDOWS_AT_ONCE: Final = 64

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Loss(NamedTuple):
    """What a group's permutation costs, the mean of its repeats.

    Intervals redraw rows; how far repeats lie apart stands beside them.
    """

    log_loss_rise: Interval
    macro_f1_fall: Interval
    log_loss_by_repeat: tuple[float, ...]
    macro_f1_by_repeat: tuple[float, ...]


class Importance(msgspec.Struct, frozen=True, kw_only=True):
    """Permutation importance.

    Attributes:
        rows: windows that were read for it.
        repeats: permutations of each group.
        models: by model (`auditor`, `base`) and group.
    """

    rows: int
    repeats: int
    models: dict[str, dict[str, Loss]]


class Plan(NamedTuple):
    """How much is read: windows at most, permutations of each group, and the seed of those."""

    rows: int
    repeats: int
    seed: int


def evenly(count: int, most: int) -> Integers:
    """At most `most` places among `count`, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))


def permutation(count: int, rng: np.random.Generator) -> Integers:
    """A random permutation that leaves nothing in its place: one cycle through all (Sattolo).

    Raises:
        ValueError: for fewer than two, which can only stay where they are.
    """
    if count < 2:
        raise ValueError(f"two windows or more are needed to exchange features, got {count}")
    order = rng.permutation(count)
    exchanged = np.empty(count, np.int64)
    exchanged[order] = np.roll(order, 1)
    return exchanged


def permutation_importance(
    subject: Subject,
    matrix: Floats,
    rows: Integers,
    target: Integers,
    plan: Plan,
    redrawing: Redrawing,
    progress: Progress = silent,
) -> Importance:
    """How much worse base and auditor become when a group's columns come from other windows.

    Args:
        subject: what is asked.
        matrix: (m, 9) raw features.
        rows: (n,) last rows of the test samples' windows, in order of time.
        target: (n,) their classes.
        plan: how many windows and permutations.
        redrawing: of the chosen windows; its block counts those.
        progress: hears of permutations.

    Raises:
        ValueError: for fewer than two windows.
    """
    chosen = evenly(len(rows), plan.rows)
    ends, came = rows[chosen], target[chosen]
    rng = np.random.default_rng(plan.seed)
    variants: list[tuple[str, Integers]] = [("", np.arange(len(ends)))]
    variants += [
        (group, permutation(len(ends), rng)) for group in GROUPS for _ in range(plan.repeats)
    ]
    tallies: dict[str, list[Floats]] = {"auditor": [], "base": []}
    for number, (group, order) in enumerate(variants):
        meta = _meta_features(subject, matrix, ends, order, GROUPS.get(group, ()))
        audited, base = subject.audited(meta), subject.base(meta)
        tallies["auditor"].append(tally(came, audited, subject.decision_weights))
        tallies["base"].append(tally(came, base, subject.base_weights))
        progress(number + 1, len(variants), "importance")
    return Importance(
        rows=len(ends),
        repeats=plan.repeats,
        models={name: _losses(parts, plan.repeats, redrawing) for name, parts in tallies.items()},
    )


def chosen_block(block: int, count: int, most: int) -> int:
    """Rows a block of `evenly` chosen rows that spans what `block` of all rows do."""
    kept = len(evenly(count, most))
    return max(1, min(math.ceil(block * kept / count), kept // 4))


def _meta_features(
    subject: Subject, matrix: Floats, ends: Integers, order: Integers, features: tuple[str, ...]
) -> Floats:
    """(n, 14) of windows whose `features` come from the windows `order`; some windows at a time."""
    parts = [
        subject.meta_features(stacked, lasts)
        for stacked, lasts in _stacks(matrix, ends, order, features, subject.window)
    ]
    return np.concatenate(parts)


def _stacks(
    matrix: Floats, ends: Integers, order: Integers, features: tuple[str, ...], window: int
) -> Iterator[tuple[Floats, Integers]]:
    """Matrices of windows end to end, and the last row of each window in them."""
    columns = [FEATURES.index(name) for name in features]
    within = np.arange(1 - window, 1)
    for begin in range(0, len(ends), WINDOWS_AT_ONCE):
        own = (ends[begin : begin + WINDOWS_AT_ONCE, None] + within).ravel()
        other = (ends[order[begin : begin + WINDOWS_AT_ONCE], None] + within).ravel()
        stacked = matrix[own]
        stacked[:, columns] = matrix[other][:, columns]
        yield stacked, np.arange(window - 1, len(stacked), window)


def _losses(tallies: list[Floats], repeats: int, redrawing: Redrawing) -> dict[str, Loss]:
    columns = np.concatenate(tallies, axis=1)
    observed = scores_of(columns.sum(axis=0).reshape(-1, TALLIED))
    sums = redrawn_sums(columns, *redrawing)
    drawn = scores_of(sums.reshape(redrawing.rounds, -1, TALLIED))
    losses = {}
    for number, group in enumerate(GROUPS):
        own = slice(1 + number * repeats, 1 + (number + 1) * repeats)
        rise = observed["log_loss"][own] - observed["log_loss"][0]
        fall = observed["macro_f1"][0] - observed["macro_f1"][own]
        losses[group] = Loss(
            _interval(rise, drawn["log_loss"][:, own] - drawn["log_loss"][:, :1]),
            _interval(fall, drawn["macro_f1"][:, :1] - drawn["macro_f1"][:, own]),
            tuple(rise.tolist()),
            tuple(fall.tolist()),
        )
    return losses


def _interval(observed: Floats, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn.mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(observed.mean()), float(low), float(high))
