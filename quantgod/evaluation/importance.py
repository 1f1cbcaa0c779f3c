"""Compute the permutation importance of groups of features on the test part.

Breiman, "Random Forests" (2001), section 10. A group's columns of a whole window are replaced by
those of another sample's window, in order of time; all else stays. Related columns move together: a
wick from another hour beside this hour's body would be an impossible bar, and one of two nearly
equal columns alone adds nothing. The result is how much this model relies on a group, not how much
information the group has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np

from quantgod.auditor.auditor_input import forecast_in
from quantgod.contracts import PRIMARY, Floats, Integers, Progress, silent
from quantgod.evaluation.comparison import scores_shaken
from quantgod.evaluation.intervals import Interval, Replicates, interval, replicates
from quantgod.evaluation.metrics import TALLIED, tally
from quantgod.evaluation.subject import RawMaterial, Subject
from quantgod.served.features import sets

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "body and wicks": ("body", "upper_wick", "lower_wick"),
    "return": ("log_ret_close",),
    "volatility": ("volatility",),
    "spread": ("max_spread",),
    "imbalance": ("mean_obi", "mean_deep_obi"),
    "volume": ("log_volume",),
}
"""The nine features of the bars, by group."""

BOOK: Final = "snapshots of the book"
WINDOWS_AT_ONCE: Final = 64


class Loss(NamedTuple):
    """The cost of permuting a group, as the mean of its repeats.

    The intervals are over rows; the spread over repeats is separate.
    """

    log_loss_rise: Interval
    macro_f1_fall: Interval
    log_loss_by_repeat: tuple[float, ...]
    macro_f1_by_repeat: tuple[float, ...]


class Importance(msgspec.Struct, frozen=True, kw_only=True):
    """Permutation importance.

    Attributes:
        rows: number of windows used.
        repeats: permutations of each group.
        models: by model (`auditor`, `base`) and group.
    """

    rows: int
    repeats: int
    models: dict[str, dict[str, Loss]]


class Plan(NamedTuple):
    """The maximal number of windows, the permutations of each group, and their seed."""

    rows: int
    repeats: int
    seed: int


def groups_of(columns: tuple[str, ...], *, has_book: bool = False) -> dict[str, tuple[str, ...]]:
    """Return the groups of a model's columns; each set of further features is one.

    So is the book, which has no columns.
    """
    further = {f"{name} features": one.NAMES for name, one in sets.SETS.items()}
    there = {name: of for name, of in further.items() if set(of) <= set(columns)}
    return {**GROUPS, **there, **({BOOK: ()} if has_book else {})}


def evenly(count: int, most: int) -> Integers:
    """Return at most `most` evenly spaced positions out of `count`, with the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))


def permutation(count: int, rng: np.random.Generator) -> Integers:
    """Return a random permutation without fixed points: one cycle through all (Sattolo).

    Raises:
        ValueError: for fewer than two positions.
    """
    if count < 2:
        raise ValueError(f"two windows or more are needed to exchange features, got {count}")
    order = rng.permutation(count)
    exchanged = np.empty(count, np.int64)
    exchanged[order] = np.roll(order, 1)
    return exchanged


def permutation_importance(
    subject: Subject,
    material: RawMaterial,
    rows: Integers,
    target: Integers,
    plan: Plan,
    effective: float,
    progress: Progress = silent,
) -> Importance:
    """Return how much worse base and auditor get when a group's columns come from other windows.

    Args:
        subject: the model.
        material: raw rows, as the model takes them.
        rows: (n,) last rows of the test samples' windows, in order of time.
        target: (n,) true classes.
        plan: number of windows and permutations.
        effective: number of independent rows among the windows used.
        progress: called after permutations.

    Raises:
        ValueError: for fewer than two windows.
    """
    chosen = evenly(len(rows), plan.rows)
    ends, came = rows[chosen], target[chosen]
    rng = np.random.default_rng(plan.seed)
    variants: list[tuple[str, Integers]] = [("", np.arange(len(ends)))]
    groups = groups_of(subject.columns, has_book=subject.block is not None)
    variants += [
        (group, permutation(len(ends), rng)) for group in groups for _ in range(plan.repeats)
    ]
    asked = []
    for number, (group, order) in enumerate(variants):
        columns = [subject.columns.index(name) for name in groups.get(group, ())]
        moved = _Exchange(order, columns, with_book=group == BOOK)
        asked.append(_meta_features(subject, material, ends, moved))
        progress(number + 1, len(variants), "importance")
    kept = np.isfinite(np.stack(asked)).all(axis=(0, 2))  # an ensemble may have no answer to some
    tallies: dict[str, list[Floats]] = {"auditor": [], "base": []}
    for meta in asked:
        audited = subject.audited(meta[kept])
        base = forecast_in(meta[kept], subject.base_weights).probabilities[:, PRIMARY]
        tallies["auditor"].append(tally(came[kept], audited, subject.decision_weights))
        tallies["base"].append(tally(came[kept], base, subject.base_weights))
    effective *= float(kept.mean())
    return Importance(
        rows=int(kept.sum()),
        repeats=plan.repeats,
        models={
            name: _losses(parts, tuple(groups), plan.repeats, effective)
            for name, parts in tallies.items()
        },
    )


class _Exchange(NamedTuple):
    """Columns, or the book, that windows take from the windows `order`."""

    order: Integers
    columns: list[int]
    with_book: bool


def _meta_features(
    subject: Subject, material: RawMaterial, ends: Integers, moved: _Exchange
) -> Floats:
    """Return meta-features (n, 14) of windows that have exchanged something."""
    parts = [
        subject.ask(stacked, lasts).meta
        for stacked, lasts in _stacks(material, ends, moved, subject.window)
    ]
    return np.concatenate(parts)


def _stacks(
    material: RawMaterial, ends: Integers, moved: _Exchange, window: int
) -> Iterator[tuple[RawMaterial, Integers]]:
    """Yield concatenated windows, and the last row of each window in them."""
    matrix, book = material.matrix, material.book
    within = np.arange(1 - window, 1)
    for begin in range(0, len(ends), WINDOWS_AT_ONCE):
        own = (ends[begin : begin + WINDOWS_AT_ONCE, None] + within).ravel()
        other = (ends[moved.order[begin : begin + WINDOWS_AT_ONCE], None] + within).ravel()
        stacked = matrix[own]
        stacked[:, moved.columns] = matrix[other][:, moved.columns]
        seen = None if book is None else book.take(other if moved.with_book else own)
        yield RawMaterial(stacked, seen), np.arange(window - 1, len(stacked), window)


def _losses(
    tallies: list[Floats], groups: tuple[str, ...], repeats: int, effective: float
) -> dict[str, Loss]:
    sums = replicates(np.concatenate(tallies, axis=1), effective).map(
        lambda means: means.reshape(*means.shape[:-1], -1, TALLIED)
    )
    scores = scores_shaken(sums)
    losses = {}
    for number, group in enumerate(groups):
        own = slice(1 + number * repeats, 1 + (number + 1) * repeats)
        rise = scores["log_loss"].at(own).join(scores["log_loss"].at(slice(0, 1)), np.subtract)
        fall = scores["macro_f1"].at(slice(0, 1)).join(scores["macro_f1"].at(own), np.subtract)
        losses[group] = Loss(
            _interval(rise, effective),
            _interval(fall, effective),
            tuple(rise.observed.tolist()),
            tuple(fall.observed.tolist()),
        )
    return losses


def _interval(by_repeat: Replicates, effective: float) -> Interval:
    return interval(by_repeat.map(lambda scores: scores.mean(axis=-1)), effective)
