"""The etl on a cluster: the same files, and no failure passes unseen."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quantgod.archive.etl import run_etl
from tests.archive.feeds import (
    MIDNIGHT_MS,
    ROOT,
    etl_settings,
    feed,
    stored,
    three_days,
    write,
)
from tests.stores import fresh_store


@pytest.mark.long
def test_a_dask_cluster_gives_the_same_files(scheduler: str, tmp_path: Path) -> None:
    assert scheduler.startswith("tcp://127.0.0.1:")
    write(tmp_path / "a", three_days())
    alone = run_etl(tmp_path / "a", tmp_path / "alone", etl_settings())
    report = run_etl(tmp_path / "a", tmp_path / "many", etl_settings(scheduler=scheduler))
    assert stored(tmp_path / "many") == stored(tmp_path / "alone")
    assert report == alone


@pytest.mark.long
def test_the_command_takes_a_scheduler_and_fails_on_a_quarantine(
    scheduler: str, tmp_path: Path
) -> None:
    thin = feed(MIDNIGHT_MS + 3 * 86_400_000, 1_200)
    write(tmp_path / "a", three_days() | {dt.date(2024, 1, 5): thin[:60] + thin[61:]})
    run_etl(tmp_path / "a", tmp_path / "alone", etl_settings())
    (tmp_path / "a" / "2024-01-04_BTCUSDT_ob500.data.zip").write_bytes(b"no zip")
    refused = _command(tmp_path, "--scheduler", scheduler)
    assert refused.returncode == 1
    assert "1 quarantined" in refused.stderr
    assert "bad_zip" in refused.stderr
    assert "2024-01-05_BTCUSDT_ob500.data.zip: 15 of 18 minutes (83.3 %) are lost" in refused.stdout
    assert "--allow-quarantine and --allow-thin" in refused.stderr
    many = stored(tmp_path / "many" / "linear")
    assert many.pop("BTCUSDT/quarantine/2024-01-04.json")
    assert many == stored(tmp_path / "alone")
    allowed = _command(tmp_path, "--allow-quarantine", "true", "--allow-thin", "true")
    assert allowed.returncode == 0


def _command(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    places = f"tracking.artifacts={folder / 'artifacts'};tracking.outbox={folder / 'outbox'}"
    data = ["--archives", str(folder / "a"), "--bars", str(folder / "many")]
    return subprocess.run(
        [sys.executable, "-m", "steps.etl", *data, "--set", places, *options],
        cwd=ROOT,
        env=os.environ | {"MLFLOW_TRACKING_URI": fresh_store(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
