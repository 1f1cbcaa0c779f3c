"""Work in processes and on a cluster: the same files, and no failure passes unseen."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import LocalCluster

from quantgod.archive.etl import run_etl
from quantgod.archive.parallel import Crash, run_all
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


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real scheduler on loopback with two worker processes."""
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        scheduler_kwargs={"dashboard": False},
        local_directory=str(tmp_path_factory.mktemp("dask")),
    ) as cluster:
        yield cluster.scheduler_address


def test_a_dask_cluster_gives_the_same_files(scheduler: str, tmp_path: Path) -> None:
    assert scheduler.startswith("tcp://127.0.0.1:")
    write(tmp_path / "a", three_days())
    alone = run_etl(tmp_path / "a", tmp_path / "alone", etl_settings())
    report = run_etl(tmp_path / "a", tmp_path / "many", etl_settings(scheduler=scheduler))
    assert stored(tmp_path / "many") == stored(tmp_path / "alone")
    assert report == alone


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


def test_a_cluster_outlives_work_that_kills_its_workers(scheduler: str) -> None:
    """Dask tries it elsewhere a few times; what else ran there then may be given up too."""
    work = run_all(_one_over_or_die, [-1, 1, 0, 2], etl_settings(scheduler=scheduler))
    results = {done.given: done.result for done in work}
    assert set(results) == {-1, 0, 1, 2}
    assert "its worker died" in str(results[-1])
    again = {
        done.given: done.result
        for done in run_all(_one_over, [0, 2], etl_settings(scheduler=scheduler))
    }
    assert again[2] == 0.5
    assert "ZeroDivisionError" in str(again[0])


def test_an_exception_travels_as_text_and_a_dead_process_is_noticed() -> None:
    results = {done.given: done.result for done in run_all(_one_over, [1, 0], etl_settings())}
    assert results[1] == 1.0
    assert isinstance(results[0], Crash)
    assert results[0].error == "ZeroDivisionError: float division by zero"
    with pytest.raises(RuntimeError, match="terminated"):
        list(run_all(os._exit, [3, 3], etl_settings(workers=2)))


def _one_over(value: int) -> float:
    return 1.0 / value


def _one_over_or_die(value: int) -> float:
    if value < 0:
        os._exit(1)
    return _one_over(value)
