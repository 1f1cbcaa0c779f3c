"""Scored rows are kept whole and in order, or refused by what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.evaluation.evidence import EvidenceError
from quantgod.evaluation.scored_rows import (
    COLUMNS,
    CONFIDENCE,
    ROWS_FILE,
    member_columns,
    members_in,
    probabilities_of,
    read_scored,
    write_scored,
)


def rows(count: int = 3) -> pd.DataFrame:
    values = np.arange(count * len(COLUMNS), dtype=float).reshape(count, len(COLUMNS))
    time = pd.date_range("2024-01-01", periods=count, freq="min", tz="UTC")
    return pd.DataFrame(values, columns=list(COLUMNS)).assign(time=time)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_scored(tmp_path, rows())
    assert read_scored(tmp_path).equals(rows())
    write_scored(tmp_path, rows(1))
    assert len(read_scored(tmp_path)) == 1
    assert probabilities_of(rows(1), "base").tolist() == [[7, 8, 9]]


def test_rows_of_earlier_code_have_an_unknown_confidence(tmp_path: Path) -> None:
    rows().drop(columns=CONFIDENCE).to_parquet(tmp_path / ROWS_FILE)
    assert read_scored(tmp_path).equals(rows().assign(**{CONFIDENCE: np.nan}))


def of_members(*names: str) -> pd.DataFrame:
    """Rows of an ensemble of these."""
    more = dict.fromkeys(member_columns(names), 0.25)
    return rows().assign(**more)


def test_rows_of_an_ensemble_hold_what_its_members_say(tmp_path: Path) -> None:
    for names in (("one",), ("near", "far_weight", "a-sell")):
        made = of_members(*names)
        write_scored(tmp_path, made)
        assert read_scored(tmp_path).equals(made)
        assert members_in(made) == [*names]
        assert probabilities_of(made, names[-1]).tolist() == [[0.25] * 3] * 3
    assert members_in(rows()) == []


WRONG = {
    "MEMBER_buy, MEMBER_weight, vote, .*; got .*near_neutral, near_weight": (
        of_members("near", "far").drop(columns="near_buy")
    ),
    "; got .*, agreement$": of_members("near").drop(columns="consent"),
    "scored rows hold time, .*; got label_end": rows().drop(columns="time"),
    "scored rows hold time, .*; got label_end, .*, time": rows()[[*COLUMNS[1:], "time"]],
    "at least one scored row expected": rows(0),
    "times must rise strictly": rows().iloc[[0, 2, 1]],
    "rise strictly": rows().iloc[[0, 1, 1]],
}


@pytest.mark.parametrize("message", WRONG)
def test_what_are_no_scored_rows_is_neither_written_nor_read(message: str, tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=message):
        write_scored(tmp_path, WRONG[message])
    assert not list(tmp_path.iterdir())
    WRONG[message].to_parquet(tmp_path / ROWS_FILE)
    with pytest.raises(EvidenceError, match=f"{ROWS_FILE}: .*{message}"):
        read_scored(tmp_path)


def test_a_file_that_is_missing_or_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="cannot be read"):
        read_scored(tmp_path)
    (tmp_path / ROWS_FILE).write_bytes(b"no table")
    with pytest.raises(EvidenceError, match="cannot be read"):
        read_scored(tmp_path)
