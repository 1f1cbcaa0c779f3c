"""Serve the management page and its API on loopback, behind a token, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steps.console import say, say_as_written
from steps.options import config_options, setting, settings_from, step, switch


@step("what was changed stands in the ledger, and the same command serves it again")
@config_options
@setting("--port", "manage.port", "Port on loopback.")
@setting("--exchange", "live.exchange", "The live session's: its journal is shown.")
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--alias", "registry.alias", "Alias to manage; its case matters.")
@switch("--new-token", "new_token", "Make the token anew and show it this once; its hash is kept.")
def main(config: Path, overrides: tuple[str, ...], *, new_token: bool, **options: Any) -> None:
    """Serve signals, versions, deployments, members and training to whoever has the token."""
    own = (settings := settings_from(config, overrides, options)).manage
    from quantgod.registry.port import HOST, listening_on

    with listening_on(own.port) as listener:  # before the token of who has the port is replaced
        from quantgod.api.app import make_app
        from quantgod.api.desk import Desk
        from quantgod.api.guard import token
        from quantgod.api.jobs import Jobs
        from quantgod.api.listening import Listening
        from quantgod.tracking.store import connect

        made = token.new_token(own.folder) if new_token else None
        kept = token.kept_hash(own.folder)
        desk = Desk(settings, connect(settings.tracking), config, Jobs(own.folder))
        server = Listening(make_app(desk, kept), own.port, desk.ending)
        if made is not None:
            say_as_written(f"token, shown this once: {made}")
        address = f"http://{HOST}:{own.port}/"
        say(f"{desk.name}@{desk.alias}: open {address} and log in with the token; Ctrl-C ends it")
        server.run(sockets=[listener])


if __name__ == "__main__":
    main()
