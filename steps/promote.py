"""Deploy a version: check it in a fresh process, ask its gates, then move the alias."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import progress_bar
from steps.options import (
    config_options,
    given,
    run_option,
    setting,
    settings_from,
    step,
    switch,
    version_option,
)

if TYPE_CHECKING:
    from quantgod.registry.promotion import Why
    from quantgod.settings import Settings


@step()
@config_options
@run_option("register")
@run_option("gates")
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--alias", "registry.alias", "Alias to move; its case matters.")
@version_option("Version to promote; the newest where neither it nor a run is given.")
@switch("--force", "force", "Promote although the gates did not pass; needs a reason.")
@given("--reason", "Why; it is recorded.")
def main(
    config: Path,
    overrides: tuple[str, ...],
    register_run: str | None,
    gates_run: str | None,
    version: int | None,
    *,
    force: bool,
    reason: str | None,
    **options: Any,
) -> None:
    """Load the version in a fresh process, check its gates, and point the alias at it."""
    if force and not reason:
        raise click.BadParameter("a forced promotion needs one", param_hint="--reason")
    settings = settings_from(config, overrides, options)
    from quantgod.registry.promotion import promote
    from quantgod.registry.registered import newest_version
    from quantgod.tracking.keys import output_of
    from quantgod.tracking.stage import stage

    name, alias = settings.registry.name, settings.registry.alias
    with stage("promote", settings, {"register": register_run, "gates": gates_run}) as run:
        if version is None and register_run is not None:
            version = int(output_of(register_run, "version")["version"])
        chosen = newest_version(name) if version is None else version
        with progress_bar("promote") as progress:
            progress(0, 1, f"loading version {chosen} in a fresh process")
            done = promote(name, chosen, alias, _why(settings, gates_run, reason, force=force))
            progress(1, 1, "")
        forced = "" if done is None or not done.forced else f", by force: {done.why}"
        run.output(name=name, alias=alias, version=str(chosen))
        run.headline(f"{name} version {chosen} is {alias}{forced}")


def _why(settings: Settings, gates_run: str | None, reason: str | None, *, force: bool) -> Why:
    """What was given goes before the settings' own reason to force."""
    from quantgod.evaluation.gates import bounds_digest
    from quantgod.registry.promotion import Why

    bounds = bounds_digest(settings.gates)
    forced = settings.registry.force_reason
    if force or forced is None:
        return Why(reason or "", force=force, gates_run=gates_run, bounds=bounds)
    return Why(reason or forced, force=True, gates_run=gates_run, bounds=bounds)


if __name__ == "__main__":
    main()
