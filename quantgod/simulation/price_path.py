"""Simulate the path of the mid price and the lean of its book.

A path is a mid every five seconds of each minute, and one lean per minute. The lean follows a slow
latent state. How much this state knows about the coming hour is the planted signal; how clearly one
minute's lean shows the state decides whether a single row reveals it, or only a sequence.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from quantgod.contracts import Floats

STEPS_PER_MINUTE: Final = 12
HOUR: Final = 60
LEAN_OF_STATE: Final = 0.6
NOTHING: Final[Floats] = np.empty(0)


class Bars(NamedTuple):
    """One-minute bars without gaps; each column has shape (minutes,)."""

    open: Floats
    close: Floats
    high: Floats
    low: Floats


class PricePath(NamedTuple):
    """`knots`, shape (minutes, 13): mids five seconds apart, from second 0 of a minute to 60.

    The others have shape (minutes,) and lie in (-1, 1). A positive `lean` makes the bids near the
    touch heavier than the asks. `shape` and `flow` say how the sizes of deeper levels, and the
    sizes near the touch in turn, are requoted before each close (`feed_kernel`); they are empty
    where nothing is.
    """

    knots: Floats
    lean: Floats
    shape: Floats = NOTHING
    flow: Floats = NOTHING


class Latent(NamedTuple):
    """The slow state behind the lean: an AR(1) series of unit variance.

    Attributes:
        half_life_minutes: half-life of the state's memory.
        lean_noise: standard deviation of the noise that a minute's lean adds to 0.6 of the state.
        lead_minutes: how long the lean leads the return, in addition to the one minute that it
            always does.
    """

    half_life_minutes: float = 120.0
    lean_noise: float = 0.2
    lead_minutes: int = 0


LATENT: Final = Latent()
"""The default state, which each minute's lean shows almost without noise or lead."""


def random_path(
    minutes: int,
    *,
    seed: int,
    price: float,
    volatility: float,
    signal: float,
    latent: Latent = LATENT,
) -> PricePath:
    """Return a random path whose one-minute log returns have standard deviation `volatility`.

    The return of a minute is `a * state` of `1 + latent.lead_minutes` minutes before, plus a random
    walk, plus a transient that disappears a minute later. `a` is chosen so that the state's path
    explains the share `signal` of the variance of an hour's return, which stays close to 60
    volatility² for any signal. With a half-life of two hours and no lead, the state at the hour's
    beginning alone explains 0.82 of that share. The transient only restores the one-minute variance
    that a strong signal would remove.
    """
    rng = np.random.default_rng([seed, 1])
    state = slow_state(rng, minutes, latent)
    drift = volatility * np.sqrt(signal * HOUR / _hourly_sum_variance(latent))
    walk = volatility * np.sqrt(1 - signal)
    transient = np.sqrt(max(volatility**2 - drift**2 - walk**2, 0.0) / 2)
    returns = walk * rng.normal(size=minutes)
    delay = 1 + latent.lead_minutes
    returns[delay:] += drift * state[:-delay]
    level = np.concatenate([[0.0], np.cumsum(returns)])
    ends = price * np.exp(level + transient * rng.normal(size=minutes + 1))
    knots = bridge(rng, ends[:-1], ends[1:], volatility, STEPS_PER_MINUTE)
    return PricePath(knots, lean_of(rng, state, latent))


def path_along(
    bars: Bars, minutes: int, *, seed: int, signal: float, latent: Latent = LATENT
) -> PricePath:
    """Follow the first `minutes` of `bars`: from open to close, touching high and low on the way.

    The close is reached five seconds before the minute's end and stays, so that the last sample of
    a minute is its close at any cadence up to that.

    A planted signal on given prices can only be foresight: the lean mixes the standardised return
    of the next hour (weight √signal) with an independent slow state (weight √(1 - signal)), without
    another lead. The hour after the last bar is flat.
    """
    rng = np.random.default_rng([seed, 2])
    state = slow_state(rng, minutes, latent)
    closes = np.log(bars.close)
    ahead = closes[np.minimum(np.arange(minutes) + HOUR, len(closes) - 1)] - closes[:minutes]
    foresight = (ahead - ahead.mean()) / max(float(ahead.std()), 1e-12)
    mixed = np.sqrt(signal) * foresight + np.sqrt(1 - signal) * state
    cut = Bars(*(column[:minutes] for column in bars))
    volatility = float(np.std(np.diff(closes))) if len(closes) > 1 else 0.0
    inside = bridge(rng, cut.open, cut.close, volatility, STEPS_PER_MINUTE - 1)
    inside = np.clip(inside, cut.low[:, None], cut.high[:, None])
    _touch_extremes(rng, inside, cut)
    return PricePath(np.column_stack([inside, cut.close]), lean_of(rng, mixed, latent))


def bridge(
    rng: np.random.Generator, start: Floats, end: Floats, volatility: float, steps: int
) -> Floats:
    """Return Brownian bridges in log price, five seconds per step, (minutes, steps + 1)."""
    walk = np.zeros((len(start), steps + 1))
    walk[:, 1:] = rng.normal(size=(len(start), steps)) * volatility / np.sqrt(STEPS_PER_MINUTE)
    walk = np.cumsum(walk, axis=1)
    part = np.linspace(0.0, 1.0, steps + 1)
    walk += part * (np.log(end / start) - walk[:, -1])[:, None]
    return start[:, None] * np.exp(walk)


def _touch_extremes(rng: np.random.Generator, inside: Floats, bars: Bars) -> None:
    """Put high and low on inner knots: low first in a rising minute, else high first."""
    first = rng.integers(1, STEPS_PER_MINUTE // 2, size=len(inside))
    second = rng.integers(STEPS_PER_MINUTE // 2, STEPS_PER_MINUTE - 1, size=len(inside))
    rises = bars.close >= bars.open
    rows = np.arange(len(inside))
    inside[rows, np.where(rises, first, second)] = bars.low
    inside[rows, np.where(rises, second, first)] = bars.high


def lean_of(rng: np.random.Generator, state: Floats, latent: Latent) -> Floats:
    """Return a lean for each minute that shows the state, with noise."""
    return np.tanh(LEAN_OF_STATE * state + latent.lean_noise * rng.normal(size=len(state)))


def _keep(latent: Latent) -> float:
    return float(0.5 ** (1 / latent.half_life_minutes))


def _hourly_sum_variance(latent: Latent) -> float:
    """Return the variance of the sum of 60 consecutive values of the unit-variance state."""
    lags = np.arange(1, HOUR)
    return float(HOUR + 2 * np.sum((HOUR - lags) * _keep(latent) ** lags))


def slow_state(rng: np.random.Generator, minutes: int, latent: Latent) -> Floats:
    """Return an AR(1) series of unit variance."""
    keep = _keep(latent)
    shocks = rng.normal(size=minutes) * np.sqrt(1 - keep**2)
    shocks[0] = rng.normal()
    state = np.empty(minutes)
    last = 0.0
    for minute, shock in enumerate(shocks):
        last = keep * last + shock
        state[minute] = last
    return state
