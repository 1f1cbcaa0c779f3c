"""Prove that nothing looks ahead: perturb all that comes after a cut, and make everything again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.console import progress_bar, say, show_table, tell
from steps.options import judging_options, run_option, setting, settings_given, step, version_option

if TYPE_CHECKING:
    from quantgod.evaluation.evidence import LeakAuditResult


@step()
@judging_options
@run_option("etl")
@run_option("optimize")
@run_option("train")
@run_option("audit")
@version_option(
    "Version whose lineage is audited; the newest where neither it, a file nor a run is given."
)
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--cut", "leak_audit.at", "ISO 8601; by default drawn.", multiple=True, metavar="TIME")
@setting("--bars", "data.bars", "Folder of the bars, where no etl run is given.")
@setting("--archives", "data.archives", "Their raw messages; without them bars are perturbed.")
def main(
    config: Path | None,
    overrides: tuple[str, ...],
    etl_run: str | None,
    optimize_run: str | None,
    train_run: str | None,
    audit_run: str | None,
    version: int | None,
    **options: Any,
) -> None:
    """Audit a lineage, or the settings' pipeline; fails when a value knows what came after it."""
    at_hand, changes = settings_given(config, overrides, options)
    from rich.markup import escape

    from quantgod.archive.store import load_bars
    from quantgod.evaluation.evidence import LEAK_AUDIT_FILE, write_evidence
    from quantgod.evaluation.leakage import audit_leaks, leak_figure, raise_leaks, raw_days
    from quantgod.evaluation.leakage.cuts import parse_cut
    from quantgod.registry.lineage import lineage_of
    from quantgod.registry.own_settings import Judging, judging
    from quantgod.registry.registered import asked_version
    from quantgod.tracking.chosen import chosen_settings
    from quantgod.tracking.keys import artifacts_of
    from quantgod.tracking.stage import stage
    from quantgod.tracking.store import connect
    from quantgod.training.devices import use_threads

    runs = {"etl": etl_run, "optimize": optimize_run, "train": train_run, "audit": audit_run}
    for text in at_hand.leak_audit.at:
        parse_cut(text)  # what is no time ends it at once
    client, by = connect(at_hand.tracking), Judging(at_hand)
    if version is not None or not (config or any(runs.values())):
        found = asked_version(client, at_hand.registry.name, version)
        lineage = lineage_of(found).runs
        runs = {stage: run_id or lineage.get(stage) for stage, run_id in runs.items()}
        by = judging(found, "leak_audit", at_hand, changes)
    settings, data = by.settings, by.settings.data
    given = [parse_cut(text) for text in settings.leak_audit.at]
    with (
        stage("leak_audit", settings, runs) as run,
        run.scratch() as folder,
        progress_bar("leak audit") as progress,
    ):
        chosen = chosen_settings(settings, run.upstream.get("optimize"))
        use_threads(chosen.train.threads)
        bars = load_bars(run.inputs["bars"].parent, data.symbol)
        audited = run.upstream.get("audit")
        rows = artifacts_of(audited, "out_of_fold", folder) if audited else None
        result = audit_leaks(
            bars,
            chosen,
            given,
            raw=raw_days(data.archives, data.market, data.symbol, settings.etl),
            rows=rows and rows / "rows.parquet",
            progress=progress,
        )
        write_evidence(run.outbox.artifacts / LEAK_AUDIT_FILE, result)
        run.figure("leak_audit", leak_figure(result, bars, chosen))
        run.metrics.log(
            {
                "cuts": len(result.cuts),
                "leaks": len(result.leaks),
                "values_compared": sum(result.compared.values()),
            }
        )
        run.output()
        run.headline(headline(result), result.scope)
        _show(result)
        raise_leaks(result, of_every_stage=not given)
    tell(run)
    if by.otherwise:
        say(escape(f"a trial, which gates pass over: judged by {by.in_words()}"))


def _show(result: LeakAuditResult) -> None:
    """Print of each stage what was compared and the least look-ahead that would have shown."""
    rows = [
        [stage, f"{compared:,}", f"{result.changed.get(stage, 0):,}", _rows_text(result, stage)]
        for stage, compared in result.compared.items()
    ]
    headers = ["stage", "values before cuts", "changed after", "sees a look-ahead of"]
    show_table("Leak audit", headers, rows)
    say(result.scope)


def _rows_text(result: LeakAuditResult, stage: str) -> str:
    rows = result.nearest.get(stage)
    return "none" if rows is None else f"{rows} row{'s' if rows > 1 else ''}"


def headline(result: LeakAuditResult) -> str:
    """What was found, in a line."""
    values = sum(result.compared.values())
    found = result.leaks[0] if result.leaks else "; ".join(["no leak", *result.unshown])
    if not result.leaks and not result.blind:
        found += ", to the row"
    perturbed = "messages and bars" if result.messages else "bars alone"
    return f"{found}; {values:,} values at {len(result.cuts)} cuts, {perturbed} perturbed"


if __name__ == "__main__":
    main()
