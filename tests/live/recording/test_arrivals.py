"""Lines of a recorded file, whose a message is, and words for what cannot be replayed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from quantgod.live.feed.notices import Notice
from quantgod.live.journal import RAW, Journal
from quantgod.live.recording import arrivals as arriving
from quantgod.live.recording.arrivals import (
    Arrival,
    Recording,
    RecordingError,
    _arrival,
    open_recording,
    recorded_symbols,
)
from quantgod.live.recording.foreign import what_came
from quantgod.live.recording.inventory import held_recordings
from quantgod.live.recording.recorder import Recorder
from quantgod.live.recording.replay import QuoteCheck, Replay, _told, replay
from quantgod.live.recording.session import CollectSession, _LoggedRecorder
from quantgod.market.binance import BestQuote, DepthEvent
from quantgod.market.book_bars import BookBars, Effect
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.sync_events import NeedSnapshot, OutOfSync, Sync
from tests.live.engine.answering import minute_of, minute_without
from tests.live.recording.recorded import COLLECT, JOURNALING
from tests.live.recording.test_replay import SETTINGS, event, quote, snapshot, sound, text

BTC, ETH = "BTCUSDT", "ETHUSDT"


def data_of(message: Any) -> bytes:
    return json.dumps(message).encode()


def test_blank_lines_count_and_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    lines = text(sound(4)).splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\n  \n" + b"".join(lines[1:]))
    read = [arrival.kind for arrival in open_recording(path).arrivals]
    assert read == ["opened", "stream", "stream", "snapshot", "stream"]
    path.write_bytes(path.read_bytes() + b"\nx\n")
    with pytest.raises(RecordingError, match="line 8: receive time"):
        open_recording(path)


def test_an_archive_is_called_one_and_the_step_that_reads_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "2024-01-01_BTCUSDT_ob200.data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("day", text(sound(4)))
    with pytest.raises(RecordingError, match=r"zip, as archives.*by `python -m steps\.etl`"):
        open_recording(path)


@pytest.mark.parametrize("line", [b"1 {}\n", b"9223372036854775807 {}", b"0 x y\n"])
def test_a_line_is_a_time_of_at_most_nineteen_digits_a_space_and_a_message(line: bytes) -> None:
    stamp, _, rest = line.partition(b" ")
    assert _arrival(line, "here") == Arrival("stream", int(stamp), rest.strip())


@pytest.mark.parametrize(
    "line", [b"12345678901234567890 {}", b"-1 {}", b"1", b"1 ", b" {}", b"1\t{}"]
)
def test_another_line_is_refused_by_its_place(line: bytes) -> None:
    with pytest.raises(RecordingError, match="here: receive time in ns, a space and JSON expected"):
        _arrival(line, "here")


def test_a_line_is_as_long_as_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "LINE_BYTES", 8)
    assert _arrival(b"1 {a:b}", "here").data == b"{a:b}"
    with pytest.raises(RecordingError, match="8 bytes and no end of the line"):
        _arrival(b"1 {a:bc}", "here")


def of_two(symbol: str = BTC, **prices: float) -> Recording:
    return Recording(Path(), symbol, iter([]), has_answers=False, prices=prices)


def bids(*prices: float) -> bytes:
    shown = snapshot(5) | {"bids": [[str(price), "1"] for price in prices]}
    return data_of(shown)


@pytest.mark.parametrize(
    ("recording", "data", "is_others"),
    [
        (of_two(BTCUSDT=100.0, ETHUSDT=1_000.0), bids(120.0, 1.0), False),
        (of_two(BTCUSDT=100.0, ETHUSDT=1_000.0), bids(900.0, 1.0), True),
        (of_two(BTCUSDT=100.0, ETHUSDT=1_000.0), bids(5_000.0), True),
        (of_two(BTCUSDT=1_000.0, ETHUSDT=100.0), bids(120.0, 9_000.0), True),
        (of_two(BTCUSDT=1_000.0, ETHUSDT=100.0), bids(9_000.0), False),
        (of_two(BTCUSDT=100.0, ETHUSDT=1_000.0), bids(), False),
        (of_two(BTCUSDT=100.0, ETHUSDT=1_000.0), b'{"lastUpdateId":', False),
        (of_two(ETHUSDT=1_000.0), bids(900.0), False),
        (of_two(), bids(900.0), False),
    ],
)  # fmt: skip
def test_a_snapshot_is_of_the_symbol_whose_price_is_nearest(
    recording: Recording, data: bytes, is_others: bool
) -> None:
    assert recording._is_of_another(data) is is_others
    bars = BookBars(BinanceBookSync(BTC, 100), 5, 5)
    bars.connected()
    taken = recording.drive(bars, Arrival("snapshot", 1, data))
    assert bool(taken.events) is not is_others


def test_prices_follow_the_events_of_all_symbols() -> None:
    recording = of_two(BTCUSDT=100.0, ETHUSDT=1_000.0)
    messages = [event(1, [["900.0", "1"], ["899.0", "2"]]), event(1, [["5000.0", "1"]], symbol=ETH)]
    messages += [quote(1), quote(1, symbol=ETH), event(2, symbol=ETH)]
    read = [recording.read(Arrival("stream", 1, data_of(message))) for message in messages]
    assert recording.prices == {BTC: 900.0, ETH: 5_000.0}
    assert [type(one) for one in read[:3]] == [DepthEvent, type(None), BestQuote]
    assert read[3:] == [None, None]
    assert not recording._is_of_another(bids(900.0))
    alone = of_two(BTCUSDT=100.0)
    assert alone.read(Arrival("stream", 1, data_of(messages[0]))) is not None
    assert alone.read(Arrival("stream", 1, b"{")) is not None, "an error is anybody's"


def collected(folder: Path, *rows: tuple[str, int, str, bytes]) -> Path:
    with Journal(folder, {"RAW": RAW}, JOURNALING) as journal:
        for symbol, received_ns, kind, data in rows:
            row = {"received_ns": received_ns, "symbol": symbol, "kind": kind, "data": data}
            assert journal.append("RAW", row)
    return folder


def test_a_folder_of_one_symbol_is_that_symbols_and_nobody_elses(tmp_path: Path) -> None:
    folder = collected(tmp_path, (BTC, 3, "stream", b"x"), (BTC, 4, "closed", b""))
    recording = open_recording(folder)
    assert (recording.symbol, recording.has_answers, recording.prices) == (BTC, True, {})
    assert list(recording.arrivals) == [Arrival("stream", 3, b"x"), Arrival("closed", 4, b"")]
    assert open_recording(folder, BTC).symbol == BTC
    with pytest.raises(RecordingError, match=f"{ETH} expected, there is {BTC}$"):
        open_recording(folder, ETH)
    assert recorded_symbols(folder) == [BTC]


def test_minutes_of_a_recording_are_counted_by_symbol(tmp_path: Path) -> None:
    minute = 60 * 10**9
    rows = [(BTC, at, "stream", b"") for at in (0, 1, minute - 1, minute, 7 * minute)]
    collected(tmp_path / "raw-a", *rows, (ETH, 3 * minute, "stream", b""))
    (tmp_path / "raw-b" / "RAW").mkdir(parents=True)
    (tmp_path / "raw-b" / "RAW" / "000001-000001.parquet").write_text("spoilt")
    (tmp_path / "other").mkdir()
    (tmp_path / "raw-c").touch()
    held = held_recordings(tmp_path / "raw-{exchange}")
    told = [(one.market, one.symbol, one.days, one.coverage) for one in held]
    assert told == [("raw-a", BTC, 1, 0.375), ("raw-a", ETH, 1, 1.0), ("raw-b", "", 0, 0.0)]
    assert "no readable Parquet file" in held[2].note


WRAPPED = {"stream": "x", "data": {"e": "depthUpdate", "s": "A", "pu": 1}}


@pytest.mark.parametrize(
    ("message", "one", "two"),
    [
        (b"what", "1 message that is no JSON", "2 messages that are no JSON"),
        (b"\xff", "1 message that is no JSON", "2 messages that are no JSON"),
        (
            data_of({"topic": "orderbook.50.A"}),
            "1 order-book message of Bybit's socket (orderbook.50.A)",
            "2 order-book messages of Bybit's socket (orderbook.50.A)",
        ),
        (
            data_of({"e": "depthUpdate"}),
            "1 depth event of a spot market, without `pu`, of no symbol",
            "2 depth events of a spot market, without `pu`, of no symbol",
        ),
        (data_of(WRAPPED), "1 depth event of A", "2 depth events of A"),
        (
            data_of({"e": "depthUpdate", "pu": 0}),
            "1 depth event of no symbol",
            "2 depth events of no symbol",
        ),
        (data_of({"lastUpdateId": 0}), "1 snapshot", "2 snapshots"),
        (data_of({"e": "trade", "pu": 1}), "1 other message (trade)", "2 other messages (trade)"),
        (data_of({"e": "trade"}), "1 other message (trade)", "2 other messages (trade)"),
        (data_of({"topic": "trades"}), "1 other message", "2 other messages"),
        (data_of({"data": {}, "e": "new"}), "1 other message (new)", "2 other messages (new)"),
    ],
)  # fmt: skip
def test_what_came_is_told_by_venue_and_kind(message: bytes, one: str, two: str) -> None:
    assert what_came([message]) == one
    assert what_came([message, message]) == two
    assert what_came([]) == "no message"


class Room:
    """A journal that may be full."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Any]]] = []
        self.is_full = False

    def append(self, table: str, row: Any) -> bool:
        if not self.is_full:
            self.rows.append((table, dict(row)))
        return not self.is_full


