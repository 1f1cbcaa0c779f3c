"""Whether the gates let a null market's model through, and a planted signal's not."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import progress_bar, say, show_table
from steps.options import config_options, given, setting, settings_from, step

if TYPE_CHECKING:
    from quantgod.evaluation.power import Power


@step("markets that were judged are kept, and the same command goes on with the others")
@partial(config_options, config="conf/power.yaml")
@setting("--null", "power.null_markets", "Markets with nothing to find.")
@setting("--planted", "power.planted_markets", "Markets with the signal of `simulate`.")
@setting("--workers", "power.workers", "Markets at a time, a process each.")
@given("--intervals", "Draw so many cases, and tell how often intervals hold.", metavar="CASES")
def main(config: Path, overrides: tuple[str, ...], intervals: str | None, **options: Any) -> None:
    """Judge models of many markets by the gates; end with 1 if luck passes, or skill does not.

    With --intervals no market is made: forecasts whose true scores are known are drawn, and the
    table tells in what share of cases each score's 95 % interval holds the truth, and how wide
    it is.
    """
    settings = settings_from(config, overrides, options)
    if intervals is not None:
        _prove_intervals(int(intervals), settings.power.workers)
        return
    import msgspec

    from quantgod.evaluation.plots.verdicts import verdicts
    from quantgod.evaluation.power import trial_line
    from quantgod.registry.market_trials import run_trials
    from quantgod.tracking.stage import stage

    with stage("power", settings) as run, progress_bar("power") as progress:
        found = run_trials(
            settings, run.workplace(), lambda trial: say(trial_line(trial)), progress
        )
        run.json("power", msgspec.to_builtins(found))
        run.figure("verdicts", verdicts(found))
        passed = {kind: found.passes(kind) for kind in ("null", "planted")}
        run.metrics.log({f"{kind}_passed": count for kind, count in passed.items()})
        run.headline(", ".join(f"{count} {kind} passed" for kind, count in passed.items()))
    _show(found)
    if found.problem:
        raise click.ClickException(found.problem)


def _prove_intervals(cases: int, workers: int) -> None:
    from quantgod.evaluation.interval_power import DESIGNS, HEAD, prove_all, rows_of
    from quantgod.evaluation.trading_power import TRADERS, prove

    rows = []
    with progress_bar("intervals") as progress:
        for done, found in enumerate(prove_all(cases, workers), start=1):
            rows += rows_of(found)
            progress(done, len(DESIGNS), found[0].design if found else "")
    rows += rows_of([one for trader in TRADERS for one in prove(trader, cases)])
    show_table(f"95 % intervals, {cases} cases", HEAD, rows)


def _show(found: Power) -> None:
    from quantgod.evaluation.power import KINDS, gate_rows, summary_rows

    show_table("Gates passed, by kind of market", ["gate", *KINDS], gate_rows(found))
    show_table("Models", ["market", "seeds", "passed"], summary_rows(found))


if __name__ == "__main__":
    main()
