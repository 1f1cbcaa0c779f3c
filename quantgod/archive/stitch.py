"""Join the first rows of a stored day to the day before.

They depend on the state at the end of the day before: its close, its book, its open minute. If that
day is read later, only the first minutes of its successor are read again, twice: without that state
and with it. Once both readings reach the same state, bit for bit, all that follows must be equal,
and only the rows up to there are replaced. If they do not, the whole day is read again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from quantgod.archive.day import (
    NO_CARRY,
    DayOutcome,
    accepted,
    carry_before,
    is_best,
    read_candidate,
    read_day,
    store_reading,
    whole_day,
)
from quantgod.archive.day_reading import KEPT_LINES, Carry, DayReading
from quantgod.archive.outcome import ArchiveReport, dropped_minutes
from quantgod.archive.plan import Candidate, Day
from quantgod.archive.seconds import read_seconds
from quantgod.archive.source import Quarantine
from quantgod.archive.store import DayMetadata, day_path, read_rows
from quantgod.settings import EtlSettings


def stitch_day(day: Day, bars: Path, settings: EtlSettings) -> DayOutcome:
    """Update a stored day's first rows to the stored day before it."""
    path = day_path(bars, day.symbol, day.date)
    metadata, carry = whole_day(path), carry_before(day, bars)
    if metadata is None or carry is None or not is_best(day, metadata):
        return read_day(day, bars, settings, afresh=True)
    reading = _joined(path, metadata, day.candidates[0], carry, settings)
    if reading is None:
        return read_day(day, bars, settings, afresh=True)
    joined = store_reading(path, day.candidates[0], reading, carry, settings)
    return accepted(day, 0, joined, day.refused)


def _joined(
    path: Path, metadata: DayMetadata, candidate: Candidate, carry: Carry, settings: EtlSettings
) -> DayReading | None:
    """Return the stored day with its head replaced; None if this cannot be shown to be right."""
    if metadata.stitch_key != NO_CARRY or metadata.first_close_minute is None:
        return None
    # One minute past the first close: that minute has a row only with a carry.
    stop = metadata.first_close_minute + 1
    try:
        bare = read_candidate(candidate, settings, None, stop)
        head = read_candidate(candidate, settings, carry, stop)
    except Quarantine:  # it was readable before: reading the whole day will tell
        return None
    if bare.carry.to_bytes() != head.carry.to_bytes() or head.closed_through is None:
        return None
    stored = _stored_reading(path, metadata, candidate)
    return _replace_head(stored, bare, head, head.closed_through)


def _stored_reading(path: Path, metadata: DayMetadata, candidate: Candidate) -> DayReading:
    rows, report = read_rows(path), msgspec.convert(metadata.report, ArchiveReport)
    return DayReading(
        symbol=metadata.symbol,
        date=candidate.file.date,
        source=candidate.source,
        depth=metadata.depth,
        minutes=rows.minutes,
        features=rows.features,
        seconds=read_seconds(path, metadata),
        close=rows.close,
        book=rows.book,
        lines=report.lines,
        applied=report.applied,
        out_of_order=report.out_of_order,
        rejected=report.rejected,
        rejected_lines=report.rejected_lines,
        dropped=dropped_minutes(report.dropped_spans),
        first_minute=None,  # taken from the head
        first_close_minute=metadata.first_close_minute,
        closed_through=None,
        carry=Carry.from_bytes(metadata.carry),
    )


def _replace_head(stored: DayReading, bare: DayReading, head: DayReading, last: int) -> DayReading:
    """Return `stored`, which began like `bare`, with everything up to minute `last` from `head`."""
    rest = stored.minutes > last
    rejected = Counter(stored.rejected)
    rejected.subtract(bare.rejected)
    rejected.update(head.rejected)
    later_lines = [line for line in stored.rejected_lines if line[0] > bare.lines]
    return replace(
        stored,
        minutes=np.concatenate([head.minutes, stored.minutes[rest]]),
        features=np.concatenate([head.features, stored.features[rest]]),
        seconds=np.concatenate([head.seconds, stored.seconds[rest]]),
        close=np.concatenate([head.close, stored.close[rest]]),
        book=np.concatenate([head.book, stored.book[rest]]),
        applied=stored.applied - bare.applied + head.applied,
        out_of_order=stored.out_of_order - bare.out_of_order + head.out_of_order,
        rejected={reason: count for reason, count in sorted(rejected.items()) if count},
        rejected_lines=[*head.rejected_lines, *later_lines][:KEPT_LINES],
        dropped=head.dropped + [drop for drop in stored.dropped if drop[0] > last],
        first_minute=head.first_minute,
        first_close_minute=head.first_close_minute,
    )
