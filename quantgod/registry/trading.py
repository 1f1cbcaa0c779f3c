"""Backtest scored rows of a lineage on its bars, and on archived books if available."""

from __future__ import annotations

from quantgod.archive.store import stored_series
from quantgod.backtest import Backtest, backtest, order_moments
from quantgod.backtest.recorded import archive_books, minute_books
from quantgod.contracts import Progress, silent
from quantgod.dataset.series import check_one_series, read_series
from quantgod.evaluation.scored_rows import read_scored
from quantgod.tracking.chosen import trials_behind
from quantgod.tracking.keys import artifacts_of
from quantgod.tracking.stage import StageRun


def trade(run: StageRun, progress: Progress = silent) -> Backtest:
    """Trade the signals stored by the evaluate run.

    Args:
        run: of the stage `backtest`, with the runs of etl, optimize or members, and evaluate.
        progress: called after days and latencies.

    Raises:
        SeriesError: if rows, bars and settings are not of one series.
    """
    settings, data = run.settings, run.settings.data
    store, own, horizon = (
        run.inputs["bars"].parent,
        settings.backtest,
        settings.label.horizon_minutes,
    )
    with run.scratch() as folder:
        scored = artifacts_of(run.needed("evaluate"), "test", folder)
        bars = stored_series(store, data.symbol)
        parts = {"scored rows": read_series(scored), "bars": bars}
        check_one_series(parts | {"settings": data.series_from(bars.source)})
        rows = read_scored(scored)
    books = minute_books(store, data.symbol, rows, horizon)
    moments = order_moments(rows, books, own, horizon)
    met = archive_books(
        data.archives, data.symbol, moments, books, settings.etl, progress, market=data.market
    )
    before = (run.upstream.get(stage) for stage in ("optimize", "members"))
    trials = trials_behind(run.client, *before)
    return backtest(rows, books, own, horizon, trials, progress, met)
