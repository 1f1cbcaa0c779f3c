"""Orders that meet the books of their very moments, from archives to trades."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.archive.etl import run_etl
from quantgod.backtest import Backtest, Books, backtest, order_moments
from quantgod.backtest.recorded import ForeignArchives, archive_books, minute_books
from quantgod.market.book import OrderBook
from quantgod.market.bybit import decode
from tests.archive.feeds import DAYS, MIDNIGHT_MS, etl_settings, feed, pack
from tests.backtest.markets import BUY, NEUTRAL, SELL, settings

HORIZON = 3
FIRST = pd.Timestamp(MIDNIGHT_MS, unit="ms", tz="UTC") - pd.Timedelta(minutes=9)
LATENCIES = (0, 50, 250, 1000, 60_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two archives of ten minutes, a message a second, on both sides of a midnight; their bars."""
    folder = tmp_path_factory.mktemp("recorded")
    lines = messages()
    pack(folder / "archives", DAYS[0], lines[:600])
    pack(folder / "archives", DAYS[1], lines[600:])
    run_etl(folder / "archives", folder / "bars", etl_settings())
    return folder


def messages(seed: int = 0) -> list[bytes]:
    return feed(MIDNIGHT_MS - 600_000, 1200, step_seconds=1, seed=seed, snapshots=[600])


def rows() -> pd.DataFrame:
    actions = [BUY, NEUTRAL, NEUTRAL, SELL, SELL, BUY, NEUTRAL, SELL] * 2
    times = pd.date_range(FIRST, periods=len(actions), freq="min")
    return pd.DataFrame({"time": times, "action": actions})[:14]


def look(folder: Path, archives: Path, latencies: tuple[int, ...] = LATENCIES) -> Books | None:
    own = settings(latencies_ms=latencies)
    minutes = minute_books(folder / "bars", "BTCUSDT", rows(), HORIZON)
    moments = order_moments(rows(), minutes, own, HORIZON)
    return archive_books(archives, "BTCUSDT", moments, minutes, etl_settings(), market="linear")


def traded(folder: Path, met: Books | None, latency_ms: int) -> Backtest:
    minutes = minute_books(folder / "bars", "BTCUSDT", rows(), HORIZON)
    own = settings(latency_ms=latency_ms, latencies_ms=LATENCIES)
    return backtest(rows(), minutes, own, HORIZON, 1, recorded=met)


def mids(moments_ms: list[int]) -> list[float]:
    """Mid prices by reading the messages one by one."""
    book, found, left = OrderBook(), [], sorted(moments_ms)
    for update in map(decode, messages()):
        while left and left[0] < update.ts:
            found.append((book.best_bid + book.best_ask) / 2)
            left.pop(0)
        book.apply(update)
    return found


@pytest.mark.parametrize("latency_ms", [50, 250, 1000])
def test_an_order_meets_the_book_of_its_very_moment(folder: Path, latency_ms: int) -> None:
    found = traded(folder, look(folder, folder / "archives"), latency_ms)
    trades = found.trades
    assert found.result.books == "archive"
    assert len(trades) > 5
    late = trades["entry_time"] - trades["signal_time"]
    assert late.tolist() == [pd.Timedelta(milliseconds=latency_ms)] * len(trades)
    for name in ("entry", "exit"):
        when = trades[f"{name}_time"].dt.as_unit("ms").astype(np.int64).tolist()
        assert trades[f"{name}_mid"].tolist() == mids(when)
        assert all((moment - latency_ms) % 60_000 == 0 for moment in when)


def test_without_archives_orders_meet_the_next_minute(folder: Path) -> None:
    assert look(folder, folder / "nowhere") is None
    found = traded(folder, None, 250)
    assert found.result.books == "minutes"
    assert (found.trades["entry_time"] - found.trades["signal_time"] == "1min").all()


def test_a_day_without_its_archive_leaves_all_orders_to_the_minutes(
    folder: Path, tmp_path: Path
) -> None:
    pack(tmp_path, DAYS[0], messages()[:600])
    assert look(folder, tmp_path) is None


