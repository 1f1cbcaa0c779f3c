"""The view of the book cuts the blocks of its rows from memory maps, scaled, and holds no more."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from quantgod.archive.snapshot_store import (
    DaySnapshots,
    SnapshotMetadata,
    block_of,
    open_blocks,
    snapshot_path,
    write_snapshots,
)
from quantgod.archive.store import StoreError
from quantgod.dataset.book_blocks import MissingBlockError, open_all_blocks
from quantgod.dataset.book_view import BookView, book_view
from quantgod.dataset.views import View, Views

DAY = dt.date(2024, 1, 1)
FIRST = 28_401_120  # its first minute
LEVELS, BLOCK = 3, 4


def books(seed: int, minutes: int, levels: int = LEVELS) -> np.ndarray:
    """Books [minutes, BLOCK + 1, 2, levels, 2] about 60,000.3 with a tick of 0.1."""
    rng = np.random.default_rng(seed)
    away = np.cumsum(rng.integers(1, 4, (minutes, BLOCK + 1, 2, levels)), axis=-1)
    prices = (600_003 + away * np.array([-1, 1])[:, None]) / 10
    return np.stack([prices, rng.integers(1, 5_000, prices.shape) / 1_000], axis=-1)


def store_day(store: Path, number: int, minutes: list[int], levels: np.ndarray, lost=()) -> None:
    date = DAY + dt.timedelta(days=number)
    is_there = np.ones(levels.shape[:2], dtype=np.bool_)
    for minute, snapshot in lost:
        is_there[minutes.index(minute), snapshot] = False
    key = f"{number}" * 64
    metadata = SnapshotMetadata(
        "linear", "BTCUSDT", date.isoformat(), key, levels.shape[3], 100, BLOCK
    )
    day = DaySnapshots(FIRST + np.array(minutes, dtype=np.int64), levels, is_there)
    write_snapshots(snapshot_path(store, "BTCUSDT", date), day, metadata, "snappy")


def index_of(minutes: list[int]) -> pd.DatetimeIndex:
    return pd.to_datetime((FIRST + np.array(minutes)) * 60, unit="s", utc=True).as_unit("us")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two days: of minute 1 the first snapshot of the block is missing, of minute 2 an earlier."""
    store_day(tmp_path, 0, [0, 1, 2], books(0, 3), lost=[(1, 1), (2, 0)])
    thin = books(1, 2)
    thin[1, -1, 0, 2] = np.nan, 0.0
    store_day(tmp_path, 1, [1_440, 1_441], thin)
    return tmp_path


ROWS = [0, 1, 2, 3, 1_440, 1_441]
VOLATILITY = np.array([1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 6e-3])


@pytest.fixture
def view(store: Path) -> BookView:
    return book_view(open_all_blocks(store, "BTCUSDT"), index_of(ROWS), VOLATILITY)


def test_a_batch_is_the_scaled_blocks_of_its_rows_in_its_order(view: BookView) -> None:
    assert isinstance(view, View)
    assert view.shape == Views({"book": view}).shapes["book"] == (BLOCK, LEVELS, 4)
    batch = view(torch.tensor([4, 0, 2, 4]))
    days = np.concatenate([books(0, 3), books(1, 2)])
    for found, row, place in zip(batch, [4, 0, 2, 4], [3, 0, 2, 3], strict=True):
        block = days[place, 1:]
        mid, depth = block[-1, :, 0, 0].mean(), block[..., 1].mean()
        for side in (0, 1):
            prices = (block[:, side, :, 0] - mid) / (mid * VOLATILITY[row])
            np.testing.assert_allclose(found[:, :, 2 * side], prices, rtol=3e-7)
            sizes = np.log(block[:, side, :, 1] / depth)
            np.testing.assert_allclose(found[:, :, 2 * side + 1], sizes, rtol=1e-5, atol=1e-6)
    assert batch.dtype == torch.float32


def test_a_batch_is_new_and_changes_no_later_one(view: BookView) -> None:
    rows = torch.tensor([0, 2])
    first = view(rows)
    kept = first.clone()
    first.zero_()
    assert torch.equal(view(rows), kept)
    assert torch.equal(view.to(torch.device("cpu"))(rows), kept)


