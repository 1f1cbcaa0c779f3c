"""Test that nothing looks ahead: perturb all data after a cut, and run the pipeline again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.console import progress_bar, remark, say_as_written, show_table, tell
from steps.options import (
    judging_options,
    member_option,
    run_option,
    runs_given,
    series_options,
    setting,
    settings_given,
    step,
    version_option,
)

if TYPE_CHECKING:
    from quantgod.evaluation.evidence import LeakAuditResult
    from quantgod.registry.lineage_audit import LineageAudit
    from quantgod.tracking.stage import StageRun


@step()
@judging_options
@member_option
@run_option("etl")
@run_option("snapshots")
@run_option("optimize")
@run_option("train")
@run_option("members")
@run_option("audit")
@version_option(
    "Version whose lineage is audited; the newest where neither it, a file nor a run is given."
)
@series_options
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--cut", "leak_audit.at", "ISO 8601; by default drawn.", multiple=True, metavar="TIME")
@setting("--bars", "data.bars", "Folder of the bars, where no etl run is given.")
@setting("--archives", "data.archives", "Their raw messages; without them bars are perturbed.")
def main(
    config: Path | None, overrides: tuple[str, ...], version: int | None, **options: Any
) -> None:
    """Audit a lineage, or the settings' pipeline; fails when a value knows what came after it."""
    runs = runs_given(options)
    at_hand, changes = settings_given(config, overrides, options)
    from quantgod.leakage import raise_leaks
    from quantgod.leakage.cut_times import parse_cut
    from quantgod.registry.lineage_audit import audit_lineage
    from quantgod.registry.own_settings import Judging, judging_lineage
    from quantgod.registry.registered import asked_version
    from quantgod.tracking.stage import stage
    from quantgod.tracking.store import connect

    for text in at_hand.leak_audit.at:
        parse_cut(text)  # an invalid time fails at once
    client, by = connect(at_hand.tracking), Judging(at_hand)
    if version is not None or not (config or any(runs.values())):
        found = asked_version(client, at_hand.registry.name, version)
        by, runs = judging_lineage(found, "leak_audit", runs, at_hand, changes)
    with stage("leak_audit", by.settings, runs) as run, progress_bar("leak audit") as progress:
        audited = audit_lineage(run, progress)
        _log(run, audited)
        _show(audited.result)
        raise_leaks(audited.result, of_every_stage=not by.settings.leak_audit.at)
    tell(run)
    if by.otherwise:
        say_as_written(f"gates pass over this run: judged by {by.in_words()}")


def _log(run: StageRun, audited: LineageAudit) -> None:
    from quantgod.evaluation.evidence import LEAK_AUDIT_FILE, write_evidence
    from quantgod.leakage import leak_figure

    result = audited.result
    write_evidence(run.outbox.artifacts / LEAK_AUDIT_FILE, result)
    run.figure("leak_audit", leak_figure(result, audited.bars, audited.settings, audited.blocks))
    run.metrics.log(
        {
            "cuts": len(result.cuts),
            "leaks": len(result.leaks),
            "values_compared": sum(result.compared.values()),
        }
    )
    run.output()
    run.headline(headline(result), result.scope)


def _show(result: LeakAuditResult) -> None:
    """Print for each stage what was compared and the smallest detectable look-ahead."""
    rows = [
        [stage, f"{compared:,}", f"{result.changed.get(stage, 0):,}", _rows_text(result, stage)]
        for stage, compared in result.compared.items()
    ]
    headers = ["stage", "values before cuts", "changed after", "sees a look-ahead of"]
    show_table("Leak audit", headers, rows)
    remark(result.scope)


def _rows_text(result: LeakAuditResult, stage: str) -> str:
    rows = result.nearest.get(stage)
    return "none" if rows is None else f"{rows} row{'s' if rows > 1 else ''}"


def headline(result: LeakAuditResult) -> str:
    """Return the result in one line."""
    values = sum(result.compared.values())
    found = result.leaks[0] if result.leaks else "; ".join(["no leak", *result.unshown])
    if not result.leaks and not result.blind:
        found += ", to the row"
    perturbed = "messages and bars" if result.messages else "bars alone"
    return f"{found}; {values:,} values at {len(result.cuts)} cuts, {perturbed} perturbed"


if __name__ == "__main__":
    main()