def test_the_midnight_that_ends_the_archives_needs_no_next_day(folder: Path) -> None:
    """The book of its first moments is what the last day ended with."""
    minutes = minute_books(folder / "bars", "BTCUSDT", rows()[:9], 0)
    moments = MIDNIGHT_MS + np.array([-59_950, 50])
    alone = folder / "alone"
    pack(alone, DAYS[0], messages()[:600])
    met = archive_books(alone, "BTCUSDT", moments, minutes, etl_settings(), market="linear")
    assert met is not None
    assert met.time_ms.tolist() == moments.tolist()
    assert met.mid.tolist() == mids(moments.tolist())[:2]


def test_no_day_is_read_but_those_of_the_moments(folder: Path) -> None:
    minutes = minute_books(folder / "bars", "BTCUSDT", rows(), HORIZON)
    notes: list[str] = []
    moments = MIDNIGHT_MS + np.array([50])
    archive_books(
        folder / "archives", "BTCUSDT", moments, minutes, etl_settings(),
        lambda *told: notes.append(told[2]), market="linear",
    )  # fmt: skip
    assert notes == ["BTCUSDT 2024-01-02 books", "BTCUSDT books"]


def test_archives_that_begin_without_a_snapshot_are_no_others(folder: Path, tmp_path: Path) -> None:
    """The day before, which is not read, would tell their first books: here there are none."""
    lines = feed(MIDNIGHT_MS - 600_000, 1200, step_seconds=1)
    for day, part in zip(DAYS, (lines[:600], lines[600:]), strict=False):
        pack(tmp_path / "archives", day, part)
    run_etl(tmp_path / "archives", tmp_path / "bars", etl_settings())
    minutes = minute_books(tmp_path / "bars", "BTCUSDT", rows(), HORIZON)
    moments = MIDNIGHT_MS + np.array([90_000, 150_000])
    asked = (tmp_path / "archives", "BTCUSDT", moments, minutes, etl_settings())
    assert archive_books(*asked, market="linear") is None


def test_archives_that_the_bars_were_not_made_from_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    pack(tmp_path, DAYS[0], messages()[:600])
    pack(tmp_path, DAYS[1], messages(seed=1)[600:])
    with pytest.raises(
        ForeignArchives, match=r"at 2024-01-02 00:02:00\+00:00 they hold bid and ask"
    ):
        look(folder, tmp_path)


def test_an_order_into_a_gap_waits_for_the_next_minute(folder: Path, tmp_path: Path) -> None:
    lines = messages()
    minute = 60 * 3  # the third row's close is three minutes in
    gone = next(place for place in range(minute, minute + 20) if b"delta" in lines[place])
    pack(tmp_path, DAYS[0], [*lines[:gone], *lines[gone + 1 : 600]])
    pack(tmp_path, DAYS[1], lines[600:])
    met = look(folder, tmp_path)
    assert met is not None
    gap = (MIDNIGHT_MS - 600_000 + 1000 * minute, MIDNIGHT_MS)
    assert not ((met.time_ms > gap[0] + 2_000) & (met.time_ms < gap[1])).any()
    assert (met.time_ms > gap[1]).any()


def test_moments_before_and_within_the_first_minute_are_looked_up_too(folder: Path) -> None:
    minutes = minute_books(folder / "bars", "BTCUSDT", rows()[3:], HORIZON)
    first = int(minutes.time_ms[0])
    moments = np.array([first - 90_250, first - 29_750, first + 250, first + 60_250])
    met = archive_books(
        folder / "archives", "BTCUSDT", moments, minutes, etl_settings(), market="linear"
    )
    assert met is not None and met.time_ms.tolist() == moments.tolist()
    assert met.mid.tolist() == mids(moments.tolist())
    early = archive_books(
        folder / "archives", "BTCUSDT", moments[:2], minutes, etl_settings(), market="linear"
    )
    assert early is not None and early.time_ms.tolist() == moments[:2].tolist()
