"""Keep the best levels of the book at short intervals before each stored minute's close.

Snapshots are made of the archives that the stored bars were made from, with the same state of the
day before: so days are independent of each other, and the last snapshot of a minute has the levels
of its bar. A day whose snapshots are stored is not read again.

What is not provably known is missing: a book that `market.stops` calls invalid, and a moment up to
the second of the message with which the file before ended, in a minute that closed in this file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from quantgod.archive.day import NO_CARRY, carry_key, made_from, usable_carry
from quantgod.archive.day_reading import Carry
from quantgod.archive.plan import Candidate, Day, find_archives, plan_days
from quantgod.archive.settling import carried_levels, settle_moments
from quantgod.archive.snapshot_store import (
    SNAPSHOT_VERSION,
    DaySnapshots,
    SnapshotMetadata,
    open_blocks,
    remove_snapshots,
    snapshot_path,
    stored_snapshots,
    write_snapshots,
)
from quantgod.archive.store import (
    DayMetadata,
    StoreError,
    open_file,
    read_index,
    read_metadata,
    stored_days,
    stored_series,
)
from quantgod.contracts import MS_PER_SECOND, Integers, Market, Progress, silent
from quantgod.files import value_digest
from quantgod.market.book_blocks import interval_ends
from quantgod.market.minute_kernel import CLOCK, NEXT
from quantgod.market.stops import Cuts
from quantgod.parallel.work import Crash, run_all
from quantgod.settings import EtlSettings, SnapshotSettings

_ONE_DAY: Final = dt.timedelta(days=1)


class SnapshotError(RuntimeError):
    """Reading failed; names the archives. All other days are stored."""


class SnapshotCounts(NamedTuple):
    """What is stored of a day: minutes with a bar, snapshots, and minutes with a whole block."""

    date: dt.date
    minutes: int
    snapshots: int
    blocks: int


@dataclass(frozen=True)
class SnapshotReport:
    """The days with snapshots, and the days of bars whose archive is not there."""

    days: tuple[SnapshotCounts, ...]
    unread: tuple[dt.date, ...]

    def figures(self) -> dict[str, float]:
        """Return the sums."""
        names = ("minutes", "snapshots", "blocks")
        sums = {name: float(sum(getattr(day, name) for day in self.days)) for name in names}
        return {"days": float(len(self.days)), **sums}

    def to_json(self) -> dict[str, object]:
        """Return the counts by day and the days without an archive, JSON-able."""
        days = {str(day.date): {**day._asdict(), "date": str(day.date)} for day in self.days}
        return {"days": days, "unread": [str(date) for date in self.unread]}

    def headline(self) -> str:
        """Return the sums in one line."""
        sums = {name: f"{value:,.0f}" for name, value in self.figures().items()}
        return (
            "{snapshots} snapshots of {days} days, blocks of {blocks} of {minutes} minutes".format(
                **sums
            )
        )


@dataclass(frozen=True)
class _Job:
    """A stored day of bars, its archive, and the path and key of its snapshots."""

    bars: Path
    candidate: Candidate
    path: Path
    key: str


def run_snapshots(
    archives: Path,
    bars: Path,
    store: Path,
    symbol: str,
    market: Market,
    etl: EtlSettings,
    rules: SnapshotSettings,
    progress: Progress = silent,
) -> SnapshotReport:
    """Store the snapshots and blocks of all stored minutes of a symbol.

    Args:
        archives: Searched recursively, as in the etl.
        bars: The folder of this market's bars.
        store: The folder of this market's snapshots; created if needed.
        symbol: The contract.
        market: Of archives and bars.
        etl: The rules that the bars were made by, and the workers.
        rules: Which snapshots to keep.
        progress: Called after each day.

    Raises:
        StoreError: if there are no bars, they were imported, or none of them is of these archives
            and rules.
        SnapshotError: if a day could not be read; all others are finished first.
    """
    series = stored_series(bars, symbol)
    paths = stored_days(bars, symbol)
    if series.source != "book":
        raise StoreError(f"{bars / symbol}: bars of {series} have no archives to take books from")
    files, _ = find_archives(archives, market, symbol)
    planned = {day.date: day for day in plan_days(files, etl)}
    jobs, unread = [], []
    for path in paths:
        date = dt.date.fromisoformat(path.stem)
        metadata = read_metadata(path)
        target, key = snapshot_path(store, symbol, date), _key(metadata, rules)
        candidate = _candidate(planned.get(date), metadata)
        found = stored_snapshots(target)
        if candidate is not None:
            jobs.append(_Job(path, candidate, target, key))
        elif found is None or found.key != key:
            unread.append(date)
    if len(unread) == len(paths):
        raise StoreError(
            f"none of the bars in {bars / symbol} was made by these settings from an archive in "
            f"{archives}: run etl again"
        )
    _remove_others(store / symbol, {path.stem for path in paths} - set(map(str, unread)))
    _make_all([job for job in jobs if not _stands(job)], len(jobs), etl, rules, progress)
    stored = [path for path in paths if dt.date.fromisoformat(path.stem) not in unread]
    counts = [_counts(path, store / symbol / path.name) for path in stored]
    return SnapshotReport(tuple(counts), tuple(unread))


def snapshots_of(
    candidate: Candidate,
    minutes: Integers,
    carry: Carry | None,
    etl: EtlSettings,
    rules: SnapshotSettings,
) -> DaySnapshots:
    """Read the snapshots before the closes of `minutes`, epoch minutes that rise, of an archive.

    Raises:
        Quarantine: when the archive must not be used.
    """
    ends = interval_ends(minutes, rules.per_minute, rules.interval_ms)
    levels = np.empty((len(ends), 2, rules.levels, 2))
    is_there = np.zeros(len(ends), dtype=np.bool_)
    # At which millisecond the file before ended is not known.
    known = 0 if carry is None else int(np.searchsorted(ends, _after(int(carry.integers[CLOCK]))))
    cuts = Cuts(ends[known:], etl.max_silence_seconds, levels[known:], is_there[known:])
    end = settle_moments(candidate, etl, carry, None, cuts)
    clock, following = (int(end.integers[place]) for place in (CLOCK, NEXT))
    if following > clock:  # the end of the file closed its last minute
        cuts.settle_rest(_after(clock), clock, carried_levels(end))
    shape = len(minutes), rules.per_minute
    return DaySnapshots(
        minutes, levels.reshape(*shape, 2, rules.levels, 2), is_there.reshape(shape)
    )


def _make_all(
    jobs: Sequence[_Job],
    total: int,
    etl: EtlSettings,
    rules: SnapshotSettings,
    progress: Progress,
) -> None:
    crashes = []
    done = total - len(jobs)
    for made in run_all(partial(_make, etl=etl, rules=rules), jobs, etl):
        done += 1
        name = made.given.candidate.file.name
        if isinstance(made.result, Crash):
            crashes.append((name, made.result))
        progress(done, total, f"{name} snapshots")
    if crashes:
        error = SnapshotError("; ".join(f"{name}: {crash.error}" for name, crash in crashes))
        for _, crash in crashes:
            error.add_note(crash.trace)
        raise error


def _make(job: _Job, etl: EtlSettings, rules: SnapshotSettings) -> None:
    """Read the snapshots of one day and store them, in a worker."""
    metadata = read_metadata(job.bars)
    day = snapshots_of(job.candidate, read_index(job.bars), _carry(job.bars, metadata), etl, rules)
    written = SnapshotMetadata(
        metadata.market,
        metadata.symbol,
        metadata.date,
        job.key,
        rules.levels,
        rules.interval_ms,
        rules.block,
    )
    write_snapshots(job.path, day, written, etl.compression)


def _carry(bars: Path, metadata: DayMetadata) -> Carry | None:
    """Return the state that the first rows of a stored day were made with."""
    if metadata.stitch_key == NO_CARRY:
        return None
    date = dt.date.fromisoformat(metadata.date) - _ONE_DAY
    packed = usable_carry(bars.with_name(f"{date.isoformat()}.parquet"), None)
    if carry_key(packed) != metadata.stitch_key or packed is None:
        raise StoreError(f"{bars}: made after another day before it: run etl again, it stitches")
    return Carry.from_bytes(packed)


def _candidate(day: Day | None, metadata: DayMetadata) -> Candidate | None:
    """Return the archive that a stored day was made from."""
    candidates = () if day is None else day.candidates
    return next((one for one in candidates if day and made_from(metadata, one, day)), None)


def _key(metadata: DayMetadata, rules: SnapshotSettings) -> str:
    made_by = [SNAPSHOT_VERSION, metadata.day_key, metadata.stitch_key]
    return value_digest([*made_by, rules.model_dump(mode="json")])


def _stands(job: _Job) -> bool:
    found = stored_snapshots(job.path)
    return found is not None and found.key == job.key


def _remove_others(folder: Path, dates: set[str]) -> None:
    """Remove what a killed run left unfinished, and snapshots that no bars support any more."""
    for part in folder.glob("**/.*.part"):
        part.unlink(missing_ok=True)
    for path in folder.glob("*.parquet"):
        if path.stem not in dates:
            remove_snapshots(path)


def _counts(bars: Path, path: Path) -> SnapshotCounts:
    rows, minutes = (open_file(file).metadata.num_rows for file in (path, bars))
    blocks = len(open_blocks(path).index)
    return SnapshotCounts(dt.date.fromisoformat(path.stem), minutes, rows, blocks)


def _after(second: int) -> int:
    """Return the first millisecond after a second."""
    return (second + 1) * MS_PER_SECOND
