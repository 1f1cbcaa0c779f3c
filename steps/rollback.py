"""Undo a deployment: deploy the version before, or a named one, again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from steps.console import say
from steps.options import config_options, given, setting, settings_from, step, version_option


@step("`deployments` tells what is in place, and the same command may be given again")
@config_options
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--alias", "registry.alias", "Alias to move back; its case matters.")
@version_option("Version to put back into place; the one before where it is not given.")
@given("--reason", "Why; it is recorded.")
def main(
    config: Path,
    overrides: tuple[str, ...],
    version: int | None,
    reason: str | None,
    **options: Any,
) -> None:
    """Point the alias at a version that was in place before, once its files are seen unchanged."""
    began = time.perf_counter()
    settings = settings_from(config, overrides, options)
    from quantgod.registry.rollback import UNDONE, roll_back
    from quantgod.tracking.store import connect

    client = connect(settings.tracking)
    name, alias = settings.registry.name, settings.registry.alias
    done = roll_back(name, alias, version, reason or UNDONE, client=client)
    seconds = time.perf_counter() - began
    say(f"{name} version {done.version} is {alias} instead of {done.over}, after {seconds:.1f} s")


if __name__ == "__main__":
    main()
