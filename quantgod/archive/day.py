"""Make one day's Parquet file from its archives.

These functions run in workers: they exchange small values, and write their results themselves.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from quantgod.archive.day_reading import Carry, DayReading
from quantgod.archive.kernel import read_archive
from quantgod.archive.outcome import (
    ArchiveReport,
    dropped_spans,
    frozen_spans,
    lost_minutes,
    outcome_of,
)
from quantgod.archive.plan import Candidate, Day, quarantined
from quantgod.archive.seconds import has_seconds, seconds_path, write_seconds
from quantgod.archive.source import KERNEL_VERSION, Quarantine
from quantgod.archive.store import (
    SCHEMA_VERSION,
    DayMetadata,
    StoreError,
    day_path,
    read_metadata,
    write_day,
)
from quantgod.settings import EtlSettings

NO_CARRY = ""
"""Stitch key of a day that was read without the day before."""


@dataclass(frozen=True)
class StoredDay:
    """Keys of a stored day: of its archive, of its first rows, and of its carry.

    `is_settled`: stitching its first rows will not change its carry.
    """

    day_key: str
    stitch_key: str
    carry_key: str
    is_settled: bool


@dataclass(frozen=True)
class DayOutcome:
    """The results of a day's archives, and the stored day: None if no archive was usable."""

    reports: tuple[ArchiveReport, ...]
    standing: StoredDay | None


def stored_day(day: Day, bars: Path) -> DayOutcome | None:
    """Return the outcome of a day already stored from its best archive; None if it must be read."""
    metadata = whole_day(day_path(bars, day.symbol, day.date))
    if metadata is None or not is_best(day, metadata):
        return None
    return accepted(day, 0, metadata, day.refused)


def read_day(day: Day, bars: Path, settings: EtlSettings, *, afresh: bool = False) -> DayOutcome:
    """Make a day from its first readable archive, and store it.

    Another archive with different content is quarantined as `duplicate_day`; one with the same
    content is a duplicate. If no archive is usable, bars stored earlier from other content are
    moved to the quarantine folder, since no archive supports them any more.

    Args:
        day: The day and its archives.
        bars: The folder of all bars.
        settings: The rules.
        afresh: Also read days that are already stored.
    """
    path = day_path(bars, day.symbol, day.date)
    stored = None if afresh else whole_day(path)
    carry = carry_before(day, bars)
    refused = list(day.refused)
    for place, candidate in enumerate(day.candidates):
        if stored is not None and made_from(stored, candidate, day):
            return accepted(day, place, stored, refused)
        try:
            reading = read_candidate(candidate, settings, carry)
        except Quarantine as verdict:
            refused.append(quarantined(candidate.file, verdict.reason, verdict.detail))
            continue
        metadata = store_reading(path, candidate, reading, carry, settings)
        return accepted(day, place, metadata, refused)
    _withdraw(path)
    return DayOutcome(tuple(refused), None)


def read_candidate(
    candidate: Candidate, settings: EtlSettings, carry: Carry | None, stop: int | None = None
) -> DayReading:
    """Read an archive, starting from a carry and up to a minute, if given."""
    file = candidate.file
    return read_archive(file.path, file.symbol, file.date, settings, carry, stop)


def store_reading(
    path: Path,
    candidate: Candidate,
    reading: DayReading,
    carry: Carry | None,
    settings: EtlSettings,
) -> DayMetadata:
    """Store a reading with its origin; the day counts as stored once its bars are written."""
    report = _report(candidate, reading, settings)
    metadata = DayMetadata(
        market=candidate.file.market,
        symbol=reading.symbol,
        date=reading.date.isoformat(),
        source_digest=reading.source.digest,
        depth=report.depth,
        kernel_version=KERNEL_VERSION,
        day_key=candidate.day_key,
        stitch_key=carry_key(None if carry is None else carry.to_bytes()),
        first_close_minute=reading.first_close_minute,
        carry=reading.carry.to_bytes(),
        report=msgspec.to_builtins(report),
    )
    write_seconds(path, reading.minutes, reading.seconds, metadata, settings.compression)
    write_day(path, reading, metadata, settings.compression)
    return metadata


