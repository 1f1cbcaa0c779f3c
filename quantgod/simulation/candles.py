"""Simulate candles with planted structure, or with none.

The log return of candle t is sigma_t (drift_t + z_t), where z_t are independent shocks. Three
kinds of structure may be planted, each by its strength; with all at 0 sigma is constant, drift 0:

- `momentum`: drift leans to where the last `SPAN` shocks and drifts went.
- `clusters`: ln sigma is the sum of a part that reverts within days and of calm and stormy spells.
  Both are faster than an average over weeks follows, and revert when it says "like now".
- `regimes`: four states in turn, trending, reverting, volatile and quiet, of weeks each: drift
  leans to where the last shocks went or against it, or sigma is higher or lower.

Coins of one seed share the part `common` of all draws, so that they move, and cluster, together. A
longer simulation begins with the shorter one, and each coin is the same whichever others there are.
"""

from __future__ import annotations

import datetime as dt
import zlib
from typing import Final

import numpy as np
from scipy.special import ndtr

from quantgod.contracts import INTERVALS, Candles, Floats, Integers
from quantgod.settings.candles import CandleSettings, CandleSimulation

SPAN: Final = 10
"""Candles whose shocks tell the drift."""

LEAN: Final = 0.22
"""Drift, in sigma, where momentum is 1 and the mean of the last shocks is one standard error."""

_MOST: Final = 0.28
"""Of a lean; from 0.316 on drift would feed on itself without end."""

_REVERSION, _DEVIATION = 0.80, 0.45  # of the fast part of ln sigma: a half-life of three candles
_SPELLS: Final = (0.02, 0.05)  # the chance that calm, or a storm, ends with a candle
_SPELL_FACTORS: Final = (-0.25, 0.55)
_REGIMES: Final = (0.02, 0.02, 0.02, 0.02)
_REGIME_LEANS: Final = (0.25, -0.25, 0.0, 0.0)
_REGIME_FACTORS: Final = (0.0, 0.0, 0.6, -0.6)
_GAP: Final = 0.02  # between a close and the next open, in sigma
_CHANNELS: Final = (
    "shock", "tail", "fast", "spell", "regime", "next", "gap", "range", "volume", "trades", "taker",
)  # fmt: skip


def simulate_candles(settings: CandleSettings, symbol: str, seed: int | None = None) -> Candles:
    """Return the simulated candles of a coin.

    Args:
        settings: market, interval, and how many candles of which structure.
        symbol: the coin; another one has other draws.
        seed: by default that of the settings.
    """
    how = settings.simulate
    draws = _Draws(how, symbol, how.seed if seed is None else seed)
    sigma, returns = _returns(how, draws)
    midnight = dt.datetime.combine(how.start, dt.time(), dt.UTC)
    step = INTERVALS[settings.interval]
    times = int(midnight.timestamp()) * 1000 + step * np.arange(how.candles, dtype=np.int64)
    values = _candles(how, sigma, returns, draws)
    return Candles(symbol, settings.market, settings.interval, "trades", times, values)


class _Draws:
    """Standard normal draws of a coin, which share a part with those of other coins."""

    def __init__(self, how: CandleSimulation, symbol: str, seed: int) -> None:
        self._how, self._of_coin, self._seed = how, zlib.crc32(symbol.encode()), seed

    def normal(self, channel: str) -> Floats:
        """Return a draw for each candle, (n,); `common` is their correlation between coins."""
        common = self._how.common
        shared = self.generator(channel, 0).standard_normal(self._how.candles)
        own = self.generator(channel, self._of_coin).standard_normal(self._how.candles)
        mixed: Floats = np.sqrt(common) * shared + np.sqrt(1 - common) * own
        return mixed

    def generator(self, channel: str, whose: int | None = None) -> np.random.Generator:
        whose = self._of_coin if whose is None else whose
        return np.random.default_rng([self._seed, whose, _CHANNELS.index(channel)])


def _returns(how: CandleSimulation, draws: _Draws) -> tuple[Floats, Floats]:
    """Return sigma and the log return of each candle, (n,) both."""
    states = _chain(ndtr(draws.normal("regime")), ndtr(draws.normal("next")), _REGIMES)
    storms = _chain(ndtr(draws.normal("spell")), np.zeros(how.candles), _SPELLS)
    fast = _DEVIATION * _reverting(np.sqrt(1 - _REVERSION**2) * draws.normal("fast"))
    logs = how.clusters * (fast + np.take(_SPELL_FACTORS, storms))
    logs += how.regimes * np.take(_REGIME_FACTORS, states)
    leans = how.momentum * LEAN + how.regimes * np.take(_REGIME_LEANS, states)
    sigma = how.volatility * np.exp(logs) / np.sqrt(_mean_square(how))
    return sigma, sigma * _drifting(_shocks(how, draws), leans)


