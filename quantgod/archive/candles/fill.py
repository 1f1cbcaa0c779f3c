"""Fill the store of candles: from files, from bars of our own, or by simulation.

A file that cannot be used is quarantined: the others are stored, and `SYMBOL/quarantine/FILE.json`
says why it is not. It goes once the file is read.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from quantgod.archive.candles.files import CandleFile, read_candle_file
from quantgod.archive.candles.report import FileReport, FillReport, SeriesReport, series_report
from quantgod.archive.candles.store import (
    CandleConflictError,
    CandleMetadata,
    Joined,
    join_candles,
    open_candles,
    path_of,
    read_candles,
    save_candles,
    stored_candles,
    utc,
    whose_are,
)
from quantgod.archive.price_table import check_jumps
from quantgod.archive.table_file import TableError
from quantgod.contracts import INTERVALS, SYMBOL, Candles, Integers, Market, Progress, silent
from quantgod.files import write_json
from quantgod.settings import ArchiveLimits, CandleSettings

_KLINES: Final = re.compile(rf"{SYMBOL}-({'|'.join(INTERVALS)})-(\d{{4}}-\d{{2}}(?:-\d{{2}})?)\.")

Days = tuple[dt.date, dt.date]
"""The first and the last day."""


def fill_from_files(
    files: Mapping[str, Sequence[Path]],
    settings: CandleSettings,
    limits: ArchiveLimits,
    *,
    now_ms: int,
    days: Days | None = None,
    progress: Progress = silent,
) -> FillReport:
    """Store the candles of files, series by series.

    Args:
        files: by symbol.
        settings: the store, market and interval, and whether the newest candle is left out.
        limits: of zips.
        now_ms: the clock, epoch milliseconds.
        days: only candles that open on these are stored; None: all.
        progress: counts files.

    Raises:
        StoreError: if the store holds other candles where these belong.
    """
    reports, series, total = [], [], sum(map(len, files.values()))
    for symbol, paths in files.items():
        filling = _Filling(symbol, settings, limits, now_ms, days)
        for path in paths:
            reports.append(filling.take(path))
            progress(len(reports), total, f"{symbol} {path.name}")
        series += filling.saved()
    return FillReport(series, reports)


def store_series(folder: Path, candles: Candles, source: str) -> SeriesReport:
    """Let candles of one source join the store, and return what is stored then.

    Raises:
        CandleConflictError: where a stored candle has another value; nothing is written then.
    """
    before = open_candles(folder, whose_are(candles))
    stored, counts = join_candles(before, candles, source)
    if counts.new or counts.completed:
        save_candles(folder, stored)
    return series_report(path_of(folder, stored.whose), stored, [counts])


def stored_reports(folder: Path, market: Market, symbol: str, interval: str) -> list[SeriesReport]:
    """Return what is stored of a symbol's series of traded prices, and of micro-prices.

    Raises:
        StoreError: if there is neither; says what there is.
    """
    wanted = market, symbol, interval
    each = [whose for _, whose in stored_candles(folder)]
    own = [one for one in each if (one.market, one.symbol, one.interval) == wanted]
    if not own:
        read_candles(folder, market, symbol, interval)
    return [series_report(path_of(folder, one), open_candles(folder, one), []) for one in own]


def period_of(path: Path) -> tuple[dt.date, dt.date] | None:
    """Return the first day of the month or day that a kline file is named after, and the next's."""
    found = _KLINES.search(path.name)
    if found is None:
        return None
    if found[2].count("-") > 1:
        day = dt.date.fromisoformat(found[2])
        return day, day + dt.timedelta(days=1)
    first = dt.date.fromisoformat(f"{found[2]}-01")
    return first, (first + dt.timedelta(days=31)).replace(day=1)


