"""Run the leak audit: no value known by a cut may change if all data after the cut changes.

The pipeline is run once on the original bars, and once per cut on bars that are another market
after the cut. Each value has a moment from which it may be known; values known by the cut must have
the same bytes. Cuts fall on such moments, so that the first changed row is the first one that a
value must not use; the record states for each stage how near it came. The audit runs the smaller
pipeline of `pipeline.in_small` with the parameters that a search has chosen: whether the search
itself used the test part is for the search's tests.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from quantgod.auditor.provenance import ProvenanceError
from quantgod.contracts import MS_PER_DAY, MS_PER_MINUTE, Booleans, Integers, Progress, silent
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.evaluation.evidence import LeakAuditResult
from quantgod.leakage.borders import has_book, memory_of
from quantgod.leakage.cut_times import cuts_within, draw_cuts
from quantgod.leakage.messages import RawDays
from quantgod.leakage.perturbation import known_at, other_blocks, perturb
from quantgod.leakage.pipeline import PipelineResult, books_seen, in_small, make, newest
from quantgod.leakage.rows import provenance_of
from quantgod.leakage.trace import Difference, Trace, compare
from quantgod.settings import Settings


class LeakError(ValueError):
    """A value depends on later data, or the audit could not show that it does not."""


def audit_leaks(
    bars: pd.DataFrame,
    settings: Settings,
    cuts: Sequence[pd.Timestamp] = (),
    *,
    sources: pd.DataFrame | None = None,
    blocks: BookBlocks | None = None,
    raw: RawDays | None = None,
    rows: Path | None = None,
    progress: Progress = silent,
) -> LeakAuditResult:
    """Perturb all data after each cut, run the pipeline again, and compare the values before it.

    Args:
        bars: the nine features and `close`; the newest `leak_audit.minutes` are taken.
        settings: of the lineage, with the choices of its search.
        cuts: UTC times; by default they are drawn, `leak_audit.cuts` or as many as needed.
        sources: `dataset.feature_table.SOURCES` of at least the audited bars, which features are
            made of anew; only a network that looks at them needs any.
        blocks: of the book, for a network that looks at it.
        raw: archives of the bars' messages, which bars and snapshots are made of anew; without
            them only bars and blocks are perturbed.
        rows: the audit's rows as a Parquet file; default is those made here.
        progress: called after each run of the pipeline.

    Raises:
        CutError: if a cut lies outside the bars.
        LeakError: if a network of features is audited without their sources, or one of the book
            without its blocks.
        ValueError: if there are too few bars.
    """
    small = in_small(settings)
    taken = _with_sources(newest(bars, settings), sources, small)
    index, own = pd.DatetimeIndex(taken.index), settings.leak_audit
    seen = _seen(taken, blocks, small)
    drawn = (small, own.cuts, own.seed, seen)
    at = cuts_within(index, list(cuts)) if cuts else draw_cuts(index, *drawn)
    findings = _Findings(known_at(index))
    try:
        made = _compare_all(_Material(taken, blocks, seen, small), at, raw, findings, progress)
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
        scope=_scope(
            len(taken),
            len(bars),
            settings,
            with_messages=raw is not None,
            without_books=0 if seen is None else int((~seen).sum()),
        ),
    )


@dataclass(frozen=True)
class _Material:
    """What the small pipeline is run on."""

    bars: pd.DataFrame
    blocks: BookBlocks | None
    seen: Booleans | None
    settings: Settings

    def run(self) -> PipelineResult:
        return make(self.bars, self.settings, self.blocks, self.seen)

    def perturbed(self, cut: int, rng: np.random.Generator) -> _Material:
        """Return the same with other data after a cut."""
        bars = perturb(self.bars, cut, self.settings.label, rng)
        blocks = None if self.blocks is None else other_blocks(self.blocks, cut, rng)
        return replace(self, bars=bars, blocks=blocks)


def _compare_all(
    given: _Material,
    at: Sequence[int],
    raw: RawDays | None,
    findings: _Findings,
    progress: Progress,
) -> PipelineResult:
    """Compare the pipeline with what it makes of data perturbed from each cut on; return it."""
    progress(0, len(at) + 1, "as it is")
    made = given.run()
    for number, cut in enumerate(at, start=1):
        progress(number, len(at) + 1, f"perturbed from {iso(cut)} on")
        rng = np.random.default_rng([given.settings.leak_audit.seed, cut // MS_PER_MINUTE])
        if raw is not None and cut in _last_of_days(at):
            for stage, found in raw.compare(cut, rng).items():
                findings.hear(stage, cut, found)
        findings.compare(made.trace, given.perturbed(cut, rng).run().trace, cut)
    return made


def _with_sources(
    bars: pd.DataFrame, sources: pd.DataFrame | None, settings: Settings
) -> pd.DataFrame:
    """Join what the network's features are made of to the bars; nothing for a network of bars."""
    if memory_of(settings) == 1:
        return bars
    if sources is None or len(bars.index.difference(sources.index)):
        raise LeakError(
            f"{_named(settings)} looks at features of books and seconds, and not all audited "
            "minutes have them: `etl` makes them of archives"
        )
    return bars.join(sources)


