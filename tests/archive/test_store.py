"""One Parquet a day: what is written is what is read, by us and by pandas, or nothing is."""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from quantgod.archive.store import (
    DEFAULT_COLUMNS,
    DayMetadata,
    StoreError,
    day_path,
    load_bars,
    read_metadata,
    read_rows,
    stored_days,
    stored_series,
    without_books,
    write_day,
)
from quantgod.contracts import BAR_COLUMNS, BOOK_COLUMNS, FEATURES, Series

DAY = dt.date(2024, 1, 1)
MIDNIGHT = 28_401_120  # epoch minute of 2024-01-01T00:00Z


@dataclass(frozen=True)
class Rows:
    minutes: NDArray[np.int64]
    features: NDArray[np.float64]
    close: NDArray[np.float64]
    book: NDArray[np.float64]


def rows(count: int = 1440, first: int = MIDNIGHT, depth: int = 200) -> Rows:
    rng = np.random.default_rng(first)
    book = rng.uniform(1, 2, (count, 2, 200, 2))
    book[:, :, depth:, 0] = np.nan
    book[:, :, depth:, 1] = 0
    return Rows(
        first + np.arange(count),
        rng.normal(size=(count, 9)),
        rng.uniform(1, 2, count),
        book.reshape(count, 800),
    )


def metadata(day: dt.date = DAY) -> DayMetadata:
    return DayMetadata(
        market="linear",
        symbol="BTCUSDT",
        date=day.isoformat(),
        source_digest="ab" * 32,
        depth=500,
        kernel_version=1,
        day_key="cd" * 32,
        stitch_key="",
        first_close_minute=MIDNIGHT,
        carry=bytes(range(256)),
        report={"rows": 1440, "rejected": {"gap": 2}},
    )


def store(bars: Path, written: Rows, day: dt.date = DAY, compression: str = "snappy") -> Path:
    path = day_path(bars, "BTCUSDT", day)
    write_day(path, written, metadata(day), compression)
    return path


@pytest.mark.parametrize("compression", ["snappy", "zstd"])
def test_pandas_reads_a_day_as_it_was_written(tmp_path: Path, compression: str) -> None:
    written = rows(50, depth=120)
    frame = pd.read_parquet(store(tmp_path, written, compression=compression))
    assert tuple(frame.columns) == BAR_COLUMNS
    assert len(frame.columns) == 810
    assert set(frame.dtypes) == {np.dtype("float64")}
    assert frame.index.name == "datetime"
    assert str(frame.index.dtype) == "datetime64[us, UTC]"
    assert frame.index[0] == pd.Timestamp("2024-01-01", tz="UTC")
    np.testing.assert_array_equal(frame[list(FEATURES)].to_numpy(), written.features)
    np.testing.assert_array_equal(frame["close"].to_numpy(), written.close)
    np.testing.assert_array_equal(frame[list(BOOK_COLUMNS)].to_numpy(), written.book)


def test_a_level_that_is_not_there_has_a_null_price_and_no_size(tmp_path: Path) -> None:
    table = pq.read_table(store(tmp_path, rows(7, depth=3)))
    for side in ("bid", "ask"):
        assert table[f"{side}_3_p"].null_count == 7
        assert table[f"{side}_3_s"].to_pylist() == [0.0] * 7
        assert table[f"{side}_2_p"].null_count == 0
    assert all(table[name].null_count == 0 for name in (*FEATURES, "close", "datetime"))


def test_the_metadata_comes_back_as_it_went(tmp_path: Path) -> None:
    assert read_metadata(store(tmp_path, rows(3))) == metadata()


@pytest.mark.parametrize("count", [0, 11])
def test_the_rows_come_back_bit_for_bit(tmp_path: Path, count: int) -> None:
    written = rows(count, depth=7)
    read = read_rows(store(tmp_path, written))
    for name in ("minutes", "features", "close", "book"):
        assert getattr(read, name).dtype == getattr(written, name).dtype
        assert getattr(read, name).tobytes() == getattr(written, name).tobytes()


def test_a_day_without_rows_can_be_stored(tmp_path: Path) -> None:
    frame = pd.read_parquet(store(tmp_path, rows(0)))
    assert frame.shape == (0, 810)
    assert load_bars(tmp_path, "BTCUSDT").empty


def test_all_days_load_in_order_with_the_wanted_columns_only(tmp_path: Path) -> None:
    days = [DAY + dt.timedelta(days=shift) for shift in (2, 0, 1)]
    for day in days:
        store(tmp_path, rows(30, MIDNIGHT + 1440 * (day - DAY).days), day)
    frame = load_bars(tmp_path, "BTCUSDT")
    assert tuple(frame.columns) == DEFAULT_COLUMNS == (*FEATURES, "close")
    assert frame.index.is_monotonic_increasing
    assert frame.index.is_unique
    assert len(frame) == 90
    assert str(frame.index.dtype) == "datetime64[us, UTC]"
    assert tuple(load_bars(tmp_path, "BTCUSDT", ["ask_0_p", "close"]).columns) == (
        "ask_0_p",
        "close",
    )


def test_wanted_days_alone_are_read(tmp_path: Path) -> None:
    days = [DAY + dt.timedelta(days=shift) for shift in range(4)]
    for day in days:
        store(tmp_path, rows(30, MIDNIGHT + 1440 * (day - DAY).days), day)
    day_path(tmp_path, "BTCUSDT", days[3]).write_bytes(b"not a Parquet file")
    frame = load_bars(tmp_path, "BTCUSDT", days=(days[1], days[2]))
    assert sorted({time.date() for time in frame.index}) == [days[1], days[2]]
    with pytest.raises(StoreError, match=r"no bars from 2025-01-01 .*; 2024-01-01 to 2024-01-04"):
        load_bars(tmp_path, "BTCUSDT", days=(dt.date(2025, 1, 1), dt.date(2025, 1, 2)))


