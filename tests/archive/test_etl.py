"""From archives to stored days: what comes out is right and whole, and what stands is kept."""

from __future__ import annotations

import math
import os
import signal
import statistics
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from quantgod.archive.etl import EtlError, run_etl
from quantgod.archive.seconds import seconds_path
from quantgod.archive.store import read_metadata, stored_days
from quantgod.contracts import BAR_COLUMNS, BOOK_COLUMNS, FEATURES, SECOND_FIGURES
from quantgod.market.book import Quote
from quantgod.settings import SimulateSettings
from quantgod.simulation.archives import price_path, start_ms, write_archives
from quantgod.simulation.market import SimulatedMarket
from tests.archive.feeds import (
    DAYS,
    FULL,
    MIDNIGHT_MS,
    ROOT,
    etl_settings,
    feed,
    pack,
    stored,
    three_days,
    whole_bars,
    write,
)
from tests.market.test_second_figures import written

EXCERPT = ROOT.parent / "shared" / "data" / "2024-12-01_XRPUSDT_ob500.data.zip"


def market_settings(**changes: Any) -> SimulateSettings:
    small = {"days": 3, "levels": 200, "cadence_ms": 5000, "changes": 6}
    return FULL.simulate.model_copy(update={**small, **changes})


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


def test_a_day_is_one_file_of_810_columns_and_one_of_twelve(bars: Path) -> None:
    names = [f"2024-01-0{day}.parquet" for day in (1, 2, 3)]
    assert list(stored(bars)) == [
        f"BTCUSDT/{part}{name}" for part in ("", "seconds/") for name in names
    ]
    for path in stored_days(bars, "BTCUSDT"):
        seconds = pd.read_parquet(seconds_path(path))
        assert tuple(seconds.columns) == SECOND_FIGURES
        assert seconds.index.equals(pd.read_parquet(path, columns=["close"]).index)
        frame = pd.read_parquet(path)
        assert tuple(frame.columns) == BAR_COLUMNS
        assert frame.shape[1] == 810
        assert set(frame.dtypes) == {np.dtype("float64")}


@pytest.mark.parametrize("left", [b"", b'{"topic":"orderbo\n'], ids=["missing", "cut off"])
def test_a_day_that_one_lost_message_costs_is_named_with_the_share_and_the_reason(
    market: Path, tmp_path: Path, left: bytes
) -> None:
    """A message is missing, or cut off, at 00:05, and no later snapshot brings the book back."""
    with zipfile.ZipFile(market / "2024-01-01_BTCUSDT_ob200.data.zip") as archive:
        lines = archive.read(archive.namelist()[0]).splitlines(keepends=True)
    pack(tmp_path / "a", DAYS[0], [*lines[:62], left, *lines[63:]], depth=200)
    report = run_etl(tmp_path / "a", tmp_path / "bars", etl_settings())
    (loss,) = report.losses()
    assert report.archives[0].rows == 4
    assert ": 1434 of 1438 minutes (99.7 %) are lost: " in loss
    assert "no_book 1433" in loss


def test_no_share_condemns_a_file_of_seconds_or_one_that_begins_late(tmp_path: Path) -> None:
    late = feed(MIDNIGHT_MS + 14 * 3_600_000 + 31_000, 600)
    pack(tmp_path / "a", DAYS[1], late)
    pack(tmp_path / "a", DAYS[2], feed(MIDNIGHT_MS + 86_400_000, 40, first_id=7))
    report = run_etl(tmp_path / "a", tmp_path / "bars", etl_settings(least_coverage=1.0))
    assert report.losses() == []
    assert [archive.rows for archive in report.archives] == [8, 0]


