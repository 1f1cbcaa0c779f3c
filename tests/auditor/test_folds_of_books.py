"""Folds of a network of the book: forecast from blocks, made anew for others, blind to the test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.auditor.out_of_fold import out_of_fold
from quantgod.auditor.reports import FoldReport, Hooks
from quantgod.contracts import META_FEATURES
from quantgod.dataset.book_blocks import BookBlocks, open_all_blocks
from quantgod.settings import ModelSettings
from tests.auditor.markets import Market, market, recipe
from tests.dataset.books import BLOCK, LEVELS, books_of, store_books

MODEL = ModelSettings(name="book_mlp", params={"width": 8, "pairs": 1})


@pytest.fixture(scope="module")
def small() -> Market:
    return market(1_500, 10)


def stored(folder: Path, table: pd.DataFrame, seed: int = 0) -> BookBlocks:
    index = pd.DatetimeIndex(table.index)
    store_books(folder, index, books_of(table["close"].to_numpy(), seed))
    return open_all_blocks(folder, "BTCUSDT")


def test_folds_read_the_blocks_of_dev_alone_and_others_make_them_anew(
    small: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = replace(recipe(epochs=1), model=MODEL, book=(BLOCK, LEVELS))
    asked: list[np.ndarray] = []
    take = BookBlocks.take
    monkeypatch.setattr(
        BookBlocks, "take", lambda self, places: (asked.append(places), take(self, places))[1]
    )

    def forecast(blocks: BookBlocks) -> tuple[pd.DataFrame, list[FoldReport]]:
        told: list[FoldReport] = []
        made_of = small.material(how, blocks)
        frame = out_of_fold(made_of, tmp_path / "work", Hooks(on_fold=told.append))
        return frame, told

    blocks = stored(tmp_path / "one", small.table)
    frame, made = forecast(blocks)
    dev = small.samples.row[small.split.train]
    assert set(np.concatenate(asked)) <= set(dev), "no block of the test part, or of another row"
    assert max(map(len, asked)) <= max(how.train.batch_size, 256)
    assert np.isfinite(frame[list(META_FEATURES)]).all(axis=None)
    assert [fold.reused for fold in made] == [False] * 3
    assert [fold.reused for fold in forecast(blocks)[1]] == [True] * 3
    other, made = forecast(stored(tmp_path / "other", small.table, seed=5))
    assert [fold.reused for fold in made] == [False] * 3, "another book is another fold"
    said = list(META_FEATURES[:3])
    assert not np.array_equal(frame[said], other[said])
    assert np.array_equal(frame[list(META_FEATURES[4:])], other[list(META_FEATURES[4:])])
