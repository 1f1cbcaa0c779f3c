from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from quantgod.archive.etl import run_etl
from quantgod.archive.store import load_bars
from quantgod.contracts import BAR_COLUMNS
from quantgod.dataset.feature_file import read_features
from quantgod.live.driving import drive
from quantgod.live.journal import RAW, Journal
from quantgod.live.recording.archive import archive_recording
from quantgod.live.recording.arrivals import Arrival, RecordingError, open_recording
from quantgod.live.recording.replay import Replay, _write, replay
from quantgod.market.book_bars import BookBars
from quantgod.market.book_sync import BinanceBookSync
from quantgod.settings import load_settings
from steps.archive_recording import main as archive_command
from steps.replay import main
from tests.live.engine.markets import closed_at, whole

REAL = Path("../shared/data/binance_usdm_btcusdt_20240808.gz")
needs_real = pytest.mark.skipif(
    not REAL.exists(), reason="the real recording is not beside the project"
)
SETTINGS = load_settings(Path("conf/full.yaml"))
START = 28_400_000 * 60_000
BIDS = [[f"{price}.0", "1"] for price in range(99, 79, -1)]
ASKS = [[f"{price}.0", "2"] for price in range(101, 121)]


def event(number, bids=(), asks=(), *, symbol="BTCUSDT", previous=None):
    """One a second; `u` is ten times its number."""
    ids = {"U": 10 * number - 9, "u": 10 * number, "pu": previous or 10 * number - 10}
    sides = {"b": list(bids), "a": list(asks)}
    time = START + 1_000 * number
    data = {"e": "depthUpdate", "E": time, "T": time, "s": symbol, **ids, **sides}
    return {"stream": f"{symbol.lower()}@depth@100ms", "data": data}


def quote(number, bid="99.0", size="1", *, symbol="BTCUSDT"):
    sides = {"b": bid, "B": size, "a": "101.0", "A": "2"}
    data = {"e": "bookTicker", "u": 10 * number, "s": symbol, **sides, "T": START, "E": START}
    return {"stream": f"{symbol.lower()}@bookTicker", "data": data}


def snapshot(number):
    return {"lastUpdateId": 10 * number, "E": START, "T": START, "bids": BIDS, "asks": ASKS}


def sound(count=200):
    return [event(1), event(2), snapshot(1), *(event(number) for number in range(3, count))]


def text(messages) -> bytes:
    lines = [
        message if isinstance(message, bytes) else msgspec.json.encode(message)
        for message in messages
    ]
    return b"".join(b"%d %s\n" % (10**18 + place, line) for place, line in enumerate(lines))


def replayed(tmp_path, messages, **options):
    path = tmp_path / "recording"
    path.write_bytes(text(messages))
    return replay(open_recording(path, **options), tmp_path / "out", SETTINGS)


