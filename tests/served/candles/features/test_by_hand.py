"""The other formulas once more, as they are written down: one row at a time, in plain Python."""

from __future__ import annotations

import calendar
import math
from datetime import UTC, datetime
from itertools import pairwise
from statistics import fmean, median, stdev

import numpy as np
import pytest
import scipy.stats

from quantgod.served.candles.features import price, regime, statistics, time
from tests.served.candles.features.markets import DAY, PRICES, smooth, ticks

ROWS = 400
MARKETS = {"smooth": smooth(ROWS, seed=8), "ticks": ticks(ROWS, seed=8)}


def share(part, whole):
    return part / whole if whole else 0.0


def sign(value):
    return (value > 0) - (value < 0)


def returns_of(c):
    return [math.log(new / old) for old, new in pairwise(c)]


def price_of(o, h, low, c):
    r = returns_of(c)
    sigma = max(stdev(r[-30:]), 1e-5)
    width = [top - bottom for top, bottom in zip(h, low, strict=True)]
    moves = {"ret": price.RETURNS, "mom": price.LONG}
    rows = {
        f"{kind}_{n}": math.log(c[-1] / c[-1 - n]) / (sigma * math.sqrt(n))
        for kind, all_rows in moves.items()
        for n in all_rows
    }
    for n in price.EXTREMES:
        rows[f"from_high_{n}"] = math.log(c[-1] / max(c[-n:])) / (sigma * math.sqrt(n))
        rows[f"from_low_{n}"] = math.log(c[-1] / min(c[-n:])) / (sigma * math.sqrt(n))
    for n in price.PLACES:
        tall = max(h[-n:]) - min(low[-n:])
        rows[f"pos_{n}"] = share(c[-1] - min(low[-n:]), tall) - 0.5 * (tall > 0)
    in_last = share(c[-1] - (h[-2] + low[-2]) / 2, h[-2] - low[-2])
    signs, run = [sign(value) for value in r[-10:]][::-1], 0
    while run < 10 and signs[run] == signs[0]:
        run += 1
    wide = share(width[-1], fmean(width[-20:]))
    return rows | {
        **{f"lag_{n}": r[-1 - n] / sigma for n in price.LAGS},
        "body": share(c[-1] - o[-1], width[-1]),
        "upper": share(h[-1] - max(o[-1], c[-1]), width[-1]),
        "lower": share(min(o[-1], c[-1]) - low[-1], width[-1]),
        "body_sigma": math.log(c[-1] / o[-1]) / sigma,
        "range_sigma": math.log(h[-1] / low[-1]) / sigma,
        "range_rel": math.log(max(wide, 1e-3)) if any(width[-20:]) else 0.0,
        "gap_open": math.log(o[-1] / c[-2]) / sigma,
        "in_prev": min(max(in_last, -2.5), 2.5),
        "typical_gap": math.log(3 * c[-1] / (h[-1] + low[-1] + c[-1])) / sigma,
        "up_10": fmean(sign(value) for value in r[-10:]),
        "up_30": fmean(sign(value) for value in r[-30:]),
        "streak": run / 10 * signs[0],
    }


def statistics_of(o, h, low, c):
    r = returns_of(c)
    far = sorted(r[-60:])
    score = {n: share(c[-1] - fmean(c[-n:]), np.std(c[-n:])) for n in statistics.SCORES}
    return {
        **{f"skew_{n}": scipy.stats.skew(r[-n:]) for n in statistics.MOMENTS},
        **{f"kurt_{n}": scipy.stats.kurtosis(r[-n:]) for n in statistics.MOMENTS},
        **{f"z_{n}": value for n, value in score.items()},
        **{f"ac{lag}_60": autocorrelation(r[-60:], lag) for lag in (1, 2)},
        "tail_60": share(far[5] + far[-6] - 2 * median(far), far[-6] - far[5]),
        "eff_30": sum(r[-30:]) / sum(abs(value) for value in r[-30:]),
    }


def autocorrelation(values, lag):
    away = [value - fmean(values) for value in values]
    return sum(a * b for a, b in zip(away[lag:], away, strict=False)) / sum(a * a for a in away)


def regime_of(o, h, low, c):
    r = returns_of(c)
    slow, quick = fmean(c[-200:]), fmean(c[-50:])
    recent = [stdev(r[len(r) - age - 20 : len(r) - age]) for age in range(200)]
    ranked = fmean(sign(recent[0] - each) for each in recent)
    fallen = math.log(max(c[-60:]) / c[-1]) > stdev(r[-200:]) * math.sqrt(60)
    together = [(1 - lag / 5) * autocorrelation(r[-60:], lag) for lag in range(1, 5)]
    flags = {
        "bull": c[-1] > slow and quick > slow,
        "bear": c[-1] < slow and quick < slow,
        "high_vol": ranked > 0.6,
        "stress": ranked > 0.6 and fallen,
    }
    return {name: float(flag) for name, flag in flags.items()} | {"reverting": -2 * sum(together)}


