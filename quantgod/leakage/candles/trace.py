"""What the pipeline made of candles: values with the date from which each may be known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quantgod.contracts import Booleans, Integers

ALL_COINS = -1


@dataclass(frozen=True, eq=False)
class Values:
    """The values of one stage.

    Attributes:
        known_at: (n,) date by whose close each may be known; no later candle may influence it.
        date: (n,) of the row, or border of the fold, that it belongs to.
        coin: (n,) number of the coin, or `ALL_COINS`.
        values: (n, k) of any type of fixed size.
        names: k, of the columns.
    """

    known_at: Integers
    date: Integers
    coin: Integers
    values: npt.NDArray[Any]
    names: tuple[str, ...]

    @property
    def keys(self) -> list[tuple[int, int, int]]:
        """Return (known at, date, coin) of each value; no two are equal."""
        return list(
            zip(self.known_at.tolist(), self.date.tolist(), self.coin.tolist(), strict=True)
        )

    def where(self, chosen: Booleans | Integers) -> Values:
        """Return some of the values."""
        known_at, date, coin, values = (
            each[chosen] for each in (self.known_at, self.date, self.coin, self.values)
        )
        return Values(known_at, date, coin, values, self.names)

    def __len__(self) -> int:
        return len(self.known_at)


Trace = Mapping[str, Values]
"""Values by stage, in the order of the pipeline."""


class First(NamedTuple):
    """The first value that differs: its column (empty where it is in one run alone), and whose."""

    column: str
    date: int
    coin: int


class Difference(NamedTuple):
    """How one stage of two runs differs, around a cut.

    Attributes:
        compared: values known by the cut.
        leaked: how many of these differ, or are in one run alone.
        first: the first of them.
        changed: values of both runs, known only later, that differ, as they should.
        newest: when the newest compared value was known.
    """

    compared: int
    leaked: int
    first: First | None
    changed: int
    newest: int | None


def compare(before: Values, after: Values, cut: int) -> Difference:
    """Compare a stage of two runs, byte by byte."""
    known = before.known_at <= cut
    compared, leaked, first = _by_the_cut(before.where(known), after.where(after.known_at <= cut))
    both, other = _in_both(before.where(~known), after.where(after.known_at > cut))
    changed = int(_differing(both, other).any(axis=1).sum())
    newest = int(before.known_at[known].max()) if known.any() else None
    return Difference(compared, leaked, first, changed, newest)


def _by_the_cut(before: Values, after: Values) -> tuple[int, int, First | None]:
    """Return how many values there are, how many differ, and the first of those."""
    alone = sorted(set(before.keys) ^ set(after.keys))
    both, other = _in_both(before, after)
    wrong = _differing(both, other)
    rows = np.flatnonzero(wrong.any(axis=1))
    found = [(both.keys[row], both.names[int(wrong[row].argmax())]) for row in rows]
    found += [(key, "") for key in alone]
    count = len(both) + len(alone)
    if not found:
        return count, 0, None
    (_, date, coin), column = min(found)
    return count, len(found), First(column, date, coin)


def _in_both(before: Values, after: Values) -> tuple[Values, Values]:
    """Return the values of the same keys."""
    places = {key: place for place, key in enumerate(after.keys)}
    pairs = [(place, places[key]) for place, key in enumerate(before.keys) if key in places]
    own, other = np.array(pairs, np.int64).reshape(-1, 2).T
    return before.where(own), after.where(other)


def _differing(before: Values, after: Values) -> Booleans:
    """Return which values differ, (n, k)."""
    one, two = (
        np.ascontiguousarray(each.values).view(np.uint8).reshape(*each.values.shape, -1)
        if each.values.size
        else np.empty((*each.values.shape, 0), np.uint8)
        for each in (before, after)
    )
    return np.asarray((one != two).any(axis=2))
