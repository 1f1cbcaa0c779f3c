"""Turn a folder of archives into minute bars, one Parquet file per day, and a quality report.

1. `plan`: assign archives to days; a day whose key is already stored is not read again.
2. The other days are read in parallel. Workers write their own Parquet; only small values travel.
3. `stitch`: first rows made without the day before (or with another one) are corrected, until all
   days fit. So a backfilled day re-stitches the next one.
4. Quarantined archives are recorded beside the bars, and everything in the report.

A day is stored completely or not at all, so a killed etl is simply started again. One etl at a time
may write a symbol's folder. Days stored earlier whose archive is gone are kept.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from quantgod.archive.day import (
    DayOutcome,
    carry_key,
    read_day,
    stored_day,
    stored_metadata,
    usable_carry,
)
from quantgod.archive.plan import Day, find_archives, plan_days
from quantgod.archive.quality import QualityReport
from quantgod.archive.stitch import stitch_day
from quantgod.archive.store import StoreError, day_path, stored_days
from quantgod.contracts import Market, Progress, silent
from quantgod.files import write_json
from quantgod.parallel.work import ClusterError, Crash, run_all, worker_count
from quantgod.settings import EtlSettings

_ONE_DAY: Final = dt.timedelta(days=1)
_NAMED: Final = 10

DayId = tuple[str, dt.date]


class EtlError(RuntimeError):
    """Reading failed for reasons other than the archives; names them. The rest is stored."""


def run_etl(
    archives: Path,
    bars: Path,
    settings: EtlSettings,
    progress: Progress = silent,
    symbol: str | None = None,
    market: Market = "linear",
) -> QualityReport:
    """Store the minute bars of a market's archives as `bars/SYMBOL/YYYY-MM-DD.parquet`.

    Args:
        archives: Searched recursively for `{date}_{SYMBOL}_ob{depth}.data.zip`; others are listed.
        bars: The folder of this market's bars; created if needed.
        settings: The rules, and the workers.
        progress: Called after each day that is read or stitched.
        symbol: Only this one; default is all.
        market: Only this one; files whose folders name no market count as of it.

    Raises:
        ValueError: if `archives` is not a folder, or has no archive (of `symbol`) of the market.
        StoreError: if imported bars are in the place of these.
        EtlError: if a worker failed; all other days are finished first.
    """
    files, ignored = find_archives(archives, market, symbol)
    if not files:
        wanted = symbol or "any symbol"
        others = "; ".join([f"{len(ignored)} other files", *ignored[:_NAMED]])
        raise ValueError(f"no archives of {wanted} on {market} under {archives}, {others}")
    days = plan_days(files, settings)
    for one in {day.symbol for day in days}:
        _refuse_imported(bars, one)
    _remove_parts(bars, days)
    work = _Etl(days, bars, settings, progress)
    work.read()
    work.stitch()
    work.raise_crashes()
    return QualityReport(
        archives=[report for day in days for report in work.outcomes[_id(day)].reports],
        missing=_missing(days, bars),
        ignored=ignored,
        least_coverage=settings.least_coverage,
    )


class _Etl:
    """The days of one etl with their results so far."""

    def __init__(
        self, days: Sequence[Day], bars: Path, settings: EtlSettings, progress: Progress
    ) -> None:
        self.outcomes: dict[DayId, DayOutcome] = {}
        self._days = {_id(day): day for day in days}
        self._bars = bars
        self._settings = settings
        self._progress = progress
        self._crashes: dict[DayId, Crash] = {}
        self._done = 0
        self._total = len(days)

    def read(self) -> None:
        """Read every day that is not stored yet."""
        to_read = []
        for day in self._days.values():
            stored = stored_day(day, self._bars)
            if stored is None:
                to_read.append(day)
            else:
                self._finish(day, stored, "stands")
        count = worker_count(self._settings, len(to_read))
        self._run(read_day, _in_blocks(to_read, count), "read")

    def stitch(self) -> None:
        """Stitch until every stored day fits the stored day before it."""
        for _ in self._days:  # each wave finishes at least the earliest day
            if not (wave := self._wave()):
                return
            self._total += len(wave)
            self._run(stitch_day, wave, "stitched")

    def raise_crashes(self) -> None:
        """Raise the workers' exceptions, by archive."""
        if not self._crashes:
            return
        failed = [
            f"{self._names(self._days[key])}: {crash.error}" for key, crash in self._crashes.items()
        ]
        error = EtlError("; ".join(failed))
        for crash in self._crashes.values():
            error.add_note(crash.trace)
        raise error

    def _run(self, work: Callable[..., DayOutcome], days: Sequence[Day], what: str) -> None:
        job = partial(work, bars=self._bars, settings=self._settings)
        left = {_id(day) for day in days}
        try:
            for done in run_all(job, days, self._settings):
                left.discard(_id(done.given))
                if isinstance(done.result, Crash):
                    self._crash(done.given, done.result)
                else:
                    self._finish(done.given, done.result, what)
        except ClusterError:
            raise
        except RuntimeError as error:  # executors raise it when a process is killed
            names = "; ".join(self._names(self._days[key]) for key in sorted(left))
            raise EtlError(f"a worker died ({error}); not finished: {names}") from error

    def _finish(self, day: Day, outcome: DayOutcome, what: str) -> None:
        self.outcomes[_id(day)] = outcome
        _record_quarantine(day, outcome, self._bars)
        self._tell(day, what)

    def _crash(self, day: Day, crash: Crash) -> None:
        self._crashes[_id(day)] = crash
        self.outcomes.pop(_id(day), None)
        self._tell(day, "failed")

    def _tell(self, day: Day, what: str) -> None:
        self._done += 1
        self._progress(self._done, self._total, f"{day.symbol} {day.date} {what}")

    def _wave(self) -> list[Day]:
        stale = {key for key in self.outcomes if self._is_stale(key)}
        return [self._days[key] for key in sorted(stale) if self._may_stitch(key, stale)]

    def _is_stale(self, key: DayId) -> bool:
        standing = self.outcomes[key].standing
        return standing is not None and standing.stitch_key != self._carry_key_before(key)

    def _may_stitch(self, key: DayId, stale: set[DayId]) -> bool:
        """Return whether the carry of the day before is final, not to be changed by stitching."""
        before = _before(key)
        standing = self.outcomes[before].standing if before in stale else None
        return standing is None or standing.is_settled

    def _carry_key_before(self, key: DayId) -> str:
        before = _before(key)
        if before not in self._days:
            return carry_key(usable_carry(day_path(self._bars, *before), None))
        outcome = self.outcomes.get(before)
        return outcome.standing.carry_key if outcome and outcome.standing else carry_key(None)

    def _names(self, day: Day) -> str:
        return ", ".join(candidate.file.name for candidate in day.candidates)


