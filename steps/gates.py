"""Judge a version by its gates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import progress_bar, remark, say, show_table, tell
from steps.options import (
    judging_options,
    member_option,
    run_option,
    runs_given,
    series_options,
    setting,
    settings_given,
    step,
    switch,
    version_option,
)

if TYPE_CHECKING:
    from quantgod.gates import GateReport
    from quantgod.tracking.stage import StageRun


class GatesFailed(click.ClickException):
    """At least one gate failed with `--strict`."""


@step()
@judging_options
@member_option
@run_option("label")
@run_option("features")
@run_option("snapshots")
@run_option("register")
@run_option("evaluate")
@run_option("backtest")
@run_option("leak_audit")
@series_options
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--alias", "registry.alias", "Alias whose version is the champion.")
@version_option("Version to judge; the newest where neither it nor a run is given.")
@switch("--strict", "strict", "End with an error when a gate fails.")
def main(
    config: Path | None,
    overrides: tuple[str, ...],
    version: int | None,
    *,
    strict: bool,
    **options: Any,
) -> None:
    """Hold a version's evidence against the bounds, and against the version in place."""
    named = runs_given(options)
    at_hand, changes = settings_given(config, overrides, options)
    from quantgod.live.shadow import read_shadow
    from quantgod.registry.evidence_runs import making
    from quantgod.registry.gate_tags import record_gates
    from quantgod.registry.gating import gating, judge
    from quantgod.tracking.stage import stage
    from quantgod.tracking.store import connect

    what = gating(connect(at_hand.tracking), at_hand, changes, version, named)
    if "leak_audit" not in what.runs:
        say(f"no leak audit: `{making(what.version, 'leak_audit')}` makes one")
    with stage("gates", what.by.settings, what.runs) as run:
        with progress_bar("gates") as progress:
            report = judge(run, what, read_shadow, progress)
        _log(run, report)
        if what.by.otherwise:
            say(f"{report.name} {report.version} keeps its own verdict: this is by other settings")
        else:
            record_gates(run.client, report)
    tell(run)
    if strict and not report.passed:
        raise GatesFailed(f"GatesFailed: {report.in_words()}")


def _log(run: StageRun, report: GateReport) -> None:
    import mlflow
    import pandas as pd

    from quantgod.evaluation.evidence import write_evidence
    from quantgod.gates import GATES_FILE
    from quantgod.gates.figure import gate_figure
    from quantgod.gates.judge import SAME
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
        if gate.figure == SAME:
            remark(f"{gate.name}: {gate.detail}")
        elif gate.passed is False or gate.unjudged:
            # A detail may quote an error, whose brackets are not markup.
            remark(f"{gate.name}: {gate.figure}, asked for {gate.bound} ({gate.detail})")


if __name__ == "__main__":
    main()
