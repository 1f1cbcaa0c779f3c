"""From archives to stored days: what comes out is right, the same by every way, and whole."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from distributed import LocalCluster
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from quantgod.archive import stitch
from quantgod.archive.etl import EtlError, run_etl
from quantgod.archive.kernel import read_archive
from quantgod.archive.outcome import ArchiveReport
from quantgod.archive.parallel import Crash, run_all
from quantgod.archive.plan import find_archives
from quantgod.archive.quality import QualityReport
from quantgod.archive.reading import DayReading
from quantgod.archive.simulated import price_path, start_ms, write_archives
from quantgod.archive.store import load_bars, read_metadata
from quantgod.contracts import BAR_COLUMNS, FEATURES
from quantgod.market.simulator import SimulatedMarket
from quantgod.settings import EtlSettings, SimulateSettings, load_settings
from tests.archive.feeds import DAYS, MIDNIGHT_MS, feed, pack

ROOT = Path(__file__).parents[2]
EXCERPT = ROOT.parent / "shared" / "data" / "2024-12-01_XRPUSDT_ob500.data.zip"
FULL = load_settings(ROOT / "conf" / "full.yaml")

Feeds = dict[dt.date, list[bytes]]


def etl_settings(**changes: Any) -> EtlSettings:
    return FULL.etl.model_copy(update={"workers": 1, **changes})


def market_settings(**changes: Any) -> SimulateSettings:
    small = {"days": 3, "levels": 200, "cadence_ms": 5000, "changes": 6}
    return FULL.simulate.model_copy(update={**small, **changes})


def stored(bars: Path) -> dict[str, bytes]:
    """Every visible file below a folder of bars, with its bytes."""
    files = sorted(path for path in bars.rglob("*") if path.is_file())
    return {path.relative_to(bars).as_posix(): path.read_bytes() for path in files}


def whole_bars(bars: Path) -> pd.DataFrame:
    return load_bars(bars, "BTCUSDT", BAR_COLUMNS)


def accepted(report: QualityReport) -> list[ArchiveReport]:
    return [archive for archive in report.archives if archive.is_accepted]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives of three whole simulated days, a message every five seconds."""
    folder = tmp_path_factory.mktemp("market") / "archives"
    write_archives(folder, "BTCUSDT", market_settings())
    return folder


@pytest.fixture(scope="module")
def bars(market: Path) -> Path:
    """Their bars, by one process in date order."""
    run_etl(market, market.parent / "bars", etl_settings())
    return market.parent / "bars"


# What the documents ask of an etl's output


def test_a_day_is_one_file_of_810_columns(bars: Path) -> None:
    assert list(stored(bars)) == [f"BTCUSDT/2024-01-0{day}.parquet" for day in (1, 2, 3)]
    for path in sorted((bars / "BTCUSDT").iterdir()):
        frame = pd.read_parquet(path)
        assert tuple(frame.columns) == BAR_COLUMNS
        assert frame.shape[1] == 810
        assert set(frame.dtypes) == {np.dtype("float64")}


def test_rows_are_counted_and_in_order_from_day_to_day(bars: Path) -> None:
    """The first minute has no close before it; the last stays open, for there is no second 59."""
    index = whole_bars(bars).index
    expected = pd.date_range("2024-01-01 00:01", "2024-01-03 23:58", freq="min", tz="UTC")
    assert index.equals(expected.as_unit("us").rename("datetime"))
    counts = [pq.read_metadata(path).num_rows for path in sorted((bars / "BTCUSDT").iterdir())]
    assert counts == [1438, 1440, 1440]


def test_the_books_are_sorted_and_not_crossed(bars: Path) -> None:
    frame = whole_bars(bars)
    prices = {
        side: frame[[f"{side}_{level}_p" for level in range(200)]].to_numpy()
        for side in ("bid", "ask")
    }
    assert (np.diff(prices["bid"], axis=1) < 0).all()
    assert (np.diff(prices["ask"], axis=1) > 0).all()
    assert (prices["bid"][:, 0] < prices["ask"][:, 0]).all()
    sizes = frame[[name for name in BAR_COLUMNS if name.endswith("_s")]].to_numpy()
    assert (sizes > 0).all()


