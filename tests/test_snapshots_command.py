"""Snapshots by the command: from archives to blocks, in a run that later stages can name."""

from __future__ import annotations

from pathlib import Path

import click
import mlflow
import pytest
from click.testing import CliRunner

import steps.etl
import steps.snapshots
from quantgod.archive.snapshot_store import open_blocks
from quantgod.tracking.keys import output_of
from tests.archive import feeds
from tests.conftest import forget_experiments
from tests.stores import fresh_store


def test_archives_become_bars_and_then_blocks_and_the_run_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    feeds.write(tmp_path / "archives", feeds.three_days())
    places = {f"data.{name}": tmp_path / name for name in ("archives", "bars", "snapshots", "work")}
    places |= {
        "tracking.uri": fresh_store(tmp_path),
        "tracking.artifacts": tmp_path / "mlruns",
        "tracking.outbox": tmp_path / "outbox",
        "data.source": "local",
        "etl.workers": 1,
        "snapshots.block": 10,
    }
    given = ["--config", "conf/full.yaml", *(f"--set={key}={said}" for key, said in places.items())]
    before = mlflow.get_tracking_uri()

    def run(command: click.Command, *options: str) -> tuple[str, mlflow.entities.Run]:
        forget_experiments()
        done = CliRunner().invoke(command, [*given, *options])
        assert done.exit_code == 0, done.output
        return done.output, mlflow.last_active_run()

    try:
        _, etl = run(steps.etl.main, "--allow-thin", "true")
        levels = ["--levels", "4", "--interval-ms", "500", "--per-minute", "30"]
        said, made = run(steps.snapshots.main, "--etl-run", etl.info.run_id, *levels)
        path = Path(output_of(made.info.run_id, "path")["path"])
        told = mlflow.artifacts.load_dict(f"runs:/{made.info.run_id}/snapshots.json")
    finally:
        mlflow.set_tracking_uri(before)
        forget_experiments()
    assert path == tmp_path / "snapshots" / "linear" / "BTCUSDT"
    blocks = [open_blocks(day) for day in sorted(path.glob("*.parquet"))]
    assert [day.content.shape[1:] for day in blocks] == [(10, 4, 4)] * 3
    counts = [len(day.index) for day in blocks]
    assert [day["blocks"] for day in told["days"].values()] == counts
    assert made.data.metrics["blocks"] == sum(counts) > 0
    assert f"blocks of {sum(counts)} of {sum(counts) + 1} minutes" in " ".join(said.split())
    assert made.data.params["snapshots.levels"] == "4"
    assert made.data.tags["quantgod.upstream.etl"] == etl.info.run_id
