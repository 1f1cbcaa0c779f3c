"""Whether intervals hold what they promise: forecasts of overlapping labels whose truth is known.

Each case draws a market and forecasters anew: minute returns, labels by the return of the minutes
that follow, and probabilities of who sees a noisy, slow sign of that return and may think too well
of it. What a score truly is, is taken from eight million rows. An interval holds its promise where
it contains that in 95 of 100 cases, and is no wider than must be where it is little wider than the
3.92 standard deviations that the score has over the cases.

Beside them stand the percentiles of a moving-block bootstrap (Künsch, 1989), blocks of three
horizons: the usual way, and too sure of itself.
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
"""From here on are cases that no rule was tried on."""
_BOOTSTRAPPED_CASES: Final = 100
_ROUNDS: Final = 200
_CERTAIN: Final = 1.959964
_WEIGHTS: Final = (2.0, 1.0, 2.0)
_REMEMBERED: Final = 0.5
"""Horizons after which a forecaster's sign has forgotten e-fold."""
_DAYS: Final = 2 * 1440.0
"""Minutes after which volatility has."""


class ForecastSkill(NamedTuple):
    """How well a forecaster's sign correlates with the return, and how well it believes it does."""

    true: float
    claimed: float


class Design(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of market, and who forecasts it.

    Attributes:
        name: in the table.
        rows: scored ones.
        horizon: minutes of a label.
        stride: minutes from row to row.
        edges: SELL below and BUY above, in standard deviations of the return.
        skills: of the forecasters; differences are of the first and each other, and the majority.
        volatility: standard deviation of its logarithm, which has a memory of two days.
        times: how many times as many cases are drawn, where some scores are seldom judged.
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
        """How many independent rows these are worth."""
        return min(self.rows * self.stride / self.horizon, float(self.rows))


class IntervalCoverage(NamedTuple):
    """The share of intervals that hold the truth, and their mean width."""

    share: float
    width: float


class DesignOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one score (or difference) over all cases of a design.

    Attributes:
        design: its name.
        score: of which, and whose.
        effective_rows: independent rows.
        cases: that were drawn.
        judged: share of cases with rows enough.
        held: of those; None where no case was judged.
        needed: 3.92 standard deviations of the score over those.
        bootstrap: the same of the bootstrap's intervals, in cases judged or not; None without.
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
        """Of intervals, one a case, of what is truly `true`."""
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
"""From 33 to 667 independent rows; classes of a size, and down to one row in 25."""


def forecasts(design: Design, rows: int, seed: int) -> tuple[Integers, dict[str, ModelOutput]]:
    """Draw a market and what is said of it: (rows,) classes, and forecasts by name."""
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
        said[f"model {number + 1}"] = _said(_chances(design, claimed, sign, now))
    said[MAJORITY] = _said(np.tile(_chances(design, 0.0, np.zeros(1), np.ones(1)), (rows, 1)))
    return np.digitize(future, design.edges).astype(np.int64), said


def _slow(rng: np.random.Generator, minutes: int, memory: float) -> Floats:
    """Noise (minutes,) of standard deviation 1 that forgets e-fold within so many minutes."""
    kept = math.exp(-1 / memory)
    shocks = math.sqrt(1 - kept**2) * rng.standard_normal(minutes)
    start = [kept * rng.standard_normal()]
    return np.asarray(lfilter([1.0], [1.0, -kept], shocks, zi=start)[0])


def _chances(design: Design, claimed: float, sign: Floats, volatility: Floats) -> Floats:
    """(n, 3) chances of the classes, by a sign that correlates with the return as claimed."""
    spread = math.sqrt(1 - claimed**2)
    sell = ndtr((design.edges[0] / volatility - claimed * sign) / spread)
    buy = ndtr((claimed * sign - design.edges[1] / volatility) / spread)
    return np.stack([sell, 1 - sell - buy, buy], axis=1)


def _said(chances: Floats) -> ModelOutput:
    return ModelOutput(
        chances, decide(chances, _WEIGHTS if len(np.unique(chances[:2])) > 3 else None)
    )


def truth(design: Design, rows: int = TRUE_ROWS) -> dict[tuple[str, str], float]:
    """What each score, and each difference, is of very many rows; by whose, and name."""
    return _true(msgspec.structs.replace(design, name="", rows=_AT_ONCE, times=1), rows)


@cache
def _true(design: Design, rows: int) -> dict[tuple[str, str], float]:
    """The same of a market, however many rows of it make a case."""
    drawn = (forecasts(design, _AT_ONCE, 10**9 + part) for part in range(rows // _AT_ONCE))
    sums = sum(_columns(target, said).sum(axis=0) for target, said in drawn)
    names = [f"model {number + 1}" for number in range(len(design.skills))]
    found = _all(np.asarray(sums), [*names, MAJORITY])
    return {key: float(value) for key, value in found.items()}


def _columns(target: Integers, said: Mapping[str, ModelOutput]) -> Floats:
    return np.concatenate([tally_decided(target, *one) for one in said.values()], axis=1)


def _all(sums: Floats, names: list[str]) -> dict[tuple[str, str], Floats]:
    """Scores (...) of sums (..., models * TALLIED): of each model, and of the first less others."""
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
    """The intervals of one case."""
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
    """The same by percentiles of a moving-block bootstrap."""
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
    """How often the intervals of so many cases (or `times` as many) hold the truth, by score."""
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
    """How often, and how narrowly, intervals hold the truth."""
    low, high = np.array([one[1:3] for one in intervals]).T
    slack = 1e-12
    inside = (low <= true + slack) & (true <= high + slack)
    return IntervalCoverage(float(inside.mean()), float((high - low).mean()))