def test_the_ten_columns_are_never_null_and_mean_what_they_say(bars: Path) -> None:
    frame = whole_bars(bars)
    ten = frame[[*FEATURES, "close"]]
    assert np.isfinite(ten.to_numpy()).all()
    returns = np.diff(np.log(frame["close"].to_numpy()))
    np.testing.assert_allclose(ten["log_ret_close"].to_numpy()[1:], returns, atol=1e-12)
    assert (ten[["upper_wick", "lower_wick", "volatility", "max_spread"]] >= 0).all().all()
    assert (ten[["mean_obi", "mean_deep_obi"]].abs() <= 1).all().all()
    np.testing.assert_allclose(ten["log_volume"], math.log(13))
    between = (frame["bid_0_p"] < frame["close"]) & (frame["close"] < frame["ask_0_p"])
    assert between.all()


# Against the truth


def test_the_rows_tell_the_simulators_truth(tmp_path: Path) -> None:
    """The market's own book of each second gives the columns and, by other code, the features."""
    settings = market_settings(days=1, cadence_ms=1000, changes=40)
    make = partial(SimulatedMarket, "BTCUSDT", settings, price_path(settings), start_ms(settings))
    pack(tmp_path / "a", DAYS[0], [make().lines(0, 0, 300)])
    run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    frame = whole_bars(tmp_path / "b")
    assert len(frame) == 4
    truth = make()
    books = []
    for second in range(300):
        truth.lines(0, second, 1)
        books.append([_floats(side) for side in truth.book()])
    closes = [_micro(*book) for book in books[59::60]]
    for minute, (_, row) in enumerate(frame.iterrows(), start=1):
        samples = books[60 * minute : 60 * minute + 60]
        flat = [value for side in samples[-1] for level in side[:200] for value in level]
        assert row.iloc[10:].tolist() == flat
        expected = _features(samples, closes[minute - 1])
        np.testing.assert_allclose(row.iloc[:10].to_numpy(), expected, rtol=1e-9, atol=1e-13)


def _floats(side: Sequence[tuple[Any, Any]]) -> list[tuple[float, float]]:
    return [(float(price), float(size)) for price, size in side]