def test_rows_are_counted_and_in_order_from_day_to_day(bars: Path) -> None:
    """The first minute has no close before it; the last stays open, for there is no second 59."""
    index = whole_bars(bars).index
    expected = pd.date_range("2024-01-01 00:01", "2024-01-03 23:58", freq="min", tz="UTC")
    assert index.equals(expected.as_unit("us").rename("datetime"))
    counts = [pq.read_metadata(path).num_rows for path in stored_days(bars, "BTCUSDT")]
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
    """The market's own book of each second gives the columns and, by other code, the figures."""
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
        assert row[[*BOOK_COLUMNS]].tolist() == flat
        before, *quotes = map(_quote, books[60 * minute - 1 : 60 * minute + 60])
        figures = [*written(before, quotes).values()]
        np.testing.assert_allclose(
            row[[*SECOND_FIGURES]].to_numpy(), figures, rtol=1e-9, atol=1e-12
        )
        expected = _features(samples, closes[minute - 1])
        np.testing.assert_allclose(row.iloc[:10].to_numpy(), expected, rtol=1e-9, atol=1e-13)


def _floats(side: Sequence[tuple[Any, Any]]) -> list[tuple[float, float]]:
    return [(float(price), float(size)) for price, size in side]


def _micro(bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> float:
    (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
    return bid + (ask - bid) * bid_size / (bid_size + ask_size)


def _quote(book: list[list[tuple[float, float]]]) -> Quote:
    depths = [sum(size for _, size in side[:5]) for side in book]
    return *book[0][0], *book[1][0], *depths


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
    assert any(name.startswith("README.md: ") for name in report.ignored)


# The same by every way


@pytest.mark.long
def test_two_processes_give_the_same_files_as_one(market: Path, bars: Path, tmp_path: Path) -> None:
    notes: list[tuple[int, int, str]] = []
    report = run_etl(market, tmp_path, etl_settings(workers=2), lambda *note: notes.append(note))
    assert stored(tmp_path) == stored(bars)
    assert [done for done, _, _ in notes] == list(range(1, len(notes) + 1))
    assert notes[-1][0] == notes[-1][1]
    assert report.totals["lines"] == 3 * 17_280
    assert report.totals["outcomes"] == {"accepted": 3}


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
    seconds_aside = f"BTCUSDT/quarantine/seconds/2024-01-01.{mark}.parquet"
    assert bad[aside] == good["BTCUSDT/2024-01-01.parquet"]
    assert bad[seconds_aside] == good["BTCUSDT/seconds/2024-01-01.parquet"]
    assert not {"BTCUSDT/2024-01-01.parquet", "BTCUSDT/seconds/2024-01-01.parquet"} & set(bad)
    assert "BTCUSDT/quarantine/2024-01-01.json" in bad
    # the next day has lost its day before, and says so
    assert report.archives[1].dropped == {"no_previous_close": 1}
    path.write_bytes(whole)
    assert not run_etl(tmp_path / "a", tmp_path / "b", etl_settings()).has_quarantine
    healed = stored(tmp_path / "b")
    assert {name: healed[name] for name in good} == good
    assert set(healed) - set(good) == {aside, seconds_aside}


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


def test_no_archives_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a folder of archives was expected at"):
        run_etl(tmp_path / "nowhere", tmp_path / "b", etl_settings())
    pack(tmp_path / "a", DAYS[0], three_days()[DAYS[0]])
    with pytest.raises(ValueError, match="no archives of XRPUSDT on linear under"):
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
    finished = [DAYS[0], DAYS[2]]
    assert [path.stem for path in stored_days(tmp_path / "b", "BTCUSDT")] == list(
        map(str, finished)
    )
    run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    run_etl(tmp_path / "a", tmp_path / "fresh", etl_settings())
    assert stored(tmp_path / "b") == stored(tmp_path / "fresh")


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


@pytest.mark.long
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
            assert pq.read_table(path).num_columns == (13 if path.parent.name == "seconds" else 811)
    run_etl(market, tmp_path, etl_settings())
    assert stored(tmp_path) == stored(bars)


def _moments() -> Iterator[Any]:
    """While the first file is being written, as soon as one stands, and as soon as a day does."""
    yield lambda folder: next(folder.rglob("*.part"), None)
    yield lambda folder: next(folder.rglob("*.parquet"), None)
    yield lambda folder: stored_days(folder, "BTCUSDT")


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
