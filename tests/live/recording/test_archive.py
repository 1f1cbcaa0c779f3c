from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from quantgod.archive.day_reading import book_row
from quantgod.archive.etl import run_etl
from quantgod.archive.seconds import read_seconds
from quantgod.archive.snapshot_store import block_of, open_blocks
from quantgod.archive.snapshots import run_snapshots
from quantgod.archive.store import read_metadata, read_rows, stored_days
from quantgod.contracts import MS_PER_DAY
from quantgod.live.driving import drive
from quantgod.live.recording.archive import (
    RecordingArchiveError,
    archive_recording,
    lines_of,
)
from quantgod.live.recording.arrivals import Arrival, Recording, open_recording
from quantgod.market.book_bars import BookBars, ClosedMinute
from quantgod.market.book_sync import BinanceBookSync
from quantgod.settings import SnapshotSettings
from steps.archive_recording import main
from tests.archive.feeds import FULL, ROOT
from tests.archive.streams import etl_settings
from tests.later import later
from tests.live.recording.recorded import SHAPE, Client, market, record
from tests.live.recording.test_replay import START, event, snapshot

MIDNIGHT_MS = 19_800 * MS_PER_DAY
HALF_HOUR = 1_800
REAL = ROOT.parent / "shared" / "data" / "binance_usdm_btcusdt_20240808.gz"
FAULTS = {
    400: "lost",  # 23:33
    1000: "reconnect",
    1500: "corrupt",
    1700: "echo",
    2100: "killed",  # 23:47:30
    2600: "corrupt",
    2601: "corrupt",
    3590: "lost",  # 23:59:55
    3600: "lost",  # the last message of the day
    3605: "reconnect",
    4300: "lost",
    5200: "killed",
    6000: "reconnect",
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Client]:
    """An hour and a half around midnight, with a price that leaves every snapshot's range."""
    folder = tmp_path_factory.mktemp("recording")
    venue = market("BTCUSDT", MIDNIGHT_MS - 1000 * HALF_HOUR, 3 * HALF_HOUR, seed=4, drift=0.3)
    return folder, record(folder, venue, FAULTS, seed=9)


def bits(rows: list[ClosedMinute]) -> tuple[bytes, ...]:
    """All 810 columns, twelve figures of seconds and the minutes they stand for."""
    books = np.array([book_row(row.bids, row.asks) for row in rows])
    features = np.array([row.bar.features for row in rows])
    closes = np.array([row.bar.close for row in rows])
    minutes = np.array([row.bar.minute for row in rows], dtype=np.int64)
    seconds = np.array([row.bar.seconds for row in rows])
    return tuple(part.tobytes() for part in (minutes, features, closes, books, seconds))


def with_row(minutes: list[ClosedMinute]) -> list[ClosedMinute]:
    return [minute for minute in minutes if minute.bar.features is not None]


def stored_bits(bars: Path, symbol: str = "BTCUSDT") -> tuple[bytes, ...]:
    paths = stored_days(bars, symbol)
    days = [read_rows(path) for path in paths]
    columns = [
        [getattr(day, name) for day in days] for name in ("minutes", "features", "close", "book")
    ]
    columns.append([read_seconds(path, read_metadata(path)) for path in paths])
    return tuple(np.concatenate(column).tobytes() for column in columns)


def test_live_bars_are_the_bars_that_etl_makes_of_the_recording(recording, tmp_path):
    folder, client = recording
    live = with_row(client.closed)
    happened = set(client.reasons)
    assert {"OutOfSync gap", "OutOfSync disconnected", "OutOfSync corrupt_json"} <= happened
    assert {"Extension", "NeedSnapshot edge", "NeedSnapshot bad_snapshot"} <= happened
    archives = archive_recording(folder, tmp_path / "archives", FULL)
    assert [archive.path.name for archive in archives] == [
        "2024-03-17_BTCUSDT_ob500.data.zip",
        "2024-03-18_BTCUSDT_ob500.data.zip",
    ]
    report = run_etl(tmp_path / "archives", tmp_path / "bars", etl_settings())
    assert len(live) > 60
    assert stored_bits(tmp_path / "bars") == bits(live)
    assert not report.has_quarantine
    each = SHAPE.snapshots
    rules = SnapshotSettings(levels=SHAPE.levels, interval_ms=500, per_minute=each, block=each)
    assert rules.shape == SHAPE
    assert_blocks_are_those_of(live, tmp_path, rules)


