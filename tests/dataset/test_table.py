"""The labelled table comes back from disk as it went."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from quantgod.contracts import Series
from quantgod.dataset.labels import label
from quantgod.dataset.series import SeriesError, table_series
from quantgod.dataset.table import read_table, write_table
from tests.dataset.broken_bars import BRIDGE, LABEL, whole_bars

SERIES = Series("ETHUSDT", "spot")


def test_a_table_comes_back_as_it_went(tmp_path: Path) -> None:
    table = label(whole_bars(), LABEL, BRIDGE)
    write_table(tmp_path / "labels" / "BTCUSDT.parquet", table, SERIES)
    back = read_table(tmp_path / "labels" / "BTCUSDT.parquet")
    pd.testing.assert_frame_equal(back, table, check_freq=False)
    assert str(pd.DatetimeIndex(back.index).tz) == "UTC" and back.index.name == "datetime"


def test_the_same_table_is_the_same_bytes(tmp_path: Path) -> None:
    table = label(whole_bars(), LABEL, BRIDGE)
    write_table(tmp_path / "one.parquet", table, SERIES)
    write_table(tmp_path / "two.parquet", read_table(tmp_path / "one.parquet"), SERIES)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_other_columns_are_refused_before_and_after(tmp_path: Path) -> None:
    bars = whole_bars()
    with pytest.raises(ValueError, match="a labelled table holds body"):
        write_table(tmp_path / "table.parquet", bars, SERIES)
    assert list(tmp_path.iterdir()) == []
    bars.to_parquet(tmp_path / "bars.parquet")
    with pytest.raises(ValueError, match=r"bars\.parquet: a labelled table holds body"):
        read_table(tmp_path / "bars.parquet")


def test_a_table_knows_whose_it_is_wherever_it_is_put(tmp_path: Path) -> None:
    table = label(whole_bars(), LABEL, BRIDGE)
    write_table(tmp_path / "ETHUSDT.parquet", table, SERIES)
    (tmp_path / "ETHUSDT.parquet").rename(tmp_path / "BTCUSDT.parquet")
    assert table_series(tmp_path / "BTCUSDT.parquet") == SERIES
    table.to_parquet(tmp_path / "old.parquet")
    with pytest.raises(SeriesError, match=r"old\.parquet: does not say .*: make it again"):
        table_series(tmp_path / "old.parquet")
