from __future__ import annotations

import datetime as dt
import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantgod.archive import inventory
from quantgod.archive.inventory import Holding, held_archives, held_bars, of_minutes
from quantgod.archive.plan import ArchiveFile
from tests.archive.feeds import FULL, pack
from tests.archive.test_store import MIDNIGHT, rows, store

FIRST = 28_401_120  # the epoch minute of 2024-01-01T00:00Z
steps = st.lists(st.sampled_from([1, 1, 1, 2, 3, 50, 1440, 3000]), max_size=12)


@given(steps)
@example([])
@example([2])
@example([3, 1, 3, 2])
def test_a_series_is_described_by_its_days_coverage_and_longest_hole(steps):
    minutes = list(itertools.accumulate(steps, initial=FIRST + 1_400))
    holes = [(b - a - 1, a + 1) for a, b in itertools.pairwise(minutes) if b - a > 1]
    told = "none"
    if holes:
        longest, begin = max(holes, key=lambda hole: (hole[0], -hole[1]))
        moment = dt.datetime.fromtimestamp(60 * begin, dt.UTC)
        told = f"{len(holes)}, the longest of {longest} minutes from {moment:%Y-%m-%d %H:%M} on"
    days = sorted({dt.date(1970, 1, 1) + dt.timedelta(minutes=minute) for minute in minutes})
    share = len(minutes) / (minutes[-1] - minutes[0] + 1)
    assert of_minutes("linear", "X", np.array(minutes), "so") == Holding(
        "linear", "X", str(days[0]), str(days[-1]), len(days), share, told, "so"
    )


@given(st.sets(st.integers(1, 28), min_size=1, max_size=9))
@example({1})
@example({1, 3, 4, 6})
@example({2, 3, 7, 20})
def test_archives_are_described_by_their_days_and_longest_hole(days):
    dates = [dt.date(2024, 2, day) for day in sorted(days)]
    files = [ArchiveFile(None, str(date), "linear", "X", date, 500) for date in dates]
    holes = [((b - a).days - 1, a) for a, b in itertools.pairwise(dates) if (b - a).days > 1]
    told = "none"
    if holes:
        longest, before = max(holes, key=lambda hole: (hole[0], -hole[1].toordinal()))
        begin = before + dt.timedelta(days=1)
        told = f"{len(holes)}, the longest of {longest} days from {begin} on"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inventory, "_bytes", lambda file, limits: 100)
        patch.setattr(inventory, "_stored", lambda *_: "")
        found = inventory._of_files("linear", "X", files, FULL.etl.limits, FULL.data.bars)
    share = len(dates) / ((dates[-1] - dates[0]).days + 1)
    assert found == Holding(
        "linear", "X", str(dates[0]), str(dates[-1]), len(dates), share, told, "ob500", "days"
    )


@pytest.mark.parametrize(("sizes", "told"), [
    ([], []), ([5], []), ([100, 100, 20], []), ([0, 0], []),
    ([100, 19, 100], ["1 of less than a fifth of the usual size: b"]),
    ([19, 19, 100, 100, 100], ["2 of less than a fifth of the usual size: a, ..."]),
    ([19, 100, 0, 100, 3, 100, 100], ["3 of less than a fifth of the usual size: a, ..."]),
])  # fmt: skip
def test_small_archives_are_told_of(sizes, told):
    files = [ArchiveFile(None, name, "linear", "X", dt.date(2024, 1, 1), 500) for name in "abcdefg"]
    assert list(inventory._small(dict(zip(files, sizes, strict=False)))) == told


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_archives_that_cannot_be_opened_are_told_of(cut, tmp_path):
    for day in (1, 2, 3):
        path = pack(tmp_path / "archives", dt.date(2024, 1, day), [b"{}\n"])
        if day <= cut:
            path.write_bytes(b"half a zip")
    [held], others = held_archives(tmp_path / "archives", "linear", FULL.etl.limits, tmp_path)
    assert others == []
    first, why = "2024-01-01_BTCUSDT_ob500.data.zip", "bad_zip: no end of central directory"
    notes = held.note.split("; ")
    assert notes[-1] == "none read by `etl` yet"
    if cut:
        assert notes[1].startswith(f"{cut} cannot be opened: {first} ({why}")
        assert notes[1].endswith(", ..." if cut > 1 else ")")
    assert held.days == 3 - cut
    if cut == 3:
        assert held == Holding("linear", "BTCUSDT", "", "", 0, 0.0, "", held.note, "days")


def test_there_is_nothing_where_there_is_no_folder(tmp_path):
    assert held_archives(tmp_path / "none", "linear", FULL.etl.limits, tmp_path) == ([], [])
    assert held_bars(tmp_path / "none") == []


def test_a_minute_that_was_read_is_a_minute(tmp_path):
    pack(tmp_path / "archives", dt.date(2024, 1, 1), [b"{}\n"])
    store(tmp_path / "linear", rows(1, MIDNIGHT, depth=10), dt.date(2024, 1, 1))
    [held], _ = held_archives(tmp_path / "archives", "linear", FULL.etl.limits, tmp_path)
    assert held.note.endswith("`etl` has read 1 of 1 days: 0.1% of their minutes")
    [held] = held_bars(tmp_path)
    assert (held.first, held.days, held.coverage, held.note) == ("2024-01-01", 1, 1.0, "")


def test_bars_that_cannot_be_read_are_told_of_and_others_counted(tmp_path):
    for day in (1, 2):
        store(tmp_path / "linear", rows(60, MIDNIGHT + 1440 * (day - 1), depth=10),
              dt.date(2024, 1, day))  # fmt: skip
    first, second = sorted((tmp_path / "linear").rglob("*.parquet"))
    first.write_bytes(b"half a file")
    [held] = held_bars(tmp_path)
    assert (held.first, held.days, held.coverage, held.holes) == ("2024-01-02", 1, 1.0, "none")
    assert held.note.startswith(f"{first}: not a whole Parquet file")
    assert held.note.count(";") == 0
    second.write_bytes(b"half a file")
    [held] = held_bars(tmp_path)
    assert held == Holding("linear", held.symbol, "", "", 0, 0.0, "", held.note)
    assert f"{second}: not a whole Parquet file" in held.note


def test_bars_without_rows_are_told_of(tmp_path):
    store(tmp_path / "spot", rows(0, MIDNIGHT, depth=10), dt.date(2024, 1, 1))
    [held] = held_bars(tmp_path)
    assert held == Holding("spot", held.symbol, "", "", 0, 0.0, "", "no rows")
