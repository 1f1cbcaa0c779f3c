"""How experts' forecasts become one, date by date: what has matured moves it, nothing else does.

At each date first `absorb` what has come true, then `issue`. Out of fold, on the test part and
live it is these two functions, so that the same forecasts and outcomes give the same bits.

Experts are the members, what their stacked mean makes of a random walk's width, and equal weights.
Weights of experts move with the normalised pinball loss of what they said (exponential weights with
fixed share; Herbster and Warmuth 1998), slower by as much as outcomes are late, and so do those of
each regime, which count only where they have been better than the global ones.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from . import conformal
from .quantiles import NORMAL, pinball
from .state import Issued, Rules, State, first_weights, with_equal

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def issue(
    rules: Rules, state: State, mean: Floats, quantiles: Floats, regime: Integers, steps: int
) -> Issued:
    """Return the forecast of one date and horizon.

    Args:
        rules: of the ensemble.
        state: of the horizon, of what has matured.
        mean: (n, members) as members say.
        quantiles: (n, members, levels) the same, rising.
        regime: (n,) of each coin; -1 where it is unknown.
        steps: of the horizon.
    """
    stacked = mean @ state.stack
    raw = np.concatenate([quantiles, (stacked[:, None] + NORMAL)[:, None]], axis=1)
    experts = with_equal(conformal.corrected(raw, state.moves))
    means = with_equal(np.concatenate([mean, stacked[:, None]], axis=1))
    world = np.tile(state.weights, (len(mean), 1))
    own = np.where((regime >= 0)[:, None], state.by_regime[regime], world)
    weights = own if regimes_count(rules, state) else world
    by_weights, by_regime = (_pooled(part, experts) for part in (world, own))
    pooled = _pooled(weights, experts)
    final = conformal.adapted(pooled, state.intervals, state.alpha, trust_of(rules, state, steps))
    return Issued(
        raw, experts, means, by_weights, by_regime, pooled, final,
        (weights * means).sum(axis=1), weights, regime,
    )  # fmt: skip


def absorb(rules: Rules, state: State, issued: Issued, outcome: Floats, steps: int) -> State:
    """Return the state after the outcomes (n,) of one date's forecasts have matured.

    Args:
        rules: of the ensemble.
        state: of the horizon.
        issued: what was said, of the coins whose outcome is known.
        outcome: of the same, in the same units.
        steps: of the horizon: with so many outcomes on the way each moves less by as much.
    """
    if not len(outcome):
        return state
    paid = pinball(outcome[:, None], issued.experts)
    loss = paid.mean(axis=0)
    usual = _averaged(state.usual, float(loss[0]))
    slow = 1 / steps
    back, first = rules.share * slow, first_weights(rules, len(loss))
    world = _moved(state.weights, loss / usual[0], rules.rate * slow, back, first)
    own = state.by_regime.copy()
    for place in np.unique(issued.regime[issued.regime >= 0]):
        there = paid[issued.regime == place].mean(axis=0) / usual[0]
        own[place] = _moved(own[place], there, rules.regime_rate * slow, back, world)
    both = pinball(outcome, issued.by_weights) - pinball(outcome, issued.by_regime)
    scores = conformal.level_scores(outcome[:, None], issued.raw)
    intervals = conformal.interval_scores(outcome, issued.pooled)
    miss = conformal.missed(outcome, issued.quantiles)
    kept, trust = _newest(state.scores, scores, rules.scores), trust_of(rules, state, steps)
    is_due = usual[1] % rules.refresh == 0
    return replace(
        state,
        scores=kept,
        moves=conformal.moves_of(kept, trust) if is_due else state.moves,
        intervals=_newest(state.intervals, intervals, rules.scores),
        alpha=state.alpha + rules.adaptive_rate * slow * (1 - conformal.SHARES - miss),
        weights=world,
        by_regime=own,
        gained=_newest(state.gained, np.array([both.mean()]), rules.judged),
        usual=usual,
    )


def trust_of(rules: Rules, state: State, steps: int) -> float:
    """Return how much of a correction is believed: less where few independent outcomes have come.

    What is kept is of so many dates, and outcomes of neighbouring dates overlap.
    """
    dates = min(state.usual[1], len(state.gained))
    return (dates / steps) / (dates / steps + rules.prior)


def regimes_count(rules: Rules, state: State) -> bool:
    """Return whether weights by regime have been better than global ones, beyond chance.

    Overlapping outcomes are allowed for by a deviation of means of blocks, a month each.
    """
    block = 30
    blocks = len(state.gained) // block
    if not rules.regime_rate or blocks < 8:
        return False
    means = state.gained[-blocks * block :].reshape(blocks, block).mean(axis=1)
    spread = means.std(ddof=1) / np.sqrt(blocks)
    return bool(spread > 0 and means.mean() / spread > rules.trust)


def _pooled(weights: Floats, experts: Floats) -> Floats:
    """Return the weighted mean of quantiles, (n, levels): what Vincent (1912) averages."""
    return np.asarray((weights[:, :, None] * experts).sum(axis=1))


def _moved(weights: Floats, loss: Floats, rate: float, back: float, home: Floats) -> Floats:
    """Return weights after a loss (experts,); a share `back` of them goes to `home`."""
    powers = weights * np.exp(-rate * (loss - loss.min()))
    return np.asarray((1 - back) * powers / powers.sum() + back * home)


def _averaged(usual: tuple[float, int], loss: float) -> tuple[float, int]:
    mean, count = usual
    return mean + (loss - mean) / (count + 1), count + 1


def _newest(kept: Floats, more: Floats, most: int) -> Floats:
    return np.concatenate([kept, more])[-most:]
