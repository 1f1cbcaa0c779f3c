"""Minute bars of one's own in the store: what is computed, what is taken, and what is not known."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.archive.bar_files import other_symbols
from quantgod.archive.etl import run_etl
from quantgod.archive.own_bars import ImportReport, import_bars
from quantgod.archive.price_table import PriceJumpError
from quantgod.archive.store import StoreError, load_bars, read_metadata, stored_days
from quantgod.contracts import BAR_COLUMNS, BOOK_COLUMNS, FEATURES
from quantgod.dataset.labels import label, summary
from quantgod.settings import DataSettings
from tests.archive.feeds import FULL, etl_settings, three_days, write

FIL = [Path(f"../shared/data/FILUSDT-1m-2023-{month:02}.csv.gz") for month in (8, 9)]
BOOK_FEATURES = ("volatility", "max_spread", "mean_obi", "mean_deep_obi", "log_volume")


def data(folder: Path) -> DataSettings:
    return FULL.data.model_copy(update={"bars": folder / "bars"})


def candles(count: int = 2_000, seed: int = 1) -> pd.DataFrame:
    """Minutes from 2024-01-01 12:00 on."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, count)))
    opening = close * np.exp(rng.normal(0, 1e-4, count))
    high, low = np.maximum(opening, close) * 1.0003, np.minimum(opening, close) * 0.9998
    index = pd.date_range("2024-01-01 12:00", periods=count, freq="min", tz="UTC", name="datetime")
    columns = {"open": opening, "high": high, "low": low, "close": close, "volume": close}
    return pd.DataFrame(columns, index=index)


def imported(folder: Path, *frames: pd.DataFrame) -> ImportReport:
    """Import frames, each from a file of its own."""
    sources = []
    for place, frame in enumerate(frames):
        sources.append(folder / f"{place}.parquet")
        frame.to_parquet(sources[-1])
    return import_bars(sources, data(folder), FULL.etl)


def stored(folder: Path) -> pd.DataFrame:
    return load_bars(data(folder).market_bars, "BTCUSDT", BAR_COLUMNS)