def _seen(bars: pd.DataFrame, blocks: BookBlocks | None, settings: Settings) -> Booleans | None:
    """Return which bars have a book that can be looked at; None for a network without."""
    if not has_book(settings):
        return None
    if blocks is None:
        raise LeakError(
            f"{_named(settings)} looks at the book, and there are no blocks of it: `snapshots` "
            "makes them of archives"
        )
    return books_seen(bars, blocks)


def _named(settings: Settings) -> str:
    return settings.model.name if settings.ensemble is None else "a member"


def raise_leaks(result: LeakAuditResult, *, of_every_stage: bool = True) -> None:
    """Raise an error if an audit found a problem.

    Args:
        result: of the audit.
        of_every_stage: require that every stage was tested to the row; cuts given by hand need not
            reach all stages.

    Raises:
        LeakError: if a stage leaked or was not tested, or the auditor's rows fail the provenance
            check.
    """
    wrong = result.problems if of_every_stage else result.broken
    if wrong:
        raise LeakError("; ".join(wrong))


def iso(time_ms: int) -> str:
    """Return a time in ISO 8601, to the minute."""
    return pd.Timestamp(time_ms, unit="ms", tz="UTC").isoformat(timespec="minutes")


def _scope(
    minutes: int, of: int, settings: Settings, *, with_messages: bool, without_books: int = 0
) -> str:
    """Describe what an audit of so many minutes makes again, and what it leaves out."""
    small = settings.leak_audit
    begin = "messages" if with_messages else "minute bars"
    is_one = settings.ensemble is None
    networks = "a small network" if is_one else "small networks"
    left = [f"the {of - minutes:,} older minutes"] if of > minutes else []
    if without_books:
        left += [f"{without_books:,} minutes without a whole block of snapshots"]
    many = settings.ensemble is not None
    left += [
        f"the lineage's own network{'s' if many else ''}",
        "their searches" if many else "its search",
    ]
    left += [] if with_messages else ["bars from messages"]
    return (
        f"made again: from {begin} to test forecasts, on the newest {minutes:,} of {of:,} minutes, "
        f"a sample every {small.stride} minutes, {networks}, epochs: {small.epochs}; "
        f"not made again: {', '.join(left)}"
    )


def _last_of_days(cuts: Sequence[int]) -> frozenset[int]:
    """Return the last cut of each day (UTC): reading is slow, and one cut tests the kernel."""
    return frozenset({cut // MS_PER_DAY: cut for cut in sorted(cuts)}.values())


@dataclass
class _Findings:
    """Collects comparisons and the problems found."""

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
        """Count one comparison, record how near it came, and describe a leak."""
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
        """Record the stages that were not tested: no value before a cut, or none that changed.

        A fit changes only if one of its samples ends after the cut, and samples are a stride apart,
        so a horizon plus a stride must lie between the cut and the end of its data.
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
    """Yield the rows as a file, in the format that the audit keeps."""
    with tempfile.TemporaryDirectory(prefix="quantgod-") as folder:
        path = Path(folder) / "rows.parquet"
        rows.to_parquet(path)
        yield path
