"""What a pipeline has made, as bytes, each value with the moment from which it may be known.

Two traces, one of them made from data that was changed after a cut, must agree in every value that
was known by then. Bytes are compared and not numbers: a leak of a thousandth is a leak.
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
        known_at: (n,) epoch ms; data from that moment on must not have touched the value.
        values: (n, width) each value's bytes.
    """

    known_at: Integers
    values: Bytes

    def where(self, chosen: Booleans) -> StageValues:
        """The values where `chosen` is true."""
        return StageValues(self.known_at[chosen], self.values[chosen])

    def __len__(self) -> int:
        return len(self.known_at)


Trace = Mapping[str, StageValues]
"""Evidence by stage, in the order of the pipeline."""


class Difference(NamedTuple):
    """How one stage of two traces differs, around a cut.

    Attributes:
        compared: values known by the cut.
        leaked: of these, how many differ.
        first: when the first of those was known, epoch ms.
        changed: values known only later that differ, as they should.
        newest: when the newest of the compared was known, epoch ms; of rows the very last does not
            count, since its stage got no row after it to look at.
    """

    compared: int
    leaked: int
    first: int | None
    changed: int
    newest: int | None = None


def rows_of(known_at: Integers, *columns: npt.NDArray[Any]) -> StageValues:
    """Evidence of rows: each column is (n,) or (n, k), of any type of fixed size."""
    return StageValues(
        known_at.astype(np.int64), np.hstack([_bytes_of(column) for column in columns])
    )


def fitted_piece(known_at: int, *parts: bytes) -> StageValues:
    """Evidence of one thing that was fitted, by the SHA-256 of what it consists of."""
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
    return StageValues(np.array([known_at], np.int64), np.frombuffer(digest, np.uint8)[None])


def compare(before: StageValues, after: StageValues, cut_ms: int) -> Difference:
    """Compare two makings of a stage; a value that is there in one of them alone differs."""
    compared, leaked, first = _differing(
        before.where(before.known_at <= cut_ms), after.where(after.known_at <= cut_ms)
    )
    _, changed, _ = _differing(
        before.where(before.known_at > cut_ms), after.where(after.known_at > cut_ms)
    )
    return Difference(compared, leaked, first, changed, _newest(before.known_at, cut_ms))


def _newest(known_at: Integers, cut_ms: int) -> int | None:
    rows = known_at if len(known_at) == 1 else known_at[known_at < known_at.max(initial=0)]
    return int(rows[rows <= cut_ms].max()) if (rows <= cut_ms).any() else None


def _bytes_of(column: npt.NDArray[Any]) -> Bytes:
    width = column.itemsize * math.prod(column.shape[1:])
    return np.ascontiguousarray(column).reshape(-1).view(np.uint8).reshape(len(column), width)


def _differing(before: StageValues, after: StageValues) -> tuple[int, int, int | None]:
    """How many values there are, how many differ, and the first of those."""
    count = max(len(before), len(after))
    same_rows = np.array_equal(before.known_at, after.known_at)
    if not same_rows or before.values.shape[1] != after.values.shape[1]:
        times = np.concatenate([before.known_at, after.known_at])
        return count, count, int(times.min())
    wrong = (before.values != after.values).any(axis=1)
    first = int(before.known_at[wrong].min()) if wrong.any() else None
    return count, int(wrong.sum()), first
