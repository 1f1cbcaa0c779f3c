"""Fifty features of the order book: its shape at the close, its seconds, and its past hour.

Bids and asks come as (rows, 200) prices and sizes, best first. A level that is not there has the
price of the last one that is, and no size.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ..rolling import Floats, correlation, dot, exponential, log_ratio, mean, ratio, rolling
from .scale import log_returns, newest, sigma_of, table

SIDES = ("bid", "ask")
DEPTHS = (1, 5, 10, 20, 50, 200)
SHAPED = 50
"""Levels that slope, mass and walls look at."""

NAMES = (
    *(f"imb_{depth}" for depth in DEPTHS), "wmid_dev_5", "wmid_dev_20", "spread_rel", "spread_vol",
    *(f"depth_rel_{depth}" for depth in (5, 20, 50, 200)), "slope_b", "slope_a", "mass_asym",
    "near_b", "near_a", "hhi_b", "hhi_a", "wall_b", "wall_a", "wall_dist_b", "wall_dist_a",
    "gap_asym", "gap_b", "gap_a", "cost_0.1", "cost_asym_0.1", "cost_0.5", "cost_asym_0.5",
    "range_asym", "s_spread", "s_spread_max", "s_obi_mean", "s_obi_std", "s_obi_trend",
    "s_obi_flips", "s_deep_mean", "s_deep_trend", "s_obi_corr", "ofi_1", "ofi_ac1", "act_rel",
    "mlofi_5", "mlofi_20", "mlofi_50", "imb20_gap", "impact_corr",
)  # fmt: skip
SECONDS = (
    "obi_mean", "obi_std", "obi_trend", "obi_flips", "deep_mean", "deep_trend", "obi_corr", "ofi_1",
    "ofi_ac1",
)  # fmt: skip
"""Figures of the samples inside a minute that are features as they are."""
NEEDS = (
    "bid_prices", "bid_sizes", "ask_prices", "ask_sizes", "close", "messages", "minute",
    "spread_mean", "spread_max", *SECONDS,
)  # fmt: skip
REACH = 240
NEEDED = 61
"""Rows of all that look at the past hour: all but `imb20_gap` and what one book tells."""

Booleans = npt.NDArray[np.bool_]


class Side:
    """One side of the books: prices and sizes (rows, 200), and what they come to."""

    def __init__(self, prices: Floats, sizes: Floats, away: Floats, depth: Floats) -> None:
        self.prices = prices
        self.sizes = sizes
        self.away = away
        self.depth = depth

    def newest(self, rows: int) -> Side:
        """Return the same of the newest rows: what one book tells needs no past."""
        parts = (self.prices, self.sizes, self.away, self.depth)
        return Side(*(part[-rows:] for part in parts))

    def sweep(self, quantity: Floats) -> Floats:
        """Return how far from mid the mean price of taking so much lies, at most the whole side."""
        taken = np.minimum(self.depth, quantity[:, None])
        filled = np.diff(taken, axis=1, prepend=0.0)
        return ratio((filled * self.away).sum(axis=1), taken[:, -1])


def compute(columns: Mapping[str, Floats]) -> Floats:
    """Return the features, (rows, 50). Logarithms and ratios are bounded."""
    recent = newest(columns, REACH, NEEDED)
    mid = (recent["bid_prices"][:, 0] + recent["ask_prices"][:, 0]) / 2
    bids, asks = (_side(recent[f"{name}_prices"], recent[f"{name}_sizes"], mid) for name in SIDES)
    usual = mean(bids.depth[:, 19] + asks.depth[:, 19], 60)
    own = max(len(columns["close"]) - REACH + 1, 1)  # rows that get features
    sides, unit = (bids.newest(own), asks.newest(own)), mid * sigma_of(recent["close"], 60)
    found = {
        **_imbalances(bids, asks),
        **_spreads(recent, unit),
        **_shape(*sides, unit[-own:]),
        **_costs(*sides, unit[-own:], usual[-own:]),
        **_seconds(recent),
        **_flows(recent, bids, asks),
        "imb20_gap": _imbalance_gap(columns["bid_sizes"], columns["ask_sizes"]),
        "impact_corr": correlation(log_returns(recent["close"]), recent["ofi_1"], 60),
    }
    for depth in (5, 20):
        found[f"wmid_dev_{depth}"] = _weighted_mid(*sides, mid[-own:], depth)
    return table(found, NAMES, REACH, len(columns["close"]))


def _side(prices: Floats, sizes: Floats, mid: Floats) -> Side:
    return Side(prices, sizes, np.abs(prices - mid[:, None]), np.cumsum(sizes, axis=1))


def _imbalance_gap(bid_sizes: Floats, ask_sizes: Floats) -> Floats:
    """Return how far the imbalance of 20 levels lies from its exponential average."""
    bid, ask = (np.cumsum(sizes[:, :20], axis=1)[:, -1] for sizes in (bid_sizes, ask_sizes))
    imbalance = ratio(bid - ask, bid + ask)
    return imbalance - dot(imbalance, exponential(15))


def _imbalances(bids: Side, asks: Side) -> dict[str, Floats]:
    found = {}
    for depth in DEPTHS:
        bid, ask = bids.depth[:, depth - 1], asks.depth[:, depth - 1]
        found[f"imb_{depth}"] = ratio(bid - ask, bid + ask)
        found[f"depth_rel_{depth}"] = log_ratio(bid + ask, mean(bid + ask, 60))
    return found


def _weighted_mid(bids: Side, asks: Side, mid: Floats, depth: int) -> Floats:
    """Return how many spreads from mid the price lies that weighs each level by the other side."""
    sizes = [side.sizes[:, :depth] for side in (bids, asks)]
    crossed = bids.prices[:, :depth] * sizes[1] + asks.prices[:, :depth] * sizes[0]
    whole = (sizes[0] + sizes[1]).sum(axis=1)
    price = np.where(whole == 0, mid, ratio(crossed.sum(axis=1), whole))
    return np.clip(ratio(price - mid, asks.prices[:, 0] - bids.prices[:, 0]), -5, 5)


def _spreads(columns: Mapping[str, Floats], unit: Floats) -> dict[str, Floats]:
    spread = columns["ask_prices"][:, 0] - columns["bid_prices"][:, 0]
    usual = rolling(spread, 60, lambda window: np.median(window, axis=1))
    return {
        "spread_rel": log_ratio(spread, usual),
        "spread_vol": spread / unit,
        "s_spread": log_ratio(columns["spread_mean"], mean(columns["spread_mean"], 60)),
        "s_spread_max": log_ratio(columns["spread_max"], columns["spread_mean"]),
    }


def _shape(bids: Side, asks: Side, unit: Floats) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    centre, spacing = [], []
    for name, side in (("b", bids), ("a", asks)):
        sizes, away = side.sizes[:, :SHAPED], side.away[:, :SHAPED]
        largest = sizes.argmax(axis=1)[:, None]
        share = ratio(side.sizes[:, :20], np.broadcast_to(side.depth[:, 19:20], (len(sizes), 20)))
        found |= {
            f"slope_{name}": _slope(away, side.depth[:, :SHAPED]),
            f"near_{name}": ratio(side.depth[:, 4], side.depth[:, SHAPED - 1]),
            f"hhi_{name}": 20 * np.square(share).sum(axis=1),
            f"wall_{name}": log_ratio(sizes.max(axis=1), np.median(sizes, axis=1)),
            f"wall_dist_{name}": ratio(np.take_along_axis(away, largest, 1)[:, 0], away[:, -1]),
            f"gap_{name}": (side.away[:, 9] - side.away[:, 0]) / unit,
        }
        centre.append(ratio((sizes * away).sum(axis=1), side.depth[:, SHAPED - 1]))
        spacing.append((side.away[:, 9] - side.away[:, 0]) / 9)
    return found | {
        "mass_asym": ratio(centre[0] - centre[1], centre[0] + centre[1]),
        "gap_asym": ratio(spacing[0] - spacing[1], spacing[0] + spacing[1]),
        "range_asym": log_ratio(bids.away[:, -1], asks.away[:, -1]),
    }


def _slope(away: Floats, depth: Floats) -> Floats:
    """Return the least-squares slope of ln(cumulative size) on ln(distance to mid), 0 if flat."""
    tiny = np.finfo(np.float64).tiny
    x, y = np.log(np.maximum(away, tiny)), np.log(np.maximum(depth, tiny))
    x = x - x.mean(axis=1, keepdims=True)
    return ratio((x * (y - y.mean(axis=1, keepdims=True))).sum(axis=1), np.square(x).sum(axis=1))


def _costs(bids: Side, asks: Side, unit: Floats, usual: Floats) -> dict[str, Floats]:
    found = {}
    for share in (0.1, 0.5):
        buy, sell = asks.sweep(share * usual), bids.sweep(share * usual)
        found[f"cost_{share}"] = (buy + sell) / 2 / unit
        found[f"cost_asym_{share}"] = ratio(buy - sell, buy + sell)
    return found


def _seconds(columns: Mapping[str, Floats]) -> dict[str, Floats]:
    activity = np.log1p(columns["messages"])
    plain = {name if name.startswith("ofi") else f"s_{name}": columns[name] for name in SECONDS}
    return plain | {"act_rel": activity - mean(activity, 60)}


def _flows(columns: Mapping[str, Floats], bids: Side, asks: Side) -> dict[str, Floats]:
    """Return order flow between the closes of neighbouring minutes, by depth."""
    gap = np.diff(columns["minute"], prepend=np.nan) != 1
    flow = np.cumsum(_events(bids, is_bid=True) - _events(asks, is_bid=False), axis=1)
    found = {}
    for depth in (5, 20, 50):
        usual = mean(bids.depth[:, depth - 1] + asks.depth[:, depth - 1], 60)
        found[f"mlofi_{depth}"] = np.where(gap, 0.0, ratio(flow[:, depth - 1], usual))
    return found


def _events(side: Side, *, is_bid: bool) -> Floats:
    """Return what came to each of 50 levels, less what left (Cont, Kukanov and Stoikov, 2014)."""
    prices, sizes = side.prices[:, :SHAPED], side.sizes[:, :SHAPED]
    old_prices, old_sizes = np.roll(prices, 1, axis=0), np.roll(sizes, 1, axis=0)
    nearer = prices >= old_prices if is_bid else prices <= old_prices
    further = prices <= old_prices if is_bid else prices >= old_prices
    return np.asarray(nearer * sizes - further * old_sizes)