def test_a_row_without_a_whole_block_is_refused_by_its_number(view: BookView) -> None:
    with pytest.raises(MissingBlockError, match=r"the table's rows 1, 3: leave them out"):
        view(torch.tensor([0, 3, 1]).sort().values)
    with pytest.raises(MissingBlockError, match=r"rows 3, 3, 3, 3, 3 and 2 more"):
        view(torch.tensor([3] * 7))


def test_rows_without_a_block_or_a_level_or_volatility_are_not_finite(store: Path) -> None:
    volatility = np.where(np.arange(6) == 2, np.nan, VOLATILITY)
    view = book_view(open_all_blocks(store, "BTCUSDT"), index_of(ROWS), volatility)
    assert view.not_finite(torch.tensor([5, 4, 3, 2, 1, 0])).tolist() == [1, 2, 3, 5]
    assert view.not_finite(torch.tensor([0, 4])).tolist() == []


def test_what_it_is_cut_from_tells_other_books_and_other_volatility_apart(
    view: BookView, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    store_day(other, 0, [0, 1, 2], books(5, 3))
    scales = book_view(open_all_blocks(other, "BTCUSDT"), index_of(ROWS), VOLATILITY).content
    assert not torch.equal(scales[:1], view.content[:1])
    assert view.content.isnan().any(1).tolist() == [False, True, False, True, False, False]


def test_days_of_other_blocks_and_a_store_without_any_are_refused(store: Path) -> None:
    with pytest.raises(StoreError, match=r"no snapshots of ETHUSDT in .*: run snapshots"):
        open_all_blocks(store, "ETHUSDT")
    store_day(store, 2, [2_880], books(2, 1, levels=5))
    with pytest.raises(
        StoreError, match=r"2024-01-03.*\(4, 5, 4\) every 100 ms, those of 2024-01-01"
    ):
        open_all_blocks(store, "BTCUSDT")


def test_a_day_that_is_written_some_hours_at_a_time_reads_as_one(tmp_path: Path) -> None:
    """Neither a snapshot that is missing nor a level that is not there moves to other hours."""
    levels = books(2, 500)
    levels[490, 2, 1, 1:] = np.nan, 0.0
    store_day(tmp_path, 0, list(range(500)), levels, lost=[(250, 1)])
    path = snapshot_path(tmp_path, "BTCUSDT", DAY)
    is_there = np.arange(500 * (BLOCK + 1)) != 250 * (BLOCK + 1) + 1
    rows = pd.read_parquet(path).to_numpy(np.float64)
    np.testing.assert_array_equal(rows, levels.reshape(-1, 4 * LEVELS)[is_there])
    content = open_blocks(path).content
    assert len(content) == 499
    np.testing.assert_array_equal(content[400], block_of(levels[401:402, 1:])[0][0])
    assert pq.ParquetFile(path).num_row_groups > 1
    assert pq.read_table(path, columns=["ask_2_p"])["ask_2_p"].null_count == 1


READ_ALL = """
import resource, sys
from pathlib import Path
import numpy as np
from quantgod.dataset.book_blocks import open_all_blocks
def resident():
    said = Path("/proc/self/status").read_text()
    return int(said.split("VmRSS:")[1].split()[0]) // 1024
blocks = open_all_blocks(Path(sys.argv[1]), "BTCUSDT")
before, most = resident(), 0
for places in np.random.default_rng(0).permutation(len(blocks.minutes)).reshape(-1, 64):
    blocks.take(places)
    most = max(most, resident())
print(most - before)
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is Linux's")
def test_reading_all_blocks_holds_a_batch_of_them(tmp_path: Path) -> None:
    """640 MB of blocks (a sparse file) pass through a process in random order."""
    count, shape = 20_480, (100, 20, 4)
    store_day(tmp_path, 0, [0], books(0, 1))
    content = next(tmp_path.rglob("*0.npy"))
    index = np.load(content.with_suffix(".minutes.npy"))
    metadata = SnapshotMetadata("linear", "BTCUSDT", DAY.isoformat(), "0" * 64, 20, 100, 100)
    empty = DaySnapshots(
        np.empty(0, dtype=np.int64), np.empty((0, 100, 2, 20, 2)), np.empty((0, 100), dtype=bool)
    )
    write_snapshots(snapshot_path(tmp_path, "BTCUSDT", DAY), empty, metadata, "snappy")
    np.lib.format.open_memmap(content, "w+", np.float32, (count, *shape)).flush()
    np.save(content.with_suffix(".minutes.npy"), np.repeat(index, count))
    run = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 100
