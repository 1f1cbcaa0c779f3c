"""Where a level or a row is not there, and how a table is made of figures with less past."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quantgod.served.features import scale, sets
from quantgod.served.features.source import source_columns
from tests.served.features.markets import SETS, columns

NAN = float("nan")
BARS = {
    "body": np.array([0.01, -0.02]), "upper_wick": np.array([0.003, 0.001]),
    "lower_wick": np.array([0.002, 0.004]), "log_ret_close": np.array([0.1, -0.1]),
    "log_volume": np.log1p([7.0, 900.0]), "close": np.array([100.0, 50.0]),
}  # fmt: skip


def test_a_bar_is_what_its_features_tell():
    book = np.ones((2, 2, 3, 2))
    found = source_columns(np.array([5, 6]), BARS, book, {"ofi_1": np.array([1.0, 2.0])})
    opening = [100 / math.exp(0.01), 50 / math.exp(-0.02)]
    before = [100 / math.exp(0.1), 50 / math.exp(-0.1)]
    assert found["open"] == pytest.approx(opening)
    assert found["high"] == pytest.approx([100 + 0.003 * before[0], opening[1] + 0.001 * before[1]])
    assert found["low"] == pytest.approx([opening[0] - 0.002 * before[0], 50 - 0.004 * before[1]])
    assert found["messages"].tolist() == [7, 900]
    assert found["minute"].tolist() == [5, 6] and found["ofi_1"].tolist() == [1, 2]


def test_a_level_that_is_not_there_follows_the_last_and_the_first_follows_none():
    prices = [[9.0, 8.0, NAN, NAN], [9.0, NAN, NAN, 6.0], [NAN, 8.0, 7.0, 6.0], [NAN] * 4]
    sizes = [[1.0, 2.0, NAN, NAN], [1.0, NAN, NAN, 4.0], [NAN, 2.0, 3.0, 4.0], [NAN] * 4]
    bids = np.stack([prices, sizes], axis=2)
    book = np.stack([bids, bids[::-1] + 20], axis=1)
    bars = {name: np.resize(values, 4) for name, values in BARS.items()}
    found = source_columns(np.arange(4), bars, book, {})
    followed = [[9.0, 8.0, 8.0, 8.0], [9.0, 9.0, 9.0, 6.0], [NAN, 8.0, 7.0, 6.0], [NAN] * 4]
    np.testing.assert_array_equal(found["bid_prices"], followed)
    np.testing.assert_array_equal(found["ask_prices"], np.array(followed[::-1]) + 20)
    np.testing.assert_array_equal(found["bid_sizes"], np.nan_to_num(sizes))
    np.testing.assert_array_equal(found["ask_sizes"], np.nan_to_num(np.array(sizes[::-1]) + 20))


@pytest.mark.parametrize(("reach", "left"), [(5, 2), (4, 1), (3, 0), (2, 0)])
def test_rows_that_nothing_looks_at_are_left_out_and_no_others(reach, left):
    columns_given = {"close": np.arange(9.0), "book": np.arange(18.0).reshape(9, 2)}
    for name, values in scale.newest(columns_given, reach, 3).items():
        assert np.array_equal(values, columns_given[name][left:])


@pytest.mark.parametrize("rows", [0, 3, 4, 5, 9])
def test_a_table_begins_where_the_reach_is_full_and_figures_end_together(rows):
    found = {"long": np.arange(rows) * 1.0, "short": np.arange(rows)[max(rows - 6, 0) :] * 10.0}
    told = scale.table(found, ("short", "long"), 4, rows)
    expected = [[NAN] * 2] * min(rows, 3) + [[10.0 * row, row] for row in range(3, rows)]
    np.testing.assert_array_equal(told, np.reshape(expected, (rows, 2)))


def test_returns_are_logarithms_and_their_deviation_has_a_floor():
    close = np.array([1.0, math.e, 1.0, math.e**3])
    assert scale.log_returns(close) == pytest.approx([NAN, 1, -1, 3], nan_ok=True)
    assert scale.sigma_of(close, 3)[3] == pytest.approx(2.0)
    assert scale.sigma_of(np.ones(4), 2)[2:].tolist() == [scale.SIGMA_FLOOR] * 2


def test_all_sets_stand_side_by_side():
    market = columns(sets.REACH + 2)
    found = sets.compute(market)
    parts = [one.compute(market) for one in SETS.values()]
    assert found.shape == (sets.REACH + 2, len(sets.NAMES))
    assert found.tobytes() == np.hstack(parts).tobytes()
    assert np.isfinite(found[sets.REACH - 1 :]).all()
