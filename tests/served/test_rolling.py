"""Windows and weights again in plain Python, at their borders, and however they are cut."""

from __future__ import annotations

import math
from statistics import correlation, fmean, stdev

import numpy as np
import pytest

from quantgod.served import rolling as made

NAN = float("nan")
SERIES = np.random.default_rng(3).normal(2, 1, 14)
OTHER = np.random.default_rng(4).normal(-1, 2, 14)
WEIGHTS = np.array([0.5, -2.0, 3.0])


def slid(values, length, figure):
    """A figure of each row and the `length - 1` before it."""
    windows = [values[at - length + 1 : at + 1].tolist() for at in range(len(values))]
    return [NAN if at < length - 1 else figure(window) for at, window in enumerate(windows)]


def same(found, expected):
    return found == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 14])
def test_each_row_has_the_figure_of_its_own_window_and_none_before_the_first(rows):
    values, other = SERIES[:rows], OTHER[:rows]
    pairs = zip(WEIGHTS.tolist(), range(3), strict=True)
    weighted = [(weight, place) for weight, place in pairs]
    assert same(
        made.dot(values, WEIGHTS),
        slid(values, 3, lambda window: sum(weight * window[at] for weight, at in weighted)),
    )
    assert same(made.mean(values, 3), slid(values, 3, fmean))
    assert same(made.deviation(values, 3), slid(values, 3, stdev))
    assert same(made.highest(values, 3), slid(values, 3, max))
    assert same(made.lowest(values, 3), slid(values, 3, min))
    together = [
        NAN if at < 2 else correlation(values[at - 2 : at + 1], other[at - 2 : at + 1])
        for at in range(rows)
    ]
    if rows >= 3:
        assert same(made.correlation(values, other, 3), together)
    assert same(made.before(values, 3), [NAN if at < 3 else values[at - 3] for at in range(rows)])
    windows = [values[at : at + 3].tolist() for at in range(rows - 2)]
    assert made.sliding(values, 3).tolist() == windows
    assert made.sliding(values, 3).shape == (max(0, rows - 2), 3)


@pytest.mark.parametrize("ddof", [0, 1, 2])
def test_a_deviation_divides_by_the_rows_less_what_was_asked(ddof):
    (found,) = made.deviation(SERIES[:4], 4, ddof)[3:]
    squares = sum((value - fmean(SERIES[:4])) ** 2 for value in SERIES[:4])
    assert found == pytest.approx(math.sqrt(squares / (4 - ddof)))


