"""A floor does its part of the work, or a ratio to it would mean nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import archive, backtest, live_minute, live_path
from bench.versions import Market
from quantgod.archive import sample
from quantgod.backtest import Books
from quantgod.contracts import BookShape
from quantgod.live.engine.block import block_of
from quantgod.live.engine.feature_rows import FeatureRows, source_row
from quantgod.served.features import sets
from tests.archive import feeds
from tests.archive.test_kernel import bits


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """An archive and how many lines it has."""
    lines = feeds.feed(feeds.MIDNIGHT_MS, 3_000)
    return feeds.pack(tmp_path_factory.mktemp("archives"), feeds.DAYS[1], lines), len(lines)


def test_the_floor_of_reading_parses_every_line(packed: tuple[Path, int]) -> None:
    path, lines = packed
    assert archive._floor(path) == archive._read(path).lines == lines


def test_without_its_sample_a_reading_compares_no_line_and_is_the_same(
    packed: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, compared, compare = packed[0], [], sample.compare

    def counted(line: bytes, number: int, *others: object) -> None:
        compared.append(number)
        compare(line, number, *others)

    monkeypatch.setattr(sample, "compare", counted)
    without = archive._unsampled(path)
    assert not compared
    assert bits(archive._read(path)) == bits(without)
    assert len(compared) >= sample.FIRST_LINES - 1


def test_dictionaries_hold_the_book_that_the_live_path_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_path, "DELTAS", 300)
    monkeypatch.setattr(live_path, "RECORDING", Path("not there"))
    [stream] = live_path._streams(lambda _: None)
    bids, asks = live_path._floor(stream)
    book = live_path._whole(stream).book
    assert book is not None
    assert (bids, asks) == (dict(book.bids), dict(book.asks))
    assert len(stream.lines) == 300


def test_each_minute_that_is_measured_has_all_112_features() -> None:
    rows, features = live_minute.drawn(sets.REACH + 2), FeatureRows(5)
    first = np.arange(sets.REACH)
    features.past(rows.minutes[first], rows.at(first))
    coming = iter([rows.at(np.array([sets.REACH + place])) for place in range(2)])
    made = live_minute._own(features, coming)
    assert np.isfinite(made).all() and np.shape(made) == (2, 112)


def test_a_version_is_asked_of_minutes_of_which_all_is_known() -> None:
    """Those that close one by one are those of the table, to the bit, and have whole books."""
    market = Market(4, BookShape(8, 5, 100))
    window = market.window(5, 2)
    for at in (2, 3):
        closed = market.closed(at)
        window.close(closed.bar.minute, closed.bar.features, source_row(closed))
        assert block_of(closed.snapshots).books.shape == (8, 5, 4)
    assert np.array_equal(window.newest(4, 121).features, market.table)


def test_whole_columns_gain_what_the_mid_does_and_pay_for_changes() -> None:
    minutes = 300
    mid = np.linspace(100.0, 130.0, minutes)
    levels = np.ones((minutes, 2, 1, 2))
    levels[:, :, 0, 0] = mid[:, None] + [-0.5, 0.5]
    books = Books(np.arange(1, minutes + 1) * 60_000, levels)
    signal = np.zeros(minutes - backtest.HORIZON)
    signal[10], signal[20] = 1.0, -1.0
    free = backtest._gains(signal, books, 0, 0.0)
    end = len(signal)
    held = (mid[20] - mid[10]) - (mid[end] - mid[20])
    assert free.sum() == pytest.approx(held)
    paid = free.sum() - backtest._gains(signal, books, 0, 0.001).sum()
    assert paid == pytest.approx(0.001 * (mid[10] + 2 * mid[20] + mid[end]))
    late = backtest._gains(signal, books, 60_000, 0.0)
    assert late.sum() == pytest.approx((mid[21] - mid[11]) - (mid[end + 1] - mid[21]))


@pytest.mark.long
def test_a_year_is_traded_whole_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "MINUTES", 3_000)
    figures = {one.name: one for one in backtest.measure(lambda _: None)}
    assert figures["trades"].value > 100
    assert all(one.value > 0 for one in figures.values())
