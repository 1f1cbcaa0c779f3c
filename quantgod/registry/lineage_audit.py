"""Run the leak audit on a lineage, with its bars, search and out-of-fold rows."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from quantgod.archive.store import load_bars
from quantgod.auditor.out_of_fold import ROWS_FILE
from quantgod.contracts import Progress, silent
from quantgod.dataset.book_blocks import BookBlocks, open_all_blocks
from quantgod.evaluation.evidence import LeakAuditResult
from quantgod.leakage import audit_leaks, newest_sources, raw_days
from quantgod.leakage.cut_times import parse_cut
from quantgod.settings import Settings, members_of, with_members, without_disabled
from quantgod.tracking.chosen import chosen_settings, member_runs, search_behind
from quantgod.tracking.keys import artifacts_of
from quantgod.tracking.stage import StageRun
from quantgod.training.devices import use_threads


class LineageAudit(NamedTuple):
    """The result of a lineage's leak audit, its settings after the search, its bars and books."""

    result: LeakAuditResult
    bars: pd.DataFrame
    settings: Settings
    blocks: BookBlocks | None


def audit_lineage(run: StageRun, progress: Progress = silent) -> LineageAudit:
    """Run the leak audit on the lineage of a run.

    Args:
        run: of the stage, with its given runs of etl, optimize (or members) and audit.
        progress: called after perturbations.

    Raises:
        StoreError: naming a day without figures of seconds, which a network of features needs.
    """
    settings, data = run.settings, run.settings.data
    chosen = _chosen(run)
    use_threads(chosen.train.threads)
    bars = load_bars(run.inputs["bars"].parent, data.symbol)
    blocks = _blocks(run)
    audited = run.upstream.get("audit")
    with run.scratch() as folder:
        kept = artifacts_of(audited, "out_of_fold", folder) if audited else None
        result = audit_leaks(
            bars,
            chosen,
            [parse_cut(text) for text in settings.leak_audit.at],
            sources=newest_sources(run.inputs["bars"].parent, data.symbol, bars, chosen),
            blocks=blocks,
            raw=raw_days(
                data.archives,
                data.market,
                data.symbol,
                settings.etl,
                None if blocks is None else blocks.rules,
            ),
            rows=kept and kept / ROWS_FILE,
            progress=progress,
        )
    return LineageAudit(result, bars, chosen, blocks)


def _chosen(run: StageRun) -> Settings:
    """Return the settings with the choices of the search, or of each member's."""
    if run.settings.ensemble is None:
        return chosen_settings(run.settings, run.upstream.get("optimize"))
    voting = without_disabled(run.settings)
    runs, own = member_runs(run.needed("members")), members_of(voting)
    searches = {name: search_behind(run.client, runs[name]) for name in own}
    return with_members(
        voting, {name: chosen_settings(own[name], one) for name, one in searches.items()}
    )


def _blocks(run: StageRun) -> BookBlocks | None:
    folder = run.inputs.get("snapshots")
    return None if folder is None else open_all_blocks(folder.parent, folder.name)