@pytest.mark.long
@needs_real
def test_the_real_recording_has_no_gap_no_crossed_book_and_every_best_quote(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "steps.replay", "--recording", str(REAL), "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads(run.stdout)
    assert (figures["symbol"], figures["messages_read"]) == ("BTCUSDT", 93_955)
    assert (figures["events_read"], figures["applied"], figures["dropped"]) == (
        6_551,
        6_545,
        {"no_book": 6},
    )
    assert (figures["gaps"], figures["crossed"], figures["resyncs"]) == (0, 0, 0)
    assert figures["best_quote"] == {"matched": 629, "compared": 629}
    assert (figures["minutes_closed"], figures["rows_written"]) == (6, 4)
    bars = pd.read_parquet(tmp_path / "bars.parquet")
    assert tuple(bars.columns) == BAR_COLUMNS
    assert bars.index[0] == pd.Timestamp("2024-08-08 23:56", tz="UTC")
    assert np.isfinite(bars.to_numpy()).all()


def test_rows_are_those_of_the_book_bars_that_were_driven(tmp_path):
    figures = replayed(tmp_path, sound())
    bars = BookBars(BinanceBookSync("BTCUSDT", 1_000, beyond_range=True), 5, 5)
    kinds = ["stream", "stream", "snapshot"] + ["stream"] * 197
    taken = [drive(bars, "opened", b"")]
    taken += map(
        lambda kind, message: drive(bars, kind, msgspec.json.encode(message)), kinds, sound()
    )
    minutes = [minute for each in taken for minute in each.closed]
    frame = pd.read_parquet(tmp_path / "out/bars.parquet")
    rows = [minute.bar for minute in minutes if minute.bar.features is not None]
    assert (
        (figures["minutes_closed"], figures["rows_written"]) == (len(minutes), len(rows)) == (3, 1)
    )
    assert frame.iloc[:, :9].to_numpy().tobytes() == rows[0].features.tobytes()
    assert frame["close"].tolist() == [rows[0].close]
    assert frame["bid_19_p"].tolist() == [80.0]
    assert frame["bid_20_p"].isna().all()


@pytest.mark.parametrize(("change", "lacking"), [([["98.0", "3"]], 0), ([["80.0", "0"]], 1)])
def test_rows_whose_snapshots_are_not_whole_are_counted(tmp_path, change, lacking):
    """Twenty levels are looked at, and as many are known; in the last second one is gone."""
    messages = [*sound(179), event(179, change), event(180)]
    figures = replayed(tmp_path, messages)
    assert figures["rows_written"] == 1
    assert figures["rows_without_whole_snapshots"] == lacking


def test_the_features_of_the_rows_are_those_of_the_stage(tmp_path, monkeypatch):
    """In groups that end within a stretch, and for a recording that closes nothing."""
    monkeypatch.setattr("quantgod.live.recording.replay._GROUP", 200)
    _write(tmp_path, map(closed_at, range(490)), SETTINGS.etl)
    found = read_features(tmp_path / "features.parquet")
    pd.testing.assert_frame_equal(found, whole().iloc[:490], check_exact=True, check_freq=False)
    assert np.isfinite(found.iloc[-1]).all()
    assert found.index.equals(pd.read_parquet(tmp_path / "bars.parquet").index)
    _write(tmp_path / "nothing", iter([]), SETTINGS.etl)
    assert read_features(tmp_path / "nothing" / "features.parquet").empty


def test_progress_is_told_every_few_messages_and_rates_are_those_of_the_time_it_took(
    tmp_path, monkeypatch
):
    path, told = tmp_path / "recording", []
    path.write_bytes(text([*sound(20), quote(19)]))
    monkeypatch.setattr("quantgod.live.recording.replay._TOLD_EVERY", 8)
    recording = open_recording(path)
    sync = BinanceBookSync(recording.symbol, 1_000, beyond_range=True)
    run = Replay(recording, sync, BookBars(sync, 5, 5))
    assert not [*run.rows(lambda *given: told.append(given))]
    assert told == [(done, 0, "messages") for done in (8, 16)] + [(22, 22, "messages")]
    figures = run.figures(4.0)
    assert (figures["messages_read"], figures["events_read"]) == (22, 19)
    assert (figures["messages_per_second"], figures["events_per_second"]) == (6, 5)
    assert figures["seconds"] == 4.0


def test_the_last_minute_is_closed_if_the_recording_reaches_its_last_second(tmp_path):
    assert replayed(tmp_path, sound(180))["minutes_closed"] == 3
    assert replayed(tmp_path, sound(179))["minutes_closed"] == 2


def test_quotes_are_compared_at_equal_ids_whichever_comes_first(tmp_path):
    messages = sound(20)
    messages[8:8] = [quote(8, "98.0"), quote(9), quote(7)]  # the book stands at event 7
    messages += [quote(19, size="3"), quote(18), quote(19, symbol="ETHUSDT")]
    figures = replayed(tmp_path, messages)
    assert figures["best_quote"] == {"matched": 2, "compared": 4}


def test_a_lost_event_is_counted_as_a_gap_and_the_next_snapshot_as_a_resync(tmp_path):
    messages = [*sound(10), event(12), event(13), snapshot(12), *map(event, range(14, 20))]
    figures = replayed(tmp_path, messages)
    assert (figures["gaps"], figures["resyncs"], figures["lost"]) == (1, 1, {"gap": 1})
    assert figures["dropped"] == {"no_book": 3}
    total = figures["applied"] + figures["gaps"] + figures["dropped"]["no_book"]
    assert figures["events_read"] == total == 17


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(("end", "beyond"), [(18, 0), (19, 0), (20, 1), (21, 1)])
def test_a_price_is_beyond_the_known_range_from_the_first_level_that_was_not_shown(
    tmp_path, side, end, beyond
):
    """The best price travels to the level number `end` of its side, of which 20 were shown."""
    prices = [(99 - place, 101 + place)[side] for place in range(30)]
    told = [[f"{price}.0", "1"] for price in prices[20:]], [[f"{p}.0", "0"] for p in prices[:end]]
    changes = [[level] if side == 0 else [[], level] for level in told]
    messages = [*sound(3), *(event(3 + place, *change) for place, change in enumerate(changes))]
    figures = replayed(tmp_path, [*messages, event(5)])
    assert figures["applied"] == 3
    assert figures["applied_beyond_known_range"] == 2 * beyond, "that event and the one after it"


def test_an_unreadable_message_costs_the_book_and_a_strangers_message_nothing(tmp_path):
    messages = [*sound(10), event(3, symbol="ETHUSDT"), b'{"stream":"x","da', event(10)]
    figures = replayed(tmp_path, messages)
    assert figures["lost"] == {"corrupt_json": 1}
    assert figures["events_read"] == 11


def test_a_packed_file_and_a_plain_one_give_the_same(tmp_path):
    plain, packed = tmp_path / "plain", tmp_path / "packed.gz"
    plain.write_bytes(text(sound()))
    packed.write_bytes(gzip.compress(text(sound())))
    arrivals = [list(open_recording(path).arrivals) for path in (plain, packed)]
    assert arrivals[0] == arrivals[1]
    assert arrivals[0][0] == Arrival("opened", 10**18, b"")
    assert arrivals[0][3].kind == "snapshot"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no depth event"),
        (b"not a recording\n", "line 1: receive time in ns"),
        (text(sound(9)) + b"{}\n", "line 10: receive time in ns"),
        (text([quote(1), {"result": None}]), "no depth event"),
        (gzip.compress(text(sound()))[:200], "unreadable after line"),
        (gzip.compress(text(sound()))[:-8] + b"12345678", "unreadable after line"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_by_name_and_leaves_nothing(
    tmp_path, content, complaint
):
    path, out = tmp_path / "recording", tmp_path / "out"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=complaint):
        replay(open_recording(path), out, SETTINGS)
    assert not out.exists() or not any(out.iterdir())
    run = CliRunner().invoke(main, ["--recording", str(path), "--out", str(out)])
    assert run.exit_code == 1
    assert complaint in run.output
    assert "Traceback" not in run.output


def test_a_collected_folder_is_replayed_as_it_was_heard(tmp_path):
    folder = tmp_path / "collected"
    journal = Journal(folder, {"RAW": RAW}, SETTINGS.live.journaling, lambda _: None)
    arrivals = [("closed", b""), ("opened", b"")]
    for message in sound():
        kind = "snapshot" if "lastUpdateId" in message else "stream"
        arrivals.append((kind, msgspec.json.encode(message)))
    for place, (kind, data) in enumerate(arrivals):
        for symbol in ("BTCUSDT", "ETHUSDT"):
            row = {"received_ns": place, "symbol": symbol, "kind": kind, "data": data}
            assert journal.append("RAW", row)
    journal.close()
    with pytest.raises(RecordingError, match="one symbol expected, there is BTCUSDT, ETHUSDT"):
        open_recording(folder)
    collected = replay(open_recording(folder, "BTCUSDT"), tmp_path / "a", SETTINGS)
    written = replayed(tmp_path, sound())
    times = ("seconds", "events_per_second", "messages_per_second")
    for figures in (collected, written):
        for name in times:
            figures.pop(name)
        figures.pop("messages_read")
    assert collected == written
    bars = [(tmp_path / name / "bars.parquet").read_bytes() for name in ("a", "out")]
    assert bars[0] == bars[1]


def test_a_folder_without_a_recording_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="BTCUSDT expected, there is none"):
        open_recording(tmp_path, "BTCUSDT")
    with pytest.raises(RecordingError, match="a recorded file or a folder"):
        open_recording(tmp_path / "absent")


