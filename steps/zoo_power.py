"""Test which network finds which planted signal, and that none finds one where there is none."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from steps.console import progress_bar, remark, say, show_table
from steps.options import config_options, setting, settings_from, step


@step("results are kept, and the same command goes on with the others")
@partial(config_options, config="conf/zoo.yaml")
@setting("--kinds", "zoo.kinds", "Kinds of signals, parted by commas: lean,shape.")
@setting("--networks", "zoo.networks", "Networks, parted by commas: tlob,linear.")
@setting("--planted", "zoo.planted_markets", "Markets with a signal, of each kind.")
@setting("--null", "zoo.null_markets", "Markets with nothing to find, of all kinds in turn.")
@setting("--first-seed", "zoo.first_seed", "Of the planted markets of every kind.")
@setting("--workers", "zoo.workers", "Markets at a time, a process each.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Train every network on every market and compare it with majority and linear models.

    Results are kept until code or settings change, so that a run may ask for a part of them: the
    table at the end tells all that there are. Ends with 1 if a network finds a signal where there
    is none, or one that was made for a kind finds it in less than nine of ten markets.
    """
    settings = settings_from(config, overrides, options)
    import msgspec

    from quantgod.gates.zoo.figure import findings
    from quantgod.gates.zoo.power import head, rows, sight_line
    from quantgod.gates.zoo.runs import run_zoo
    from quantgod.parallel.work import check_schedulers
    from quantgod.tracking.stage import stage

    check_schedulers(settings.etl.scheduler)
    with stage("zoo_power", settings) as run, progress_bar("zoo") as progress:
        power = run_zoo(
            settings, run.lasting_place(), lambda sight: remark(sight_line(sight)), progress
        )
        run.json("zoo_power", msgspec.to_builtins(power))
        run.figure("findings", findings(power))
        found = sum(sight.found for sight in power.sights)
        run.metrics.log({"sights": len(power.sights), "found": found})
        run.headline(f"{found} found in {len(power.sights)} trainings, {len(power.wrong)} problems")
    show_table("Signals found, of so many markets (majority beaten)", head(power), rows(power))
    for problem in power.wrong:
        say(problem)
    if power.wrong:
        raise click.ClickException(f"{len(power.wrong)} problems")


if __name__ == "__main__":
    main()
