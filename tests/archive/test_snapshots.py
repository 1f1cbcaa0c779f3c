"""Snapshots before each close: those of the reference, of the bars, and of nothing unknown."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from quantgod.archive import settling, snapshots
from quantgod.archive.etl import run_etl
from quantgod.archive.plan import Candidate, find_archives, plan_days
from quantgod.archive.snapshot_store import (
    open_blocks,
    read_snapshot_metadata,
    snapshot_columns,
)
from quantgod.archive.snapshots import SnapshotError, SnapshotReport, run_snapshots, snapshots_of
from quantgod.archive.source import Quarantine
from quantgod.archive.store import StoreError, load_bars
from quantgod.contracts import BOOK_COLUMNS, Integers
from quantgod.market.book_blocks import interval_ends
from quantgod.market.minute_kernel import CLOCK
from quantgod.settings import EtlSettings, SnapshotSettings
from tests.archive import feeds
from tests.archive.streams import FAULTS, MIDNIGHT, SYMBOL, etl_settings, stream
from tests.archive.test_books_at import BEFORE, DAY, by_reference, pack, steps_of

MINUTE = MIDNIGHT // 60_000
KEPT = SnapshotSettings(levels=4, interval_ms=500, per_minute=30, block=10)


def candidate(folder: Path, etl: EtlSettings) -> Candidate:
    files, _ = find_archives(folder, "linear", SYMBOL)
    (day,) = plan_days(files, etl)
    return day.candidates[0]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    length=st.integers(3, 90),
    faults=st.lists(st.sampled_from(sorted(FAULTS)), max_size=6),
    stride=st.sampled_from([50, 700, 2_500, 20_000]),
    silence=st.sampled_from([1, 5, 70]),
    share=st.floats(0, 1),
    rules=st.sampled_from(
        [
            SnapshotSettings(levels=20, interval_ms=100, per_minute=600),
            SnapshotSettings(levels=3, interval_ms=2_000, per_minute=5, block=1),
        ]
    ),
)
@example(0, 25, ["a byte changed"] * 3, 50, 1, 0.0, SnapshotSettings(per_minute=600))
@example(2, 90, ["price very fine"], 700, 5, 0.5, SnapshotSettings(per_minute=600))
def test_snapshots_are_those_of_the_reference_and_none_is_invented(
    tmp_path_factory, seed, length, faults, stride, silence, share, rules
):
    """Also where the file goes on from a state, at whose second nothing is known any more."""
    folder = tmp_path_factory.mktemp("snapshots")
    etl = etl_settings(silence=silence)
    lines = b"\n".join(stream(seed, length, faults, stride_ms=stride)).split(b"\n")
    cut = round(share * (len(lines) - 2))
    try:
        carry = steps_of(BEFORE, lines[:cut], etl, None)[-1].before if cut else None
        steps = steps_of(DAY, lines[cut:], etl, carry)
    except Quarantine:
        assume(False)
    pack(folder, DAY, lines[cut:])
    minutes = np.array([MINUTE, MINUTE + 1, MINUTE + 3], dtype=np.int64)
    file = candidate(folder, etl)
    found = snapshots_of(file, minutes, carry, etl, rules)
    with patch.object(snapshots, "settle_moments", settling.settle_slowly):
        slow = snapshots_of(file, minutes, carry, etl, rules)
    assert found.is_there.tolist() == slow.is_there.tolist()
    assert found.levels[found.is_there].tobytes() == slow.levels[found.is_there].tobytes()
    known = -1 if carry is None else int(carry.integers[CLOCK]) * 1_000 + 999
    last = [step.ts for step in steps if step.ts >= 0]
    ends = interval_ends(minutes, rules.per_minute, rules.interval_ms).reshape(found.is_there.shape)
    for end, is_there, book in zip(
        ends.flat, found.is_there.flat, found.levels.reshape(-1, 2, rules.levels, 2), strict=True
    ):
        wanted = by_reference(steps, int(end), silence)[:, : rules.levels]
        is_known = end > known and any(ts > end for ts in last) and wanted[0, 0, 1] > 0
        assert is_there == is_known, end
        assert not is_known or book.tobytes() == wanted.tobytes(), end
    shutil.rmtree(folder)


def test_an_interval_ends_a_millisecond_before_the_next_and_the_last_one_at_the_close() -> None:
    assert interval_ends(np.array([7, 9]), 3, 100).tolist() == [
        *(479_799, 479_899, 479_999),
        *(599_799, 599_899, 599_999),
    ]


# -- days on disk ----------------------------------------------------------------------------------


class Place:
    """Archives of three short days, their bars and their snapshots."""

    def __init__(self, folder: Path, days: dict[dt.date, list[bytes]] | None = None) -> None:
        self.archives, self.bars, self.store = (folder / name for name in "abs")
        feeds.write(self.archives, feeds.three_days() if days is None else days)
        self.etl = feeds.etl_settings()
        self.make_bars()

    def make_bars(self) -> None:
        run_etl(self.archives, self.bars, self.etl)

    def run(self, rules: SnapshotSettings = KEPT, **options: object) -> SnapshotReport:
        return run_snapshots(
            self.archives, self.bars, self.store, "BTCUSDT", "linear", self.etl, rules, **options
        )

    def path(self, day: int) -> Path:
        return self.store / "BTCUSDT" / f"{feeds.DAYS[day]}.parquet"

    def files(self) -> dict[str, bytes]:
        return feeds.stored(self.store)


def minutes_of(index: pd.DatetimeIndex) -> Integers:
    return np.asarray(index.as_unit("ms").asi8 // 60_000)


def test_the_last_snapshot_of_a_minute_has_the_levels_of_its_bar(tmp_path: Path) -> None:
    place = Place(tmp_path)
    report = place.run()
    bars = load_bars(place.bars, "BTCUSDT", BOOK_COLUMNS)
    kept = pd.concat([pd.read_parquet(place.path(day)) for day in range(3)])
    assert list(kept.columns) == snapshot_columns(4)
    assert set(kept.dtypes) == {np.dtype("float64")}
    last = kept[kept.index.second * 1_000 + kept.index.microsecond // 1_000 == 59_500]
    last.index = last.index.floor("min")
    wanted = bars.loc[last.index, list(kept.columns)]
    pd.testing.assert_frame_equal(last, wanted, check_freq=False, check_exact=True)
    assert report.figures()["minutes"] == len(bars)
    assert len(last) == len(bars)


def test_a_minute_that_began_in_the_file_before_has_no_block_where_that_is_not_known(
    tmp_path: Path,
) -> None:
    """The first file's last message comes at 23:59:55, so the minute closes in the second one."""
    report = Place(tmp_path).run()
    first, second, third = report.days
    assert (first.blocks, third.blocks) == (first.minutes, third.minutes)
    assert second.minutes - second.blocks == 1
    assert second.snapshots == second.minutes * 30 - 22  # of 45.0 to 55.9 nothing is known