def test_nothing_to_load_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        load_bars(tmp_path / "nowhere", "BTCUSDT")
    (tmp_path / "notes.txt").write_text("not a symbol")
    with pytest.raises(StoreError, match="no bars at all"):
        load_bars(tmp_path, "BTCUSDT")
    store(tmp_path, rows(3))
    with pytest.raises(StoreError, match=r"no bars of ETHUSDT in .*: it holds BTCUSDT"):
        load_bars(tmp_path, "ETHUSDT")
    with pytest.raises(StoreError, match=r"unknown columns \['mid'\]"):
        load_bars(tmp_path, "BTCUSDT", ["mid"])


def test_days_that_overlap_are_refused(tmp_path: Path) -> None:
    store(tmp_path, rows(1441))
    store(tmp_path, rows(1440, MIDNIGHT + 1440), DAY + dt.timedelta(days=1))
    with pytest.raises(StoreError, match=r"overlap at 2024-01-02 00:00:00\+00:00"):
        load_bars(tmp_path, "BTCUSDT")


def test_a_half_a_foreign_and_an_old_file_are_named(tmp_path: Path) -> None:
    path = store(tmp_path, rows(20))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match="not a whole Parquet"):
        read_metadata(path)
    pd.DataFrame({"a": [1.0]}).to_parquet(path)
    with pytest.raises(StoreError, match="without quantgod's metadata"):
        load_bars(tmp_path, "BTCUSDT")
    write_day(path, rows(20), replace(metadata(), schema_version="0"), "snappy")
    with pytest.raises(StoreError, match="schema version 0, expected 2"):
        load_bars(tmp_path, "BTCUSDT")


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (replace(rows(9), features=np.full((9, 9), np.nan)), "not finite"),
        (replace(rows(9), close=np.full(9, np.inf)), "not finite"),
        (replace(rows(9), minutes=np.zeros(9, np.int64)), "minutes must increase"),
        (replace(rows(9), book=np.zeros((9, 4))), "shapes"),
    ],
)
def test_rows_that_break_the_contract_leave_the_old_file(
    tmp_path: Path, broken: Rows, complaint: str
) -> None:
    path = store(tmp_path, rows(9))
    before = path.read_bytes()
    with pytest.raises(StoreError, match=complaint):
        write_day(path, broken, metadata(), "snappy")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    assert stored_days(tmp_path, "BTCUSDT") == [path]


def test_the_same_day_is_the_same_bytes(tmp_path: Path) -> None:
    first = store(tmp_path / "a", rows(60)).read_bytes()
    assert store(tmp_path / "b", rows(60)).read_bytes() == first


def test_stored_days_tell_whose_they_are_and_another_among_them_is_named(tmp_path: Path) -> None:
    store(tmp_path, rows(1))
    assert stored_series(tmp_path, "BTCUSDT") == Series("BTCUSDT", "linear")
    day = DAY + dt.timedelta(days=1)
    for change in ({"market": "spot"}, {"symbol": "ETHUSDT"}, {"lacks": ("volatility",)}):
        path = day_path(tmp_path, "BTCUSDT", day)
        write_day(path, rows(1), dataclasses.replace(metadata(day), **change), "snappy")
        with pytest.raises(StoreError, match=rf"{day}\.parquet: bars of .* BTCUSDT \(linear, book"):
            stored_series(tmp_path, "BTCUSDT")
    with pytest.raises(StoreError, match="no bars of ETHUSDT"):
        stored_series(tmp_path, "ETHUSDT")


def test_columns_have_neither_dictionaries_nor_statistics(tmp_path: Path) -> None:
    group = pq.ParquetFile(store(tmp_path, rows(50))).metadata.row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    assert len(columns) == 811
    assert not any(column.has_dictionary_page or column.is_stats_set for column in columns)


@pytest.mark.parametrize(
    ("depths", "expected"),
    [((), False), ((0,), True), ((200,), False), ((1,), False), ((0, 200), False),
     ((200, 0), True), ((0, 0, 500), False)],
)  # fmt: skip
def test_the_last_day_tells_whether_there_are_books(
    depths: tuple[int, ...], expected: bool, tmp_path: Path
) -> None:
    for shift, depth in enumerate(depths):
        day = DAY + dt.timedelta(days=shift)
        written = dataclasses.replace(metadata(day), depth=depth)
        write_day(day_path(tmp_path, "BTCUSDT", day), rows(1), written, "snappy")
    assert without_books(tmp_path, "BTCUSDT") == expected


def test_bars_of_an_earlier_version_are_told_of_in_the_folder_of_a_market_only(
    tmp_path: Path,
) -> None:
    store(tmp_path, rows(1))
    for name, words in (
        ("linear", "bars of no market, of an earlier"),
        ("other", "no such folder"),
    ):
        with pytest.raises(StoreError, match=words):
            load_bars(tmp_path / name, "BTCUSDT")
    (tmp_path / "none" / "linear").mkdir(parents=True)
    with pytest.raises(StoreError, match="no bars at all"):
        load_bars(tmp_path / "none" / "linear", "BTCUSDT")


def test_days_in_the_wrong_order_are_refused_where_the_first_goes_back(tmp_path: Path) -> None:
    for shift, first in enumerate((1440, 0, 2880, 2000)):
        store(tmp_path, rows(9, MIDNIGHT + first), DAY + dt.timedelta(days=shift))
    with pytest.raises(StoreError, match=r"overlap at 2024-01-01 00:00:00\+00:00"):
        load_bars(tmp_path, "BTCUSDT")
