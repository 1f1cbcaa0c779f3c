"""The leak audit: nothing that was known by a cut may change when all after the cut does.

The pipeline is run once on the bars as they are, and once for every cut on bars that are another
market from the cut on. Each value has a moment from which it may be known; those known by the cut
must be the same bytes. Cuts fall on such moments, so that the first row that changes is the first
that a value must not have seen, and the record says of each stage how near it came. It makes the
smaller pipeline of `pipeline.in_small`, and takes parameters that a search has chosen as they are:
that a search has not read the test part is for its own tests.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from quantgod.auditor.provenance import ProvenanceError
from quantgod.contracts import MS_PER_DAY, MS_PER_MINUTE, Integers, Progress, silent
from quantgod.evaluation.evidence import LeakAuditResult
from quantgod.leakage.cut_times import cuts_within, draw_cuts
from quantgod.leakage.messages import MESSAGE_STAGE, RawDays
from quantgod.leakage.perturbation import known_at, perturb
from quantgod.leakage.pipeline import PipelineResult, in_small, make, newest
from quantgod.leakage.rows import provenance_of
from quantgod.leakage.trace import Difference, Trace, compare
from quantgod.settings import Settings


class LeakError(ValueError):
    """A value known before data that it depends on, or nothing shown that it was not."""


def audit_leaks(
    bars: pd.DataFrame,
    settings: Settings,
    cuts: Sequence[pd.Timestamp] = (),
    *,
    raw: RawDays | None = None,
    rows: Path | None = None,
    progress: Progress = silent,
) -> LeakAuditResult:
    """Perturb everything after each cut, make everything again, and compare what came before.

    Args:
        bars: the nine features and `close`; the newest `leak_audit.minutes` are taken.
        settings: the lineage's, with what its search has chosen.
        cuts: UTC times; by default they are drawn, `leak_audit.cuts` or as many as it takes.
        raw: archives of the bars' messages; without them bars alone are perturbed.
        rows: the audit's rows as a Parquet file; by default those that are made here.
        progress: hears of each pipeline made.

    Raises:
        CutError: for a cut outside of the bars.
        ValueError: if the bars are too few.
    """
    small = in_small(settings)
    taken = newest(bars, settings)
    index = pd.DatetimeIndex(taken.index)
    own = settings.leak_audit
    at = cuts_within(index, list(cuts)) if cuts else draw_cuts(index, small, own.cuts, own.seed)
    findings = _Findings(known_at(index))
    progress(0, len(at) + 1, "as it is")
    try:
        made = make(taken, small)
        for number, cut in enumerate(at, start=1):
            progress(number, len(at) + 1, f"perturbed from {iso(cut)} on")
            rng = np.random.default_rng([own.seed, cut // MS_PER_MINUTE])
            if raw is not None and cut in _last_of_days(at):
                findings.hear(MESSAGE_STAGE, cut, raw.compare(cut, rng))
            changed = make(perturb(taken, cut, small.label, rng), small)
            findings.compare(made.trace, changed.trace, cut)
        findings.note_unshown(small)
        provenance = _provenance(made, rows)
    except ProvenanceError as error:
        findings.leaks.append(f"the pipeline refuses its own rows: {error}")
        provenance = str(error)
    progress(len(at) + 1, len(at) + 1, "")
    return LeakAuditResult(
        cuts=tuple(map(iso, at)),
        compared=dict(findings.compared),
        leaks=tuple(findings.leaks),
        provenance=provenance,
        messages=raw is not None and raw.complete,
        changed=dict(findings.changed),
        nearest=findings.nearest,
        unshown=tuple(findings.unshown),
        scope=_scope(len(taken), len(bars), settings, with_messages=raw is not None),
    )


def raise_leaks(result: LeakAuditResult, *, of_every_stage: bool = True) -> None:
    """Turn what an audit found into an error.

    Args:
        result: of the audit.
        of_every_stage: something must have been shown of each, to the row; cuts that were named by
            hand need not reach them all.

    Raises:
        LeakError: if something leaked, a stage was not shown not to, or the auditor's rows do not
            show their provenance.
    """
    wrong = result.problems if of_every_stage else result.broken
    if wrong:
        raise LeakError("; ".join(wrong))


def iso(time_ms: int) -> str:
    """A time in ISO 8601, to the minute."""
    return pd.Timestamp(time_ms, unit="ms", tz="UTC").isoformat(timespec="minutes")


def _scope(minutes: int, of: int, settings: Settings, *, with_messages: bool) -> str:
    """What an audit of so many of the minutes makes again, and what it leaves out."""
    small = settings.leak_audit
    begin = "messages" if with_messages else "minute bars"
    left = [f"the {of - minutes:,} older minutes"] if of > minutes else []
    left += ["the lineage's own network", "its search"]
    left += [] if with_messages else ["bars from messages"]
    return (
        f"made again: from {begin} to test forecasts, on the newest {minutes:,} of {of:,} minutes, "
        f"a sample every {small.stride} minutes, a small network, epochs: {small.epochs}; "
        f"not made again: {', '.join(left)}"
    )


def _last_of_days(cuts: Sequence[int]) -> frozenset[int]:
    """One cut a day (UTC): the same kernel reads all its messages, and reading takes long."""
    return frozenset({cut // MS_PER_DAY: cut for cut in sorted(cuts)}.values())


@dataclass
class _Findings:
    """What has been compared so far, and what was wrong with it."""

    closes: Integers
    compared: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    nearest: dict[str, int] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    unshown: list[str] = field(default_factory=list)

    def compare(self, before: Trace, after: Trace, cut: int) -> None:
        """Compare all stages of two traces around a cut."""
        for stage, evidence in before.items():
            self.hear(stage, cut, compare(evidence, after[stage], cut))

    def hear(self, stage: str, cut: int, found: Difference) -> None:
        """Count one comparison, how near it came, and keep a line of what leaked."""
        self.compared[stage] += found.compared
        self.changed[stage] += found.changed
        if found.newest is not None:
            seen, all_before = np.searchsorted(self.closes, [found.newest, cut], side="right")
            rows = int(all_before - seen) + 1
            self.nearest[stage] = min(rows, self.nearest.get(stage, rows))
        if found.leaked:
            self.leaks.append(
                f"{stage}: {found.leaked} of {found.compared} values known by the cut at "
                f"{iso(cut)} changed with what came after it, the first one known at "
                f"{iso(found.first or cut)}"
            )

    def note_unshown(self, settings: Settings) -> None:
        """Note the stages of which nothing is shown: no value before a cut, or deaf to what came.

        What was fitted changes only if a sample that it may use ends after the cut, and samples
        stand a stride apart: so that a label's horizon and a stride are to lie between.
        """
        horizon, stride = settings.label.longest_minutes, settings.window.stride
        if stride >= horizon:
            self.unshown.append(
                f"purging: samples {stride} minutes apart have no label of {horizon} minutes that "
                "crosses a border; leak_audit.stride under the horizon expected"
            )
        for stage in self.compared:
            if not self.compared[stage]:
                self.unshown.append(f"{stage}: no value was known by any of the cuts")
            if not self.changed[stage]:
                self.unshown.append(f"{stage}: no value known after a cut has changed")


def _provenance(made: PipelineResult, rows: Path | None) -> str | None:
    if rows is not None:
        return provenance_of(rows)
    with _kept(made.rows) as path:
        return provenance_of(path)


@contextmanager
def _kept(rows: pd.DataFrame) -> Iterator[Path]:
    """The rows as a file, as the audit keeps them."""
    with tempfile.TemporaryDirectory(prefix="quantgod-") as folder:
        path = Path(folder) / "rows.parquet"
        rows.to_parquet(path)
        yield path
