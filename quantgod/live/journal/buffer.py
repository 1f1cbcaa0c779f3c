"""Buffer a table's rows for its log, in a bounded queue that never blocks its caller."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any, Final, NamedTuple

import pyarrow as pa

from quantgod.live.journal.notices import JournalError

BATCH_ROWS: Final = 8_192
BATCH_BYTES: Final = 8 << 20
BUFFER_BYTES: Final = 256 << 20
"""Memory limit of a table's waiting rows, since sizes of raw messages differ by a factor 1,000."""

_VALUE_BYTES: Final = 64

Row = tuple[Any, ...]


class Chunk(NamedTuple):
    """The oldest waiting rows as a batch; `refused` are positions of rows that do not fit."""

    batch: pa.RecordBatch
    taken: int
    refused: dict[int, str]


class TableBuffer:
    """A table's rows that are not in a log yet, oldest first.

    Attributes:
        acknowledged: number of rows in a log.
        dropped: number of rows dropped for lack of room.
        refused: number of rows whose values did not fit the schema.
    """

    def __init__(self, name: str, schema: pa.Schema, row_limit: int) -> None:
        self.name = name
        self.schema = schema
        self.acknowledged = self.dropped = self.refused = 0
        self._row_limit = row_limit
        self._names = frozenset(schema.names)
        self._waiting: deque[Row] = deque()
        self._bytes = 0
        self._promises: deque[tuple[int, Future[None]]] = deque()
        self._lock = threading.Lock()
        _converted([], schema)  # Arrow imports pandas at its first conversion: do it before a flush

    @property
    def _done(self) -> int:
        """Return the number of rows that are in a log or refused."""
        return self.acknowledged + self.refused

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, values: Mapping[str, Any], promise: Future[None] | None = None) -> bool:
        """Add a row if there is room, and return whether there was.

        Raises:
            ValueError: if it does not have exactly the columns of the schema.
        """
        if values.keys() != self._names:
            wrong = sorted(values.keys() ^ self._names)
            raise ValueError(f"{self.name}: unknown or missing columns {', '.join(wrong)}")
        row = tuple([values[name] for name in self.schema.names])
        weight = _weight(row)
        with self._lock:
            if len(self._waiting) >= self._row_limit or self._bytes + weight > BUFFER_BYTES:
                self.dropped += 1
                return False
            self._waiting.append(row)
            self._bytes += weight
            if promise is not None:
                self._promises.append((self._done + len(self._waiting), promise))
        return True

    def oldest(self) -> Chunk | None:
        """Return the oldest rows, at most one batch; they stay until `done`."""
        with self._lock:
            rows = list(islice(self._waiting, BATCH_ROWS))
        if not rows:
            return None
        rows = rows[: _fitting(rows)]
        batch, refused = _batch(rows, self.schema)
        return Chunk(batch, len(rows), refused)

    def done(self, chunk: Chunk) -> None:
        """Remove the rows of a written chunk, and resolve their futures."""
        with self._lock:
            before = self._done
            for _ in range(chunk.taken):
                self._bytes -= _weight(self._waiting.popleft())
            self.refused += len(chunk.refused)
            self.acknowledged += chunk.taken - len(chunk.refused)
            kept = []
            while self._promises and self._promises[0][0] <= before + chunk.taken:
                kept.append(self._promises.popleft())
        for place, promise in kept:
            reason = chunk.refused.get(place - before - 1)
            _settle(promise, ValueError(f"{self.name}: {reason}") if reason else None)

    def give_up(self) -> int:
        """Remove all waiting rows, which will not be written; return their number."""
        with self._lock:
            lost, promises = len(self._waiting), list(self._promises)
            self._waiting.clear()
            self._promises.clear()
            self._bytes = 0
        for _, promise in promises:
            _settle(promise, JournalError(f"{self.name}: closed before the row could be written"))
        return lost


def _weight(row: Row) -> int:
    """Return the approximate memory of a row."""
    sizes = [len(value) for value in row if isinstance(value, bytes)]
    return _VALUE_BYTES * len(row) + sum(sizes)


def _fitting(rows: Sequence[Row]) -> int:
    """Return how many rows (at least one) fit into the bytes of a batch."""
    size = 0
    for place, row in enumerate(rows):
        size += _weight(row)
        if size > BATCH_BYTES:
            return max(place, 1)
    return len(rows)


def _batch(rows: Sequence[Row], schema: pa.Schema) -> tuple[pa.RecordBatch, dict[int, str]]:
    try:
        return _converted(rows, schema), {}
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return _sound_batch(rows, schema)


def _sound_batch(rows: Sequence[Row], schema: pa.Schema) -> tuple[pa.RecordBatch, dict[int, str]]:
    """Return a batch without unconvertible rows, and the errors of those by position."""
    refused: dict[int, str] = {}
    for place, row in enumerate(rows):
        try:
            _converted([row], schema)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            refused[place] = str(error).partition("\n")[0]
    sound = [row for place, row in enumerate(rows) if place not in refused]
    return _converted(sound, schema), refused


def _converted(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [_array(column, field) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    array = pa.array(values, field.type)
    if array.null_count and not field.nullable:
        raise ValueError(f"{field.name} must not be null")
    return array


def _settle(promise: Future[None], error: Exception | None) -> None:
    if not promise.set_running_or_notify_cancel():
        return
    if error is None:
        promise.set_result(None)
    else:
        promise.set_exception(error)
