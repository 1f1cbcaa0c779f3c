"""Cuts: which row belongs where."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantgod.evaluation.groupings import (
    Grouping,
    by_confidence,
    by_session,
    by_volatility,
    by_weekday,
    confidence_of,
)


def times(*texts: str) -> pd.Series:
    return pd.Series(pd.to_datetime(list(texts), utc=True))


def names(cut: Grouping) -> list[str]:
    return [cut.names[place] for place in cut.place]


def test_sessions_begin_at_their_hour_in_utc() -> None:
    found = by_session(
        times(
            "2024-05-01 00:00", "2024-05-01 07:59", "2024-05-01 08:00",
            "2024-05-01 15:59", "2024-05-01 16:00", "2024-05-01 23:59",
        )
    )  # fmt: skip
    assert names(found) == ["Tokyo", "Tokyo", "London", "London", "New York", "New York"]
    elsewhere = times("2024-05-01 07:59").dt.tz_convert("Asia/Tokyo")  # 16:59 there
    assert names(by_session(elsewhere)) == ["Tokyo"]


def test_weekdays_are_those_of_utc() -> None:
    late = times("2024-05-05 23:59", "2024-05-06 00:00").dt.tz_convert("Asia/Tokyo")
    assert names(by_weekday(late)) == ["Sun", "Mon"]


def test_terciles_are_cut_on_the_reference_and_not_on_what_is_cut() -> None:
    reference = np.arange(1.0, 100.0)  # a third lies at or below 33.67
    wild = np.array([1.0, 33.0, 34.0, 66.0, 67.0, 600.0, 700.0])
    terciles = ["low", "low", "middle", "middle", "high", "high", "high"]
    assert names(by_volatility(wild, reference)) == terciles
    third = float(np.quantile(reference, 1 / 3))
    assert names(by_volatility(np.array([third]), reference)) == ["low"]


def test_a_tier_holds_its_lower_end_and_not_its_upper() -> None:
    found = by_confidence(np.array([0.3, 0.5, 0.699, 0.7, 1.0]), (0.5, 0.7))
    tiers = ["below 0.5", "0.5 to 0.7", "0.5 to 0.7", "0.7 or more", "0.7 or more"]
    assert names(found) == tiers
    assert names(by_confidence(np.array([0.1, 0.9]), ())) == ["all", "all"]


@pytest.mark.parametrize("ends", [(0.7, 0.5), (0.5, 0.5)])
def test_tiers_that_do_not_rise_are_refused(ends: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must rise, got"):
        by_confidence(np.array([0.6]), ends)


def test_confidence_is_of_the_decided_class_and_not_of_the_likeliest() -> None:
    given = np.array([[0.4, 0.5, 0.1], [0.2, 0.7, 0.1]])
    assert confidence_of(given, np.array([0, 1])).tolist() == [0.4, 0.7]
