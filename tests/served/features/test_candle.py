"""The formulas once more, as they are written down: one row at a time, in plain Python."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import numpy as np
import pytest

from quantgod.served.features import candle
from tests.served.features.markets import columns

ROWS = 300
MARKET = columns(ROWS, seed=8)
FOUND = candle.compute(MARKET)


def wanted(row):
    o, h, low, c = (MARKET[name][: row + 1].tolist() for name in ("open", "high", "low", "close"))
    r = [math.log(c[at] / c[at - 1]) for at in range(1, row + 1)]
    sigma = stdev(r[-60:])
    width = [top - bottom for top, bottom in zip(h, low, strict=True)]
    away = [value - fmean(r[-60:]) for value in r[-60:]]
    values = [math.log(c[-1] / c[-1 - n]) / (sigma * math.sqrt(n)) for n in (1, 3, 5, 15, 30, 60)]
    values += [
        (c[-1] - o[-1]) / width[-1],
        (h[-1] - max(o[-1], c[-1])) / width[-1],
        (min(o[-1], c[-1]) - low[-1]) / width[-1],
        min(max((c[-1] - low[-2]) / width[-2], -2), 3),
        math.log(width[-1] / fmean(width[-60:])),
        math.log(o[-1] / c[-2]) / sigma,
    ]
    for n in (15, 60):
        values.append((c[-1] - min(low[-n:])) / (max(h[-n:]) - min(low[-n:])) - 0.5)
    values += [
        math.log(c[-1] / max(c[-60:])) / (sigma * math.sqrt(60)),
        math.log(c[-1] / min(c[-60:])) / (sigma * math.sqrt(60)),
        math.log(stdev(r[-5:]) / sigma),
        math.log(sigma / stdev(r[-240:])),
    ]
    squares = [math.log(top / bottom) ** 2 for top, bottom in zip(h[-15:], low[-15:], strict=True)]
    bodies = [math.log(to / of) ** 2 for of, to in zip(o[-15:], c[-15:], strict=True)]
    klass = fmean(
        square / 2 - (2 * math.log(2) - 1) * body
        for square, body in zip(squares, bodies, strict=True)
    )
    values += [
        math.log(math.sqrt(fmean(squares) / (4 * math.log(2))) / stdev(r[-15:])),
        math.log(math.sqrt(klass) / stdev(r[-15:])),
        math.log(MARKET["second_deviation"][row] / sigma),
        fmean(a**3 for a in away) / fmean(a**2 for a in away) ** 1.5,
        sum(a * b for a, b in zip(away[1:], away[:-1], strict=True)) / sum(a * a for a in away),
        sum(r[-15:]) / sum(abs(value) for value in r[-15:]),
        fmean(value > 0 for value in r[-15:]) - 0.5,
    ]
    return values


@pytest.mark.parametrize("row", [candle.REACH - 1, candle.REACH, 271, ROWS - 1])
def test_every_feature_is_its_formula(row):
    for name, found, expected in zip(candle.NAMES, FOUND[row], wanted(row), strict=True):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-11), name


def test_a_logarithm_is_bounded_where_one_side_vanishes():
    still = {name: np.array(values) for name, values in MARKET.items()}
    still["second_deviation"][-1] = 0.0
    place = candle.NAMES.index("vol_sec")
    assert candle.compute(still)[-1, place] == pytest.approx(-math.log(1000))