def assert_blocks_are_those_of(
    live: list[ClosedMinute], folder: Path, rules: SnapshotSettings
) -> None:
    """The stage `snapshots` makes of the archives what the session saw at each close."""
    places = (folder / name for name in ("archives", "bars", "snapshots"))
    run_snapshots(*places, "BTCUSDT", "linear", etl_settings(), rules)
    days = [open_blocks(path) for path in stored_days(folder / "snapshots", "BTCUSDT")]
    seen = [block_of(row.snapshots[None]) for row in live]
    assert [row.bar.minute for row in live] == [m for day in days for m in day.index["minute"]]
    stored = b"".join(day.content.tobytes() for day in days)
    assert stored == b"".join(content.tobytes() for content, _, _ in seen)
    assert [mid for day in days for mid in day.index["mid"]] == [
        float(mid[0]) for _, mid, _ in seen
    ]


def test_a_recording_driven_again_gives_the_live_bars(recording):
    folder, client = recording
    assert bits(with_row(driven(folder, beyond_range=False))) == bits(with_row(client.closed))


@pytest.mark.parametrize("symbol", ["BTCUSD_PERP", "BTCUSDT_260327"])
def test_the_archives_of_any_symbol_are_read_again(symbol, tmp_path):
    venue = market(symbol, MIDNIGHT_MS, 300, seed=5, drift=0.0)
    client = record(tmp_path / "recording", venue, {}, seed=1)
    archive_recording(tmp_path / "recording", tmp_path / "archives", FULL)
    report = run_etl(tmp_path / "archives", tmp_path / "bars", etl_settings(), symbol=symbol)
    assert not report.ignored
    assert stored_bits(tmp_path / "bars", symbol) == bits(with_row(client.closed))


@pytest.mark.long
@pytest.mark.skipif(not REAL.exists(), reason="the real recordings are not beside the project")
def test_archives_of_a_real_recording_across_midnight_give_its_bars(tmp_path):
    live = with_row(driven(REAL, beyond_range=True))
    written = archive_recording(REAL, tmp_path / "archives", FULL)
    assert [archive.path.name[:10] for archive in written] == ["2024-08-08", "2024-08-09"]
    run_etl(tmp_path / "archives", tmp_path / "bars", etl_settings())
    assert len(live) >= 3
    assert stored_bits(tmp_path / "bars") == bits(live)
    assert_blocks_are_those_of(live, tmp_path, FULL.snapshots)


def driven(path: Path, *, beyond_range: bool) -> list[ClosedMinute]:
    sync = BinanceBookSync("BTCUSDT", 1_000, beyond_range=beyond_range)
    bars = BookBars(sync, 5, 5, shape=FULL.snapshots.shape)
    arrivals = open_recording(path).arrivals
    closed = [row for kind, _, data in arrivals for row in drive(bars, kind, data).closed]
    return closed + bars.finish().closed


