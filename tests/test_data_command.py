"""What `steps.data` says of the data there is."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from quantgod.archive.inventory import Holding, held_archives, held_bars
from quantgod.archive.own_bars import import_bars
from quantgod.archive.store import load_bars
from quantgod.dataset.inventory import held_labels
from quantgod.dataset.labels import label
from quantgod.dataset.table import write_table
from quantgod.live.journal import RAW, Journal
from quantgod.live.recording.inventory import held_recordings
from quantgod.settings import DataSettings
from steps.data import main
from tests.archive.feeds import FULL, pack
from tests.archive.test_own_bars import candles
from tests.archive.test_store import MIDNIGHT, rows, store
from tests.synthetic import synthetic_bars

MINUTE_NS = 60_000_000_000
NOT_READ = "ob500; none read by `etl` yet"


@pytest.fixture
def data(tmp_path: Path) -> DataSettings:
    """Archives of three days of four, two stretches of bars, their labels, and a recording."""
    places = {name: tmp_path / name for name in ("archives", "bars", "labels")}
    data = FULL.data.model_copy(update=places)
    for day in (1, 2, 4):
        pack(data.archives / ("spot" if day == 1 else ""), dt.date(2024, 1, day), [b"{}\n"])
    (data.archives / "notes.txt").touch()
    given = candles(400)
    given.drop(given.index[100:130]).to_parquet(tmp_path / "mine.parquet")
    import_bars([tmp_path / "mine.parquet"], data, FULL.etl)
    table = label(load_bars(data.market_bars, data.symbol), FULL.label, 5)
    write_table(data.own_labels, table, data.series_from("candles"))
    record(tmp_path / "recordings" / "binance")
    return data


def record(folder: Path) -> None:
    journal = Journal(folder, {"RAW": RAW}, FULL.live.journaling, lambda _: None)
    for minute in (0, 1, 2, 6):
        for symbol in ("BTCUSDT", "ETHUSDT"):
            if (symbol, minute) != ("ETHUSDT", 1):
                row = {"received_ns": minute * MINUTE_NS, "symbol": symbol, "kind": "stream"}
                assert journal.append("RAW", row | {"data": b"{}"})
    journal.close()


def test_series_are_listed_with_days_coverage_and_holes(data: DataSettings, tmp_path: Path) -> None:
    archives, others = held_archives(data.archives, "linear", FULL.etl.limits, data.bars)
    hole = "1, the longest of 1 days from 2024-01-03 on"
    assert archives == [
        Holding("linear", "BTCUSDT", "2024-01-02", "2024-01-04", 2, 2 / 3, hole, NOT_READ, "days"),
        Holding("spot", "BTCUSDT", "2024-01-01", "2024-01-01", 1, 1.0, "none", NOT_READ, "days"),
    ]
    assert [name.split(":")[0] for name in others] == ["notes.txt"]
    [bars] = held_bars(data.bars)
    # The first minute, and the first after the hole, have no close before them.
    hole = "1, the longest of 31 minutes from 2024-01-01 13:40 on"
    assert (bars.days, bars.coverage, bars.holes) == (1, 368 / 399, hole)
    assert bars.note.startswith("imported; lacks volatility, max_spread")
    [labels] = held_labels(data.labels)
    assert (labels.symbol, labels.holes, labels.note) == ("BTCUSDT", hole, "248 labelled")
    recordings = held_recordings(tmp_path / "recordings" / "{exchange}")
    assert [(one.market, one.symbol) for one in recordings] == [
        ("binance", "BTCUSDT"), ("binance", "ETHUSDT")
    ]  # fmt: skip
    assert [one.coverage for one in recordings] == [4 / 7, 3 / 7]
    assert recordings[0].holes == "1, the longest of 3 minutes from 1970-01-01 00:03 on"


def test_a_table_that_cannot_be_read_or_is_empty_is_listed_with_the_reason(tmp_path: Path) -> None:
    series = FULL.data.series_from("candles")
    empty = label(synthetic_bars(99).iloc[:0], FULL.label, 5)
    write_table(tmp_path / "linear" / "EMPTY.parquet", empty, series)
    (tmp_path / "linear" / "BROKEN.parquet").write_bytes(b"half a file")
    broken, nothing = held_labels(tmp_path)
    assert broken.note
    assert broken == Holding("linear", "BROKEN", "", "", 0, 0.0, "", broken.note)
    assert nothing == Holding("linear", "EMPTY", "", "", 0, 0.0, "", "no rows")


def test_a_recording_that_cannot_be_read_is_listed_with_the_reason(tmp_path: Path) -> None:
    for exchange in ("binance", "other"):
        record(tmp_path / exchange)
    [sealed] = (tmp_path / "binance").rglob("*.parquet")
    sealed.write_bytes(b"half a file")
    unreadable, *others = held_recordings(tmp_path / "{exchange}")
    assert "no readable Parquet" in unreadable.note
    assert unreadable == Holding("binance", "", "", "", 0, 0.0, "", unreadable.note)
    assert [(one.market, one.symbol) for one in others] == [
        ("other", "BTCUSDT"), ("other", "ETHUSDT")
    ]  # fmt: skip


def test_what_a_name_cannot_tell_of_an_archive_is_said(tmp_path: Path) -> None:
    """One is cut short, one holds an excerpt, and `etl` has read two of the days."""
    archives, bars = tmp_path / "archives", tmp_path / "bars"
    for day in range(1, 6):
        pack(archives, dt.date(2024, 1, day), [b"{}\n"] * (10 if day == 4 else 100))
    cut = sorted(archives.rglob("*.zip"))[1]
    cut.write_bytes(cut.read_bytes()[:-30])
    for day in (1, 2, 3, 9):
        minutes = rows(60 * day, MIDNIGHT + 1440 * (day - 1), depth=10)
        store(bars / "linear", minutes, dt.date(2024, 1, day))
    [held], _ = held_archives(archives, "linear", FULL.etl.limits, bars)
    assert (held.days, held.coverage, held.unit) == (4, 4 / 5, "days")
    assert held.holes == "1, the longest of 1 days from 2024-01-02 on"
    _, unopened, small, stored = held.note.split("; ")
    assert unopened.startswith("1 cannot be opened: 2024-01-02_BTCUSDT_ob500.data.zip (bad_zip: ")
    assert small == "1 of less than a fifth of the usual size: 2024-01-04_BTCUSDT_ob500.data.zip"
    assert stored == f"`etl` has read 2 of 4 days: {(60 + 180) / 2880:.1%} of their minutes"
    cut_alone = tmp_path / "cut"
    cut_alone.mkdir()
    shutil.copy(cut, cut_alone)
    [held], _ = held_archives(cut_alone, "linear", FULL.etl.limits, bars)
    assert (held.days, held.first, held.coverage) == (0, "", 0.0) and "cannot be op" in held.note


def test_the_command_names_what_is_there_and_what_is_not(
    data: DataSettings, tmp_path: Path
) -> None:
    (data.own_bars / "2024-01-02.parquet").write_bytes(b"half a file")
    places = ("archives", "bars", "candles", "labels", "recordings")
    folders = ("archives", "bars", "candles", "labels", "recordings/binance")
    (tmp_path / "candles").mkdir()
    given = [
        part
        for name, folder in zip(places, folders, strict=True)
        for part in (f"--{name}", str(tmp_path / folder))
    ]
    done = CliRunner().invoke(main, given, env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    for words in (
        "248 labelled",
        "% of days",
        "counted by name and size",
        "% of minutes",
        "not a whole Parquet file",
        "no archive: notes.txt",
        "ETHUSDT",
    ):
        assert words in done.output
    for name in places:
        shutil.rmtree(tmp_path / name)
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 0, done.output
    assert done.output.count(": none in ") == 5 and "{exchange}" not in done.output


@pytest.mark.parametrize("what", ["another table", "a folder", "a broken link", "no Parquet"])
def test_a_day_that_cannot_be_read_is_noted_beside_the_others(
    data: DataSettings, what: str
) -> None:
    odd = data.market_bars / data.symbol / "2024-01-03.parquet"
    match what:
        case "another table":
            pd.DataFrame({"a": [1]}).to_parquet(odd)
        case "a folder":
            odd.mkdir()
        case "a broken link":
            odd.symlink_to("gone")
        case _:
            odd.write_text("bars")
    [bars] = held_bars(data.bars)
    assert bars.days == 1 and str(odd) in bars.note
    assert held_archives(data.archives, "linear", FULL.etl.limits, data.bars)
