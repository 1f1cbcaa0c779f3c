"""Figures, lines and words that a run of forecasts leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from quantgod.dataset.candles.selection import jaccard
from quantgod.evaluation.evidence import LeakAuditResult
from quantgod.evaluation.forecasts.evaluate import ZERO, ForecastEvaluation, ForecastScores
from quantgod.evaluation.forecasts.outcomes import RANDOM_WALK
from quantgod.evaluation.forecasts.run import ForecastRun
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.wording import ahead_text
from quantgod.gates import Gate, all_passed
from quantgod.tracking.stage import StageRun

COLUMNS: Final = ("ahead", "forecaster", "mean", "width", "in 80 %", "in 95 %")
NOTE: Final = (
    "mean: MSE less than that of no change. width: pinball loss less than the random walk's. "
    "*: the low end of its interval is above zero; (few): too few dates to tell. Intervals, GARCH, "
    "coins and years are in the report."
)
GATES: Final = ("gate", "figure", "bound", "verdict")


def lines_of(evaluation: ForecastEvaluation) -> list[tuple[str, ...]]:
    """Return a line for each horizon and forecaster, as `COLUMNS` names them."""
    return [
        (ahead_text(one.steps * evaluation.step_ms), *_line(name, scores))
        for one in evaluation.horizons
        for name, scores in one.models.items()
    ]


def gate_lines(gates: Sequence[Gate]) -> list[tuple[str, ...]]:
    """Return a line for each gate, as `GATES` names them."""
    return [(one.name, one.figure, one.bound, one.verdict) for one in gates]


def figures_of(made: ForecastRun, gates: Sequence[Gate]) -> dict[str, float]:
    """Return what runs are compared by: scores of the ensemble by horizon, whole walk and test."""
    found = {"gates_passed": float(all_passed(gates)), **_stability(made)}
    for part, evaluation in (("walk", made.evaluation), ("test", made.test)):
        for one in evaluation.horizons:
            scores = one.models[evaluation.subject]
            found |= {f"{part}_{name}_{one.steps}": value for name, value in _figures(scores)}
    return found


def headline_of(made: ForecastRun, gates: Sequence[Gate]) -> str:
    """Return one line: skill of mean and width by horizon, and gates."""
    told = []
    for one in made.evaluation.horizons:
        scores = one.models[made.evaluation.subject]
        mean, wide = scores.mse_skill[ZERO], scores.pinball_skill[RANDOM_WALK]
        ahead = ahead_text(one.steps * made.evaluation.step_ms)
        told.append(f"{ahead}: mean {mean.value:+.2%}, width {wide.value:+.2%}")
    judged = [gate for gate in gates if gate.passed is not None or gate.unjudged]
    passed = sum(bool(gate.passed) for gate in judged)
    return f"skill {'; '.join(told)}; {passed} of {len(judged)} gates passed"


def leaks_in_words(found: LeakAuditResult) -> str:
    """Return what a leak audit of candles has found, in one line."""
    values = sum(found.compared.values())
    told = next(iter(found.problems), "nothing looks ahead, to the candle")
    return f"leak audit: {told}; {values:,} values at {len(found.cuts)} cuts"


def lineage_of(run: StageRun) -> dict[str, str]:
    """Return what a run was made from: its own id, its key and where its data lie."""
    return {"run": run.run_id, "key": run.key, **{k: str(v) for k, v in run.inputs.items()}}


def _stability(made: ForecastRun) -> dict[str, float]:
    """Return how much the features chosen in neighbouring folds have in common, on average."""
    chosen: dict[tuple[int, ...], list[Sequence[str]]] = {}
    for one in made.forward.parts:
        chosen.setdefault(one.part.coins, []).append(one.columns)
    pairs = [jaccard(*pair) for folds in chosen.values() for pair in pairwise(folds)]
    return {"selection_jaccard": sum(pairs) / len(pairs)} if pairs else {}


def _figures(scores: ForecastScores) -> Iterator[tuple[str, float]]:
    yield "mse_skill", scores.mse_skill[ZERO].value
    yield "pinball_skill", scores.pinball_skill[RANDOM_WALK].value
    yield "pinball", scores.pinball.value
    for covered in scores.coverage:
        yield f"coverage_{100 * covered.promised:.0f}", covered.issued.value


def _line(name: str, scores: ForecastScores) -> tuple[str, ...]:
    shares = {covered.promised: f"{covered.issued.value:.1%}" for covered in scores.coverage}
    return (
        name.replace("_", " "), _share(scores.mse_skill[ZERO]),
        _share(scores.pinball_skill[RANDOM_WALK]), shares[0.8], shares[0.95],
    )  # fmt: skip


def _share(found: Interval) -> str:
    if not found.enough:
        return f"{found.value:+.2%} (few)"
    return f"{found.value:+.2%}{' *' * (found.low > 0)}"
