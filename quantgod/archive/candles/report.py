"""What filling the store of candles did: file by file, and series by series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from quantgod.archive.candles.store import (
    CandleMetadata,
    Hole,
    Joined,
    StoredCandles,
    holes,
    utc,
)
from quantgod.contracts import Market, PriceKind

NAMED: Final = 5

Outcome = Literal["accepted", "accepted_with_gaps", "known", "quarantined"]
"""A known file brought nothing new; a quarantined one is not used."""


class FileReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one file.

    `missing` candles are not there between its first and last, or in the month or day that it is
    named after. `lacks` are columns. `unclosed` is why the newest candle was left out. An archive
    is named after a month or a day. `reason` and
    `detail` say why a file is quarantined.
    """

    file: str
    symbol: str
    outcome: Outcome
    reason: str | None = None
    detail: str | None = None
    candles: int = 0
    first: str = ""
    last: str = ""
    missing: int = 0
    new: int = 0
    completed: int = 0
    lacks: tuple[str, ...] = ()
    unclosed: str = ""
    is_archive: bool = False


class SeriesReport(msgspec.Struct, frozen=True, kw_only=True):
    """A stored series, and what came to it: candles that are new, and such with more values."""

    symbol: str
    market: Market
    interval: str
    kind: PriceKind
    file: str
    candles: int
    first: str
    last: str
    holes: list[Hole]
    new: int = 0
    completed: int = 0

    def headline(self) -> str:
        """Return one line: how many candles, from when to when, and how many are missing."""
        added = f", {self.new} new" if self.new else ", nothing new"
        added += f", {self.completed} with values added" if self.completed else ""
        missing = sum(hole.candles for hole in self.holes)
        lost = f"holes: {len(self.holes)}, {missing} candles missing" if self.holes else "no hole"
        whose = CandleMetadata(self.symbol, self.market, self.interval, self.kind)
        return f"{whose}: {self.candles} candles from {self.first} to {self.last}{added}; {lost}"

    def told_holes(self, at_most: int = NAMED) -> Iterator[str]:
        """Yield a line for each of the first holes, and one on the others."""
        for hole in self.holes[:at_most]:
            until = f" to {hole.last}" if hole.candles > 1 else ""
            yield f"hole: {hole.candles} candles, {hole.first}{until}"
        if len(self.holes) > at_most:
            yield f"and {len(self.holes) - at_most} more holes (all are in filled.json of the run)"


class FillReport(msgspec.Struct, frozen=True):
    """The results of a filling: of series, and of files where it read such."""

    series: list[SeriesReport]
    files: list[FileReport] = []

    @property
    def refused(self) -> list[FileReport]:
        """Return the quarantined files."""
        return [one for one in self.files if one.outcome == "quarantined"]

    def remarks(self, at_most: int = NAMED) -> Iterator[str]:
        """Yield lines on files: what is wrong with them, was left out, or cannot be known."""
        used = [one for one in self.files if one.outcome != "quarantined"]
        unclosed = [one for one in used if one.unclosed]
        open_ended = [one for one in used if one.new and not one.unclosed and not one.is_archive]
        short = [one for one in used if one.missing and one.is_archive]
        lacking = {name for one in used for name in one.lacks}
        yield from _first(
            at_most,
            "files are quarantined",
            [f"quarantined, {one.reason}: {one.detail}" for one in self.refused],
        )
        yield from _first(
            at_most,
            "files lack candles",
            [f"{one.file}: lacks {one.missing} candles of the time in its name" for one in short],
        )
        yield from _first(
            at_most,
            "newest candles are left out",
            [f"{one.file}: the newest candle is left out: {one.unclosed}" for one in unclosed],
        )
        yield from _first(
            at_most,
            "files do not tell",
            [
                f"{one.file}: does not tell whether its newest candle, of {one.last}, had "
                "closed when it was made; --drop-last leaves it out"
                for one in open_ended
            ],
        )
        if lacking:
            yield f"unknown in some files or all: {', '.join(sorted(lacking))}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built

    def figures(self) -> dict[str, float]:
        """Return the key figures as metrics of a run."""
        missing = sum(hole.candles for one in self.series for hole in one.holes)
        new = sum(one.new for one in self.series)
        candles = sum(one.candles for one in self.series)
        counts = {"candles": candles, "new": new, "missing": missing, "refused": len(self.refused)}
        return {name: float(count) for name, count in counts.items()}

    def headline(self) -> str:
        """Return one line: series, candles, and files by outcome."""
        candles = sum(one.candles for one in self.series)
        new = sum(one.new for one in self.series)
        ended = Counter(one.outcome for one in self.files)
        files = "; files: " + ", ".join(f"{n} {name}" for name, n in sorted(ended.items()))
        told = f"{len(self.series)} series of {candles} candles, {new} new"
        return told + (files if ended else "")


def _first(at_most: int, what: str, lines: Sequence[str]) -> Iterator[str]:
    """Yield the first lines, and one on how many more there are."""
    yield from lines[:at_most]
    if len(lines) > at_most:
        yield f"and {len(lines) - at_most} more {what}"


def series_report(path: Path, stored: StoredCandles, counts: Sequence[Joined]) -> SeriesReport:
    """Return what is stored of a series, and what came to it."""
    candles = stored.candles
    return SeriesReport(
        symbol=candles.symbol,
        market=candles.market,
        interval=candles.interval,
        kind=candles.kind,
        file=str(path),
        candles=len(candles),
        first=utc(candles.time_ms[0]),
        last=utc(candles.time_ms[-1]),
        holes=holes(candles),
        new=sum(one.new for one in counts),
        completed=sum(one.completed for one in counts),
    )
