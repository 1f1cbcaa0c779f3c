"""Days joined to the day before: by whatever way they came, the rows are those of one feed."""

from __future__ import annotations

import datetime as dt
import itertools
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from quantgod.archive import day as day_module
from quantgod.archive.day_reading import DayReading
from quantgod.archive.etl import run_etl
from quantgod.archive.kernel import read_archive
from tests.archive.feeds import (
    DAYS,
    MIDNIGHT_MS,
    etl_settings,
    feed,
    pack,
    stored,
    three_days,
    whole_bars,
    write,
)
from tests.later import later

LIMITS = etl_settings().limits.model_copy(update={"corrupt_fraction": 0.5})


ORDERS = list(itertools.permutations(range(3)))


@pytest.mark.parametrize("order", [ORDERS[0], ORDERS[5], *later(*((one,) for one in ORDERS[1:5]))])
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
    assert whole.archives[1].dropped == {}


@pytest.mark.long
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
    ("end", "begin"),
    [(120, 109), (150, 100), *later((120, 119), (120, 108), (120, 90), (150, 119))],
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


def test_a_rejected_line_with_which_a_short_day_ends_is_named_once(tmp_path: Path) -> None:
    """Its second minute closes without a book, so its head is all of it."""
    lines = feed(MIDNIGHT_MS - 600_000, 1200, snapshots=[120])
    for place, part in ((1, [*lines[120:140], b"{\n", *lines[141:147]]), (0, lines[:120])):
        pack(tmp_path / "a", DAYS[place], part)
        report = run_etl(tmp_path / "a", tmp_path / "b", etl_settings(limits=LIMITS))
    named = [(21, "corrupt_json"), *((line, "no_book") for line in range(22, 28))]
    assert report.archives[1].rejected_lines == named
    assert run_etl(tmp_path / "a", tmp_path / "fresh", etl_settings(limits=LIMITS)) == report
    assert stored(tmp_path / "b") == stored(tmp_path / "fresh")


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

    monkeypatch.setattr(day_module, "read_archive", spy)
    lines = feed(MIDNIGHT_MS - 600_000, 1200, snapshots=[120] if starts_with == "snapshot" else [])
    for place, part in ((1, lines[120:]), (0, lines[:120])):
        pack(tmp_path / "a", DAYS[place], part)
        run_etl(tmp_path / "a", tmp_path / "b", etl_settings())
    # message 24 of the day closes its second minute
    again = [(2, 25), (2, 25)] if starts_with == "snapshot" else [(2, 120)]
    assert read == [(2, 120), (1, 120), *again]
    assert len(whole_bars(tmp_path / "b")) == 18


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
