"""Whether the gates let a null market's model through, and a planted signal's not."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import progress_bar, say, show_table
from steps.options import config_options, setting, settings_from, step

if TYPE_CHECKING:
    from quantgod.evaluation.power import Power


@step()
@partial(config_options, config="conf/power.yaml")
@setting("--null", "power.null_markets", "Markets with nothing to find.")
@setting("--planted", "power.planted_markets", "Markets with the signal of `simulate`.")
@setting("--workers", "power.workers", "Markets at a time, a process each.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Judge models of many markets by the gates; end with 1 if luck passes, or skill does not."""
    settings = settings_from(config, overrides, options)
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


def _show(found: Power) -> None:
    from quantgod.evaluation.power import KINDS, gate_rows, summary_rows

    show_table("Gates passed, by kind of market", ["gate", *KINDS], gate_rows(found))
    show_table("Models", ["market", "seeds", "passed"], summary_rows(found))


if __name__ == "__main__":
    main()
