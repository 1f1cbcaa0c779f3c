"""A network of the book is audited with other blocks after each cut."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import MS_PER_MINUTE
from quantgod.dataset.book_blocks import BookBlocks, open_all_blocks
from quantgod.dataset.labels import label
from quantgod.dataset.learning_table import with_blocks
from quantgod.dataset.samples import samples
from quantgod.dataset.splits import split_test
from quantgod.evaluation.evidence import LeakAuditResult
from quantgod.leakage import LeakError, audit_leaks, leak_figure, raise_leaks
from quantgod.leakage.borders import TEST_ROWS, Borders, borders_of
from quantgod.leakage.perturbation import known_at, other_blocks
from quantgod.leakage.pipeline import UnevenFeaturesError, books_seen, in_small, make
from quantgod.settings import ModelSettings, Settings
from tests.dataset.books import books_of, store_books
from tests.leakage.small import bars as small_bars
from tests.leakage.small import leaking
from tests.leakage.small import settings as small_settings

WINDOW = 60
PARAMS = {"width": 8, "pairs": 1}
LOST = (5, 900, 901, 2_000)
STAGE = "network books"


def settings(**leak_audit: Any) -> Settings:
    how = small_settings(params=PARAMS, **leak_audit)
    window = how.window.model_copy(update={"length": WINDOW})
    model = ModelSettings(name="book_mlp", params=PARAMS)
    return how.model_copy(update={"window": window, "model": model})


@cache
def bars() -> pd.DataFrame:
    return small_bars()


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> BookBlocks:
    folder, index = tmp_path_factory.mktemp("books"), pd.DatetimeIndex(bars().index)
    store_books(folder, index, books_of(bars()["close"].to_numpy()), LOST)
    return open_all_blocks(folder, "BTCUSDT")


@pytest.fixture(scope="module")
def borders(blocks: BookBlocks) -> Borders:
    seen = books_seen(bars(), blocks)
    return borders_of(pd.DatetimeIndex(bars().index), in_small(settings()), seen)


def audited(blocks: BookBlocks | None, *cuts_ms: int) -> LeakAuditResult:
    cuts = [pd.Timestamp(cut, unit="ms", tz="UTC") for cut in cuts_ms]
    return audit_leaks(bars(), settings(), cuts, blocks=blocks)


@pytest.mark.long
def test_nothing_leaks_and_the_books_were_looked_at_to_the_row(
    blocks: BookBlocks, borders: Borders
) -> None:
    result = audited(blocks, borders.fitted["base model"], borders.forecasts[TEST_ROWS][3])
    raise_leaks(result, of_every_stage=False)
    assert result.nearest[STAGE] == result.nearest[TEST_ROWS] == 1
    assert result.changed[STAGE] > 100 and result.changed["base model"] == 0
    assert f"not made again: {len(LOST)} minutes without a whole block of snapshots" in result.scope
    assert len(leak_figure(result, bars(), settings(), blocks).axes) == 2


@pytest.mark.long
def test_the_block_of_the_next_minute_is_found(
    blocks: BookBlocks, borders: Borders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken after the close, in what the network learns from and is asked."""
    real = BookBlocks.places_of

    def late(self: BookBlocks, index: pd.DatetimeIndex) -> np.ndarray:
        places = real(self, index)
        return np.where(places >= 0, np.minimum(places + 1, len(self.minutes) - 1), -1)

    monkeypatch.setattr(BookBlocks, "places_of", late)
    result = audited(blocks, *borders.forecasts[TEST_ROWS][5:9:3])
    assert {STAGE, TEST_ROWS} <= leaking(result)


def test_borders_are_those_of_the_rows_that_have_a_book(
    blocks: BookBlocks, borders: Borders
) -> None:
    how = in_small(settings())
    assert np.flatnonzero(~books_seen(bars(), blocks)).tolist() == list(LOST)
    table = with_blocks(label(bars(), how.label, how.etl.max_bridge_minutes), blocks)
    taken = samples(table, WINDOW, how.window.stride)
    split = split_test(taken, how.split)
    closes = (taken.time_ms + MS_PER_MINUTE).tolist()
    assert borders.forecasts[TEST_ROWS] == tuple(closes[row] for row in split.other)
    assert {close for stage in borders.forecasts.values() for close in stage} <= set(closes)


def test_other_blocks_are_others_after_the_cut_alone(blocks: BookBlocks) -> None:
    cut = int(known_at(pd.DatetimeIndex(bars().index))[1_000])
    other, places = other_blocks(blocks, cut, np.random.default_rng(0)), np.arange(2_800)
    before, after = blocks.take(places), other.take(places)
    later = (blocks.minutes[places] + 1) * MS_PER_MINUTE > cut
    assert np.array_equal((before == after).all(axis=(1, 2, 3)), ~later)
    assert np.array_equal(after[later][..., 0::2], 2 * before[later][..., 0::2])
    assert not (before[later][..., 1::2] == after[later][..., 1::2]).all(axis=(1, 2, 3)).any()
    assert other.whole(places).all()
    assert np.array_equal(blocks.depth[places] == other.depth[places], ~later)


def test_without_blocks_the_audit_is_refused() -> None:
    with pytest.raises(
        LeakError, match="book_mlp looks at the book, and there are no blocks of it"
    ):
        audited(None)


def test_prices_that_stand_still_in_one_market_alone_are_refused(blocks: BookBlocks) -> None:
    seen = books_seen(bars(), blocks)
    still = bars().copy()
    still.iloc[1_000:1_100, still.columns.get_loc("log_ret_close")] = 0.0
    with pytest.raises(UnevenFeaturesError, match=r"40 more minutes .* prices have stood still"):
        make(still, in_small(settings()), blocks, seen)
