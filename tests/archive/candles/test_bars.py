"""Bars of our own become candles of micro-prices, where all their minutes are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantgod.archive.candles.bars import candles_of_bars
from quantgod.archive.candles.fill import store_series
from quantgod.archive.candles.store import read_candles
from quantgod.archive.own_bars import import_bars
from quantgod.archive.store import DayMetadata, StoredRows, StoreError, day_path, write_day
from quantgod.contracts import FEATURES, Floats
from quantgod.settings import DataSettings
from tests.archive.feeds import FULL
from tests.archive.test_own_bars import candles as prices

MARKET = FULL.data.model_copy(update={"symbol": "BTCUSDT", "market": "linear"})
NOON = 28_401_120 + 720  # 2024-01-01 12:00
WHOSE = ("linear", "BTCUSDT")


def data(folder: Path) -> DataSettings:
    return MARKET.model_copy(update={"bars": folder / "bars"})


def store(folder: Path, without: set[int]) -> Floats:
    """Store minutes from noon on, but for some; returns open, high, low, close, messages."""
    rng = np.random.default_rng(3)
    count = 2160
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, count)))
    opening = np.append(100.0, close[:-1]) * np.exp(rng.normal(0, 1e-4, count))
    top, bottom, before = (
        np.maximum(opening, close),
        np.minimum(opening, close),
        np.append(100.0, close[:-1]),
    )
    wicks = rng.uniform(0, 1e-3, (2, count))
    messages = rng.integers(1, 600, count).astype(float)
    known = {
        "body": np.log(close / opening), "upper_wick": wicks[0], "lower_wick": wicks[1],
        "log_ret_close": np.log(close / before), "log_volume": np.log1p(messages),
    }  # fmt: skip
    features = np.zeros((count, len(FEATURES)))
    for name, column in known.items():
        features[:, FEATURES.index(name)] = column
    minutes = NOON + np.arange(count)
    for day in np.unique(minutes // 1440):
        at = (minutes // 1440 == day) & ~np.isin(minutes - NOON, [*without])
        rows = StoredRows(minutes[at], features[at], close[at], np.ones((at.sum(), 800)))
        path = day_path(data(folder).market_bars, "BTCUSDT", np.datetime64(int(day), "D").item())
        said = DayMetadata(*WHOSE, path.stem, "", 200, 1, "", "", None, b"", {})
        write_day(path, rows, said, "snappy")
    high, low = top + wicks[0] * before, bottom - wicks[1] * before
    return np.column_stack([opening, high, low, close, messages])


@pytest.mark.parametrize("interval", [1, 5, 60, 240])
def test_a_candle_needs_all_its_minutes_and_is_of_micro_prices(
    interval: int, tmp_path: Path
) -> None:
    without = {0, 719, 721, 1000}
    told = store(tmp_path, without)
    name = {1: "1m", 5: "5m", 60: "1h", 240: "4h"}[interval]
    candles = candles_of_bars(data(tmp_path).market_bars, "linear", "BTCUSDT", name)
    expected = {}
    for start in range(0, len(told), interval):
        rows = told[start : start + interval]
        if not without & set(range(start, start + interval)):
            low_high = rows[0, 0], rows[:, 1].max(), rows[:, 2].min(), rows[-1, 3]
            expected[(NOON + start) * 60_000] = low_high
    assert candles.time_ms.tolist() == list(expected)
    np.testing.assert_allclose(candles.values[:, :4], list(expected.values()), rtol=1e-12)
    assert np.isnan(candles.values[:, 4:]).all() and candles.kind == "micro"
    opened, high, low, close = candles.values[:, :4].T
    assert (low <= np.minimum(opened, close)).all() and (np.maximum(opened, close) <= high).all()
    counted = candles_of_bars(
        data(tmp_path).market_bars, "linear", "BTCUSDT", name, messages_as_volume=True
    )
    sums = [told[at : at + interval, 4].sum() for at in range(0, len(told), interval)]
    whole = [sums[(time // 60_000 - NOON) // interval] for time in candles.time_ms]
    assert counted.column("volume").tolist() == whole


def test_they_never_mix_with_traded_candles(tmp_path: Path) -> None:
    store(tmp_path, {3})
    bars = data(tmp_path).market_bars
    candles = candles_of_bars(bars, "linear", "BTCUSDT", "1h")
    report = store_series(tmp_path / "candles", candles, "bars")
    assert store_series(tmp_path / "candles", candles, "bars").new == 0 != report.new
    assert len(read_candles(tmp_path / "candles", *WHOSE, "1h", "micro")) == len(candles)
    with pytest.raises(StoreError, match=r"it holds BTCUSDT \(linear, 1h, micro\)"):
        read_candles(tmp_path / "candles", *WHOSE, "1h")
    with pytest.raises(StoreError, match="no 1d has all its minutes"):
        store(tmp_path / "short", {1000})
        candles_of_bars(data(tmp_path / "short").market_bars, "linear", "BTCUSDT", "1d")


def test_bars_that_were_imported_are_no_micro_prices(tmp_path: Path) -> None:
    prices(100).to_parquet(tmp_path / "mine.parquet")
    import_bars([tmp_path / "mine.parquet"], data(tmp_path), FULL.etl)
    with pytest.raises(StoreError, match=r"holds imported bars, .* by --source"):
        candles_of_bars(data(tmp_path).market_bars, "linear", "BTCUSDT", "1m")
    with pytest.raises(StoreError, match="no bars of ETHUSDT"):
        candles_of_bars(data(tmp_path).market_bars, "linear", "ETHUSDT", "1m")
