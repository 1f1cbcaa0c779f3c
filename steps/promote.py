"""Deploy a version: check it in a fresh process, then move the alias."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from steps.console import progress_bar
from steps.options import config_options, given, run_option, setting, settings_from, step


@step()
@config_options
@run_option("register")
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--alias", "registry.alias", "Alias to move; its case matters.")
@given("--version", "Version to promote; the newest where neither it nor a run is given.")
def main(
    config: Path,
    overrides: tuple[str, ...],
    register_run: str | None,
    version: str | None,
    **options: Any,
) -> None:
    """Load the version in a fresh process, compare its golden output, and point the alias at it."""
    if version is not None and not version.isdecimal():
        raise click.BadParameter(f"a number was expected, got {version!r}", param_hint="--version")
    settings = settings_from(config, overrides, options)
    from quantgod.registry.versions import newest_version, promote
    from quantgod.tracking.keys import output_of
    from quantgod.tracking.stage import stage

    name, alias = settings.registry.name, settings.registry.alias
    with stage("promote", settings, {"register": register_run}) as run:
        if version is None and register_run is not None:
            version = output_of(register_run, "version")["version"]
        chosen = int(version) if version is not None else newest_version(name)
        with progress_bar("promote") as progress:
            progress(0, 1, f"loading version {chosen} in a fresh process")
            promote(name, chosen, alias)
            progress(1, 1, "")
        run.output(name=name, alias=alias, version=str(chosen))
        run.headline(f"{name} version {chosen} is {alias}")


if __name__ == "__main__":
    main()
