from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import FEATURES
from quantgod.dataset.labels import classes_of, label
from quantgod.leakage.perturbation import known_at, perturb
from tests.leakage.small import MINUTES, bars, settings

BARS = bars()
HOW = settings()
ROWS = [0, 1, 700, 1441, MINUTES - 1, MINUTES]


def other(row: int, seed: int = 3) -> tuple[pd.DataFrame, int]:
    """Another future from the close of `row` minutes on."""
    cut = int(BARS.index[0].timestamp() * 1000) + 60_000 * row
    return perturb(BARS, cut, HOW.label, np.random.default_rng(seed)), row


@pytest.mark.parametrize("row", ROWS)
def test_what_is_known_by_the_cut_stays_and_all_else_is_another(row: int) -> None:
    changed, known = other(row)
    pd.testing.assert_index_equal(changed.index, BARS.index)
    pd.testing.assert_frame_equal(changed[:known], BARS[:known], check_exact=True)
    assert (changed[known:] != BARS[known:]).all(axis=None)


@pytest.mark.parametrize("row", ROWS)
def test_it_is_finite_and_as_positive_as_the_market(row: int) -> None:
    changed, _ = other(row)
    assert np.isfinite(changed).all(axis=None)
    assert (changed["close"] > 0).all()
    for name in ("volatility", "max_spread", "upper_wick", "lower_wick", "log_volume"):
        assert (changed[name] >= 0).all(), name


def test_returns_lead_from_close_to_close() -> None:
    changed, row = other(700)
    close = changed["close"].to_numpy()
    assert np.allclose(changed["log_ret_close"][row:], np.diff(np.log(close))[row - 1 :])


@pytest.mark.parametrize("seed", range(5))
def test_every_class_comes_soon(seed: int) -> None:
    """Within a quarter of a day each class is at least one label in twenty."""
    changed, row = other(1000, seed)
    target = label(changed, HOW.label, 5)["target"].to_numpy()
    for begin in range(row, MINUTES - 420, 360):
        share = np.bincount(target[begin : begin + 360], minlength=3) / 360
        assert (share > 0.05).all(), share


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ahead", [1, 2, 5, 15, 60])
def test_a_class_read_too_far_is_another(ahead: int, seed: int) -> None:
    """From closes before the cut to `ahead` rows after it: of the last hour, and beyond it."""
    for row in (700, 1000, 1441, 2200):
        changed, _ = other(row, seed)
        for begin in {row - 61, row - 61 + ahead}:
            moved = [
                np.log(frame["close"].iloc[row - 1 + ahead] / frame["close"].iloc[begin])
                for frame in (BARS, changed)
            ]
            before, after = classes_of(np.array(moved), HOW.label)
            assert before != after or begin >= row


def test_features_lie_elsewhere() -> None:
    changed, row = other(700)
    for name in set(FEATURES) - {"log_ret_close", "body"}:
        away = abs(changed[name][row:].mean() - BARS[name].mean()) / BARS[name].std()
        wider = changed[name][row:].std() / BARS[name].std()
        assert away > 0.5 or wider > 1.5, name


def test_a_seed_gives_the_same_future_and_another_one_another() -> None:
    assert other(700, 1)[0].equals(other(700, 1)[0])
    assert not other(700, 1)[0].equals(other(700, 2)[0])


def test_a_bar_is_known_a_minute_after_it_begins() -> None:
    index = pd.DatetimeIndex(["2024-01-01T00:00Z", "2024-01-01T00:07Z"])
    assert np.diff(known_at(index)).tolist() == [420_000]
    assert known_at(index)[0] == index[0].timestamp() * 1000 + 60_000
