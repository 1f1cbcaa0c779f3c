"""Make a forecaster of candles and judge it: rows, members walked forward, ensemble, scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quantgod.contracts import Candles, Progress, silent
from quantgod.dataset.candles.folds import Fold, folds_at
from quantgod.dataset.candles.regimes import regimes_of
from quantgod.dataset.candles.table import CandleTable, table_of
from quantgod.ensemble.candles.walk import Moments, OnDate, Walked, walk
from quantgod.ensemble.candles.walk import unheard as unnoticed
from quantgod.evaluation.forecasts.evaluate import ForecastEvaluation, evaluate_forecasts
from quantgod.evaluation.forecasts.judged import outcomes_of, subject_of
from quantgod.evaluation.forecasts.outcomes import Outcomes
from quantgod.forecasters.candles.forward import Forward, OnEpoch, split, unheard, walk_forward
from quantgod.forecasters.candles.tuning import Searched, tune
from quantgod.settings import ForecastSettings, Settings


@dataclass(frozen=True)
class ForecastHooks:
    """Who is told of a run.

    Attributes:
        on_epoch: of each epoch of a member in a part of the walk.
        progress: of search, members and ensemble, one after the other.
        on_date: of each date of the ensemble's walk.
    """

    on_epoch: OnEpoch = unheard
    progress: Progress = silent
    on_date: OnDate = unnoticed


@dataclass(frozen=True, eq=False)
class ForecastWalk:
    """What was said of candles, each forecast before its outcome: nothing of it is judged.

    Attributes:
        table: all rows.
        regimes: how they are told, as `table_of` takes it.
        settings: with the values that a search has found.
        searched: of each member, where there was a search.
        forward: what members said, out of fold and on the test part, and the served members.
        walked: what the ensemble made of it, and its state after the last date.
    """

    table: CandleTable
    regimes: dict[str, object]
    settings: Settings
    searched: tuple[Searched, ...]
    forward: Forward
    walked: Walked


@dataclass(frozen=True, eq=False)
class ForecastRun(ForecastWalk):
    """A forecaster of candles, and how it was judged.

    Attributes:
        outcomes: by horizon, of the whole walk: each forecast came before its outcome.
        evaluation: of these.
        test: the same of the newest part alone, by the members that are served.
    """

    outcomes: tuple[Outcomes, ...]
    evaluation: ForecastEvaluation
    test: ForecastEvaluation


def rows_of_coins(
    coins: Sequence[Candles], how: ForecastSettings, first: int | None = None
) -> tuple[CandleTable, dict[str, object]]:
    """Return the rows of coins, and how regimes are told: by what came before the first border.

    Args:
        coins: closed candles.
        how: which regimes and folds.
        first: the date of the border; by default that of the settings' folds.
    """
    first = split(table_of(coins), how)[0].border if first is None else first
    border = first * coins[0].step_ms
    closes = [one.column("close")[one.time_ms < border] for one in coins]
    regimes: dict[str, object] = dict(regimes_of(how.regimes, closes).to_json())
    return table_of(coins, regimes), regimes


def check_coins(coins: Sequence[Candles], how: ForecastSettings) -> None:
    """Check that each fold has candles to learn from, and each coin some to be judged by.

    Raises:
        EmptyPartError: naming the coin or part, what there is and what is needed.
    """
    split(table_of(coins), how)


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


def walk_coins(
    coins: Sequence[Candles],
    settings: Settings,
    place: Path,
    hooks: ForecastHooks | None = None,
    since: Sequence[int] | None = None,
) -> ForecastWalk:
    """Walk members and their ensemble forward through these coins.

    Args:
        coins: closed candles, of one interval.
        settings: forecast and train are read.
        place: folder of what a killed run goes on from.
        hooks: who is told.
        since: first dates of the folds, rising; by default those of the settings.

    Raises:
        EmptyPartError: if there are too few candles.
        MemberError: if members cannot be fitted.
    """
    how, told = settings.forecast, hooks or ForecastHooks()
    table, regimes = rows_of_coins(coins, how, None if since is None else since[0])
    folds = (
        split(table, how)
        if since is None
        else folds_at(table, since, how.horizons, how.window, how.stopping_fraction)
    )
    searched: list[Searched] = []
    if how.tune.trials:
        settings, searched = tune(table, folds[0], settings, place / "trials", told.progress)
    forward = walk_forward(table, settings, place, told.on_epoch, told.progress, folds)
    moments, refits = moments_of(table, forward, how), borders(forward.folds)
    walked = walk(how.ensemble.rules, moments, refits, told.progress, told.on_date)
    return ForecastWalk(table, regimes, settings, tuple(searched), forward, walked)


def run_forecasts(
    coins: Sequence[Candles],
    settings: Settings,
    place: Path,
    hooks: ForecastHooks | None = None,
    looks: int | None = None,
) -> ForecastRun:
    """Make and judge a forecaster of these coins.

    Args:
        coins: closed candles, of one interval.
        settings: forecast and train are read.
        place: folder of what a killed run goes on from.
        hooks: who is told.
        looks: what claims of the mean are widened for, as `claims_skill` takes it.

    Raises:
        EmptyPartError: if there are too few candles.
        MemberError: if members cannot be fitted.
    """
    how, made = settings.forecast, walk_coins(coins, settings, place, hooks)
    outcomes = outcomes_of(made.table, made.forward, made.walked, how)
    newest = made.forward.folds[-1].border
    test = [one.take(one.date >= newest) for one in outcomes]
    return ForecastRun(
        **vars(made), outcomes=tuple(outcomes),
        evaluation=evaluate_forecasts(outcomes, subject_of(how), looks),
        test=evaluate_forecasts(test, subject_of(how), looks),
    )  # fmt: skip