@pytest.mark.parametrize(("numbers", "at_once"), [(1, 1), (3, 1), (4, 1), (8, 2), (11, 2), (99, 9)])
def test_no_more_windows_than_fit_are_handed_over_at_once_and_each_whole(
    monkeypatch, numbers, at_once
):
    handed = []

    def figure(windows):
        assert windows.flags.c_contiguous
        handed.append(len(windows))
        return windows[:, 0] - windows[:, -1]

    monkeypatch.setattr(made, "_AT_ONCE", numbers)
    found = made.rolling(SERIES[:12], 4, figure)
    assert same(found, slid(SERIES[:12], 4, lambda window: window[0] - window[-1]))
    assert handed == [at_once] * (9 // at_once) + [9 % at_once] * bool(9 % at_once)


def test_windows_stay_small_in_memory_by_default():
    handed = []
    made.rolling(np.zeros(2_100), 1_024, lambda windows: (handed.append(len(windows)), 0.0)[1])
    assert handed == [1_024, 53]  # a million numbers, eight megabytes


def test_what_has_no_past_at_all_is_padded_whole():
    assert same(made.padded(np.array([5.0]), 3), [NAN, NAN, 5.0])
    assert same(made.padded(np.empty(0), 2), [NAN, NAN])
    assert same(made.before(SERIES[:2], 5), [NAN, NAN])
    assert same(made.before(SERIES[:2], 0), SERIES[:2].tolist())


def test_nothing_over_nothing_is_nothing_and_logarithms_are_bounded():
    part, whole = np.array([0.0, 3.0, 0.0, -1.0]), np.array([0.0, 0.0, 2.0, 4.0])
    assert made.ratio(part, whole).tolist() == [0, 0, 0, -0.25]
    part = np.array([0.0, 3.0, 0.0, 1.0, 1.0, 2.0, 1_000.0, 1.0])
    whole = np.array([0.0, 0.0, 2.0, 999.999, 1_001.0, 1.0, 0.999, 1.0])
    bound = math.log(1_000)
    expected = [0, bound, -bound, -math.log(999.999), -bound, math.log(2), bound, 0]
    assert same(made.log_ratio(part, whole), expected)


def test_a_flat_series_correlates_with_nothing():
    assert made.correlation(np.ones(4), OTHER[:4], 3)[2:].tolist() == [0, 0]
    assert made.correlation(OTHER[:4], np.ones(4), 3)[2:].tolist() == [0, 0]


def smoothed(values, alpha, seed):
    """TA-Lib's recursion: the mean of the first `seed`, then step by step; NaN before."""
    found = [NAN] * (seed - 1) + [fmean(values[:seed])]
    for value in values[seed:]:
        found.append(alpha * value + (1 - alpha) * found[-1])
    return found


@pytest.mark.parametrize(("alpha", "seed"), [(0.3, 1), (0.3, 2), (0.25, 5), (0.9, 8)])
def test_the_weights_of_an_average_are_its_recursion_for_every_prefix(alpha, seed):
    rows, values = 8, SERIES[:8]
    expected = smoothed(values.tolist(), alpha, seed)
    weights = made.prefix_smoothing(alpha, seed, rows)
    assert weights.shape == (rows, rows)
    assert same(weights @ values, expected)
    for row in range(seed - 1, rows):
        assert (weights[row, row + 1 :] == 0).all()  # no later value has a part
        assert weights[row].sum() == pytest.approx(1)
    assert np.array_equal(made.smoothing(alpha, seed, rows), weights[-1])


@pytest.mark.parametrize("period", [2, 3, 14])
def test_an_exponential_average_and_wilders_start_with_a_mean_of_their_period(period):
    values = np.random.default_rng(period).normal(size=240).tolist()
    for found, alpha, rows in (
        (made.exponential(period), 2 / (period + 1), 240),
        (made.wilder(period), 1 / period, 239),
        (made.exponential(period, 20), 2 / (period + 1), 20),
        (made.wilder(period, 20), 1 / period, 20),
    ):
        assert len(found) == rows
        expected = smoothed(values[:rows], alpha, period)[-1]
        assert found @ values[:rows] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", [1, 3])
@pytest.mark.parametrize("inner_seed", [1, 2, 4])
def test_an_average_of_averages_begins_where_the_inner_one_has_enough(inner_seed, seed):
    values = SERIES[:9]
    inner = smoothed(values.tolist(), 0.4, inner_seed)
    begun = inner[inner_seed - 1 :]
    expected = [NAN] * (inner_seed - 1) + smoothed(begun, 0.2, seed)
    weights = made.nested(0.2, seed, made.prefix_smoothing(0.4, inner_seed, 9))
    assert weights.shape == (9, 9)
    assert same(weights @ values, expected)


@pytest.mark.parametrize("length", [2, 3, 8])
def test_a_trend_is_the_slope_of_the_least_squares_line(length):
    slope = np.polyfit(range(length), SERIES[:length], 1)[0]
    assert made.trend(length) @ SERIES[:length] == pytest.approx(slope)


def test_weights_on_steps_say_of_steps_what_weights_say_of_their_sum():
    weights = made.summed(WEIGHTS)
    assert weights @ SERIES[:3] == pytest.approx(WEIGHTS @ np.cumsum(SERIES[:3]))
    assert weights.tolist() == [1.5, 1.0, 3.0]
