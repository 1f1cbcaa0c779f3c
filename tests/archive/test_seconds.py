"""What seconds tell, beside the bars: the same rows, of one making, or an error that says so."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.archive.etl import run_etl
from quantgod.archive.seconds import load_seconds, read_seconds, seconds_path, write_seconds
from quantgod.archive.store import StoreError, day_path, load_bars, write_day
from quantgod.contracts import SECOND_FIGURES, Floats
from tests.archive.feeds import (
    DAYS,
    MIDNIGHT_MS,
    etl_settings,
    feed,
    pack,
    stored,
    three_days,
    write,
)
from tests.archive.test_store import DAY, MIDNIGHT, metadata, rows


def figures(count: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(count, 12))


def store(bars: Path, day: dt.date = DAY, count: int = 7) -> tuple[Path, Floats]:
    """A day whose rows are some of its first minutes."""
    path, written = day_path(bars, "BTCUSDT", day), figures(count, day.day)
    first = MIDNIGHT + 1440 * (day - DAY).days
    write_seconds(path, first + np.arange(count), written, metadata(day), "snappy")
    write_day(path, rows(count, first), metadata(day), "snappy")
    return path, written


@pytest.mark.parametrize("count", [0, 9])
def test_figures_come_back_bit_for_bit_to_us_and_to_pandas(tmp_path: Path, count: int) -> None:
    path, written = store(tmp_path, count=count)
    assert read_seconds(path, metadata()).tobytes() == written.tobytes()
    frame = pd.read_parquet(seconds_path(path))
    assert tuple(frame.columns) == SECOND_FIGURES
    assert np.ascontiguousarray(frame.to_numpy()).tobytes() == written.tobytes()
    assert str(frame.index.dtype) == "datetime64[us, UTC]"


def test_figures_of_wanted_days_have_the_rows_of_their_bars(tmp_path: Path) -> None:
    days = [DAY + dt.timedelta(days=shift) for shift in (1, 0, 2)]
    for day in days:
        store(tmp_path, day)
    assert load_seconds(tmp_path, "BTCUSDT").index.equals(load_bars(tmp_path, "BTCUSDT").index)
    some = load_seconds(tmp_path, "BTCUSDT", ["ofi_1", "obi_std"], days=(days[1], days[0]))
    assert some.shape == (14, 2)
    assert some["ofi_1"].tolist()[:7] == figures(7, DAY.day)[:, 10].tolist()
    with pytest.raises(StoreError, match=r"unknown figures \['close'\]: there are second_dev"):
        load_seconds(tmp_path, "BTCUSDT", ["close"])
    with pytest.raises(StoreError, match="no bars of ETHUSDT"):
        load_seconds(tmp_path, "ETHUSDT")


SPOILED: dict[str, Callable[[Path], object]] = {
    "absent": lambda path: seconds_path(path).unlink(),
    "half": lambda path: seconds_path(path).write_bytes(seconds_path(path).read_bytes()[:900]),
    "foreign": lambda path: pd.DataFrame({"a": [1.0]}).to_parquet(seconds_path(path)),
    "of another day's making": lambda path: write_seconds(
        path, MIDNIGHT + np.arange(7), figures(7), replace(metadata(), day_key="ef" * 32), "snappy"
    ),
    "stitched otherwise": lambda path: write_seconds(
        path, MIDNIGHT + np.arange(7), figures(7), replace(metadata(), stitch_key="ef"), "snappy"
    ),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_figures_that_do_not_belong_to_the_bars_are_not_read_with_them(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    path, _ = store(tmp_path)
    spoil(path)
    with pytest.raises(StoreError, match=r"seconds/2024-01-01.parquet does not belong .* run etl"):
        load_seconds(tmp_path, "BTCUSDT")
    assert len(load_bars(tmp_path, "BTCUSDT")) == 7


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_an_etl_makes_a_day_anew_whose_figures_do_not_belong_to_it(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    write(tmp_path / "a", three_days())
    run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    good, times = stored(tmp_path / "b"), _times(tmp_path / "b")
    path = day_path(tmp_path / "b", "BTCUSDT", DAYS[1])
    spoil(path)
    run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    assert stored(tmp_path / "b") == good
    changed = {name for name, time in _times(tmp_path / "b").items() if time != times[name]}
    assert changed == {path, seconds_path(path)}


def _times(bars: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in bars.rglob("*.parquet")}


def test_a_backfilled_day_of_which_only_the_figures_were_stitched_is_made_anew(
    tmp_path: Path,
) -> None:
    """So an etl leaves it that is killed between its two files."""
    lines = feed(MIDNIGHT_MS - 600_000, 1200, snapshots=[120])
    pack(tmp_path / "a", DAYS[1], lines[120:])
    run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    path = day_path(tmp_path / "b", "BTCUSDT", DAYS[1])
    bars = path.read_bytes()
    pack(tmp_path / "a", DAYS[0], lines[:120])
    run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    good = stored(tmp_path / "b")
    path.write_bytes(bars)
    assert run_etl(tmp_path / "a", tmp_path / "b", etl_settings()).totals["rows"] == 18
    assert stored(tmp_path / "b") == good


def test_a_day_s_first_flow_is_told_by_the_last_second_of_the_day_before(tmp_path: Path) -> None:
    """Two days as one feed has them, whichever came first, and nothing flows where it is alone."""
    lines = feed(MIDNIGHT_MS - 600_000, 1200, snapshots=[120])
    pack(tmp_path / "one", DAYS[0], lines)
    run_etl(tmp_path / "one", tmp_path / "whole", etl_settings())
    whole = load_seconds(tmp_path / "whole", "BTCUSDT")
    for order in ((0, 1), (1, 0)):
        for place in order:
            pack(tmp_path / f"a{order}", DAYS[place], (lines[:120], lines[120:])[place])
            run_etl(tmp_path / f"a{order}", tmp_path / f"b{order}", etl_settings())
        both = load_seconds(tmp_path / f"b{order}", "BTCUSDT")
        pd.testing.assert_frame_equal(both, whole, check_exact=True)
    assert pd.Timestamp(DAYS[1], tz="UTC") in whole.index


def test_imported_bars_have_none(tmp_path: Path) -> None:
    path = day_path(tmp_path, "BTCUSDT", DAY)
    write_day(path, rows(3), replace(metadata(), lacks=()), "snappy")
    with pytest.raises(StoreError, match=r"imported bars, of whose seconds nothing is known"):
        load_seconds(tmp_path, "BTCUSDT")


@pytest.mark.parametrize("broken", [np.full((7, 12), np.nan), np.zeros((7, 11)), np.zeros((6, 12))])
def test_figures_that_break_the_contract_leave_the_old_file(tmp_path: Path, broken: Floats) -> None:
    path, _ = store(tmp_path)
    before = seconds_path(path).read_bytes()
    with pytest.raises(StoreError, match=r"BTCUSDT 2024-01-01: finite figures \(7, 12\) were exp"):
        write_seconds(path, MIDNIGHT + np.arange(7), broken, metadata(), "snappy")
    assert seconds_path(path).read_bytes() == before
    assert list(seconds_path(path).parent.iterdir()) == [seconds_path(path)]
