"""Plant a signal where the settings say, and leave all else as it is without one.

Of each minute t a state s(t) knows of the minutes to come, and something in the market shows it:

| `planted` | what the state knows | what shows it |
|---|---|---|
| `lean` | the drift of minute t + 1 + `lead_minutes` | the sizes near the touch lean |
| `shape` | the same | the sizes of deeper levels, before the close of t |
| `flow` | the same | the sizes near the touch, one way then the other, late in t |
| `candles` | the drift of minute t + 1 | the colour of candle t and its longer wick |
| `memory` | the return of the `span_minutes` after t + `lead_minutes` | the lean |
| `parts` | three states, each a third of the drift of minute t + 1 | lean, shape and candle |

`shape`, `flow` and `candles` have the lean of another state, which knows nothing. With `candles`
and `memory` returns are uncorrelated, so a price alone tells nothing of the state. With the others
they are if the state's half-life is far below a minute.
"""

from __future__ import annotations

import numpy as np

from quantgod.contracts import Floats, Integers
from quantgod.settings import SimulateSettings
from quantgod.simulation.price_path import (
    STEPS_PER_MINUTE,
    Latent,
    PricePath,
    bridge,
    lean_of,
    random_path,
    slow_state,
)


def planted_path(settings: SimulateSettings, minutes: int) -> PricePath:
    """Return a random path, and what shows the signal that is planted in it."""
    latent = Latent(settings.half_life_minutes, settings.lean_noise, settings.lead_minutes)
    if settings.planted == "candles":
        return _in_candles(settings, minutes, latent)
    if settings.planted == "memory":
        return _in_memory(settings, minutes, latent)
    if settings.planted == "parts":
        return _in_parts(settings, minutes, latent)
    path = random_path(
        minutes,
        seed=settings.seed,
        price=settings.price,
        volatility=settings.volatility,
        signal=settings.signal,
        latent=latent,
    )
    if settings.planted == "lean":
        return path
    unrelated = _unrelated(settings.seed, minutes, latent)
    return path._replace(lean=unrelated, **{settings.planted: path.lean})


def _in_candles(settings: SimulateSettings, minutes: int, latent: Latent) -> PricePath:
    """Let prices rise after a candle whose longer wick is on its colour's side, and else fall.

    Return of minute t = volatility * (√signal * colour(t - 1) * side(t - 1) + √(1 - signal) * z):
    a colour is 1 where a candle rises, a side 1 where its upper wick is the longer one, and both
    are -1 elsewhere; z is standard normal. Neither colour nor side alone tells anything.
    """
    rng = np.random.default_rng([settings.seed, 4])
    drift = rng.choice([-1.0, 1.0], minutes)
    knots = _told_by_candles(rng, settings, drift, drift)
    return PricePath(knots, _unrelated(settings.seed, minutes, latent))


def _in_parts(settings: SimulateSettings, minutes: int, latent: Latent) -> PricePath:
    """Share the drift of the next minute between lean, shape and candle; who sees all knows it.

    Return of minute t = volatility * (√(signal / 3) * (lean's state(t - 1) + shape's state(t - 1)
    + colour(t - 1) * side(t - 1)) + √(1 - signal) * z).
    """
    rng = np.random.default_rng([settings.seed, 6])
    lean, shape = (slow_state(rng, minutes, latent) for _ in range(2))
    candle = rng.choice([-1.0, 1.0], minutes)
    drift = candle / np.sqrt(3)
    drift[1:] += (lean + shape)[:-1] / np.sqrt(3)
    knots = _told_by_candles(rng, settings, drift, candle)
    return PricePath(knots, lean_of(rng, lean, latent), lean_of(rng, shape, latent))


def _told_by_candles(
    rng: np.random.Generator, settings: SimulateSettings, drift: Floats, told: Floats
) -> Floats:
    """Return the mids of minutes with these drifts, each `told` by the candle before."""
    noise = rng.normal(size=len(drift))
    returns = np.sqrt(settings.signal) * drift + np.sqrt(1 - settings.signal) * noise
    knots = _knots(rng, settings, returns)
    shown = _colour_and_side(knots[:-1])
    _swap_wicks(knots, np.flatnonzero(shown * told[1:] < 0))
    return knots


def _colour_and_side(knots: Floats) -> Floats:
    """Return the product of each candle's colour and side, 0 for one without wicks."""
    path = np.log(knots)
    ends = path[:, [0, -1]]
    upper, lower = path.max(axis=1) - ends.max(axis=1), ends.min(axis=1) - path.min(axis=1)
    told: Floats = np.sign(ends[:, 1] - ends[:, 0]) * np.sign(upper - lower)
    return told


def _swap_wicks(knots: Floats, minutes: Integers) -> None:
    """Turn the paths of these minutes upside down and backwards, which is as likely a path."""
    path = knots[minutes]
    knots[minutes, 1:-1] = (path[:, :1] * path[:, -1:] / path[:, ::-1])[:, 1:-1]


def _in_memory(settings: SimulateSettings, minutes: int, latent: Latent) -> PricePath:
    """Show in a minute's lean what comes hours later, on a plain random walk.

    State of minute t = √signal * (the standardised return of minutes t + lead + 1 to t + lead +
    span) + √(1 - signal) * z, where z is standard normal and new in each minute.
    """
    rng = np.random.default_rng([settings.seed, 5])
    lead, span = settings.lead_minutes, settings.span_minutes
    returns = rng.normal(size=minutes + lead + span)
    later = np.convolve(returns, np.full(span, span**-0.5), "valid")[lead + 1 :]
    noise = rng.normal(size=minutes)
    state = np.sqrt(settings.signal) * later + np.sqrt(1 - settings.signal) * noise
    knots = _knots(rng, settings, returns[:minutes])
    return PricePath(knots, lean_of(rng, state, latent))


def _knots(rng: np.random.Generator, settings: SimulateSettings, returns: Floats) -> Floats:
    """Return the mids of minutes with these returns, in units of the volatility."""
    level = np.concatenate([[0.0], np.cumsum(settings.volatility * returns)])
    ends = settings.price * np.exp(level)
    return bridge(rng, ends[:-1], ends[1:], settings.volatility, STEPS_PER_MINUTE)


def _unrelated(seed: int, minutes: int, latent: Latent) -> Floats:
    """Return a lean that knows nothing."""
    rng = np.random.default_rng([seed, 3])
    return lean_of(rng, slow_state(rng, minutes, latent), latent)
