from __future__ import annotations

import pandas as pd
import pytest

from quantgod.contracts import MS_PER_MINUTE
from quantgod.evaluation.leakage.borders import Borders, borders_of
from quantgod.evaluation.leakage.cuts import CutError, cuts_within, draw_cuts, parse_cut
from quantgod.evaluation.leakage.pipeline import in_small
from tests.evaluation.leakage.small import STRIDE, bars, settings

INDEX = pd.DatetimeIndex(bars().index)
HOW = in_small(settings())
BORDERS: Borders = borders_of(INDEX, HOW)


@pytest.mark.parametrize("seed", range(20))
def test_the_first_two_compare_every_stage_and_reach_every_stage(seed: int) -> None:
    early, late = draw_cuts(INDEX, HOW, 2, seed)
    crossing = (60 - STRIDE) * MS_PER_MINUTE
    assert BORDERS.folds[0] + MS_PER_MINUTE <= early <= BORDERS.folds[0] + crossing
    assert BORDERS.tested + MS_PER_MINUTE <= late <= BORDERS.tested + crossing
    assert draw_cuts(INDEX, HOW, 1, seed)[0] > BORDERS.test


@pytest.mark.parametrize("seed", range(6))
def test_all_borders_have_their_turn(seed: int) -> None:
    cuts = draw_cuts(INDEX, HOW, 12, seed)
    assert len(set(cuts)) == len(cuts) == 12
    assert cuts == sorted(cuts)
    for border in BORDERS.first_judged:
        # Against the validation part it is the scaler that shows whether the base was purged.
        begin = BORDERS.inputs_known_by(border) if border == BORDERS.validation else border
        crossing = (60 - STRIDE) * MS_PER_MINUTE
        assert any(begin < cut <= begin + crossing for cut in cuts), border


def test_a_seed_draws_the_same_cuts_and_another_one_others() -> None:
    assert draw_cuts(INDEX, HOW, 8, 1) == draw_cuts(INDEX, HOW, 8, 1) != draw_cuts(INDEX, HOW, 8, 2)


def test_cuts_lie_on_minutes_within_the_bars() -> None:
    cuts = [cut for seed in range(30) for cut in draw_cuts(INDEX, HOW, 9, seed)]
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


@pytest.mark.parametrize("text", ["soon", "2024-13-01", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(CutError, match=repr(text)):
        parse_cut(text)
