"""Put forecasts into words: what is shown, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from quantgod.evaluation.forecasts.confidence_set import SIZE
from quantgod.evaluation.forecasts.coverage import Covered
from quantgod.evaluation.forecasts.evaluate import (
    ZERO,
    ForecastEvaluation,
    ForecastScores,
    HorizonEvaluation,
)
from quantgod.evaluation.forecasts.garch import FEWEST_RETURNS
from quantgod.evaluation.forecasts.outcomes import FLOORS, GARCH, RANDOM_WALK
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.wording import ahead_text, number_text
from quantgod.gates import Gate
from quantgod.report.findings import spoken

OFF: Final = 0.03
"""Coverage farther than this from its promise is told as a weakness."""
FLOOR_NAMES: Final = {
    RANDOM_WALK: "a random walk with EWMA width",
    GARCH: "a random walk with GARCH-t width",
}


def headlines(evaluation: ForecastEvaluation, gates: Sequence[Gate]) -> list[str]:
    """Return the verdict in sentences: mean, width, coverage, prices, gates."""
    return [
        _of_mean(evaluation),
        *(_of_width(evaluation, floor) for floor in FLOOR_NAMES if _has(evaluation, floor)),
        *_of_coverage(evaluation),
        *_of_prices(evaluation),
        *_of_gates(gates),
    ]


def weaknesses(evaluation: ForecastEvaluation) -> list[str]:
    """Return sentences on what speaks against the forecasts or leaves them unproven."""
    found: list[str] = []
    for one in evaluation.horizons:
        ahead, scores = ahead_of(evaluation, one.steps), one.models[evaluation.subject]
        found += _too_few(scores, ahead)
        found += _off(scores.coverage, f"{ahead} ahead")
        found += _worse(one, evaluation.subject, ahead)
        for coin, of_coin in one.coins.items() if len(one.coins) > 1 else ():
            found += _off(of_coin.coverage, f"{coin}, {ahead} ahead")
        found += _years(one, ahead)
    if not _has(evaluation, GARCH):
        found.append(
            "There is no floor of GARCH-t width: a coin has too few returns before the first fold "
            f"({FEWEST_RETURNS} are needed)."
        )
    return found


def ahead_of(evaluation: ForecastEvaluation, steps: int) -> str:
    """Return `7 days`."""
    return ahead_text(steps * evaluation.step_ms)


def percent(found: Interval | None) -> str:
    """Return `2.1 % [0.4, 3.8]`, or why there are no bounds, or a dash without a value.

    There are two decimals where the interval is narrower than 1 %.
    """
    if found is None:
        return "-"
    decimals = 2 if found.high - found.low < 0.01 else 1
    value, low, high = (f"{round(100 * end, decimals) + 0.0:.{decimals}f}" for end in found[:3])
    return f"{value} % [{low}, {high}]" if found.enough else f"{value} % ({found.lacks})"


def _of_mean(evaluation: ForecastEvaluation) -> str:
    made = [claim for claim in evaluation.claims if claim.is_made]
    told = "; ".join(
        f"{ahead_of(evaluation, claim.steps)} {percent(claim.skill)}" for claim in evaluation.claims
    )
    looks = evaluation.claims[0].looks
    where = " and ".join(ahead_of(evaluation, claim.steps) for claim in made)
    shown = f"shown at {where}" if made else "none is shown"
    return (
        f"Skill of the mean over no change: {shown}. MSE less than that of zero by: {told}; "
        f"intervals are widened for {looks} look{'s' * (looks != 1)}."
    )


def _of_width(evaluation: ForecastEvaluation, floor: str) -> str:
    told = []
    for one in evaluation.horizons:
        skill = one.models[evaluation.subject].pinball_skill[floor]
        ahead = ahead_of(evaluation, one.steps)
        told.append(f"{ahead} {percent(skill)}, {_shown(skill)}")
    return f"Skill of the width over {FLOOR_NAMES[floor]}, in pinball loss: {'; '.join(told)}."


def _of_coverage(evaluation: ForecastEvaluation) -> Iterator[str]:
    for one in evaluation.horizons:
        shares = one.models[evaluation.subject].coverage
        told = ", ".join(_coverage_text(share) for share in shares)
        yield f"Coverage {ahead_of(evaluation, one.steps)} ahead: {told}."


def _coverage_text(share: Covered) -> str:
    raw = "" if share.raw is None else f" (raw {100 * share.raw.value:.1f})"
    return f"{100 * share.issued.value:.1f}{raw} of {100 * share.promised:.0f} %"


def _of_prices(evaluation: ForecastEvaluation) -> Iterator[str]:
    one = evaluation.horizons[0]
    told = [
        f"{coin} {scores.prices.forecast.r2:.3f} beside {scores.prices.naive.r2:.3f}"
        for coin, scores in one.coins.items()
        if scores.prices is not None
    ]
    yield (
        f"R² of prices {ahead_of(evaluation, one.steps)} ahead is {', '.join(told)} of the price "
        "that stays: it tells that prices move little, and no skill."
    )


def _of_gates(gates: Sequence[Gate]) -> Iterator[str]:
    if gates:
        counts = {kind: [gate.name for gate in gates if gate.verdict == kind]
                  for kind in ("pass", "FAIL", "not judged")}  # fmt: skip
        asked = sum(map(len, counts.values()))
        stopped = [f"; {kind}: {', '.join(counts[kind])}" for kind in ("FAIL", "not judged")
                   if counts[kind]]  # fmt: skip
        yield f"Gates: {len(counts['pass'])} of {asked} passed{''.join(stopped)}."


def _shown(skill: Interval) -> str:
    if not skill.enough:
        return "not judged"
    if skill.low > 0:
        return "shown"
    return "shown to be worse" if skill.high < 0 else "not shown"


def _has(evaluation: ForecastEvaluation, floor: str) -> bool:
    return all(floor in one.models[evaluation.subject].pinball_skill for one in evaluation.horizons)


def _too_few(scores: ForecastScores, ahead: str) -> Iterator[str]:
    if not scores.pinball.enough:
        yield (
            f"{ahead} ahead nothing is proven: {scores.dates:,} dates hold "
            f"{number_text(scores.independent)} horizons that do not overlap."
        )


def _off(coverage: Sequence[Covered], where: str) -> Iterator[str]:
    for how, side in (("narrow", -1), ("wide", 1)):
        told = [
            f"that of {100 * share.promised:.0f} % held {percent(share.issued)}"
            for share in coverage
            if share.issued.enough and side * (share.issued.value - share.promised) > OFF
        ]
        if told:
            yield f"{where} intervals are too {how}: {', '.join(told)} of the outcomes."


def _worse(one: HorizonEvaluation, subject: str, ahead: str) -> Iterator[str]:
    scores = one.models[subject]
    if scores.mse_skill[ZERO].enough and scores.mse_skill[ZERO].high < 0:
        yield f"{ahead} ahead the mean is worse than no change: {percent(scores.mse_skill[ZERO])}."
    for floor, skill in scores.pinball_skill.items():
        if skill.enough and skill.high < 0:
            yield f"{ahead} ahead {spoken(floor)} has the better width: {percent(skill)}."
    if not scores.pinball.enough:
        return
    better = [
        spoken(other)
        for other, found in one.against.items()
        if other not in FLOORS and found.pinball.statistic > 0 and found.pinball.p_value < 0.05
    ]
    if better:
        names = ", ".join(better)
        yield f"{ahead} ahead {names} has the lower pinball loss (Diebold-Mariano, p < 0.05)."
    if one.confidence_set.get(subject, 1.0) < SIZE:
        yield f"{ahead} ahead {spoken(subject)} is not in the set that holds the best forecaster."


def _years(one: HorizonEvaluation, ahead: str) -> Iterator[str]:
    for what, skill_of in _BY_YEAR.items():
        worse = [
            f"{year}" for year, scores in one.years.items()
            if (skill := skill_of(scores)) is not None and skill.enough and skill.high < 0
        ]  # fmt: skip
        if worse:
            yield f"{ahead} ahead {what} in {', '.join(worse)}."


_BY_YEAR: Final[dict[str, Callable[[ForecastScores], Interval | None]]] = {
    "the mean was worse than no change": lambda scores: scores.mse_skill[ZERO],
    "the width was worse than that of the random walk": (
        lambda scores: scores.pinball_skill.get(RANDOM_WALK)
    ),
}
