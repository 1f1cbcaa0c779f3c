"""Turn a recording into daily archives in Bybit's form, for `etl` to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steps.console import progress_bar, show_table
from steps.options import config_options, given, setting, settings_from, step


@step("archives that were written stand, and the same command goes on with the others")
@config_options
@given(
    "--recording",
    "Folder of a collect, or a recorded file as `replay` takes; by default where `collect` writes.",
)
@setting("--archives", "data.archives", "Folder that the archives go to.")
@setting("--market", "data.market", "On which it was recorded: linear, spot or inverse.")
@given("--symbol", "Only this symbol, such as BTCUSDT; all by default.")
def main(
    config: Path,
    overrides: tuple[str, ...],
    recording: str | None,
    symbol: str | None,
    **options: Any,
) -> None:
    """Write daily archives of a recording; `etl` makes of them the bars that were live."""
    settings = settings_from(config, overrides, options)
    from quantgod.live.recording.archive import archive_recording

    live, archives = settings.live, settings.data.archives
    source = Path(recording) if recording else live.own_recordings
    with progress_bar("archive") as progress:
        written = archive_recording(source, archives, settings, symbol, progress)
    rows = [(archived.path.name, f"{archived.lines:,}") for archived in written]
    show_table(f"Archives in {archives}", ("archive", "lines"), rows)


if __name__ == "__main__":
    main()
