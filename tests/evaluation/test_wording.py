"""Figures read alike wherever they stand, and show what their intervals tell."""

from __future__ import annotations

import math

import pytest

from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.wording import (
    account_text,
    interval_text,
    milliseconds_text,
    number_text,
    share_text,
)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Interval(0.6123, 0.55, 0.671), "0.612 [0.550, 0.671]"),
        (Interval(0.0157, 0.0, 0.0228), "0.016 [0.000, 0.023]"),
        (Interval(0.00315, 0.000469, 0.00583), "0.0032 [0.0005, 0.0058]"),
        (Interval(-0.000309, -0.00297, 0.00233), "-0.0003 [-0.0030, 0.0023]"),
        (Interval(1e-8, 0.0, 2e-8), "0.000000 [0.000000, 0.000000]"),
        (Interval(37_068.3, 34_648.3, 39_488.3), "37,068 [34,648, 39,488]"),
        (Interval(50.0, 10.0, 100.0), "50 [10, 100]"),
        (Interval(50.0, 10.0, 99.96), "50.000 [10.000, 99.960]"),
        (Interval(-50.0, -100.0, 10.0), "-50 [-100, 10]"),
        (Interval(1.0, 0.5, 1.5, enough=False), "1.000 (too few rows)"),
        (Interval(0.1, 0.0951, 0.1049), "0.1000 [0.0951, 0.1049]"),
        (Interval(0.1, 0.095, 0.1051), "0.100 [0.095, 0.105]"),
        (Interval(-0.0, 0.0, 0.0), "0.000 [0.000, 0.000]"),
        (Interval(-0.0001, -1.0, 1.0, enough=False), "0.000 (too few rows)"),
        (Interval(0.2, 0.0, 1.0, False, "only NEUTRAL decided"), "0.200 (only NEUTRAL decided)"),
        (Interval(math.nan, math.nan, math.nan), "nan [nan, nan]"),
        (Interval(0.5, -math.inf, math.inf), "0 [-inf, inf]"),
        (None, "-"),
    ],
)
def test_an_interval_has_the_digits_that_its_width_is_told_by(
    found: Interval | None, said: str
) -> None:
    assert interval_text(found) == said


def test_figures_read_as_people_write_them() -> None:
    assert [number_text(x) for x in (0.05, -12.34, 10_250.4, 999.7, 99.96, -0.0, 0.0)] == [
        "0.05", "-12.3", "10,250", "1,000", "100", "0", "0"
    ]  # fmt: skip
    assert [share_text(x) for x in (0.000487, 0.1, 1.0, 0.0)] == ["0.0487%", "10%", "100%", "0%"]
    assert milliseconds_text(36.53) == "36.5 ms"
    assert [account_text(end) for end in ("open", "target", "daily_loss")] == [
        "open", "target reached", "daily loss limit broken"
    ]  # fmt: skip
