"""The formulas once more, as they are written down: one row at a time, in plain Python."""

from __future__ import annotations

import math
from statistics import fmean, median, stdev

import numpy as np
import pytest

from quantgod.served.features import book
from tests.served.features.markets import columns, ticks

ROWS = 300
MARKET = columns(ROWS, seed=6)
MARKETS = {"smooth": MARKET, "on a grid, with books that repeat": ticks(ROWS, seed=6)}


def computed(market):
    """What the set says of a market's last minute."""
    return dict(zip(book.NAMES, book.compute(market)[-1], strict=True))


class Row:
    """One minute's book: prices, sizes, mid."""

    def __init__(self, market, at):
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


def averaged(values, period):
    """The exponential average, which starts with the mean of its period."""
    found = fmean(values[:period])
    for value in values[period:]:
        found += (value - found) * 2 / (period + 1)
    return found


def wanted(market, at):
    rows = [Row(market, place) for place in range(at - 239, at + 1)]
    row, hour = rows[-1], rows[-60:]
    closes = market["close"][at - 60 : at + 1].tolist()
    r = [math.log(closes[k] / closes[k - 1]) for k in range(1, 61)]
    unit = row.mid * stdev(r)
    seconds = {name: market[name][at] for name in book.SECONDS}
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
    mean_spread = market["spread_mean"][at - 59 : at + 1]
    values["s_spread"] = math.log(mean_spread[-1] / mean_spread.mean())
    values["s_spread_max"] = math.log(market["spread_max"][at] / mean_spread[-1])
    values |= {f"s_{n}": value for n, value in seconds.items() if not n.startswith("ofi")}
    values |= {"ofi_1": seconds["ofi_1"], "ofi_ac1": seconds["ofi_ac1"]}
    activity = np.log(1 + market["messages"][at - 59 : at + 1])
    values["act_rel"] = activity[-1] - activity.mean()
    for k in (5, 20, 50):
        flow = sum(event(row, rows[-2], side, level) for side in "ba" for level in range(k))
        values[f"mlofi_{k}"] = flow / fmean(one.both(k) for one in hour)
    imbalances = [imbalance(one, 20) for one in rows]
    values["imb20_gap"] = imbalances[-1] - averaged(imbalances, 15)
    values["impact_corr"] = np.corrcoef(r, market["ofi_1"][at - 59 : at + 1])[0, 1]
    return values


@pytest.fixture(scope="module", params=MARKETS)
def market(request):
    """A market, and what the set says of each of its minutes."""
    return MARKETS[request.param], book.compute(MARKETS[request.param])


@pytest.mark.parametrize("row", [book.REACH - 1, book.REACH, 277, ROWS - 1])
def test_every_feature_is_its_formula(market, row):
    expected = wanted(market[0], row)
    assert expected.keys() == set(book.NAMES)
    for name, found in zip(book.NAMES, market[1][row], strict=True):
        assert found == pytest.approx(expected[name], rel=1e-8, abs=1e-11), name


def test_order_flow_across_a_gap_is_nothing():
    apart = dict(MARKET, minute=MARKET["minute"] + (np.arange(ROWS) == ROWS - 1))
    found, whole = computed(apart), computed(MARKET)
    for depth in (5, 20, 50):
        assert found.pop(f"mlofi_{depth}") == 0 != whole.pop(f"mlofi_{depth}")
    assert found == whole


def spoilt(of="smooth", **sizes):
    """The market whose last minute has other sizes."""
    market = {name: np.array(values) for name, values in MARKETS[of].items()}
    for side, values in sizes.items():
        market[f"{side}_sizes"][-1] = values
    return market


def test_a_sweep_of_more_than_there_is_stops_at_the_last_level():
    thin = spoilt(bid=1e-6, ask=1e-6)
    row = Row(thin, ROWS - 1)
    unit = row.mid * np.diff(np.log(MARKET["close"][-61:])).std(ddof=1)
    away = [fmean(row.away(side)) for side in "ab"]
    assert computed(thin)["cost_0.5"] == pytest.approx(fmean(away) / unit)


@pytest.mark.parametrize(("heavy", "bound"), [("ask", -5), ("bid", 5)])
def test_a_weighted_mid_is_bounded_at_five_spreads(heavy, bound):
    """All size of one side lies far away, at a price that the other side's size then weighs."""
    far = np.where(np.arange(200) == 19, 1e6, 1e-6)
    found = computed(spoilt([*MARKETS][1], **{heavy: far}))
    assert found["wmid_dev_20"] == bound
    assert abs(found["wmid_dev_5"]) < 4


def test_levels_without_size_have_no_imbalance_and_leave_mid_where_it_is():
    found = computed(spoilt(bid=0.0, ask=0.0))
    names = ("imb_", "wmid_dev_", "near_", "hhi_", "wall_b", "wall_a", "mass_", "cost_", "slope_")
    for name in (name for name in book.NAMES if name.startswith(names)):
        if not name.startswith("wall_dist"):
            assert found[name] == pytest.approx(0), name
    assert found["depth_rel_5"] == pytest.approx(-np.log(1_000))


def test_a_level_without_size_before_the_first_is_as_near_to_nothing_as_a_number_goes():
    sizes = np.arange(200.0)
    side, row = spoilt(bid=sizes), Row(spoilt(bid=sizes), ROWS - 1)
    tiny = np.finfo(float).tiny
    depths = np.log(np.maximum(np.cumsum(sizes), tiny))[:50]
    slope = np.polyfit(np.log(row.away("b")[:50]), depths, 1)[0]
    assert computed(side)["slope_b"] == pytest.approx(slope)
