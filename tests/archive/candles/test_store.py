"""What is written joins what is stored, and no stored candle is ever changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.archive.candles.store import (
    CandleConflictError,
    CandleMetadata,
    candle_path,
    holes,
    join_candles,
    open_candles,
    read_candles,
    save_candles,
    stored_candles,
    write_candles,
)
from quantgod.archive.store import StoreError
from quantgod.contracts import CANDLE_COLUMNS, INTERVALS, Candles, PriceKind

WHOSE = CandleMetadata("BTCUSDT", "spot", "1d", "trades")
PARTS = st.lists(st.sets(st.integers(0, 30), min_size=1), min_size=1, max_size=4)


def candles(
    days: set[int], symbol: str = "BTCUSDT", interval: str = "1d", kind: PriceKind = "trades"
) -> Candles:
    """Candles whose values follow from their times."""
    steps = np.array(sorted(days), np.int64)
    values = 100 + steps[:, None] / 7 + np.arange(len(CANDLE_COLUMNS))
    return Candles(symbol, "spot", interval, kind, steps * INTERVALS[interval], values)


def same(one: Candles, other: Candles) -> bool:
    whose = (one.symbol, one.market, one.interval, one.kind)
    return (
        whose == (other.symbol, other.market, other.interval, other.kind)
        and one.time_ms.tolist() == other.time_ms.tolist()
        and one.values.tobytes() == other.values.tobytes()
    )


@given(parts=PARTS, interval=st.sampled_from(["1d", "4h", "1m"]))
def test_parts_in_any_order_make_the_whole_and_come_again_without_a_change(
    tmp_path_factory: pytest.TempPathFactory, parts: list[set[int]], interval: str
) -> None:
    folder = tmp_path_factory.mktemp("store")
    for number, part in enumerate(parts):
        before = set().union(*parts[:number])
        done = write_candles(folder, candles(part, interval=interval), f"part {number}")
        assert (done.new, done.known, done.completed) == (len(part - before), len(part & before), 0)
    whole = set().union(*parts)
    stored = read_candles(folder, "spot", "BTCUSDT", interval)
    assert same(stored, candles(whole, interval=interval))
    path = candle_path(folder, "spot", "BTCUSDT", interval)
    first = [
        next(f"part {n}" for n, part in enumerate(parts) if one in part) for one in sorted(whole)
    ]
    assert pd.read_parquet(path)["source"].tolist() == first
    there = path.stat()
    assert write_candles(folder, stored, "again").new == 0
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (there.st_ino, there.st_mtime_ns)
    assert [path.name for path in folder.rglob("*") if path.is_file()] == [path.name]
    missing = sorted(set(range(min(whole), max(whole))) - whole)
    assert sum(hole.candles for hole in holes(stored)) == len(missing)


def test_what_a_source_did_not_tell_is_added_and_what_it_told_is_never_changed(
    tmp_path: Path,
) -> None:
    whole = candles({1, 2, 3, 5})
    bare = replace(whole, values=np.where(np.arange(8) < 4, whole.values, np.nan))
    write_candles(tmp_path, bare, "bare.csv")
    pair = whole.take(slice(0, 2))
    assert write_candles(tmp_path, pair, "full.csv").completed == 2
    assert write_candles(tmp_path, bare, "bare.csv").known == 4
    stored = read_candles(tmp_path, "spot", "BTCUSDT", "1d")
    assert stored.values[:2].tolist() == whole.values[:2].tolist()
    assert np.isnan(stored.values[2:, 4:]).all()
    path = candle_path(tmp_path, "spot", "BTCUSDT", "1d")
    assert pd.read_parquet(path)["source"].tolist() == ["full.csv"] * 2 + ["bare.csv"] * 2
    content = path.read_bytes()
    rounded = replace(whole, values=whole.values * (1 + 1e-12))
    other = replace(whole, values=whole.values + np.eye(4, 8))  # each row in one column
    assert write_candles(tmp_path, rounded, "rounded.csv").completed == 2
    assert (
        read_candles(tmp_path, "spot", "BTCUSDT", "1d").values[0].tolist()
        == whole.values[0].tolist()
    )
    path.write_bytes(content)
    says = "4 candles .* 1970-01-02 00:00: open is 100.* by full.csv, and 101.* by other.csv"
    with pytest.raises(CandleConflictError, match=says):
        write_candles(tmp_path, other, "other.csv")
    assert path.read_bytes() == content
    first = pd.read_parquet(path)
    assert first.index[0] == pd.Timestamp("1970-01-02", tz="UTC")
    assert first["close"].tolist() == whole.column("close").tolist()


def test_series_are_kept_apart_and_each_file_says_whose_it_is(tmp_path: Path) -> None:
    series = [
        candles({1, 2}),
        candles({1, 2}, "ETHUSDT"),
        candles({24, 25}, interval="1h"),
        replace(candles({1}, kind="micro"), values=np.full((1, 8), 7.0)),
        replace(candles({1}), market="linear"),
    ]
    for one in series:
        write_candles(tmp_path, one, "x")
    for one in series:
        read = read_candles(tmp_path, one.market, one.symbol, one.interval, one.kind)
        assert same(read, one)
    paths = [
        candle_path(tmp_path, one.market, one.symbol, one.interval, one.kind) for one in series
    ]
    assert {path for path, _ in stored_candles(tmp_path)} == set(paths)
    with pytest.raises(ValueError, match=r"of BTCUSDT \(spot, 1d, trades\) were expected, got"):
        join_candles(open_candles(tmp_path, WHOSE), series[1], "x")
    for strange in paths[1:]:
        paths[0].write_bytes(strange.read_bytes())
        with pytest.raises(StoreError, match=r"holds candles of .* were expected"):
            read_candles(tmp_path, "spot", "BTCUSDT", "1d")
        with pytest.raises(StoreError, match=r"holds candles of .* were expected"):
            write_candles(tmp_path, series[0], "x")


def test_what_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    asked = ("spot", "BTCUSDT", "1d")
    with pytest.raises(StoreError, match=r"no candles of BTCUSDT \(spot, 1d, trades\).*no such"):
        read_candles(tmp_path / "none", *asked)
    with pytest.raises(StoreError, match="no candles at all"):
        read_candles(tmp_path, *asked)
    write_candles(tmp_path, candles({1}, kind="micro"), "bars")
    with pytest.raises(StoreError, match=r"it holds BTCUSDT \(spot, 1d, micro\)"):
        read_candles(tmp_path, *asked)
    with pytest.raises(StoreError, match="there are none to store"):
        save_candles(tmp_path, open_candles(tmp_path, WHOSE))
    path = candle_path(tmp_path, *asked)
    for content in (b"", b"PAR1", b"nothing of the kind"):
        path.write_bytes(content)
        with pytest.raises(StoreError, match="not a whole Parquet"):
            read_candles(tmp_path, *asked)
    pd.DataFrame({"close": [1.0]}).to_parquet(path)
    with pytest.raises(StoreError, match="without quantgod's metadata"):
        write_candles(tmp_path, candles({1}), "x")


def test_holes_are_told_by_their_first_and_last_candle() -> None:
    found = holes(candles({1, 2, 5, 6, 8}))
    assert [tuple(hole) for hole in found] == [
        ("1970-01-04 00:00", "1970-01-05 00:00", 2),
        ("1970-01-08 00:00", "1970-01-08 00:00", 1),
    ]
    assert holes(candles(set())) == holes(candles({3})) == []
