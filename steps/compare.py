"""Compare versions, and the members of ensembles, on the same test rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import progress_bar, remark, show_table, tell
from steps.options import (
    given,
    judging_options,
    run_option,
    runs_given,
    setting,
    settings_given,
    step,
)

if TYPE_CHECKING:
    from quantgod.registry.comparing import CompareResult
    from quantgod.tracking.stage import StageRun

SHOWN = (0, 1, 3, 5, 8)
"""Columns of the table that a terminal has room for."""


@step()
@judging_options
@given("--versions", "Numbers of at least two versions, parted by commas; the first against each.")
@run_option("etl")
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--bars", "data.bars", "Folder of the bars, where no etl run is given.")
@setting("--archives", "data.archives", "Raw messages, whose books orders meet where they are.")
def main(
    config: Path | None, overrides: tuple[str, ...], versions: str | None, **options: Any
) -> None:
    """Score versions and members on rows that none has learned from, paired, and trade them."""
    numbers, runs = _numbers(versions), runs_given(options)
    at_hand, changes = settings_given(config, overrides, options)
    from quantgod.registry.comparing import compare_versions, scored_versions
    from quantgod.registry.own_settings import judging_lineage
    from quantgod.registry.registered import known_version
    from quantgod.tracking.stage import stage
    from quantgod.tracking.store import connect

    client, name = connect(at_hand.tracking), at_hand.registry.name
    first = known_version(client, name, numbers[0])
    by, runs = judging_lineage(first, "compare", runs, at_hand, changes)
    with stage("compare", by.settings, runs) as run, progress_bar("compare") as progress:
        with run.scratch() as folder:
            each = scored_versions(client, name, numbers, folder)
        _log(run, name, numbers, compare_versions(run, each, progress))
    tell(run)


def _numbers(versions: str | None) -> list[int]:
    try:
        numbers = list(dict.fromkeys(int(part) for part in (versions or "").split(",")))
    except ValueError:
        numbers = []
    if len(numbers) < 2:
        raise click.UsageError(
            f"at least two different versions expected, as --versions 3,4; got {versions or 'none'}"
        )
    return numbers


def _log(run: StageRun, name: str, numbers: list[int], found: CompareResult) -> None:
    import base64

    import mlflow
    import pandas as pd

    from quantgod.evaluation import plots
    from quantgod.evaluation.evidence import write_evidence
    from quantgod.evaluation.wording import verdict
    from quantgod.registry.comparing import COMPARE_FILE
    from quantgod.report.compared import SCORES, compared_page, compared_table
    from quantgod.report.report import png

    table = compared_table(found.models, found.differences, found.traded)
    first, title = next(iter(found.models)), f"{name}: versions {', '.join(map(str, numbers))}"
    told = (
        f"{found.rows:,} test rows of all of them, {found.first} to {found.last}, that equal about "
        f"{found.effective_rows:.0f} independent labels; Sharpe ratios are deflated by "
        f"{found.trials:,} trials"
    )
    drawn = {
        "Scores": plots.comparison(found.models, list(SCORES)),
        f"{first} minus each": plots.advantages(found.differences, verdict, whose=first),
    }
    images = {text: base64.b64encode(png(one)).decode() for text, one in drawn.items()}
    write_evidence(run.outbox.artifacts / COMPARE_FILE, found)
    page = compared_page(title, told, table, images)
    (run.folder("report") / "compare.html").write_text(page, encoding="utf-8")
    run.shows("report/compare.html")
    frame = pd.DataFrame(list(table.body), columns=list(table.head), dtype=object)
    mlflow.log_table(frame, "compare_table.json", run_id=run.run_id)
    run.metrics.log({"rows": found.rows, "rows_effective": found.effective_rows})
    run.headline(f"{title}; {told}")
    show_table(
        title, [table.head[at] for at in SHOWN], [[row[at] for at in SHOWN] for row in table.body]
    )
    remark(table.note)
    run.output()


if __name__ == "__main__":
    main()
