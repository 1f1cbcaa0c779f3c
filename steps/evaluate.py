"""Score a version, or a run's model, on the test part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.console import progress_bar, say, tell
from steps.options import (
    judging_options,
    run_option,
    setting,
    settings_given,
    step,
    version_option,
)

if TYPE_CHECKING:
    from quantgod.evaluation.evaluated import Evaluated
    from quantgod.evaluation.report import Report
    from quantgod.tracking.stage import StageRun


@step()
@judging_options
@run_option("label")
@run_option("audit")
@run_option("register")
@version_option("Version to score; the newest where neither it nor a run is given.")
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--stride", "evaluate.stride", "Minutes between the test rows that are scored.")
def main(
    config: Path | None,
    overrides: tuple[str, ...],
    label_run: str | None,
    audit_run: str | None,
    register_run: str | None,
    version: int | None,
    **options: Any,
) -> None:
    """Score a model on the test part, which nothing else reads, beside simple baselines."""
    at_hand, changes = settings_given(config, overrides, options)
    import pandas as pd
    from rich.markup import escape

    from quantgod.auditor.out_of_fold import ROWS_FILE
    from quantgod.dataset.series import write_series
    from quantgod.dataset.table import read_table, table_series
    from quantgod.evaluation.evaluate import evaluate
    from quantgod.evaluation.report import complete
    from quantgod.registry.lineage import lineage_of, market_in_words
    from quantgod.registry.own_settings import Judging, judging
    from quantgod.registry.ownership import check_rows
    from quantgod.registry.registered import known_version
    from quantgod.registry.subjects import asked_for, subject_of, tag_version
    from quantgod.tracking.keys import artifacts_of
    from quantgod.tracking.stage import stage
    from quantgod.tracking.store import connect

    client = connect(at_hand.tracking)
    named = {"label": label_run, "audit": audit_run, "register": register_run}
    asked = asked_for(client, at_hand.registry.name, version, named)
    by, made = Judging(at_hand), asked.runs
    if asked.version is not None:
        found = known_version(client, asked.name, asked.version)
        made = lineage_of(found).runs
        by = judging(found, "evaluate", at_hand, changes)
    settings = by.settings
    market = market_in_words(made, settings)
    with (
        stage("evaluate", settings, asked.runs) as run,
        progress_bar("evaluate") as progress,
        run.scratch() as folder,
    ):
        subject = subject_of(asked, client, settings.train, folder)
        series = table_series(run.inputs["labels"])
        if asked.version is not None:
            check_rows(found, series)
        kept = artifacts_of(run.needed("audit"), "out_of_fold", folder) / ROWS_FILE
        table, rows = read_table(run.inputs["labels"]), pd.read_parquet(kept)
        evaluated = evaluate(subject, table, rows, settings, progress)
        report = complete(evaluated, subject, table, settings, progress, rows, market)
        _log(run, evaluated, report)
        write_series(run.folder("test"), series)
        if asked.version is None:
            run.output()
        else:
            run.output(name=asked.name, version=str(asked.version))
            if not by.otherwise:
                tag_version(client, asked, run.run_id, evaluated.summary(), report.card)
    tell(run)
    if by.otherwise:
        say(escape(f"{asked.name} {asked.version} keeps its card: judged by {by.in_words()}"))


def _log(run: StageRun, evaluated: Evaluated, report: Report) -> None:
    from quantgod.evaluation.evidence import EVALUATION_FILE, write_evidence
    from quantgod.evaluation.scored_rows import write_scored
    from quantgod.evaluation.wording import interval_text

    result = evaluated.result
    write_evidence(run.outbox.artifacts / EVALUATION_FILE, result)
    write_scored(run.folder("test"), evaluated.rows)
    run.metrics.log(evaluated.metrics())
    for name, image in report.images.items():
        (run.folder("figures") / f"{name}.png").write_bytes(image)
    run.json("tables", report.tables)
    (run.folder("report") / "report.html").write_text(report.html, encoding="utf-8")
    run.shows("report/report.html")
    (run.folder("report") / "card.md").write_text(report.card, encoding="utf-8")
    base, auditor = (interval_text(result.models[who]["macro_f1"]) for who in ("base", "auditor"))
    run.headline(f"{result.subject}: test macro-F1: base {base}, auditor {auditor}")


if __name__ == "__main__":
    main()
