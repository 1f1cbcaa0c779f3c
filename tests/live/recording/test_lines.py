"""The lines of an archive, one by one; and what a new archive may begin with."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from quantgod.archive.day_reading import MARGIN_MS
from quantgod.contracts import MS_PER_DAY, BookUpdate
from quantgod.live.recording import archive as archiving
from quantgod.live.recording.archive import (
    IDS_PER_DAY,
    RecordingArchiveError,
    _Continuation,
    _LineWriter,
    archive_recording,
)
from quantgod.market.minute_kernel import CLOCK
from quantgod.market.sync_events import Change, Event, Extension, NeedSnapshot, OutOfSync, Sync
from tests.archive.feeds import FULL
from tests.live.recording.recorded import market, record

DAY = 19_800
MIDNIGHT = DAY * 86_400
GAP, RESET, AWAY = OutOfSync("gap", ""), OutOfSync("sequence_reset", ""), OutOfSync("crossed", "")
BOOK = SimpleNamespace(top=lambda: ([(9.0, 1.0)], [(10.0, 2.0)]))


class Bars:
    """A reader's clock, in seconds, and whether a book stands."""

    def __init__(self, clock: int, book: Any = BOOK) -> None:
        self.bars = SimpleNamespace(integers={CLOCK: clock})
        self.book = book


class Writer:
    """The lines of a symbol, as short as they can be told."""

    def __init__(self, clock: int = MIDNIGHT, book: Any = BOOK) -> None:
        self.bars = Bars(clock, book)
        self.writer = _LineWriter("X", self.bars)  # type: ignore[arg-type]

    def at(self, clock: int, *events: Event, book: Any = BOOK) -> list[tuple[str, int, int]]:
        """Kind, milliseconds after midnight and place of each line at a second after midnight."""
        self.bars.bars.integers[CLOCK], self.bars.book = MIDNIGHT + clock, book
        told = []
        for line in self.writer.lines([*events]):
            read = json.loads(line.text)
            assert read["topic"] == "orderbook.500.X"
            assert read["ts"] == read["cts"]
            place = read["data"]["u"] - DAY * IDS_PER_DAY
            told.append((read["type"], read["ts"] - 1_000 * MIDNIGHT, place))
        return told


def change(ms: int) -> Change:
    return Change(BookUpdate("X", 1_000 * MIDNIGHT + ms, False, 77, [(9.0, 3.0)], []))


def test_a_day_begins_with_the_whole_book_and_goes_on_with_changes() -> None:
    writer = Writer()
    (line,) = writer.writer.lines([change(500)])
    assert line.day == DAY
    ts = 1_000 * MIDNIGHT + 500
    assert json.loads(line.text) == {
        **{"topic": "orderbook.500.X", "type": "snapshot", "ts": ts, "cts": ts},
        "data": {
            **{"s": "X", "b": [["9.0", "1.0"]], "a": [["10.0", "2.0"]]},
            **{"u": DAY * IDS_PER_DAY + 1, "seq": 77},
        },
    }
    assert writer.at(0, Sync(change(600).update), NeedSnapshot("edge")) == [("delta", 600, 2)]
    assert writer.at(1, Extension(change(1_000).update)) == [("delta", 1_000, 3)]
    assert writer.at(1) == [], "a book stands, and nothing changed"


@pytest.mark.parametrize("loss", [GAP, RESET])
def test_a_loss_by_missing_messages_has_the_time_of_the_last_line(loss: OutOfSync) -> None:
    writer = Writer()
    assert writer.at(5, change(5_000)) == [("snapshot", 5_000, 1)]
    told = writer.at(9, loss, book=None)
    assert told == [("delta", 5_000, 3), ("delta", 9_000, 5)]


def test_another_loss_lets_the_minute_close_first() -> None:
    writer = Writer()
    assert writer.at(5, change(5_000)) == [("snapshot", 5_000, 1)]
    assert writer.at(9, AWAY, book=None) == [("delta", 9_000, 2), ("delta", 9_000, 4)]


