"""A file of features holds those of all stored days, and tells how they are distributed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.archive.seconds import seconds_path, write_seconds
from quantgod.archive.store import StoredRows, StoreError, day_path, write_day
from quantgod.contracts import Series
from quantgod.dataset.feature_file import QUANTILES, read_features, write_features
from quantgod.dataset.series import table_series
from quantgod.evaluation.plots import feature_spreads
from quantgod.served.features import sets
from tests.archive.test_store import DAY, metadata
from tests.dataset.test_feature_table import BRIDGE, MINUTES, taken, whole

CUT = 1_440
SERIES = Series("BTCUSDT", "inverse", "book")


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stored days, the second of which has just begun."""
    folder = tmp_path_factory.mktemp("bars")
    for number, minutes in enumerate((np.arange(CUT), np.arange(CUT, MINUTES))):
        day, rows = DAY + dt.timedelta(days=number), taken(minutes)
        path = day_path(folder, "BTCUSDT", day)
        held = StoredRows(rows.minutes, rows.features, rows.close, rows.book)
        write_seconds(path, rows.minutes, rows.seconds, metadata(day), "zstd")
        write_day(path, held, metadata(day), "zstd")
    return folder


def test_the_file_holds_the_features_of_all_days(bars: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    path = tmp_path / "BTCUSDT.parquet"
    spread = write_features(bars, SERIES, path, BRIDGE, lambda *said: told.append(said))
    found = read_features(path)
    assert table_series(path) == SERIES
    pd.testing.assert_frame_equal(found, whole(), check_exact=True, check_freq=False)
    assert told == [(1, 2, "2024-01-01"), (2, 2, "2024-01-02")]
    assert (spread.names, spread.rows) == (sets.NAMES, MINUTES)
    np.testing.assert_allclose(spread.missing, found.isna().mean())
    np.testing.assert_allclose(spread.quantiles, found.quantile(QUANTILES).T)
    body = spread.to_json()["features"]["body_r"]
    assert body["quantiles"]["0.5"] == pytest.approx(found["body_r"].median())


def test_a_day_without_seconds_is_named_and_nothing_is_written(bars: Path, tmp_path: Path) -> None:
    day = day_path(bars, "BTCUSDT", DAY + dt.timedelta(days=1))
    aside = seconds_path(day).rename(tmp_path / "aside")
    try:
        with pytest.raises(StoreError, match=r"2024-01-02\.parquet does not belong to it: run etl"):
            write_features(bars, SERIES, tmp_path / "features.parquet", BRIDGE)
    finally:
        aside.rename(seconds_path(day))
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_other_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    whole().iloc[:3, 1:].to_parquet(path)
    with pytest.raises(ValueError, match=r"112 features of book_candle_indicator/1 were expected"):
        read_features(path)


def test_every_feature_has_its_line_and_its_missing_share() -> None:
    quantiles = np.column_stack([np.arange(5.0), np.zeros(5), [-9, -1, 0, 1, 3]]).T
    missing = np.array([0.0, 1.0, 0.25])
    figure = feature_spreads(("rising", "flat", "skewed"), missing, quantiles)
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == [
        "rising (2)", "flat (0)", "skewed (0)",
    ]  # fmt: skip
    outer = [segment[:, 0].tolist() for segment in left.collections[0].get_segments()]
    np.testing.assert_allclose(outer, [[-0.5, 0.5], [0, 0], [-0.75, 0.25]])
    assert [bar.get_width() for bar in right.patches] == [0.0, 100.0, 25.0]
