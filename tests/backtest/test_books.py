"""Books out of bars and archives, and the signals that are to meet them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.archive.etl import run_etl
from quantgod.archive.store import StoreError
from quantgod.backtest import Books, backtest, books_of, order_moments
from quantgod.backtest.recorded import archive_books, minute_books
from quantgod.backtest.signals import signals_of
from quantgod.contracts import BOOK_COLUMNS
from tests.archive import feeds
from tests.backtest.markets import (
    BUY,
    MINUTE_MS,
    NEUTRAL,
    SELL,
    START,
    START_MS,
    books,
    rows,
    settings,
)

ETL = feeds.etl_settings()
FIRST_MS = feeds.MIDNIGHT_MS - 600_000


def bars(count: int = 3) -> pd.DataFrame:
    """Bars of a book of 200 levels whose third and later ask levels are absent."""
    frame = pd.DataFrame(
        np.arange(1.0, 800 * count + 1).reshape(count, 800),
        columns=list(BOOK_COLUMNS),
        index=pd.date_range(START, periods=count, freq="min"),
    )
    frame.loc[:, [f"ask_{level}_p" for level in range(2, 200)]] = np.nan
    frame.loc[:, [f"ask_{level}_s" for level in range(2, 200)]] = 0.0
    return frame


def test_a_minutes_book_is_met_from_its_end_on() -> None:
    found = books_of(bars())
    assert found.time_ms.tolist() == [START_MS + MINUTE_MS * place for place in (1, 2, 3)]
    assert found.levels.shape == (3, 2, 200, 2)
    assert found.levels[0, 0, :2].tolist() == [[1, 2], [3, 4]]
    assert found.levels[0, 1, :2].tolist() == [[401, 402], [403, 404]]
    assert np.isnan(found.levels[0, 1, 2, 0]) and found.levels[0, 1, 2, 1] == 0
    assert found.mid[0] == (1 + 401) / 2


def test_the_columns_may_stand_in_any_order_and_hold_fewer_levels() -> None:
    few = [name for name in BOOK_COLUMNS if name.split("_")[1] in ("0", "1")]
    found = books_of(bars().loc[:, few[::-1]])
    assert np.array_equal(found.levels, books_of(bars()).levels[:, :, :2])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop(columns="bid_0_p"), "bid_0_p"),
        (lambda frame: frame.tz_localize(None), "UTC"),
        (lambda frame: frame.iloc[::-1], "strictly rising"),
        (lambda frame: frame.iloc[:0], "strictly rising"),
        (lambda frame: frame.assign(ask_0_p=0.5), "2024-01-01 00:01:00"),
        (lambda frame: frame.assign(bid_0_s=0.0), "no two sides"),
        (lambda frame: frame.assign(ask_0_p=frame["bid_0_p"]), "no two sides"),
        (lambda frame: frame.iloc[[0, 0, 1]], "strictly rising"),
        (lambda frame: frame.reset_index(drop=True), "a UTC index"),
        (lambda frame: frame.assign(bid_0_p=np.nan), "no two sides"),
    ],
    ids=[
        "no book",
        "no zone",
        "falling",
        "empty",
        "crossed",
        "no size",
        "locked",
        "twice",
        "no index",
        "no price",
    ],
)
def test_bars_that_hold_no_sound_books_are_refused(change: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        books_of(change(bars()))


def test_the_first_bad_book_is_named_with_its_best_prices() -> None:
    frame = bars(5)
    frame.loc[frame.index[[1, 3]], ["bid_0_p", "ask_0_p"]] = [[9.0, 8.0], [7.0, 6.0]]
    said = r"00:02:00.* has no two sides: bid \[9.0, \d+.0\], ask \[8.0, \d+.0\]"
    with pytest.raises(ValueError, match=said):
        books_of(frame)
    cheap = bars(1).assign(bid_0_p=0.25, bid_0_s=0.5, ask_0_p=0.75, ask_0_s=0.5)
    assert books_of(cheap).mid.tolist() == [0.5]


@pytest.mark.parametrize(
    ("scored", "latency_ms", "said"),
    [
        (rows({0: 3}), 0, "got 3"),
        (rows({0: BUY, 7: BUY, 9: SELL}), 0, "2 rows have no book of their minute.*00:07:00"),
        (rows({0: BUY}), 300_001, "above the horizon"),
    ],
    ids=["action", "minute", "latency"],
)
def test_rows_that_cannot_be_traded_are_refused(
    scored: pd.DataFrame, latency_ms: int, said: str
) -> None:
    given = settings(latency_ms=latency_ms)
    with pytest.raises(ValueError, match=said):
        backtest(scored, books(np.full(6, 100.0)), given, 5, 1)


def test_the_minutes_of_a_backtest_end_one_after_the_last_possible_exit() -> None:
    market = books(np.full(40, 100.0))
    for latency_ms, last in ((0, 9), (1, 10), (60_000, 10)):
        given = settings(latency_ms=latency_ms, latencies_ms=(0,))
        minutes, signal = signals_of(rows({2: SELL, 3: BUY}), market, given, 5)
        closes = START_MS + MINUTE_MS * np.arange(3, last + 2)
        assert minutes.time_ms.tolist() == closes.tolist()
        assert signal.tolist() == [-1, 1, *[0] * (len(closes) - 2)]
    short, signal = signals_of(rows({0: BUY, 39: BUY}), market, settings(), 5)
    assert len(short.time_ms) == len(signal) == 40 and signal[[0, 39]].tolist() == [1, 1]


def test_locked_and_strided_books_are_traded_alike() -> None:
    market = books(100.0 + np.arange(20.0))
    strided = Books(market.time_ms, np.asfortranarray(market.levels))
    for array in strided:
        array.flags.writeable = False
    first, second = (
        backtest(rows({0: BUY, 4: SELL}), given, settings(), 5, 1).trades
        for given in (market, strided)
    )
    assert first.equals(second)


def test_orders_reach_the_exchange_after_signals_and_after_their_horizons() -> None:
    scored = rows({0: NEUTRAL, 1: BUY, 2: NEUTRAL, 3: SELL})
    market = books(np.full(30, 100.0), minutes=np.r_[0:6, 9:33])
    given = settings(latency_ms=0, latencies_ms=(50, 250, 60_000))
    closes = START_MS + MINUTE_MS * np.array([2, 4, 7 + 3, 9 + 1])  # 6 and 8 are no minutes
    moments = order_moments(scored, market, given, 5)
    assert moments.tolist() == sorted({*(closes + 50), *(closes + 250)})
    assert not len(order_moments(scored, market, settings(latencies_ms=(0, 60_000)), 5))


def test_books_are_read_as_they_were_recorded(tmp_path: Path) -> None:
    lines = feeds.feed(FIRST_MS, 1500, step_seconds=1)
    feeds.write(tmp_path / "archives", {feeds.DAYS[0]: lines[:600], feeds.DAYS[1]: lines[600:]})
    run_etl(tmp_path / "archives", tmp_path / "bars", ETL, symbol="BTCUSDT")
    times = pd.to_datetime(FIRST_MS + MINUTE_MS * np.arange(3, 13), unit="ms", utc=True)
    scored = pd.DataFrame({"time": times, "action": [BUY, SELL] * 5})
    minutes = minute_books(tmp_path / "bars", "BTCUSDT", scored, 5)
    assert minutes.time_ms.tolist() == [FIRST_MS + MINUTE_MS * place for place in range(4, 25)]
    # At the closes themselves the archives tell what the bars do.
    moments = np.sort(np.concatenate([minutes.time_ms[:8], minutes.time_ms[:8] + 20_250]))
    true = archive_books(tmp_path / "archives", "BTCUSDT", moments, minutes, ETL, market="linear")
    assert true is not None
    assert true.time_ms.tolist() == moments.tolist()
    assert np.array_equal(true.levels[::2], minutes.levels[:8], equal_nan=True)
    assert not (true.levels[1::2, :, 0, 0] == minutes.levels[1:9, :, 0, 0]).all()

    given = settings(latency_ms=20_250, latencies_ms=(0, 20_250), taker_fee=0.0005)
    asked = order_moments(scored, minutes, given, 5)
    met = archive_books(tmp_path / "archives", "BTCUSDT", asked, minutes, ETL, market="linear")
    found = backtest(scored, minutes, given, 5, 1, recorded=met)
    assert found.result.books == "archive"
    waited = (found.trades["entry_time"] - found.trades["signal_time"]).unique().tolist()
    assert waited == [pd.Timedelta(milliseconds=20_250)]
    assert backtest(scored, minutes, given, 5, 1).result.books == "minutes"
    with pytest.raises(StoreError, match="2024-01-01 to 2024-01-02 are stored"):
        minute_books(tmp_path / "bars", "BTCUSDT", scored.assign(time=times.shift(9, "D")), 5)


def test_without_archives_there_are_no_true_books(tmp_path: Path) -> None:
    moments = np.array([FIRST_MS + 250])
    minutes = books(np.full(3, 100.0))
    assert (
        archive_books(tmp_path / "none", "BTCUSDT", moments, minutes, ETL, market="linear") is None
    )
    assert archive_books(tmp_path, "BTCUSDT", moments, minutes, ETL, market="linear") is None
    assert archive_books(tmp_path, "BTCUSDT", moments[:0], minutes, ETL, market="linear") is None