def test_of_prices_four_features_are_made_and_the_others_named_and_zero(tmp_path: Path) -> None:
    given = candles()
    report = imported(tmp_path, given)
    bars, before = stored(tmp_path), given["close"].shift().iloc[1:]
    given = given.iloc[1:]  # the first has no close before it
    assert bars.index.equals(given.index)
    top, bottom = given[["open", "close"]].max(axis=1), given[["open", "close"]].min(axis=1)
    expected = {
        "body": np.log(given["close"] / given["open"]),
        "upper_wick": (given["high"] - top) / before,
        "lower_wick": (bottom - given["low"]) / before,
        "log_ret_close": np.log(given["close"] / before),
        "close": given["close"],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(bars[name], values, err_msg=name)
    assert report == ImportReport(1_999, 2, 1, BOOK_FEATURES, 0)
    assert (bars[list(BOOK_FEATURES)] == 0).all(axis=None)
    assert bars.filter(regex=r"_p$").isna().all(axis=None)
    assert (bars.filter(regex=r"_s$") == 0).all(axis=None)
    metadata = [read_metadata(path) for path in stored_days(data(tmp_path).market_bars, "BTCUSDT")]
    assert {(day.market, day.symbol, day.lacks) for day in metadata} == {
        ("linear", "BTCUSDT", BOOK_FEATURES)
    }
    assert {(day.kernel_version, day.depth, day.first_close_minute) for day in metadata} == {
        (0, 0, None)
    }


@pytest.mark.parametrize(("missing", "lost"), [(5, 0), (6, 1)])
def test_a_hole_is_bridged_as_long_as_in_the_kernel(
    missing: int, lost: int, tmp_path: Path
) -> None:
    given = candles(100)
    given = given.drop(given.index[50 : 50 + missing])
    assert imported(tmp_path, given).without_close_before == 1 + lost
    bars = stored(tmp_path)
    assert len(bars) == len(given) - 1 - lost
    if not lost:
        after = given.index[50]
        spanned = np.log(given["close"].iloc[50] / given["close"].iloc[49])
        assert bars.loc[after, "log_ret_close"] == spanned


def test_a_stored_day_of_a_single_minute_is_gone_on_from(tmp_path: Path) -> None:
    given = candles(722).iloc[718:]  # 23:58 and 23:59, of which the first gets no row, and the next
    imported(tmp_path, given.iloc[:2])
    assert len(stored(tmp_path)) == 1
    assert imported(tmp_path, given.iloc[2:]).without_close_before == 0
    assert stored(tmp_path).index.equals(given.index[1:])


@pytest.mark.long
def test_parts_one_after_another_make_the_rows_of_the_whole(tmp_path: Path) -> None:
    """A day's close goes on to the next, also when that is imported later."""
    given = candles(3_000)
    parts = [part for _, part in given.groupby(given.index.date)]
    whole, together, later = (tmp_path / name for name in ("whole", "together", "later"))
    for folder in (whole, together, later):
        folder.mkdir()
    imported(whole, given)
    parts[1] = parts[1].drop(columns="volume").assign(symbol="btc/usdt")  # makes no difference
    imported(together, *parts[::-1])
    for part in parts:
        imported(later, part)
    for folder in (together, later):
        pd.testing.assert_frame_equal(stored(folder), stored(whole))
    imported(whole, given)  # again, over itself
    pd.testing.assert_frame_equal(stored(whole), stored(later))


def test_bars_with_the_nine_features_and_levels_come_in_as_they_went_out(tmp_path: Path) -> None:
    """Levels may be fewer; here those of the store of an etl, and then three a side of them."""
    write(tmp_path / "archives", three_days())
    run_etl(tmp_path / "archives", tmp_path / "made", etl_settings())
    made = load_bars(tmp_path / "made", "BTCUSDT", BAR_COLUMNS)
    report = imported(tmp_path, made)
    assert (report.lacks, report.levels, report.without_close_before) == ((), 200, 0)
    pd.testing.assert_frame_equal(stored(tmp_path), made)
    few = [name for name in BOOK_COLUMNS if int(name.split("_")[1]) < 3]
    (tmp_path / "few").mkdir()
    assert imported(tmp_path / "few", made[[*FEATURES, "close", *few]]).levels == 3
    taken = stored(tmp_path / "few")
    pd.testing.assert_frame_equal(taken[few], made[few])
    assert taken["bid_3_p"].isna().all()


def test_stores_of_etl_and_of_imports_are_not_mixed(tmp_path: Path) -> None:
    write(tmp_path / "archives", three_days())
    own = data(tmp_path)
    run_etl(tmp_path / "archives", own.market_bars, etl_settings())
    with pytest.raises(StoreError, match="holds bars that etl made"):
        imported(tmp_path, candles(10))
    (tmp_path / "mine").mkdir()
    imported(tmp_path / "mine", candles(10))
    with pytest.raises(StoreError, match="holds imported bars"):
        run_etl(tmp_path / "archives", data(tmp_path / "mine").market_bars, etl_settings())


def with_book(count: int = 10, **changes: float) -> pd.DataFrame:
    book = {"bid_0_p": 99.0, "bid_0_s": 1.0, "ask_0_p": 101.0, "ask_0_s": 1.0} | changes
    return candles(count).assign(**book)


REFUSED = {
    "two files of the same minutes": ([candles(10), candles(9)], "minutes would count twice"),
    "two files that share a minute": (
        [candles(9)[:6], candles(9)[5:]],
        "minutes would count twice",
    ),
    "a bid of nothing": ([with_book(bid_0_p=0.0)], "book of 2024-01-01 12:00 has no two sides"),
    "a bid and an ask that meet": ([with_book(bid_0_p=101.0)], "book of 2024-01-01 12:00 has no"),
    "books that cross later": (
        [with_book().assign(bid_0_p=[99.0, 99, 99, 102, 99, 102, *4 * [99]])],
        "book of .* 12:03 has",
    ),
    "levels without their sizes": (
        [candles(5).assign(**{f"bid_{k}_p": 99.0 for k in range(8)})],
        "were expected: ask_0_p, ask_0_s, ask_1_p, ask_1_s$",
    ),
    "other columns": (
        [candles(5), candles(9)[5:].drop(columns="open")],
        "both have the columns op",
    ),
    "another symbol": ([candles(5).assign(pair="SOLUSDT")], "BTCUSDT were .* 'pair' holds SOLUSDT"),
    "no close": ([candles(5).drop(columns="close")], "no column close"),
    "a crossed book": ([with_book(bid_0_p=102.0)], "book of 2024-01-01 12:00 has no two sides"),
    "a level that is left out": ([with_book().rename(columns={"bid_0_s": "bid_1_s"})], "bid_0_s"),
    "a feature without a value": (
        [candles(9).assign(mean_obi=np.nan)],
        "mean_obi of 2024-01-01T12",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_nothing_is_stored_of(what: str, tmp_path: Path) -> None:
    frames, words = REFUSED[what]
    with pytest.raises(ValueError, match=words):
        imported(tmp_path, *frames)
    assert not (tmp_path / "bars").exists()


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("FILUSDT_1m.csv", ["FILUSDT"]),
        ("klines-filusdt.csv", ["FILUSDT"]),
        ("FIL-USDT.csv", ["FILUSDT"]),
        ("FILUSDT/1m/2024.csv", ["FILUSDT"]),
        ("FILUSDT/BTCUSDT.csv", []),
        ("BTC/usdt/1m.csv", []),
        ("BTCUSDT-1m-2024-03.csv", []),
        ("BTC-USDT_1m.csv", []),
        ("BTCUSD_PERP.parquet", []),
        ("1000PEPEUSDC.csv.gz", ["1000PEPEUSDC"]),
        ("1000BTCUSDT.csv.gz", ["1000BTCUSDT"]),
        ("bars.csv", []),
        ("prices_in_dollars.csv", []),
        ("USD.csv", []),
        ("BTCUSDTs.csv", ["BTCUSDT"]),
    ],
)
def test_a_file_named_after_another_symbol_is_told(
    name: str, others: list[str], tmp_path: Path
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    symbols = {"BTCUSD_PERP.parquet": "BTCUSD", "BTCUSDTs.csv": "ETHUSDT"}
    assert other_symbols([tmp_path], symbols.get(name, "BTCUSDT")) == others
    assert other_symbols([tmp_path / name], symbols.get(name, "BTCUSDT")) == others


@pytest.mark.parametrize("factor", [1e-4, 0.1, 10.0, 1.7e4])
def test_a_jump_to_the_prices_of_another_symbol_is_refused_with_the_minute(
    factor: float, tmp_path: Path
) -> None:
    """Within a file, between files, and from what is stored; a factor of nine is a bad day."""
    given = candles(10).assign(close=4.0, open=4.0, high=4.0, low=4.0)
    prices = ["open", "high", "low", "close"]
    other, nine = given.copy(), given.copy()
    other.loc[other.index[6:], prices] *= factor
    nine.loc[nine.index[6:], prices] *= 9
    (tmp_path / "in").mkdir()
    words = f"close is 4 at 2024-01-01T12:05 and {4 * factor:g} at 2024-01-01T12:06"
    with pytest.raises(PriceJumpError, match=re.escape(words)):
        imported(tmp_path / "in", other)
    with pytest.raises(PriceJumpError, match=re.escape(words)):
        imported(tmp_path / "in", other[:6], other[6:])
    assert not (tmp_path / "in" / "bars").exists()
    imported(tmp_path, nine)
    later = nine.set_axis(nine.index + pd.Timedelta("1D")) / 1e3
    with pytest.raises(PriceJumpError, match=r"close is 36 at 2024-01-01T12:09 and 0\.004 at"):
        imported(tmp_path, later)
    a_day_later = later.set_axis(later.index + pd.Timedelta("1D"))  # another time, another price
    assert imported(tmp_path, a_day_later).days == 1


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("BTCUSDT_1m_2024.parquet", "ETHUSDT_1m_2024.parquet", "BTCUSDT, ETHUSDT"),
        ("FILUSDT-1m-2023-08.parquet", "LTCUSDT-1m-2023-09.parquet", "FILUSDT, LTCUSDT"),
        ("btc_usd_minutes.parquet", "eth_usd_minutes.parquet", "BTCUSD, ETHUSD"),
        ("BTCUSDT/1m/2024.parquet", "BTCUSD/1m/2025.parquet", "BTCUSD, BTCUSDT"),
    ],
)
def test_files_named_after_different_symbols_are_not_joined_however_far_apart(
    first: str, second: str, told: str, tmp_path: Path
) -> None:
    """Their prices are days apart, and may be alike: none of them jumps."""
    early, late = (tmp_path / "in" / name for name in (first, second))
    for path, days in ((early, 0), (late, 3)):
        given = candles(10)
        path.parent.mkdir(parents=True, exist_ok=True)
        given.set_axis(given.index + pd.Timedelta(days=days)).to_parquet(path)
    for symbol in (*told.split(", "), "XRPUSDT"):
        own = data(tmp_path).model_copy(update={"symbol": symbol})
        for looked_for in (
            lambda own=own: import_bars([tmp_path / "in"], own, FULL.etl),
            lambda own=own: other_symbols([late, early], own.symbol),
        ):
            with pytest.raises(ValueError, match="files of one symbol were expected") as refused:
                looked_for()
            assert str(early) in str(refused.value) and str(late) in str(refused.value)
            assert f"(in all: {told})" in str(refused.value)
    assert not (tmp_path / "bars").exists()
    late.rename(tmp_path / "in" / "later.parquet")
    own = data(tmp_path).model_copy(update={"symbol": "XRPUSDT"})
    assert import_bars([early, tmp_path / "in" / "later.parquet"], own, FULL.etl).days == 2


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "2024-12-01_XRPUSDT_ob500.data.zip",
            "is an archive of books: `python -m steps.etl --archives {folder} --symbol XRPUSDT "
            "--market linear` makes bars of it",
        ),
        ("spot/2024-12-01_XRPUSDT_ob500.data.zip", "--symbol XRPUSDT --market spot` makes bars"),
        ("FILUSDT-1m-2023-08.zip", "FILUSDT-1m-2023-08.zip is to be unpacked first"),
        ("binance_usdm_btcusdt_20240808.gz", "steps.archive_recording --recording {path}` makes a"),
        ("", "and there is no file"),
    ],
)
def test_what_is_no_table_of_bars_is_told_with_the_command_that_takes_it(
    name: str, told: str, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / name
    if name:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"something")
    words = told.format(folder=folder, path=path)
    for source in [folder] + [path] * ("/" not in name):
        with pytest.raises(ValueError, match=re.escape(words)) as refused:
            import_bars([source], data(tmp_path), FULL.etl)
        assert "minute bars as .csv, .csv.gz, .parquet, .feather were expected at" in str(
            refused.value
        )


