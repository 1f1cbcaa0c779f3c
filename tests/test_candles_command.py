"""The store of candles by its commands: from files, bars, a server and a simulation."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

import steps.candles
import steps.data
from quantgod.archive.candles.inventory import held_candles
from quantgod.archive.candles.store import read_candles
from tests.archive.candles.test_bars import store
from tests.archive.candles.test_download import klines, publish
from tests.archive.candles.test_files import DATA, HEADERS, days, needs_data
from tests.archive.test_download import Server
from tests.conftest import forget_experiments
from tests.stores import fresh_store

TINY = Path("tests/end_to_end/tiny.yaml")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the command on folders of its own; gives its exit status and what it says."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    places = {
        "data.work": tmp_path / "work",
        "data.bars": tmp_path / "bars",
        "candles.folder": tmp_path / "candles",
        "tracking.uri": fresh_store(tmp_path),
        "tracking.artifacts": tmp_path / "mlruns",
        "tracking.outbox": tmp_path / "outbox",
    }

    def invoke(*options: str) -> tuple[int, str]:
        forget_experiments()
        given = [f"--set={name}={value}" for name, value in places.items()]
        done = CliRunner().invoke(steps.candles.main, ["--config", str(TINY), *given, *options])
        return done.exit_code, " ".join(done.output.split())

    return invoke


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in files
    }


def test_files_of_several_coins_are_stored_by_their_names_and_twice_changes_nothing(
    run, tmp_path: Path
) -> None:
    folder, given = tmp_path / "candles", tmp_path / "given"
    (given / "ETHUSDT").mkdir(parents=True)
    days(9).drop(index=[3, 4]).to_csv(given / "BTCUSDT_1d.csv", index=False)
    days(9, HEADERS["klines"], "us").to_csv(given / "ETHUSDT" / "all.csv.gz", index=False)
    (given / "README.md").touch()
    status, said = run("--source", str(given))
    assert status == 0, said
    assert (
        "BTCUSDT (spot, 1d, trades): 7 candles from 2024-12-31 00:00 to 2025-01-08 00:00, 7 new"
        in said
    )
    assert "hole: 2 candles, 2025-01-03 00:00 to 2025-01-04 00:00" in said
    assert "does not tell whether its newest candle, of 2025-01-08 00:00, had closed" in said
    assert "unknown in some files or all: quote_volume, taker_volume, trades" in said
    before = contents(folder)
    status, said = run("--source", str(given))
    assert status == 0 and contents(folder) == before and "files: 2 known" in said
    btc, eth = held_candles(folder)
    assert (btc.symbol, btc.days, btc.coverage) == ("BTCUSDT", 7, 7 / 9)
    assert btc.holes == "1, the longest of 2 candles from 2025-01-03 00:00 on"
    assert (eth.holes, eth.note) == ("none", "1d of trades, from all.csv.gz")
    status, said = run("--from", "store", "--coins", "BTCUSDT")
    assert status == 0 and "nothing new" in said and contents(folder) == before
    status, said = run("--from", "store", "--coins", "XRPUSDT")
    assert status == 1 and "no candles of XRPUSDT" in said and "it holds BTCUSDT (spot, 1d" in said


def test_what_cannot_be_used_is_quarantined_and_the_rest_is_stored(run, tmp_path: Path) -> None:
    good, other = tmp_path / "BTCUSDT.csv", tmp_path / "BTCUSDT-1d-2024-12.csv"
    days(5).to_csv(good, index=False)
    days(5).to_csv(other, index=False)
    status, said = run("--source", str(good), "--source", str(other), "--drop-last")
    assert status == 1 and "1 quarantined (--allow-quarantine accepts that)" in said
    assert "quarantined, period" in said and "left out: as was asked for" in said
    folder = tmp_path / "candles" / "spot" / "BTCUSDT"
    record = folder / "quarantine" / f"{other.name}.json"
    assert json.loads(record.read_text())["reason"] == "period"
    assert len(read_candles(tmp_path / "candles", "spot", "BTCUSDT", "1d")) == 4
    assert run("--source", str(other), "--allow-quarantine")[0] == 0
    days(1).to_csv(other, index=False)
    assert run("--source", str(other))[0] == 0 and not record.exists()
    days(5).assign(close=101.25).to_csv(other, index=False)
    other.rename(tmp_path / "BTCUSDT_other.csv")
    status, said = run("--source", str(tmp_path / "BTCUSDT_other.csv"))
    assert status == 1 and "conflict" in said and "Stored candles are never changed" in said
    for options, words in (
        (("--source", str(good), "--interval", "1h"), "candles of 1h (60 minutes) were expected"),
        (
            ("--source", str(good), "--coins", "ETHUSDT"),
            "of ETHUSDT were expected, these",
        ),
        (("--source", str(tmp_path / "none.csv")), "was expected at"),
        (("--from", "simulate", "--coins", "BTCUSDT"), "simulated candles never mix"),
        (("--interval", "7m"), "one of 1m, 3m"),
        (("--coins", "BTCUSDT,BTCUSDT"), "none of them twice"),
    ):
        status, said = run(*options)
        assert status in (1, 2) and words in said, said
    unnamed = good.rename(tmp_path / "mine.csv")
    status, said = run("--source", str(unnamed))
    assert status == 1 and "does not tell whose candles it holds: give --coins" in said
    assert run("--source", str(unnamed), "--coins", "LTCUSDT")[0] == 0
    assert len(read_candles(tmp_path / "candles", "spot", "LTCUSDT", "1d")) == 5


def test_simulated_coins_bars_and_a_server_fill_it_too(run, tmp_path: Path) -> None:
    folder = tmp_path / "candles"
    with Server() as gone:
        pass
    dead = ("--from", "download", "--base-url", gone.url, "--set=download.attempts=1")
    status, said = run(*dead, "--last-day", "2017-08-20", "--coins", "BTCUSDT")
    assert status == 1 and "1 could not be fetched: BTCUSDT-1d-2017-08: no connection" in said
    status, said = run(
        "--from", "simulate", "--coins", "AUSDT,BUSDT", "--set=candles.simulate.candles=40"
    )
    assert status == 0 and "2 series of 80 candles, 80 new" in said
    more = "--set=candles.simulate.candles=50"
    status, said = run("--from", "simulate", "--coins", "AUSDT,BUSDT", more)
    assert "2 series of 100 candles, 20 new" in said
    status, said = run("--from", "simulate", "--coins", "AUSDT", "--set=candles.simulate.seed=8")
    assert status == 1 and "by simulated, seed 7, and" in said
    store(tmp_path, {3})
    bars = ("--from", "bars", "--coins", "BTCUSDT", "--market", "linear", "--interval", "1h")
    status, said = run(*bars)
    assert status == 0 and "BTCUSDT (linear, 1h, micro): 35 candles" in said
    with Server() as server:
        publish(server, "BTCUSDT-1h-2024-12", klines("2024-12", header=True))
        address = ("--from", "download", "--base-url", server.url, *bars[2:])
        days = ("--first-day", "2024-11-05", "--last-day", "2024-12-31")
        status, said = run(*address, *days)
        assert status == 0 and "(linear, 1h, trades): 744 candles from 2024-12-01 00:00" in said
        assert "absent: BTCUSDT-1h-2024-11" in said
        server.files.clear()
        status, said = run(*address[:4], "--coins", "ETHUSDT", *address[6:], *days)
        assert status == 1 and "no candle is stored" in said
    held = {(one.symbol, one.note.split(",")[0]) for one in held_candles(folder)}
    assert ("BTCUSDT", "1h of micro-prices") in held and ("BTCUSDT", "1h of trades") in held
    listed = ["--config", str(TINY), "--candles", str(folder)]
    done = CliRunner().invoke(steps.data.main, listed, env={"COLUMNS": "400"})
    assert done.exit_code == 0 and "AUSDT" in done.output and "1h of micro-prices" in done.output
    path = folder / "spot" / "AUSDT" / "1d.trades.parquet"
    assert set(pd.read_parquet(path)["source"]) == {"simulated, seed 7"}
    path.write_bytes(b"half a file")
    assert any("not a whole Parquet" in one.note for one in held_candles(folder))


@needs_data
def test_real_daily_candles_fill_a_store(run, tmp_path: Path) -> None:
    names = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "LTCUSDT")
    files = [option for name in names for option in ("--source", str(DATA / f"{name}_1d.csv.gz"))]
    status, said = run(*files, "--drop-last")
    assert status == 0 and "4 series of 12035 candles, 12035 new; files: 4 accepted" in said