def accepted(
    day: Day, place: int, metadata: DayMetadata, refused: Sequence[ArchiveReport]
) -> DayOutcome:
    """Return the outcome of a day made from the archive at position `place`."""
    used = day.candidates[place]
    report = msgspec.convert({**metadata.report, "archive": used.file.name}, ArchiveReport)
    extras = [_extra(other, used) for other in day.candidates[place + 1 :]]
    standing = StoredDay(
        metadata.day_key,
        metadata.stitch_key,
        carry_key(metadata.carry),
        metadata.first_close_minute is not None,
    )
    return DayOutcome((*refused, report, *extras), standing)


def is_best(day: Day, metadata: DayMetadata) -> bool:
    """Return whether the stored rows come from the day's best archive."""
    return bool(day.candidates) and made_from(metadata, day.candidates[0], day)


def whole_day(path: Path) -> DayMetadata | None:
    """What is stored of a day, if the figures of its seconds stand beside its bars."""
    metadata = stored_metadata(path)
    return metadata if metadata is not None and has_seconds(path, metadata) else None


def stored_metadata(path: Path) -> DayMetadata | None:
    """Return the stored metadata, if complete and of this version."""
    try:
        metadata = read_metadata(path)
    except (OSError, StoreError):
        return None
    return metadata if metadata.schema_version == SCHEMA_VERSION else None


def carry_before(day: Day, bars: Path) -> Carry | None:
    """Return the state at the end of the day before, if that day is stored."""
    before = day_path(bars, day.symbol, day.date - dt.timedelta(days=1))
    packed = usable_carry(before, day.before)
    return None if packed is None else Carry.from_bytes(packed)


def usable_carry(path: Path, keys: frozenset[str] | None) -> bytes | None:
    """Return a stored day's carry, if of this kernel and its key is in `keys` (None: any)."""
    metadata = stored_metadata(path)
    if metadata is None or metadata.kernel_version != KERNEL_VERSION:
        return None
    return metadata.carry if keys is None or metadata.day_key in keys else None


def carry_key(carry: bytes | None) -> str:
    """Return the stitch key for the state that the first rows were made with."""
    return NO_CARRY if carry is None else hashlib.sha256(carry).hexdigest()


def _withdraw(path: Path) -> None:
    """Move a stored day that no archive supports any more to the quarantine folder."""
    if path.exists():
        metadata = stored_metadata(path)
        mark = metadata.day_key[:12] if metadata else "unknown"
        aside = path.parent / "quarantine" / f"{path.stem}.{mark}.parquet"
        for file, place in ((path, aside), (seconds_path(path), seconds_path(aside))):
            if file.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                file.replace(place)


def _report(candidate: Candidate, reading: DayReading, settings: EtlSettings) -> ArchiveReport:
    dropped = dict(sorted(Counter(reason for _, reason in reading.dropped).items()))
    spanned, lost = lost_minutes(reading.first_minute, reading.minutes, reading.dropped)
    return ArchiveReport(
        archive=candidate.file.name,
        symbol=reading.symbol,
        date=reading.date.isoformat(),
        depth=reading.depth or candidate.file.depth,
        outcome=outcome_of(dropped, reading.rejected),
        lines=reading.lines,
        applied=reading.applied,
        out_of_order=reading.out_of_order,
        rejected=reading.rejected,
        rejected_lines=reading.rejected_lines,
        rows=len(reading.minutes),
        dropped=dropped,
        dropped_spans=dropped_spans(reading.dropped),
        frozen=frozen_spans(reading.minutes, reading.features, settings.frozen_minutes),
        spanned=spanned,
        lost=lost,
    )


def _extra(other: Candidate, used: Candidate) -> ArchiveReport:
    same = (other.source.size, other.source.crc) == (used.source.size, used.source.crc)
    if not same:
        return quarantined(other.file, "duplicate_day", f"differs from {used.file.name}, in use")
    verdict = quarantined(other.file, "duplicate_day", f"same content as {used.file.name}")
    return msgspec.structs.replace(verdict, outcome="duplicate", reason=None)


def made_from(metadata: DayMetadata, candidate: Candidate, day: Day) -> bool:
    """Return whether stored rows come from this archive.

    Of copies with the same key, some of which may be damaged, the stored name counts; but an
    archive may have been moved since.
    """
    name = metadata.report["archive"]
    names = [other.file.name for other in day.candidates]
    is_it = name == candidate.file.name or name not in names
    return is_it and metadata.day_key == candidate.day_key