def _refuse_imported(bars: Path, symbol: str) -> None:
    for path in stored_days(bars, symbol)[:1]:
        metadata = stored_metadata(path)
        if metadata is not None and metadata.lacks is not None:
            raise StoreError(
                f"{path.parent} holds imported bars: give those of archives another folder (--bars)"
            )


def _in_blocks(days: Sequence[Day], workers: int) -> list[Day]:
    """Order days so that each worker goes through its own block from front to back.

    Then the day before is usually stored when a day is read, and few days must be stitched.
    """
    size = -(-len(days) // workers)
    blocks = [days[start : start + size] for start in range(0, len(days), size or 1)]
    return [block[place] for place in range(size) for block in blocks if place < len(block)]


def _record_quarantine(day: Day, outcome: DayOutcome, bars: Path) -> None:
    """Update `SYMBOL/quarantine/DATE.json`: the day's quarantined archives, or no file."""
    record = bars / day.symbol / "quarantine" / f"{day.date.isoformat()}.json"
    refused = [report for report in outcome.reports if report.outcome == "quarantined"]
    if refused:
        write_json(record, msgspec.to_builtins(refused))
    else:
        record.unlink(missing_ok=True)


def _remove_parts(bars: Path, days: Iterable[Day]) -> None:
    """Remove unfinished files of a killed etl."""
    for symbol in {day.symbol for day in days}:
        for part in (bars / symbol).glob("**/.????-??-??.*.part"):
            part.unlink(missing_ok=True)


def _missing(days: Iterable[Day], bars: Path) -> dict[str, list[str]]:
    """Return days between the first and the last without archive and bars, by symbol."""
    dates: dict[str, list[dt.date]] = {}
    for day in days:
        dates.setdefault(day.symbol, []).append(day.date)
    missing = {
        symbol: [
            date.isoformat()
            for date in _dates(known[0], known[-1])
            if date not in known and not day_path(bars, symbol, date).exists()
        ]
        for symbol, known in dates.items()
    }
    return {symbol: absent for symbol, absent in missing.items() if absent}


def _dates(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + _ONE_DAY * shift for shift in range((last - first).days + 1)]


def _id(day: Day) -> DayId:
    return day.symbol, day.date


def _before(key: DayId) -> DayId:
    return key[0], key[1] - _ONE_DAY