def test_blocks_hold_the_last_snapshots_relative_to_their_last_mid(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.run()
    for day in range(3):
        blocks, kept = open_blocks(place.path(day)), pd.read_parquet(place.path(day))
        assert isinstance(blocks.content, np.memmap)
        assert blocks.content.shape[1:] == (10, 4, 4)
        stamps = minutes_of(kept.index)
        for block, (minute, mid, depth) in zip(blocks.content, blocks.index.tolist(), strict=True):
            books = kept[stamps == minute].to_numpy()[-10:].reshape(10, 2, 4, 2)
            assert mid == (books[-1, 0, 0, 0] + books[-1, 1, 0, 0]) / 2
            assert depth == pytest.approx(books[..., 1].mean(), rel=1e-12)
            prices, sizes = books[..., 0], books[..., 1]
            for side in (0, 1):
                assert (block[:, :, 2 * side] == ((prices[:, side] - mid) / mid).astype("f4")).all()
                assert (block[:, :, 2 * side + 1] == sizes[:, side].astype("f4")).all()


def test_a_day_that_stands_is_not_read_again(tmp_path: Path, monkeypatch) -> None:
    place = Place(tmp_path)
    first, before = place.run(), place.files()
    monkeypatch.setattr(snapshots, "settle_moments", None)  # reading would fail
    assert place.run() == first
    assert place.files() == before


@pytest.mark.long
def test_other_rules_and_other_bars_make_the_days_anew(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.run()
    keys = {read_snapshot_metadata(place.path(day)).key for day in range(3)}
    place.run(KEPT.model_copy(update={"levels": 2}))
    assert open_blocks(place.path(0)).content.shape[2] == 2
    place.etl = place.etl.model_copy(update={"max_silence_seconds": 20})
    place.make_bars()
    place.run()
    assert keys.isdisjoint(read_snapshot_metadata(place.path(day)).key for day in range(3))
    assert len(list(place.store.rglob("*.npy"))) == 6  # earlier blocks are gone
    fresh = Place(tmp_path / "fresh")
    fresh.etl = place.etl
    fresh.make_bars()
    fresh.run()
    assert place.files() == fresh.files()


@pytest.mark.parametrize("lost", ["blocks/*.npy", "*.parquet"])
def test_a_day_that_lost_a_file_is_made_again(tmp_path: Path, lost: str) -> None:
    place = Place(tmp_path)
    place.run()
    before = place.files()
    for path in (place.store / "BTCUSDT").glob(lost):
        path.unlink()
    (place.store / "BTCUSDT" / ".2024-01-01.parquet.00.part").touch()  # of a killed run
    place.run()
    assert place.files() == before


@pytest.mark.long
def test_two_processes_give_the_same_files_as_one(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.run()
    before = place.files()
    shutil.rmtree(place.store)
    place.etl = place.etl.model_copy(update={"workers": 2})
    place.run()
    assert place.files() == before


def test_bars_whose_archive_is_gone_keep_their_snapshots_until_they_change(tmp_path: Path) -> None:
    place = Place(tmp_path)
    whole = place.run()
    for archive in sorted(place.archives.iterdir())[:2]:
        archive.rename(tmp_path / archive.name)
    assert place.run() == whole
    report = place.run(KEPT.model_copy(update={"levels": 2}))
    assert report.unread == feeds.DAYS[:2]
    assert [path.name for path in sorted(place.store.glob("*/*.parquet"))] == ["2024-01-03.parquet"]
    assert len(list(place.store.rglob("*.npy"))) == 2


def test_bars_of_other_rules_than_the_settings_are_refused(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.etl = place.etl.model_copy(update={"max_silence_seconds": 20})
    with pytest.raises(StoreError, match=r"none of the bars in .*: run etl again"):
        place.run()
    with pytest.raises(StoreError, match="no bars of ETHUSDT in "):
        run_snapshots(place.archives, place.bars, place.store, "ETHUSDT", "linear", place.etl, KEPT)


def test_a_day_whose_day_before_was_made_anew_and_not_stitched_is_named(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (place.bars / "BTCUSDT" / f"{feeds.DAYS[0]}.parquet").unlink()
    with pytest.raises(SnapshotError, match=r"2024-01-02_.*run etl again, it stitches"):
        place.run()
    assert place.path(2).exists()


def test_a_day_without_a_single_minute_has_no_snapshots_and_no_blocks(tmp_path: Path) -> None:
    place = Place(tmp_path, {feeds.DAYS[0]: feeds.feed(feeds.MIDNIGHT_MS - 86_400_000, 40)})
    assert place.run().figures() == {"days": 1, "minutes": 0, "snapshots": 0, "blocks": 0}
    assert place.run().days[0].blocks == 0


def test_levels_that_a_thin_book_does_not_have_are_null(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.run(KEPT.model_copy(update={"levels": 9}))
    kept = pd.read_parquet(place.path(0))
    assert kept["ask_7_p"].isna().all()
    assert (kept["ask_7_s"] == 0).all()
    assert kept["ask_6_p"].notna().all()
    assert np.isnan(open_blocks(place.path(0)).content[:, :, 7, 0]).all()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"interval_ms": 70}, "interval_ms: a divisor of 60000 expected, got 70"),
        ({"block": 101}, "block <= per_minute <= 600"),
        ({"interval_ms": 1_000}, "block <= per_minute <= 60"),
    ],
)
def test_rules_that_no_minute_can_hold_are_refused(values: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SnapshotSettings(**values)
