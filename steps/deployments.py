"""List what was deployed, from when to when, by whom and why; ends with 1 if an alias was moved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import say
from steps.options import config_options, setting, settings_from, step, switch
from steps.stopping import NOTHING_CHANGED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import OverflowMethod

    from quantgod.registry.ledger import Entry, Tenure


@step(NOTHING_CHANGED)
@config_options
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--alias", "registry.alias", "Alias whose history to tell; its case matters.")
@switch("--details", "details", "Tell gates, reasons and lineage in full.")
@switch("--json", "as_json", "Print JSON, lineage in full, and nothing else.")
def main(
    config: Path, overrides: tuple[str, ...], *, details: bool, as_json: bool, **options: Any
) -> None:
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
        say(f"[bold]{name}@{alias}[/bold]")
        for span in found.spans:
            lines = _lines(span, told.HOW[span.entry.kind])
            _show([*lines, *_details(span)] if details else lines, whole=details)
        if (begun := found.under_way) is not None:
            click.echo(
                f"{begun.kind} of version {begun.version} began at {begun.at}, end not noted"
            )
    if found.trouble:
        raise click.ClickException(found.trouble)


def _lines(span: Tenure, how: str) -> list[str]:
    """Return a deployment's lines: version, times and how; gates, user and reason."""
    entry = span.entry
    version = f"{entry.version} ({entry.semantic})" if entry.semantic else str(entry.version)
    since = _second(span.since) if span.is_known else f"noticed {_second(span.since)}"
    until = "now" if span.until is None else _second(span.until)
    forced = " by force" if entry.forced else ""
    market = "simulated market; " if entry.is_simulated else ""
    gates = f"gates: {_gates(entry)}; " if entry.kind == "promotion" else ""
    return [
        f"{version:<11} {since} to {until:<19}  {how}{forced}",
        f"            {market}{gates}by {entry.by}: {entry.why}",
        *(
            f"            {one.member} {one.kind} {_second(one.at)} by {one.by}: {one.why}"
            for one in span.members
        ),
    ]


def _gates(entry: Entry) -> str:
    if entry.gates is None:
        return "not judged"
    failed = f", {len(entry.gates.failed)} failed" if entry.gates.failed else ""
    return f"{entry.gates.passed} passed{failed}"


def _details(span: Tenure) -> Iterator[str]:
    entry = span.entry
    if entry.forced:
        yield f"            forced over: {entry.forced}"
    if entry.gates is not None:
        yield f"            gates run {entry.gates.run_id}"
        yield from (f"            failed: {name}" for name in entry.gates.failed)
    yield from (f"            {key} {digest}" for key, digest in entry.lineage.items())


def _show(lines: list[str], *, whole: bool) -> None:
    """Print lines without markup, cut to the terminal's width unless `whole`."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for line in lines:
        overflow: OverflowMethod = "fold" if whole else "ellipsis"
        console.print(Text(line), no_wrap=not whole, overflow=overflow, soft_wrap=whole)


def _second(moment: str) -> str:
    return moment[:19].replace("T", " ")


if __name__ == "__main__":
    main()
