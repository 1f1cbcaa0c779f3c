"""Score all forecasters of all horizons: pooled, by coin, by year, and against each other."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from quantgod.contracts import Floats
from quantgod.evaluation.forecasts.by_date import Dates, first_and_last
from quantgod.evaluation.forecasts.claims import Claim, claims_skill
from quantgod.evaluation.forecasts.confidence_set import model_confidence_set
from quantgod.evaluation.forecasts.coverage import Covered, coverage, pit_histogram
from quantgod.evaluation.forecasts.diebold_mariano import DieboldMariano, diebold_mariano, wide_lag
from quantgod.evaluation.forecasts.direction import Direction, direction
from quantgod.evaluation.forecasts.losses import LOSSES
from quantgod.evaluation.forecasts.outcomes import (
    DRIFT,
    FLOORS,
    Distribution,
    Outcomes,
    normal_walk,
)
from quantgod.evaluation.forecasts.prices import PriceScores, price_scores
from quantgod.evaluation.intervals import Interval
from quantgod.served.candles.quantiles import pinball

ZERO = "zero"
"""The forecast that nothing changes, which the mean's skill is over."""


class ForecastScores(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of one forecaster on some rows of one horizon.

    Attributes:
        rows: number of rows.
        dates: number of dates, which rows of all coins share.
        independent: number of dates whose horizons do not overlap.
        mse: mean squared error of the mean, in scaled returns.
        mae: mean absolute error of the median.
        pinball: mean pinball loss of the quantiles as issued.
        mse_skill: 1 - MSE / that of another: `zero`, and `drift` where it is given.
        mae_skill: the same of absolute errors.
        pinball_skill: 1 - pinball loss / that of each floor that is given.
        coverage: of central intervals of 50, 80 and 95 %.
        pit: shares below, between and above the quantiles as issued.
        pit_raw: the same before calibration; None where nothing calibrates.
        direction: of the mean; None if it has none.
        prices: of a single coin; None for several.
    """

    rows: int
    dates: int
    independent: float
    mse: Interval
    mae: Interval
    pinball: Interval
    mse_skill: dict[str, Interval]
    mae_skill: dict[str, Interval]
    pinball_skill: dict[str, Interval]
    coverage: tuple[Covered, ...]
    pit: tuple[float, ...]
    pit_raw: tuple[float, ...] | None
    direction: Direction | None
    prices: PriceScores | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The forecaster against another, by loss."""

    mse: DieboldMariano
    pinball: DieboldMariano


class HorizonEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """All scores of one horizon.

    Attributes:
        steps: candles ahead.
        first: the first issue.
        last: the last issue.
        models: scores of each forecaster, all coins pooled.
        coins: scores of the subject by coin.
        years: the same by calendar year.
        coin_years: the same by coin and year.
        against: Diebold-Mariano tests of the subject against each other forecaster; empty where
            dates are too few for the lag.
        confidence_set: p-values of each forecaster in pinball loss; empty where dates are too few.
    """

    steps: int
    first: str
    last: str
    models: dict[str, ForecastScores]
    coins: dict[str, ForecastScores]
    years: dict[int, ForecastScores]
    coin_years: dict[str, dict[int, ForecastScores]]
    against: dict[str, Comparison]
    confidence_set: dict[str, float]


class ForecastEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """All scores of a forecaster and those beside it.

    Attributes:
        subject: name of the forecaster that is judged.
        step_ms: milliseconds of a candle, which horizons count.
        horizons: nearest first.
        claims: whether its mean may be said to have skill, by horizon.
    """

    subject: str
    step_ms: int
    horizons: tuple[HorizonEvaluation, ...]
    claims: tuple[Claim, ...]

    def at(self, steps: int) -> HorizonEvaluation:
        """Return the scores of a horizon.

        Raises:
            ValueError: if there is none of that many steps.
        """
        for one in self.horizons:
            if one.steps == steps:
                return one
        there = ", ".join(str(one.steps) for one in self.horizons)
        raise ValueError(f"no horizon of {steps} candles was scored; there are {there}")


def evaluate_forecasts(
    outcomes: Sequence[Outcomes], subject: str, looks: int | None = None, seed: int = 0
) -> ForecastEvaluation:
    """Score all forecasters on matured outcomes.

    Args:
        outcomes: one of each horizon, nearest first; all with the same forecasters.
        subject: name of the forecaster that is judged.
        looks: see `claims_skill`.
        seed: of the redraws of the model confidence set.

    Raises:
        ValueError: for no horizon, one without rows, or without a forecast of the subject.
    """
    if not outcomes:
        raise ValueError("outcomes of one horizon at least expected, got none")
    for one in outcomes:
        if subject not in one.forecasts or not len(one):
            raise ValueError(
                f"rows and a forecast of {subject} at {one.steps} candles expected, got {len(one)} "
                f"rows of {', '.join(one.forecasts) or 'nobody'}"
            )
    return ForecastEvaluation(
        subject=subject,
        step_ms=outcomes[0].step_ms,
        horizons=tuple(_horizon(one, subject, seed) for one in outcomes),
        claims=claims_skill(outcomes, subject, looks),
    )


def score_forecaster(outcomes: Outcomes, name: str) -> ForecastScores:
    """Return the scores of one forecaster on these rows."""
    said, y = outcomes.forecasts[name], outcomes.y
    dates = Dates.of(outcomes.date, outcomes.steps)
    losses = {loss: of(y, said) for loss, of in LOSSES.items()}

    def over(loss: str, *others: str) -> dict[str, Interval]:
        there = {one: outcomes.forecasts[one] for one in others if one in outcomes.forecasts}
        there |= {ZERO: normal_walk(len(y))} if ZERO in others else {}
        return {
            other: dates.skill(losses[loss], LOSSES[loss](y, its)) for other, its in there.items()
        }

    return ForecastScores(
        rows=len(y),
        dates=len(dates),
        independent=dates.independent,
        mse=dates.loss(losses["mse"]),
        mae=dates.loss(losses["mae"]),
        pinball=dates.loss(losses["pinball"]),
        mse_skill=over("mse", ZERO, DRIFT),
        mae_skill=over("mae", ZERO, DRIFT),
        pinball_skill=over("pinball", *FLOORS),
        coverage=coverage(y, said, dates),
        pit=tuple(pit_histogram(y, said.quantiles).tolist()),
        pit_raw=_raw_pit(y, said),
        direction=direction(y, said.mean, dates),
        prices=price_scores(outcomes, name) if len(outcomes.coins) == 1 else None,
    )


def _raw_pit(y: Floats, said: Distribution) -> tuple[float, ...] | None:
    return None if said.raw is None else tuple(pit_histogram(y, said.raw).tolist())


def _horizon(outcomes: Outcomes, subject: str, seed: int) -> HorizonEvaluation:
    dates = Dates.of(outcomes.date, outcomes.steps)
    first, last = first_and_last(dates, outcomes.step_ms)
    return HorizonEvaluation(
        steps=outcomes.steps,
        first=first,
        last=last,
        models={name: score_forecaster(outcomes, name) for name in outcomes.forecasts},
        coins={coin: score_forecaster(rows, subject) for coin, rows in outcomes.by_coin()},
        years={year: score_forecaster(rows, subject) for year, rows in outcomes.by_year()},
        coin_years={
            coin: {year: score_forecaster(part, subject) for year, part in rows.by_year()}
            for coin, rows in outcomes.by_coin()
        },
        against=_against(outcomes, subject, dates),
        confidence_set=_confidence_set(outcomes, dates, seed),
    )


def _against(outcomes: Outcomes, subject: str, dates: Dates) -> dict[str, Comparison]:
    if len(dates) <= wide_lag(len(dates), outcomes.steps) + 1:
        return {}
    y, said = outcomes.y, outcomes.forecasts
    return {
        other: Comparison(**{
            loss: diebold_mariano(
                dates.means(LOSSES[loss](y, said[subject]) - LOSSES[loss](y, said[other])),
                outcomes.steps,
            )
            for loss in ("mse", "pinball")
        })
        for other in said
        if other != subject
    }  # fmt: skip


def _confidence_set(outcomes: Outcomes, dates: Dates, seed: int) -> dict[str, float]:
    if len(dates) < 3 * max(outcomes.steps, round(len(dates) ** (1 / 3))):
        return {}
    losses = {
        name: dates.means(pinball(outcomes.y, said.quantiles))
        for name, said in outcomes.forecasts.items()
    }
    return model_confidence_set(losses, outcomes.steps, seed)
