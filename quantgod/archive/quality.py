"""Make the quality report of an etl on all archives and days, and its figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from quantgod.archive.outcome import ArchiveReport
from quantgod.contracts import Floats
from quantgod.market.minute_kernel import REASONS

MINUTES_A_DAY: Final = 1440

# A reason has the same color in all figures.
_COLORS: Final = {reason: f"C{place}" for place, reason in enumerate(REASONS)}
_DAYS_NAMED: Final = 10

Days = NDArray[np.datetime64]


class QualityReport(msgspec.Struct, frozen=True, kw_only=True):
    """The results for all archives of an etl, the days between, and ignored files.

    `missing` lists, by symbol, the days between the first and the last without archive and stored
    bars. `ignored` are file names with reasons. `least_coverage` is the required kept share of the
    minutes that an archive's messages span.
    """

    archives: list[ArchiveReport]
    missing: dict[str, list[str]] = {}
    ignored: list[str] = []
    least_coverage: float = 0.0

    @property
    def has_quarantine(self) -> bool:
        """Return whether any archive was quarantined."""
        return any(report.outcome == "quarantined" for report in self.archives)

    @property
    def thin(self) -> list[ArchiveReport]:
        """Return the used archives that keep less of their minutes than required."""
        least = self.least_coverage
        return [one for one in self.archives if one.is_accepted and one.kept_share < least]

    @property
    def coverage(self) -> dict[str, dict[str, float]]:
        """Return the share of a day's minutes with rows, by symbol and day; 0 without bars."""
        shares: dict[str, dict[str, float]] = {}
        for report in self.archives:
            days = shares.setdefault(report.symbol, {})
            share = report.rows / MINUTES_A_DAY if report.is_accepted else 0.0
            days[report.date] = max(days.get(report.date, 0.0), share)
        return shares

    @property
    def totals(self) -> dict[str, Any]:
        """Return archives by outcome, lines, and dropped minutes by reason, over all archives."""
        return {
            "archives": len(self.archives),
            "outcomes": dict(Counter(report.outcome for report in self.archives)),
            "quarantined": dict(Counter(r.reason for r in self.archives if r.reason)),
            "lines": sum(report.lines for report in self.archives),
            "applied": sum(report.applied for report in self.archives),
            "rejected": _sum(report.rejected for report in self.archives),
            "rows": sum(report.rows for report in self.archives),
            "dropped": _sum(report.dropped for report in self.archives),
            "frozen_minutes": sum(span.minutes for r in self.archives for span in r.frozen),
            "missing_days": sum(map(len, self.missing.values())),
        }

    def figures(self) -> dict[str, float]:
        """Return the key figures as metrics of a run."""
        totals = self.totals
        single = ("archives", "lines", "applied", "rows", "frozen_minutes", "missing_days")
        return {
            **{name: float(totals[name]) for name in single},
            **{f"outcome_{name}": float(count) for name, count in totals["outcomes"].items()},
            **{f"rejected_{name}": float(count) for name, count in totals["rejected"].items()},
            **{f"dropped_{name}": float(count) for name, count in totals["dropped"].items()},
        }

    def headline(self) -> str:
        """Return one line: archives by outcome, rows, and quarantined archives with reasons."""
        totals = self.totals
        ended = ", ".join(f"{count} {name}" for name, count in sorted(totals["outcomes"].items()))
        reasons = ", ".join(sorted(totals["quarantined"]))
        because = f" (quarantined: {reasons})" if reasons else ""
        because += f"; {len(self.thin)} lost too many minutes" if self.thin else ""
        return f"{totals['archives']} archives: {ended or 'none'}; {totals['rows']} rows{because}"

    def losses(self, at_most: int = 5) -> list[str]:
        """Return a line for each of the first archives that lost too many minutes."""
        least = f"at least {100 * self.least_coverage:g} % must be there"
        lines = [f"{one.loss()}; {least} (etl.least_coverage)" for one in self.thin]
        return _first(lines, at_most, "archives lost too many")

    def empty(self, at_most: int = 5) -> list[str]:
        """Return a line for each of the first archives that have no rows for another reason."""
        thin = self.thin
        lines = [
            f"{one.archive}: no rows, since {one.shortness()}"
            for one in self.archives
            if one.is_accepted and not one.rows and one not in thin
        ]
        return _first(lines, at_most, "archives have no rows")

    def refused(self, at_most: int = 5) -> list[str]:
        """Return a line for each of the first quarantined archives, with what is wrong with it."""
        lines = [
            f"{one.archive}: quarantined, {one.reason}" + (f": {one.detail}" if one.detail else "")
            for one in self.archives
            if one.outcome == "quarantined"
        ]
        return _first(lines, at_most, "archives were quarantined")

    def left_out(self, at_most: int = 5) -> list[str]:
        """Return a line for each of the first ignored files, and the number of others."""
        lines = [f"not read: {name}" for name in self.ignored]
        return _first(lines, at_most, "files were not read")

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values, with sums and coverage."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {"totals": self.totals, "coverage": self.coverage, **plain}