class _Filling:
    """A series in memory, and the files that joined it."""

    def __init__(
        self,
        symbol: str,
        settings: CandleSettings,
        limits: ArchiveLimits,
        now_ms: int,
        days: Days | None,
    ) -> None:
        self._settings, self._limits, self._now_ms, self._days = settings, limits, now_ms, days
        self._whose = CandleMetadata(symbol, settings.market, settings.interval, "trades")
        self._stored = open_candles(settings.folder, self._whose)
        self._counts: list[Joined] = []

    def take(self, path: Path) -> FileReport:
        """Let the candles of a file join, or quarantine it."""
        own = path_of(self._settings.folder, self._whose).parent
        record = own / "quarantine" / f"{path.name}.json"
        try:
            report = self._join(path)
        except (TableError, CandleConflictError) as error:
            reason = error.reason if isinstance(error, TableError) else "conflict"
            report = FileReport(
                file=str(path),
                symbol=self._whose.symbol,
                outcome="quarantined",
                reason=reason,
                detail=str(error),
            )
            write_json(record, msgspec.to_builtins(report))
        else:
            record.unlink(missing_ok=True)
        return report

    def saved(self) -> list[SeriesReport]:
        """Store the series, if anything came to it, and return what is stored of it."""
        folder, whose = self._settings.folder, self._whose
        if any(one.new or one.completed for one in self._counts):
            save_candles(folder, self._stored)
        if not len(self._stored.candles):
            return []
        return [series_report(path_of(folder, whose), self._stored, self._counts)]

    def _join(self, path: Path) -> FileReport:
        whose, settings = self._whose, self._settings
        read = read_candle_file(
            path, whose.symbol, whose.market, whose.interval,
            now_ms=self._now_ms, drop_last=settings.drop_last, limits=self._limits,
        )  # fmt: skip
        _check_period(path, read.candles)
        candles = _within(read.candles, self._days)
        stored, counts = join_candles(self._stored, candles, path.name)
        joined = stored.candles
        check_jumps(
            f"{path} beside what is stored", joined.time_ms, joined.column("close"), joined.step_ms
        )
        self._stored = stored
        self._counts.append(counts)
        return _report(path, read, counts)


def _report(path: Path, read: CandleFile, counts: Joined) -> FileReport:
    candles = read.candles
    missing = _expected(path, read) - len(candles)
    return FileReport(
        file=str(path),
        symbol=candles.symbol,
        outcome=(
            "known"
            if not counts.new + counts.completed
            else "accepted_with_gaps" if missing > 0 else "accepted"
        ),
        candles=len(candles),
        first=utc(candles.time_ms[0]),
        last=utc(candles.time_ms[-1]),
        missing=max(missing, 0),
        new=counts.new,
        completed=counts.completed,
        lacks=read.lacks,
        unclosed=read.unclosed,
        is_archive=period_of(path) is not None,
    )  # fmt: skip


def _expected(path: Path, read: CandleFile) -> int:
    """Return how many candles a file should hold, by the period of its name or by its own ends."""
    times, step = read.candles.time_ms, read.candles.step_ms
    if (period := period_of(path)) is None:
        return int(times[-1] - times[0]) // step + 1
    return (period[1] - period[0]).days * (INTERVALS["1d"] // step) - bool(read.unclosed)


def _check_period(path: Path, candles: Candles) -> None:
    """Check that a kline file holds candles of the month or day of its name alone."""
    if (period := period_of(path)) is None:
        return
    begin, end = (_ms(day) for day in period)
    outside = (candles.time_ms < begin) | (candles.time_ms >= end)
    if outside.any():
        first = utc(candles.time_ms[int(np.argmax(outside))])
        raise TableError(
            "period",
            f"{path}: candles from {utc(begin)} to before {utc(end)} were expected by its name, "
            f"and one opens at {first}",
        )


def _within(candles: Candles, days: Days | None) -> Candles:
    if days is None:
        return candles
    at: Integers = candles.time_ms
    return candles.take((_ms(days[0]) <= at) & (at < _ms(days[1]) + INTERVALS["1d"]))


def _ms(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) * 1000