def test_of_several_losses_the_first_one_counts_and_only_what_follows_the_last_is_written() -> None:
    writer = Writer()
    writer.at(5, change(5_000))
    told = writer.at(9, change(6_000), AWAY, change(7_000), GAP, change(8_000), change(9_000))
    assert told == [
        ("delta", 9_000, 2),
        ("delta", 9_000, 4),
        ("delta", 8_000, 5),
        ("delta", 9_000, 6),
    ]
    told = writer.at(12, GAP, AWAY, book=None)
    assert told == [("delta", 9_000, 8), ("delta", 12_000, 10)]


def test_without_a_book_each_new_second_is_told_once() -> None:
    writer = Writer()
    writer.at(5, AWAY, book=None)
    assert writer.at(5, book=None) == []
    assert writer.at(6, book=None) == [("delta", 6_000, 5)]
    assert writer.at(6, book=None) == []
    assert writer.at(4, book=None) == [], "a clock that goes back says nothing"
    assert writer.at(9, book=BOOK) == []


def test_before_a_reader_has_a_clock_there_is_nothing_to_withdraw() -> None:
    writer = Writer(clock=-1, book=None)
    assert list(writer.writer.lines([GAP, AWAY])) == []
    for clock, count in ((-1, 0), (0, 1), (1, 1)):
        writer = Writer(clock=clock, book=None)
        assert len(list(writer.writer.lines([]))) == count, clock


def test_a_time_a_day_off_is_the_clocks_and_one_less_far_its_own() -> None:
    for off in (-MS_PER_DAY, MS_PER_DAY, 9 * MS_PER_DAY):
        assert Writer().at(5, change(5_000 + off)) == [("snapshot", 5_000, 1)]
    (line,) = Writer(MIDNIGHT + 5).writer.lines([change(5_000 + MS_PER_DAY - 1)])
    assert line.day == DAY + 1
    (line,) = Writer(MIDNIGHT + 5).writer.lines([change(5_000 - MS_PER_DAY + 1)])
    assert line.day == DAY - 1


def test_a_day_goes_on_when_the_clock_goes_back_and_its_times_keep_the_margin() -> None:
    writer = Writer()
    assert writer.at(5, change(0)) == [("snapshot", 0, 1)]
    assert writer.at(5, change(-1)) == [("delta", -1, 2)]
    assert writer.at(5, change(-MARGIN_MS - 7)) == [("delta", -MARGIN_MS, 3)]
    (line,) = writer.writer.lines([change(MS_PER_DAY)])
    assert (line.day, json.loads(line.text)["data"]["u"]) == (DAY + 1, (DAY + 1) * IDS_PER_DAY + 1)


@pytest.mark.parametrize(
    ("before", "is_refused"),
    [
        (None, False), ((0, 0), False), ((2, 9), False),
        ((1, 0), True), ((0, 1), True), ((-1, 0), True), ((0, -1), True), ((1, 9), True),
    ],
)  # fmt: skip
def test_a_new_archive_begins_with_the_lines_of_the_old_one(
    before: tuple[int, int] | None, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [b"ab", b"cd"]
    crc = archiving.zlib.crc32(b"ab")
    known = (before[0], crc) if before and before[1] == 9 else before  # 9 stands for the true one
    monkeypatch.setattr(archiving, "_size_and_crc", lambda path, limits: known)
    content = _Continuation(Path("x.zip"), FULL.etl.limits)
    if is_refused:
        with pytest.raises(RecordingArchiveError, match="holds other lines"):
            list(content.of(lines))
    else:
        assert list(content.of(lines)) == lines
        assert content.lines == 2


def test_progress_is_told_after_each_day(tmp_path: Path) -> None:
    venue = market("BTCUSDT", 1_000 * MIDNIGHT - 30_000, 60, seed=1, drift=0.0)
    record(tmp_path / "recording", venue, {}, seed=2)
    told: list[tuple[object, ...]] = []
    done = archive_recording(
        tmp_path / "recording", tmp_path / "out", FULL, progress=lambda *given: told.append(given)
    )
    assert told == [(1, 0, done[0].path.name), (2, 0, done[1].path.name)]
