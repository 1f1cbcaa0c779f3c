"""Score a version, or a run's model, on the test part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.console import progress_bar, say, say_as_written, tell
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
    from quantgod.registry.scoring import ScoringResult
    from quantgod.tracking.stage import StageRun


@step()
@judging_options
@member_option
@run_option("label")
@run_option("features")
@run_option("snapshots")
@run_option("audit")
@run_option("register")
@version_option("Version to score; the newest where neither it nor a run is given.")
@series_options
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--stride", "evaluate.stride", "Minutes between the test rows that are scored.")
def main(
    config: Path | None, overrides: tuple[str, ...], version: int | None, **options: Any
) -> None:
    """Score a model on the test part, which nothing else reads, beside simple baselines."""
    named = runs_given(options)
    at_hand, changes = settings_given(config, overrides, options)
    from quantgod.registry.scoring import keep_score, score, scoring
    from quantgod.tracking.stage import stage
    from quantgod.tracking.store import connect

    what = scoring(connect(at_hand.tracking), at_hand, changes, version, named)
    asked, by = what.asked, what.by
    with stage("evaluate", by.settings, asked.runs) as run, progress_bar("evaluate") as progress:
        scored = score(run, what, progress, say)
        _log(run, scored)
        if asked.version is None:
            run.output()
        else:
            run.output(name=asked.name, version=str(asked.version))
        keep_score(run, what, scored)
    tell(run)
    if by.otherwise:
        say_as_written(f"{asked.name} {asked.version} keeps its card: judged by {by.in_words()}")


def _log(run: StageRun, scored: ScoringResult) -> None:
    from quantgod.dataset.series import write_series
    from quantgod.evaluation.evidence import EVALUATION_FILE, write_evidence
    from quantgod.evaluation.scored_rows import write_scored
    from quantgod.evaluation.wording import interval_text

    evaluated, report, result = scored.evaluated, scored.report, scored.evaluated.result
    write_evidence(run.outbox.artifacts / EVALUATION_FILE, result)
    write_scored(run.folder("test"), evaluated.rows)
    write_series(run.folder("test"), scored.series)
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
