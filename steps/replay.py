"""Replay a recording through the live path, and check its book."""

from __future__ import annotations

import json
from pathlib import Path

import click

from steps.console import progress_bar
from steps.options import config_options, given, settings_from, step


@step()
@config_options
@click.option(
    "--recording",
    required=True,
    type=click.Path(path_type=Path),
    help="A recorded file (a line: receive time in ns, a space, JSON; may be gzip), or the folder "
    "of a collect.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the rows, bars.parquet, and their 112 features, features.parquet.",
)
@given("--symbol", "Whose messages to take; by default the one that is there.")
def main(
    config: Path, overrides: tuple[str, ...], recording: Path, out: Path, symbol: str | None
) -> None:
    """Close the minutes of a recording as fast as it goes; print one JSON object of figures."""
    settings = settings_from(config, overrides, {})
    from quantgod.live.recording.arrivals import open_recording
    from quantgod.live.recording.replay import replay

    opened = open_recording(recording, symbol)
    with progress_bar("replay") as progress:
        figures = replay(opened, out, settings, progress)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
