"""What an ensemble of candles goes by, what it holds of the past, and what it issues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import conformal
from .quantiles import NORMAL

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

    @classmethod
    def begin(cls, rules: Rules, members: int) -> State:
        """Return the state before any outcome: nothing corrected, a stack of zeros."""
        levels, intervals = len(NORMAL), len(conformal.SHARES)
        first = first_weights(rules, members + 2)
        return cls(
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
        every = with_equal(self.raw)
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


def with_equal(experts: Floats) -> Floats:
    """Return experts (n, experts, ...) with their mean as one more."""
    return np.concatenate([experts, experts.mean(axis=1, keepdims=True)], axis=1)
