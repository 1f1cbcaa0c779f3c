"""Test whether intervals keep their promise, on simulated overlapping labels with known truth.

Each case draws a new market and forecasters: minute returns, labels by the return of the following
minutes, and probabilities of a forecaster that sees a noisy, slow sign of that return and may
overrate it. The true score is computed on eight million rows. Intervals keep their promise if they
contain it in 95 of 100 cases, and are tight if little wider than 3.92 standard deviations of the
score over the cases.

For comparison there are the percentiles of a moving-block bootstrap (Künsch, 1989) with blocks of
three horizons: the usual method, whose intervals are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

import msgspec
import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtr

from quantgod.contracts import MS_PER_MINUTE, Floats, Integers
from quantgod.evaluation.comparison import ModelOutput, compare
from quantgod.evaluation.effective_size import effective_rows
from quantgod.evaluation.intervals import LEVEL, Interval
from quantgod.evaluation.metrics import TALLIED, scores_of, tally_decided
from quantgod.served.calibration import decide

SCORES: Final = ("macro_f1", "mcc", "accuracy", "log_loss", "brier", "precision_sell", "f1_sell")
TRUE_ROWS: Final = 8_000_000
MAJORITY: Final = "majority"
_AT_ONCE: Final = 100_000
_FIRST_SEED: Final = 1_000_000
"""Seeds from here on were never used to choose a rule."""
_BOOTSTRAPPED_CASES: Final = 100
_ROUNDS: Final = 200
_CERTAIN: Final = 1.959964
_WEIGHTS: Final = (2.0, 1.0, 2.0)
_REMEMBERED: Final = 0.5
"""Horizons after which the memory of a forecaster's sign has decayed by a factor e."""
_DAYS: Final = 2 * 1440.0
"""Minutes after which the memory of volatility has decayed by a factor e."""


class ForecastSkill(NamedTuple):
    """The true correlation of a forecaster's sign with the return, and the one it claims."""

    true: float
    claimed: float


