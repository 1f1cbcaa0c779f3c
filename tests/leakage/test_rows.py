from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from quantgod.auditor.audit import CALIBRATION, FIT, PURGED, STOPPING, parts_of
from quantgod.leakage.rows import provenance_of
from tests.auditor.markets import oof_frame


def kept(folder: Path, rows: pd.DataFrame) -> str | None:
    path = folder / "rows.parquet"
    rows.to_parquet(path)
    return provenance_of(path)


@pytest.fixture
def rows() -> pd.DataFrame:
    frame = oof_frame()
    return frame.assign(part=parts_of(frame, 0.5, 0))


def test_honest_rows_show_where_they_come_from(tmp_path, rows):
    assert set(rows["part"]) == {FIT, STOPPING, CALIBRATION, PURGED}
    assert kept(tmp_path, rows) is None


@pytest.mark.parametrize(("older", "newer"), [(FIT, STOPPING), (STOPPING, CALIBRATION)])
def test_a_part_that_was_not_purged_is_named(tmp_path, rows, older, newer):
    """Each row that was left out at a border is put back in."""
    border = rows.index[rows["part"] == newer][0]
    back = rows.index[(rows["part"] == PURGED) & (rows.index < border)][-1:]
    rows.loc[back, "part"] = older
    said = kept(tmp_path, rows)
    assert said is not None
    assert f"rows for {older} have a label that reaches the rows for {newer}" in said
    assert "1 of" in said


def test_a_label_that_ends_with_the_first_newer_row_reaches_it(tmp_path, rows):
    last = rows.index[rows["part"] == FIT][-1]
    first = rows.loc[rows["part"] == STOPPING, "time"].iloc[0]
    rows.loc[last, "label_end"] = first
    assert "1 of" in (kept(tmp_path, rows) or "")
    rows.loc[last, "label_end"] = first - pd.Timedelta("1min")
    assert kept(tmp_path, rows) is None


@pytest.mark.parametrize("part", [FIT, STOPPING, CALIBRATION])
def test_a_part_without_rows_is_named(tmp_path, rows, part):
    rows.loc[rows["part"] == part, "part"] = PURGED
    assert f"no row is said to be for {part}" in (kept(tmp_path, rows) or "")


def test_a_part_that_nobody_knows_is_named(tmp_path, rows):
    rows.loc[3, "part"] = "test"
    assert "['test']" in (kept(tmp_path, rows) or "")


def test_rows_without_parts_show_nothing(tmp_path):
    assert "no column `part`" in (kept(tmp_path, oof_frame()) or "")


def test_a_row_that_its_model_has_seen_is_named(tmp_path, rows):
    rows["trained_until"] = rows["trained_until"].where(rows["fold"] != 2, rows["time"].max())
    assert "saw past them" in (kept(tmp_path, rows) or "")


def test_a_file_that_is_not_there_or_damaged_shows_nothing(tmp_path):
    path = tmp_path / "rows.parquet"
    assert "rows.parquet" in (provenance_of(path) or "")
    path.write_bytes(b"PAR1")
    assert "rows.parquet" in (provenance_of(path) or "")
