"""Features beside labels: windows that span no row without them, and no look ahead."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import FEATURES, Series
from quantgod.dataset.feature_table import SourceRows, feature_days
from quantgod.dataset.labels import LABEL_COLUMNS, label
from quantgod.dataset.learning_table import (
    UnmatchedFeaturesError,
    learning_table,
    whole_rows,
    with_features,
)
from quantgod.dataset.samples import SEEN, samples
from quantgod.dataset.series import series_attributes
from quantgod.dataset.table import read_table, write_table
from quantgod.served.features import sets
from quantgod.settings import LabelSettings
from tests.dataset.test_feature_table import BRIDGE, MINUTES, taken

LABELS = LabelSettings(horizon_minutes=30, buy_above=0.001, sell_below=-0.001)
SERIES = Series("BTCUSDT", "linear")
FIRST = sets.REACH - 1


def labelled(rows: SourceRows) -> pd.DataFrame:
    bars = pd.DataFrame(rows.features, features_of(rows).index, list(FEATURES))
    return label(bars.assign(close=rows.close), LABELS, BRIDGE)


def features_of(rows: SourceRows) -> pd.DataFrame:
    return pd.concat(feature_days([rows], BRIDGE))


@cache
def plain() -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = taken(np.arange(MINUTES))
    return labelled(rows), features_of(rows)


def test_the_rows_with_all_features_keep_their_bars_and_labels() -> None:
    table, features = plain()
    joined = with_features(table, features)
    assert tuple(joined.columns) == (*LABEL_COLUMNS, *sets.NAMES, SEEN)
    pd.testing.assert_frame_equal(joined[list(LABEL_COLUMNS)], table)
    assert joined[SEEN].tolist() == [row >= FIRST for row in range(MINUTES)]
    assert joined.loc[~joined[SEEN], list(sets.NAMES)].isna().all(axis=None)
    left = whole_rows(joined)
    pd.testing.assert_frame_equal(
        left[list(LABEL_COLUMNS)], table.iloc[FIRST:].assign(run=left.run)
    )
    pd.testing.assert_frame_equal(left[list(sets.NAMES)], features.iloc[FIRST:])


def test_no_window_spans_a_gap_or_a_row_without_features() -> None:
    rows = taken(np.flatnonzero((np.arange(MINUTES) < 700) | (np.arange(MINUTES) >= 720)))
    table, features = labelled(rows), features_of(rows)
    features.iloc[600, 3] = np.nan
    features.iloc[640, 111] = np.inf
    joined = with_features(table, features)
    unseen = [*range(FIRST), 600, 640, *range(700, 700 + FIRST)]
    assert np.flatnonzero(~joined[SEEN]).tolist() == unseen
    left = whole_rows(joined)
    assert left.index.equals(table.index.delete(unseen))
    assert left["run"].dtype == table["run"].dtype
    lengths = left.groupby("run").size().tolist()
    assert lengths == [600 - FIRST, 39, 59, len(table) - 700 - FIRST]
    window = 50
    ends = pd.DatetimeIndex(joined.index[samples(joined, window, 1).row])
    begins = pd.DatetimeIndex(joined.index[samples(joined, window, 1).row - window + 1])
    assert ((ends - begins) == pd.Timedelta(minutes=window - 1)).all()
    assert len(ends) > 100


@pytest.mark.parametrize("cut", [FIRST + 1, 700, 1_100])
def test_nothing_up_to_a_minute_changes_with_what_comes_after_it(cut: int) -> None:
    rows = taken(np.arange(MINUTES))
    changed = disturbed(rows, cut)
    before = with_features(labelled(rows), features_of(rows))
    after = with_features(labelled(changed), features_of(changed))
    seen = [*FEATURES, "close", "run", *sets.NAMES, SEEN]
    until = before.index <= features_of(rows).index[cut - 1]
    known, other = (of.loc[until, seen].to_numpy(np.float64) for of in (before, after))
    assert known.tobytes() == other.tobytes()
    moved = before.loc[~until, seen].to_numpy() != after.loc[before.index[~until], seen].to_numpy()
    assert moved[0].any(), "the first row after it has changed"


def disturbed(rows: SourceRows, cut: int) -> SourceRows:
    """Another market from a row on: other prices, sizes, figures, and features of its bars."""
    changed = SourceRows(*(values.copy() for values in rows))
    rng = np.random.default_rng(cut)
    count = len(rows.close) - cut
    scale = rng.uniform(0.9, 1.1, count)
    changed.close[cut:] *= scale
    levels = changed.book.reshape(len(rows.close), -1, 2)
    levels[cut:, :, 0] *= scale[:, None]
    levels[cut:, :, 1] *= rng.uniform(0.5, 1.5, levels[cut:, :, 1].shape)
    for values in (changed.features, changed.seconds):
        values[cut:] *= rng.uniform(0.5, 1.5, values[cut:].shape)
    return changed


def stored(folder: Path, series: Series = SERIES, rows: slice = slice(None)) -> tuple[Path, Path]:
    table, features = plain()
    labels, beside = folder / "labels.parquet", folder / "features.parquet"
    write_table(labels, table, SERIES)
    kept = features.iloc[rows].copy()
    kept.attrs = series_attributes(series)
    kept.to_parquet(beside)
    return labels, beside


def test_files_are_joined_as_tables_are(tmp_path: Path) -> None:
    joined = learning_table(*stored(tmp_path))
    pd.testing.assert_frame_equal(joined, with_features(*plain()), check_freq=False)


def test_for_a_network_of_bars_the_labelled_table_stays_as_it_is(tmp_path: Path) -> None:
    labels, _ = stored(tmp_path)
    pd.testing.assert_frame_equal(learning_table(labels, None), read_table(labels))


def test_features_of_another_series_are_refused(tmp_path: Path) -> None:
    files = stored(tmp_path, Series("BTCUSDT", "spot"))
    with pytest.raises(UnmatchedFeaturesError, match=r"of BTCUSDT.*spot.* steps\.features"):
        learning_table(*files)


@pytest.mark.parametrize("rows", [slice(None, -3), slice(3, None)])
def test_features_that_lack_minutes_are_refused(rows: slice, tmp_path: Path) -> None:
    files = stored(tmp_path, rows=rows)
    absent = plain()[0].index[0 if rows.start else -3]
    told = rf"3 of {MINUTES} labelled minutes have no features, the first is {absent}".replace(
        "+", r"\+"
    )
    with pytest.raises(UnmatchedFeaturesError, match=told + r": `python -m steps\.features"):
        learning_table(*files)


def test_a_table_without_one_whole_row_is_refused() -> None:
    rows = taken(np.arange(FIRST))
    with pytest.raises(UnmatchedFeaturesError, match="none of 479 minutes has all 112 features"):
        with_features(labelled(rows), features_of(rows))