def test_a_hole_stays_one_until_a_book_stands_again_and_events_are_told_as_they_were() -> None:
    room: Any = Room()
    bars = BookBars(BinanceBookSync(BTC, 100), 5, 5)
    recorder = Recorder(room, {BTC: bars}, COLLECT)
    recorder.notice(Notice("info", "connected", (BTC, ETH), "open"))
    room.is_full = True
    recorder.raw(BTC, "opened", 5, b"")
    room.is_full = False
    recorder.raw(BTC, "stream", 6, b"x")
    recorder.raw(BTC, "stream", 7, b"y")
    kinds = [(row["kind"], row["received_ns"]) for table, row in room.rows if table == "RAW"]
    assert kinds[1:] == [("stream", 6), ("stream", 7)], "there is no book to begin with"
    lost = OutOfSync("gap", "7 expected")
    recorder.taken(BTC, Effect([lost, NeedSnapshot("lost")], []), 0.0)
    recorder.notice(Notice("warning", "silence", (BTC,), "quiet"))
    events = [row for table, row in room.rows if table == "EVENTS"]
    told = [
        tuple(row[name] for name in ("received_ns", "symbol", "kind", "code", "detail"))
        for row in events
    ]
    assert told == [
        (0, "BTCUSDT,ETHUSDT", "feed", "connected", "open"),
        (7, BTC, "out_of_sync", "gap", "7 expected"),
        *[one for one in told if one[3] == "lost"],
        (7, BTC, "feed", "silence", "quiet"),
    ]
    Recorder(room, {}, COLLECT).notice(Notice("info", "connected", (), "open"))
    assert room.rows[-1][1]["received_ns"] == 0


