"""Let a member of the ensemble in place abstain from now on, or speak again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from steps.console import say
from steps.options import config_options, given, setting, settings_from, step, switch
from steps.stopping import NOTHING_CHANGED


@step(NOTHING_CHANGED)
@config_options
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--alias", "registry.alias", "Alias of the version in place; its case matters.")
@given("--member", "The member.")
@given("--reason", "Why; it is recorded.")
@switch("--undo", "undo", "Enable it again: the version is then as its gates have judged it.")
def main(
    config: Path,
    overrides: tuple[str, ...],
    *,
    member: str | None,
    reason: str | None,
    undo: bool,
    **options: Any,
) -> None:
    """Disable a member at once, in every live session that follows the alias.

    It abstains from the next minute on and counts against the quorum. The ledger has it, and
    another version starts without it.
    """
    if member is None:
        raise click.UsageError("--member NAME expected: a member of the version in place")
    settings = settings_from(config, overrides, options)
    from quantgod.registry.ledger_run import LedgerRun
    from quantgod.registry.registered import known_version
    from quantgod.registry.switching import in_words, switch_member
    from quantgod.tracking.store import connect

    client = connect(settings.tracking)
    name, alias = settings.registry.name, settings.registry.alias
    done = switch_member(name, alias, member, enabled=undo, reason=reason or "", client=client)
    disabled = LedgerRun(client, name, alias).read().disabled(done.version)
    say(in_words(known_version(client, name, done.version or 0), member, disabled))


if __name__ == "__main__":
    main()
