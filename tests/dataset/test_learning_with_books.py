"""Books beside labels: whole blocks alone, of the same series and days, scaled by the past."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from quantgod.archive.snapshot_store import read_books
from quantgod.archive.store import StoreError
from quantgod.contracts import Series
from quantgod.dataset.book_blocks import BookBlocks, open_all_blocks, row_blocks
from quantgod.dataset.book_view import view_of_table
from quantgod.dataset.inputs import Inputs
from quantgod.dataset.labels import label
from quantgod.dataset.learning_table import (
    UnmatchedSnapshotsError,
    learned_from,
    whole_rows,
    with_blocks,
)
from quantgod.dataset.quality import FeatureQualityError
from quantgod.dataset.samples import SEEN, samples
from quantgod.dataset.table import read_table, write_table
from quantgod.served.blocks import relative
from quantgod.settings import LabelSettings
from quantgod.training.material import material
from tests.dataset.books import BLOCK, LEVELS, books_of, store_books
from tests.synthetic import synthetic_bars

LABELS = LabelSettings(horizon_minutes=30, buy_above=0.001, sell_below=-0.001)
MINUTES = 1_600
WINDOW = 60
BOOK = Inputs(WINDOW, ("book",), (BLOCK, LEVELS))


@cache
def table() -> pd.DataFrame:
    return label(synthetic_bars(MINUTES), LABELS, 5)


def index() -> pd.DatetimeIndex:
    return pd.DatetimeIndex(table().index)


def blocks_in(folder: Path, books: np.ndarray, lost: tuple[int, ...] = ()) -> BookBlocks:
    store_books(folder, index(), books, lost)
    return open_all_blocks(folder, "BTCUSDT")


def books() -> np.ndarray:
    return books_of(table()["close"].to_numpy())


def files(folder: Path, market: str = "linear") -> dict[str, Path]:
    labels = folder / "labels.parquet"
    write_table(labels, table(), Series("BTCUSDT", "linear"))
    return {
        "labels": labels,
        "snapshots": store_books(folder / market, index(), books(), (700,), market),
    }


def test_a_row_without_a_whole_block_or_a_move_is_not_seen_and_ends_a_stretch(
    tmp_path: Path,
) -> None:
    thin = books()
    thin[800, 1, 0, 2] = np.nan, 0.0
    still = table().copy()
    still.iloc[1_000:1_060, still.columns.get_loc("log_ret_close")] = 0.0
    marked = with_blocks(still, blocks_in(tmp_path, thin, lost=(0, 700)))
    dropped = [0, 700, 800, 1_059]
    assert np.flatnonzero(~marked[SEEN]).tolist() == dropped
    pd.testing.assert_frame_equal(marked.drop(columns=SEEN), still)
    left = whole_rows(marked)
    pd.testing.assert_index_equal(left.index, still.index.delete(dropped))
    pd.testing.assert_frame_equal(
        left.drop(columns="run"), still.drop(columns="run").loc[left.index], check_freq=False
    )
    assert left["run"].dtype == still["run"].dtype
    assert left.groupby("run").size().tolist() == [699, 99, 258, MINUTES - 1_060]
    rows = samples(marked, WINDOW, 1).row
    assert marked.index[rows].equals(left.index[samples(left, WINDOW, 1).row])
    assert all(marked[SEEN].iloc[row - WINDOW + 1 : row + 1].all() for row in rows)


def test_a_table_without_one_whole_block_is_refused(tmp_path: Path) -> None:
    of_another = blocks_in(tmp_path / "one", books(), lost=tuple(range(1, MINUTES)))
    for blocks in (of_another, blocks_in(tmp_path / "none", books(), lost=tuple(range(MINUTES)))):
        with pytest.raises(UnmatchedSnapshotsError, match=r"none of 1599 .*-m steps.snapshots"):
            with_blocks(table().iloc[1:], blocks)


def test_a_stage_reads_labels_and_blocks_of_the_series_and_lets_none_of_another_in(
    tmp_path: Path,
) -> None:
    given = files(tmp_path)
    told: list[str] = []
    found = learned_from(given, told.append)
    assert told == [f"1 of {MINUTES:,} labelled minutes are left out: they have no whole block of "
                    "snapshots, or no price that moved"]  # fmt: skip
    assert found.blocks is not None and found.blocks.book == (BLOCK, LEVELS)
    assert (len(found.table), len(whole_rows(found.table))) == (MINUTES, MINUTES - 1)
    alone = learned_from({"labels": given["labels"]})
    pd.testing.assert_frame_equal(alone.table, read_table(given["labels"]))
    assert alone.blocks is None
    with pytest.raises(UnmatchedSnapshotsError, match=r"2024-01-01.parquet is of BTCUSDT.*spot"):
        learned_from(files(tmp_path, "spot"))


def test_a_day_without_snapshots_is_named(tmp_path: Path) -> None:
    given = files(tmp_path)
    (given["snapshots"] / "2024-01-02.parquet").unlink()
    with pytest.raises(UnmatchedSnapshotsError, match=r"of 2024-01-02 have no snapshots in .*make"):
        learned_from(given)


@pytest.mark.parametrize("cut", [60, 700, 1_500])
def test_nothing_seen_up_to_a_minute_changes_with_what_comes_after_it(
    cut: int, tmp_path: Path
) -> None:
    other, changed = books(), table().copy()
    other[cut:] = books_of(1.01 * table()["close"].to_numpy()[cut:], seed=5)
    changed.iloc[cut:, changed.columns.get_loc("log_ret_close")] *= 3.0
    before = view_of_table(blocks_in(tmp_path / "one", books()), table())
    after = view_of_table(blocks_in(tmp_path / "other", other), changed)
    rows = torch.arange(59, MINUTES)
    is_same = (before(rows) == after(rows)).flatten(1).all(1)
    assert is_same[: cut - 59].all() and not is_same[cut - 59 :].any()
    raw = [view.stored.raw(rows.numpy()) for view in (before, after)]
    is_same = (raw[0] == raw[1]).all(axis=(1, 2, 3))
    assert is_same[: cut - 59].all() and not is_same[cut - 59 :].any()


def test_raw_books_are_what_the_venue_gave(tmp_path: Path) -> None:
    rows = np.array([3, 1_500])
    stored = row_blocks(blocks_in(tmp_path, books()), index())
    given = books()[rows].transpose(0, 1, 3, 2, 4).reshape(2, BLOCK, LEVELS, 4)
    np.testing.assert_allclose(stored.raw(rows), given, rtol=1e-7)
    ticks = 10 * stored.raw(rows)[..., 0::2]
    np.testing.assert_allclose(ticks, np.round(ticks), atol=1e-3)
    for row, path in zip(rows, sorted((tmp_path / "BTCUSDT").glob("*.parquet")), strict=True):
        exact = read_books(path, index().as_unit("s").asi8[row : row + 1] // 60)
        assert np.array_equal(exact, given[rows == row]), "as the venue gave them"
        assert np.array_equal(relative(exact), stored(np.array([row]))), "to the bit"


def test_a_minute_without_a_whole_block_is_named(tmp_path: Path) -> None:
    thin = books()
    thin[800, 1, 0, 2] = np.nan, 0.0
    blocks_in(tmp_path, thin, lost=(700,))
    path = tmp_path / "BTCUSDT" / "2024-01-01.parquet"
    for row in (700, 800):
        minutes = index().as_unit("s").asi8[[10, row]] // 60
        with pytest.raises(StoreError, match=f"no whole block of the minute {index()[row]:%FT%T}"):
            read_books(path, minutes)


def test_a_network_learns_from_the_blocks_of_its_own_shape_alone(tmp_path: Path) -> None:
    train, blocks = samples(table(), WINDOW, 5), blocks_in(tmp_path, books())
    made = material(table(), train, BOOK, blocks)
    assert made.views.shapes == {"book": (BLOCK, LEVELS, 4)}
    assert made.book is made.views.parts["book"]
    with pytest.raises(ValueError, match=r"blocks of the book of \(100, 20, 4\) expected, .*8, 3"):
        material(table(), train, Inputs(WINDOW, ("book",)), blocks)
    with pytest.raises(ValueError, match=r"of the book of \(8, 3, 4\) expected, got none"):
        material(table(), train, BOOK)


def test_books_that_are_not_whole_are_refused_before_training(tmp_path: Path) -> None:
    thin = books()
    thin[805, 1, 0, 2] = np.nan, 0.0
    train = samples(table(), WINDOW, 5)
    told = rf"book of 1 of {len(train)} training samples is not finite.*2024-01-01 13:25"
    with pytest.raises(FeatureQualityError, match=told):
        material(table(), train, BOOK, blocks_in(tmp_path, thin))


def test_few_blocks_are_in_memory_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[np.ndarray] = []
    blocks, take = blocks_in(tmp_path, books()), BookBlocks.take
    monkeypatch.setattr(
        BookBlocks, "take", lambda self, places: (asked.append(places), take(self, places))[1]
    )
    left = with_blocks(table(), blocks)
    assert max(map(len, asked)) <= 256 < sum(map(len, asked)) == MINUTES
    asked.clear()
    train = samples(left, WINDOW, 5).take(np.arange(40))
    book = material(left, train, BOOK, blocks).book
    assert np.concatenate(asked).tolist() == train.row.tolist(), "the check reads these alone"
    asked.clear()
    assert book is not None
    book(torch.tensor([9, 4]))
    assert [places.tolist() for places in asked] == [[9, 4]]