def _first(lines: list[str], at_most: int, what: str) -> list[str]:
    more = len(lines) - at_most
    return lines[:at_most] + ([f"and {more} more {what}"] if more > 0 else [])


def quality_figure(report: QualityReport) -> Figure:
    """Draw, for each symbol, coverage by day and the dropped minutes by reason, stacked."""
    symbols = sorted({archive.symbol for archive in report.archives})
    figure = Figure(figsize=(11, 2 + 4 * max(1, len(symbols))), layout="constrained")
    axes = figure.subplots(2 * max(1, len(symbols)), 1, squeeze=False)[:, 0]
    for place, symbol in enumerate(symbols):
        coverage, dropped = axes[2 * place : 2 * place + 2]
        _draw_coverage(coverage, report, symbol)
        _draw_dropped(dropped, report, symbol)
        dropped.sharex(coverage)
    if not symbols:
        figure.suptitle("No archives")
    return figure


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


def _draw_coverage(axes: Axes, report: QualityReport, symbol: str) -> None:
    coverage = {day: 100 * share for day, share in report.coverage[symbol].items()}
    bad = {r.date for r in report.archives if r.symbol == symbol and r.outcome == "quarantined"}
    lost = {day: 100.0 for day in bad if not coverage[day]}
    missing = dict.fromkeys(report.missing.get(symbol, []), 100.0)
    calendar = _calendar([*coverage, *missing])
    for heights, color, label in (
        (coverage, "tab:blue", "rows"),
        (lost, "tab:red", "quarantined"),
        (missing, "lightgrey", "no archive"),
    ):
        if heights:
            _area(axes, calendar, _along(calendar, heights), color, label)
    axes.set(title=symbol, ylabel="coverage, % of the day", ylim=(0, 105))
    if len(calendar) <= _DAYS_NAMED:
        axes.set_xticks(calendar, [str(day) for day in calendar])
    else:
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(formatter)
    _dress(axes)


def _draw_dropped(axes: Axes, report: QualityReport, symbol: str) -> None:
    accepted = {r.date: r.dropped for r in report.archives if r.symbol == symbol and r.is_accepted}
    calendar = _calendar(list(report.coverage[symbol]))
    below = np.zeros(len(calendar))
    for reason in sorted({reason for dropped in accepted.values() for reason in dropped}):
        minutes = {day: float(dropped.get(reason, 0)) for day, dropped in accepted.items()}
        top = below + _along(calendar, minutes)
        _area(axes, calendar, top, _COLORS.get(reason, "black"), reason, below)
        below = top
    axes.set(ylabel="dropped minutes")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _dress(axes)


def _calendar(days: Sequence[str]) -> Days:
    """Return every day from the first to the last."""
    return np.arange(min(days), np.datetime64(max(days)) + 1, dtype="datetime64[D]")


def _along(calendar: Days, values: dict[str, float]) -> Floats:
    return np.array([values.get(str(day), 0.0) for day in calendar])


def _area(
    axes: Axes,
    calendar: Days,
    top: Floats,
    color: str,
    label: str,
    below: Floats | float = 0.0,
) -> None:
    """Draw one step area, which is readable and fast for a thousand days."""
    edges = np.append(calendar, calendar[-1] + 1)
    axes.stairs(top, edges, baseline=below, fill=True, color=color, label=label)


def _dress(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small", frameon=False)