def _mean_square(how: CandleSimulation) -> float:
    """Return the expected square of exp(ln sigma), by which that of a return is set."""
    fast = np.exp(2 * (how.clusters * _DEVIATION) ** 2)
    shares = 1 / np.array(_SPELLS)
    spells = np.average(np.exp(2 * how.clusters * np.array(_SPELL_FACTORS)), weights=shares)
    regimes = np.mean(np.exp(2 * how.regimes * np.array(_REGIME_FACTORS)))
    return float(fast * spells * regimes)


def _reverting(pushes: Floats) -> Floats:
    """Return an AR(1) series that begins at its mean, (n,)."""
    series, value = np.empty(len(pushes)), 0.0
    for t, push in enumerate(pushes):
        series[t] = value = _REVERSION * value + push
    return series


def _chain(chances: Floats, choices: Floats, ends: tuple[float, ...]) -> Integers:
    """Return the state of each candle, (n,).

    Args:
        chances: uniform, (n,): a state ends where they are below its chance.
        choices: uniform, (n,): which of the other states comes next.
        ends: the chance of each state to end with a candle.
    """
    states = np.zeros(len(chances), np.int64)
    others, state = len(ends) - 1, 0
    for t in range(len(chances)):
        if chances[t] < ends[state]:
            state = (state + 1 + min(int(choices[t] * others), others - 1)) % len(ends)
        states[t] = state
    return states


def _shocks(how: CandleSimulation, draws: _Draws) -> Floats:
    """Return shocks of variance 1, normal or Student's, (n,)."""
    normal = draws.normal("shock")
    if how.tails is None:
        return normal
    spread = draws.generator("tail").chisquare(how.tails, how.candles)
    shocks: Floats = normal * np.sqrt((how.tails - 2) / spread)
    return shocks


def _drifting(shocks: Floats, leans: Floats) -> Floats:
    """Return drift and shock of each candle together, (n,); the drift follows the `SPAN` before."""
    leans = np.clip(leans, -_MOST, _MOST) / np.sqrt(SPAN)
    moved = np.concatenate([np.zeros(SPAN), shocks])
    for t in np.flatnonzero(leans):
        moved[t + SPAN] += leans[t] * moved[t : t + SPAN].sum()
    return moved[SPAN:]


def _candles(how: CandleSimulation, sigma: Floats, returns: Floats, draws: _Draws) -> Floats:
    """Return the columns of candles, (n, 8)."""
    close = np.log(how.price) + np.cumsum(returns)
    opening = np.concatenate([[np.log(how.price)], close[:-1]])
    opening += _GAP * sigma * draws.normal("gap")
    low, high = _extremes(close - opening, sigma, draws.generator("range"))
    opened, highest, lowest, closed = np.exp([opening, opening + high, opening + low, close])
    moved = np.abs(close - opening) / sigma
    size = np.exp(0.5 * draws.normal("volume") + 0.4 * moved + np.log(sigma / how.volatility))
    volume = 1e7 / how.price * size
    mean = (opened + highest + lowest + closed) / 4
    trades = np.ceil(1e5 * size * np.exp(0.2 * draws.normal("trades")))
    buys = ndtr(0.1 * draws.normal("taker") + 0.1 * (close - opening) / sigma)
    columns = (opened, highest, lowest, closed, volume, volume * mean, trades, volume * buys)
    return np.column_stack(columns)


def _extremes(
    moves: Floats, sigma: Floats, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the least and the greatest log price since the open, (n,) each.

    Each is drawn as that of a Brownian bridge from 0 to the move, whose maximum is
    (move + sqrt(move^2 - 2 sigma^2 ln U)) / 2 for a uniform U (Glasserman, Monte Carlo Methods in
    Financial Engineering, 2003, section 6.4).
    """
    logs = np.log1p(-generator.random((len(moves), 2)))
    reach = np.sqrt(moves[:, None] ** 2 - 2 * sigma[:, None] ** 2 * logs)
    return (moves - reach[:, 0]) / 2, (moves + reach[:, 1]) / 2
