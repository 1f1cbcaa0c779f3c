"""Serve a version over HTTP on loopback, until Ctrl-C."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from steps.console import say
from steps.options import all_settings_from, config_options, given, setting, step
from steps.stopping import NOTHING_CHANGED


@step(NOTHING_CHANGED)
@config_options
@given("--model", "NAME@ALIAS or NAME/VERSION; by default the alias of the settings.")
@setting("--port", "serve.port", "Port on loopback.")
@setting("--body-bytes", "serve.body_bytes", "The longest body that is taken.")
def main(config: Path, overrides: tuple[str, ...], model: str | None, **options: Any) -> None:
    """Load a version, its files checked, and answer `POST /invocations`."""
    settings, members = all_settings_from(config, overrides, options)
    if members and model is None:
        each = [own.registry for own in members.values()]
        known = ", ".join(f"{registry.name}@{registry.alias}" for registry in each)
        raise click.UsageError(
            f"{config} has members, each a registered model of its own: give one of them as "
            f"--model ({known})"
        )
    registry, own = settings.registry, settings.serve
    name, at = named(model or f"{registry.name}@{registry.alias}")
    from quantgod.registry.port import HOST, listening_on

    with listening_on(own.port) as listener:
        import uvicorn

        from quantgod.registry.server import scoring_app
        from quantgod.registry.versions import load_chain
        from quantgod.tracking.store import connect

        connect(settings.tracking)
        app = scoring_app(load_chain(name, at), own.body_bytes)
        say(f"{name} {at} on http://{HOST}:{own.port}/invocations")
        with suppress(KeyboardInterrupt):  # uvicorn has ended cleanly and says it once more
            uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


def named(model: str) -> tuple[str, int | str]:
    """Parse NAME@ALIAS or NAME/VERSION into the name and the alias or number.

    Raises:
        ValueError: for anything else.
    """
    name, at, alias = model.rpartition("@")
    if at and name and alias:
        return name, alias
    name, slash, number = model.rpartition("/")
    if slash and name and number.isdecimal():
        return name, int(number)
    raise ValueError(f"NAME@ALIAS or NAME/VERSION expected, got {model!r}")


if __name__ == "__main__":
    main()
