from __future__ import annotations

import numpy as np
import pytest

from quantgod.contracts import CANDLE_COLUMNS, INTERVALS, Candles


def candles(steps, interval="1d", values=None):
    times = np.array(steps, np.int64) * INTERVALS[interval]
    rows = np.ones((len(times), len(CANDLE_COLUMNS))) if values is None else values
    return Candles("BTCUSDT", "spot", interval, "trades", times, rows)


def test_a_hole_begins_a_stretch():
    assert candles([3, 4, 6, 7, 9]).stretch.tolist() == [0, 0, 1, 1, 2]
    assert candles([]).stretch.tolist() == []


def test_candles_are_taken_by_position_or_mask():
    of = candles([1, 2, 3])
    assert of.take(slice(1, None)).time_ms.tolist() == of.time_ms[1:].tolist()
    assert len(of.take(of.time_ms > of.time_ms[1])) == 1
    assert of.column("close").tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("times", "interval", "shape", "says"),
    [
        ([1, 1], "1d", (2, 8), "rising times"),
        ([2, 1], "1d", (2, 8), "rising times"),
        ([1, 2], "1d", (2, 7), "shape"),
        ([1, 2], "2d", (2, 8), "an interval of 1m"),
    ],
)
def test_what_is_no_series_is_refused(times, interval, shape, says):
    times_ms = np.array(times, np.int64) * INTERVALS["1d"]
    with pytest.raises(ValueError, match=says):
        Candles("BTCUSDT", "spot", interval, "trades", times_ms, np.ones(shape))


def test_times_off_the_grid_are_refused():
    with pytest.raises(ValueError, match="grid of 1h"):
        Candles("BTCUSDT", "spot", "1h", "trades", np.array([1]), np.ones((1, 8)))