class At:
    """A book of one level at an id."""

    def __init__(self, last: int, bid: float = 9.0) -> None:
        self.sync = SimpleNamespace(last_update_id=last)
        self.book = SimpleNamespace(top=lambda count: ([(bid, 1.0)], [(10.0, 2.0)][:count]))


def best(number: int, bid: float = 9.0) -> Any:
    return SimpleNamespace(update_id=number, bid=(bid, 1.0), ask=(10.0, 2.0))


def test_quotes_wait_for_the_book_of_their_id_and_are_passed_over_by_a_later_one() -> None:
    check: Any = QuoteCheck()
    assert (check.matched, check.compared) == (0, 0)
    check.quote(best(4), At(5))
    check.quote(best(5), At(5))
    check.quote(best(5, bid=8.0), At(5))
    assert (check.matched, check.compared) == (1, 2)
    for number in (6, 7, 8, 12):
        check.quote(best(number), At(5))
    check.book(At(5))
    assert check.compared == 2
    check.book(At(8))
    assert (check.matched, check.compared) == (2, 3)
    check.book(At(11))
    assert check.compared == 3
    check.book(At(12, bid=1.0))
    assert (check.matched, check.compared) == (2, 4)
    nothing = SimpleNamespace(sync=SimpleNamespace(last_update_id=13), book=None)
    check.quote(best(13), nothing)
    assert check.compared == 4


