"""Check whether settings, data and registry fit together, and estimate each stage's time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import say, show_table
from steps.options import all_settings_from, config_options, member_option, setting, step
from steps.stopping import NOTHING_CHANGED

if TYPE_CHECKING:
    from quantgod.planning.estimate import Estimate
    from quantgod.settings import Settings


@step(NOTHING_CHANGED)
@config_options
@member_option
@setting("--symbol", "data.symbol", "Symbol, such as BTCUSDT.")
@setting("--name", "registry.name", "Name of the registered model.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Look at all that a long run will need, time a few steps of it; end with 1 if it cannot work.

    Nothing is made, downloaded or registered. Of settings with members each is looked at.
    """
    settings, members = all_settings_from(config, overrides, options)
    wrong = [] if members else _wrong(str(config), settings)
    for name, own in members.items():
        wrong += [f"member {name}: {said}" for said in _wrong(f"{config}, member {name}", own)]
    if wrong:
        raise click.ClickException("; ".join(wrong))


def _wrong(title: str, settings: Settings) -> list[str]:
    """Show what there is and how long it takes, and return what would end a run."""
    from quantgod.planning.at_hand import at_hand
    from quantgod.planning.estimate import estimate
    from quantgod.planning.fitting import findings
    from quantgod.tracking.store import connect

    have = at_hand(settings)
    found = findings(settings, have, connect(settings.tracking))
    show_table(title, ("what", "", "found"), found)
    wrong = [one for one in found if one.state == "wrong"]
    if not any(one.subject in ("rows", "device", "settings") for one in wrong):
        show_estimate(estimate(settings, have))
    return [f"{one.subject}: {one.text}" for one in wrong]


def show_estimate(found: Estimate) -> None:
    """Print the time of each stage, their sum, and what would reduce it."""
    from quantgod.planning.estimate import LONG_SECONDS, in_time

    times = ["?" if one.seconds is None else in_time(one.seconds) for one in found.stages]
    rows = [(one.stage, one.work, time) for one, time in zip(found.stages, times, strict=True)]
    show_table("On this machine, with all epochs", ("stage", "work", "time"), rows)
    unknown = "".join(f", and the {one.stage}" for one in found.stages if one.seconds is None)
    say(f"About {in_time(found.seconds)} in all{unknown}; `main` skips what an equal run has done.")
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores:
        busy = f"load {load:.0f} on {cores} cores"
        say(f"Alone on the machine: beside other work ({busy}) it takes longer.")
    if found.seconds > LONG_SECONDS:
        say("What brings it down, for the stages that take most:")
        for line in found.advice():
            say(f"  {line}")


if __name__ == "__main__":
    main()
