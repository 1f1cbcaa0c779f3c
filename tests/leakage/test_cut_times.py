from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import MS_PER_MINUTE
from quantgod.leakage.borders import Borders, borders_of
from quantgod.leakage.cut_times import CutError, cuts_within, draw_cuts, parse_cut
from quantgod.leakage.pipeline import in_small
from tests.leakage.small import STRIDE, bars, settings

INDEX = pd.DatetimeIndex(bars().index)
HOW = in_small(settings())
BORDERS: Borders = borders_of(INDEX, HOW)


@pytest.mark.parametrize("seed", range(20))
def test_every_stage_is_cut_where_the_very_next_row_is_the_first_it_must_not_see(seed: int) -> None:
    cuts = draw_cuts(INDEX, HOW, 2, seed)
    assert cuts == sorted(set(cuts))
    assert set(BORDERS.fitted.values()) < set(cuts)
    assert min(cuts) == min(BORDERS.fitted.values()) - STRIDE * MS_PER_MINUTE, "it changes there"
    for stage, closes in BORDERS.forecasts.items():
        assert set(cuts) & set(closes[:-1]), stage


def test_more_are_drawn_among_the_closes_of_forecast_minutes() -> None:
    few, many = (set(draw_cuts(INDEX, HOW, count, 3)) for count in (0, 30))
    assert len(few) < len(many) == 30
    assert many - few < {close for closes in BORDERS.forecasts.values() for close in closes[:-1]}
    assert len(draw_cuts(INDEX, HOW, 10**6, 3)) < 200, "there are no more"


def test_a_seed_draws_the_same_cuts_and_another_one_others() -> None:
    assert draw_cuts(INDEX, HOW, 8, 1) == draw_cuts(INDEX, HOW, 8, 1) != draw_cuts(INDEX, HOW, 8, 2)


def test_cuts_lie_on_minutes_within_the_bars() -> None:
    cuts = [cut for seed in range(30) for cut in draw_cuts(INDEX, HOW, 20, seed)]
    assert all(cut % MS_PER_MINUTE == 0 for cut in cuts)
    first, last = (int(INDEX[place].timestamp()) * 1000 for place in (0, -1))
    assert first < min(cuts) <= max(cuts) <= last


def test_given_cuts_are_read_as_utc_and_put_in_order() -> None:
    given = [parse_cut("2024-01-02T03:04:59"), parse_cut("2024-01-01T12:00+02:00")]
    found = cuts_within(INDEX, given)
    assert [pd.Timestamp(cut, unit="ms").isoformat() for cut in found] == [
        "2024-01-01T10:00:00",
        "2024-01-02T03:04:00",
    ]


def test_a_cut_lies_after_the_first_bar_and_not_after_the_last() -> None:
    first, last, second = INDEX[0], INDEX[-1], pd.Timedelta("1s")
    at = cuts_within(INDEX, [last, first + second, first + pd.Timedelta("59s"), last])
    assert at == [int(time.timestamp()) * 1_000 for time in (first, last)]
    for cut in (first, first - second, last + second):
        with pytest.raises(CutError, match=f"a cut between {re.escape(str(first))} and "):
            cuts_within(INDEX, [last, cut])
    assert parse_cut("2024-01-01T12:00+02:00") == parse_cut("2024-01-01T10:00")
    assert str(parse_cut("2024-01-01T12:00+02:00").tz) == str(parse_cut("2024-01-01").tz) == "UTC"


@pytest.mark.parametrize("seed", range(5))
def test_drawn_cuts_are_those_of_the_words(seed: int) -> None:
    """With the same draws: a close of each stage that no fit falls on, then of all the others."""
    for count in (0, 9, 14, 40):
        rng = np.random.default_rng(seed)
        fits = sorted(set(BORDERS.fitted.values()))
        cuts = {*fits, fits[0] - STRIDE * 60_000}
        for closes in BORDERS.forecasts.values():
            if not cuts & set(closes[:-1]):
                cuts.add(int(rng.choice(closes[:-1])))
        every = {close for closes in BORDERS.forecasts.values() for close in closes[:-1]}
        more = rng.permutation(sorted(every - cuts))
        missing = max(count - len(cuts), 0)
        assert draw_cuts(INDEX, HOW, count, seed) == sorted([*cuts, *more[:missing].tolist()])


@pytest.mark.parametrize("text", ["soon", "2024-13-01", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(CutError, match=repr(text)):
        parse_cut(text)