class Design(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of market and its forecasters.

    Attributes:
        name: name in the table.
        rows: number of scored rows.
        horizon: minutes per label.
        stride: minutes from row to row.
        edges: SELL below and BUY above, in standard deviations of the return.
        skills: of the forecasters; differences are between the first and each other one, and the
            majority.
        volatility: standard deviation of log volatility, which has a memory of two days.
        times: factor on the number of cases, for designs in which some scores are seldom judged.
    """

    name: str
    rows: int
    horizon: int = 60
    stride: int = 1
    edges: tuple[float, float] = (-0.75, 1.2)
    skills: tuple[ForecastSkill, ...] = (ForecastSkill(0.6, 0.6), ForecastSkill(0.5, 0.7))
    volatility: float = 0.0
    times: int = 1

    @property
    def independent(self) -> float:
        """Return the number of independent rows."""
        return min(self.rows * self.stride / self.horizon, float(self.rows))


class IntervalCoverage(NamedTuple):
    """The share of intervals that contain the truth, and their mean width."""

    share: float
    width: float


class DesignOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one score (or difference) over all cases of a design.

    Attributes:
        design: name of the design.
        score: name of the score and its model.
        effective_rows: number of independent rows.
        cases: number of drawn cases.
        judged: share of cases with enough rows.
        held: coverage in the judged cases; None if there are none.
        needed: 3.92 standard deviations of the score over the judged cases.
        bootstrap: coverage of the bootstrap's intervals in all cases; None without a bootstrap.
    """

    design: str
    score: str
    effective_rows: float
    cases: int
    judged: float
    held: IntervalCoverage | None
    needed: float
    bootstrap: IntervalCoverage | None = None

    @classmethod
    def of(
        cls, design: str, score: str, rows: float, met: list[Interval], true: float
    ) -> DesignOutcome:
        """Summarise intervals, one per case, of a score whose true value is `true`."""
        judged = [one for one in met if one.enough]
        spread = float(np.std([one.value for one in judged])) if judged else 0.0
        return cls(
            design=design,
            score=score,
            effective_rows=rows,
            cases=len(met),
            judged=len(judged) / len(met),
            held=held(judged, true) if judged else None,
            needed=2 * _CERTAIN * spread,
        )


NONE = (ForecastSkill(0.0, 0.3), ForecastSkill(0.0, 0.4))
WEAK = (ForecastSkill(0.3, 0.3), ForecastSkill(0.15, 0.3))
STRONG = (ForecastSkill(0.6, 0.6), ForecastSkill(0.5, 0.7))
EVEN = (-0.43, 0.43)
VOLATILE: Final = "volatility of days"
DESIGNS: Final = (
    Design(name="strong", rows=2_000, skills=STRONG, times=2),
    Design(name="strong", rows=10_000, skills=STRONG),
    Design(name="strong", rows=40_000, skills=STRONG),
    Design(name="weak", rows=2_000, skills=WEAK, times=4),
    Design(name="weak", rows=10_000, skills=WEAK),
    Design(name="none", rows=2_000, skills=NONE, times=4),
    Design(name="none", rows=10_000, skills=NONE),
    Design(name="even, 15 min", rows=200, horizon=15, stride=3, edges=EVEN, skills=STRONG),
    Design(name="even, weak", rows=2_000, horizon=15, stride=5, edges=EVEN, skills=WEAK),
    Design(name="rare", rows=10_000, edges=(-1.2, 1.75), skills=STRONG, times=2),
    Design(name=VOLATILE, rows=10_000, skills=STRONG, volatility=0.4),
    Design(name=VOLATILE, rows=40_000, skills=STRONG, volatility=0.4),
)
"""From 33 to 667 independent rows, with balanced classes and with classes down to 1 row in 25."""


def forecasts(design: Design, rows: int, seed: int) -> tuple[Integers, dict[str, ModelOutput]]:
    """Draw a market and its forecasts: classes (rows,), and model outputs by name."""
    rng = np.random.default_rng(seed)
    minutes, horizon, stride = rows * design.stride, design.horizon, design.stride
    # Its mean square is 1.
    spread = np.exp(design.volatility * (_slow(rng, minutes + horizon, _DAYS) - design.volatility))
    price = np.concatenate([[0.0], np.cumsum(spread * rng.standard_normal(minutes + horizon))])
    future = (price[horizon : horizon + minutes] - price[:minutes])[::stride] / math.sqrt(horizon)
    now, memory = spread[:minutes:stride], _REMEMBERED * horizon
    common, said = _slow(rng, minutes, memory), {}
    for number, (true, claimed) in enumerate(design.skills):
        noise = math.sqrt(0.6) * common + math.sqrt(0.4) * _slow(rng, minutes, memory)
        sign = true * future / now + math.sqrt(1 - true**2) * noise[::stride]
        chances = _chances(design, claimed, sign, now)
        said[f"model {number + 1}"] = ModelOutput(chances, decide(chances, _WEIGHTS))
    usual = np.tile(_chances(design, 0.0, np.zeros(1), np.ones(1)), (rows, 1))
    said[MAJORITY] = ModelOutput(usual, decide(usual))
    return np.digitize(future, design.edges).astype(np.int64), said


def _slow(rng: np.random.Generator, minutes: int, memory: float) -> Floats:
    """Return noise (minutes,) of standard deviation 1, with memory of `memory` minutes."""
    kept = math.exp(-1 / memory)
    shocks = math.sqrt(1 - kept**2) * rng.standard_normal(minutes)
    start = [kept * rng.standard_normal()]
    return np.asarray(lfilter([1.0], [1.0, -kept], shocks, zi=start)[0])


def _chances(design: Design, claimed: float, sign: Floats, volatility: Floats) -> Floats:
    """Return class probabilities (n, 3), given a sign with the claimed correlation."""
    spread = math.sqrt(1 - claimed**2)
    sell = ndtr((design.edges[0] / volatility - claimed * sign) / spread)
    buy = ndtr((claimed * sign - design.edges[1] / volatility) / spread)
    return np.stack([sell, 1 - sell - buy, buy], axis=1)


def truth(design: Design, rows: int = TRUE_ROWS) -> dict[tuple[str, str], float]:
    """Return the true scores and differences from very many rows, by model and score."""
    return _true(msgspec.structs.replace(design, name="", rows=_AT_ONCE, times=1), rows)


@cache
def _true(design: Design, rows: int) -> dict[tuple[str, str], float]:
    """Return the same for a market, independent of the number of rows per case."""
    drawn = (forecasts(design, _AT_ONCE, 10**9 + part) for part in range(rows // _AT_ONCE))
    sums = sum(_columns(target, said).sum(axis=0) for target, said in drawn)
    names = [f"model {number + 1}" for number in range(len(design.skills))]
    found = _all(np.asarray(sums), [*names, MAJORITY])
    return {key: float(value) for key, value in found.items()}


def _columns(target: Integers, said: Mapping[str, ModelOutput]) -> Floats:
    return np.concatenate([tally_decided(target, *one) for one in said.values()], axis=1)


def _all(sums: Floats, names: list[str]) -> dict[tuple[str, str], Floats]:
    """Return scores of sums (..., models * TALLIED): each model's, and the first minus others."""
    scores = scores_of(sums.reshape(*sums.shape[:-1], -1, TALLIED))
    first, *others = names
    found: dict[tuple[str, str], Floats] = {}
    for score in SCORES:
        own = scores[score]
        found |= {(name, score): own[..., place] for place, name in enumerate(names)}
        found |= {
            (f"{first} - {name}", score): own[..., 0] - own[..., place]
            for place, name in enumerate(others, start=1)
        }
    return found


def case(design: Design, seed: int) -> dict[tuple[str, str], Interval]:
    """Return the intervals of one case."""
    target, said = forecasts(design, design.rows, seed)
    time_ms = np.arange(design.rows, dtype=np.int64) * design.stride * MS_PER_MINUTE
    effective = effective_rows(time_ms, time_ms + design.horizon * MS_PER_MINUTE)
    found, first = compare(target, said, effective), next(iter(said))
    return {
        (whose, score): intervals[score]
        for whose, intervals in [
            *found.models.items(),
            *((f"{first} - {name}", each) for name, each in found.differences.items()),
        ]
        for score in SCORES
    }


def bootstrapped(design: Design, seed: int) -> dict[tuple[str, str], Interval]:
    """Return the same intervals by percentiles of a moving-block bootstrap."""
    target, said = forecasts(design, design.rows, seed)
    columns = _columns(target, said)
    rows = design.rows
    block = min(3 * math.ceil(design.horizon / design.stride), rows // 4)
    running = np.concatenate([np.zeros((1, columns.shape[1])), np.cumsum(columns, axis=0)])
    starts = np.random.default_rng(seed).integers(0, rows - block + 1, (_ROUNDS, -(-rows // block)))
    drawn = (running[starts + block] - running[starts]).sum(axis=1)
    values, redrawn = _all(columns.sum(axis=0), list(said)), _all(drawn, list(said))
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    bounds = {key: np.quantile(drawn, tails).tolist() for key, drawn in redrawn.items()}
    return {key: Interval(float(value), *bounds[key]) for key, value in values.items()}


def prove(design: Design, cases: int, true_rows: int = TRUE_ROWS) -> list[DesignOutcome]:
    """Return how often the intervals of `cases` times `times` cases hold the truth, by score."""
    true = truth(design, true_rows)
    seeds = range(_FIRST_SEED, _FIRST_SEED + cases * design.times)
    met = [case(design, seed) for seed in seeds]
    usual = [bootstrapped(design, seed) for seed in seeds[:_BOOTSTRAPPED_CASES]]
    found = []
    for (whose, score), value in true.items():
        if whose != MAJORITY:
            key, name = (whose, score), f"{score}, {whose}"
            one = DesignOutcome.of(
                design.name, name, design.independent, [each[key] for each in met], value
            )
            before = held([each[key] for each in usual], value)
            found.append(msgspec.structs.replace(one, bootstrap=before))
    return found


def held(intervals: list[Interval], true: float) -> IntervalCoverage:
    """Return the coverage and mean width of intervals."""
    low, high = np.array([one[1:3] for one in intervals]).T
    slack = 1e-12
    inside = (low <= true + slack) & (true <= high + slack)
    return IntervalCoverage(float(inside.mean()), float((high - low).mean()))