def time_of(moment):
    """The calendar's features of a moment."""
    at = datetime.fromtimestamp(moment / 1000, UTC)
    days = calendar.monthrange(at.year, at.month)[1]
    first = 3 * ((at.month - 1) // 3) + 1
    quarter = [calendar.monthrange(at.year, first + n)[1] for n in range(3)]
    gone = sum(quarter[: at.month - first]) + at.day - 1
    year = 366 if calendar.isleap(at.year) else 365
    passed = (
        (at.hour * 60 + at.minute) / 1440,
        at.weekday() / 7,
        (at.day - 1) / days,
        gone / sum(quarter),
        (at.timetuple().tm_yday - 1) / year,
    )
    waves = [wave(2 * math.pi * part) for part in passed for wave in (math.sin, math.cos)]
    flags = (at.weekday() >= 5, at.day <= 3, at.day > days - 3, gone >= sum(quarter) - 7)
    return [*waves, *flags]


FAMILIES = {price: price_of, statistics: statistics_of, regime: regime_of}


@pytest.mark.parametrize("form", MARKETS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__.split(".")[-1])
def test_every_feature_is_its_formula(family, form):
    found = family.compute(MARKETS[form])
    for end in (family.REACH, 251, 287, 331, 359, ROWS):
        past = [MARKETS[form][name][:end].tolist() for name in PRICES]
        expected = FAMILIES[family](*past)
        assert expected.keys() == set(family.NAMES)
        said = dict(zip(family.NAMES, found[end - 1], strict=True))
        assert said == pytest.approx(expected, rel=1e-9, abs=1e-9), end


def test_the_calendars_features_are_those_of_each_day_and_minute():
    """Of every day of five years, a leap year among them, at another minute each."""
    days = np.arange(17_897, 17_897 + 5 * 365 + 1, dtype=np.float64)
    moments = days * DAY + np.arange(len(days)) % 1440 * 60_000
    expected = [time_of(moment) for moment in moments]
    np.testing.assert_allclose(time.compute({"time": moments}), expected, atol=1e-12)


def flagged(path):
    """The regime's features at the end of a path of log prices."""
    close = np.exp(np.asarray(path))
    return dict(zip(regime.NAMES, regime.compute({"close": close})[-1], strict=True))


def test_a_fall_in_a_rough_market_is_stress_and_a_bear_market():
    calm = np.random.default_rng(0).normal(0, 0.01, 240)
    fall = np.cumsum(np.concatenate([calm, np.random.default_rng(1).normal(-0.03, 0.03, 30)]))
    found = flagged(fall)
    assert [found[name] for name in ("bull", "bear", "high_vol", "stress")] == [0, 1, 1, 1]
    rise = flagged(np.abs(fall.min()) - fall)
    assert [rise[name] for name in ("bull", "bear", "high_vol", "stress")] == [1, 0, 1, 0]


@pytest.mark.parametrize("pull", [-0.6, 0.6])
def test_a_market_reverts_where_its_returns_undo_each_other(pull):
    """So its autocorrelation is negative and its variance ratio below 1."""
    shocks = np.random.default_rng(5).normal(0, 0.01, 400)
    returns = [0.0]
    for shock in shocks:
        returns.append(pull * returns[-1] + shock)
    close = {"close": np.exp(np.cumsum(returns))}
    reverting = regime.compute(close)[regime.REACH :, -1]
    place = statistics.NAMES.index("ac1_60")
    alike = statistics.compute(close)[regime.REACH :, place]
    assert (np.sign(reverting) == -np.sign(pull)).mean() > 0.95
    assert (np.sign(alike) == np.sign(pull)).all()


@pytest.mark.parametrize(
    ("close", "place"), [(0.1, -2.5), (98, -0.5), (102, 0.5), (108.4, 2.1), (900, 2.5)]
)
def test_the_place_in_the_candle_before_is_bounded(close, place):
    """That candle reached from 98 to 102: its middle is 0, and its top a half."""
    market = {name: np.array(values) for name, values in MARKETS["smooth"].items()}
    for name, value in {"open": 99, "high": 102, "low": 98, "close": 101}.items():
        market[name][-2:] = value
    market["close"][-1], market["high"][-1], market["low"][-1] = close, 1_000, 0.05
    found = price.compute(market)[-1, price.NAMES.index("in_prev")]
    assert found == pytest.approx(place)
