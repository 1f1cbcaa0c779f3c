"""The formulas once more, as they are written down: one row at a time, in plain Python."""

from __future__ import annotations

import math
from statistics import fmean, median, stdev

import numpy as np
import pytest

from quantgod.served.features import book
from quantgod.served.rolling import exponential
from tests.served.features.markets import columns

ROWS = 300
MARKET = columns(ROWS, seed=6)
FOUND = book.compute(MARKET)


class Row:
    """One minute's book: prices, sizes, mid."""

    def __init__(self, at, market=MARKET):
        self.p = {s: market[f"{n}_prices"][at].tolist() for s, n in (("b", "bid"), ("a", "ask"))}
        self.q = {s: market[f"{n}_sizes"][at].tolist() for s, n in (("b", "bid"), ("a", "ask"))}
        self.mid = (self.p["b"][0] + self.p["a"][0]) / 2
        self.spread = self.p["a"][0] - self.p["b"][0]

    def depth(self, side, levels):
        return sum(self.q[side][:levels])

    def both(self, levels):
        return self.depth("b", levels) + self.depth("a", levels)

    def away(self, side):
        return [abs(price - self.mid) for price in self.p[side]]

    def sweep(self, side, quantity):
        left, paid = quantity, 0.0
        for price, size in zip(self.p[side], self.q[side], strict=True):
            take = min(left, size)
            paid, left = paid + take * price, left - take
        return abs(paid / (quantity - left) - self.mid)


def imbalance(row, levels):
    bid, ask = row.depth("b", levels), row.depth("a", levels)
    return (bid - ask) / (bid + ask)


def event(now, before, side, level):
    """Cont, Kukanov and Stoikov: what came to a level less what left it, buyers' gain positive."""
    p, p0 = now.p[side][level], before.p[side][level]
    came, left = (p >= p0, p <= p0) if side == "b" else (p <= p0, p >= p0)
    change = came * now.q[side][level] - left * before.q[side][level]
    return change if side == "b" else -change


def wanted(at):
    rows = [Row(place) for place in range(at - 239, at + 1)]
    row, hour = rows[-1], rows[-60:]
    closes = MARKET["close"][at - 60 : at + 1].tolist()
    r = [math.log(closes[k] / closes[k - 1]) for k in range(1, 61)]
    unit = row.mid * stdev(r)
    seconds = {name: MARKET[name][at] for name in book.SECONDS}
    values = {f"imb_{k}": imbalance(row, k) for k in (1, 5, 10, 20, 50, 200)}
    for k in (5, 20):
        pairs = range(k)
        top = sum(row.p["b"][i] * row.q["a"][i] + row.p["a"][i] * row.q["b"][i] for i in pairs)
        values[f"wmid_dev_{k}"] = (top / row.both(k) - row.mid) / row.spread
    values["spread_rel"] = math.log(row.spread / median(one.spread for one in hour))
    values["spread_vol"] = row.spread / unit
    for k in (5, 20, 50, 200):
        values[f"depth_rel_{k}"] = math.log(row.both(k) / fmean(one.both(k) for one in hour))
    for side in "ba":
        sizes, away = row.q[side][:50], row.away(side)
        depths = np.log(np.cumsum(sizes))
        values[f"slope_{side}"] = np.polyfit(np.log(away[:50]), depths, 1)[0]
        values[f"near_{side}"] = row.depth(side, 5) / row.depth(side, 50)
        values[f"hhi_{side}"] = 20 * sum((q / row.depth(side, 20)) ** 2 for q in sizes[:20])
        values[f"wall_{side}"] = math.log(max(sizes) / median(sizes))
        values[f"wall_dist_{side}"] = away[sizes.index(max(sizes))] / away[49]
        values[f"gap_{side}"] = abs(row.p[side][0] - row.p[side][9]) / unit
    mass = {
        side: sum(q * d for q, d in zip(row.q[side][:50], row.away(side), strict=False))
        / row.depth(side, 50)
        for side in "ba"
    }
    gap = {side: abs(row.p[side][0] - row.p[side][9]) for side in "ba"}
    values["mass_asym"] = (mass["b"] - mass["a"]) / (mass["b"] + mass["a"])
    values["gap_asym"] = (gap["b"] - gap["a"]) / (gap["b"] + gap["a"])
    for share in (0.1, 0.5):
        quantity = share * fmean(one.both(20) for one in hour)
        buy, sell = row.sweep("a", quantity), row.sweep("b", quantity)
        values[f"cost_{share}"] = (buy + sell) / 2 / unit
        values[f"cost_asym_{share}"] = (buy - sell) / (buy + sell)
    values["range_asym"] = math.log((row.mid - row.p["b"][199]) / (row.p["a"][199] - row.mid))
    mean_spread = MARKET["spread_mean"][at - 59 : at + 1]
    values["s_spread"] = math.log(mean_spread[-1] / mean_spread.mean())
    values["s_spread_max"] = math.log(MARKET["spread_max"][at] / mean_spread[-1])
    values |= {f"s_{n}": value for n, value in seconds.items() if not n.startswith("ofi")}
    values |= {"ofi_1": seconds["ofi_1"], "ofi_ac1": seconds["ofi_ac1"]}
    activity = np.log(1 + MARKET["messages"][at - 59 : at + 1])
    values["act_rel"] = activity[-1] - activity.mean()
    for k in (5, 20, 50):
        flow = sum(event(row, rows[-2], side, level) for side in "ba" for level in range(k))
        values[f"mlofi_{k}"] = flow / fmean(one.both(k) for one in hour)
    imbalances = [imbalance(one, 20) for one in rows]
    values["imb20_gap"] = imbalances[-1] - float(np.dot(exponential(15), imbalances))
    values["impact_corr"] = np.corrcoef(r, MARKET["ofi_1"][at - 59 : at + 1])[0, 1]
    return values


@pytest.mark.parametrize("row", [book.REACH - 1, book.REACH, 277, ROWS - 1])
def test_every_feature_is_its_formula(row):
    expected = wanted(row)
    assert expected.keys() == set(book.NAMES)
    for name, found in zip(book.NAMES, FOUND[row], strict=True):
        assert found == pytest.approx(expected[name], rel=1e-8, abs=1e-11), name


def test_order_flow_across_a_gap_is_nothing():
    apart = dict(MARKET, minute=MARKET["minute"] + (np.arange(ROWS) >= 280))
    found = dict(zip(book.NAMES, book.compute(apart)[280], strict=True))
    assert [found[f"mlofi_{depth}"] for depth in (5, 20, 50)] == [0, 0, 0]
    whole = dict(zip(book.NAMES, FOUND[280], strict=True))
    assert all(whole[f"mlofi_{depth}"] != 0 for depth in (5, 20, 50))
    assert {name: value for name, value in found.items() if not name.startswith("mlofi")} == {
        name: value for name, value in whole.items() if not name.startswith("mlofi")
    }


def test_a_sweep_of_more_than_there_is_stops_at_the_last_level():
    thin = {name: np.array(values) for name, values in MARKET.items()}
    for side in ("bid_sizes", "ask_sizes"):
        thin[side][-1] = 1e-6
    found = dict(zip(book.NAMES, book.compute(thin)[-1], strict=True))
    row = Row(ROWS - 1, thin)
    closes = MARKET["close"][-61:]
    unit = row.mid * np.diff(np.log(closes)).std(ddof=1)
    away = [fmean(row.away(side)) for side in "ab"]
    assert found["cost_0.5"] == pytest.approx(fmean(away) / unit)
