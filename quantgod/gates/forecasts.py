"""Define the gates of forecasts of returns.

What is asked is skill where skill is: a width that beats the random walk with EWMA width, intervals
that hold what they promise, and a mean that does no harm. Skill of the mean is told, and not asked
for. A horizon that is not gated has the same lines without a verdict, so that its figures stand
beside the others; one that is gated and has too few dates apart is not judged, and passes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from quantgod.evaluation.evidence import EvidenceError, LeakAuditResult
from quantgod.evaluation.forecasts.coverage import Covered
from quantgod.evaluation.forecasts.evaluate import (
    ZERO,
    ForecastEvaluation,
    ForecastScores,
    HorizonEvaluation,
)
from quantgod.evaluation.forecasts.outcomes import RANDOM_WALK
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.wording import ahead_text, number_text, share_text
from quantgod.gates.bounds import above, judged_by
from quantgod.gates.leaks import leak_gate
from quantgod.gates.report import Gate
from quantgod.settings.forecasting import ForecastGateSettings

_ROUNDING = 1e-9


def judge_forecasts(
    evaluation: ForecastEvaluation,
    settings: ForecastGateSettings,
    audited: LeakAuditResult | None = None,
) -> tuple[Gate, ...]:
    """Compare the scores of the subject with the bounds and return all gates, by horizon.

    Args:
        evaluation: of the subject, beside the random walk.
        settings: the bounds.
        audited: the leak audit of candles, whose gate is the last; None if there is none.

    Raises:
        EvidenceError: if a gated horizon was not scored, or nothing stands beside the subject that
            is called like the random walk.
    """
    scored = {one.steps: one for one in evaluation.horizons}
    if absent := [steps for steps in settings.horizons if steps not in scored]:
        raise EvidenceError(
            f"scores of {evaluation.subject} at {absent} candles expected; there are {[*scored]}"
        )
    gates = [gate for one in scored.values() for gate in _of_horizon(evaluation, one, settings)]
    return (*gates, leak_gate(audited, "this forecaster", asked=settings.leak_audit))


def _of_horizon(
    evaluation: ForecastEvaluation, one: HorizonEvaluation, settings: ForecastGateSettings
) -> Iterator[Gate]:
    scores, ahead = one.models[evaluation.subject], ahead_text(one.steps * evaluation.step_ms)
    asked = settings if one.steps in settings.horizons else _NOTHING_ASKED
    yield above(
        f"pinball_skill_{one.steps}",
        _over_random_walk(scores, evaluation.subject),
        asked.pinball_skill_above,
        f"{ahead} ahead: of quantiles over the random walk with EWMA width, the interval's low end",
    )
    for covered in scores.coverage:
        if any(abs(covered.promised - level) < _ROUNDING for level in settings.coverage_of):
            yield _covers(covered, one.steps, ahead, asked.coverage_within)
    yield _no_worse(scores.mse_skill[ZERO], one.steps, ahead, asked.worse_at_most)


_NOTHING_ASKED = ForecastGateSettings(
    pinball_skill_above=None, coverage_within=None, worse_at_most=None
)


def _covers(covered: Covered, steps: int, ahead: str, bound: float | None) -> Gate:
    promised, found = covered.promised, covered.issued
    return judged_by(
        f"coverage_{100 * promised:.0f}_{steps}",
        found,
        None if bound is None else f"{number_text(promised)} +- {number_text(bound)}",
        bound is not None and abs(found.value - promised) <= bound + _ROUNDING,
        f"{ahead} ahead: share of outcomes within the interval of {share_text(promised)} as issued",
    )


def _no_worse(found: Interval, steps: int, ahead: str, bound: float | None) -> Gate:
    return judged_by(
        f"no_worse_{steps}",
        found,
        None if bound is None else f">= {number_text(-bound)}",
        bound is not None and found.low >= -bound,
        f"{ahead} ahead: MSE skill of the mean over no change, the interval's low end",
    )


def _over_random_walk(scores: ForecastScores, subject: str) -> Interval:
    if RANDOM_WALK not in scores.pinball_skill:
        there = ", ".join(scores.pinball_skill) or "nothing"
        raise EvidenceError(
            f"{subject} beside {RANDOM_WALK} expected, got {there}: score both on the same rows"
        )
    return scores.pinball_skill[RANDOM_WALK]