def test_a_symbol_that_the_recording_does_not_hold_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(
        RecordingError, match="no depth event of ETHUSDT, but 199 depth events of BTCUSDT; 1"
    ):
        replayed(tmp_path, sound(), symbol="ETHUSDT")
    assert not list((tmp_path / "out").glob("*"))


SPOT = {"e": "depthUpdate", "E": START, "s": "BTCUSDT", "U": 1, "u": 2, "b": [["9", "1"]], "a": []}
SOCKET = {
    "topic": "orderbook.50.BTCUSDT", "type": "snapshot", "ts": START,
    "data": {"s": "BTCUSDT", "b": [["9", "1"]], "a": [], "u": 1, "seq": 2},
}  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([SPOT] * 3, "3 depth events of a spot market, without `pu`, of BTCUSDT"),
        ([{"stream": "x", "data": SPOT}, quote(1)], "1 depth event of a spot market, without `pu`"),
        ([SOCKET, b"x"], "1 order-book message of Bybit's socket (orderbook.50.BTCUSDT)"),
    ],
)  # fmt: skip
def test_a_recording_of_another_market_is_told_by_what_it_is(tmp_path, messages, found):
    """As a text file or a folder of `collect`, replayed or archived."""
    folder, path, out = tmp_path / "collected", tmp_path / "recording", tmp_path / "out"
    journal = Journal(folder, {"RAW": RAW}, SETTINGS.live.journaling, lambda _: None)
    for message in messages:
        data = message if isinstance(message, bytes) else msgspec.json.encode(message)
        row = {"received_ns": 1, "symbol": "BTCUSDT", "kind": "stream", "data": data}
        assert journal.append("RAW", row)
    journal.close()
    path.write_bytes(text(messages))
    for recording in (path, folder):
        for refused in (
            lambda: replay(open_recording(recording), out, SETTINGS),  # noqa: B023
            lambda: archive_recording(recording, out, SETTINGS),  # noqa: B023
            lambda: archive_recording(recording, out, SETTINGS, "BTCUSDT"),  # noqa: B023
        ):
            with pytest.raises(RecordingError, match=re.escape(found)) as told:
                refused()
            assert "Binance's USDⓈ-M futures are expected, which carry `pu`" in str(told.value)
    assert not list(out.glob("**/*.*"))


