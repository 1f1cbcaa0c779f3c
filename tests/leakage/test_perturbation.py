from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

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


def oracle(frame: pd.DataFrame, row: int, how: Any, rng: np.random.Generator) -> pd.DataFrame:
    """The other market minute by minute, by the words of `perturb` and with the same draws."""
    close, count = frame["close"].tolist(), len(frame) - row
    horizon, apart = how.horizon_minutes, how.buy_above - how.sell_below
    drift: list[float] = []
    while len(drift) < count:
        for phase in rng.permutation([1.0, 0.0, -1.0]):
            drift += [1.5 * phase * apart / horizon] * horizon
    noise = rng.normal(0.0, apart / math.sqrt(horizon) / 2, count)
    lately = close[max(row - 1 - 2 * horizon, 0) : max(row, 1)]
    far = 6 * apart + math.log(max(lately) / min(lately))
    side, walk, path = 1, 0.0, [0.0]
    for at in range(row, len(close)):
        begins = (max(at - horizon, 0), max(row - 1 - horizon, 0))
        moves = [math.log(close[at] / close[begin]) for begin in begins]
        if any(move > how.buy_above for move in moves):
            side = -1
        elif any(move < how.sell_below for move in moves):
            side = 1
        walk += drift[at - row] + noise[at - row]
        path.append(walk + side * far)
    steps = np.diff(path)
    found = frame.copy()
    place = frame.columns.get_loc
    found.iloc[row:, place("close")] = close[max(row - 1, 0)] * np.exp(path[1:])
    for name in FEATURES:
        values = frame[name].to_numpy()
        spread = 3 * max(values.std(), 1e-9)
        drawn = rng.normal(values.mean() + spread * rng.choice((-1.0, 1.0)), spread, count)
        found.iloc[row:, place(name)] = drawn if values.min() < 0 else abs(drawn)
    found.iloc[row:, place("log_ret_close")] = steps
    found.iloc[row:, place("body")] = steps * rng.uniform(0.5, 1.0, count)
    return found


STILL = BARS[:40].assign(close=50.0, volatility=0.25, tilt=0.0)
STEPS = STILL.assign(close=np.repeat([50.0, 51.0, 49.0, 52.0, 48.0], 8))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("frame", "row", "horizon", "buy_above", "sell_below"),
    [
        *((BARS, row, 60, 0.002, -0.003) for row in (0, 1, 2, 60, 61, 62, 700, 1441, MINUTES - 1)),
        *((BARS, row, 7, 0.0005, -0.0004) for row in (7, 8, 14, 15, 1_000)),
        (BARS, MINUTES - 21, 7, 0.0005, -0.0004),  # a whole cycle is left
        (STILL, 12, 5, 0.0, -0.01),  # a move of nothing is not above, and not below
        (STILL, 12, 5, 0.01, 0.0),
        *((STEPS, row, 5, 0.01, -0.01) for row in (1, 9, 17, 26, 34)),
        *((STEPS, row, 3, 0.5, -0.5) for row in (1, 9, 17)),  # nothing moves as far
    ],
)
def test_it_is_the_market_that_its_words_say(
    frame: pd.DataFrame, row: int, horizon: int, buy_above: float, sell_below: float, seed: int
) -> None:
    how: Any = SimpleNamespace(horizon_minutes=horizon, buy_above=buy_above, sell_below=sell_below)
    cut = int(frame.index[0].timestamp() * 1000) + 60_000 * row
    found = perturb(frame, cut, how, np.random.default_rng(seed))
    expected = oracle(frame, row, how, np.random.default_rng(seed))
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, atol=1e-12)


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