@pytest.mark.long
def test_a_day_stands_without_the_day_before_it(recording, tmp_path):
    """Only its first minute has no previous close then, and so no row."""
    folder, client = recording
    archives = archive_recording(folder, tmp_path / "archives", FULL)
    archives[0].path.unlink()
    run_etl(tmp_path / "archives", tmp_path / "bars", etl_settings())
    second_day = [row for row in with_row(client.closed) if row.bar.minute >= MIDNIGHT_MS // 60_000]
    assert stored_bits(tmp_path / "bars") == bits(second_day[1:])


@pytest.mark.long
def test_a_clean_midnight_costs_no_minute(tmp_path):
    venue = market("BTCUSDT", MIDNIGHT_MS - 500_000, 1_000, seed=5, drift=-0.2)
    client = record(tmp_path / "recording", venue, {}, seed=1)
    archive_recording(tmp_path / "recording", tmp_path / "archives", FULL)
    run_etl(tmp_path / "archives", tmp_path / "bars", etl_settings())
    rows = with_row(client.closed)
    assert len(rows) >= 14
    assert rows[-1].bar.minute - rows[0].bar.minute == len(rows) - 1
    assert stored_bits(tmp_path / "bars") == bits(rows)


@pytest.mark.parametrize("fault", ["lost", *later("crossed", "reconnect", "corrupt", "echo")])
@pytest.mark.parametrize("at", [959, *later(960)])
def test_a_fault_at_midnight_costs_the_same_minutes(fault, at, tmp_path):
    """Message 959 is the last one of the day, in its last second."""
    for seed in (1, 10):  # by the second, the book stands again within the second of its loss
        folder = tmp_path / str(seed)
        venue = market("BTCUSDT", MIDNIGHT_MS - 480_000, 660, seed=8, drift=0.0)
        client = record(folder / "recording", venue, {at: fault}, seed=seed)
        archive_recording(folder / "recording", folder / "archives", FULL)
        run_etl(folder / "archives", folder / "bars", etl_settings())
        rows = with_row(client.closed)
        assert (len(rows) < 9) == (fault != "echo")
        assert stored_bits(folder / "bars") == bits(rows)


def test_of_a_message_whose_book_is_withdrawn_the_loss_is_written_and_no_change(tmp_path):
    """A snapshot that was ahead of the stream contradicts the book when that comes to it."""
    gone, new = [[f"{price}.0", "0"] for price in range(99, 88, -1)], [["85.0", "7"]]
    ahead = snapshot(5) | {"T": START + 5_000}
    messages = [
        event(1), event(2), snapshot(1), event(3, gone), ahead, event(4, new), event(5, new),
        event(6), snapshot(6), event(7, new),
    ]  # fmt: skip
    arrivals = [Arrival("opened", 0, b"")]
    for message in messages:
        kind = "snapshot" if "lastUpdateId" in message else "stream"
        arrivals.append(Arrival(kind, 0, json.dumps(message).encode()))
    recording = Recording(tmp_path, "BTCUSDT", iter(arrivals), has_answers=True)
    lines = [json.loads(line.text) for line in lines_of(recording, FULL)]
    told = [(line["type"], line["ts"] - START, len(line["data"]["b"])) for line in lines]
    assert told == [
        ("delta", 1_000, 0), ("delta", 2_000, 0), ("snapshot", 2_000, 20), ("delta", 3_000, 11),
        ("delta", 4_000, 1), ("delta", 5_000, 0), ("delta", 5_000, 0), ("delta", 6_000, 0),
        ("snapshot", 6_000, 20), ("delta", 7_000, 1),
    ]  # fmt: skip
    steps = np.diff([line["data"]["u"] for line in lines])
    assert steps.tolist() == [2, 1, 1, 1, 1, 2, 2, 1, 1], "a jump withdraws the book"


@pytest.mark.parametrize("number", ["0.0000001", "1e-7", "0.1", "1234567.00000001", "1e17", "8"])
def test_numbers_are_written_without_an_exponent_and_read_as_the_same(tmp_path, number):
    message = event(2, [["99.0", number], ["98.0", "3"]])
    arrivals = [Arrival("opened", 0, b"")]
    for kind, one in (("stream", event(1)), ("snapshot", snapshot(1)), ("stream", message)):
        arrivals.append(Arrival(kind, 0, json.dumps(one).encode()))
    recording = Recording(tmp_path, "BTCUSDT", iter(arrivals), has_answers=True)
    *_, last = lines_of(recording, FULL)
    [[_, size], *_] = json.loads(last.text)["data"]["b"]
    assert float(size) == float(number)
    assert set(size) <= set("0123456789.")


@pytest.mark.long
def test_a_clock_two_hours_back_after_midnight_gives_the_same_bars(tmp_path):
    venue = market("BTCUSDT", MIDNIGHT_MS - 180_000, 1_200, seed=8, drift=0.0)
    client = record(tmp_path / "recording", venue, {400: "clock -7200000", 900: "clock 0"}, seed=1)
    archive_recording(tmp_path / "recording", tmp_path / "archives", FULL)
    run_etl(tmp_path / "archives", tmp_path / "bars", etl_settings())
    assert stored_bits(tmp_path / "bars") == bits(with_row(client.closed))


@pytest.mark.long
@pytest.mark.parametrize("step_ms", [-2_000, *later(2_000, 3_600_000, -3_600_000)])
def test_an_exchange_whose_clock_steps_gives_the_same_bars(step_ms, tmp_path):
    """Three minutes before midnight, and back eight minutes after it."""
    venue = market("BTCUSDT", MIDNIGHT_MS - 480_000, 1_800, seed=8, drift=0.0)
    faults = {600: f"clock {step_ms}", 1_920: "clock 0", 2_900: "lost"}
    client = record(tmp_path / "recording", venue, faults, seed=1)
    archive_recording(tmp_path / "recording", tmp_path / "archives", FULL)
    run_etl(tmp_path / "archives", tmp_path / "bars", etl_settings())
    assert stored_bits(tmp_path / "bars") == bits(with_row(client.closed))


def test_an_archive_is_written_anew_when_the_recording_has_gone_on(tmp_path):
    folder, archives = tmp_path / "recording", tmp_path / "archives"
    venue = market("BTCUSDT", MIDNIGHT_MS, 120, seed=1, drift=0.0)
    record(folder, venue, {}, seed=2)
    (first,) = archive_recording(folder, archives, FULL)
    once = first.path.read_bytes()
    (again,) = archive_recording(folder, archives, FULL)
    assert again.path.read_bytes() == once
    later = market("BTCUSDT", MIDNIGHT_MS + 130_000, 120, seed=3, drift=0.0)
    record(folder, later, {}, seed=2)
    (longer,) = archive_recording(folder, archives, FULL)
    with zipfile.ZipFile(longer.path) as new, zipfile.ZipFile(io.BytesIO(once)) as old:
        name = longer.path.stem
        assert new.read(name).startswith(old.read(name))
        told = first.lines, again.lines, longer.lines
        held = [len(archive.read(name).splitlines()) for archive in (old, old, new)]
    assert list(told) == held
    assert longer.lines > first.lines > 0


def test_an_archive_of_other_content_stays_as_it_is(tmp_path):
    archives = tmp_path / "archives"
    for seed in (1, 2):
        venue = market("BTCUSDT", MIDNIGHT_MS, 60, seed=seed, drift=0.0)
        record(tmp_path / str(seed), venue, {}, seed=2)
    (archive,) = archive_recording(tmp_path / "1", archives, FULL)
    before = archive.path.read_bytes()
    with pytest.raises(RecordingArchiveError, match="holds other lines than this recording"):
        archive_recording(tmp_path / "2", archives, FULL)
    archive.path.write_bytes(before[:500])
    with pytest.raises(RecordingArchiveError, match="no archive of a recording"):
        archive_recording(tmp_path / "1", archives, FULL)
    assert list(archives.rglob("*.*")) == [archive.path]
    assert archive.path.read_bytes() == before[:500]


def test_the_command_archives_one_symbol_and_says_what_there_is(tmp_path):
    folder, archives = tmp_path / "recording", tmp_path / "archives"
    for symbol in ("BTCUSDT", "ETHUSDT"):
        record(folder, market(symbol, MIDNIGHT_MS, 30, seed=1, drift=0.0), {}, seed=2)
    given = ["--config", str(ROOT / "conf" / "full.yaml"), "--archives", str(archives)]
    done = CliRunner().invoke(main, [*given, "--recording", str(folder), "--symbol", "ETHUSDT"])
    assert done.exit_code == 0, done.output
    (written,) = archives.rglob("*.*")
    assert written.relative_to(archives) == Path("linear/ETHUSDT/2024-03-18_ETHUSDT_ob500.data.zip")
    unknown = CliRunner().invoke(main, [*given, "--recording", str(folder), "--symbol", "XRPUSDT"])
    assert unknown.exit_code == 1
    assert "XRPUSDT expected, there is BTCUSDT, ETHUSDT" in " ".join(unknown.output.split())
    absent = CliRunner().invoke(main, [*given, "--recording", str(tmp_path / "nothing")])
    assert absent.exit_code == 1
    assert "a recorded file or a folder of `collect` was expected" in absent.output
