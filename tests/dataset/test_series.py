"""Parts say whose they are, and only those of one series make a model."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.contracts import MARKETS, Series
from quantgod.dataset.series import (
    SERIES_FILE,
    SeriesError,
    check_one_series,
    read_series,
    write_series,
)

SERIES = [
    Series(*one) for one in itertools.product(("BTCUSDT", "ETHUSDT"), MARKETS, ("book", "candles"))
]


@given(st.lists(st.sampled_from(SERIES), min_size=1, max_size=4))
def test_parts_make_a_model_exactly_where_all_are_of_one_series(found: list[Series]) -> None:
    parts = {f"part {number}": series for number, series in enumerate(found)}
    if len({*map(str, found)}) == 1:
        assert check_one_series(parts) == found[0]
    else:
        with pytest.raises(SeriesError) as refused:
            check_one_series(parts)
        assert all(f"{name} of {series}" in str(refused.value) for name, series in parts.items())


@pytest.mark.parametrize("series", SERIES, ids=str)
def test_what_was_noted_is_read(series: Series, tmp_path: Path) -> None:
    write_series(tmp_path, series)
    assert read_series(tmp_path) == series


@pytest.mark.parametrize("text", ["", "{}", '{"symbol": "X", "market": "moon"}', "[1]"])
def test_what_names_no_series_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match="so nobody knows of which symbol and market"):
        read_series(tmp_path)
    (tmp_path / SERIES_FILE).write_text(text)
    with pytest.raises(SeriesError, match=r"series\.json: names no series"):
        read_series(tmp_path)
