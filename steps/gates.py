"""Judge a version by its gates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import progress_bar, say, show_table, tell
from steps.options import (
    judging_options,
    run_option,
    setting,
    settings_given,
    step,
    switch,
    version_option,
)

if TYPE_CHECKING:
    from quantgod.evaluation.gates import GateReport
    from quantgod.tracking.stage import StageRun


class GatesFailed(click.ClickException):
    """At least one gate failed, and `--strict` was asked for."""


@step()
@judging_options
@run_option("label")
@run_option("register")
@run_option("evaluate")
@run_option("backtest")
@run_option("leak_audit")
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--alias", "registry.alias", "Alias whose version is the champion.")
@version_option("Version to judge; the newest where neither it nor a run is given.")
@switch("--strict", "strict", "End with an error when a gate fails.")
def main(
    config: Path | None,
    overrides: tuple[str, ...],
    label_run: str | None,
    register_run: str | None,
    evaluate_run: str | None,
    backtest_run: str | None,
    leak_audit_run: str | None,
    version: int | None,
    *,
    strict: bool,
    **options: Any,
) -> None:
    """Hold a version's evidence against the bounds, and against the version in place."""
    at_hand, changes = settings_given(config, overrides, options)
    from quantgod.dataset.table import read_table
    from quantgod.evaluation.gates import judge_gates
    from quantgod.evaluation.scored_rows import read_scored
    from quantgod.live.shadow import read_shadow
    from quantgod.registry import evidence_runs as evidence
    from quantgod.registry.challenge import Challenge, compare_with_champion
    from quantgod.registry.gate_tags import record_gates, report_on
    from quantgod.registry.own_settings import judging
    from quantgod.registry.ownership import check_successor
    from quantgod.registry.registered import asked_version, holder, known_version
    from quantgod.tracking.keys import artifacts_of
    from quantgod.tracking.stage import stage
    from quantgod.tracking.store import connect

    client = connect(at_hand.tracking)
    judged = asked_version(client, at_hand.registry.name, version, register_run or evaluate_run)
    name, number = judged.name, int(judged.version)
    by = judging(judged, "gates", at_hand, changes)
    settings = by.settings
    named = {
        "label": label_run,
        "register": register_run,
        "evaluate": evaluate_run,
        "backtest": backtest_run,
        "leak_audit": leak_audit_run,
    }
    runs = evidence.evidence_runs(client, judged, named, settings)
    with (
        stage("gates", settings, runs) as run,
        progress_bar("gates") as progress,
        run.scratch() as folder,
    ):
        evidence.check_evidence(client, judged, runs, settings)
        evidence.check_labels(judged, run.inputs["labels"])
        if "leak_audit" not in runs:
            say(f"no leak audit: `{evidence.making(judged, 'leak_audit')}` makes one")
        found = evidence.read_records(judged, runs, folder)
        champion = holder(client, name, settings.registry.alias)
        if champion is not None:
            check_successor(judged, known_version(client, name, champion))
        compared = None
        if settings.gates.champion and champion is not None and champion != number:
            rows = read_scored(artifacts_of(runs["evaluate"], "test", folder))
            journal = settings.live.own_journal
            journaled = read_shadow(journal, name, (number, champion))
            table = read_table(run.inputs["labels"])
            challenge = Challenge(name, number, champion, rows, table, journaled)
            compared = compare_with_champion(challenge, settings, progress)
        gates = judge_gates(*found, settings.gates, compared)
        report = report_on(judged, gates, champion, run.run_id, by)
        _log(run, report)
        if by.otherwise:
            say(f"{name} {number} keeps its own verdict: this one is by other settings")
        else:
            record_gates(client, report)
    tell(run)
    if strict and not report.passed:
        raise GatesFailed(f"GatesFailed: {report.in_words()}")


def _log(run: StageRun, report: GateReport) -> None:
    import mlflow
    import pandas as pd
    from rich.markup import escape

    from quantgod.evaluation.evidence import write_evidence
    from quantgod.evaluation.gates import GATES_FILE
    from quantgod.evaluation.gates.figure import gate_figure
    from quantgod.tracking.keys import NO_CHAMPION

    title, said = f"{report.name} {report.version}", report.in_words()
    write_evidence(run.outbox.artifacts / GATES_FILE, report)
    headers = ["gate", "figure", "bound", "verdict", "detail"]
    lines = [(g.name, g.figure, g.bound, g.verdict, g.detail) for g in report.gates]
    table = pd.DataFrame(lines, columns=headers, dtype=object)
    mlflow.log_table(table, "gates_table.json", run_id=run.run_id)
    run.shows("figures/gates.png")
    run.figure("gates", gate_figure(report.gates, f"{title}: {said}"))
    verdicts = [gate.passed for gate in report.gates]
    run.metrics.log(
        {
            "gates_passed": verdicts.count(True),
            "gates_failed": verdicts.count(False),
            "gates_not_judged": len(report.unjudged),
        }
    )
    run.output(
        name=report.name,
        alias=run.settings.registry.alias,
        version=str(report.version),
        champion=NO_CHAMPION if report.champion is None else str(report.champion),
        failed=report.held_back,
    )
    run.headline(said)
    show_table(f"gates of {title}", headers[:4], [line[:4] for line in lines])
    for gate in report.gates:
        if gate.passed is False or gate.unjudged:
            # A detail may quote an error, and its brackets are no markup.
            say(escape(f"{gate.name}: {gate.figure}, asked for {gate.bound} ({gate.detail})"))


if __name__ == "__main__":
    main()
