"""Record the values of a pipeline as bytes, each with the moment from which it may be known.

Two traces, one from data that was changed after a cut, must agree in every value known by the cut.
Bytes are compared, not numbers: a tiny leak is a leak.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quantgod.contracts import Booleans, Integers

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class StageValues:
    """The values of one stage, in order of time.

    Attributes:
        known_at: (n,) epoch ms; later data must not influence the value.
        values: (n, width) each value's bytes.
    """

    known_at: Integers
    values: Bytes

    def where(self, chosen: Booleans) -> StageValues:
        """Return the values where `chosen` is true."""
        return StageValues(self.known_at[chosen], self.values[chosen])

    def __len__(self) -> int:
        return len(self.known_at)


Trace = Mapping[str, StageValues]
"""Values by stage, in the order of the pipeline."""


class Difference(NamedTuple):
    """How one stage of two traces differs, around a cut.

    Attributes:
        compared: values known by the cut.
        leaked: how many of these differ.
        first: when the first differing one was known, epoch ms.
        changed: values known only later that differ, as they should.
        newest: when the newest compared value was known, epoch ms; the very last row does not
            count, since its stage has no row after it.
    """

    compared: int
    leaked: int
    first: int | None
    changed: int
    newest: int | None = None


def rows_of(known_at: Integers, *columns: npt.NDArray[Any]) -> StageValues:
    """Return the values of rows; each column is (n,) or (n, k), of any fixed-size type."""
    return StageValues(
        known_at.astype(np.int64), np.hstack([_bytes_of(column) for column in columns])
    )


def digests_of(rows: npt.NDArray[Any]) -> Bytes:
    """Return the SHA-256 of each row's bytes, (n, 32), for rows that are too long to keep."""
    content = _bytes_of(rows)
    found = [np.frombuffer(hashlib.sha256(row.tobytes()).digest(), np.uint8) for row in content]
    return np.stack(found) if found else np.empty((0, 32), np.uint8)


def fitted_piece(known_at: int, *parts: bytes) -> StageValues:
    """Return one fitted value, by the SHA-256 of its parts."""
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
    return StageValues(np.array([known_at], np.int64), np.frombuffer(digest, np.uint8)[None])


def compare(before: StageValues, after: StageValues, cut_ms: int) -> Difference:
    """Compare a stage in two runs; a value present in only one of them counts as different."""
    compared, leaked, first = _differing(
        before.where(before.known_at <= cut_ms), after.where(after.known_at <= cut_ms)
    )
    _, changed, _ = _differing(
        before.where(before.known_at > cut_ms), after.where(after.known_at > cut_ms)
    )
    return Difference(compared, leaked, first, changed, _newest(before.known_at, cut_ms))


def _newest(known_at: Integers, cut_ms: int) -> int | None:
    rows = known_at if len(known_at) == 1 else np.unique(known_at)[:-1]
    return int(rows[rows <= cut_ms].max()) if (rows <= cut_ms).any() else None


def _bytes_of(column: npt.NDArray[Any]) -> Bytes:
    width = column.itemsize * math.prod(column.shape[1:])
    return np.ascontiguousarray(column).reshape(-1).view(np.uint8).reshape(len(column), width)


def _differing(before: StageValues, after: StageValues) -> tuple[int, int, int | None]:
    """Return the number of values, the number that differ, and the first of those."""
    count = max(len(before), len(after))
    same_rows = np.array_equal(before.known_at, after.known_at)
    if not same_rows or before.values.shape[1] != after.values.shape[1]:
        times = np.concatenate([before.known_at, after.known_at])
        return count, count, int(times.min())
    wrong = (before.values != after.values).any(axis=1)
    first = int(before.known_at[wrong].min()) if wrong.any() else None
    return count, int(wrong.sum()), first
