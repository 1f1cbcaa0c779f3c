"""Check whether settings, data and registry fit together, and estimate each stage's time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import progress_bar, say, show_table
from steps.options import (
    all_settings_from,
    config_options,
    member_option,
    series_options,
    setting,
    step,
)
from steps.stopping import NOTHING_CHANGED

if TYPE_CHECKING:
    from quantgod.planning.at_hand import Inventory
    from quantgod.planning.estimate import Estimate, Machine
    from quantgod.planning.fitting import Finding
    from quantgod.settings import Settings


HOW_LONG = "some seconds, and minutes beside other work"


@step(NOTHING_CHANGED)
@config_options
@member_option
@series_options
@setting("--name", "registry.name", "Name of the registered model.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Look at all that a long run will need, time a few steps of it; end with 1 if it cannot work.

    Nothing is made, downloaded or registered. Of settings with members each is looked at.
    """
    settings, members = all_settings_from(config, overrides, options)
    from quantgod.planning.at_hand import at_hand
    from quantgod.planning.fitting import findings
    from quantgod.tracking.store import connect
    from quantgod.training.space import PARAMETERS, check_members, check_network

    if members:
        check_members(members, PARAMETERS)
    else:
        check_network(settings)
    wrong, timed = 0, cache(partial(_timed, settings))  # once for all members
    one_by_one = timed if settings.ensemble is None else None
    for name, own in (members or {"": settings}).items():
        have = at_hand(own)
        found = findings(own, have, connect(own.tracking))
        wrong += _refuse(f"member {name}: " if name else "", found)
        _show(f"{config}, member {name}" if name else str(config), own, have, found, one_by_one)
    if settings.ensemble is not None or (members and not wrong):
        have = at_hand(settings)
        found = _together(settings, members, have, wrong)
        wrong += _refuse("", found)
        _show("All members", settings, have, found, None if wrong or one_by_one else timed)
    if wrong:
        raise SystemExit(1)


def _together(
    settings: Settings, members: dict[str, Settings], have: Inventory, wrong: int
) -> list[Finding]:
    """Return whether members forecast minutes in common, and can be an ensemble if they are one."""
    from quantgod.planning.together import common_findings, ensemble_findings
    from quantgod.tracking.store import connect

    common = common_findings(members, have) if members and not wrong else []
    return [*ensemble_findings(settings, members, connect(settings.tracking)), *common]


def _timed(settings: Settings) -> Machine:
    from quantgod.planning.at_hand import at_hand
    from quantgod.planning.estimate import time_machine

    click.echo(f"timing a few steps of every stage: {HOW_LONG}", err=True)
    with progress_bar("machine", every=True) as progress:
        return time_machine(settings, at_hand(settings), progress)


def _refuse(whose: str, found: Sequence[Finding]) -> int:
    """Print what would end a run, and return how many there are."""
    wrong = [one for one in found if one.state == "wrong"]
    for one in wrong:
        click.echo(f"Error: {whose}{one.subject}: {one.text}", err=True)
    return len(wrong)


def _show(
    title: str,
    settings: Settings,
    have: Inventory,
    found: Sequence[Finding],
    timed: Callable[[], Machine] | None,
) -> None:
    """Show what there is, and how long it takes where that is asked for and can be timed."""
    from quantgod.planning.estimate import estimate

    show_table(title, ("what", "", "found"), found)
    untimed = ("rows", "device")
    if timed is not None and not any(
        one.state == "wrong" and one.subject in untimed for one in found
    ):
        machine = timed()
        with progress_bar("networks", every=True) as progress:
            reckoned = estimate(settings, have, machine, progress)
        show_estimate(reckoned)


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
