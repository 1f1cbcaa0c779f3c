"""The exchange as a process: it says where it listens, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import websockets
from click.testing import CliRunner

from quantgod.simulation.exchange.__main__ import main
from tests.later import later
from tests.simulation.exchange.client import events

CONFIG = Path(__file__).parents[3] / "conf" / "demo.yaml"


def command(*arguments: str) -> list[str]:
    given = ("--config", str(CONFIG), "--speed", "100", *arguments)
    return [sys.executable, "-m", "quantgod.simulation.exchange", *given]


@pytest.mark.parametrize("number", [signal.SIGTERM, *later(signal.SIGINT)])
def test_it_serves_several_symbols_and_ends_cleanly(number: signal.Signals) -> None:
    symbols = "live.symbols=[BTCUSDT, ETHUSDT]"
    with subprocess.Popen(
        command("--set", symbols), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            where = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            heard = asyncio.run(hear(where["stream_url"]))
            begun = time.monotonic()
            process.send_signal(number)
            rest, complaints = process.communicate(timeout=10)
        finally:
            process.kill()
    assert {event["s"] for event in heard} == {"BTCUSDT", "ETHUSDT"}
    assert where["depth_url"].endswith("/fapi/v1/depth")
    assert (process.returncode, rest, complaints) == (0, "", "")
    assert time.monotonic() - begun < 5


async def hear(url: str) -> list[dict[str, Any]]:
    names = "btcusdt@depth@100ms/ethusdt@depth@100ms"
    async with websockets.connect(f"{url}?streams={names}", compression=None) as socket:
        return await events(socket, 6)


RUNNER = """
import os, subprocess, sys, time
subprocess.Popen([*sys.argv[1:], "--parent", str(os.getpid())])
time.sleep(60)
"""


@pytest.mark.long
def test_it_ends_when_its_parent_is_killed() -> None:
    """Also while nobody has asked for the parent's exit status."""
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, *command()], stdout=subprocess.PIPE, text=True
    ) as parent:
        try:
            where = json.loads(parent.stdout.readline())  # type: ignore[union-attr]
            assert is_up(where["depth_url"])
        finally:
            os.kill(parent.pid, signal.SIGKILL)
        end = time.monotonic() + 10
        while is_up(where["depth_url"]):
            assert time.monotonic() < end, "the exchange outlived its parent"
            time.sleep(0.05)


def is_up(url: str) -> bool:
    address = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--day", "2", "--set", "simulate.days=2"], "first_day: 0 to 1 expected, got 2"),
        (["--set", "live.simulated.faults=[loss]"], "got 'loss'"),
        (["--set", "live.simulated.sped=3"], "sped"),
        (["--speed", "0"], "speed: above 0 expected"),
    ],
)
def test_a_wrong_option_is_refused_by_name(arguments: list[str], complaint: str) -> None:
    refused = CliRunner().invoke(main, ["--config", str(CONFIG), "--speed", "100", *arguments])
    assert refused.exit_code in (1, 2)
    assert complaint in refused.output
