"""Whether intervals hold what they promise: forecasts of overlapping labels whose truth is known.

Each case draws a market and forecasters anew: minute returns, labels by the return of the minutes
that follow, and probabilities of who sees a noisy, slow sign of that return and may think too well
of it. What a score truly is, is taken from two million rows. An interval holds its promise where it
contains that in 95 of 100 cases, and is no wider than must be where it is little wider than the
3.92 standard deviations that the score has over the cases.

Beside them stand the percentiles of a moving-block bootstrap (Künsch, 1989), blocks of three
horizons: the usual way, and too sure of itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import joblib
import msgspec
import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from scipy.special import ndtr

from quantgod.contracts import MS_PER_MINUTE
from quantgod.evaluation.comparison import Said, compare
from quantgod.evaluation.effective_size import effective_rows
from quantgod.evaluation.intervals import LEVEL, Interval
from quantgod.evaluation.metrics import TALLIED, decide, scores_of, tally_decided

SCORES: Final = ("macro_f1", "mcc", "accuracy", "log_loss", "brier", "precision_sell", "f1_sell")
TRUE_ROWS: Final = 2_000_000
MAJORITY: Final = "majority"
_AT_ONCE: Final = 100_000
_BOOTSTRAPPED_CASES: Final = 100
_ROUNDS: Final = 200
_WEIGHTS: Final = (2.0, 1.0, 2.0)
_MINUTES_REMEMBERED: Final = 0.5
"""Share of a horizon after which a forecaster's sign has forgotten e-fold."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Skill(NamedTuple):
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
    """

    name: str
    rows: int
    horizon: int = 60
    stride: int = 1
    edges: tuple[float, float] = (-0.75, 1.2)
    skills: tuple[Skill, ...] = (Skill(0.6, 0.6), Skill(0.5, 0.7))


class Found(NamedTuple):
    """What came of one score (or difference) over all cases of a design.

    Attributes:
        design: its name.
        score: of which, and whose.
        effective_rows: independent rows.
        judged: share of cases with rows enough.
        held: share of those whose interval holds the truth.
        width: mean of theirs.
        needed: 3.92 standard deviations of the score over them.
        bootstrap_held: the same share of the bootstrap's intervals.
        bootstrap_width: mean of those.
    """

    design: str
    score: str
    effective_rows: float
    judged: float
    held: float
    width: float
    needed: float
    bootstrap_held: float
    bootstrap_width: float


NONE = (Skill(0.0, 0.3), Skill(0.0, 0.4))
WEAK = (Skill(0.3, 0.3), Skill(0.15, 0.3))
STRONG = (Skill(0.6, 0.6), Skill(0.5, 0.7))
EVEN = (-0.43, 0.43)
DESIGNS: Final = (
    Design(name="strong", rows=2_000, skills=STRONG),
    Design(name="strong", rows=10_000, skills=STRONG),
    Design(name="strong", rows=40_000, skills=STRONG),
    Design(name="weak", rows=2_000, skills=WEAK),
    Design(name="weak", rows=10_000, skills=WEAK),
    Design(name="none", rows=2_000, skills=NONE),
    Design(name="none", rows=10_000, skills=NONE),
    Design(name="even, 15 min", rows=200, horizon=15, stride=3, edges=EVEN, skills=STRONG),
    Design(name="even, weak", rows=2_000, horizon=15, stride=5, edges=EVEN, skills=WEAK),
    Design(name="rare", rows=10_000, edges=(-1.2, 1.75), skills=STRONG),
)
"""From 33 to 667 independent rows; classes of a size, and down to one row in 25."""


def forecasts(design: Design, rows: int, seed: int) -> tuple[Integers, dict[str, Said]]:
    """Draw a market and what is said of it: (rows,) classes, and forecasts by name."""
    rng = np.random.default_rng(seed)
    minutes, horizon = rows * design.stride, design.horizon
    price = np.concatenate([[0.0], np.cumsum(rng.standard_normal(minutes + horizon))])
    future = (price[horizon : horizon + minutes] - price[:minutes])[:: design.stride]
    future /= math.sqrt(horizon)
    said = {}
    common = _slow(rng, design, minutes)
    for number, (true, claimed) in enumerate(design.skills):
        noise = math.sqrt(0.6) * common + math.sqrt(0.4) * _slow(rng, design, minutes)
        sign = true * future + math.sqrt(1 - true**2) * noise
        said[f"model {number + 1}"] = _said(_chances(design, claimed, sign))
    said[MAJORITY] = _said(np.broadcast_to(_chances(design, 0.0, np.zeros(1)), (rows, 3)))
    return np.digitize(future, design.edges).astype(np.int64), said


def _slow(rng: np.random.Generator, design: Design, minutes: int) -> Floats:
    """Noise (rows,) of standard deviation 1 that forgets within half a horizon."""
    kept = math.exp(-1 / (_MINUTES_REMEMBERED * design.horizon))
    before = 10 * design.horizon
    shocks = math.sqrt(1 - kept**2) * rng.standard_normal(minutes + before)
    return np.asarray(lfilter([1.0], [1.0, -kept], shocks)[before :: design.stride])


def _chances(design: Design, claimed: float, sign: Floats) -> Floats:
    """(n, 3) chances of the classes, by a sign that correlates with the return as claimed."""
    spread = math.sqrt(1 - claimed**2)
    sell = ndtr((design.edges[0] - claimed * sign) / spread)
    buy = ndtr((claimed * sign - design.edges[1]) / spread)
    return np.stack([sell, 1 - sell - buy, buy], axis=1)


def _said(chances: Floats) -> Said:
    return Said(chances, decide(chances, _WEIGHTS if len(np.unique(chances[:2])) > 3 else None))


def truth(design: Design, rows: int = TRUE_ROWS) -> dict[tuple[str, str], float]:
    """What each score, and each difference, is of very many rows; by whose, and name."""
    sums = np.zeros(0)
    for part in range(rows // _AT_ONCE):
        target, said = forecasts(design, _AT_ONCE, 10**9 + part)
        columns = _columns(target, said).sum(axis=0)
        sums = columns if not len(sums) else sums + columns
    found = _all(sums, list(said))
    return {key: float(value) for key, value in found.items()}


def _columns(target: Integers, said: Mapping[str, Said]) -> Floats:
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


def prove(design: Design, cases: int, true_rows: int = TRUE_ROWS) -> list[Found]:
    """How often the intervals of so many cases hold the truth, by score."""
    true = truth(design, true_rows)
    found = [case(design, seed) for seed in range(cases)]
    before = [bootstrapped(design, seed) for seed in range(min(cases, _BOOTSTRAPPED_CASES))]
    return list(_summed(design, true, found, before))


def prove_all(cases: int, workers: int) -> Iterator[list[Found]]:
    """The same of every design, `workers` at a time, each told of when it is done."""
    run = joblib.Parallel(n_jobs=workers, batch_size=1, return_as="generator")
    yield from run(joblib.delayed(prove)(design, cases) for design in DESIGNS)


def _summed(
    design: Design,
    true: Mapping[tuple[str, str], float],
    found: list[dict[tuple[str, str], Interval]],
    before: list[dict[tuple[str, str], Interval]],
) -> Iterator[Found]:
    effective = min(design.rows * design.stride / design.horizon, float(design.rows))
    for key, value in true.items():
        whose, score = key
        judged = [one[key] for one in found if one[key].enough]
        if whose == MAJORITY or not judged:
            continue
        yield Found(
            design.name,
            f"{score}, {whose}",
            effective,
            len(judged) / len(found),
            *held(judged, value),
            2 * 1.959964 * float(np.std([one.value for one in judged])),
            *held([one[key] for one in before], value),
        )


def held(intervals: list[Interval], true: float) -> tuple[float, float]:
    """The share of intervals that hold the truth, and their mean width."""
    low, high = np.array([one[1:3] for one in intervals]).T
    slack = 1e-12
    held = float(((low <= true + slack) & (true <= high + slack)).mean())
    return held, float((high - low).mean())


HEAD: Final = ("market", "score", "eff. rows", "judged", "held", "width", "needed", "bootstrap")


def rows_of(found: list[Found]) -> list[list[str]]:
    """The table's rows."""
    return [
        [
            one.design, one.score, f"{one.effective_rows:.0f}", f"{one.judged:.0%}",
            f"{one.held:.3f}", f"{one.width:.3f}", f"{one.needed:.3f}",
            f"{one.bootstrap_held:.2f} {one.bootstrap_width:.3f}",
        ]
        for one in found
    ]  # fmt: skip