def test_figures_of_a_recording_without_a_book(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(text([event(1), event(2)]))
    recording = open_recording(path)
    sync = BinanceBookSync(BTC, 100, beyond_range=True)
    run = Replay(recording, sync, BookBars(sync, 5, 5))
    assert run._is_beyond() is False
    assert list(run.rows()) == []
    figures = run.figures(1.23456)
    assert (figures["seconds"], figures["resyncs"], figures["applied"]) == (1.235, 0, 0)
    assert figures["dropped"] == {"no_book": 2}
    told: list[tuple[object, ...]] = []
    assert list(_told(iter([]), lambda *given: told.append(given))) == []
    assert told == [(0, 0, "messages")]


def test_a_replay_tells_the_time_that_it_took_and_writes_no_dictionaries(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(text(sound(200)))
    figures = replay(open_recording(path), tmp_path / "out", SETTINGS)
    assert 0.0 <= figures["seconds"] < 300.0
    with pq.ParquetFile(tmp_path / "out" / "bars.parquet") as written:
        column = written.metadata.row_group(0).column(0)
        assert not any("DICT" in str(one) for one in column.encodings)


def test_a_recordings_status_is_that_of_its_books(monkeypatch: pytest.MonkeyPatch) -> None:
    room: Any = Room()
    room.state = lambda: SimpleNamespace(tables={}, troubles={})
    session = CollectSession(SETTINGS, SETTINGS.live.feed, room)
    session._lag = SimpleNamespace(quantile=lambda share: share)  # type: ignore[assignment]
    session._listener.blockless[BTC] += 2
    status = session.status()
    assert status.loop_lag_ms == 990.0
    one = status.symbols[0]
    assert (one.last_bar, one.missing, one.signal, one.blockless) == ("", 0, "", 2)
    assert one.book.endswith(", 2 minutes without whole snapshots")
    assert (status.note, status.journal) == ("", "0 rows")


def test_a_recorder_that_logs_counts_rows_whose_snapshots_are_not_whole() -> None:
    recorder: Any = SimpleNamespace(raw=None, taken=lambda *_: None)
    logged, books = _LoggedRecorder(recorder), np.ones((3, 2, 2, 2))
    whole, lacking = (minute_of(1)._replace(snapshots=one) for one in (books, np.nan * books))
    logged.taken(BTC, Effect([], [whole, lacking, minute_of(2), minute_without(3)]), 0.0)
    assert logged.blockless == {BTC: 2}


def test_a_recorder_that_logs_keeps_the_last_trouble() -> None:
    told: list[str] = []
    recorder: Any = SimpleNamespace(
        raw=None, taken=lambda *_: told.append("taken"), notice=lambda _: told.append("notice")
    )
    logged = _LoggedRecorder(recorder)
    update: Any = SimpleNamespace(bids=[], asks=[], ts=1)
    logged.taken(BTC, Effect([Sync(update), OutOfSync("disconnected", "end")], []), 0.0)
    assert logged.last_trouble == ""
    logged.notice(Notice("info", "connected", (BTC,), "open"))
    assert logged.last_trouble == ""
    logged.taken(BTC, Effect([OutOfSync("gap", "7 expected")], []), 0.0)
    assert logged.last_trouble == "gap: BTCUSDT: the book is withdrawn: 7 expected"
    logged.notice(Notice("warning", "silence", (BTC,), "quiet"))
    assert logged.last_trouble == "silence: quiet"
    assert told == ["taken", "notice", "taken", "notice"]
