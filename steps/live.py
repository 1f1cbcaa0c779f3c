"""Run the Production model on a live book: one signal per minute."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from steps.options import config_options, setting, settings_from, step


@step("what was journaled is kept, and the same command goes on")
@config_options
@setting("--exchange", "live.exchange", "binance, or simulated: on this machine, offline.")
@setting(
    "--history",
    "live.history",
    "Bars of `etl` that fill the first window (a store of every market).",
)
@setting("--max-candles", "live.max_candles", "End after so many minutes with a row.")
@setting("--journal", "live.journal", "Folder of bars, signals, drift and events.")
@setting("--log", "live.log", "text, or json for machines.")
@setting("--name", "registry.name", "Name of the registered model.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Keep the books of `live.symbols`, close their minutes, and let the model speak.

    Ends by Ctrl-C, SIGTERM or --max-candles, with everything sealed.
    """
    settings = settings_from(config, overrides, options)
    from quantgod.live.view.logs import logging_to, say

    with logging_to(settings.live.log):
        say(logging.INFO, "starting", f"live on {settings.live.exchange}: loading libraries")
    from rich.console import Console

    from quantgod.live.loopback import venue
    from quantgod.live.runner import run_live
    from quantgod.tracking.stage import stage_if_reachable
    from quantgod.tracking.store import be_brief

    be_brief()
    with (
        logging_to(settings.live.log),
        stage_if_reachable("live", settings) as run,
        venue(settings) as feed,
    ):
        console = Console(stderr=True)
        tracking = (_nothing, _nothing) if run is None else (run.metrics.log, run.param("version"))
        ended = asyncio.run(run_live(settings, feed, console, *tracking))
        be_brief(1)  # a hanging server is tried a few more times, which delays the end
        headline = f"{ended.answered}: {ended.signals} signals, ended by {ended.ended_by}"
        if run is not None:
            run.tags["quantgod.ended_by"] = ended.ended_by
            run.headline(headline)
        say(logging.INFO, "ended", headline)


def _nothing(*_: object) -> None:
    """Ignore metrics if the store cannot be reached."""


if __name__ == "__main__":
    main()
