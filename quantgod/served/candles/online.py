"""How experts' forecasts become one, date by date: what has matured moves it, nothing else does.

At each date first `absorb` what has come true, then `issue`. Out of fold, on the test part and
live it is these two functions, so that the same forecasts and outcomes give the same bits.

Experts are the members, what their stacked mean makes of a random walk's width, and equal weights.
Weights of experts move with the normalised pinball loss of what they said (exponential weights with
fixed share; Herbster and Warmuth 1998), slower by as much as outcomes are late, and so do those of
each regime, which count only where they have been better than the global ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from . import conformal
from .quantiles import NORMAL, pinball

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

STACKED, EQUAL = "stacking", "equal_weights"
REGIMES = 4


@dataclass(frozen=True)
class Rules:
    """What moves a forecast, and how fast.

    Attributes:
        scores: matured forecasts that quantiles are corrected by, at most, of all coins together.
        prior: independent outcomes that say "nothing is to be corrected": of n that have come, a
            correction is believed by n / (n + prior). Those of one date count once.
        refresh: dates after which corrections are computed anew.
        rate: of exponential weights, per independent outcome.
        share: of the weights that each independent outcome gives back to those before any.
        walk: weight of the first expert, the random walk, before any outcome; the others share the
            rest equally.
        adaptive_rate: of adaptive conformal inference, per independent outcome.
        regime_rate: by which a regime's own weights learn; 0 for global weights alone.
        trust: t statistic of regimes' being better than global weights, from which on they count.
        judged: dates of both that it is computed over, at most.
    """

    scores: int = 4000
    prior: float = 50.0
    refresh: int = 5
    rate: float = 2.0
    share: float = 0.005
    walk: float = 0.5
    adaptive_rate: float = 0.005
    regime_rate: float = 2.0
    trust: float = 1.645
    judged: int = 1000


@dataclass(frozen=True, eq=False)
class State:
    """What has come true so far has made of one horizon.

    Attributes:
        stack: (members,) coefficients of the stacked mean.
        scores: (n, members + 1, levels) conformal scores of members and `STACKED`.
        moves: (members + 1, levels) corrections, as they were last computed.
        intervals: (n, intervals) those of the ensemble's intervals.
        alpha: (intervals,) shares to be missed.
        weights: (experts,) of sum 1.
        by_regime: (regimes, experts), each of sum 1.
        gained: (dates,) by how much a date's loss by regime was less than by global weights.
        usual: mean loss of the first expert, and how many dates it is of.
    """

    stack: Floats
    scores: Floats
    moves: Floats
    intervals: Floats
    alpha: Floats
    weights: Floats
    by_regime: Floats
    gained: Floats
    usual: tuple[float, int]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, from which `from_json` makes the same bits."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else list(value)
            for name, value in vars(self).items()
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> State:
        """Return what `to_json` told."""
        stack = np.asarray(told["stack"], np.float64)
        shapes = {
            "scores": (-1, len(stack) + 1, len(NORMAL)),
            "moves": (len(stack) + 1, len(NORMAL)),
            "intervals": (-1, len(conformal.SHARES)),
            "by_regime": (REGIMES, len(stack) + 2),
        }
        parts = {
            name: np.asarray(told[name], np.float64).reshape(shapes.get(name, (-1,)))
            for name in (
                "stack",
                "scores",
                "moves",
                "intervals",
                "alpha",
                "weights",
                "by_regime",
                "gained",
            )
        }
        usual = float(told["usual"][0]), int(told["usual"][1])
        return cls(**parts, usual=usual)


@dataclass(frozen=True, eq=False)
class Issued:
    """Forecasts of one date and horizon, of n coins, in units of sigma sqrt(h).

    Attributes:
        raw: (n, members + 1, levels) as members, and `STACKED`, say.
        experts: (n, experts, levels) corrected by conformal scores, and their equal weights.
        means: (n, experts).
        by_weights: (n, levels) by global weights.
        by_regime: (n, levels) by those of the coin's regime.
        pooled: (n, levels) the one of both that counts.
        quantiles: (n, levels) as issued: its intervals adapted.
        mean: (n,) as issued.
        weights: (n, experts) that count.
        regime: (n,) in which the coin is; -1 where that is unknown.
    """

    raw: Floats
    experts: Floats
    means: Floats
    by_weights: Floats
    by_regime: Floats
    pooled: Floats
    quantiles: Floats
    mean: Floats
    weights: Floats
    regime: Integers

    @property
    def uncorrected(self) -> Floats:
        """Return what weights make of the experts' own quantiles, (n, levels)."""
        every = _with_equal(self.raw)
        return np.asarray((self.weights[:, :, None] * every).sum(axis=1))

    def take(self, index: Any) -> Issued:
        """Return those of some coins."""
        return Issued(**{name: value[index] for name, value in vars(self).items()})

    def to_json(self) -> dict[str, Any]:
        """Return plain values, from which `from_json` makes the same bits."""
        return {name: value.tolist() for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Issued:
        """Return what `to_json` told."""
        regime = np.asarray(told["regime"], np.int64)
        parts = {n: np.asarray(v, np.float64) for n, v in told.items() if n != "regime"}
        return cls(**parts, regime=regime)


def joined(parts: Sequence[Issued]) -> Issued:
    """Return the forecasts of several dates as one."""
    names = vars(parts[0])
    return Issued(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in names})


def experts_of(members: Sequence[str]) -> tuple[str, ...]:
    """Return the names of all experts of these members, in the order of their weights."""
    return (*members, STACKED, EQUAL)


def first_weights(rules: Rules, experts: int) -> Floats:
    """Return the weights before any outcome, (experts,)."""
    others = (1 - rules.walk) / (experts - 1)
    return np.array([rules.walk, *[others] * (experts - 1)])


def start(rules: Rules, members: int) -> State:
    """Return the state before any outcome: nothing corrected, a stack of zeros."""
    levels, intervals = len(NORMAL), len(conformal.SHARES)
    first = first_weights(rules, members + 2)
    return State(
        stack=np.zeros(members),
        scores=np.empty((0, members + 1, levels)),
        moves=np.zeros((members + 1, levels)),
        intervals=np.empty((0, intervals)),
        alpha=1 - conformal.SHARES,
        weights=first,
        by_regime=np.tile(first, (REGIMES, 1)),
        gained=np.empty(0),
        usual=(0.0, 0),
    )


def with_stack(state: State, stack: Floats) -> State:
    """Return a state whose stacked mean has these coefficients (members,)."""
    return replace(state, stack=stack)


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
    experts = _with_equal(conformal.corrected(raw, state.moves))
    means = _with_equal(np.concatenate([mean, stacked[:, None]], axis=1))
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


def _with_equal(experts: Floats) -> Floats:
    """Return experts (n, experts, ...) with their mean as one more."""
    return np.concatenate([experts, experts.mean(axis=1, keepdims=True)], axis=1)


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
