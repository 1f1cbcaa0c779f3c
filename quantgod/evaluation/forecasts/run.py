"""Make a forecaster of candles and judge it: rows, members walked forward, ensemble, scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quantgod.contracts import Candles, Progress, silent
from quantgod.dataset.candles.folds import Fold
from quantgod.dataset.candles.regimes import regimes_of
from quantgod.dataset.candles.table import CandleTable, table_of
from quantgod.ensemble.candles.walk import Moments, Walked, walk
from quantgod.evaluation.forecasts.evaluate import ForecastEvaluation, evaluate_forecasts
from quantgod.evaluation.forecasts.judged import ENSEMBLE, outcomes_of
from quantgod.evaluation.forecasts.outcomes import Outcomes
from quantgod.forecasters.candles.forward import Forward, OnEpoch, split, unheard, walk_forward
from quantgod.settings import ForecastSettings, Settings


@dataclass(frozen=True)
class ForecastHooks:
    """Who is told of the parts of a run.

    Attributes:
        on_epoch: of each epoch of a member in a part of the walk.
        progress: from a part's name to its progress.
    """

    on_epoch: OnEpoch = unheard
    progress: Callable[[str], Progress] = field(default=lambda part: silent)


@dataclass(frozen=True, eq=False)
class ForecastRun:
    """A forecaster of candles, and how it was judged.

    Attributes:
        table: all rows.
        regimes: how they are told, as `table_of` takes it.
        forward: what members said, out of fold and on the test part, and the served members.
        walked: what the ensemble made of it, and its state after the last date.
        outcomes: by horizon, of the whole walk: each forecast came before its outcome.
        evaluation: of these.
        test: the same of the newest part alone, by the members that are served.
    """

    table: CandleTable
    regimes: dict[str, object]
    forward: Forward
    walked: Walked
    outcomes: tuple[Outcomes, ...]
    evaluation: ForecastEvaluation
    test: ForecastEvaluation


def rows_of_coins(
    coins: Sequence[Candles], how: ForecastSettings
) -> tuple[CandleTable, dict[str, object]]:
    """Return the rows of coins, and how regimes are told: by what came before the first border."""
    table = table_of(coins)
    folds = split(table, how)
    border = folds[0].border * table.step_ms
    closes = [one.column("close")[one.time_ms < border] for one in coins]
    regimes: dict[str, object] = dict(regimes_of(how.regimes, closes).to_json())
    return table_of(coins, regimes), regimes


def moments_of(table: CandleTable, forward: Forward, how: ForecastSettings) -> Moments:
    """Return what members said of all rows, as an ensemble walks through it."""
    rows = forward.rows
    return Moments(
        forward.members, how.horizons, table.date[rows], table.coin[rows], table.regime[rows],
        forward.mean, forward.quantiles, table.outcomes(how.horizons)[rows],
    )  # fmt: skip


def borders(folds: Sequence[Fold]) -> list[int]:
    """Return the dates at which members change, and the stacked mean with them."""
    return [fold.border for fold in folds]


def run_forecasts(
    coins: Sequence[Candles], settings: Settings, place: Path, hooks: ForecastHooks | None = None
) -> ForecastRun:
    """Make and judge a forecaster of these coins.

    Args:
        coins: closed candles, of one interval.
        settings: forecast and train are read.
        place: folder of what a killed run goes on from.
        hooks: who is told.

    Raises:
        EmptyPartError: if there are too few candles.
        MemberError: if members cannot be fitted.
    """
    how, told = settings.forecast, hooks or ForecastHooks()
    table, regimes = rows_of_coins(coins, how)
    forward = walk_forward(table, settings, place, told.on_epoch, told.progress("members"))
    moments = moments_of(table, forward, how)
    refits = borders(forward.folds)
    walked = walk(how.ensemble.rules, moments, refits, told.progress("ensemble"))
    outcomes = outcomes_of(table, forward, walked, how.horizons)
    test = outcomes_of(table, forward, walked, how.horizons, since=forward.folds[-1].border)
    return ForecastRun(
        table, regimes, forward, walked, tuple(outcomes),
        evaluate_forecasts(outcomes, ENSEMBLE), evaluate_forecasts(test, ENSEMBLE),
    )  # fmt: skip