def with_bids(messages):
    """Each event changes the size of the best bid."""
    for number, message in enumerate(messages):
        if "data" in message:
            message["data"]["b"] = [["99.0", str(1 + number)]]
    return messages


def times_twenty(message):
    """The same of a symbol that costs more; ids are counted over all symbols."""
    inner = message.get("data", message)
    sides = {
        name: [[f"{20 * float(price):.1f}", size] for price, size in inner[name]]
        for name in inner.keys() & {"b", "a", "bids", "asks"}
    }
    changed = inner | sides
    return changed if "bids" in inner else {"data": changed | {"s": "ETHUSDT"}}


@pytest.mark.parametrize("other_first", [False, True])
def test_of_a_text_file_of_two_symbols_archives_give_the_rows_of_replay(tmp_path, other_first):
    """All symbols are archived where none is named; snapshots do not say whose they are."""
    both = [[message, times_twenty(message)] for message in with_bids(sound())]
    messages = [one for pair in both for one in (pair[::-1] if other_first else pair)]
    path = tmp_path / "recording"
    path.write_bytes(text(messages))
    given = [
        "--config",
        "conf/full.yaml",
        "--recording",
        str(path),
        "--archives",
        str(tmp_path / "archives"),
    ]
    done = CliRunner().invoke(archive_command, given)
    assert done.exit_code == 0, done.output
    written = (tmp_path / "archives").rglob("*.zip")
    assert {archive.parent.name for archive in written} == {"BTCUSDT", "ETHUSDT"}
    for symbol, price in (("BTCUSDT", 100.0), ("ETHUSDT", 2_000.0)):
        figures = replayed(tmp_path, messages, symbol=symbol)
        assert (figures["rows_written"], figures["gaps"]) == (1, 0)
        etl = SETTINGS.etl.model_copy(update={"workers": 1})
        run_etl(tmp_path / "archives", tmp_path / "bars", etl, symbol=symbol)
        frame = load_bars(tmp_path / "bars", symbol, BAR_COLUMNS)
        pd.testing.assert_frame_equal(frame, pd.read_parquet(tmp_path / "out" / "bars.parquet"))
        assert frame["close"].tolist() == pytest.approx([price], rel=0.01)
        assert frame["bid_1_p"].tolist() == [0.98 * price]
