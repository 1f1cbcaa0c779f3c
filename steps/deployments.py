"""List what was deployed, from when to when, by whom and why; ends with 1 if an alias was moved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import show_table
from steps.options import config_options, setting, settings_from, step, switch

if TYPE_CHECKING:
    from quantgod.registry.ledger import Deployment

HEADERS = ("version", "from and until (UTC)", "how and why", "gates", "lineage")


@step()
@config_options
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--alias", "registry.alias", "Alias whose history to tell; its case matters.")
@switch("--json", "as_json", "Print JSON, lineage in full, and no table.")
def main(config: Path, overrides: tuple[str, ...], *, as_json: bool, **options: Any) -> None:
    """List every deployment, the newest last; ends with 1 if the alias was moved by other means."""
    settings = settings_from(config, overrides, options)
    from quantgod.registry import deployments as told
    from quantgod.tracking.store import connect

    client = connect(settings.tracking)
    name, alias = settings.registry.name, settings.registry.alias
    found = told.deployments(client, name, alias)
    if as_json:
        click.echo(told.as_json(found))
    else:
        rows = [_row(span, told.HOW[span.entry.kind]) for span in found.spans]
        show_table(f"{name}@{alias}", HEADERS, rows)
        if (begun := found.under_way) is not None:
            click.echo(
                f"{begun.kind} of version {begun.version} began at {begun.at}, end not noted"
            )
    if found.trouble:
        raise click.ClickException(found.trouble)


def _row(span: Deployment, how: str) -> tuple[str, ...]:
    """A row that a terminal of 80 columns can show; `--json` has all of it."""
    from rich.markup import escape

    entry = span.entry
    version = f"{entry.version} ({entry.semantic})" if entry.semantic else str(entry.version)
    until = "now" if span.until is None else _second(span.until)
    why = f"{how} by {entry.by}: {entry.why}"
    if entry.forced:
        why += f" (by force over: {entry.forced})"
    gates = "not judged"
    if entry.gates is not None:
        failed = f"; failed: {', '.join(entry.gates.failed)}" if entry.gates.failed else ""
        gates = f"{entry.gates.passed} passed{failed}"
    lineage = "\n".join(
        f"{key.partition('.')[2]} {digest[:8]}"
        for key, digest in entry.lineage.items()
        if key == "run.register" or key.startswith("data.")
    )
    since = _second(span.since) if span.is_known else f"noticed {_second(span.since)}"
    cells = (version, f"{since}\n{until}", why, gates, lineage)
    return tuple(escape(cell) for cell in cells)


def _second(moment: str) -> str:
    return moment[:19].replace("T", " ")


if __name__ == "__main__":
    main()
