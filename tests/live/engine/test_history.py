"""What earlier runs left, through a real journal and a real store."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantgod.archive.store import StoreError, day_path, write_day
from quantgod.contracts import BookUpdate
from quantgod.live.engine.engine import Engine
from quantgod.live.engine.history import History, read_history
from quantgod.live.engine.window import Window
from quantgod.live.journal import BARS, SIGNALS, Journal
from quantgod.market.book import OrderBook
from quantgod.market.book_bars import ClosedMinute
from quantgod.market.minute_bars import MinuteBars
from quantgod.market.minute_kernel import GAP
from quantgod.settings import load_settings
from tests.archive.test_store import DAY, MIDNIGHT, metadata, rows
from tests.live.engine.answering import Deployed, Version, minute_of, minute_without, now
from tests.market.test_minute_bars import MINUTE, START, random_market

SETTINGS = load_settings(Path("conf/demo.yaml"))
TABLES = {"BARS": BARS, "SIGNALS": SIGNALS}
BRIDGE, KEPT = 5, 100


def journal_minutes(folder: Path, symbol: str, minutes: list[ClosedMinute]) -> None:
    """Let an engine without a model to speak of journal these minutes."""

    async def play(journal: Journal) -> None:
        windows = {symbol: Window(BRIDGE, KEPT)}
        engine = Engine(
            windows, dict.fromkeys(windows, Deployed(Version(1, window=KEPT))), journal, print
        )
        for minute in minutes:
            engine.closed(symbol, minute, now())

    with Journal(folder, TABLES, SETTINGS.live.journaling) as journal:
        asyncio.run(play(journal))


def closed_minutes(
    updates: list[BookUpdate], bars: MinuteBars, window: Window
) -> list[ClosedMinute]:
    """Drive the kernel as the live path does; the stream ends, and its open minute is lost."""
    book, closed = OrderBook(), []
    for update in updates:
        for bar in bars.advance(update.ts, book if book.bids else None):
            window.close(bar.minute, bar.features)
            closed.append(
                ClosedMinute(bar, *(book.top() if bar.features is not None else ([], [])))
            )
        book.apply(update)
        bars.record(update.ts, book)
    bars.mark(GAP)
    return closed


def resumed(history: History, first: int) -> tuple[MinuteBars, Window]:
    bars, window = MinuteBars(5, BRIDGE), Window(BRIDGE, KEPT)
    window.fill(history.rows)
    left = history.last_before(first)
    if left is not None:
        bars.resume(*left)
    return bars, window


@pytest.mark.parametrize("away", [1, 3, 4, 5, 20])
def test_a_restart_goes_on_as_if_the_process_had_only_been_deaf(tmp_path: Path, away: int) -> None:
    """The same stream with a hole: in one process, and in two with a journal between them."""
    stream = random_market(seed=away, minutes=40)
    left = START + 12 * 60_000
    back = left + away * 60_000
    closing = next(place for place, update in enumerate(stream) if update.ts >= left)
    before = stream[: closing + 1]  # it lives to see its last minute close
    after = [update for update in stream if update.ts >= back]

    whole_bars, whole = MinuteBars(5, BRIDGE), Window(BRIDGE, KEPT)
    closed_minutes([*before, *after], whole_bars, whole)

    first_run = closed_minutes(before, MinuteBars(5, BRIDGE), Window(BRIDGE, KEPT))
    journal_minutes(tmp_path, "X", first_run)
    history = read_history("X", tmp_path)
    bars, window = resumed(history, after[0].ts // 60_000)
    closed_minutes(after, bars, window)

    count = KEPT - whole.missing(KEPT)
    assert KEPT - window.missing(KEPT) == count
    for mine, other in zip(window.newest(count), whole.newest(count), strict=True):
        assert np.array_equal(mine, other)
    joined = away + 1 <= BRIDGE  # the minute that the process came back in is lost as well
    assert (window.newest(count).minutes[0] < MINUTE + 12) == joined


def test_a_replay_does_not_see_its_own_future(tmp_path: Path) -> None:
    """The journal holds the very day that is played again, and the day before it."""
    stream = random_market(seed=3, minutes=30)
    yesterday = [minute_of(MINUTE - back) for back in range(20, 0, -1)]
    played = closed_minutes(stream, MinuteBars(5, BRIDGE), Window(BRIDGE, KEPT))
    journal_minutes(tmp_path, "X", [*yesterday, *played])
    history = read_history("X", tmp_path)
    assert history.minutes[-1] > MINUTE + 20
    assert history.last_before(MINUTE) == (MINUTE - 1, 100.5)
    bars, window = resumed(history, MINUTE)
    again = closed_minutes(stream[: len(stream) // 2], bars, window)
    known = KEPT - window.missing(KEPT)
    minutes = window.newest(known).minutes
    lived = [one.bar.minute for one in again if one.bar.features is not None]
    assert minutes.tolist() == [*range(MINUTE - 20, MINUTE), *lived]


def test_a_close_that_lies_in_the_future_is_no_previous_close() -> None:
    stream = random_market(seed=5, minutes=6)
    bars = MinuteBars(5, BRIDGE)
    bars.resume(MINUTE + 3, 1.0)
    told = closed_minutes(stream, bars, Window(BRIDGE, KEPT))
    plain = closed_minutes(stream, MinuteBars(5, BRIDGE), Window(BRIDGE, KEPT))
    assert [one.bar.reason for one in told] == [one.bar.reason for one in plain]
    for one, other in zip(told, plain, strict=True):
        assert np.array_equal(one.bar.close, other.bar.close, equal_nan=True)
        if one.bar.features is not None and other.bar.features is not None:
            assert np.array_equal(one.bar.features, other.bar.features)


def test_only_rows_of_the_symbol_are_taken_and_of_two_runs_the_newer_one(tmp_path: Path) -> None:
    journal_minutes(tmp_path, "X", [minute_of(1), minute_without(2), minute_of(3)])
    journal_minutes(tmp_path, "Y", [minute_of(4)])
    journal_minutes(tmp_path, "X", [minute_of(3, np.full(9, 0.5)), minute_of(5)])
    history = read_history("X", tmp_path)
    assert history.minutes.tolist() == [1, 3, 5]
    assert history.features[1].tolist() == [0.5] * 9
    assert read_history("X", tmp_path, since=4).minutes.tolist() == [5]
    assert not len(read_history("Z", tmp_path).minutes)
    assert read_history("Z", tmp_path / "nothing").last_before(9) is None


def test_of_a_minute_that_store_and_journal_have_the_journals_row_stands(tmp_path: Path) -> None:
    stored = rows(60)
    write_day(day_path(tmp_path / "bars", "BTCUSDT", DAY), stored, metadata(), "snappy")
    own = [minute_of(MIDNIGHT + 59, np.full(9, 0.5)), minute_of(MIDNIGHT + 60)]
    journal_minutes(tmp_path / "live", "BTCUSDT", own)
    history = read_history("BTCUSDT", tmp_path / "live", tmp_path / "bars")
    assert history.minutes.tolist() == list(range(MIDNIGHT, MIDNIGHT + 61))
    assert np.array_equal(history.features[:59], stored.features[:59])
    assert history.features[59].tolist() == [0.5] * 9
    assert history.close[58] == stored.close[58]
    assert history.close[59] == 100.5


def test_a_store_without_the_symbol_is_named(tmp_path: Path) -> None:
    write_day(day_path(tmp_path, "BTCUSDT", dt.date(2024, 1, 1)), rows(3), metadata(), "snappy")
    with pytest.raises(StoreError, match=r"no bars of ETHUSDT .* it holds BTCUSDT"):
        read_history("ETHUSDT", tmp_path / "live", tmp_path)


def test_candles_are_no_past_of_a_book(tmp_path: Path) -> None:
    candles = replace(metadata(), lacks=("volatility",))
    write_day(day_path(tmp_path, "BTCUSDT", DAY), rows(3), candles, "snappy")
    with pytest.raises(
        StoreError, match=r"holds BTCUSDT \(linear, candles\), from which no book's"
    ):
        read_history("BTCUSDT", tmp_path / "live", tmp_path)


def test_the_last_minute_before_another_is_the_last_that_is_earlier() -> None:
    history = History(
        np.array([3, 5, 9]), np.arange(27.0).reshape(3, 9), np.array([30.0, 50.0, 90.0])
    )
    found = {minute: history.last_before(minute) for minute in (0, 3, 4, 5, 6, 9, 10)}
    assert found == {
        0: None, 3: None, 4: (3, 30.0), 5: (3, 30.0), 6: (5, 50.0), 9: (5, 50.0), 10: (9, 90.0)
    }  # fmt: skip
    for minute, count in ((3, 0), (4, 1), (9, 2), (10, 3)):
        before = history.before(minute)
        assert before.minutes.tolist() == [3, 5, 9][:count]
        assert before.close.tolist() == [30.0, 50.0, 90.0][:count]
        assert np.array_equal(before.rows.features, history.features[:count])
