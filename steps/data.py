"""List the available data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steps.console import say, show_table
from steps.options import config_options, setting, settings_from, step
from steps.stopping import NOTHING_CHANGED

LEFT_OUT = 10


@step(NOTHING_CHANGED)
@config_options
@setting("--archives", "data.archives", "Folder of archives.")
@setting("--bars", "data.bars", "Folder of bars.")
@setting("--candles", "candles.folder", "Folder of candles.")
@setting("--labels", "data.labels", "Folder of labelled tables.")
@setting("--recordings", "live.collect.folder", "Folder of recordings.")
@setting("--market", "data.market", "Of archives whose folders name none.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """List archives, bars, candles, labels and recordings: series, days, coverage, holes."""
    settings = settings_from(config, overrides, options)
    from quantgod.archive.candles.inventory import held_candles
    from quantgod.archive.inventory import COLUMNS, UNREAD, held_archives, held_bars
    from quantgod.dataset.inventory import held_labels
    from quantgod.live.recording.inventory import held_recordings

    data, recordings = settings.data, settings.live.collect.folder
    limits = settings.etl.limits
    archives, others = held_archives(data.archives, data.market, limits, data.bars)
    for title, folder, held in (
        ("Archives", data.archives, archives),
        ("Bars", data.bars, held_bars(data.bars)),
        ("Candles", settings.candles.folder, held_candles(settings.candles.folder)),
        ("Labels", data.labels, held_labels(data.labels)),
        ("Recordings", recordings, held_recordings(recordings)),
    ):
        if held:
            show_table(f"{title} in {folder}", COLUMNS, [one.row() for one in held])
        else:
            say(f"{title}: none in {str(folder).replace('{exchange}', '*')}")
    if archives:
        say(UNREAD)
    for name in others[:LEFT_OUT]:
        say(f"no archive: {name}")
    if len(others) > LEFT_OUT:
        say(f"and {len(others) - LEFT_OUT} more files are no archives")


if __name__ == "__main__":
    main()
