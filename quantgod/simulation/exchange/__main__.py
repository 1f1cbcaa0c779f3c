"""Serve the simulated market of the settings: `python -m quantgod.simulation.exchange -h`.

It prints one line of JSON when it listens, and ends on SIGTERM and SIGINT, or when its market or
parent process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import click
import psutil
import yaml

from quantgod.settings import Settings, SettingsError, load_settings
from quantgod.simulation.exchange.archived import simulated_truth
from quantgod.simulation.exchange.faults import named
from quantgod.simulation.exchange.rules import Rules, hurried
from quantgod.simulation.exchange.server import Exchange

PARENT_SECONDS = 0.5
"""Interval of checks for the parent process."""

OVER_SECONDS = 2.0
"""How long clients are still told that the market is over."""


@click.command(context_settings={"show_default": True})
@click.option(
    "--config", default="conf/demo.yaml", type=click.Path(path_type=Path), help="Settings file."
)
@click.option("--speed", type=float, help="Times real time; live.simulated.speed by default.")
@click.option("--port", default=0, help="Port on 127.0.0.1; 0 = any that is free.")
@click.option("--day", type=int, help="First day to play, from 0 on; the last by default.")
@click.option("--since", default=0, help="Exchange time (ms) from which to play.")
@click.option("--parent", type=int, metavar="PID", help="End when this process does.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override any setting."
)
def main(
    config: Path,
    speed: float | None,
    port: int,
    day: int | None,
    since: int,
    parent: int | None,
    overrides: tuple[str, ...],
) -> None:
    """Serve the simulated market of the settings as a Binance exchange on the loopback."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    settings = _settings(config, overrides)
    simulated = settings.live.simulated
    try:
        truth = simulated_truth(settings.live.symbols, settings.simulate, day)
        truth.forward(since)
        faults = named(simulated.faults)
        pace = speed if speed is not None else simulated.speed
        rules = Rules(weight_a_minute=hurried(settings.live.feed.weight_limit, pace))
        exchange = Exchange(
            truth, faults=faults, seed=simulated.seed, speed=pace, port=port, rules=rules
        )
        asyncio.run(_serve(exchange, parent))
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


async def _serve(exchange: Exchange, parent: int | None) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with exchange:
        urls = {"stream_url": exchange.stream_url, "depth_url": exchange.depth_url}
        click.echo(json.dumps(urls))
        watches = [asyncio.create_task(_end_after(exchange.over, ended))]
        if parent:
            watches.append(asyncio.create_task(_end_with(parent, ended)))
        await ended.wait()
        for watch in watches:
            watch.cancel()


async def _end_after(over: asyncio.Event, ended: asyncio.Event) -> None:
    """Set `ended` once the market is over and clients have been told."""
    await over.wait()
    await asyncio.sleep(OVER_SECONDS)
    ended.set()


async def _end_with(parent: int, ended: asyncio.Event) -> None:
    """Set `ended` once the parent process is gone, since a killed one cannot send a signal."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(parent)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110
            await asyncio.sleep(PARENT_SECONDS)
    ended.set()


def _settings(config: Path, overrides: tuple[str, ...]) -> Settings:
    values: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise click.BadParameter(f"KEY=VALUE expected, got {override!r}", param_hint="--set")
        values[key.strip()] = yaml.safe_load(text)
    try:
        return load_settings(config, values)
    except (SettingsError, yaml.YAMLError) as error:
        raise click.UsageError(str(error)) from None


if __name__ == "__main__":
    main()
