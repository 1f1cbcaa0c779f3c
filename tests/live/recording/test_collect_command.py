"""`collect` as a person runs it: offline, ended by Ctrl-C, and read again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quantgod.live.journal import read_table
from quantgod.live.recording.arrivals import open_recording
from quantgod.live.recording.replay import replay
from quantgod.settings import load_settings
from tests.stores import fresh_store

CONFIG = Path("tests/live/live.yaml")


@pytest.mark.long
def test_what_it_recorded_until_ctrl_c_is_sealed_and_replays_without_a_gap(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "steps.collect", "--config", str(CONFIG), "--log", "json"]
    own = f"tracking.outbox={tmp_path / 'outbox'};live.simulated.speed=240"
    command += ["--folder", str(tmp_path / "raw"), "--set", own]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": fresh_store(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as collect:
        assert collect.stderr is not None
        codes: list[str] = []
        while "synced" not in codes:
            codes.append(json.loads(collect.stderr.readline())["code"])
        folder = tmp_path / "raw"
        while read_table(folder, "RAW").num_rows < 200:  # the first two minutes have no row
            time.sleep(0.1)
        collect.send_signal(signal.SIGINT)
        collect.stderr.read()
        assert collect.wait(timeout=60) == 0
    assert not list((folder / "wal").iterdir())
    assert read_table(folder, "LEVELS").num_rows > 0
    figures = replay(open_recording(folder, None), tmp_path / "out", load_settings(CONFIG))
    assert (figures["gaps"], figures["crossed"]) == (0, 0)
    assert figures["rows_written"] >= 1
