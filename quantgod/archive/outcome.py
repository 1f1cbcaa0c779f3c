"""Define the outcome of an archive and its report.

An archive has one of four outcomes: `accepted`; `accepted_with_gaps` (a minute has no row or a line
was lost, with records of which and why); `quarantined` (with a reason code; its rows are not used);
or `duplicate` (it has the content of another archive of the day).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, Literal

import msgspec
import numpy as np

from quantgod.contracts import FEATURES, MS_PER_MINUTE, Floats, Integers

Outcome = Literal["accepted", "accepted_with_gaps", "quarantined", "duplicate"]

# A stretch's first minute has no close before it: it has no row, but the archive is not at fault.
_NO_FAULT: Final = frozenset({"no_previous_close"})

# A repeated message has nothing new.
_NO_LOSS: Final = frozenset({"stale"})

# The deviation of sixty equal logarithms is zero up to rounding; one tick gives at least 1e-8.
_ROUNDING: Final = 1e-12
_VOLATILITY: Final = FEATURES.index("volatility")
_RETURN: Final = FEATURES.index("log_ret_close")


class Span(msgspec.Struct, frozen=True):
    """Consecutive minutes of one kind: the first (`YYYY-MM-DDTHH:MMZ`), their number, the kind."""

    first: str
    minutes: int
    what: str


class ArchiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report on one archive; `lines == applied + sum(rejected.values())`.

    `archive` is its path below the archives' folder. `out_of_order` applied lines came after their
    second had passed. `rejected_lines` are the first few (line number, reason). `frozen` are long
    spans of rows without any price change: they are kept, and reported. Its messages span `spanned`
    closed minutes, without the first one; `lost` of these have no row without a valid excuse, by
    reason.
    """

    archive: str
    symbol: str
    date: str
    depth: int
    outcome: Outcome
    reason: str | None = None
    detail: str | None = None
    lines: int = 0
    applied: int = 0
    out_of_order: int = 0
    rejected: dict[str, int] = {}
    rejected_lines: list[tuple[int, str]] = []
    rows: int = 0
    dropped: dict[str, int] = {}
    dropped_spans: list[Span] = []
    frozen: list[Span] = []
    spanned: int = 0
    lost: dict[str, int] = {}

    @property
    def is_accepted(self) -> bool:
        """Return whether the day's bars come from this archive."""
        return self.outcome in ("accepted", "accepted_with_gaps")

    @property
    def kept_share(self) -> float:
        """Return the kept share of the spanned minutes, 0 to 1; 1 if there are none."""
        kept = self.spanned - sum(self.lost.values())
        return kept / self.spanned if self.spanned else 1.0

    def loss(self) -> str:
        """Return the lost share and the reasons, in words."""
        why = ", ".join(f"{reason} {count}" for reason, count in self.lost.items())
        lost = sum(self.lost.values())
        share = f"{100 * lost / self.spanned:.1f} %"
        return f"{self.archive}: {lost} of {self.spanned} minutes ({share}) are lost: {why}"

    def shortness(self) -> str:
        """Return why an archive has no rows, in words."""
        if self.spanned:
            why = ", ".join(f"{reason} {count}" for reason, count in self.dropped.items())
            return f"all its minutes were dropped: {why}"
        return "no whole minute comes after the one that its messages begin in"


def dropped_spans(dropped: Iterable[tuple[int, str]]) -> list[Span]:
    """Join consecutive dropped (epoch minute, reason) with the same reason."""
    ordered = sorted(dropped)
    runs = groupby(enumerate(ordered), key=lambda item: (item[1][1], item[1][0] - item[0]))
    return [_span([minute for _, (minute, _) in run], reason) for (reason, _), run in runs]


def dropped_minutes(spans: Iterable[Span]) -> list[tuple[int, str]]:
    """Expand spans, the inverse of `dropped_spans`."""
    return [
        (_epoch_minute(span.first) + shift, span.what)
        for span in spans
        for shift in range(span.minutes)
    ]


def frozen_spans(minutes: Integers, features: Floats, at_least: int) -> list[Span]:
    """Find spans of at least `at_least` consecutive minutes without any price change."""
    still = minutes[(features[:, _VOLATILITY] < _ROUNDING) & (features[:, _RETURN] == 0)]
    runs = np.split(still, np.flatnonzero(np.diff(still) != 1) + 1)
    return [_span(run.tolist(), "frozen") for run in runs if len(run) >= at_least]


def lost_minutes(
    first: int | None, minutes: Integers, dropped: Iterable[tuple[int, str]]
) -> tuple[int, dict[str, int]]:
    """Count the minutes that an archive's messages span, and the lost ones by reason.

    The first minute does not count, since messages may begin within it; a minute that only lacks
    the close before it is not lost. A file of a few seconds spans no minute.

    Args:
        first: The minute of the first message; None if there was none.
        minutes: Minutes of the rows.
        dropped: Minute and reason of the others. Those before the first message belong to the
            silence since the file before.
    """
    if first is None:
        return 0, {}
    without = [reason for minute, reason in dropped if minute > first]
    lost = Counter(reason for reason in without if reason not in _NO_FAULT)
    return int((minutes > first).sum()) + len(without), dict(sorted(lost.items()))


def outcome_of(dropped: dict[str, int], rejected: dict[str, int]) -> Outcome:
    """Return the outcome of a readable archive from its dropped minutes and rejected lines."""
    has_gaps = (dropped.keys() - _NO_FAULT) | (rejected.keys() - _NO_LOSS)
    return "accepted_with_gaps" if has_gaps else "accepted"


def _span(minutes: Sequence[int], what: str) -> Span:
    start = np.datetime64(minutes[0] * MS_PER_MINUTE, "ms")
    return Span(f"{np.datetime_as_string(start, unit='m')}Z", len(minutes), what)


def _epoch_minute(text: str) -> int:
    return int(np.datetime64(text.removesuffix("Z"), "m").astype(np.int64))
