"""Deploy a version: check its gates, try it in a fresh process, then move the alias."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from steps.console import progress_bar, say_as_written
from steps.options import (
    given,
    judging_options,
    member_option,
    run_option,
    setting,
    settings_given,
    step,
    switch,
    version_option,
)

REASON_TAG: Final = "quantgod.reason"


@step("`deployments` tells what is in place, and the same command may be given again")
@judging_options
@member_option
@run_option("register")
@run_option("gates")
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--alias", "registry.alias", "Alias to move; its case matters.")
@version_option("Version to promote; the newest where neither it nor a run is given.")
@switch("--force", "force", "Promote although the gates did not pass; needs a reason.")
@given("--reason", "Why; it is recorded.")
def main(
    config: Path | None,
    overrides: tuple[str, ...],
    register_run: str | None,
    gates_run: str | None,
    version: int | None,
    *,
    force: bool,
    reason: str | None,
    **options: Any,
) -> None:
    """Check the version's gates, load it in a fresh process, and point the alias at it."""
    if force and not reason:
        raise click.BadParameter("a forced promotion needs one", param_hint="--reason")
    at_hand, changes = settings_given(config, overrides, options)
    from quantgod.registry.daily.bounds import bounds_of
    from quantgod.registry.own_settings import own_judging
    from quantgod.registry.promotion import Grounds, in_words, promote
    from quantgod.registry.registered import asked_version
    from quantgod.tracking.stage import stage
    from quantgod.tracking.store import connect

    client = connect(at_hand.tracking)
    found = asked_version(client, at_hand.registry.name, version, register_run)
    settings = own_judging(found, at_hand, changes, force=force)
    name, chosen, alias = found.name, int(found.version), settings.registry.alias
    with stage("promote", settings, {"register": register_run, "gates": gates_run}) as run:
        why = Grounds(reason or "", force, gates_run, bounds_of(found, settings))
        if reason is not None:
            run.tags[REASON_TAG] = reason
        with progress_bar("promote") as progress:
            progress(0, 1, f"asking the gates, loading version {chosen} in a fresh process")
            done = promote(name, chosen, alias, why)
            progress(1, 1, "")
        run.output(name=name, alias=alias, version=str(chosen))
        said = in_words(name, alias, chosen, done)
        run.headline(said)
    say_as_written(said)


if __name__ == "__main__":
    main()
