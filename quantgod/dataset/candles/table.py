"""Rows of several coins: what is known at each candle's close, and what came after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from quantgod.contracts import Booleans, Candles, Floats, Integers
from quantgod.dataset.samples import Samples
from quantgod.served.candles.rows import NAMES, rows_of

DOWN, UP = 0, 2
"""Classes of a return below zero, and of one that is not: NEUTRAL stays empty."""


@dataclass(frozen=True, eq=False)
class CandleTable:
    """Rows of all coins, coin by coin, each in order of time.

    Attributes:
        coins: names, by number.
        step_ms: the candles' interval.
        columns: names of the features.
        coin: (n,) number of the coin.
        date: (n,) open time in steps since 1970: rows of one date are of one moment.
        run: (n,) number of the gap-free stretch, over all coins.
        so_far: (n,) rows of the stretch up to and including this one that have features.
        close: (n,).
        sigma: (n,) deviation of a step's log return, known at the close.
        regime: (n,) known at the close; -1 where there is too little past.
        features: (n, features) float64; NaN where there is too little past.
    """

    coins: tuple[str, ...]
    step_ms: int
    columns: tuple[str, ...]
    coin: Integers
    date: Integers
    run: Integers
    so_far: Integers
    close: Floats
    sigma: Floats
    regime: Integers
    features: Floats

    def __len__(self) -> int:
        return len(self.coin)

    def take(self, index: Integers | Booleans | slice) -> CandleTable:
        """Return these rows; whole stretches, or windows are not what they were."""
        chosen = {
            field.name: getattr(self, field.name)[index]
            for field in fields(self)
            if field.name not in ("coins", "step_ms", "columns")
        }
        return replace(self, **chosen)

    def returns(self, horizons: Sequence[int]) -> Floats:
        """Return the log return to each horizon, (n, horizons); NaN where a hole or the end is."""
        found = np.full((len(self), len(horizons)), np.nan)
        for place, steps in enumerate(horizons):
            ahead = slice(steps, None)
            same = self.run[ahead] == self.run[: len(self) - steps]
            came = np.log(self.close[ahead] / self.close[: len(self) - steps])
            found[: len(self) - steps, place] = np.where(same, came, np.nan)
        return found

    def outcomes(self, horizons: Sequence[int]) -> Floats:
        """Return the same over sigma sqrt(h), (n, horizons): what is forecast."""
        widths = self.sigma[:, None] * np.sqrt(np.array(horizons, np.float64))
        return self.returns(horizons) / widths

    def can_see(self, window: int) -> Booleans:
        """Return whether each row has a whole window of features, (n,)."""
        return self.so_far >= window


def table_of(coins: Sequence[Candles], regimes: Mapping[str, object] | None = None) -> CandleTable:
    """Return the rows of coins, whose candles have one interval.

    Args:
        coins: of different symbols.
        regimes: how regimes are told, as `rows_of` takes it.

    Raises:
        ValueError: for no coin, one that comes twice, or intervals or kinds that differ.
    """
    names = [one.symbol for one in coins]
    kinds = {(one.interval, one.kind) for one in coins}
    if len(kinds) != 1 or len(set(names)) < len(names):
        told = ", ".join(f"{one.symbol} ({one.interval}, {one.kind})" for one in coins)
        raise ValueError(f"different coins of one interval and kind expected, got {told or 'none'}")
    parts, runs = [], 0
    for number, one in enumerate(coins):
        stretch = one.stretch
        found = rows_of(one.time_ms, one.values, stretch, regimes)
        parts.append(
            {
                "coin": np.full(len(one), number),
                "date": one.time_ms // one.step_ms,
                "run": stretch + runs,
                "so_far": found.so_far,
                "close": one.column("close"),
                "sigma": found.sigma,
                "regime": found.regime,
                "features": found.features,
            }
        )
        runs += int(stretch[-1]) + 1 if len(one) else 0
    together = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return CandleTable(tuple(names), coins[0].step_ms, NAMES, **together)


def samples_of(table: CandleTable, rows: Integers, horizons: Sequence[int]) -> Samples:
    """Return rows of a table as samples that the one training loop takes.

    Args:
        table: all rows.
        rows: positions whose every outcome is known, in any order.
        horizons: steps ahead, the primary one first.
    """
    returns = table.returns(horizons)[rows]
    time_ms = table.date[rows] * table.step_ms
    ends = time_ms[:, None] + np.array(horizons, np.int64) * table.step_ms
    classes = np.where(returns < 0, DOWN, UP).astype(np.int64)
    reach = ends.max(axis=1)
    return Samples(
        row=rows,
        time_ms=time_ms,
        label_end_ms=ends[:, 0],
        reach_ms=reach,
        target=classes[:, 0],
        classes=classes,
        returns=returns,
        efficiency=_efficiency(table, rows, horizons),
        volatility=table.sigma[rows],
        run=table.run[rows],
        calendar_ms=time_ms,
        bars_ms=time_ms,
        bars_reach_ms=reach,
        horizons=tuple(horizons),
    )


def _efficiency(table: CandleTable, rows: Integers, horizons: Sequence[int]) -> Floats:
    """Return |sum of returns| over the sum of their sizes to each horizon, (n, horizons)."""
    steps = np.abs(np.diff(np.log(table.close), prepend=np.log(table.close[:1])))
    walked = np.concatenate([[0.0], np.cumsum(steps)])
    found = np.zeros((len(rows), len(horizons)))
    for place, ahead in enumerate(horizons):
        way = walked[rows + ahead + 1] - walked[rows + 1]
        net = np.abs(np.log(table.close[rows + ahead] / table.close[rows]))
        found[:, place] = np.divide(net, way, out=np.zeros_like(net), where=way > 0)
    return np.asarray(found.clip(max=1.0))
