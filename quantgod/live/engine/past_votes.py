"""Read what a version's members have voted in earlier sessions, from the journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quantgod.contracts import CLASSES, Booleans, Floats
from quantgod.contracts.minute_rows import KEPT_MINUTES
from quantgod.live.journal import read_batches, tables

VOTES: Final = "VOTES"
_CHANCES: Final = tuple(name.lower() for name in CLASSES)
_COLUMNS: Final = ("minute", "symbol", "model", "version", "absent", *_CHANCES, "state")


class PastVotes(NamedTuple):
    """The votes on one minute.

    Attributes:
        minute: epoch minute.
        probabilities: (members, 3).
        present: (members,) who spoke.
        state: of the weights that they were combined with, as JSON.
    """

    minute: int
    probabilities: Floats
    present: Booleans
    state: str


def read_past_votes(
    folder: Path, symbol: str, name: str, version: int, kept: int = KEPT_MINUTES
) -> list[PastVotes]:
    """Return the newest votes of a version whose weights move on a symbol's minutes, oldest first.

    A version may have voted twice on a minute, in two roles or in two sessions that played the same
    minutes: the last votes count.

    Raises:
        JournalError: if the journal cannot be read.
    """
    if VOTES not in tables(folder):
        return []
    found: dict[int, PastVotes] = {}
    for batch in read_batches(folder, VOTES, _COLUMNS):
        own = pc.and_(pc.equal(batch["symbol"], symbol), pc.equal(batch["model"], name))
        chosen = batch.filter(pc.and_(own, pc.equal(batch["version"], version)))
        for votes in _votes(chosen):
            found.pop(votes.minute, None)
            found[votes.minute] = votes
        while len(found) > kept:
            del found[next(iter(found))]
    return [found[minute] for minute in sorted(found)]


def _votes(rows: pa.RecordBatch) -> Iterator[PastVotes]:
    for row in rows.to_pylist():
        yield PastVotes(row["minute"], _chances(row), _present(row), row["state"])


def _chances(row: dict[str, Any]) -> Floats:
    return np.stack([np.asarray(row[name], np.float64) for name in _CHANCES], axis=1)


def _present(row: dict[str, Any]) -> Booleans:
    return np.array([not why for why in row["absent"]], np.bool_)
