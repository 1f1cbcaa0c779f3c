"""The formulas once more, as they are written down: one row at a time, in plain Python."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import numpy as np
import pytest

from quantgod.served.features import candle
from tests.served.features.markets import columns, ticks

ROWS = 300
MARKET = columns(ROWS, seed=8)
MARKETS = {"smooth": MARKET, "on a grid, with bars that repeat": ticks(ROWS, seed=8)}


def computed(market):
    """What the set says of a market's last minute."""
    return dict(zip(candle.NAMES, candle.compute(market)[-1], strict=True))


def share(part, whole):
    return part / whole if whole else 0.0


def log(part, whole):
    """The logarithm of a share, within a thousandfold."""
    return math.log(min(max(part / whole, 1e-3), 1e3))


def wanted(market, row):
    o, h, low, c = (market[name][: row + 1].tolist() for name in ("open", "high", "low", "close"))
    r = [math.log(c[at] / c[at - 1]) for at in range(1, row + 1)]
    sigma = stdev(r[-60:])
    width = [top - bottom for top, bottom in zip(h, low, strict=True)]
    away = [value - fmean(r[-60:]) for value in r[-60:]]
    values = [math.log(c[-1] / c[-1 - n]) / (sigma * math.sqrt(n)) for n in (1, 3, 5, 15, 30, 60)]
    values += [
        share(c[-1] - o[-1], width[-1]),
        share(h[-1] - max(o[-1], c[-1]), width[-1]),
        share(min(o[-1], c[-1]) - low[-1], width[-1]),
        min(max(share(c[-1] - low[-2], width[-2]), -2), 3),
        log(width[-1], fmean(width[-60:])),
        math.log(o[-1] / c[-2]) / sigma,
    ]
    for n in (15, 60):
        values.append((c[-1] - min(low[-n:])) / (max(h[-n:]) - min(low[-n:])) - 0.5)
    values += [
        math.log(c[-1] / max(c[-60:])) / (sigma * math.sqrt(60)),
        math.log(c[-1] / min(c[-60:])) / (sigma * math.sqrt(60)),
        log(stdev(r[-5:]), sigma),
        math.log(sigma / stdev(r[-240:])),
    ]
    squares = [math.log(top / bottom) ** 2 for top, bottom in zip(h[-15:], low[-15:], strict=True)]
    bodies = [math.log(to / of) ** 2 for of, to in zip(o[-15:], c[-15:], strict=True)]
    klass = fmean(
        square / 2 - (2 * math.log(2) - 1) * body
        for square, body in zip(squares, bodies, strict=True)
    )
    values += [
        log(math.sqrt(fmean(squares) / (4 * math.log(2))), stdev(r[-15:])),
        log(math.sqrt(klass), stdev(r[-15:])),
        math.log(market["second_deviation"][row] / sigma),
        fmean(a**3 for a in away) / fmean(a**2 for a in away) ** 1.5,
        sum(a * b for a, b in zip(away[1:], away[:-1], strict=True)) / sum(a * a for a in away),
        sum(r[-15:]) / sum(abs(value) for value in r[-15:]),
        fmean(value > 0 for value in r[-15:]) - 0.5,
    ]
    return values


@pytest.fixture(scope="module", params=MARKETS)
def market(request):
    """A market, and what the set says of each of its minutes."""
    return MARKETS[request.param], candle.compute(MARKETS[request.param])


@pytest.mark.parametrize("row", [candle.REACH - 1, candle.REACH, 271, ROWS - 1])
def test_every_feature_is_its_formula(market, row):
    expected = wanted(market[0], row)
    for name, found, value in zip(candle.NAMES, market[1][row], expected, strict=True):
        assert found == pytest.approx(value, rel=1e-9, abs=1e-11), name


def spoilt(**last):
    """The market whose last minutes, as many as are given, have other values."""
    market = {name: np.array(values) for name, values in MARKET.items()}
    for name, values in last.items():
        market[name][-len(values) :] = values
    return market


def test_a_logarithm_is_bounded_where_one_side_vanishes():
    still = spoilt(second_deviation=[0.0])
    assert computed(still)["vol_sec"] == pytest.approx(-math.log(1000))


@pytest.mark.parametrize(
    ("close", "place"), [(96.9, -1.1), (92.0, -2), (110.5, 2.1), (115.0, 3), (1e3, 3), (1.0, -2)]
)
def test_the_place_in_the_bar_before_is_bounded(close, place):
    """Two ranges below the lowest price of that bar, or three above, is the end."""
    rows = {"high": [104.1, 1e4], "low": [100.1, 0.1], "close": [102.0, close]}
    expected = max(-2, min((close - 100.1) / 4, 3))
    assert computed(spoilt(**rows))["in_prev"] == pytest.approx(expected)


def test_bodies_beyond_their_range_have_no_volatility_but_the_least():
    """So says rounding of bars whose body is all of their range, or nearly."""
    close = MARKET["close"][-15:]
    found = computed(spoilt(high=close, low=close, open=close * 1.0001))
    assert found["garman_15"] == found["parkinson_15"] == pytest.approx(-math.log(1000))


@pytest.mark.parametrize("factor", [0.9, 1.1])
@pytest.mark.parametrize("age", [14, 15, 59, 60])
def test_an_extreme_is_seen_for_as_long_as_its_window_is(age, factor):
    market = {name: np.array(values) for name, values in MARKET.items()}
    for name in ("open", "high", "low", "close"):
        market[name][-1 - age] *= factor
    expected = dict(zip(candle.NAMES, wanted(market, ROWS - 1), strict=True))
    assert computed(market) == pytest.approx(expected, rel=1e-9, abs=1e-11)
