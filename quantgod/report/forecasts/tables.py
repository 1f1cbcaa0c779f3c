"""Make the tables of a report of forecasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from quantgod.evaluation.forecasts.confidence_set import SIZE
from quantgod.evaluation.forecasts.evaluate import (
    ZERO,
    ForecastEvaluation,
    ForecastScores,
    HorizonEvaluation,
)
from quantgod.evaluation.forecasts.outcomes import DRIFT, GARCH, RANDOM_WALK
from quantgod.evaluation.plots.forecasts import Fan
from quantgod.evaluation.wording import interval_text, number_text
from quantgod.gates import Gate
from quantgod.report.findings import spoken
from quantgod.report.forecasts.findings import ahead_of, percent
from quantgod.report.tables import Table
from quantgod.served.candles.quantiles import LEVELS

_SCORES = (
    "rows", "dates apart", "MSE skill over zero", "over drift", "MAE skill over zero",
    "pinball loss", "pinball skill over random walk", "over GARCH-t", "coverage of 50 %",
    "of 80 %", "of 95 %", "raw", "direction", "over the commoner one",
)  # fmt: skip
_PRICES = ("MAE", "when the price stays", "RMSE", "when the price stays", "R²",
           "when the price stays")  # fmt: skip
_SCORE_NOTE = (
    "Of scaled returns. Skill: how much less the loss is, in brackets the 95 % interval over "
    "dates; one that holds zero shows nothing. Raw: coverage of the same three before calibration. "
    "Direction: of the mean, beside always saying the direction that came more often."
)


def main_tables(evaluation: ForecastEvaluation) -> list[Table]:
    """Return scores of all forecasters and of each coin, by horizon, and comparisons."""
    return [
        table
        for one in evaluation.horizons
        for table in (
            _models(one, ahead_of(evaluation, one.steps)),
            _coins(one, ahead_of(evaluation, one.steps)),
            *_against(one, evaluation.subject, ahead_of(evaluation, one.steps)),
        )
    ]


def year_tables(evaluation: ForecastEvaluation) -> list[Table]:
    """Return scores by calendar year, pooled and coin by coin."""
    return [
        Table(
            f"By year, {ahead_of(evaluation, one.steps)} ahead",
            ("coin", "year", *_SCORES),
            tuple(
                (coin, f"{year}", *_cells(scores))
                for coin, years in {"all": one.years, **one.coin_years}.items()
                for year, scores in years.items()
            ),
            "Years are those of the issue.",
        )
        for one in evaluation.horizons
    ]


def price_tables(evaluation: ForecastEvaluation) -> list[Table]:
    """Return errors of prices beside those of the price that stays, by horizon and coin."""
    body = tuple(
        (ahead_of(evaluation, one.steps), coin, *_price_cells(scores))
        for one in evaluation.horizons
        for coin, scores in one.coins.items()
    )
    note = (
        "Of the median price, in the quote currency. R² of prices is near 1 for whatever stays "
        "near today's price, and no measure of skill."
    )
    return [Table("Prices", ("horizon", "coin", *_PRICES), body, note)]


def newest_table(fans: Sequence[Fan]) -> Table:
    """Return the newest forecasts as prices, by coin and horizon."""
    shown = (0, 1, 3, 5, 6)
    head = ("coin", "issued at", "price", "due", *(_level(LEVELS[place]) for place in shown))
    body = tuple(
        (
            fan.coin, _moment(fan.time[-1]), number(fan.close[-1]), _moment(due),
            *(number(prices[place]) for place in shown),
        )
        for fan in fans
        for due, prices in zip(fan.due, fan.prices, strict=True)
    )  # fmt: skip
    return Table("Newest forecasts", head, body, "Quantiles of the price when it is due.")


def gate_table(gates: Sequence[Gate]) -> Table:
    """Return all gates with their verdicts."""
    body = tuple((gate.name, gate.verdict, gate.figure, gate.bound, gate.detail) for gate in gates)
    return Table("Gates", ("gate", "verdict", "figure", "bound", "what it is"), body)


def lineage_table(evaluation: ForecastEvaluation, lineage: Mapping[str, str]) -> Table:
    """Return what the forecasts were made from, and which rows were scored."""
    scored = (
        (
            f"scored {ahead_of(evaluation, one.steps)} ahead",
            f"issues {one.first} to {one.last}, {scores.rows:,} rows of {scores.dates:,} dates, "
            f"{number_text(scores.independent)} horizons apart",
        )
        for one in evaluation.horizons
        for scores in [one.models[evaluation.subject]]
    )
    return Table("Lineage", ("", "value"), (*scored, *lineage.items()))


def number(value: float) -> str:
    """Return a price with five digits at least, or two decimals."""
    return f"{value:,.2f}" if value >= 100 else f"{value:.5g}"


def _models(one: HorizonEvaluation, ahead: str) -> Table:
    body = tuple((spoken(name), *_cells(scores)) for name, scores in one.models.items())
    return Table(f"All forecasters, {ahead} ahead", ("forecaster", *_SCORES), body, _SCORE_NOTE)


def _coins(one: HorizonEvaluation, ahead: str) -> Table:
    body = tuple((coin, *_cells(scores)) for coin, scores in one.coins.items())
    return Table(f"By coin, {ahead} ahead", ("coin", *_SCORES), body)


def _against(one: HorizonEvaluation, subject: str, ahead: str) -> Iterator[Table]:
    if not one.against and not one.confidence_set:
        return
    names = [name for name in one.models if name != subject]
    body = tuple(
        (
            spoken(name),
            *(_tested(one, name, loss) for loss in ("mse", "pinball")),
            _in_set(one, name),
        )
        for name in names
    )
    head = ("other", "squared error less the other's", "pinball loss less the other's",
            "in the confidence set")  # fmt: skip
    note = (
        f"Diebold-Mariano with the correction of Harvey, Leybourne and Newbold, of date means: "
        f"below 0 {spoken(subject)} is better. The set (of pinball losses) holds the best "
        f"forecaster in {1 - SIZE:.0%} of cases; {spoken(subject)}: {_in_set(one, subject)}."
    )
    yield Table(f"Against others, {ahead} ahead", head, body, note)


def _tested(one: HorizonEvaluation, name: str, loss: str) -> str:
    if name not in one.against:
        return "too few dates"
    found = getattr(one.against[name], loss)
    return f"{found.difference:+.4f}, p {_p_text(found.p_value)}"


def _in_set(one: HorizonEvaluation, name: str) -> str:
    if name not in one.confidence_set:
        return "too few dates"
    value = one.confidence_set[name]
    return f"{'yes' if value >= SIZE else 'no'}, p {_p_text(value)}"


def _p_text(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _cells(scores: ForecastScores) -> Iterator[str]:
    yield f"{scores.rows:,}"
    yield number_text(scores.independent)
    yield percent(scores.mse_skill[ZERO])
    yield percent(scores.mse_skill.get(DRIFT))
    yield percent(scores.mae_skill[ZERO])
    yield interval_text(scores.pinball)
    yield percent(scores.pinball_skill.get(RANDOM_WALK))
    yield percent(scores.pinball_skill.get(GARCH))
    yield from (percent(share.issued) for share in scores.coverage)
    raw = [f"{100 * share.raw.value:.1f}" for share in scores.coverage if share.raw is not None]
    yield " / ".join(raw) or "-"
    yield percent(scores.direction.accuracy if scores.direction else None)
    yield percent(scores.direction.gain if scores.direction else None)


def _price_cells(scores: ForecastScores) -> Iterator[str]:
    if scores.prices is None:
        yield from ["-"] * len(_PRICES)
        return
    mine, naive = scores.prices.forecast, scores.prices.naive
    for name in ("mae", "rmse"):
        yield number(getattr(mine, name))
        yield number(getattr(naive, name))
    yield f"{mine.r2:.3f}"
    yield f"{naive.r2:.3f}"


def _level(level: float) -> str:
    return "median" if level == 0.5 else f"{100 * level:g} %"


def _moment(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]")).removesuffix("T00:00").replace("T", " ")