def _micro(bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> float:
    (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
    return bid + (ask - bid) * bid_size / (bid_size + ask_size)


def _imbalance(samples: list[Any], levels: int) -> float:
    sums = [[sum(size for _, size in side[:levels]) for side in book] for book in samples]
    return statistics.fmean((bid - ask) / (bid + ask) for bid, ask in sums)


def _features(samples: list[Any], previous: float) -> list[float]:
    micro = [_micro(*book) for book in samples]
    opening, close = micro[0], micro[-1]
    return [
        math.log(close / opening),
        (max(micro) - max(opening, close)) / previous,
        (min(opening, close) - min(micro)) / previous,
        math.log(close / previous),
        statistics.stdev(math.log(price) for price in micro),
        max(2 * (asks[0][0] - bids[0][0]) / (asks[0][0] + bids[0][0]) for bids, asks in samples),
        _imbalance(samples, 1),
        _imbalance(samples, 5),
        math.log(61),
        close,
    ]


@pytest.mark.skipif(not EXCERPT.exists(), reason="the real recordings are not beside the project")
def test_a_real_excerpt_is_accepted(tmp_path: Path) -> None:
    """Five seconds are no minute, but every line of them is good."""
    report = run_etl(EXCERPT.parent, tmp_path, etl_settings(), symbol="XRPUSDT")
    [archive] = report.archives
    assert archive.outcome == "accepted"
    assert (archive.lines, archive.applied, archive.rows) == (50, 50, 0)
    assert (archive.depth, archive.rejected, archive.dropped) == (500, {}, {})
    assert read_metadata(tmp_path / "XRPUSDT" / "2024-12-01.parquet").depth == 500
    assert "README.md" in report.ignored


# The same by every way


def test_two_processes_give_the_same_files_as_one(market: Path, bars: Path, tmp_path: Path) -> None:
    notes: list[tuple[int, int, str]] = []
    report = run_etl(market, tmp_path, etl_settings(workers=2), lambda *note: notes.append(note))
    assert stored(tmp_path) == stored(bars)
    assert [done for done, _, _ in notes] == list(range(1, len(notes) + 1))
    assert notes[-1][0] == notes[-1][1]
    assert report.totals["lines"] == 3 * 17_280
    assert report.totals["outcomes"] == {"accepted": 3}


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real scheduler on loopback with two worker processes."""
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        scheduler_kwargs={"dashboard": False},
        local_directory=str(tmp_path_factory.mktemp("dask")),
    ) as cluster:
        yield cluster.scheduler_address


def test_a_dask_cluster_gives_the_same_files(scheduler: str, tmp_path: Path) -> None:
    assert scheduler.startswith("tcp://127.0.0.1:")
    write(tmp_path / "a", three_days())
    alone = run_etl(tmp_path / "a", tmp_path / "alone", etl_settings())
    report = run_etl(tmp_path / "a", tmp_path / "many", etl_settings(scheduler=scheduler))
    assert stored(tmp_path / "many") == stored(tmp_path / "alone")
    assert report == alone


def test_a_cluster_outlives_work_that_kills_its_workers(scheduler: str) -> None:
    """Dask tries it elsewhere a few times; what else ran there then may be given up too."""
    work = run_all(_one_over_or_die, [-1, 1, 0, 2], etl_settings(scheduler=scheduler))
    results = {done.given: done.result for done in work}
    assert set(results) == {-1, 0, 1, 2}
    assert "its worker died" in str(results[-1])
    again = {
        done.given: done.result
        for done in run_all(_one_over, [0, 2], etl_settings(scheduler=scheduler))
    }
    assert again[2] == 0.5
    assert "ZeroDivisionError" in str(again[0])


def _one_over_or_die(value: int) -> float:
    if value < 0:
        os._exit(1)
    return _one_over(value)


def three_days() -> Feeds:
    """Ten minutes before a midnight, the short day after it, and the start of a third.

    A message of the second day comes twice.
    """
    begin = MIDNIGHT_MS - 600_000
    lines = feed(begin, 1200, snapshots=[120])
    third = feed(MIDNIGHT_MS + 86_400_000, 300, seed=1, first_id=9000)
    return {DAYS[0]: lines[:120], DAYS[1]: [*lines[120:125], *lines[124:]], DAYS[2]: third}


def write(folder: Path, days: Feeds) -> None:
    for date, lines in days.items():
        pack(folder, date, lines)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_days_that_come_one_by_one_in_any_order_give_the_same_files(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    days = three_days()
    write(tmp_path / "together", days)
    whole = run_etl(tmp_path / "together", tmp_path / "b1", etl_settings())
    for place in order:
        pack(tmp_path / "by_one", DAYS[place], days[DAYS[place]])
        last = run_etl(tmp_path / "by_one", tmp_path / "b2", etl_settings())
    assert stored(tmp_path / "b2") == stored(tmp_path / "b1")
    assert last == whole
    assert accepted(whole)[1].dropped == {}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    step=st.sampled_from([1, 4, 5]),
    cut=st.integers(1, 239),
    snapshots=st.sets(st.integers(1, 239), max_size=3),
    lost=st.sets(st.integers(1, 239), max_size=2),
    order=st.permutations([0, 1]),
)
def test_a_feed_cut_anywhere_into_two_days_gives_the_rows_of_one(
    tmp_path_factory: pytest.TempPathFactory,
    step: int,
    cut: int,
    snapshots: set[int],
    lost: set[int],
    order: list[int],
) -> None:
    """Files may overlap their midnight by an hour, so any cut is a possible pair of archives."""
    folder = tmp_path_factory.mktemp("cut")
    begin = MIDNIGHT_MS - 120_000 * step
    lines = feed(begin, 240 * step, step_seconds=step, snapshots=snapshots)
    parts = [
        [lines[place] for place in part if place not in lost]
        for part in (range(cut), range(cut, len(lines)))
    ]
    assume(parts[0] and parts[1])
    pack(folder / "whole", DAYS[0], parts[0] + parts[1])
    whole = run_etl(folder / "whole", folder / "b1", etl_settings())
    for place in order:
        pack(folder / "cut", DAYS[place], parts[place])
        both = run_etl(folder / "cut", folder / "b2", etl_settings())
    pd.testing.assert_frame_equal(whole_bars(folder / "b2"), whole_bars(folder / "b1"))
    for name in ("lines", "applied", "rejected", "rows", "dropped"):
        assert both.totals[name] == whole.totals[name], name
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("end", "begin"), [(120, 119), (120, 109), (120, 108), (120, 90), (150, 119), (150, 100)]
)
def test_files_that_overlap_give_every_minute_once(tmp_path: Path, end: int, begin: int) -> None:
    """The later file begins with messages that the earlier one has too, as real ones may."""
    lines = feed(MIDNIGHT_MS - 600_000, 1200, snapshots=[begin])
    parts = (lines[:end], lines[begin:])
    pack(tmp_path / "whole", DAYS[0], lines)
    run_etl(tmp_path / "whole", tmp_path / "bars", etl_settings())
    for order in ((0, 1), (1, 0)):
        for place in order:
            pack(tmp_path / f"a{order}", DAYS[place], parts[place])
            run_etl(tmp_path / f"a{order}", tmp_path / f"b{order}", etl_settings())
    assert stored(tmp_path / "b(0, 1)") == stored(tmp_path / "b(1, 0)")
    whole, both = whole_bars(tmp_path / "bars"), whole_bars(tmp_path / "b(0, 1)")
    # what comes in the second in which the first file ends is counted once more
    seam = whole.index[0] + pd.Timedelta(minutes=(end - 1) // 12 - 1)
    whole.loc[seam, "log_volume"] = both.loc[seam, "log_volume"]
    pd.testing.assert_frame_equal(both, whole)


@pytest.mark.parametrize("starts_with", ["snapshot", "deltas"])
def test_a_backfilled_day_costs_the_next_one_its_first_minutes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starts_with: str
) -> None:
    """Unless it began with deltas, of which none could be used: then it is read again."""
    read: list[tuple[int, int]] = []

    def spy(path: Path, symbol: str, date: dt.date, *rest: Any) -> DayReading:
        reading = read_archive(path, symbol, date, *rest)
        read.append((date.day, reading.lines))
        return reading

    monkeypatch.setattr(stitch, "read_archive", spy)
    lines = feed(MIDNIGHT_MS - 600_000, 1200, snapshots=[120] if starts_with == "snapshot" else [])
    for place, part in ((1, lines[120:]), (0, lines[:120])):
        pack(tmp_path / "a", DAYS[place], part)
        run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    # message 24 of the day closes its second minute
    again = [(2, 25), (2, 25)] if starts_with == "snapshot" else [(2, 120)]
    assert read == [(2, 120), (1, 120), *again]
    assert len(whole_bars(tmp_path / "b")) == 18


# What stands is left alone, and what does not is not


def test_a_day_that_stands_is_not_read_again(tmp_path: Path) -> None:
    write(tmp_path / "a", three_days())
    first = run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "b").rglob("*.parquet")}
    (tmp_path / "a").rename(tmp_path / "moved")
    notes: list[str] = []
    again = run_etl(
        tmp_path / "moved",
        tmp_path / "b",
        etl_settings(compression="zstd", workers=2),
        lambda _done, _total, note: notes.append(note),
    )
    assert again == first
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert [note.rsplit(" ", 1)[1] for note in notes] == ["stands"] * 3


@pytest.mark.parametrize("change", [{"max_silence_seconds": 3}, {"frozen_minutes": 2}])
def test_other_rules_make_the_days_anew(tmp_path: Path, change: dict[str, int]) -> None:
    write(tmp_path / "a", three_days())
    before = run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    after = run_etl(tmp_path / "a", tmp_path / "b", etl_settings(**change))
    fresh = run_etl(tmp_path / "a", tmp_path / "fresh", etl_settings(**change))
    assert stored(tmp_path / "b") == stored(tmp_path / "fresh")
    assert after == fresh
    assert (after.totals["rows"] < before.totals["rows"]) == ("max_silence_seconds" in change)


@pytest.mark.parametrize("snapshot", [120, 140])
def test_a_new_archive_of_a_day_restitches_the_next(tmp_path: Path, snapshot: int) -> None:
    """Also when the next begins with deltas that fitted the old archive and not the new one."""
    lines = feed(MIDNIGHT_MS - 600_000, 1200, snapshots=[snapshot])
    changed = feed(MIDNIGHT_MS - 600_000, 600, seed=7, first_id=5)
    write(tmp_path / "a", {DAYS[0]: lines[:120], DAYS[1]: lines[120:]})
    run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    pack(tmp_path / "a", DAYS[0], changed)
    run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    run_etl(tmp_path / "a", tmp_path / "fresh", etl_settings())
    assert stored(tmp_path / "b") == stored(tmp_path / "fresh")


def test_bars_whose_archive_went_bad_are_set_aside_and_come_back(tmp_path: Path) -> None:
    days = three_days()
    write(tmp_path / "a", days)
    run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    good = stored(tmp_path / "b")
    path = pack(tmp_path / "a", DAYS[0], days[DAYS[0]])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    report = run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    assert [one.reason for one in report.archives] == ["bad_zip", None, None]
    bad = stored(tmp_path / "b")
    mark = read_metadata(next((tmp_path / "b").glob("*/quarantine/*.parquet"))).day_key[:12]
    aside = f"BTCUSDT/quarantine/2024-01-01.{mark}.parquet"
    assert bad[aside] == good["BTCUSDT/2024-01-01.parquet"]
    assert "BTCUSDT/2024-01-01.parquet" not in bad
    assert "BTCUSDT/quarantine/2024-01-01.json" in bad
    # the next day has lost its day before, and says so
    assert report.archives[1].dropped == {"no_previous_close": 1}
    path.write_bytes(whole)
    assert not run_etl(tmp_path / "a", tmp_path / "b", etl_settings()).has_quarantine
    healed = stored(tmp_path / "b")
    assert {name: healed[name] for name in good} == good
    assert set(healed) - set(good) == {aside}


def test_a_deeper_book_takes_the_place_of_a_shallow_one(tmp_path: Path) -> None:
    days = three_days()
    pack(tmp_path / "a", DAYS[0], days[DAYS[0]][:50], depth=200)
    assert run_etl(tmp_path / "a", tmp_path / "b", etl_settings()).totals["rows"] == 3
    pack(tmp_path / "a", DAYS[0], days[DAYS[0]])
    report = run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    assert [(one.outcome, one.reason) for one in report.archives] == [
        ("accepted", None),
        ("quarantined", "duplicate_day"),
    ]
    assert report.totals["rows"] == len(whole_bars(tmp_path / "b")) == 8


# Which files count


def test_archives_are_found_in_any_folder_and_others_listed(tmp_path: Path) -> None:
    lines = three_days()[DAYS[0]]
    path = pack(tmp_path / "linear" / "BTCUSDT", DAYS[0], lines)
    for name in ("2024-02-30_BTCUSDT_ob500.data.zip", "2024-01-02_BTCUSDT_ob500.zip", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "2024-01-05_BTCUSDT_ob500.data.zip").mkdir()
    shutil.copy(path, tmp_path / "2024-01-01_ETHUSDT_ob200.data.zip")
    found, others = find_archives(tmp_path)
    assert [(file.symbol, file.depth) for file in found] == [("BTCUSDT", 500), ("ETHUSDT", 200)]
    assert others == [
        "2024-01-02_BTCUSDT_ob500.zip",
        "2024-02-30_BTCUSDT_ob500.data.zip",
        "notes.txt",
    ]
    report = run_etl(tmp_path, tmp_path / "bars", etl_settings(), symbol="BTCUSDT")
    assert [archive.symbol for archive in report.archives] == ["BTCUSDT"]
    assert report.ignored == others


def test_no_archives_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is none at"):
        run_etl(tmp_path / "nowhere", tmp_path / "b", etl_settings())
    pack(tmp_path / "a", DAYS[0], three_days()[DAYS[0]])
    with pytest.raises(ValueError, match="no archives of XRPUSDT under"):
        run_etl(tmp_path / "a", tmp_path / "b", etl_settings(), symbol="XRPUSDT")
    assert not (tmp_path / "b").exists()


# When things break


def test_a_failing_worker_is_named_when_the_others_are_done(tmp_path: Path) -> None:
    write(tmp_path / "a", three_days())
    blocked = tmp_path / "b" / "BTCUSDT" / "2024-01-02.parquet"
    blocked.mkdir(parents=True)  # so nothing can be stored under this name
    with pytest.raises(EtlError, match=r"2024-01-02_BTCUSDT_ob500.data.zip: \w+Error: ") as failure:
        run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    assert "Traceback" in failure.value.__notes__[0]
    blocked.rmdir()
    finished = ["BTCUSDT/2024-01-01.parquet", "BTCUSDT/2024-01-03.parquet"]
    assert list(stored(tmp_path / "b")) == finished
    run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    run_etl(tmp_path / "a", tmp_path / "fresh", etl_settings())
    assert stored(tmp_path / "b") == stored(tmp_path / "fresh")


def test_an_exception_travels_as_text_and_a_dead_process_is_noticed() -> None:
    results = {done.given: done.result for done in run_all(_one_over, [1, 0], etl_settings())}
    assert results[1] == 1.0
    assert isinstance(results[0], Crash)
    assert results[0].error == "ZeroDivisionError: float division by zero"
    with pytest.raises(RuntimeError, match="terminated"):
        list(run_all(os._exit, [3, 3], etl_settings(workers=2)))


def _one_over(value: int) -> float:
    return 1.0 / value


def test_what_a_killed_etl_left_does_not_confuse_the_next(tmp_path: Path) -> None:
    write(tmp_path / "a", three_days())
    run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    good = stored(tmp_path / "b")
    folder = tmp_path / "b" / "BTCUSDT"
    half = (folder / "2024-01-02.parquet").read_bytes()[:5000]
    (folder / ".2024-01-02.parquet.0123456789abcdef.part").write_bytes(half)
    (folder / "2024-01-03.parquet").unlink()
    assert len(whole_bars(tmp_path / "b")) > 0
    run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    assert stored(tmp_path / "b") == good


def test_an_etl_killed_at_any_time_leaves_whole_days_and_can_go_on(
    market: Path, bars: Path, tmp_path: Path
) -> None:
    for moment in _moments():
        with _started(market, tmp_path) as process:
            deadline = time.monotonic() + 120
            while not moment(tmp_path) and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.001)
            os.killpg(process.pid, signal.SIGKILL)
        for path in tmp_path.rglob("*.parquet"):
            assert pq.read_table(path).num_columns == 811
    run_etl(market, tmp_path, etl_settings())
    assert stored(tmp_path) == stored(bars)


def _moments() -> Iterator[Any]:
    """While the first file is being written, and as soon as one stands."""
    yield lambda folder: next(folder.rglob("*.part"), None)
    yield lambda folder: next(folder.rglob("*.parquet"), None)


def _started(market: Path, bars: Path) -> subprocess.Popen[bytes]:
    program = f"""
        from pathlib import Path
        from quantgod.archive.etl import run_etl
        from quantgod.settings import load_settings
        settings = load_settings(Path({str(ROOT / "conf" / "full.yaml")!r})).etl
        settings = settings.model_copy(update={{"workers": 2}})
        run_etl(Path({str(market)!r}), Path({str(bars)!r}), settings)
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, start_new_session=True
    )


# The command


def test_the_command_takes_a_scheduler_and_fails_on_a_quarantine(
    scheduler: str, tmp_path: Path
) -> None:
    write(tmp_path / "a", three_days())
    run_etl(tmp_path / "a", tmp_path / "alone", etl_settings())
    (tmp_path / "a" / "2024-01-04_BTCUSDT_ob500.data.zip").write_bytes(b"no zip")
    refused = _command(tmp_path, "--scheduler", scheduler)
    assert refused.returncode == 1
    assert "1 quarantined" in refused.stderr
    assert "bad_zip" in refused.stderr
    many = stored(tmp_path / "many")
    assert many.pop("BTCUSDT/quarantine/2024-01-04.json")
    assert many == stored(tmp_path / "alone")
    assert _command(tmp_path, "--allow-quarantine", "true").returncode == 0


def _command(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    places = f"tracking.artifacts={folder / 'artifacts'};tracking.outbox={folder / 'outbox'}"
    data = ["--archives", str(folder / "a"), "--bars", str(folder / "many")]
    return subprocess.run(
        [sys.executable, "-m", "steps.etl", *data, "--set", places, *options],
        cwd=ROOT,
        env=os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"},
        capture_output=True,
        text=True,
        check=False,
    )
