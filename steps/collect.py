"""Record raw messages and best levels, for replay or training."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from steps.options import config_options, setting, settings_from, step


@step("what was recorded is kept, and the same command goes on")
@config_options
@setting("--exchange", "live.exchange", "binance, or simulated: on this machine, offline.")
@setting("--folder", "live.collect.folder", "Folder of the recording.")
@setting("--log", "live.log", "text, or json for machines.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Record every raw message of `live.symbols`, and the best levels each 100 ms.

    Ends by Ctrl-C or SIGTERM, with everything sealed. `replay` and `archive_recording` read it.
    """
    settings = settings_from(config, overrides, options)
    from quantgod.live.view.logs import logging_to, say

    with logging_to(settings.live.log):
        say(logging.INFO, "starting", f"collect on {settings.live.exchange}: loading libraries")
    from rich.console import Console

    from quantgod.live.loopback import venue
    from quantgod.live.recording.session import run_collect
    from quantgod.tracking.stage import stage_if_reachable
    from quantgod.tracking.store import be_brief

    be_brief()
    with (
        logging_to(settings.live.log),
        stage_if_reachable("collect", settings) as run,
        venue(settings) as feed,
    ):
        ended = asyncio.run(run_collect(settings, feed, Console(stderr=True)))
        be_brief(1)  # a hanging server is tried a few more times, which delays the end
        headline = f"{ended.messages} messages, {ended.levels} rows of levels"
        if run is not None:
            run.tags["quantgod.ended_by"] = ended.ended_by
            run.metrics.log({"messages": ended.messages, "levels": ended.levels})
            run.headline(headline)
        say(logging.INFO, "ended", f"{headline}, ended by {ended.ended_by}")


if __name__ == "__main__":
    main()