def test_a_day_is_not_replaced_by_a_part_of_it(tmp_path: Path) -> None:
    imported(tmp_path, candles(100))
    with pytest.raises(StoreError, match=r"has 49 minutes .* from 2024-01-01 12:01 on"):
        imported(tmp_path, candles(100)[50:])


@pytest.mark.long
@pytest.mark.skipif(not FIL[0].exists(), reason="no real files beside the project")
def test_months_of_real_klines_become_labels(tmp_path: Path) -> None:
    series = data(tmp_path).model_copy(update={"symbol": "FILUSDT"})
    report = import_bars(FIL, series, FULL.etl)
    assert (report.rows, report.days, report.without_close_before) == (87_839, 61, 1)
    table = label(load_bars(series.market_bars, "FILUSDT"), FULL.label, 5)
    figures = summary(table)
    assert (figures["runs"], figures["labelled"]) == (1, 87_839 - 60)


def test_files_that_follow_one_another_without_a_hole_are_joined(tmp_path: Path) -> None:
    given = candles(10)
    told: list[tuple[int, int, str]] = []
    for place, part in enumerate((given[5:], given[:5])):
        part.to_parquet(tmp_path / f"{place}.parquet")
    sources = [tmp_path / "1.parquet", tmp_path / "0.parquet"]
    import_bars(sources, data(tmp_path), FULL.etl, progress=lambda *step: told.append(step))
    assert stored(tmp_path).index.equals(given.index[1:])
    assert told == [
        (0, 2, "1.parquet"), (1, 2, "0.parquet"), (1, 1, "BTCUSDT 2024-01-01")
    ]  # fmt: skip


def test_the_first_minute_of_a_day_that_is_stored_has_no_close_before_it_in_itself(
    tmp_path: Path,
) -> None:
    given = candles(100)
    imported(tmp_path, given)
    with pytest.raises(StoreError, match=r"has 1 minutes .* from 2024-01-01 12:01 on"):
        imported(tmp_path, given[1:])


def test_a_cheap_book_is_a_book(tmp_path: Path) -> None:
    assert imported(tmp_path, with_book(bid_0_p=0.25, ask_0_p=0.5)).levels == 1
